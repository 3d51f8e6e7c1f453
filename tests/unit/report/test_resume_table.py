"""A resume is read beforehand and judged afterwards: whole at any width, short where there is little to say."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from peakmark.events import ResumePlanned, SeamJudged
from peakmark.nouns.resume import Cause, ChangePlan, Continuity, PlannedPart
from peakmark.nouns.run import Position
from peakmark.report.terminal.console import ConsoleObserver
from peakmark.report.terminal.resume_table import print_causes, print_continuity, print_plan

POSITION = Position(16, 96, "train", 400)
WEIGHTS = PlannedPart("weights", "carried over", "raw weights and batch-norm statistics, bit for bit")
RATE = PlannedPart(
    "learning rate", "changed", "0.00101 -> 0.0101 in the next epoch, times 10 (schedule=stretch)",
    "the losses may rise above all that was reached", dangerous=True,
)  # fmt: skip
OPTIMIZER = PlannedPart("optimizer", "re-initialised", "SGD -> AdamW [0]: new moments", "losses within 0.1")
REFUSED = PlannedPart("weights", "refused", "start anew: peakmark train pretrained=runs/" + "deep/" * 12 + "last.pt")
SAME = ChangePlan((), (WEIGHTS,), ())
CHANGED = ChangePlan(
    ("lr0: 0.001 -> 0.01", "optimizer: SGD -> AdamW"), (WEIGHTS, OPTIMIZER, RATE, REFUSED), ("settings were changed",)
)
CAUSES = (
    Cause("optimizer state missing", "exp_avg of 63 of 63 tensors is 0", "resume from epoch10.pt", 0.97),
    Cause("rate jump", "0.00101 to 0.0101", "repeat it with lr0=0.001", 0.4),
)
BROKEN = Continuity("broken", "Broken: map50_95 of epoch 18 is 0.301, where 0.42 was expected.", (), CAUSES)


class Screen:
    def __init__(self, width: int, *, terminal: bool = True, colours: bool = False) -> None:
        self.file = io.StringIO()
        self.console = Console(
            file=self.file, width=width, force_terminal=terminal, force_jupyter=False, _environ={"TERM": "xterm"},
            color_system="standard" if colours else None,
        )  # fmt: skip

    @property
    def lines(self) -> list[str]:
        return re.sub(r"\x1b\[[0-9;]*m", "", self.file.getvalue()).splitlines()


def letters(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize("width", [20, 40, 60, 71, 72, 80, 95, 96, 100, 140])
def test_nothing_is_cut_at_any_width(width):
    screen = Screen(width)
    print_plan(screen.console, CHANGED, POSITION)
    print_continuity(screen.console, BROKEN)
    assert all(len(line) <= width for line in screen.lines)
    shown = letters("".join(screen.lines))
    words = [*CHANGED.changes, *CHANGED.inexact, BROKEN.text]
    words += [word for part in CHANGED.parts for word in (part.part, part.fate)]
    words += [word for cause in CAUSES for word in (cause.name, cause.evidence, cause.remedy)]
    if width < 72:
        words += [words for part in CHANGED.parts for words in (part.why, part.moves)]
        assert all(letters(word) in shown for word in words)
    else:
        # Side by side, the lines of two columns mix.
        column = [line.split("  ")[-1].strip() for line in screen.lines]
        words += [word for part in CHANGED.parts for word in f"{part.why} {part.moves}".split()]
        assert all(letters(word) in shown or letters(word) in letters("".join(column)) for word in words)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_jump_is_marked_and_explained(width):
    screen = Screen(width, colours=True)
    print_plan(screen.console, CHANGED, POSITION)
    marked = [line for line in screen.lines if line.startswith("!")]
    assert len(marked) == 2
    assert "learning rate" in marked[0]
    assert "dangerous" in marked[1]
    assert "\x1b[1;31m" in screen.file.getvalue()
    calm = Screen(width, colours=True)
    print_plan(calm.console, replace(CHANGED, parts=(WEIGHTS, OPTIMIZER)), POSITION)
    assert "!" not in calm.file.getvalue()
    assert "31m" not in calm.file.getvalue()


def test_nothing_changed_is_one_line():
    screen = Screen(100)
    print_plan(screen.console, SAME, POSITION)
    words = "Resume in epoch 17 after 96 images: nothing is changed, bit for bit the run without the stop"
    assert [line.strip() for line in screen.lines] == [words]


def test_what_is_no_longer_exact_is_said():
    screen = Screen(100)
    print_plan(screen.console, replace(SAME, inexact=("torch 2.12 -> 2.13", "another device")), POSITION)
    assert "nothing is changed" in screen.lines[0]
    assert screen.lines[1].strip() == "Not bit for bit the run without the stop: torch 2.12 -> 2.13; another device"
    assert screen.file.getvalue().lower().count("bit for bit") == 1


def test_changes_that_don_t_bear_on_the_result_leave_it_exact():
    screen = Screen(100)
    files = PlannedPart("machine and files", "changed", "workers: 2 -> 4: the result stays the same")
    print_plan(screen.console, ChangePlan(("workers: 2 -> 4",), (WEIGHTS, files), ()), POSITION)
    assert screen.lines[-1].strip() == "Bit for bit the run without the stop"


def test_a_part_that_has_to_change_is_shown_though_no_setting_was():
    screen = Screen(100)
    device = PlannedPart("device", "changed", "cuda:0 -> cpu")
    print_plan(screen.console, ChangePlan((), (WEIGHTS, device), ("cpu rounds differently",)), POSITION)
    assert "cuda:0 -> cpu" in screen.file.getvalue()
    assert "nothing is changed" not in screen.file.getvalue()
    found = PlannedPart("optimizer state missing", "carried over", "all zero", "the run may break", dangerous=True)
    screen = Screen(100)
    print_plan(screen.console, ChangePlan((), (WEIGHTS, found), ()), POSITION)
    assert any(line.startswith("!  optimizer state") for line in screen.lines)


@pytest.mark.parametrize(
    ("position", "words"),
    [
        (Position(0, 0), "at the start of epoch 1"),
        (Position(5, 0), "after epoch 5"),
        (Position(4, 12_345), "in epoch 5 after 12,345 images"),
        (Position(4, 200, "validate"), "at the validation of epoch 5"),
    ],
)
def test_where_a_run_goes_on(position, words):
    screen = Screen(100)
    print_plan(screen.console, SAME, position)
    assert screen.lines[0].startswith(f"Resume {words}:")


def test_a_log_has_a_line_a_part_and_a_sentence_in_one_line():
    screen = Screen(40, terminal=False)
    print_plan(screen.console, CHANGED, POSITION)
    print_continuity(screen.console, BROKEN)
    assert (
        "! learning rate: changed; 0.00101 -> 0.0101 in the next epoch, times 10 (schedule=stretch); first epochs: the"
        " losses may rise above all that was reached"
    ) in screen.lines
    assert f"  weights: refused; {REFUSED.why}" in screen.lines
    assert BROKEN.text in screen.lines
    assert all(line == line.rstrip() for line in screen.lines)


def test_causes_are_ranked_with_what_speaks_for_them_and_what_to_do():
    screen = Screen(100, terminal=False)
    print_causes(screen.console, CAUSES)
    assert screen.lines == [
        "1. optimizer state missing (certainty 97%)",
        "   evidence: exp_avg of 63 of 63 tensors is 0",
        "   remedy: resume from epoch10.pt",
        "2. rate jump (certainty 40%)",
        "   evidence: 0.00101 to 0.0101",
        "   remedy: repeat it with lr0=0.001",
    ]
    screen = Screen(100, terminal=False)
    print_causes(screen.console, ())
    assert screen.lines == ["No cause was found."]


@pytest.mark.parametrize(
    ("kind", "style"), [("continuous", "2m"), ("too early", "2m"), ("drifting", "33m"), ("broken", "1;31m")]
)
def test_a_verdict_is_its_sentence_where_no_cause_was_looked_for_or_found(kind, style):
    screen = Screen(100, colours=True)
    print_continuity(screen.console, Continuity(kind, "Epochs 17 to 19 follow."))
    assert [line.strip() for line in screen.lines] == ["Epochs 17 to 19 follow."]
    assert f"\x1b[{style}" in screen.file.getvalue()


def test_who_watches_a_run_sees_the_same_as_who_asks():
    asked, watching = Screen(80), Screen(80)
    print_plan(asked.console, CHANGED, POSITION)
    print_continuity(asked.console, BROKEN)
    observer = ConsoleObserver(watching.console)
    observer(ResumePlanned(Path("run"), CHANGED, POSITION))
    observer(SeamJudged(BROKEN, 17))
    assert watching.file.getvalue() == asked.file.getvalue()


def test_a_terminal_that_speaks_ascii_gets_question_marks():
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    console = Console(file=file, force_terminal=True, width=100, _environ={"TERM": "xterm"})
    print_plan(console, replace(CHANGED, changes=("data: κύτταρο.yaml -> b.yaml",)), POSITION)
    print_plan(console, ChangePlan((), (replace(RATE, why="κύτταρο"),), ()), POSITION)
    assert raw.getvalue().count(b"???????") == 2
