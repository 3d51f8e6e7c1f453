"""A picture of the state shares nothing with it, and put into fresh objects it is the same state."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from peakmark.checkpoint.digest import digests
from peakmark.checkpoint.format import Checkpoint, from_plain, to_plain
from peakmark.machine.devices import Arithmetic
from peakmark.model.detector import build_detector
from peakmark.model.scales import SCALES
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import EpochRecord, Position
from peakmark.run.build import first_segment, new_state
from peakmark.settings.description import describe
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import recipe
from peakmark.state.capture import RunFacts, capture, restore, result_settings
from peakmark.state.state import OpenEpoch, RunState
from peakmark.train.ema import update_ema

ARITHMETIC = Arithmetic("cpu", "test", "float32", 1, True, True)


def settings_of(optimizer: str) -> Settings:
    return Settings.model_validate({"data": "x.yaml", "optimizer": optimizer, "lr0": 0.01})


def fresh(optimizer: str, seed: int = 0, arithmetic: Arithmetic = ARITHMETIC) -> RunState:
    settings = settings_of(optimizer)
    model = build_detector(SCALES["yolov8t"], 2, seed=seed)
    segment = first_segment(settings, recipe(settings, classes=2, images=100), None)
    return new_state(settings, model, arithmetic, segment)


def facts_of(optimizer: str) -> RunFacts:
    provenance = {"versions": {"peakmark": "0"}, "data": {"train": "0"}, "created_at": "then", "parent": None}
    return RunFacts(settings_of(optimizer), ("cat", "dog"), "yolov8n", ARITHMETIC, provenance)


def advance(state: RunState, updates: int = 1) -> None:
    """Makes updates with gradients from a formula: quick, and everything moves."""
    for _ in range(updates):
        for number, parameter in enumerate(state.model.parameters()):
            if parameter.requires_grad:
                parameter.grad = torch.sin(parameter.detach() * 50 + number + state.ema_updates)
        with torch.no_grad():
            for buffer in state.model.buffers():
                buffer += 1 if not buffer.is_floating_point() else 0.125
        state.optimizer.step()
        state.optimizer.zero_grad(set_to_none=True)
        state.ema_updates += 1
        update_ema(state.ema, state.model, state.ema_updates)


def record(epoch: int, fitness: float | None) -> EpochRecord:
    metrics = None if fitness is None else {"map50_95": fitness}
    return EpochRecord(epoch, 0, 3 * (epoch + 1), 20, Losses(1, 2, 3), (0.1, 0.1, 0.1), metrics, fitness=fitness)


@pytest.fixture(params=["AdamW", "SGD"])
def optimizer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def trained(optimizer: str) -> RunState:
    """A state in which nothing is as it was at the beginning."""
    state = fresh(optimizer)
    advance(state, 2)
    state.position = Position(1, 8, "train", 4)
    state.open_epoch = OpenEpoch(Losses(1.5, 2.5, 3.5), 8, 1, 0.75)
    state.skipped_in_a_row, state.skipped_steps = 1, 2
    state.history = dataclasses.replace(state.history, records=(record(0, 0.25),))
    return state


def tensors_of(checkpoint: Checkpoint) -> list[torch.Tensor]:
    states = checkpoint.optimizer["state"].values()
    moments = [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
    return [*checkpoint.model.values(), *checkpoint.training_weights.values(), *moments]


def test_captured_restored_captured_is_the_same(trained: RunState, optimizer: str):
    before = capture(trained, facts_of(optimizer))
    other = fresh(optimizer, seed=9)
    assert digests(capture(other, facts_of(optimizer))) != digests(before)
    restore(before, other)
    assert digests(capture(other, facts_of(optimizer))) == digests(before)
    assert other.open_epoch == trained.open_epoch
    assert (other.position, other.history) == (trained.position, trained.history)
    assert (other.skipped_in_a_row, other.skipped_steps, other.ema_updates) == (1, 2, 2)


def test_the_scale_of_float16_is_restored_with_what_it_has_counted():
    """Begun anew at 65,536, a resumed run skips updates that the uninterrupted one makes."""
    half = dataclasses.replace(ARITHMETIC, precision="float16")
    facts = dataclasses.replace(facts_of("SGD"), arithmetic=half)
    trained, other, untouched = (fresh("SGD", arithmetic=half) for _ in range(3))
    assert trained.scaler is not None
    assert other.scaler is not None
    # A scale takes its tensors when it is first used, which a state that is restored has not done yet.
    trained.scaler.scale(torch.ones(1))
    trained.scaler.load_state_dict({**trained.scaler.state_dict(), "scale": 512.0, "_growth_tracker": 7})
    checkpoint = from_plain(to_plain(capture(trained, facts)))
    restore(checkpoint, other)
    assert (other.scaler.get_scale(), other.scaler.state_dict()["_growth_tracker"]) == (512.0, 7)
    assert digests(capture(other, facts)) == digests(capture(trained, facts))
    assert digests(capture(untouched, facts))["everything"] != digests(capture(trained, facts))["everything"]


def test_the_restored_state_goes_on_as_the_first_one_does(trained: RunState, optimizer: str):
    other = fresh(optimizer, seed=9)
    restore(from_plain(to_plain(capture(trained, facts_of(optimizer)))), other)
    for state in (trained, other):
        advance(state, 2)
    assert digests(capture(other, facts_of(optimizer))) == digests(capture(trained, facts_of(optimizer)))


def test_a_picture_does_not_move_with_the_state(trained: RunState, optimizer: str):
    checkpoint = capture(trained, facts_of(optimizer))
    before = digests(checkpoint)
    advance(trained)
    trained.position = Position(7)
    trained.open_epoch.sums = Losses(99.0, 2.5, 3.5)
    assert digests(checkpoint) == before


def test_pictures_share_no_storage_with_the_state_or_each_other(trained: RunState, optimizer: str):
    live = [*trained.model.state_dict().values(), *trained.ema.state_dict().values()]
    states = trained.optimizer.state_dict()["state"].values()
    live += [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
    first, second = (capture(trained, facts_of(optimizer)) for _ in range(2))
    places = [tensor.untyped_storage().data_ptr() for tensor in (*live, *tensors_of(first), *tensors_of(second))]
    assert len(set(places)) == len(places)


def test_a_restored_state_shares_no_storage_with_its_picture(trained: RunState, optimizer: str):
    checkpoint, other = capture(trained, facts_of(optimizer)), fresh(optimizer)
    restore(checkpoint, other)
    before = digests(checkpoint)
    advance(other)
    assert digests(checkpoint) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda s: setattr(s, "position", dataclasses.replace(s.position, images=16)),
        lambda s: setattr(s, "ema_updates", 3),
        lambda s: setattr(s.open_epoch, "sums", Losses(1.25, 2.5, 3.5)),
        lambda s: setattr(s, "skipped_in_a_row", 0),
        lambda s: setattr(s, "history", dataclasses.replace(s.history, records=(record(0, 0.5),))),
        lambda s: s.model.backbone.stem.norm.running_mean.add_(1e-6),
        lambda s: s.ema.head.cls[0][2].bias.data.add_(1e-3),
    ],
)
def test_everything_that_determines_the_future_is_in_the_digest(change):
    states = [fresh("SGD"), fresh("SGD")]
    for state in states:
        state.position = Position(1, 8, "train", 4)
        state.skipped_in_a_row = 1
        state.history = dataclasses.replace(state.history, records=(record(0, 0.25),))
    change(states[1])
    first, second = (digests(capture(state, facts_of("SGD")))["everything"] for state in states)
    assert first != second


@pytest.mark.parametrize(
    ("position", "fitness", "weights_epoch", "validated"),
    [
        (Position(1, 0, "train", 3), 0.25, 0, True),
        (Position(1, 0, "train", 3), None, 0, False),
        (Position(1, 8, "train", 4), 0.25, None, False),
        (Position(1, 20, "validate", 6), 0.25, 1, False),
        (Position(0, 20, "validate", 3), None, 0, False),
        (Position(), None, None, False),
    ],
)
def test_weights_carry_only_numbers_of_their_own(
    position: Position, fitness: float | None, weights_epoch: int | None, validated: bool
):
    state = fresh("SGD")
    state.position = position
    if position.epoch:
        state.history = dataclasses.replace(state.history, records=(record(0, fitness),))
    checkpoint = capture(state, facts_of("SGD"))
    assert (checkpoint.weights_epoch, checkpoint.validated) == (weights_epoch, validated)
    assert checkpoint.fitness == (fitness if validated else None)
    assert (checkpoint.metrics is not None) is validated


def test_settings_that_bear_on_the_result_are_those_that_say_so():
    names = result_settings(Settings(data="-"))
    assert {"lr0", "seed", "imgsz", "mosaic", "freeze"} <= set(names)
    assert not {"workers", "project", "name", "time", "device", "save_period"} & set(names)


def test_a_setting_that_was_added_is_covered_only_where_it_is_in_use():
    """Or every run that began before it was there would have another digest, and could not be restored to its own."""
    off, on = (Settings.model_validate({"data": "x.yaml", "cls_pw": power}) for power in (0.0, 0.5))
    assert set(result_settings(on)) - set(result_settings(off)) == {"cls_pw"}
    added = [setting for setting in describe(Settings).values() if setting.added]
    assert all(setting.bears_on == "result" for setting in added)
