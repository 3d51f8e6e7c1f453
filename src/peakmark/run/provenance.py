"""Where do a run's results come from? Data by fingerprint, and the libraries that computed them.

It must not know what a run does with them.
"""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from peakmark.data.dataset import DatasetSpec
from peakmark.data.source.indexed_split import Index


def versions() -> dict[str, str]:
    """The libraries that compute; another version of one may round differently."""
    computing = ("peakmark", "torch", "numpy", "opencv-python-headless")
    return {"python": platform.python_version(), **{name: version(name) for name in computing}}


def provenance(spec: DatasetSpec, train_index: Index, val_index: Index | None) -> dict[str, Any]:
    """Where a run's results come from: data by fingerprint, and the libraries that computed them."""
    return {
        "versions": versions(),
        "data": {
            # What was converted lies in a cache, which anybody may empty: a resume reads the source again.
            "yaml": str(spec.made_from or spec.yaml),
            "train": train_index.fingerprint,
            "train_images": len(train_index),
            "val": val_index.fingerprint if val_index else None,
            "val_images": len(val_index) if val_index else 0,
        },
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "parent": None,
        "lineage": [],
    }
