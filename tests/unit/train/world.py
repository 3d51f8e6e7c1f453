"""A loop among fakes, and a log of what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from peakmark.data.loader import Microbatch
from peakmark.events import Event
from peakmark.nouns.losses import Losses
from peakmark.nouns.outcome import Outcome
from peakmark.nouns.run import Decision, History, Position
from peakmark.run.build import first_segment
from peakmark.selection.decide import decide
from peakmark.selection.rules import rules_of
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import recipe, recipe_of
from peakmark.state.state import RunState
from peakmark.train.loop import Loop
from peakmark.train.readings import Computed
from peakmark.train.schedule import Rates
from peakmark.train.step import Attempt
from peakmark.train.windows import Window
from peakmark.validation.epoch import EpochFigures
from peakmark.validation.validation import ValidationStopped

IMAGES = 20


@dataclass
class FakeBatch:
    """Stands for a batch: knows how many images it has."""

    epoch: int
    part: Microbatch
    classes: tuple[int, ...] = (0,)
    files: tuple[str, ...] = ("a.png", "b.png")
    images_BCHW: Any = field(default_factory=lambda: type("Pixels", (), {"shape": (4, 3, 64, 64)})())

    def __len__(self) -> int:
        return self.part.count


@dataclass
class World:
    """A loop among fakes, and a log of what it did."""

    settings: Settings
    fitnesses: dict[int, float] = field(default_factory=dict)
    state: RunState = field(
        default_factory=lambda: RunState(
            cast(Any, None), cast(Any, None), cast(Any, SimpleNamespace(param_groups=[{}, {}, {}])), None
        )
    )
    attempts: dict[int, Attempt] = field(default_factory=dict)
    """By step: what comes of it, where it is not an update."""
    stop_at: tuple[str, int] | None = None
    """Before the window of this step, or in the validation of this epoch."""
    save_due: bool = False
    told_saves: list[tuple[int, int]] = field(default_factory=list)
    """How many saves were known of when the keeper was asked for those that have ended, and at which step that was."""
    remarks: list[str] = field(default_factory=list)
    """About images, in reversed order: one is new each time that it is asked for."""
    events: list[Event] = field(default_factory=list)
    trained: list[tuple[int, int, int]] = field(default_factory=list)
    rates: list[Rates] = field(default_factory=list)
    validated: list[int] = field(default_factory=list)
    kept: list[tuple[str, Position]] = field(default_factory=list)
    closed: int = 0
    mosaic: dict[int, bool] = field(default_factory=dict)
    """By epoch: whether batches with mosaic were asked for."""
    reason: Outcome | None = None

    # the loader
    def __len__(self) -> int:
        return IMAGES

    def batches(self, epoch: int, microbatches: Sequence[Microbatch], *, mosaic_open: bool) -> Iterator[Any]:
        self.mosaic[epoch] = mosaic_open
        try:
            for part in microbatches:
                yield FakeBatch(epoch, part)
        finally:
            self.closed += 1

    # the stepper
    def attempt(
        self, window: Window, batches: Iterator[Any], rates: Rates, *, watch: Callable[..., None], stop_requested: Any
    ) -> Attempt:
        position = self.state.position
        if self.stop_at == ("step", position.step):
            self.reason = "interrupted"
            return Attempt("stopped")
        done = []
        for part in window.microbatches:
            batch = next(batches)
            assert (batch.epoch, batch.part) == (position.epoch, part)
            losses = Losses(1.0 + position.epoch, 2.0, 3.0)
            watch(Computed(losses, part.count, len(batch.classes), int(batch.images_BCHW.shape[2])), batch)
            done.append((Losses(1.0 + position.epoch, 2.0, 3.0), part.count))
        self.trained.append((position.epoch, window.first, window.end))
        self.rates.append(rates)
        for group, lr in zip(self.state.optimizer.param_groups, rates.per_group(), strict=True):
            group["lr"] = lr
        attempt = self.attempts.get(position.step, Attempt("updated", tuple(done)))
        if attempt.outcome == "updated":
            self.state.whole = False
            self.state.ema_updates += 1
        return attempt

    # validation
    def validate(self, state: RunState) -> EpochFigures:
        epoch = state.position.epoch
        assert state.position.phase == "validate"
        if self.stop_at == ("validation", epoch):
            self.reason = "interrupted"
            raise ValidationStopped
        self.validated.append(epoch)
        fitness = self.fitnesses.get(epoch, 0.1)
        return EpochFigures({"map50_95": fitness}, {}, None, fitness)

    # the keeper
    def keep_epoch(self, state: RunState, decision: Decision) -> None:
        self.kept.append(("best" if decision.is_best else "last", state.position))

    def keep_position(self, state: RunState) -> None:
        self.kept.append(("position", state.position))

    def due(self) -> bool:
        return self.save_due

    def report(self) -> None:
        self.told_saves.append((len(self.kept), self.state.position.step))

    # stopping
    def requested(self) -> bool:
        return self.reason is not None

    def decide(self, history: History) -> Decision:
        return decide(history, rules_of(self.settings, recipe_of(history.segments[-1])))

    def __post_init__(self) -> None:
        segment = first_segment(self.settings, recipe(self.settings, classes=2, images=IMAGES), None)
        self.state.history = History(segments=(segment,))

    def run(self) -> Outcome:
        parts: dict[str, Any] = {"loader": self, "stepper": self, "keeper": self, "stop": self}
        return Loop(
            state=self.state,
            settings=self.settings,
            validate=self.validate if self.settings.val else None,
            decide=self.decide,
            observe=self.events.append,
            memory_bytes=lambda: 5,
            clock=lambda: 0.0,
            new_remarks=lambda: [self.remarks.pop()] if self.remarks else [],
            **parts,
        ).run()

    def told(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def world(**changes: Any) -> World:
    """5 microbatches of 4 images an epoch, in windows of two."""
    given = {"data": "x.yaml", "epochs": 3, "batch": 4, "nbs": 8, "warmup_epochs": 0, "imgsz": 64}
    return World(Settings.model_validate(given | changes))


WINDOWS = [(0, 8), (8, 16), (16, 20)]
