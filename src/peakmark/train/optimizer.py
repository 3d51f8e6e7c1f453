"""How is the optimizer of a recipe built, and set to one update's rates?"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from peakmark.settings.recipe import Recipe, Since

_BETA2 = 0.999


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
    # One pass over the memory instead of a dozen, a fifth of the time. It rounds otherwise, so a run keeps what it has.
    fused = recipe.version >= Since.UPDATES_TAKE_ONE_PASS
    if recipe.optimizer == "SGD":
        return SGD(groups, lr=recipe.lr0, momentum=recipe.momentum, nesterov=recipe.momentum > 0, fused=fused)
    kind = AdamW if recipe.optimizer == "AdamW" else Adam
    return kind(groups, lr=recipe.lr0, betas=(recipe.momentum, _BETA2), fused=fused)


class _Uncompiled(torch.optim.Optimizer):
    """Takes an optimizer's methods out of the wrappers that keep them from being compiled.

    Nothing here compiles an optimizer, and the wrappers load torch's compiler to say so: a second of every start.
    """

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        _unwrapped(super().add_param_group)(self, param_group)

    def state_dict(self) -> dict[str, Any]:
        state: dict[str, Any] = _unwrapped(super().state_dict)(self)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        _unwrapped(super().load_state_dict)(self, state_dict)

    def zero_grad(self, set_to_none: bool = True) -> None:
        _unwrapped(super().zero_grad)(self, set_to_none)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        _unwrapped(super().step)(self)


class SGD(_Uncompiled, torch.optim.SGD):
    """As torch's."""


class Adam(_Uncompiled, torch.optim.Adam):
    """As torch's."""


class AdamW(_Uncompiled, torch.optim.AdamW):
    """As torch's."""


def _unwrapped(method: Any) -> Callable[..., Any]:
    """The function under a bound method's decorators; without any, the function itself."""
    function: Callable[..., Any] = inspect.unwrap(method.__func__)
    return function


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
