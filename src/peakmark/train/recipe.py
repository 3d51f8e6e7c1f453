"""Which optimizer, with which numbers? What the settings leave open is chosen here, by a stated rule.

`optimizer=auto` follows the published behaviour for short trainings (under 10,000 updates): AdamW at
0.002 * 5 / (4 + classes), beta1 0.9, biases warmed up from 0. Longer ones take SGD at 0.01, momentum 0.9. An explicit
lr0, momentum or warmup_bias_lr always beats the rule.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from peakmark.settings.fields import Settings

SHORT_RUN_UPDATES = 10_000
_BETA2 = 0.999
OptimizerName = Literal["SGD", "Adam", "AdamW"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The optimizer with every number filled in."""

    optimizer: OptimizerName
    lr0: float
    momentum: float
    warmup_bias_lr: float
    weight_decay: float
    """Scaled by the images of a window over the nominal batch."""
    why: str
    """For a person."""


def recipe(settings: Settings, *, classes: int, images: int) -> Recipe:
    """Fills in what the settings leave open, for a run over `images` training images."""
    updates = settings.epochs * -(-images // max(settings.batch, settings.nbs))
    automatic = settings.optimizer == "auto"
    short = updates < SHORT_RUN_UPDATES
    name: OptimizerName = ("AdamW" if short else "SGD") if settings.optimizer == "auto" else settings.optimizer
    if automatic:
        lr0, momentum, bias_lr = (round(0.002 * 5 / (4 + classes), 6), 0.9, 0.0) if short else (0.01, 0.9, 0.0)
        why = f"auto: about {updates} updates, {'under' if short else 'not under'} {SHORT_RUN_UPDATES}"
    else:
        lr0, momentum, bias_lr = 0.01, 0.937, 0.1
        why = "as set"
    window = settings.batch * max(1, round(settings.nbs / settings.batch))
    return Recipe(
        optimizer=name,
        lr0=lr0 if settings.lr0 is None else settings.lr0,
        momentum=momentum if settings.momentum is None else settings.momentum,
        warmup_bias_lr=bias_lr if settings.warmup_bias_lr is None else settings.warmup_bias_lr,
        weight_decay=settings.weight_decay * window / settings.nbs,
        why=why,
    )


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Makes the optimizer with three groups: weights (decayed), norms, biases.

    Frozen parameters are in no group. That the groups are disjoint and complete is checked here: a parameter left out
    would silently never train.
    """
    weights, norms, biases = _groups(model)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    grouped = [*weights, *norms, *biases]
    if {id(p) for p in grouped} != {id(p) for p in trainable} or len(grouped) != len(trainable):
        raise AssertionError("the optimizer's groups are not disjoint and complete")
    groups = [
        {"params": weights, "weight_decay": recipe.weight_decay},
        {"params": norms, "weight_decay": 0.0},
        {"params": biases, "weight_decay": 0.0},
    ]
    if recipe.optimizer == "SGD":
        return torch.optim.SGD(groups, lr=recipe.lr0, momentum=recipe.momentum, nesterov=recipe.momentum > 0)
    kind = torch.optim.Adam if recipe.optimizer == "Adam" else torch.optim.AdamW
    return kind(groups, lr=recipe.lr0, betas=(recipe.momentum, _BETA2))


def _groups(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter], list[nn.Parameter]]:
    weights, norms, biases = [], [], []
    for module in model.modules():
        for name, parameter in _own_trainable(module):
            if name == "bias":
                biases.append(parameter)
            elif isinstance(module, nn.BatchNorm2d):
                norms.append(parameter)
            else:
                weights.append(parameter)
    return weights, norms, biases


def _own_trainable(module: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    return ((name, p) for name, p in module.named_parameters(recurse=False) if p.requires_grad)


def set_rates(optimizer: torch.optim.Optimizer, per_group_lr: tuple[float, ...], momentum: float) -> None:
    """Writes one update's rates into the optimizer."""
    for group, lr in zip(optimizer.param_groups, per_group_lr, strict=True):
        group["lr"] = lr
        if "betas" in group:
            group["betas"] = (momentum, group["betas"][1])
        else:
            group["momentum"] = momentum
