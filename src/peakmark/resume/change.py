"""How does a restored state come under changed settings, as the plan announced? Weights and counts stay, bit for bit.

It must not know why anything was changed, nor what a folder is left with.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from peakmark.checkpoint.format import comparable
from peakmark.evaluate.fitness import Fitness
from peakmark.machine.devices import Arithmetic
from peakmark.model.detector import Detector
from peakmark.nouns.run import History, Position, Segment
from peakmark.record.folder import RunFolder
from peakmark.resume.compare import Planned
from peakmark.run.build import bearing_on_result
from peakmark.run.disk.kept_weights import judged_by_kept, keep_best_by_its_epoch, repair_best
from peakmark.run.fitness import value_again
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import Recipe, recipe_of, window_images
from peakmark.state.segments import better_but_gone, segment_begins
from peakmark.state.state import RunState
from peakmark.train.optimizer import build_optimizer
from peakmark.train.step import freeze

_MOMENTS = {"momentum_buffer": 1, "exp_avg": 1, "exp_avg_sq": 2}
"""The optimizers' sums of gradients, and the power of the gradient in each."""
_ABOUT_STOPPING = ("epochs", "patience", "min_delta", "stop_phase")
"""Whoever changes one of these lets a run that was about to end early go on."""


def change(planned: Planned, folder: RunFolder, state: RunState) -> tuple[str, ...]:
    """Brings the restored state to what was planned; says what became of best.pt. Nothing where nothing changes."""
    said: list[str] = []
    if planned.seam.changes_the_run:
        said += _under_new_settings(planned, folder, state)
    repaired = repair_best(folder, state.history)
    return (*said, repaired) if repaired is not None else tuple(said)


def _under_new_settings(planned: Planned, folder: RunFolder, state: RunState) -> Iterator[str]:
    """Opens the segment of the new settings."""
    seam, before, after = planned.seam, planned.before, planned.after
    old, new = before.settings, after.settings
    change_state(state, old, new, after.recipe, after.arithmetic, new_optimizer=seam.optimizer_is_new)
    if before.train != after.train and seam.inside_an_epoch:
        # The rest of the open epoch belongs to images that are no longer the run's.
        state.position = dataclasses.replace(state.position, phase="validate")
    segment = _segment(planned, state.position, state.history.segments[-1])
    same_validation = segment.comparable == state.history.segments[-1].comparable
    state.history = History(state.history.records, (*state.history.segments, segment))
    if not same_validation:
        keep_best_by_its_epoch(folder)
    if new.fitness != old.fitness and planned.data.fitness is not None:
        yield from _judge_again(planned.data.fitness, folder, state)


def _judge_again(fitness: Fitness, folder: RunFolder, state: RunState) -> Iterator[str]:
    """Gives every epoch its value by a new fitness, and says what can't be best by it."""
    text = fitness.formula.text
    state.history = judged_by_kept(folder, state.history, lambda record: value_again(fitness, folder, record))
    if unjudged := [str(r.epoch + 1) for r in state.history.records if r.metrics is not None and r.fitness is None]:
        which = f"epoch{'s' if len(unjudged) > 1 else ''} {', '.join(unjudged)}"
        yield f"What fitness={text} needs of {which} was not kept or is no number, so they can't be best."
    if (gone := better_but_gone(state.history)) is not None:
        yield f"By fitness={text} epoch {gone + 1} would be best, but its weights were not kept."


def _segment(planned: Planned, position: Position, open_one: Segment) -> Segment:
    after = planned.after
    from_epoch, from_images = segment_begins(position)
    return Segment(
        from_epoch=from_epoch,
        from_images=from_images,
        settings=bearing_on_result(after.settings),
        reason="; ".join(planned.seam.reasons) or "schedule=stretch",
        recipe=after.recipe.to_plain(),
        horizon=after.horizon,
        # Where nothing is validated any more, there is nothing new that could not be compared.
        comparable=comparable(planned.data.val_fingerprint, after.settings.imgsz, planned.data.protocol)
        if after.settings.val
        else open_one.comparable,
        rewarm_epochs=1.0 if planned.seam.optimizer_is_new else 0.0,
        until=None if _goes_on_after_all(planned) else open_one.until,
        gone=open_one.gone,
    )


def _goes_on_after_all(planned: Planned) -> bool:
    """Whether an early stop that is running its closing epochs is called off."""
    return bool(planned.seam.changed(*_ABOUT_STOPPING)) or planned.before.horizon != planned.after.horizon


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
        nbs_before = recipe_of(state.history.segments[-1]).nbs
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
