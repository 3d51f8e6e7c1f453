"""An update happens as a whole or not at all: weights, buffers, optimizer and average stay equal to the last bit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import torch

from peakmark.checkpoint.digest import digest
from peakmark.checkpoint.format import snapshot
from peakmark.data.loader import Microbatch
from peakmark.distributed.processes import ALONE
from peakmark.errors import DataError, SettingsError
from peakmark.loss.detection import Objective, detection_loss
from peakmark.machine.devices import Arithmetic
from peakmark.model.norm_statistics import StatisticsByWindow
from peakmark.nouns.batch import Batch
from peakmark.nouns.losses import Gains, HeadOutput, Losses, LossSums
from peakmark.run.open_data import check_no_lone_value
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION
from peakmark.state.state import RunState
from peakmark.train import step
from peakmark.train.network import PlainNetwork
from peakmark.train.schedule import Rates
from peakmark.train.step import Attempt, Stepper, freeze, weighted
from peakmark.train.windows import Window

GAINS = Gains(7.5, 0.5, 1.5)
RATES = Rates(0.01, 0.01, 0.9)
MakeState = Callable[..., RunState]
MakeBatch = Callable[..., Batch]


def window_of(batches: Sequence[Batch]) -> Window:
    parts, first = [], 0
    for batch in batches:
        parts.append(Microbatch(first, len(batch)))
        first += len(batch)
    return Window(tuple(parts), 1.0)


def attempt(
    state: RunState,
    arithmetic: Arithmetic,
    batches: Sequence[Batch],
    *,
    clip_grad: float = 10.0,
    stop_after: int | None = None,
    rates: Rates = RATES,
    rest: Iterator[Batch] | None = None,
) -> Attempt:
    seen: list[Losses] = []
    statistics = StatisticsByWindow(state.model, VERSION, ALONE)
    network = PlainNetwork(state.model, arithmetic)
    return Stepper(state, network, Objective(GAINS, VERSION), clip_grad, statistics).attempt(
        window_of(batches),
        iter(batches) if rest is None else rest,
        rates,
        watch=lambda computed, batch: seen.append(computed.losses),
        stop_requested=lambda: stop_after is not None and len(seen) >= stop_after,
    )


def everything(state: RunState) -> str:
    """A digest of all that an update may touch."""
    parts = (state.model.state_dict(), state.ema.state_dict(), state.optimizer.state_dict())
    return digest([*(snapshot(part) for part in parts), state.ema_updates])


def plant(monkeypatch: pytest.MonkeyPatch, at: int, change: Callable[[LossSums], LossSums]) -> None:
    """Lets the loss of microbatch number `at` go wrong."""
    calls = iter(range(1000))

    def spoiled(output: HeadOutput, batch: Batch, **rules: Any) -> LossSums:
        sums = detection_loss(output, batch, **rules)
        return change(sums) if next(calls) == at else sums

    monkeypatch.setattr(step, "detection_loss", spoiled)


def nan_loss(sums: LossSums) -> LossSums:
    return LossSums(sums.box * float("nan"), sums.cls, sums.dfl, sums.target_scores)


def nan_gradient(sums: LossSums) -> LossSums:
    """A finite loss whose gradient is not: the slope of a root at 0."""
    return LossSums((sums.cls * 0).sqrt() + sums.box, sums.cls, sums.dfl, sums.target_scores)


@pytest.fixture
def state(make_state: MakeState, make_batch: MakeBatch, arithmetic: Arithmetic) -> RunState:
    """A state with moments in its optimizer and statistics in its norms: it has made an update."""
    state = make_state()
    assert attempt(state, arithmetic, [make_batch(100)]).outcome == "updated"
    return state


def test_an_update_moves_everything(state: RunState, make_batch: MakeBatch, arithmetic: Arithmetic):
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    average = {name: tensor.clone() for name, tensor in state.ema.state_dict().items()}
    done = attempt(state, arithmetic, [make_batch(0), make_batch(1)])
    assert done.outcome == "updated"
    assert [images for _, images in done.losses] == [2, 2]
    assert state.ema_updates == 2
    for name, tensor in state.model.state_dict().items():
        if name != "head.bins":
            assert not torch.equal(tensor, before[name]), name
            assert not torch.equal(state.ema.state_dict()[name], average[name]), name
    assert all(parameter.grad is None for parameter in state.model.parameters())


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize(("kind", "what"), [(nan_loss, "the loss"), (nan_gradient, "the gradient")])
def test_something_not_finite_harms_nothing_and_names_the_images(
    state: RunState,
    make_batch: MakeBatch,
    arithmetic: Arithmetic,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    kind: Any,
    what: str,
):
    before = everything(state)
    plant(monkeypatch, at, kind)
    batches = [make_batch(number) for number in range(4)]
    rest = iter(batches)
    done = attempt(state, arithmetic, batches[:3], rest=rest)
    assert (done.outcome, done.what, done.overflow) == ("skipped", what, False)
    assert everything(state) == before
    shown = batches[at : at + 1] if kind is nan_loss else batches[:3]
    assert done.files == tuple(file for batch in shown for file in batch.files)
    assert len(done.losses) == (at if kind is nan_loss else 3)
    assert next(rest) is batches[3], "the next window must begin with its own images"


def test_the_update_after_a_skipped_one_is_as_if_it_had_not_been(
    state: RunState, make_batch: MakeBatch, arithmetic: Arithmetic, monkeypatch: pytest.MonkeyPatch
):
    twin = copy.deepcopy(state)
    twin.optimizer = _optimizer_of(twin, state)
    plant(monkeypatch, 1, nan_loss)
    attempt(state, arithmetic, [make_batch(0), make_batch(1)])
    monkeypatch.undo()
    for one in (state, twin):
        assert attempt(one, arithmetic, [make_batch(5)]).outcome == "updated"
    assert everything(state) == everything(twin)


def _optimizer_of(twin: RunState, state: RunState) -> torch.optim.Optimizer:
    """The twin's own optimizer: a deep copy of one alone would go on with copies of its parameters."""
    names = {id(parameter): name for name, parameter in state.model.named_parameters()}
    own = dict(twin.model.named_parameters())
    groups = [
        {**group, "params": [own[names[id(parameter)]] for parameter in group["params"]]}
        for group in state.optimizer.param_groups
    ]
    optimizer = torch.optim.AdamW(groups)
    optimizer.load_state_dict(copy.deepcopy(state.optimizer.state_dict()))
    return optimizer


