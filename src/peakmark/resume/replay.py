"""Does this machine make a run's steps again, bit for bit? Shown from a kept checkpoint, or the first difference named.

Two copies of the state go side by side, update by update, and are compared after each: that shows that the arithmetic
repeats itself. Where another kept file of the run lies on the way, they are held against it as well: that shows that
the run's own past is made again. Nothing is written, and no lock is taken, so a run that is going on is not disturbed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from peakmark.checkpoint.catalogue import read_to_go_on
from peakmark.checkpoint.difference import first_difference
from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read_position
from peakmark.errors import ModelFileError
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.fitness import FitnessFunction
from peakmark.events import EpochStarted, Event, MicrobatchDone, Notice, Observer
from peakmark.machine.numerics import undisturbed
from peakmark.machine.stopping import StopReason, StopRequest
from peakmark.nouns.losses import NO_LOSSES, Losses
from peakmark.nouns.outcome import OVER
from peakmark.nouns.resume import ChangePlan
from peakmark.nouns.run import Decision, Position
from peakmark.record.folder import RunFolder
from peakmark.resume.compare import Wishes, compare
from peakmark.resume.restore import run_as_it_was
from peakmark.resume.stopped import StoppedRun
from peakmark.run.build import PreparedRun, assemble
from peakmark.settings.fields import ResumeSettings
from peakmark.state.capture import RunFacts, capture
from peakmark.state.state import RunState
from peakmark.validation.epoch import EpochValidator

_STEPS = 20
"""Where nobody says how many, and no other kept file is near."""

_Goal = int | tuple[int, int, bool]
"""A number of attempted updates since the run began, or a place in it, as `_progress` gives it."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay."""

    source: Path
    start: Position
    end: Position
    steps: int
    """Attempted updates that were made, twice."""
    equal: bool
    compared_with: str
    """What was shown, in words: the run's own file, or only a second computation here."""
    difference: str | None
    """Where the first one is: step, part, tensor."""
    losses: tuple[Losses, ...] = field(repr=False)
    """After each step: the means of its epoch so far."""
    inexact: tuple[str, ...]
    """Why this machine can't be expected to make the same bits as the file's; empty where it can."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A kept file of the run."""

    path: Path
    checkpoint: Checkpoint

    @property
    def position(self) -> Position:
        return self.checkpoint.position


@undisturbed()
def replay(
    folder: RunFolder,
    *,
    steps: int | None,
    source: Path | None,
    observe: Observer,
    fitness: FitnessFunction | None = None,
) -> Replayed:
    """Makes `steps` updates of a run again, twice, from its oldest useful file or from `source`, and compares.

    Without `steps` it goes to the next kept file of the run, if that is at most an epoch on. Raises ModelFileError
    where there is no step to make, and MachineError where the data are not the run's own or its device is gone.
    """
    start, target = _choose(folder, source, steps)
    planned = compare(StoppedRun(folder, start.checkpoint, folder.path), Wishes(ResumeSettings(), {}, _never, fitness))
    for why in planned.plan.inexact:
        observe(Notice(f"{start.path.name} was not made as it would be made here: {why}.", serious=True))
    one, other = _Side(run_as_it_was(planned), observe), _Side(run_as_it_was(planned), _ignore)
    difference = None
    losses = []
    for goal in _goals(start.position, target, steps):
        before = one.position.step
        mine, yours = one.come_to(goal), other.come_to(goal)
        where = f"step {mine.position.step - start.position.step} ({_in_words(mine.position)})"
        if mine.position.step > before:
            losses.append(one.losses)
        if (found := first_difference(mine, yours)) is not None:
            difference = f"At {where} two computations differ: {found}"
        elif target and goal == _progress(target.position) and (found := first_difference(target.checkpoint, mine)):
            difference = f"At {where} another state comes out than {target.path.name} holds: {found}"
        if difference or one.over:
            break
    if not losses and difference is None and target is None:
        raise _nothing_to_make_again(start.path)
    return Replayed(
        source=start.path,
        start=start.position,
        end=one.position,
        steps=len(losses),
        equal=difference is None,
        compared_with=_compared_with(target),
        difference=difference,
        losses=tuple(losses),
        inexact=planned.plan.inexact,
    )


# --- from where to where --------------------------------------------------------------------------------------------


def _choose(folder: RunFolder, source: Path | None, steps: int | None) -> tuple[_Kept, _Kept | None]:
    """The file to start from, and the next one of the same fold, if that is within reach.

    Unless one is named, the start is the oldest that has such a neighbour, else the oldest before the run's end. Files
    are read only when it is their turn: with save_period=1 a run has more than fit into the memory.
    """
    paths = _oldest_first(folder)
    fallback: _Kept | None = None
    for path in [source] if source is not None else paths:
        start = _read(path, named=source is not None)
        if start is None or start.position.epoch >= start.checkpoint.settings["epochs"]:
            continue
        target = _next_file(start, paths, steps)
        if target is not None:
            return start, target
        fallback = fallback or start
    if fallback is None:
        raise _nothing_to_make_again(source or folder.weights)
    return fallback, None


