"""What lies beside the files of a folder? metadata.yaml, where other programs of the field look for names and sizes."""

from __future__ import annotations

from pathlib import Path

import yaml

from peakmark.export.about import About
from peakmark.files.durable import write_text


def write_familiar(about: About, folder: Path) -> None:
    """Writes metadata.yaml."""
    values = {
        **about.familiar(),
        "names": dict(enumerate(about.names)),
        "imgsz": [about.side_px, about.side_px],
        "stride": int(about.familiar()["stride"]),
        "batch": about.batch or 1,
    }
    write_text(folder / "metadata.yaml", yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
