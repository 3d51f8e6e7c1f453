"""The loop goes through epochs as its parts tell it, stops where it is asked to, and always knows where it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest

from peakmark.data.loader import Microbatch
from peakmark.errors import TrainingError
from peakmark.events import BatchShown, EpochEnded, EpochStarted, Event, MicrobatchDone, Notice, StepSkipped
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
from peakmark.train.schedule import Rates, rates
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


@pytest.mark.parametrize(("stop_at", "told"), [(None, 3), (("step", 4), 2), (("validation", 1), 2)])
def test_what_is_odd_about_images_is_said_after_each_epoch_and_at_a_stop(stop_at: Any, told: int):
    """Once what was trained is on its way to the disk: whoever watches may raise."""
    run = world()
    run.remarks = ["d", "c", "b", "a"]
    run.stop_at = stop_at
    run.run()
    assert [notice.text for notice in run.told(Notice)] == ["a", "b", "c", "d"][:told]
    assert all(notice.serious for notice in run.told(Notice))


def test_every_image_of_every_epoch_is_trained_once_and_the_end_is_known():
    run = world()
    assert run.run() == "finished"
    assert run.trained == [(epoch, *window) for epoch in range(3) for window in WINDOWS]
    assert run.state.position == Position(3, 0, "train", 9)
    assert [record.epoch for record in run.state.history.records] == [0, 1, 2]
    assert run.closed == 3
    assert [len(run.told(kind)) for kind in (EpochStarted, EpochEnded, MicrobatchDone)] == [3, 3, 15]


def test_rates_and_the_record_follow_the_schedule():
    run = world(optimizer="SGD", warmup_epochs=1)
    run.run()
    segment = run.state.history.segments[0]
    records = run.state.history.records
    assert records[2].lr == rates(run.settings, segment, 2, Window((), 1.0)).per_group()
    assert [found.weights_lr for found in run.rates][-1] == records[2].lr[0]
    assert run.rates[0].weights_lr == 0
    assert records[1].step - records[0].step == 3


def test_the_record_holds_the_means_of_the_epoch():
    run = world()
    run.run()
    assert [record.train for record in run.state.history.records] == [Losses(1.0 + e, 2.0, 3.0) for e in range(3)]
    assert [event.losses.box for event in run.told(MicrobatchDone)] == pytest.approx([1] * 5 + [2] * 5 + [3] * 5)
    assert [event.images_done for event in run.told(MicrobatchDone)][:5] == [4, 8, 12, 16, 20]


@pytest.mark.parametrize(
    ("val_period", "epochs", "expected"), [(1, 3, [0, 1, 2]), (2, 5, [1, 3, 4]), (3, 6, [2, 5]), (9, 4, [3])]
)
def test_validation_comes_every_nth_epoch_and_at_the_last(val_period: int, epochs: int, expected: list[int]):
    run = world(val_period=val_period, epochs=epochs)
    run.run()
    assert run.validated == expected
    for record in run.state.history.records:
        assert (record.metrics is not None) is (record.epoch in expected)
        assert (record.fitness is not None) is (record.epoch in expected)


def test_without_validation_no_epoch_is_best():
    run = world(val=False)
    assert run.run() == "finished"
    assert run.validated == []
    assert [kind for kind, _ in run.kept] == ["last"] * 3


def test_each_epoch_is_kept_after_it_and_best_is_what_the_history_says():
    run = world(epochs=4)
    run.fitnesses = {0: 0.2, 1: 0.5, 2: 0.4, 3: 0.5}
    run.run()
    assert [kind for kind, _ in run.kept] == ["best", "best", "last", "best"]
    assert [position for _, position in run.kept] == [Position(e + 1, 0, "train", 3 * (e + 1)) for e in range(4)]


def test_patience_ends_the_run_and_a_resumed_one_does_not_begin_another_epoch():
    run = world(epochs=20, patience=2, stop_phase="now")
    run.fitnesses = {0: 0.2, 1: 0.5}
    assert run.run() == "early_stopped"
    assert run.validated == [0, 1, 2, 3]
    assert all(run.mosaic.values())
    again = world(epochs=20, patience=2, stop_phase="now")
    again.state = run.state
    assert again.run() == "early_stopped"
    assert again.trained == []


def closing(**changes: Any) -> World:
    """A run that is out of patience after 4 epochs of 20, and has 3 closing epochs to run then."""
    run = world(epochs=20, patience=2, close_mosaic=3, **changes)
    run.fitnesses = {0: 0.2, 1: 0.5, 5: 0.6}
    return run


def test_an_early_stop_first_runs_the_closing_epochs_that_its_plan_would_have_ended_with():
    run = closing()
    assert run.run() == "early_stopped"
    assert run.mosaic == {0: True, 1: True, 2: True, 3: True, 4: False, 5: False, 6: False}
    last = run.state.history.segments[1]
    assert (last.from_epoch, last.horizon, last.until, last.reason) == (4, 7, 7, "early stop, closing epochs")
    assert [record.segment for record in run.state.history.records] == [0] * 4 + [1] * 3
    assert [event.epochs for event in run.told(EpochStarted)] == [20] * 4 + [7] * 3
    decisions = [event.decision for event in run.told(EpochEnded)]
    assert [decision.close for decision in decisions] == [False] * 3 + [True] + [False] * 3
    assert [decision.stop for decision in decisions] == [False] * 6 + [True]
    assert "so the run stops after 3 epochs more without mosaic" in decisions[3].reason
    # Rates are those of the last epochs of a run of 7.
    by_plan = world(epochs=7, patience=0, close_mosaic=3)
    by_plan.run()
    assert [r.lr for r in run.state.history.records[4:]] == [r.lr for r in by_plan.state.history.records[4:]]
    assert run.state.history.records[3].lr != by_plan.state.history.records[3].lr
    # A better epoch among them is the best, and doesn't make the run go on.
    assert decisions[5].is_best


def test_the_closing_epochs_are_gone_on_with_wherever_they_are_stopped():
    whole = closing()
    whole.run()
    for step in range(9, 21):
        run = closing()
        run.stop_at = ("step", step)
        assert run.run() == "interrupted"
        run.stop_at, run.reason = None, None
        assert run.run() == "early_stopped"
        assert (run.trained, run.state.history) == (whole.trained, whole.state.history)


@pytest.mark.parametrize("changes", [{"close_mosaic": 0}, {"mosaic": 0.0, "close_mosaic": 3}, {"close_mosaic": 17}])
def test_where_there_is_nothing_to_close_an_early_stop_stops(changes: dict[str, Any]):
    run = world(epochs=20, patience=2, **changes)
    run.fitnesses = {0: 0.2, 1: 0.5}
    assert run.run() == "early_stopped"
    assert run.validated == [0, 1, 2, 3]
    assert len(run.state.history.segments) == 1


def test_closing_epochs_that_come_next_by_the_plan_are_all_run():
    run = world(epochs=20, patience=2, close_mosaic=16)
    run.fitnesses = {0: 0.2, 1: 0.5}
    assert run.run() == "finished"
    assert run.validated == list(range(20))


@pytest.mark.parametrize("step", range(9))
def test_a_stop_in_training_leaves_the_windows_start_and_the_rest_follows_from_it(step: int):
    whole, run = world(), world()
    whole.run()
    run.stop_at = ("step", step)
    assert run.run() == "interrupted"
    epoch, window = divmod(step, 3)
    expected = Position(epoch, WINDOWS[window][0], "train", step)
    assert run.state.position == expected
    assert run.kept[-1] == ("position", expected)
    # Where no batch was taken from it, the fake has nothing to close.
    assert run.closed == epoch + (window > 0), "the loader must be sent home"
    run.stop_at, run.reason = None, None
    assert run.run() == "finished"
    assert run.trained == whole.trained
    assert run.state.history == whole.state.history
    assert run.state.position == whole.state.position


@pytest.mark.parametrize("epoch", range(3))
def test_a_stop_in_validation_leaves_trained_but_not_validated_and_the_resume_repeats_it(epoch: int):
    whole, run = world(), world()
    whole.run()
    run.stop_at = ("validation", epoch)
    assert run.run() == "interrupted"
    expected = Position(epoch, IMAGES, "validate", 3 * (epoch + 1))
    assert run.state.position == expected
    assert run.kept[-1] == ("position", expected)
    assert len(run.state.history.records) == epoch
    run.stop_at, run.reason = None, None
    assert run.run() == "finished"
    assert run.trained == whole.trained, "no image may be trained twice"
    assert run.state.history == whole.state.history


def test_a_stop_that_comes_between_epochs_ends_there_but_not_after_the_last():
    run = world()
    run.fitnesses = {}
    original = run.keep_epoch

    def ask(state: RunState, decision: Decision) -> None:
        original(state, decision)
        run.reason = "out_of_time"

    run.keep_epoch = ask  # type: ignore[method-assign]
    assert run.run() == "out_of_time"
    assert run.state.position == Position(1, 0, "train", 3)
    run.state.position = dataclasses.replace(run.state.position, epoch=2)
    run.reason = None
    assert run.run() == "finished"


@pytest.mark.parametrize("reason", ["broken", "paused"])
def test_a_break_in_the_last_epoch_ends_as_one_and_the_resume_completes_the_run(reason: Outcome):
    """Called finished, nobody would look at it."""
    whole, run = world(), world()
    whole.run()
    original = run.keep_epoch

    def ask(state: RunState, decision: Decision) -> None:
        original(state, decision)
        run.reason = reason if state.position.epoch == run.settings.epochs else None

    run.keep_epoch = ask  # type: ignore[method-assign]
    assert run.run() == reason
    assert run.state.position == Position(3, 0, "train", 9)
    run.reason = None
    assert run.run() == "finished"
    assert (run.trained, run.state.history) == (whole.trained, whole.state.history)


def test_a_break_in_the_epoch_that_ends_a_run_early_ends_as_one():
    run = world(epochs=20, patience=2, stop_phase="now")
    run.fitnesses = {0: 0.2, 1: 0.5}
    original = run.keep_epoch

    def ask(state: RunState, decision: Decision) -> None:
        original(state, decision)
        run.reason = "broken" if decision.stop else None

    run.keep_epoch = ask  # type: ignore[method-assign]
    assert run.run() == "broken"
    run.reason = None
    assert run.run() == "early_stopped"
    assert run.validated == [0, 1, 2, 3]


def test_a_save_that_has_ended_is_told_of_while_the_next_epoch_trains():
    """A backup begins when it hears of its best.pt; heard of at the next save only, a killed epoch has none."""
    run = world(epochs=2)
    run.run()
    assert [step for saves, step in run.told_saves if saves == 1] == [4, 5, 6]


def test_a_skipped_step_advances_the_position_is_told_and_counted():
    run = world()
    run.attempts = {4: Attempt("skipped", ((Losses(9, 9, 9), 4),), "the loss", ("bad.png",))}
    assert run.run() == "finished"
    (told,) = run.told(StepSkipped)
    assert told == StepSkipped(1, 16, "the loss", ("bad.png",), 1)
    assert run.state.position.step == 9
    assert [record.skipped_steps for record in run.state.history.records] == [0, 1, 0]
    assert (run.state.skipped_steps, run.state.skipped_in_a_row) == (1, 0)


def test_skipped_steps_in_a_row_end_the_run_with_its_state_kept():
    run = world(max_nonfinite=3)
    skipped = Attempt("skipped", (), "the loss", ("bad.png",))
    run.attempts = {0: skipped, 2: skipped, 3: skipped, 4: skipped}
    with pytest.raises(
        TrainingError, match=r"3 updates in a row were not finite \(the loss, epoch 2, images bad\.png\)"
    ):
        run.run()
    assert run.state.position == Position(1, 16, "train", 5)
    assert run.state.whole
    assert run.closed == 2


def test_a_run_without_a_single_update_is_not_called_finished():
    """Overflows end no run, and fewer skipped updates than max_nonfinite don't either."""
    run = world(epochs=1, max_nonfinite=10)
    run.attempts = dict.fromkeys(range(3), Attempt("skipped", (), "the gradient", ()))
    with pytest.raises(TrainingError, match="Not one of 3 updates was finite, so nothing was learnt"):
        run.run()
    run.attempts.clear()
    run.state.position, run.state.history = Position(), dataclasses.replace(run.state.history, records=())
    assert run.run() == "finished"


