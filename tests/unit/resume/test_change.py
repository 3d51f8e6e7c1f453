"""A state under changed settings: what an optimizer has gathered is in the size of the gradients that come."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from peakmark.resume.change import change_state
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import recipe

POWERS = {"exp_avg": 1, "exp_avg_sq": 2, "momentum_buffer": 1}


def settings_of(optimizer: str, nbs: int) -> Settings:
    return Settings.model_validate({"data": "x.yaml", "optimizer": optimizer, "lr0": 0.01, "batch": 2, "nbs": nbs})


def recipe_of(settings: Settings) -> dict[str, Any]:
    return dataclasses.asdict(recipe(settings, classes=2, images=100))


@pytest.mark.parametrize(("optimizer", "names"), [("AdamW", {"exp_avg", "exp_avg_sq"}), ("SGD", {"momentum_buffer"})])
@pytest.mark.parametrize(("nbs", "ratio"), [(8, 2.0), (4, 1.0), (2, 0.5)])
def test_moments_are_rescaled_by_the_power_of_the_gradient_that_is_in_them(
    make_state, arithmetic, optimizer, names, nbs, ratio
):
    """A gradient is a sum over the images of an update: of twice as many, Adam's second moment is four times as large.

    Rescaled by the ratio alone, the next steps are too long by its root.
    """
    old, new = settings_of(optimizer, 4), settings_of(optimizer, nbs)
    state = make_state(optimizer=optimizer)
    begun = dataclasses.replace(state.history.segments[-1], recipe=recipe_of(old))
    state.history = dataclasses.replace(state.history, segments=(begun,))
    for number, parameter in enumerate(state.model.parameters()):
        if parameter.requires_grad:
            parameter.grad = torch.cos(parameter.detach() * 40 + number)
    state.optimizer.step()
    before = {
        parameter: {name: torch.as_tensor(value).clone() for name, value in moments.items()}
        for parameter, moments in state.optimizer.state.items()
    }
    chosen = dataclasses.replace(recipe(new, classes=2, images=100), optimizer=optimizer)
    change_state(state, old, new, chosen, arithmetic, new_optimizer=False)
    assert state.optimizer.state.keys() == before.keys()
    for parameter, moments in before.items():
        after = state.optimizer.state[parameter]
        assert after.keys() == moments.keys() >= names
        for name, value in moments.items():
            expected = value * ratio ** POWERS[name] if name in POWERS else value
            assert torch.equal(torch.as_tensor(after[name]), expected), name
