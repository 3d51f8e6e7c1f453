"""How does a run go? Epoch by epoch: train, validate, decide, save; from any position on, and stoppable at any window.

The loop owns no policy, no file format and no builder: what is best is `selection`'s word, what is written is the
keeper's, and everything that it uses is handed to it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from peakmark.checkpoint.digest import digest
from peakmark.data.loader import Microbatch
from peakmark.distributed.packing import pack, unpack
from peakmark.distributed.processes import ALONE, Processes, share
from peakmark.errors import TrainingError
from peakmark.events import BatchShown, EpochEnded, EpochStarted, MicrobatchDone, Notice, Observer, StepSkipped
from peakmark.machine.stopping import StopReason
from peakmark.model.detector import tensors_of
from peakmark.nouns.batch import Batch
from peakmark.nouns.outcome import Outcome
from peakmark.nouns.run import Decision, EpochRecord, History, Position, Segment
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import Recipe, first_closed_epoch, mosaic_is_open_in, recipe_of
from peakmark.state.segments import closing_segment
from peakmark.state.state import OpenEpoch, RunState
from peakmark.train.readings import Computed
from peakmark.train.schedule import rates
from peakmark.train.step import Attempt, Stepper
from peakmark.train.stopwatch import NOT_TIMED, Stopwatch
from peakmark.train.windows import Window, epoch_windows
from peakmark.validation.epoch import EpochFigures
from peakmark.validation.validation import ValidationStopped

BATCHES_SHOWN = 3


class Loader(Protocol):
    def __len__(self) -> int: ...
    def batches(self, epoch: int, microbatches: Sequence[Microbatch], *, mosaic_open: bool) -> Iterator[Batch]: ...


class Keeper(Protocol):
    """Puts the state on disk."""

    def keep_epoch(self, state: RunState, decision: Decision) -> None: ...
    def keep_position(self, state: RunState) -> None: ...
    def due(self) -> bool: ...
    def report(self) -> None: ...


class Stop(Protocol):
    @property
    def reason(self) -> StopReason | None: ...
    def requested(self) -> bool: ...


Validate = Callable[[RunState], EpochFigures]
"""Validates the averaged weights. Raises ValidationStopped."""


@dataclasses.dataclass(slots=True)
class Loop:
    """A run, ready to go."""

    state: RunState
    settings: Settings
    loader: Loader
    stepper: Stepper
    validate: Validate | None
    decide: Callable[[History], Decision]
    keeper: Keeper
    stop: Stop
    observe: Observer
    memory_bytes: Callable[[], int]
    clock: Callable[[], float]
    stopwatch: Stopwatch = NOT_TIMED
    new_remarks: Callable[[], Iterable[str]] = tuple
    """What was noticed about images as they were read, since it was last asked; a sentence each."""
    processes: Processes = ALONE
    """Those that go through the same loop, each with its share of every window and validation."""

    def run(self) -> Outcome:
        """Runs until the last epoch, an early stop, or a request to stop; gives which it was.

        Whatever is raised comes out as it is. What was trained is then still to be saved, where the state is `whole`.
        """
        state = self.state
        while state.position.epoch < self.settings.epochs:
            if self._ended_early():
                self._check_that_anything_was_learnt()
                return "early_stopped"
            if state.position.phase == "train" and not self._train_epoch():
                self.keeper.keep_position(state)
                self._tell_remarks()
                return self.stop.reason or "interrupted"
            try:
                decision = self._close_epoch()
            except ValidationStopped:
                self.keeper.keep_position(state)
                self._tell_remarks()
                return self.stop.reason or "interrupted"
            goes_on = not decision.stop and state.position.epoch < self.settings.epochs
            # A break ends the run as broken also where it was the last epoch: called finished, nobody would look.
            reason = self._agreed(self.stop.reason)
            if reason and (goes_on or reason in ("paused", "broken")):
                return reason
        self._check_that_anything_was_learnt()
        return "finished"

    def _agreed(self, reason: StopReason | None) -> StopReason | None:
        """Why the processes stop here, if any of them is to: all have to, or the others would wait for it."""
        if self.processes.size == 1:
            return reason
        reasons: list[StopReason | None] = [
            unpack(packed)[0] for packed in self.processes.gather(pack(reason), "the others to end the epoch")
        ]
        return next((each for each in reasons if each), None)

    def _tell_remarks(self) -> None:
        # Here and not as they are read: by then the state is on its way to the disk, and a damaged set has one line.
        for remark in self.new_remarks():
            self.observe(Notice(remark, serious=True))

    def _check_that_anything_was_learnt(self) -> None:
        """Refuses to call a run finished that made no update: too short for those in a row to have ended it."""
        state = self.state
        if state.position.step > 0 and state.ema_updates == 0:
            half = " Half precision (float16) may not hold these gradients: amp=False." if state.scaler else ""
            raise TrainingError(
                f"Not one of {state.position.step} updates was finite, so nothing was learnt: the weights are those"
                f" that the run began with. Look at the images and their labels, or lower lr0.{half}"
            )

    def _ended_early(self) -> bool:
        """Whether the last epoch was to be the last. Asked of the history, not remembered: a crash may lie between."""
        position, history = self.state.position, self.state.history
        between_epochs = position.phase == "train" and position.images == 0
        return between_epochs and bool(history.records) and self.decide(history).stop

    def _train_epoch(self) -> bool:
        """Trains what is left of the open epoch; False where a stop came first. Ends ready to validate."""
        state, epoch = self.state, self.state.position.epoch
        windows = [w for w in self._windows(epoch) if w.first >= state.position.images]
        is_open = mosaic_is_open_in(self.segment, epoch)
        self.observe(EpochStarted(epoch, self.epochs, len(self.loader), is_open and self.settings.mosaic > 0))
        processes = self.processes
        parts = [part for window in windows for part in share(window.microbatches, processes.rank, processes.size)]
        batches = self.loader.batches(epoch, parts, mosaic_open=is_open)
        try:
            for window in windows:
                if not self._train_window(window, batches):
                    return False
                self.keeper.report()
                if self.keeper.due():
                    with self.stopwatch.stage("saving"):
                        self.keeper.keep_position(state)
        finally:
            getattr(batches, "close", lambda: None)()  # sends the workers home, also when a stop came first
        self._check_that_all_have_the_same()
        state.position = dataclasses.replace(state.position, phase="validate")
        return True

    def _check_that_all_have_the_same(self) -> None:
        """Refuses to go on where a process has other weights: each makes every update, and one machine may do it wrong.

        Nobody knows which is right, so nothing is saved; the last save is of an epoch in which all had the same.
        """
        if self.processes.size == 1:
            return
        own = digest([tensor.detach() for tensor in tensors_of(self.state.model)])
        found = [packed.decode() for packed in self.processes.gather(own.encode(), "the others to end the epoch")]
        others = [rank for rank, each in enumerate(found) if each != found[0]]
        if others:
            self.state.whole = False
            raise TrainingError(
                f"After epoch {self.state.position.epoch + 1} process {others[0]} has other weights than process 0:"
                " from the same gradients it computed another update. Its device is of another kind, or faulty"
                " (peakmark doctor looks into it)."
            )

    def _train_window(self, window: Window, batches: Iterator[Batch]) -> bool:
        state = self.state
        started_s = self.clock()
        attempt = self.stepper.attempt(
            window,
            batches,
            rates(self.settings, self.segment, state.position.epoch, window),
            watch=_Watch(self, window),
            stop_requested=self.stop.requested,
        )
        if attempt.outcome == "stopped":
            return False
        state.position = dataclasses.replace(state.position, images=window.end, step=state.position.step + 1)
        state.open_epoch.train_s += self.clock() - started_s
        self._count(attempt)
        state.whole = True
        self._end_where_updates_keep_failing(attempt)
        self.stopwatch.window_done(len(window.microbatches), window.images)
        return True

    def _count(self, attempt: Attempt) -> None:
        """Adds an attempt to the open epoch's sums."""
        state, epoch = self.state, self.state.open_epoch
        for losses, images in attempt.losses:
            epoch.add(losses, images)
        if attempt.outcome == "updated":
            state.skipped_in_a_row = 0
            return
        epoch.skipped_steps += 1
        state.skipped_steps += 1
        if attempt.overflow:
            return
        state.skipped_in_a_row += 1

    def _end_where_updates_keep_failing(self, attempt: Attempt) -> None:
        state, position = self.state, self.state.position
        if attempt.outcome != "skipped" or attempt.overflow:
            return
        self.observe(StepSkipped(position.epoch, position.images, attempt.what, attempt.files, state.skipped_in_a_row))
        if state.skipped_in_a_row >= self.settings.max_nonfinite:
            raise TrainingError(
                f"{state.skipped_in_a_row} updates in a row were not finite ({attempt.what}, epoch"
                f" {position.epoch + 1}, images {', '.join(attempt.files[:4])}): the run ends here, last.pt holds the"
                " last good state. Look at these images and their labels, or lower lr0."
            )

    def _close_epoch(self) -> Decision:
        """Validates where it is due, writes the epoch's record, decides, saves, and opens the next epoch."""
        state, epoch = self.state, self.state.position.epoch
        started_s = self.clock()
        last = epoch + 1 == self.epochs
        due = self.validate is not None and (last or (epoch + 1) % self.settings.val_period == 0)
        with self.stopwatch.stage("validation"):
            figures = self.validate(state) if self.validate and due else None
        record = EpochRecord(
            epoch=epoch,
            segment=len(state.history.segments) - 1,
            step=state.position.step,
            images=state.position.images,  # fewer than the set has, where other data cut the epoch short
            train=state.open_epoch.losses(),
            lr=tuple(group["lr"] for group in state.optimizer.param_groups),  # of the last update that was made
            metrics=figures.metrics if figures else None,
            per_class=figures.per_class if figures else None,
            validation=figures.losses if figures else None,
            fitness=figures.fitness if figures else None,
            skipped_steps=state.open_epoch.skipped_steps,
            train_s=state.open_epoch.train_s,
            validation_s=self.clock() - started_s,
        )
        history = dataclasses.replace(state.history, records=(*state.history.records, record))
        decision = self.decide(history)
        if decision.close:
            # Before the state is saved: a crash can't come between the decision and what follows from it.
            segments = (*history.segments, closing_segment(self.segment, epoch + 1, self.recipe.close_mosaic))
            history = dataclasses.replace(history, segments=segments)
        # All at once, when nothing can fail any more: an epoch that is half closed would be saved as it is.
        state.history, state.open_epoch = history, OpenEpoch()
        state.position = Position(epoch + 1, 0, "train", state.position.step)
        with self.stopwatch.stage("saving"):
            self.keeper.keep_epoch(state, decision)
        self.observe(EpochEnded(record, decision, self.epochs))
        self._tell_remarks()
        self.stopwatch.epoch_done(last=epoch + 1 >= self.epochs or decision.stop)
        return decision

    def _windows(self, epoch: int) -> tuple[Window, ...]:
        return epoch_windows(self.settings, self.segment, len(self.loader), epoch)

    @property
    def segment(self) -> Segment:
        """The open one."""
        return self.state.history.segments[-1]

    @property
    def recipe(self) -> Recipe:
        """The open segment's."""
        return recipe_of(self.segment)

    @property
    def epochs(self) -> int:
        """How many the run has, as far as is known by now."""
        return self.segment.until or self.settings.epochs

    def shown(self, first: int, count: int) -> Batch:
        """Makes a batch of the open epoch again, for a picture: another process may have had it."""
        epoch = self.state.position.epoch
        is_open = mosaic_is_open_in(self.segment, epoch)
        return next(self.loader.batches(epoch, [Microbatch(first, count)], mosaic_open=is_open))


class _Watch:
    """Tells the observer of each microbatch of a window, with the epoch's running means."""

    def __init__(self, loop: Loop, window: Window) -> None:
        self._loop = loop
        self._sums = dataclasses.replace(loop.state.open_epoch)
        self._done = window.first
        self._epoch = loop.state.position.epoch

    def __call__(self, computed: Computed, batch: Batch | None) -> None:
        loop, sums, count = self._loop, self._sums, computed.images
        sums.add(computed.losses, count)
        number, inside = divmod(self._done, loop.settings.batch)
        is_shown = number < BATCHES_SHOWN and not inside and self._epoch in (0, first_closed_epoch(loop.segment))
        if is_shown and loop.processes.rank == 0:
            shown = batch or loop.shown(self._done, count)
            loop.observe(BatchShown(number + (BATCHES_SHOWN if self._epoch else 0), shown))
        self._done += count
        loop.observe(
            MicrobatchDone(
                epoch=self._epoch,
                epochs=loop.epochs,
                images_done=self._done,
                images=len(loop.loader),
                losses=sums.losses(),
                truths=computed.truths,
                image_size_px=computed.side_px,
                memory_bytes=loop.memory_bytes(),
            )
        )
