"""How does a checkpoint become live objects, and these come under changed settings, as the plan announced?

It must not know why anything was changed, nor where a checkpoint lies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from peakmark.checkpoint.format import Checkpoint
from peakmark.machine.devices import Arithmetic
from peakmark.model.detector import Detector, detector_from_weights
from peakmark.model.scales import SCALES
from peakmark.run.build import new_state
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import Recipe, window_images
from peakmark.state.capture import restore
from peakmark.state.state import RunState
from peakmark.train.optimizer import build_optimizer
from peakmark.train.step import freeze

_MOMENTS = {"momentum_buffer": 1, "exp_avg": 1, "exp_avg_sq": 2}
"""The optimizers' sums of gradients, and the power of the gradient in each."""


def restored_state(checkpoint: Checkpoint, settings: Settings, arithmetic: Arithmetic) -> RunState:
    """Builds fresh objects for the settings that a checkpoint was saved with, and puts its state into them."""
    arithmetic.apply()
    arithmetic.check_threads()
    model = detector_from_weights(SCALES[checkpoint.architecture], checkpoint.training_weights)
    state = new_state(settings, model, arithmetic, checkpoint.history.segments[-1])
    restore(checkpoint, state)
    return state


def change_state(
    state: RunState, old: Settings, new: Settings, recipe: Recipe, arithmetic: Arithmetic, *, new_optimizer: bool
) -> None:
    """Brings a state that was restored under `old` under `new`; weights, average and counts stay, bit for bit."""
    if new.freeze != old.freeze:
        _thaw(state.model, old.freeze)
        freeze(state.model, new.freeze)
    before = state.optimizer
    state.optimizer = build_optimizer(state.model, recipe)
    for group, group_before in zip(state.optimizer.param_groups, before.param_groups, strict=True):
        group["lr"] = group_before["lr"]  # the rate of the last update that was made, for the epoch's record
    if not new_optimizer:
        nbs_before = Recipe(**state.history.segments[-1].recipe).nbs
        ratio = window_images(new.batch, recipe.nbs) / window_images(old.batch, nbs_before)
        _carry_moments(before, state.optimizer, ratio)
    if arithmetic.needs_scaler and state.scaler is None:
        state.scaler = torch.amp.GradScaler(arithmetic.device.partition(":")[0])
    elif not arithmetic.needs_scaler:
        state.scaler = None


def _carry_moments(before: torch.optim.Optimizer, after: torch.optim.Optimizer, ratio: float) -> None:
    """Takes over the moments of every parameter that is still trained.

    A gradient is a sum over the images of an update: with `ratio` times as many, moments of the old size would make
    the next updates too short or too long until new ones have gathered.
    """
    trained = {parameter for group in after.param_groups for parameter in group["params"]}
    for parameter, moments in before.state.items():
        if parameter in trained:
            after.state[parameter] = _rescaled(moments, ratio)


def _rescaled(moments: Mapping[str, Any], ratio: float) -> dict[str, Any]:
    return {
        name: value * ratio ** _MOMENTS[name] if name in _MOMENTS and value is not None and ratio != 1 else value
        for name, value in moments.items()
    }


def _thaw(model: Detector, layers: tuple[int, ...]) -> None:
    """Trains layers again that were frozen."""
    by_index = model.layers()
    for layer in layers:
        if (module := by_index.get(layer)) is not None:
            module.requires_grad_(True)
            module.train()