@pytest.mark.parametrize("stop_after", [0, 1, 2])
def test_a_stop_within_a_window_leaves_its_start(
    state: RunState, make_batch: MakeBatch, arithmetic: Arithmetic, stop_after: int
):
    before = everything(state)
    batches = [make_batch(number) for number in range(3)]
    assert attempt(state, arithmetic, batches, stop_after=stop_after) == Attempt("stopped")
    assert everything(state) == before
    assert all(parameter.grad is None for parameter in state.model.parameters())


def test_a_batch_that_raises_leaves_the_windows_start(
    state: RunState, make_batch: MakeBatch, arithmetic: Arithmetic
) -> None:
    attempt(state, arithmetic, [make_batch(0)])
    before = everything(state)

    def breaking() -> Iterator[Batch]:
        yield make_batch(1)
        raise DataError("gone.jpg can't be read any more")

    with pytest.raises(DataError, match=r"gone\.jpg"):
        attempt(state, arithmetic, [make_batch(1), make_batch(2)], rest=breaking())
    assert everything(state) == before
    assert all(parameter.grad is None for parameter in state.model.parameters())


def test_only_an_error_within_the_update_leaves_a_state_that_is_not_whole(
    state: RunState, make_batch: MakeBatch, arithmetic: Arithmetic, monkeypatch: pytest.MonkeyPatch
):
    state.whole = True

    def no_memory(closure: object = None) -> None:
        raise MemoryError

    def fails(output: HeadOutput, batch: Batch, **rules: Any) -> LossSums:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(step, "detection_loss", fails)
        with pytest.raises(MemoryError):
            attempt(state, arithmetic, [make_batch(0)])
        assert state.whole
    monkeypatch.setattr(state.optimizer, "step", no_memory)
    with pytest.raises(MemoryError):
        attempt(state, arithmetic, [make_batch(0)])
    assert not state.whole


