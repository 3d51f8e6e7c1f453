"""Which images stand on the page of a run? Those of its gallery.json, as they lie there.

It must not know how they were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from peakmark.record.gallery_file import FORMAT, VERSION
from peakmark.report.numbers import finite
from peakmark.report.pages.run_files import mapping, read_json

_SAME: Final = 1e-9
"""By how much an AP50 that is computed again may differ: it may be summed in another order."""


def gallery_in(path: Path, best: Mapping[str, Any]) -> tuple[Mapping[str, Any] | None, str]:
    """Gives the gallery of the best epoch, and a sentence where a file is there that is none of it.

    Raises `MachineError` where the file is damaged.

    None where there is no file: the run isn't over, or plots=False, or it is of an earlier Peakmark.
    """
    gallery = read_json(path)
    if not gallery:
        return None, ""
    if gallery.get("format") != FORMAT or gallery.get("format_version") != VERSION:
        return None, f"{path.name} is of another version of Peakmark, so its images are left out."
    if gallery.get("epoch") != best.get("epoch") or not _is_of(gallery, mapping(best.get("metrics"))):
        epoch = gallery.get("epoch")
        return (
            None,
            f"The images in {path.name} are of epoch {epoch} as it was then, not of the best; they are left out.",
        )
    return gallery, ""


def _is_of(gallery: Mapping[str, Any], metrics: Mapping[str, Any]) -> bool:
    """An epoch that was trained again has the same number, but not the same AP50."""
    ap50, logged = finite(gallery.get("ap50")), finite(metrics.get("map50"))
    return ap50 is not None and logged is not None and abs(ap50 - logged) <= _SAME
