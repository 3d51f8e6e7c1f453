"""Batch-norm statistics are an average over the last tenth of what was seen, until that is torch's 33 microbatches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from peakmark.distributed.processes import ALONE
from peakmark.model.norm_statistics import NormStatistics, StatisticsByWindow, StatisticsInPlace, gain
from peakmark.settings.recipe import VERSION

MOMENTUM = 0.03
SETTLED = 324
"""Microbatches after which a tenth of them is 1 / 0.03."""


Kind = Callable[[nn.Module, int], NormStatistics]


def norm_of(channels: int = 3, seen: int = 0) -> Any:
    norm: Any = nn.BatchNorm2d(channels, eps=1e-3, momentum=MOMENTUM)
    norm.num_batches_tracked.fill_(seen)
    return norm


def by_window(model: nn.Module, version: int) -> NormStatistics:
    return StatisticsByWindow(model, version, ALONE)


@pytest.fixture(params=[by_window, StatisticsInPlace])
def kind(request: pytest.FixtureRequest) -> Kind:
    made: Kind = request.param
    return made


def train(
    model: nn.Module,
    images: Sequence[torch.Tensor],
    kind: Kind = by_window,
    *,
    version: int = VERSION,
    window: int = 3,
) -> None:
    statistics = kind(model, version)
    for first in range(0, len(images), window):
        group = images[first : first + window]
        statistics.begin_window(len(group))
        for image in group:
            with statistics.microbatch():
                model(image)
        statistics.complete(len(group))


def noise(count: int, channels: int = 3) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    return [torch.randn(2, channels, 4, 4, generator=draw) * 3 + number for number in range(count)]


def test_the_first_microbatch_is_all_that_is_known(kind):
    norm, (image,) = norm_of(), noise(1)
    train(norm, [image], kind)
    torch.testing.assert_close(norm.running_mean, image.mean(dim=(0, 2, 3)), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(norm.running_var, image.var(dim=(0, 2, 3)), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("window", [1, 3, 50])
def test_each_one_counts_by_the_rule(kind, window):
    norm, images = norm_of(), noise(50)
    train(norm, images, kind, window=window)
    mean, variance = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    for seen, image in enumerate(images):
        share = max(MOMENTUM, 10 / (10 + seen))
        mean += share * (image.double().mean(dim=(0, 2, 3)) - mean)
        variance += share * (image.double().var(dim=(0, 2, 3)) - variance)
    torch.testing.assert_close(norm.running_mean.double(), mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(norm.running_var.double(), variance, rtol=1e-4, atol=1e-4)


def test_none_of_what_a_norm_began_with_is_left(kind):
    norm, images = norm_of(), [torch.full((2, 3, 4, 4), 5.0)] * 30
    train(norm, images, kind)
    torch.testing.assert_close(norm.running_mean, torch.full((3,), 5.0), rtol=0, atol=1e-4)
    assert norm.running_var.max() < 1e-4
    assert norm.running_var.min() >= 0, "rounded below 0 it would be no variance"


@pytest.mark.parametrize(("seen", "version"), [(SETTLED, VERSION), (10_000, VERSION), (0, 2), (0, 1)])
def test_in_place_torch_s_bits_stay_later_and_in_runs_from_before(seen, version):
    ours, theirs = norm_of(seen=seen), norm_of(seen=seen)
    images = noise(5)
    train(ours, images, StatisticsInPlace, version=version)
    for image in images:
        theirs(image)
    assert torch.equal(ours.running_mean, theirs.running_mean)
    assert torch.equal(ours.running_var, theirs.running_var)
    negative = norm_of(seen=SETTLED - 10)
    other = norm_of(seen=SETTLED - 10)
    train(negative, images, StatisticsInPlace)
    for image in images:
        other(image)
    assert not torch.equal(negative.running_mean, other.running_mean)


def test_a_norm_that_brings_statistics_keeps_them_beside_one_that_is_new(kind):
    brought, new, images = norm_of(seen=5000), norm_of(), noise(1)
    train(nn.Sequential(brought, new), images, kind)
    torch.testing.assert_close(brought.running_mean, MOMENTUM * images[0].mean(dim=(0, 2, 3)))
    torch.testing.assert_close(new.running_mean, torch.zeros(3), rtol=0, atol=1e-5)
    assert new.running_var.max() < 1.1


def test_frozen_norms_stay_as_they_are(kind):
    frozen, trained = norm_of().eval(), norm_of()
    train(nn.Sequential(frozen, trained), noise(4), kind)
    assert frozen.running_mean.tolist() == [0, 0, 0]
    assert frozen.running_var.tolist() == [1, 1, 1]
    assert trained.running_mean.abs().min() > 0


def test_the_gain_falls_to_one_and_stays_there():
    gains = [gain(seen, MOMENTUM, VERSION) for seen in range(1000)]
    assert gains == sorted(gains, reverse=True)
    assert gains[0] * MOMENTUM == pytest.approx(1)
    assert gains.index(1.0) == SETTLED


def test_by_window_they_stay_within_it_and_move_by_its_microbatches_in_their_order():
    norm, images = norm_of(seen=20), noise(3)
    before = norm.running_mean.clone()
    statistics = by_window(norm, VERSION)
    statistics.begin_window(3)
    rows = []
    for image in images:
        with statistics.microbatch():
            norm(image)
        rows.append(image.mean(dim=(0, 2, 3)))
    statistics.complete(3)
    expected = before
    for seen, row in enumerate(rows, 20):
        expected = torch.lerp(expected, row, 10 / (10 + seen))
    torch.testing.assert_close(norm.running_mean, expected, rtol=1e-6, atol=1e-6)
    assert int(norm.num_batches_tracked) == 23
    assert norm.momentum == MOMENTUM, "whoever reads the network later finds it as it was"


def test_a_window_that_is_dropped_counts_for_nothing():
    norm, images = norm_of(), noise(6)
    again = norm_of()
    statistics = by_window(norm, VERSION)
    set_aside = [buffer.clone() for buffer in norm.buffers()]
    statistics.begin_window(3)
    for image in images[:2]:
        with statistics.microbatch():
            norm(image)
    for buffer, before in zip(norm.buffers(), set_aside, strict=True):
        buffer.copy_(before)
    statistics.begin_window(3)
    for image in images[3:]:
        with statistics.microbatch():
            norm(image)
    statistics.complete(3)
    train(again, images[3:], by_window)
    assert torch.equal(norm.running_mean, again.running_mean)
    assert torch.equal(norm.num_batches_tracked, again.num_batches_tracked)
