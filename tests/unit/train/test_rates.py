"""Rates and momentum are functions of the position: warm-up, a line or a cosine, and the rule for what is left open."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

from peakmark.model.detector import Detector, build_detector
from peakmark.model.scales import SCALES
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import Recipe, recipe
from peakmark.train.optimizer import build_optimizer, set_rates
from peakmark.train.schedule import decay, rates
from peakmark.train.step import freeze
from peakmark.train.windows import Window


def make(**changes: Any) -> Settings:
    return Settings.model_validate({"data": "x.yaml", "epochs": 10} | changes)


def choose(settings: Settings, images: int = 205) -> Recipe:
    return recipe(settings, classes=3, images=images)


# --- schedule ------------------------------------------------------------------------------------------------------


def test_the_line_falls_evenly_from_lr0():
    settings = make(lrf=0.1)
    assert [decay(settings, 10, epoch) for epoch in (0, 5, 9)] == pytest.approx([1, 0.55, 0.1 + 0.9 * 0.1])


@pytest.mark.parametrize("cos_lr", [False, True])
def test_beyond_the_horizon_the_rate_stays(cos_lr):
    settings = make(cos_lr=cos_lr, epochs=15)
    assert {decay(settings, 10, epoch) for epoch in (9, 10, 14)} == {decay(make(cos_lr=cos_lr), 10, 9)}


def test_the_cosine_falls_slowly_fast_slowly():
    settings = make(cos_lr=True, lrf=0.01)
    shares = [decay(settings, 10, epoch) for epoch in range(10)]
    assert shares == pytest.approx([0.01 + 0.99 * (1 + math.cos(math.pi * e / 10)) / 2 for e in range(10)])
    steps = [a - b for a, b in pairwise(shares)]
    assert steps[5] > 2 * steps[0] > 0


def test_the_warm_up_leads_from_its_start_to_the_epochs_rate(segment_of):
    settings = make(lr0=0.02, momentum=0.9, warmup_momentum=0.6, warmup_bias_lr=0.1, optimizer="SGD")
    segment = segment_of(settings)
    first, half, last = (rates(settings, segment, 1, Window((), share)) for share in (0.0, 0.5, 1.0))
    lr = 0.02 * decay(settings, 10, 1)
    assert (first.weights_lr, first.biases_lr, first.momentum) == (0, 0.1, 0.6)
    assert (half.weights_lr, half.biases_lr, half.momentum) == pytest.approx((lr / 2, (0.1 + lr) / 2, 0.75))
    assert (last.weights_lr, last.biases_lr, last.momentum) == pytest.approx((lr, lr, 0.9))
    rewarmed = rates(settings, segment, 1, Window((), 1.0, rewarm=0.25))
    assert rewarmed.per_group() == pytest.approx((lr / 4, lr / 4, lr / 4))
    assert half.per_group() == (half.weights_lr, half.weights_lr, half.biases_lr)


# --- recipe --------------------------------------------------------------------------------------------------------


def test_auto_takes_adamw_for_short_runs_and_sgd_for_long_ones():
    short = choose(make(epochs=30))
    assert (short.optimizer, short.lr0, short.momentum, short.warmup_bias_lr) == ("AdamW", 0.001429, 0.9, 0.0)
    # 10,000 updates of 64 images; 16 a microbatch gather up to that.
    assert choose(make(epochs=100), images=6400).optimizer == "SGD"
    assert choose(make(epochs=100), images=6336).optimizer == "AdamW"
    long = choose(make(epochs=100), images=6400)
    assert (long.lr0, long.momentum) == (0.01, 0.9)


@pytest.mark.parametrize("optimizer", ["auto", "SGD", "Adam", "AdamW"])
def test_what_the_user_sets_beats_the_rule(optimizer: str):
    chosen = choose(make(optimizer=optimizer, lr0=0.123, momentum=0.45, warmup_bias_lr=0.067))
    assert (chosen.lr0, chosen.momentum, chosen.warmup_bias_lr) == (0.123, 0.45, 0.067)
    one = choose(make(optimizer="auto", lr0=0.123))
    assert (one.optimizer, one.lr0, one.momentum) == ("AdamW", 0.123, 0.9)


def test_a_named_optimizer_has_the_known_defaults():
    chosen = choose(make(optimizer="SGD"))
    assert (chosen.optimizer, chosen.lr0, chosen.momentum, chosen.warmup_bias_lr) == ("SGD", 0.01, 0.937, 0.1)


def test_weight_decay_goes_with_the_images_of_a_window():
    assert choose(make(batch=16, nbs=64)).weight_decay == pytest.approx(0.0005)
    assert choose(make(batch=128, nbs=64)).weight_decay == pytest.approx(0.001)
    assert choose(make(batch=24, nbs=64)).weight_decay == pytest.approx(0.0005 * 72 / 64)


# --- optimizer -----------------------------------------------------------------------------------------------------


@pytest.fixture
def model() -> Detector:
    return build_detector(SCALES["yolov8t"], 2, seed=0)


@pytest.mark.parametrize("frozen", [(), (0, 1, 2, 9), tuple(range(22))])
def test_groups_are_disjoint_complete_and_leave_out_what_is_frozen(model: Detector, frozen: tuple[int, ...]):
    freeze(model, frozen)
    optimizer = build_optimizer(model, choose(make()))
    weights, norms, biases = (group["params"] for group in optimizer.param_groups)
    grouped = [id(parameter) for parameter in (*weights, *norms, *biases)]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    stem, bins = id(model.backbone.stem.conv.weight), id(model.head.bins)
    assert (stem in grouped) is (0 not in frozen)
    assert bins not in grouped


def test_only_weights_decay(model: Detector):
    optimizer = build_optimizer(model, choose(make(weight_decay=0.01)))
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0, 0.0]
    weights, norms, biases = (group["params"] for group in optimizer.param_groups)
    assert {parameter.ndim for parameter in weights} == {4}
    assert all(id(m.weight) in map(id, norms) for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert sum(m.bias is not None for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)) == len(biases)


@pytest.mark.parametrize(
    ("name", "kind"), [("SGD", torch.optim.SGD), ("Adam", torch.optim.Adam), ("AdamW", torch.optim.AdamW)]
)
def test_updates_are_those_of_torchs_own_optimizer(name: str, kind: Callable[..., torch.optim.Optimizer]):
    """Taking the compiler's wrappers off changes no bit, also after a state was read."""
    generator = torch.Generator().manual_seed(0)
    ours, theirs = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    theirs.load_state_dict(ours.state_dict())
    chosen = choose(make(optimizer=name, momentum=0.9))
    optimizer = build_optimizer(ours, chosen)
    twin = {id(one): other for one, other in zip(ours.parameters(), theirs.parameters(), strict=True)}
    reference = kind(
        [{**group, "params": [twin[id(one)] for one in group["params"]]} for group in optimizer.param_groups]
    )
    for step in range(6):
        for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            one.grad = torch.randn(one.shape, generator=generator)
            other.grad = one.grad.clone()
        optimizer.step()
        reference.step()
        optimizer.zero_grad()
        assert all(parameter.grad is None for parameter in ours.parameters())
        if step == 2:
            state, optimizer = copy.deepcopy(optimizer.state_dict()), build_optimizer(ours, chosen)
            optimizer.load_state_dict(state)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(one, other)
    kept, expected = optimizer.state_dict(), reference.state_dict()
    assert kept["param_groups"] == expected["param_groups"]
    assert kept["state"].keys() == expected["state"].keys()
    for number, wanted in expected["state"].items():
        assert wanted
        for key, value in wanted.items():
            assert torch.equal(kept["state"][number][key], value)


@pytest.mark.parametrize(
    ("name", "kind"), [("SGD", torch.optim.SGD), ("Adam", torch.optim.Adam), ("AdamW", torch.optim.AdamW)]
)
def test_rates_reach_every_group(model: Detector, name: str, kind: type[torch.optim.Optimizer]):
    optimizer = build_optimizer(model, choose(make(optimizer=name)))
    assert isinstance(optimizer, kind)
    set_rates(optimizer, (0.1, 0.2, 0.3), 0.77)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2, 0.3]
    for group in optimizer.param_groups:
        assert (group["betas"] if "betas" in group else group["momentum"]) == (
            (0.77, 0.999) if "betas" in group else 0.77
        )
    if name == "SGD":
        assert all(group["nesterov"] for group in optimizer.param_groups)
