"""Is a file that was made wrong, and sealed anew with a valid digest, found out? And is a healthy one left in peace?

Every fault here opens without a complaint and trains on as if nothing were the matter.
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from typing import Any

import pytest
import torch

from peakmark import YOLO
from peakmark.checkpoint.digest import part_digests
from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.events import MicrobatchDone
from peakmark.machine.devices import Arithmetic
from peakmark.model.detector import build_detector
from peakmark.model.scales import SCALES
from peakmark.nouns.run import EpochRecord
from peakmark.resume.health import causes
from peakmark.resume.health.contradictions import contradictions
from peakmark.resume.health.diagnosis import restored_wrong
from peakmark.run.build import new_state
from peakmark.settings.fields import Settings
from peakmark.settings.plain import from_plain
from peakmark.state import capture
from peakmark.state.capture import RunFacts

# Three microbatches an epoch, each an update of its own while it warms up; a save after every window.
WISHES = {"epochs": 3, "batch": 4, "nbs": 8, "warmup_epochs": 2, "mosaic": 0.7, "save_interval": 1e-9}
Spoil = Callable[[Checkpoint], Checkpoint]


@pytest.fixture(scope="module")
def taken():
    """Whatever state is handed over to be saved from here on."""
    states: list[Checkpoint] = []

    def take(*state_and_facts: Any) -> Checkpoint:
        states.append(capture.capture(*state_and_facts))
        return states[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("peakmark.run.disk.checkpointer.capture", take)
        yield states


@pytest.fixture(scope="module", params=["AdamW", pytest.param("SGD", marks=pytest.mark.slow)])
def states(request, train_in, tmp_path_factory, taken):
    """The states of a run, in the middle of epochs and at their ends."""
    project = tmp_path_factory.mktemp(request.param)
    taken.clear()
    train_in(project, optimizer=request.param, lr0=0.003, **WISHES)
    shutil.rmtree(project)
    return list(taken)


@pytest.fixture
def inside(states):
    """A state inside the last epoch."""
    return next(state for state in states if state.position.epoch == 2 and state.open_epoch["images"])


@pytest.fixture
def ended(states):
    """The state at the end of the last epoch but one."""
    return next(state for state in states if state.position.epoch == 2 and state.position.images == 0)


def test_healthy_states_are_left_in_peace(states):
    assert len(states) >= 6
    assert any(state.position.images for state in states)
    for state in states:
        assert contradictions(state) == (), state.position


@pytest.mark.parametrize(
    "wishes",
    [{"freeze": 3, "optimizer": "Adam", "lr0": 0.001}, {"optimizer": "SGD", "momentum": 0, "warmup_momentum": 0}],
    ids=["frozen layers", "without momentum"],
)
def test_unusual_runs_are_left_in_peace(train, runs, wishes):
    for path in sorted((train(**{**WISHES, "epochs": 2, **wishes}).save_dir / "weights").glob("*.pt")):
        assert contradictions(read(path, verify=False)) == ()


def test_skipped_updates_are_left_in_peace(train, plant_nan):
    plant_nan({4})
    last = read(train(**WISHES).save_dir / "weights/last.pt", verify=False)
    assert last.counters["skipped_steps"] == 1
    assert contradictions(last) == ()


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "SGD"},
        {"freeze": 5, "lr0": 0.02},
        pytest.param({"optimizer": "Adam", "epochs": 5}, marks=pytest.mark.slow),
        pytest.param({"batch": 2, "imgsz": 64}, marks=pytest.mark.slow),
        pytest.param({"seed": 3, "mixup": 0.5}, marks=pytest.mark.slow),
    ],
    ids=str,
)
@pytest.mark.parametrize("number", [8, pytest.param(6, marks=pytest.mark.slow)], ids=["inside", "at the end"])
def test_runs_that_were_changed_are_left_in_peace(train, stop_at, taken, changes, number):
    run = train(**{**WISHES, "epochs": 4, "optimizer": "AdamW", "lr0": 0.002}, observer=stop_at(MicrobatchDone, number))
    taken.clear()
    YOLO().resume(run.save_dir, observer=lambda event: None, yes=True, **changes)
    assert len(taken) >= 3
    for state in taken:
        assert contradictions(state) == (), state.position


# --- faults ----------------------------------------------------------------------------------------------------------


def without_optimizer_state(state: Checkpoint) -> Checkpoint:
    return dataclasses.replace(state, optimizer={**state.optimizer, "state": {}})


def with_zeroed_moments(state: Checkpoint) -> Checkpoint:
    zeroed = {
        number: {name: value * 0 if name != "step" else value for name, value in each.items()}
        for number, each in state.optimizer["state"].items()
    }
    return dataclasses.replace(state, optimizer={**state.optimizer, "state": zeroed})


def with_a_foreign_optimizer(state: Checkpoint) -> Checkpoint:
    """As another run of the same model and length leaves it."""
    generator = torch.Generator().manual_seed(0)
    foreign = {
        number: {name: _shuffled(name, value, generator) for name, value in each.items()}
        for number, each in state.optimizer["state"].items()
    }
    return dataclasses.replace(state, optimizer={**state.optimizer, "state": foreign})


def _shuffled(name: str, value: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if name == "step":
        return value
    signs = torch.randint(0, 2, value.shape, generator=generator) * 2 - 1 if name != "exp_avg_sq" else 1
    return value.flatten()[torch.randperm(value.numel(), generator=generator)].reshape(value.shape) * signs


def with_an_optimizer_of_another_kind(state: Checkpoint) -> Checkpoint:
    own = "momentum_buffer" if "momentum_buffer" in state.optimizer["state"][0] else "exp_avg"
    other = {"momentum_buffer": "square_avg", "exp_avg": "momentum_buffer"}[own]
    kind = {number: {other: each[own]} for number, each in state.optimizer["state"].items()}
    return dataclasses.replace(state, optimizer={**state.optimizer, "state": kind})


def with_raw_weights_for_the_average(state: Checkpoint) -> Checkpoint:
    return dataclasses.replace(state, model=state.training_weights)


def with_the_average_of_the_start(state: Checkpoint) -> Checkpoint:
    fresh = build_detector(SCALES[state.architecture], len(state.names), state.settings["seed"]).state_dict()
    counts = {name: tensor for name, tensor in state.model.items() if name.endswith("num_batches_tracked")}
    return dataclasses.replace(state, model={**fresh, **counts})


def with_the_update_count_reset(state: Checkpoint) -> Checkpoint:
    return dataclasses.replace(state, ema_updates=0)


def without_its_scaler(state: Checkpoint) -> Checkpoint:
    return dataclasses.replace(state, arithmetic={**state.arithmetic, "precision": "float16"}, scaler=None)


def with_moved_statistics(state: Checkpoint) -> Checkpoint:
    return _with_weights(state, "running_mean", lambda tensor: tensor + 0.01)


def with_reset_statistics(state: Checkpoint) -> Checkpoint:
    reset = _with_weights(state, "running_mean", torch.zeros_like)
    return _with_weights(reset, "running_var", torch.ones_like)


def with_statistics_of_a_dropped_window(state: Checkpoint) -> Checkpoint:
    return _with_weights(state, "num_batches_tracked", lambda tensor: tensor + 1)


def with_forgotten_batches(state: Checkpoint) -> Checkpoint:
    """In weights and average alike."""
    forgotten = _with_weights(state, "num_batches_tracked", torch.zeros_like)
    averages = {name: forgotten.training_weights[name] for name in state.model if name.endswith("num_batches_tracked")}
    return dataclasses.replace(forgotten, model={**state.model, **averages})


def _with_weights(state: Checkpoint, ending: str, change: Callable[[torch.Tensor], torch.Tensor]) -> Checkpoint:
    weights = {
        name: change(tensor) if name.endswith(ending) else tensor for name, tensor in state.training_weights.items()
    }
    return dataclasses.replace(state, training_weights=weights)


def one_window_further(state: Checkpoint) -> Checkpoint:
    position = dataclasses.replace(state.position, images=state.position.images + 4)
    return dataclasses.replace(state, position=position)


def one_update_further(state: Checkpoint) -> Checkpoint:
    return dataclasses.replace(state, position=dataclasses.replace(state.position, step=state.position.step + 1))


def with_another_seed(state: Checkpoint) -> Checkpoint:
    return dataclasses.replace(state, settings={**state.settings, "seed": 1})


def with_class_weights_that_no_segment_notes(state: Checkpoint) -> Checkpoint:
    return dataclasses.replace(state, settings={**state.settings, "cls_pw": 0.5})


def with_another_image_size(state: Checkpoint) -> Checkpoint:
    return dataclasses.replace(state, settings={**state.settings, "imgsz": 64})


def with_a_gap_in_its_history(state: Checkpoint) -> Checkpoint:
    return dataclasses.replace(state, history=dataclasses.replace(state.history, records=state.history.records[1:]))


FAULTS: dict[Spoil, str] = {
    without_optimizer_state: causes.OPTIMIZER_MISSING,
    with_zeroed_moments: causes.OPTIMIZER_MISSING,
    with_a_foreign_optimizer: causes.OPTIMIZER_FOREIGN,
    with_an_optimizer_of_another_kind: causes.OPTIMIZER_FOREIGN,
    with_raw_weights_for_the_average: causes.EMA_RESET,
    with_the_average_of_the_start: causes.EMA_RESET,
    with_the_update_count_reset: causes.UPDATE_COUNT,
    without_its_scaler: causes.SCALER_MISSING,
    with_moved_statistics: causes.STATISTICS,
    with_reset_statistics: causes.STATISTICS,
    with_statistics_of_a_dropped_window: causes.STATISTICS,
    with_forgotten_batches: causes.STATISTICS,
    one_window_further: causes.POSITION,
    one_update_further: causes.POSITION,
    with_another_seed: causes.SETTINGS,
    with_class_weights_that_no_segment_notes: causes.SETTINGS,
    with_another_image_size: causes.IMAGE_SIZE,
    with_a_gap_in_its_history: causes.HISTORY,
}


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda spoil: spoil.__name__)
def test_a_fault_is_found_and_named_first(inside, spoil):
    found = contradictions(spoil(inside), expected_step=inside.position.step)
    assert found[0].name == FAULTS[spoil], found
    assert found[0].certainty >= 0.8
    assert found[0].evidence.endswith(".")
    assert found[0].remedy


def test_a_fault_that_was_sealed_anew_opens_without_a_complaint_and_is_found(inside, tmp_path):
    save(with_moved_statistics(with_another_seed(inside)), tmp_path / "last.pt")
    found = contradictions(read(tmp_path / "last.pt"))
    assert {each.name for each in found} == {causes.SETTINGS, causes.STATISTICS}


@pytest.mark.parametrize(
    "pair",
    [
        (without_optimizer_state, with_the_update_count_reset),
        (without_optimizer_state, with_moved_statistics),
        (with_a_foreign_optimizer, with_another_seed),
        (with_raw_weights_for_the_average, without_its_scaler),
        (with_the_average_of_the_start, one_window_further),
        (with_the_update_count_reset, with_reset_statistics),
        (with_moved_statistics, with_an_optimizer_of_another_kind),
        (with_a_gap_in_its_history, without_its_scaler),
    ],
    ids=lambda pair: " and ".join(spoil.__name__ for spoil in pair),
)
def test_two_faults_at_once_are_the_first_two_named(inside, pair):
    first, second = pair
    found = contradictions(second(first(inside)))
    assert {each.name for each in found[:2]} == {FAULTS[first], FAULTS[second]}, found


def test_the_best_file_taken_for_the_last_is_found(ended):
    """By what the table and the journal know of the run."""
    # A kill between the telling and the saving of an epoch leaves the file one behind.
    assert contradictions(ended, epochs_known=ended.position.epoch + 1) == ()
    better = _with_fitness(ended, (0.2, 0.3))
    assert [each.name for each in contradictions(better, epochs_known=9)] == [causes.BEST_FOR_LAST]
    worse = _with_fitness(ended, (0.3, 0.2))
    assert [each.name for each in contradictions(worse, epochs_known=9)] == [causes.OLDER_FILE]


def _with_fitness(state: Checkpoint, values: tuple[float, ...]) -> Checkpoint:
    def judged(record: EpochRecord, fitness: float) -> EpochRecord:
        return dataclasses.replace(record, fitness=fitness)

    records = tuple(map(judged, state.history.records, values))
    return dataclasses.replace(state, history=dataclasses.replace(state.history, records=records))


def test_what_the_windows_say_of_the_position_counts(inside):
    right = inside.position.step
    assert contradictions(inside, expected_step=right, at_window_start=True) == ()
    (shifted,) = contradictions(inside, expected_step=right + 1)
    assert shifted.name == causes.POSITION
    (between,) = contradictions(inside, at_window_start=False)
    assert between.name == causes.POSITION


# --- faults in the restoring ------------------------------------------------------------------------------------------


def _state_for(checkpoint: Checkpoint):
    settings = from_plain(Settings, checkpoint.settings)
    model = build_detector(SCALES[checkpoint.architecture], len(checkpoint.names), settings.seed)
    arithmetic = Arithmetic.from_plain(checkpoint.arithmetic)
    state = new_state(settings, model, arithmetic, checkpoint.history.segments[-1])
    return state, RunFacts(settings, checkpoint.names, checkpoint.architecture, arithmetic, checkpoint.provenance)


def _without(part: str) -> Callable[[Any, Checkpoint], None]:
    """A restoring that leaves a part as it was."""

    def restore(state: Any, checkpoint: Checkpoint) -> None:
        fresh = {"model": state.model.state_dict(), "ema": state.ema.state_dict()}
        kept = {name: {key: value.clone() for key, value in weights.items()} for name, weights in fresh.items()}
        optimizer, before = state.optimizer.state_dict(), {name: getattr(state, name) for name in _VALUES}
        capture.restore(checkpoint, state)
        if part in kept:
            getattr(state, part).load_state_dict(kept[part])
        elif part == "optimizer":
            state.optimizer.load_state_dict(optimizer)
        elif part == "statistics":
            statistics = {name: value for name, value in kept["model"].items() if "running" in name}
            state.model.load_state_dict({**state.model.state_dict(), **statistics})
        else:
            setattr(state, part, before[part])

    return restore


_VALUES = ("ema_updates", "position", "open_epoch", "history")


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("model", causes.WEIGHTS),
        ("ema", causes.EMA_RESET),
        ("optimizer", causes.OPTIMIZER_MISSING),
        ("statistics", causes.STATISTICS),
        ("ema_updates", causes.UPDATE_COUNT),
        ("position", causes.POSITION),
        ("open_epoch", causes.POSITION),
        ("history", causes.HISTORY),
    ],
)
def test_a_part_that_was_not_restored_is_named(inside, part, name):
    state, facts = _state_for(inside)
    _without(part)(state, inside)
    there, here = part_digests(inside), part_digests(capture.capture(state, facts))
    found = restored_wrong([each for each in there if here[each] != there[each]])
    assert name in [each.name for each in found][:2], found


def test_a_whole_restoring_differs_in_nothing(inside):
    state, facts = _state_for(inside)
    capture.restore(inside, state)
    assert part_digests(capture.capture(state, facts)) == part_digests(inside)


def test_every_part_of_the_digest_has_its_cause(inside):
    assert len(restored_wrong(list(part_digests(inside)))) >= 8
