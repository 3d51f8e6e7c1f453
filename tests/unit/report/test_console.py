"""What is drawn on a terminal and in a log, without one: readable, aligned, rarely, and never in the way of the run."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from peakmark.events import (
    CheckpointSaved,
    EpochEnded,
    EpochStarted,
    Event,
    MicrobatchDone,
    Notice,
    ResumePlanned,
    RunEnded,
    RunStarted,
    SeamJudged,
    StepSkipped,
    TimeMeasured,
    ValidationProgress,
)
from peakmark.nouns.losses import Losses
from peakmark.nouns.resume import ChangePlan, Continuity, PlannedPart
from peakmark.nouns.run import Decision, EpochRecord, Position
from peakmark.nouns.timings import Timings
from peakmark.report.terminal.console import ConsoleObserver
from peakmark.report.terminal.epoch_table import columns_for, header, row
from peakmark.report.terminal.pace import Pace, as_clock

METRICS = {"map50_95": 0.4123, "map50": 0.7, "precision": 0.71, "recall": 0.6}
LOSSES = Losses(1.2345, 2.345, 1.01)


class _Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class _Watched:
    """An observer with the text that it wrote and the clock that it reads."""

    def __init__(self, *, terminal: bool, width: int = 80) -> None:
        self.file = io.StringIO()
        self.clock = _Clock()
        console = Console(
            file=self.file, force_terminal=terminal, width=width, force_jupyter=False, color_system=None,
            _environ={"TERM": "xterm"},
        )  # fmt: skip
        self.observer = ConsoleObserver(console, clock=self.clock)

    def tell(self, *events: Event, pause_s: float = 0.0) -> _Watched:
        for event in events:
            self.observer(event)
            self.clock.now += pause_s
        return self

    @property
    def text(self) -> str:
        return self.file.getvalue()


def _started(**changes: Any) -> RunStarted:
    facts: dict[str, Any] = {
        "folder": Path("runs/detect/train"), "model": "yolov8n", "parameters": 3_011_433, "classes": ("RBC", "WBC"),
        "train_images": 205, "val_images": 87, "epochs": 3, "image_size_px": 320, "position": Position(),
        "device": "cpu", "precision": "float32", "threads": 2, "optimizer": "AdamW (auto)",
    }  # fmt: skip
    return RunStarted(**{**facts, **changes})


def _microbatch(done: int, epoch: int = 0, losses: Losses = LOSSES) -> MicrobatchDone:
    return MicrobatchDone(epoch, 3, done, 200, losses, 9, 320, 1_234_567_890)


def _ended(
    epoch: int,
    *,
    best: bool = False,
    metrics: dict[str, float] | None = METRICS,
    skipped: int = 0,
    patience: int | None = None,
) -> EpochEnded:
    record = EpochRecord(
        epoch,
        0,
        1,
        200,
        LOSSES,
        (0.1,),
        metrics=metrics,
        fitness=0.4,
        skipped_steps=skipped,
        train_s=60.0,
        validation_s=5.0,
    )
    return EpochEnded(record, Decision(epoch, best, 0, 0.4, False, False, patience, "fitness is what it is"), 3)


def _run(watched: _Watched, epochs: int = 3) -> _Watched:
    watched.tell(_started(notes=("A note.",)))
    for epoch in range(epochs):
        watched.tell(EpochStarted(epoch, epochs, 200, epoch < 2))
        watched.tell(*(_microbatch(done, epoch) for done in range(16, 201, 16)), pause_s=1.0)
        watched.tell(*(ValidationProgress(epoch, done, 87) for done in range(0, 87, 16)), pause_s=1.0)
        watched.tell(_ended(epoch, best=epoch == 0))
    return watched.tell(
        RunEnded(Path("runs/detect/train"), "finished", Position(), 0, 0.4123, METRICS, "All epochs are done.", True)
    )


def test_a_log_has_plain_lines_only():
    text = _run(_Watched(terminal=False)).text
    assert "\r" not in text
    assert "\x1b" not in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_a_log_has_one_row_an_epoch_under_an_aligned_header():
    lines = _run(_Watched(terminal=False)).text.splitlines()
    start = next(index for index, line in enumerate(lines) if line.lstrip().startswith("epoch "))
    rows = [line for line in lines if line.lstrip()[:3] in ("1/3", "2/3", "3/3")]
    assert len(rows) == 3
    assert rows[0].endswith("best")
    assert not rows[1].endswith("best")
    for title, value in (("mAP50-95", "0.4123"), ("P", "0.7100"), ("time", "1:05")):
        assert lines[start].index(title) + len(title) == rows[0].index(value) + len(value)


def test_a_log_hears_of_a_long_epoch_every_half_minute():
    watched = _Watched(terminal=False).tell(EpochStarted(0, 3, 200, True))
    watched.tell(*[_microbatch(100)] * 1000, pause_s=0.1)
    assert len(watched.text.splitlines()) == 3


def test_a_terminal_is_drawn_ten_times_a_second_at_most():
    watched = _Watched(terminal=True).tell(EpochStarted(0, 3, 200, True))
    watched.tell(*[_microbatch(100)] * 1000, pause_s=0.001)
    assert 9 <= watched.text.count("box") <= 11


@pytest.mark.parametrize("width", [1, 10, 40, 80, 120, 200])
def test_the_live_line_and_the_rows_fit_any_width(width):
    huge = Losses(123456.789, 9e9, float("nan"))
    watched = _Watched(terminal=True, width=width)
    watched.tell(EpochStarted(0, 3, 200, True))
    watched.tell(_microbatch(100), _microbatch(116), _microbatch(132, losses=huge), pause_s=1.0)
    watched.tell(ValidationProgress(0, 10, 87), ValidationProgress(0, 20, 87), pause_s=1.0)
    live = [piece for piece in watched.text.replace("\x1b[2K", "").split("\r") if piece]
    assert live or width == 1
    assert all(len(piece) < max(width, 2) for piece in live)
    _run(watched)


def test_the_live_line_tells_what_a_person_wants_to_know():
    watched = _Watched(terminal=True, width=120).tell(EpochStarted(0, 3, 200, True))
    watched.clock.now = 10.0
    watched.tell(_microbatch(100))
    for fact in ("1/3", "50%", "box 1.234", "10.0 img/s", "1.2 GB", "0:10 left, run 0:50"):
        assert fact in watched.text


def test_the_rate_of_a_resumed_epoch_counts_only_what_was_done_since():
    watched = _Watched(terminal=True, width=120)
    watched.tell(_started(position=Position(epoch=0, images=80)), EpochStarted(0, 3, 200, True))
    watched.clock.now = 10.0
    watched.tell(_microbatch(100))
    assert "2.00 img/s" in watched.text
    assert "going on in epoch 1 after 80 images" in watched.text


@pytest.mark.parametrize(
    ("position", "words"),
    [
        (Position(), "length     3 epochs"),
        (Position(2, 0, "train", 9), "length     3 epochs, going on after epoch 2"),
        (Position(2, 200, "validate", 12), "length     3 epochs, going on at the validation of epoch 3"),
        (Position(3, 0, "train", 12), "length     3 epochs"),
    ],
    ids=["new", "between epochs", "to be validated", "over"],
)
def test_the_start_says_where_a_run_goes_on(position, words):
    assert words in _Watched(terminal=False).tell(_started(position=position)).text.splitlines()


def test_the_header_comes_again_now_and_then():
    watched = _Watched(terminal=False).tell(*(_ended(epoch) for epoch in range(45)))
    assert sum(line.lstrip().startswith("epoch ") for line in watched.text.splitlines()) == 3


def test_what_was_not_validated_has_no_numbers():
    assert "0.4123" not in _Watched(terminal=False).tell(_ended(0, metrics=None)).text


def test_skipped_updates_are_told_with_their_images_and_then_counted():
    watched = _Watched(terminal=False).tell(EpochStarted(0, 3, 200, True))
    files = tuple(f"{name}.jpg" for name in "abcdef")
    watched.tell(*(StepSkipped(0, 16, "the box loss is nan", files, 1) for _ in range(9)), _ended(0, skipped=9))
    assert watched.text.count("the box loss is nan") == 3
    assert "a.jpg, b.jpg, c.jpg, d.jpg and 2 more" in watched.text
    assert "9 updates of epoch 1 skipped" in watched.text


def test_only_kept_epochs_are_told_of_all_saves():
    watched = _Watched(terminal=False)
    watched.tell(CheckpointSaved(("last.pt", "best.pt"), Position(), 9))
    assert watched.text == ""
    assert "epoch3.pt" in watched.tell(CheckpointSaved(("last.pt", "epoch3.pt"), Position(), 9)).text


def test_the_end_names_the_best_epoch_its_numbers_and_their_protocol():
    text = _run(_Watched(terminal=False)).text
    assert "epoch 1: mAP50-95 0.4123, mAP50 0.7000, P 0.7100, R 0.6000 (COCO protocol)" in text
    assert "runs/detect/train/weights/best.pt" in text


def test_the_end_says_how_sure_the_best_epoch_is_where_that_is_known():
    ended = RunEnded(Path("runs"), "finished", Position(), 0, 0.4, METRICS, "Done.", False, "Fitness 0.4 ± 0.01.")
    assert "how sure   Fitness 0.4 ± 0.01." in _Watched(terminal=False).tell(ended).text
    assert "how sure" not in _Watched(terminal=False).tell(dataclasses.replace(ended, how_sure="")).text


def test_a_best_that_is_gone_is_not_named_as_a_file_to_use():
    folder = Path("runs/detect/train")
    ended = RunEnded(folder, "finished", Position(), 0, 0.4, METRICS, "Done.", False, best_is_gone=True)
    text = " ".join(_Watched(terminal=False).tell(ended).text.split())
    assert f"weights {folder / 'weights' / 'last.pt'} (best.pt, of that epoch, isn't there)" in text
    assert str(folder / "weights" / "best.pt") not in text
    assert "use it" not in text
    best = folder / "weights" / "best.pt"
    there = _Watched(terminal=False).tell(dataclasses.replace(ended, best_is_gone=False, recommended=best)).text
    assert there.count(str(folder / "weights" / "best.pt")) == 2, "as the weights, and in the command that uses them"


def test_the_end_says_how_a_small_file_to_ship_is_made():
    ended = RunEnded(Path("runs"), "finished", Position(), 0, 0.4, METRICS, "Done.", False, shipping="strip it")
    assert "to ship    strip it" in _Watched(terminal=False).tell(ended).text
    assert "to ship" not in _Watched(terminal=False).tell(dataclasses.replace(ended, shipping="")).text


def test_the_end_without_a_best_epoch_says_so():
    ended = RunEnded(Path("runs"), "interrupted", Position(), None, None, None, "Stopped by Ctrl-C.", False)
    text = _Watched(terminal=False).tell(ended).text
    assert "no epoch was validated, so none is best" in text
    assert "best.pt" not in text


def test_closing_mosaic_is_told_once():
    assert _run(_Watched(terminal=False)).text.count("Mosaic is closed from epoch 3 on.") == 1


class _Gone(io.StringIO):
    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, text: str) -> int:
        raise self.error


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), OSError(28, "No space left on device")])
def test_who_watches_may_leave_and_the_run_goes_on(error):
    watched = _Watched(terminal=False)
    part = PlannedPart("weights", "changed", "why")
    for event in (ResumePlanned(Path("run"), ChangePlan((), (part,), ()), Position()), SeamJudged(_BROKEN, 2)):
        watched.observer = ConsoleObserver(Console(file=_Gone(error), width=80))
        watched.tell(event)
    _run(watched)


_BROKEN = Continuity("broken", "Broken: box of epoch 3 is 9.")


def test_a_verdict_clears_the_live_line_first():
    watched = _Watched(terminal=True).tell(EpochStarted(0, 3, 200, True), _microbatch(16), SeamJudged(_BROKEN, 2))
    assert "\r\x1b[2KBroken: box" in watched.text


@pytest.mark.parametrize(("outcome", "word"), [("paused", "Paused, because"), ("broken", "Stopped, because")])
def test_a_run_that_broke_says_so_at_its_end(outcome, word):
    ended = RunEnded(Path("runs"), outcome, Position(), 0, 0.4, METRICS, "Resume with: peakmark resume runs", False)
    text = _Watched(terminal=False).tell(ended).text
    assert word in text
    assert "use it" not in text


def test_a_terminal_that_speaks_ascii_gets_question_marks():
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii", write_through=True)
    observer = ConsoleObserver(Console(file=file, force_terminal=True, width=120, _environ={"TERM": "xterm"}))
    observer(_started(classes=("κύτταρο",)))
    observer(EpochStarted(0, 3, 200, True))
    observer(_microbatch(100))
    assert b"???" in raw.getvalue()


def test_leaving_the_with_block_clears_the_live_line():
    watched = _Watched(terminal=True)
    with watched.observer:
        watched.tell(EpochStarted(0, 3, 200, True), _microbatch(16))
    assert watched.text.endswith("\r\x1b[2K")


def test_a_notice_keeps_its_brackets():
    assert "Note: [bold]x[/bold] [0,1]" in _Watched(terminal=False).tell(Notice("[bold]x[/bold] [0,1]")).text


def test_columns_are_left_out_until_the_rest_fits():
    for width in range(140):
        columns = columns_for(width)
        assert columns[0] == "epoch"
        assert len(header(columns)) <= max(width, 9)
    assert "mAP50-95" in columns_for(40)
    assert "val box" in columns_for(119)
    assert "val box" not in columns_for(79)
    assert len(row(_ended(9).record, 100, True, columns_for(79))) <= 79


def test_pace_foresees_epochs_by_the_last_whole_one():
    pace = Pace()
    pace.start(0.0, 0)
    assert pace.images_per_s(0.0, 0) is None
    assert pace.left_in_run_s(10.0, 100, 200, 2) == pytest.approx(50.0)
    pace.last_epoch_s = 30.0
    assert pace.left_in_run_s(10.0, 100, 200, 2) == pytest.approx(70.0)


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0, "0:00"), (59.6, "1:00"), (750, "12:30"), (11100, "3:05:00")]
)
def test_spans_are_written_as_people_read_them(seconds, text):
    assert as_clock(seconds) == text


@pytest.mark.parametrize("terminal", [True, False])
def test_each_epoch_says_why_it_is_or_is_not_the_best(terminal: bool):
    watched = _Watched(terminal=terminal).tell(_started(), _ended(0, best=True), _ended(1))
    lines = watched.text.splitlines()
    rows = [number for number, line in enumerate(lines) if line.split()[:1] in (["1/3"], ["2/3"])]
    assert len(rows) == 2
    assert [lines[row + 1].strip() for row in rows] == ["fitness is what it is"] * 2


def test_a_run_that_validates_nothing_has_no_reasons():
    unjudged = _ended(0, metrics=None)
    unjudged = dataclasses.replace(unjudged, decision=dataclasses.replace(unjudged.decision, best_epoch=None))
    assert "what it is" not in _Watched(terminal=False).tell(_started(), unjudged).text


def test_the_patience_that_is_left_counts_down_beside_the_live_line():
    watched = _Watched(terminal=True, width=140).tell(_started(), EpochStarted(0, 3, 200, False))
    watched.tell(_microbatch(16), _ended(0, patience=5), EpochStarted(1, 3, 200, False), pause_s=1.0)
    assert "patience" not in watched.text
    watched.tell(_microbatch(16, 1), pause_s=1.0)
    assert "patience 5" in watched.text
    watched.tell(_ended(1, patience=4), EpochStarted(2, 3, 200, False), _microbatch(16, 2), pause_s=1.0)
    assert "patience 4" in watched.text


def test_where_the_time_went_is_a_line_a_stage_with_the_advice_below():
    timings = Timings({"loading": 1.0, "forward": 3.0, "other": 0.0}, images=200, microbatches=10, updates=5)
    lines = _Watched(terminal=False).tell(TimeMeasured("5 steps", timings, ("Take cache=ram.",))).text.splitlines()
    assert "Where the time went (5 steps, 200 images, 50.0 images/s):" in lines
    assert "  loading        5.00 ms an image   25% #####" in lines
    assert "  forward       15.00 ms an image   75% ###############" in lines
    assert "  other          0.00 ms an image    0%" in lines
    assert "Note: Take cache=ram." in lines