def test_an_update_is_whole_once_the_position_has_followed():
    run = world(epochs=1)
    seen: list[tuple[bool, int]] = []
    run.keep_position = lambda state: seen.append((state.whole, state.position.images))  # type: ignore[method-assign]
    run.save_due = True
    run.run()
    assert seen == [(True, 8), (True, 16), (True, 20)]


@pytest.mark.parametrize("where", ["validate", "decide"])
def test_an_epoch_that_can_not_be_closed_stays_open_and_is_closed_by_the_resume(where: str):
    """Whatever fails there, a fitness in Python for instance, the state that is left can be saved and resumed."""
    whole, run = world(), world()
    whole.run()
    working = getattr(run, where)

    def fails(*given: Any) -> Any:
        if (run.state.position.epoch, run.state.position.phase) == (1, "validate"):
            raise ZeroDivisionError
        return working(*given)

    setattr(run, where, fails)
    with pytest.raises(ZeroDivisionError):
        run.run()
    assert run.state.position == Position(1, IMAGES, "validate", 6)
    assert run.state.whole
    assert len(run.state.history.records) == 1
    assert run.state.open_epoch.images == IMAGES
    setattr(run, where, working)
    assert run.run() == "finished"
    assert run.trained == whole.trained
    assert run.state.history == whole.state.history


def test_an_overflow_of_half_precision_is_no_sign_of_trouble():
    run = world(max_nonfinite=1)
    run.attempts = {0: Attempt("skipped", (), "the gradient", (), overflow=True)}
    assert run.run() == "finished"
    assert run.told(StepSkipped) == []
    assert run.state.skipped_steps == 1


def test_long_epochs_are_saved_at_windows():
    run = world(epochs=1)
    run.save_due = True
    run.run()
    assert [(kind, position.images) for kind, position in run.kept] == [
        ("position", 8),
        ("position", 16),
        ("position", 20),
        ("best", 0),
    ]


def test_first_batches_are_shown_with_and_without_mosaic():
    run = world(epochs=4, close_mosaic=1)
    run.run()
    assert [event.number for event in run.told(BatchShown)] == [0, 1, 2, 3, 4, 5]
    assert [event.batch.epoch for event in run.told(BatchShown)] == [0, 0, 0, 3, 3, 3]
    assert [event.mosaic for event in run.told(EpochStarted)] == [True, True, True, False]
