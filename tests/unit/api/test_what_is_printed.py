"""What functions of the package give back is printed in a few lines, however much it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peakmark.api.audit import Audit
from peakmark.api.select import Selection
from peakmark.data.audit.findings import Example, finding
from peakmark.nouns.run import Position
from peakmark.record.comparison import Comparison
from peakmark.resume.replay import Replayed

MANY: Any = tuple("something of which there are many" for _ in range(200))


def test_long_lists_are_counted_or_left_out():
    cases = [Example(f"images/{number}.jpg") for number in range(200)]
    found = finding("duplicate", "high", "200 images are twice there.", "Remove them.", cases)
    told = (
        Selection(Path("a"), "map50", "map50_95", MANY, 1, None, False, "what was done"),
        Comparison("text", True, "map50", "words", "protocol", 3, MANY, MANY, MANY, MANY, MANY, ()),
        Audit("data.yaml", {"train": 3}, {"train": 3}, {"train": "0" * 64}, (found,) * 5, Path("runs/audit")),
        Replayed(Path("a"), Position(), Position(), 200, True, "a file", None, MANY, ()),
        found,
    )
    for thing in told:
        assert len(repr(thing)) < 1500, type(thing)
        assert type(thing).__name__ in repr(thing)
    assert "count=200" in repr(found)
