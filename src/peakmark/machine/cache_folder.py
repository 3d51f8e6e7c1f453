"""Where may the package keep what it can make again? In the user's cache folder, never beside the user's data."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Gives $PEAKMARK_CACHE, else $XDG_CACHE_HOME/peakmark, else ~/.cache/peakmark; it may not exist yet."""
    if own := os.environ.get("PEAKMARK_CACHE"):
        return Path(own).expanduser().absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser().absolute() / "peakmark"
    return Path.home() / ".cache" / "peakmark"
