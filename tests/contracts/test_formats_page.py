"""Does the page on exporting list the formats that there are?"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from formats import PAGE, page_with, table


def test_the_table_of_formats_is_made_from_the_registry():
    assert PAGE.read_text(encoding="utf-8") == page_with(table()), "run: python tools/formats.py --write"
