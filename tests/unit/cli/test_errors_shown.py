"""Are mistakes counted as what they are, and shown without a traceback?"""

from __future__ import annotations

import io

from rich.console import Console

from peakmark.cli.show import show_error
from peakmark.errors import DataError, PeakmarkError, SettingsError


def _shown(error: PeakmarkError) -> list[str]:
    file = io.StringIO()
    show_error(Console(file=file, width=200), error)
    return file.getvalue().splitlines()


def test_what_belongs_to_a_mistake_is_no_mistake_of_its_own():
    bad = "train: 25 label lines are wrong.\n  a.txt, line 1: x\n  ... and 24 more"
    assert _shown(DataError(bad)) == [f"Error: {bad.splitlines()[0]}", *bad.splitlines()[1:]]
    first, *others = _shown(SettingsError(["imgsz=1 is too small", *bad.splitlines()]))
    assert first.startswith("Error: 2 things")
    assert others[0] == "  - imgsz=1 is too small"
    assert [line.startswith("  - ") for line in others] == [True, True, False, False]
