"""What does a person see while a run goes on? A live line on a terminal, plain lines in a log, a row per epoch in both.

It must not know how a run works: it is told events and draws them. It must never slow a step or end a run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType

from rich.console import Console
from rich.control import Control
from rich.segment import ControlType
from rich.text import Text

from peakmark.events import (
    CheckpointSaved,
    EpochEnded,
    EpochStarted,
    Event,
    MicrobatchDone,
    Notice,
    Progress,
    ResumePlanned,
    RunEnded,
    RunStarted,
    SeamJudged,
    StepSkipped,
    TimeMeasured,
    ValidationProgress,
)
from peakmark.machine.notebook import in_notebook
from peakmark.nouns.losses import Losses
from peakmark.nouns.outcome import OVER
from peakmark.nouns.run import Position
from peakmark.report.position import position_in_words
from peakmark.report.terminal.cell import cell_console
from peakmark.report.terminal.epoch_table import columns_for, header, row
from peakmark.report.terminal.pace import Pace, as_clock
from peakmark.report.terminal.resume_table import print_continuity, print_plan
from peakmark.report.terminal.terminal import Terminal
from peakmark.report.terminal.time_table import time_table

_LIVE_PAUSE_S = 0.1
"""Drawing faster than a person reads costs time that belongs to the steps."""
_CELL_PAUSE_S = 0.5
"""In a notebook all lines are sent again each time, maybe over a slow network."""
_LOG_PAUSE_S = 30.0
_ROWS_PER_HEADER = 20
_BAR_CHARACTERS = 10
_ROOMY = 100
"""Characters from which the live line has room for a bar and a third digit."""
_SKIPS_TOLD = 3
"""Skipped updates of an epoch that are told one by one; where there are more, the row gives their number."""
_ALWAYS_WRITTEN = {"last.pt", "best.pt"}
_OUTCOMES = {
    "finished": "Finished",
    "early_stopped": "Stopped early",
    "interrupted": "Interrupted",
    "out_of_time": "Out of time",
    "not_finite": "Ended, because the updates were no longer finite",
    "paused": "Paused, because the epochs after the resume don't follow from those before",
    "broken": "Stopped, because the epochs after the resume don't follow from those before",
}


class ConsoleObserver:
    """Draws the events of a run. Used in a `with`, it leaves a clean line behind whatever happens.

    Without a console it draws on the terminal, or in the cell of a notebook, in one output of it.
    """

    def __init__(self, console: Console | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        in_cell = console is None and in_notebook()
        self._console = console or (cell_console() if in_cell else Terminal())
        self._clock = clock
        self._live = self._console.is_terminal and not self._console.is_dumb_terminal and not self._console.is_jupyter
        self._live_pause_s = _CELL_PAUSE_S if in_cell else _LIVE_PAUSE_S
        self._line_is_drawn = False
        self._watcher_left = False
        self._next_draw_at = 0.0
        self._pace = Pace()
        self._validating = False
        self._doing = ""
        self._mosaic: bool | None = None
        self._rows = 0
        self._epochs = 0
        self._images_before = 0
        self._skips_told = 0
        self._patience_left: int | None = None

    def __enter__(self) -> ConsoleObserver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._clear_line()

    def __call__(self, event: Event) -> None:
        """Draws one event, or leaves it out because the last drawing is too fresh."""
        match event:
            case MicrobatchDone():
                self._microbatch(event)
            case ValidationProgress():
                self._validation(event)
            case RunStarted():
                self._run_started(event)
            case EpochStarted():
                self._epoch_started(event)
            case EpochEnded():
                self._epoch_ended(event)
            case StepSkipped():
                self._step_skipped(event)
            case CheckpointSaved():
                self._checkpoint_saved(event)
            case ResumePlanned():
                self._block(lambda console: print_plan(console, event.plan, event.position))
            case SeamJudged():
                self._block(lambda console: print_continuity(console, event.verdict))
            case Notice():
                self._note(event.text, serious=event.serious)
            case Progress():
                self._progress(event)
            case TimeMeasured():
                self._time_measured(event)
            case RunEnded():
                self._run_ended(event)

    # --- the run ----------------------------------------------------------------------------------------------------

    def _run_started(self, event: RunStarted) -> None:
        position = event.position
        self._images_before = position.images
        shown = ", ".join(event.classes[:8]) + (", ..." if len(event.classes) > 8 else "")
        self._print()
        self._fact("folder", str(event.folder))
        self._fact("model", f"{event.model}, {event.parameters:,} parameters")
        self._fact("classes", f"{len(event.classes)}: {shown}")
        validated = f"{event.val_images:,} to validate" if event.val_images else "none to validate"
        self._fact("images", f"{event.train_images:,} to train, {validated}, {event.image_size_px} px")
        for split, contents in (("train", event.train_contents), ("val", event.val_contents)):
            if contents is not None:
                self._fact(split, str(contents))
        self._fact("machine", f"{event.device}, {event.precision}, {_counted(event.threads, 'thread')}")
        self._fact("optimizer", event.optimizer)
        if event.kept:
            self._fact("kept", event.kept)
        goes_on = position != Position() and position.epoch < event.epochs
        start = f", going on {position_in_words(position)}" if goes_on else ""
        self._fact("length", _counted(event.epochs, "epoch") + start)
        for note in event.notes:
            self._note(note)
        self._print()

    def _run_ended(self, event: RunEnded) -> None:
        colour = "green" if event.outcome in OVER else "yellow"
        self._print()
        # What was not finite is raised as an error as well, and would be read twice.
        text = "" if event.outcome == "not_finite" else event.text
        self._print(f"{_OUTCOMES[event.outcome]}. ", style=f"bold {colour}", then=text, words=True)
        if event.best_epoch is not None:
            self._fact("best", _best_in_words(event.best_epoch, event.best_metrics or {}))
            if event.how_sure:
                self._fact("how sure", event.how_sure)
            if event.averaging:
                self._fact("average", event.averaging)
            if event.best_is_gone:
                self._fact("weights", f"{event.folder / 'weights' / 'last.pt'} (best.pt, of that epoch, isn't there)")
            else:
                self._fact("weights", str(event.folder / "weights" / "best.pt"))
            if event.shipping:
                self._fact("to ship", event.shipping)
        else:
            self._fact("weights", f"{event.folder / 'weights' / 'last.pt'} (no epoch was validated, so none is best)")
        if event.weights_bytes:
            self._fact("on disk", f"{event.weights_bytes / 1e6:,.0f} MB of weights")
        if event.pictures:
            self._fact("pictures", f"{event.folder} (report.html shows them all)")
        self._fact("numbers", f"{event.folder / 'results.csv'}")
        if event.recommended is not None:
            self._fact("use it", f"peakmark predict model={event.recommended} source=IMAGES save=True")

    # --- an epoch ---------------------------------------------------------------------------------------------------

    def _epoch_started(self, event: EpochStarted) -> None:
        self._epochs = event.epochs
        self._pace.start(self._clock(), self._images_before)
        self._validating = False
        self._skips_told = 0
        if self._mosaic and not event.mosaic:
            self._note(f"Mosaic is closed from epoch {event.epoch + 1} on.")
        self._mosaic = event.mosaic
        # In a log the first line of an epoch comes after a pause, so that short epochs are one line each.
        self._next_draw_at = self._clock() + (0.0 if self._live else _LOG_PAUSE_S)

    def _microbatch(self, event: MicrobatchDone) -> None:
        now = self._clock()
        if now < self._next_draw_at:
            return
        done, images = event.images_done, event.images
        rate = self._pace.images_per_s(now, done)
        epochs_after = event.epochs - event.epoch - 1
        left_s = self._pace.left_in_epoch_s(now, done, images)
        run_left_s = self._pace.left_in_run_s(now, done, images, epochs_after)
        self._draw(
            now,
            f"{event.epoch + 1}/{event.epochs} {self._bar(done, images)}{_percent(done, images)}",
            self._losses(event.losses),
            "" if rate is None else f"{_three_digits(rate)} img/s",
            f"{event.memory_bytes / 1e9:.1f} GB" if event.memory_bytes else "",
            f"{as_clock(left_s)} left, run {as_clock(run_left_s)}",
            "" if self._patience_left is None else f"patience {self._patience_left}",
        )

    def _validation(self, event: ValidationProgress) -> None:
        now = self._clock()
        if not self._validating:
            self._validating = True
            self._pace.start(now, event.images_done)
        if now < self._next_draw_at:
            return
        rate = self._pace.images_per_s(now, event.images_done)
        left_s = self._pace.left_in_epoch_s(now, event.images_done, event.images)
        of_epochs = f"{event.epoch + 1}/{self._epochs} " if self._epochs else ""
        self._draw(
            now,
            f"{of_epochs}{self._bar(event.images_done, event.images)}{_percent(event.images_done, event.images)}",
            "validating",
            "" if rate is None else f"{_three_digits(rate)} img/s",
            "",
            "" if left_s is None else f"{as_clock(left_s)} left",
            "",
        )

    def _progress(self, event: Progress) -> None:
        now = self._clock()
        if event.done >= event.of:
            self._clear_line()
            self._next_draw_at = 0.0
            self._doing = ""
        elif event.what != self._doing:
            # Most are over before anybody could read a line of it.
            self._doing = event.what
            self._next_draw_at = now + (self._live_pause_s if self._live else _LOG_PAUSE_S)
        elif now >= self._next_draw_at:
            shown = f"{self._bar(event.done, event.of)}{_percent(event.done, event.of)}"
            self._draw(now, shown, f"{event.what} {event.done:,} of {event.of:,}", "", "", "", "")

    def _epoch_ended(self, event: EpochEnded) -> None:
        record = event.record
        if self._images_before == 0:
            self._pace.last_epoch_s = record.train_s + record.validation_s
        self._images_before = 0
        columns = columns_for(self._console.width - 1 if self._live else None)
        if self._rows % _ROWS_PER_HEADER == 0:
            self._print(header(columns), style="bold")
        self._rows += 1
        self._print(
            row(record, event.epochs, event.decision.is_best, columns), style="green" if event.decision.is_best else ""
        )
        if record.metrics is not None or event.decision.best_epoch is not None:
            self._print(f"{'':9}{event.decision.reason}", style="dim")
        self._patience_left = event.decision.patience_left
        if record.skipped_steps > _SKIPS_TOLD:
            self._note(f"{_counted(record.skipped_steps, 'update')} of epoch {record.epoch + 1} skipped: not finite.")

    def _step_skipped(self, event: StepSkipped) -> None:
        self._skips_told += 1
        if self._skips_told > _SKIPS_TOLD:
            return
        files = ", ".join(event.files[:4]) + (f" and {len(event.files) - 4} more" if len(event.files) > 4 else "")
        in_a_row = f" ({event.in_a_row} in a row)" if event.in_a_row > 1 else ""
        self._note(
            f"Update skipped{in_a_row} in epoch {event.epoch + 1} after {event.images_done:,} images: {event.what}. "
            f"Nothing was harmed. Images: {files}",
            serious=True,
        )

    def _checkpoint_saved(self, event: CheckpointSaved) -> None:
        # last.pt and the best ones are written all the time, and the row says which epoch is best.
        kept = [name for name in event.files if name not in _ALWAYS_WRITTEN and not name.startswith("best_epoch")]
        if kept:
            self._print(f"  kept {', '.join(kept)}", style="dim")

    def _time_measured(self, event: TimeMeasured) -> None:
        for line in time_table(event):
            self._print(line)
        for sentence in event.advice:
            self._note(sentence)

    # --- drawing ----------------------------------------------------------------------------------------------------

    def _draw(self, now: float, position: str, doing: str, rate: str, memory: str, left: str, patience: str) -> None:
        """Draws the live line, or writes a line into the log, and sets when the next may come."""
        self._next_draw_at = now + (self._live_pause_s if self._live else _LOG_PAUSE_S)
        if not self._live:
            self._print("  ".join(part for part in (position, doing, rate, memory, left, patience) if part))
            return
        width = self._console.width - 1  # A character in the last column makes some terminals begin a new line.
        for parts in (
            (position, doing, rate, memory, left, patience),
            (position, doing, rate, left, patience),
            (position, doing, rate, left),
            (position, doing, left),
        ):
            line = "  ".join(part for part in parts if part)
            if len(line) <= width:
                break
        self._clear_line()
        self._put(Text(self._encodable(line[:width])))
        self._line_is_drawn = True

    def _bar(self, done: int, whole: int) -> str:
        if not self._live or self._console.width < _ROOMY or not whole:
            return ""
        full = min(_BAR_CHARACTERS, _BAR_CHARACTERS * done // whole)
        return self._encodable("█" * full + "░" * (_BAR_CHARACTERS - full)) + " "

    def _losses(self, losses: Losses) -> str:
        digits = 2 if self._live and self._console.width < _ROOMY else 3
        return " ".join(f"{term} {value:.{digits}f}" for term, value in losses.items())

    def _note(self, text: str, *, serious: bool = False) -> None:
        label = "Warning" if serious else "Note"
        self._print(f"{label}: ", style="bold red" if serious else "bold yellow", then=text, words=True)

    def _fact(self, name: str, text: str) -> None:
        self._print(f"{name:<11}", style="cyan", then=text)

    def _print(self, text: str = "", *, style: str = "", then: str = "", words: bool = False) -> None:
        """Prints a line: `text` in a style, `then` without one; on a terminal `words` are not cut in two.

        Anything else stays one line for whoever copies it: a path with a line break in it can't be used.
        """
        self._clear_line()
        line = Text.assemble((self._encodable(text), style), self._encodable(then))
        self._put(line, end="\n", soft_wrap=not (words and self._live))

    def _clear_line(self) -> None:
        if self._line_is_drawn:
            self._line_is_drawn = False
            self._put(Control((ControlType.CARRIAGE_RETURN,), (ControlType.ERASE_IN_LINE, 2)))

    def _put(self, what: Text | Control, *, end: str = "", soft_wrap: bool = True) -> None:
        if isinstance(what, Control):
            self._safely(lambda: self._console.control(what))
        else:
            self._safely(lambda: self._console.print(what, end=end, soft_wrap=soft_wrap, highlight=False))

    def _block(self, draw: Callable[[Console], None]) -> None:
        """Draws something of several lines."""
        self._clear_line()
        self._safely(lambda: draw(self._console))

    def _safely(self, draw: Callable[[], None]) -> None:
        if self._watcher_left:
            return
        try:
            draw()
        except (OSError, SystemExit):
            # `peakmark train | head`, a terminal that was closed: who watches may leave, the run goes on. Rich answers
            # a broken pipe with SystemExit.
            self._watcher_left = True

    def _encodable(self, text: str) -> str:
        # A class name in Greek would end the run on a terminal that speaks ASCII.
        encoding = self._console.encoding
        return text.encode(encoding, errors="replace").decode(encoding)


def _percent(done: int, whole: int) -> str:
    return f"{100 * done // whole}%" if whole else "0%"


def _three_digits(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _best_in_words(epoch: int, metrics: Mapping[str, float]) -> str:
    named = (("mAP50-95", "map50_95"), ("mAP50", "map50"), ("P", "precision"), ("R", "recall"))
    numbers = ", ".join(f"{name} {metrics[key]:.4f}" for name, key in named if key in metrics)
    return f"epoch {epoch + 1}: {numbers} (COCO protocol)"
