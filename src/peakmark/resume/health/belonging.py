"""Did average, weights, optimizer and batch-norm statistics of a checkpoint come the same way? Measured on its tensors.

With decay d the average lags behind by the sum of d^k times the k-th last update. An update is the rate times the
direction that the optimizer's moments hold, so length and direction of the lag can be foretold from the moments. The
figures behind the limits are in `docs/continuity.md`. It must not know what follows from a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from peakmark.checkpoint.format import Checkpoint
from peakmark.model.blocks import NORM_MOMENTUM
from peakmark.model.detector import detector_on_meta
from peakmark.model.norm_statistics import gain
from peakmark.model.scales import SCALES
from peakmark.train.ema import ema_decay

_LEAST_UPDATES = 3
"""Before, the rate of the warm-up was about 0 and nothing moved."""
_LEAST_AGREEMENT = 0.1
"""Of what is foretold: a long memory holds more than the moments do, and says nothing of them."""
_FOREIGN_SHARE = 0.5
_FAR = 10.0
_FAR_STATISTICS = 0.15
_FRESH_PER_MEMORY = 3
"""Memories of the average after which what was before a change is forgotten."""

Weights = Mapping[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Belonging:
    """How well the parts of a state fit each other."""

    equal: bool
    """Whether average and weights are the same, though they moved."""
    distance: float
    """Of the average from the weights, over what is foretold; NaN where nothing can be."""
    agreement: float
    """Cosine between the lag and the moments, the median over the tensors."""
    expected_agreement: float
    least_batches: int
    """That any statistics have seen."""
    batches_differ: bool
    """Between the statistics of the weights and those of the average."""
    untouched_statistics: bool
    statistics_distance: float
    """Between those of weights and average, in standard deviations, over the share that the average lags behind, and
    over how much farther than later a microbatch moves them."""

    @property
    def strayed(self) -> bool:
        return self.distance > _FAR

    @property
    def foreign(self) -> bool:
        return self.expected_agreement >= _LEAST_AGREEMENT and self.agreement < _FOREIGN_SHARE * self.expected_agreement

    @property
    def statistics_strayed(self) -> bool:
        return self.statistics_distance > _FAR_STATISTICS


def measure(checkpoint: Checkpoint) -> Belonging | None:
    """Measures a state; None where its tensors aren't those of its architecture.

    What can't be measured, since the run or its open segment is too young, is NaN, and no finding follows from it.
    """
    names = _trained(checkpoint)
    averages, weights = checkpoint.model, checkpoint.training_weights
    if any(name not in weights or name not in averages for group in names for name in group):
        return None
    norms = _norms(names, weights)
    counts = [f"{norm}.num_batches_tracked" for norm in norms]
    updates = checkpoint.position.step - checkpoint.counters.get("skipped_steps", 0)
    decay = ema_decay(updates)
    ripe = updates >= _LEAST_UPDATES and _since_change(checkpoint) >= _FRESH_PER_MEMORY / (1 - decay)
    lags = list(_lags(checkpoint, names, decay)) if ripe else []
    least_batches = min(int(weights[count]) for count in counts)
    # As far as they moved when half as many were seen: a window holds several, and the average remembers some updates.
    quickness = gain(least_batches // 2, NORM_MOMENTUM, checkpoint.history.segments[-1].recipe["version"])
    gaps = [_statistics_gap(weights, averages, norm) for norm in norms] if ripe else []
    return Belonging(
        equal=ripe and all(torch.equal(weights[name], averages[name]) for group in names for name in group),
        distance=_median([distance for distance, _ in lags]),
        agreement=_median([agreement for _, agreement in lags]),
        expected_agreement=_agreement_of(decay, checkpoint.history.segments[-1].recipe["momentum"]),
        least_batches=least_batches,
        batches_differ=any(not torch.equal(weights[count], averages[count]) for count in counts),
        untouched_statistics=all(_untouched(weights, norm) for norm in norms),
        statistics_distance=_median(gaps) / (decay / math.sqrt(1 - decay**2)) / quickness if ripe else math.nan,
    )


def _since_change(checkpoint: Checkpoint) -> float:
    """Updates since the open segment began, or fewer; in the first there was no change."""
    history, position = checkpoint.history, checkpoint.position
    segment = history.segments[-1]
    if len(history.segments) == 1:
        return math.inf
    until = segment.from_epoch + (segment.from_images > 0)
    before = [record.step for record in history.records if record.epoch < until]
    return position.step - before[-1] if before and position.epoch >= until else 0


def _trained(checkpoint: Checkpoint) -> tuple[list[str], list[str], list[str]]:
    """Names of the trained tensors in the optimizer's order: weights, norms, biases (`train/optimizer.py`)."""
    model = detector_on_meta(SCALES[checkpoint.architecture], len(checkpoint.names))
    by_index = model.layers()
    frozen = [by_index[layer] for layer in checkpoint.settings["freeze"] if layer in by_index]
    still = {id(parameter) for layer in frozen for parameter in layer.parameters()}
    groups: tuple[list[str], list[str], list[str]] = ([], [], [])
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and id(parameter) not in still:
            owner, _, kind = name.rpartition(".")
            is_norm = f"{owner}.running_mean" in checkpoint.training_weights
            groups[2 if kind == "bias" else 1 if is_norm else 0].append(name)
    return groups