def _oldest_first(folder: RunFolder) -> list[Path]:
    """The files of a run, by how far they are."""
    found = []
    for path in sorted(folder.weights.glob("[!.]*.pt")):
        try:
            found.append((_progress(read_position(path)), path))
        except ModelFileError:
            continue  # damaged: another one will do
    return [path for _, path in sorted(found)]


def _read(path: Path, *, named: bool) -> _Kept | None:
    """Reads a file to go on from; a damaged or stripped one is passed over, unless it is the one that was named."""
    try:
        return _Kept(path, read_to_go_on(path))
    except ModelFileError:
        if named:
            raise
        return None


def _next_file(start: _Kept, paths: list[Path], steps: int | None) -> _Kept | None:
    """The next file that the same fold passes through, within `steps`, or within an epoch where none are given."""
    begin = start.position
    for path in paths:
        end = read_position(path)
        if _progress(end) <= _progress(begin):
            continue
        if steps is None:
            near = (end.epoch, end.images) <= (begin.epoch + 1, begin.images)
        else:
            near = end.step - begin.step <= steps
        if not near:
            return None
        kept = _read(path, named=False)
        # Of another segment: between the two somebody changed a setting.
        if kept is not None and kept.checkpoint.history.segments == start.checkpoint.history.segments:
            return kept
    return None


def _nothing_to_make_again(place: Path) -> ModelFileError:
    return ModelFileError(
        f"{place}: the run is over there, so there is no step to make again. With save_period=1 a run keeps a file of"
        " each epoch."
    )


def _goals(begin: Position, target: _Kept | None, steps: int | None) -> Iterator[_Goal]:
    """Gives the steps, and the place of the file on the way, after which to compare."""
    reached = begin.step
    if target is not None:
        yield from range(begin.step + 1, target.position.step)
        yield _progress(target.position)
        reached = target.position.step
    last = begin.step + steps if steps is not None else reached if target is not None else begin.step + _STEPS
    yield from range(reached + 1, last + 1)


def _progress(position: Position) -> tuple[int, int, bool]:
    return position.epoch, position.images, position.phase == "validate"


def _in_words(position: Position) -> str:
    done = "validation next" if position.phase == "validate" else f"{position.images} images taken"
    return f"epoch {position.epoch + 1}, {done}"


def _compared_with(target: _Kept | None) -> str:
    twice = "a second computation on this machine, step by step"
    if target is None:
        return f"{twice}; no other file of the run was kept near enough to show that its past comes out again"
    return f"{twice}, and {target.path}, as the run itself left it"


# --- going there ----------------------------------------------------------------------------------------------------


class _Side:
    """One of the two computations: a run that goes on as far as it is told to."""

    def __init__(self, run: PreparedRun, observe: Observer) -> None:
        self.losses = NO_LOSSES
        self.over = False
        self._run = run
        self._observe = observe
        self._epoch = -1
        self._stop = _StopAt(run.state)
        self._keeper = _Catcher(self._stop, run.facts)
        # Its folder is never asked for: nothing of this loop is kept but what is caught at a goal.
        loop, _ = assemble(run, RunFolder(Path()), self._stop, self._watch)
        validate = loop.validate
        if isinstance(validate, EpochValidator):
            validate = dataclasses.replace(validate, keep_evidence=_keep_nothing)
        self._loop = dataclasses.replace(loop, keeper=self._keeper, validate=validate)

    @property
    def position(self) -> Position:
        return self._run.state.position

    def come_to(self, goal: _Goal) -> Checkpoint:
        """Goes on to a step or a place, or to the run's end where that comes first, and gives the state there."""
        self._stop.goal, self._keeper.caught = goal, None
        self.over = self._loop.run() in OVER
        return self._keeper.caught or capture(self._run.state, self._run.facts)

    def _watch(self, event: Event) -> None:
        if isinstance(event, MicrobatchDone):
            self.losses = event.losses
        if isinstance(event, EpochStarted):
            if event.epoch == self._epoch:
                return  # told at every step, since the loop is begun anew for each
            self._epoch = event.epoch
        self._observe(event)


class _StopAt(StopRequest):
    """Asks for a stop as soon as a run has come to a goal."""

    def __init__(self, state: RunState) -> None:
        super().__init__(None)
        self._state = state
        self.goal: _Goal = 0

    @property
    def reason(self) -> StopReason | None:
        position = self._state.position
        reached = position.step >= self.goal if isinstance(self.goal, int) else _progress(position) >= self.goal
        return "interrupted" if reached else None


class _Catcher:
    """Takes a picture of the state where a run comes to its goal, at the very places where a run is saved."""

    def __init__(self, stop: _StopAt, facts: RunFacts) -> None:
        self._stop = stop
        self._facts = facts
        self.caught: Checkpoint | None = None

    def due(self) -> bool:
        return self._stop.requested()

    def report(self) -> None:
        """Nothing is saved, so there is nothing to tell."""

    def keep_position(self, state: RunState) -> None:
        # Only the first time: after an epoch's last step the loop still goes on to its validation.
        if self.caught is None and self._stop.requested():
            self.caught = capture(state, self._facts)

    def keep_epoch(self, state: RunState, decision: Decision) -> None:
        self.keep_position(state)


def _never(plan: ChangePlan) -> bool:
    return False


def _ignore(event: Event) -> None:
    pass


def _keep_nothing(epoch: int, evidence: Evidence) -> None:
    pass