def test_the_gradient_is_that_of_the_sum_over_all_images(
    make_state: MakeState, make_batch: MakeBatch, arithmetic: Arithmetic, monkeypatch: pytest.MonkeyPatch
):
    state, batches = make_state(), [make_batch(0, 2), make_batch(1, 2), make_batch(2, 5)]
    reference = copy.deepcopy(state.model)
    total = torch.zeros(())
    for batch in batches:
        output = reference(arithmetic.prepare(batch.images_BCHW))
        loss, _ = weighted(detection_loss(output, batch, version=VERSION), GAINS)
        total = total + loss * len(batch)
    torch.autograd.backward(total)
    found: list[torch.Tensor] = []

    def keep(closure: object = None) -> None:
        found.extend(p.grad.clone() for p in state.model.parameters() if p.grad is not None)

    monkeypatch.setattr(state.optimizer, "step", keep)
    attempt(state, arithmetic, batches, clip_grad=0)
    expected = [p.grad for p in reference.parameters() if p.grad is not None]
    assert len(found) == len(expected) > 0
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("clip_grad", "clips"), [(0.5, True), (0.0, False), (1e9, False)])
def test_long_gradients_are_clipped(
    make_state: MakeState,
    make_batch: MakeBatch,
    arithmetic: Arithmetic,
    monkeypatch: pytest.MonkeyPatch,
    clip_grad: float,
    clips: bool,
):
    state = make_state()
    norms: list[float] = []

    def measure(closure: object = None) -> None:
        norms.append(float(torch.stack([p.grad.norm() for p in state.model.parameters() if p.grad is not None]).norm()))

    monkeypatch.setattr(state.optimizer, "step", measure)
    attempt(state, arithmetic, [make_batch(0)], clip_grad=clip_grad)
    assert (norms[0] == pytest.approx(0.5, rel=1e-3)) is clips
    assert clips or norms[0] > 1


def test_rates_are_set_before_the_update(state: RunState, make_batch: MakeBatch, arithmetic: Arithmetic):
    before = {name: parameter.detach().clone() for name, parameter in state.model.named_parameters()}
    attempt(state, arithmetic, [make_batch(0)], rates=Rates(0.0, 0.0, 0.5))
    assert all(group["lr"] == 0 and group["betas"][0] == 0.5 for group in state.optimizer.param_groups)
    assert all(torch.equal(parameter, before[name]) for name, parameter in state.model.named_parameters())


def test_frozen_layers_keep_weights_and_statistics(
    make_state: MakeState, make_batch: MakeBatch, arithmetic: Arithmetic
):
    state = make_state(freeze=(0, 2, 9))
    before = {name: tensor.clone() for name, tensor in state.model.state_dict().items()}
    for number in range(2):
        attempt(state, arithmetic, [make_batch(number)])
    frozen = ("backbone.stem.", "backbone.stage2.", "backbone.pyramid.", "head.bins")
    for name, tensor in state.model.state_dict().items():
        assert torch.equal(tensor, before[name]) is name.startswith(frozen), name
        if name.startswith(frozen):
            torch.testing.assert_close(state.ema.state_dict()[name], before[name])


def test_freezing_layers_without_weights_is_nothing(make_state: MakeState):
    state = make_state()
    freeze(state.model, (10, 11, 13, 14, 17, 20))
    assert sum(not parameter.requires_grad for parameter in state.model.parameters()) == 1  # the bins


def test_the_loss_is_computed_outside_of_mixed_precision(
    make_state: MakeState, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
):
    dtypes = []

    def look(output: HeadOutput, batch: Batch, **rules: Any) -> LossSums:
        assert not torch.is_autocast_enabled("cpu")
        dtypes.append(output.class_logits_BAC.dtype)
        return detection_loss(output, batch, **rules)

    monkeypatch.setattr(step, "detection_loss", look)
    attempt(make_state(), Arithmetic("cpu", "test", "bfloat16", 1, True, True), [make_batch(0)])
    assert dtypes == [torch.float32]


def test_losses_are_logged_with_their_gains_per_target_score():
    one = torch.tensor(1.0)
    loss, logged = weighted(LossSums(one * 2, one * 3, one * 4, one * 5), GAINS)
    assert logged.tolist() == pytest.approx([3.0, 0.3, 1.2])
    assert loss.item() == pytest.approx(4.5)
    few, _ = weighted(LossSums(one * 2, one * 3, one * 4, one * 0.25), Gains(1, 1, 1))
    assert few.item() == 9


@pytest.mark.parametrize(
    ("changes", "images", "refused"),
    [
        ({"imgsz": 32, "batch": 4}, 9, True),
        ({"imgsz": 32, "batch": 1}, 8, True),
        ({"imgsz": 64, "batch": 4, "multi_scale": 0.5}, 5, True),
        ({"imgsz": 32, "batch": 4}, 8, False),
        ({"imgsz": 64, "batch": 1}, 9, False),
        ({"imgsz": 96, "batch": 4, "multi_scale": 0.3}, 5, False),
    ],
)
def test_a_lone_image_too_small_to_normalise_is_refused_before_anything_starts(
    changes: dict[str, Any], images: int, refused: bool
):
    settings = Settings.model_validate({"data": "x.yaml"} | changes)
    if not refused:
        check_no_lone_value(settings, images)
        return
    with pytest.raises(SettingsError, match="alone in its microbatch"):
        check_no_lone_value(settings, images)
