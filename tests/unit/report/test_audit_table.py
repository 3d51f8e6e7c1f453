"""Is an audit read at a glance, and are its sentences whole where they are searched?"""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console

from peakmark.data.audit.findings import Example, Finding, finding
from peakmark.report.terminal.audit_table import print_audit


def printed(findings: Sequence[Finding]) -> list[str]:
    out = io.StringIO()
    print_audit(Console(file=out, width=80), findings, {"train": 1, "val": 1200}, {"train": 1, "val": 4000})
    return out.getvalue().splitlines()


def test_findings_come_with_figures_examples_and_remedy_and_a_table_last():
    path = "/a/very/long/path" * 8
    many = finding("bad label line", "high", f"train: 9 lines in {path}.", "Fix [them].", map(Example, "abcdefghi"))
    lines = printed([many, finding("few objects", "low", "Few.", "Label more.", [Example("x")], 1)])
    assert lines[0] == "train 1 image, 1 object   val 1,200 images, 4,000 objects"
    assert f"  train: 9 lines in {path}." in lines
    assert [line.strip() for line in lines[4:9]] == ["a", "b", "c", "and 6 more", "Fix [them]."]
    assert lines[-3].split() == ["high", "bad", "label", "line", "9"]
    assert lines[-2].split() == ["low", "few", "objects", "1"]
    assert lines[-1] == "2 findings: 1 high, 1 low."


def test_nothing_found_is_said():
    assert printed([])[-1] == "Nothing found."