def _lags(checkpoint: Checkpoint, names: tuple[list[str], ...], decay: float) -> Iterator[tuple[float, float]]:
    """For each trained tensor that moved: length of the lag over what is foretold, and cosine with the moments."""
    with_moments = "momentum_buffer" if checkpoint.history.segments[-1].recipe["optimizer"] == "SGD" else "exp_avg"
    for number, (group, of_group) in enumerate(zip(checkpoint.optimizer["param_groups"], names, strict=True)):
        if len(group["params"]) != len(of_group):
            return
        rate = _highest_rate(checkpoint, number, group["lr"], decay)
        for index, name in zip(group["params"], of_group, strict=True):
            state = checkpoint.optimizer["state"].get(index, {})
            direction = _direction(state, group) if with_moments in state else None
            lag = checkpoint.model[name] - checkpoint.training_weights[name]
            if direction is None or direction.shape != lag.shape or not rate:
                continue
            length, step = float(lag.norm()), float(direction.norm())
            if length and step:
                foretold = decay / (1 - decay) * rate * step
                yield length / foretold, float((lag * direction).sum()) / (length * step)


def _highest_rate(checkpoint: Checkpoint, group: int, last: float, decay: float) -> float:
    """Of the updates that the average still remembers."""
    since = checkpoint.position.step - _FRESH_PER_MEMORY / (1 - decay)
    return max([last, *(record.lr[group] for record in checkpoint.history.records if record.step >= since)])


def _direction(state: Mapping[str, torch.Tensor], group: Mapping[str, Any]) -> torch.Tensor | None:
    """Which way the last update went, a unit rate long."""
    if "exp_avg" in state:
        made, (beta1, beta2) = float(state["step"]), group["betas"]
        deviation = (state["exp_avg_sq"] / (1 - beta2**made)).sqrt()
        direction: torch.Tensor = state["exp_avg"] / (1 - beta1**made) / (deviation + group["eps"])
        return direction
    return state.get("momentum_buffer")


def _agreement_of(decay: float, beta: float) -> float:
    """The cosine that is foretold where gradients are independent of each other: the moments hold a part of the lag."""
    both = decay * beta
    return math.sqrt((1 - decay**2) * (1 - both) / (1 + both)) / (1 - both)


def _norms(names: tuple[list[str], ...], weights: Weights) -> list[str]:
    owners = [name.removesuffix(".weight") for name in names[1]]
    return [owner for owner in owners if f"{owner}.running_var" in weights]


def _untouched(weights: Weights, norm: str) -> bool:
    return bool((weights[f"{norm}.running_mean"] == 0).all() and (weights[f"{norm}.running_var"] == 1).all())


def _statistics_gap(weights: Weights, averages: Weights, norm: str) -> float:
    here, there = weights[f"{norm}.running_mean"], averages[f"{norm}.running_mean"]
    deviation = (weights[f"{norm}.running_var"] + 1e-3).sqrt()
    return float(((here - there) / deviation).square().mean().sqrt())


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else math.nan
