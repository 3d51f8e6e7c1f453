"""Which images stand on the page of a run? Those of its gallery.json, as they lie there.

It must not know how they were chosen.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from peakmark.record.gallery_file import FORMAT, VERSION
from peakmark.report.pages.run_files import read_json


def gallery_in(path: Path) -> tuple[Mapping[str, Any] | None, str]:
    """Gives the gallery, and a sentence where a file is there that is none. Raises `MachineError` where it is damaged.

    None where there is no file: the run isn't over, or plots=False, or it is of an earlier Peakmark.
    """
    gallery = read_json(path)
    if not gallery:
        return None, ""
    if gallery.get("format") != FORMAT or gallery.get("format_version") != VERSION:
        return None, f"{path.name} is of another version of Peakmark, so its images are left out."
    return gallery, ""
