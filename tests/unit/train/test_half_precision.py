"""float16 has few exponent bits: the loss is scaled, the gradient scaled back, the scale lowered where it overflows.

A scale is a power of two, so scaling and scaling back round nothing: where the network computes in float32, the updates
of a scaled run are those of a plain one, to the last bit. That is what shows a gradient that was not scaled back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch

from peakmark.checkpoint.digest import digest
from peakmark.checkpoint.format import snapshot
from peakmark.data.loader import Microbatch
from peakmark.distributed.processes import ALONE
from peakmark.loss.detection import Objective, detection_loss
from peakmark.machine.devices import Arithmetic
from peakmark.model.norm_statistics import StatisticsByWindow
from peakmark.nouns.batch import Batch
from peakmark.nouns.losses import Gains, HeadOutput, LossSums
from peakmark.settings.recipe import VERSION
from peakmark.state.state import RunState
from peakmark.train import step
from peakmark.train.network import PlainNetwork
from peakmark.train.schedule import Rates
from peakmark.train.step import Attempt, Stepper
from peakmark.train.windows import Window

FIRST_SCALE = 65536.0
HALF = Arithmetic("cpu", "test", "float16", 1, True, True)
FULL = dataclasses.replace(HALF, precision="float32")
Spoil = Callable[[float], None]


def attempt(state: RunState, batch: Batch, *, arithmetic: Arithmetic = FULL, clip_grad: float = 10.0) -> Attempt:
    """One update of a window of one microbatch, in which only `arithmetic` says what the network computes in."""
    statistics = StatisticsByWindow(state.model, VERSION, ALONE)
    return Stepper(
        state, PlainNetwork(state.model, arithmetic), Objective(Gains(7.5, 0.5, 1.5), VERSION), clip_grad, statistics
    ).attempt(
        Window((Microbatch(0, len(batch)),), 1.0),
        iter([batch]),
        Rates(0.01, 0.01, 0.9),
        watch=lambda computed, batch: None,
        stop_requested=lambda: False,
    )


def learnt(state: RunState) -> str:
    parts = (state.model.state_dict(), state.ema.state_dict(), state.optimizer.state_dict())
    return digest([snapshot(part) for part in parts])


@pytest.fixture
def state(make_state: Callable[..., RunState]) -> RunState:
    return make_state(arithmetic=HALF)


@pytest.fixture
def overflow_above(monkeypatch: pytest.MonkeyPatch) -> Spoil:
    """Makes every gradient infinite that comes at a scale above a limit, as float16 would: 0 for each and every one."""

    def plant(limit: float) -> None:
        def spoiled(output: HeadOutput, batch: Batch, **rules: Any) -> LossSums:
            sums = detection_loss(output, batch, **rules)
            return dataclasses.replace(sums, box=_overflowing(sums.box, limit))

        monkeypatch.setattr(step, "detection_loss", spoiled)

    return plant


def _overflowing(term: torch.Tensor, limit: float) -> torch.Tensor:
    """The same value; what comes back to it as a gradient is made infinite where it is above what a loss of scale 1
    and two images could have, times the limit."""

    class Overflowing(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, value: torch.Tensor) -> torch.Tensor:
            return value.clone()

        @staticmethod
        def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
            return gradient * float("inf") if gradient.abs().max() > limit * 7.5 * 2 else gradient

    result: torch.Tensor = Overflowing.apply(term)  # type: ignore[no-untyped-call]
    return result


@pytest.mark.parametrize("clip_grad", [0.0, 0.5])
def test_a_scaled_update_is_the_plain_one_to_the_last_bit(make_state, state, make_batch, clip_grad):
    plain = make_state()
    for number in range(3):
        for one in (plain, state):
            assert attempt(one, make_batch(number), clip_grad=clip_grad).outcome == "updated"
    assert plain.scaler is None
    assert state.scaler is not None
    assert state.scaler.get_scale() == FIRST_SCALE
    assert learnt(state) == learnt(plain)


def test_an_overflow_lowers_the_scale_until_the_gradient_fits_and_is_no_sign_of_trouble(
    state, make_batch, overflow_above
):
    overflow_above(5000.0)
    scaler, before = state.scaler, learnt(state)
    done = []
    for _ in range(5):
        done.append(attempt(state, make_batch(0)))
        if done[-1].outcome == "skipped":
            assert learnt(state) == before
    assert [(each.outcome, each.overflow) for each in done] == [("skipped", True)] * 4 + [("updated", False)]
    assert scaler.get_scale() == FIRST_SCALE / 16
    assert state.ema_updates == 1


def test_a_gradient_that_is_finite_at_no_scale_is_trouble_once_the_scale_is_1(state, make_batch, overflow_above):
    """Else a run goes on for ever without an update, and the scale falls to where every gradient is lost."""
    overflow_above(0.0)
    done = [attempt(state, make_batch(0)) for _ in range(19)]
    assert all(each.outcome == "skipped" for each in done)
    assert [each.overflow for each in done] == [True] * 16 + [False] * 3
    assert state.scaler.get_scale() == 1.0
    assert done[-1].files == ("0-0.png", "0-1.png")


def test_the_scale_and_what_it_waits_for_are_part_of_the_state(make_state, state, make_batch, overflow_above):
    """`state/capture.py` restores them: tests/unit/resume. Here that the next updates depend on them."""
    overflow_above(5000.0)
    for _ in range(4):
        attempt(state, make_batch(0))
    twin = make_state(arithmetic=HALF)
    twin.scaler.load_state_dict(state.scaler.state_dict())
    assert attempt(twin, make_batch(0)).outcome == "updated"
    assert attempt(make_state(arithmetic=HALF), make_batch(0)).outcome == "skipped"


def gradient(state: RunState, batch: Batch, arithmetic: Arithmetic, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """What the optimizer is given in the first update that is made."""
    found: list[torch.Tensor] = []

    def keep(closure: object = None) -> None:
        found.extend(p.grad.flatten().clone() for p in state.model.parameters() if p.grad is not None)

    monkeypatch.setattr(state.optimizer, "step", keep)
    outcomes = [attempt(state, batch, arithmetic=arithmetic, clip_grad=0).outcome for _ in range(17) if not found]
    assert outcomes[-1] == "updated"
    return torch.cat(found)


def larger(batch: Batch) -> Batch:
    """Its images three times as wide and high: norms over the few values of small ones magnify every rounding."""
    images = batch.images_BCHW.repeat_interleave(3, 2).repeat_interleave(3, 3)
    return dataclasses.replace(batch, images_BCHW=images, boxes_xyxy_px=batch.boxes_xyxy_px * 3)


def test_a_network_in_float16_is_given_the_gradient_of_float32(make_state, state, make_batch, monkeypatch):
    """The whole path as a GPU without bfloat16 goes it, here on the processor; rounded, but in its own size."""
    half = gradient(state, larger(make_batch(0, 8)), HALF, monkeypatch)
    full = gradient(make_state(), larger(make_batch(0, 8)), FULL, monkeypatch)
    other = gradient(make_state(), larger(make_batch(1, 8)), FULL, monkeypatch)
    assert half.dtype == torch.float32
    assert (half - full).norm() < 0.25 * full.norm()
    assert (other - full).norm() > full.norm()
