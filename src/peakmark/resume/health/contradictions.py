"""What in a checkpoint can't be true of a healthy run? Read off the file alone, and a few facts about where it lies.

A file with a valid digest may still be wrong: made by another program, or by a fault of this one. Counts that are kept
in several places must agree, and average, weights and optimizer must have come the same way; `belonging.py` measures
that. Everything here was held against healthy files (`docs/continuity.md`): a finding is no matter of taste.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from peakmark.checkpoint.format import Checkpoint
from peakmark.nouns.resume import Cause
from peakmark.resume.health import causes
from peakmark.resume.health.belonging import Belonging, measure
from peakmark.resume.health.causes import cause
from peakmark.selection.best import best_record
from peakmark.settings.description import added_settings
from peakmark.settings.fields import Settings

_SENSIBLE_LAG_EPOCHS = 1
"""The newest file may be this much behind the journal: a kill came between the telling and the saving."""
_ADAMS = ("Adam", "AdamW")
_STATE_OF = {"SGD": {"momentum_buffer"}, "Adam": {"exp_avg", "exp_avg_sq"}, "AdamW": {"exp_avg", "exp_avg_sq"}}


def contradictions(
    checkpoint: Checkpoint,
    *,
    expected_step: int | None = None,
    at_window_start: bool | None = None,
    epochs_known: int = 0,
) -> tuple[Cause, ...]:
    """Gives what can't be true of a healthy run, likeliest first. Pure.

    `expected_step`: attempted updates at this position, as the windows have it; `at_window_start`: whether the position
    is one; `epochs_known`: epochs that results.csv or the journal tell of, where the file is to be the newest.
    """
    belonging = measure(checkpoint)
    found = [
        *_older(checkpoint, epochs_known),
        *_counts(checkpoint, expected_step),
        *_position(checkpoint, expected_step, at_window_start),
        *_history(checkpoint),
        *_optimizer(checkpoint),
        *_scaler(checkpoint),
        *_statistics(checkpoint, belonging),
        *_average(checkpoint, belonging),
        *_settings(checkpoint),
    ]
    return ranked(found)


def ranked(found: list[Cause]) -> tuple[Cause, ...]:
    """Likeliest first, each cause once."""
    by_certainty = sorted(found, key=lambda each: -each.certainty)
    return tuple({each.name: each for each in reversed(by_certainty)}.values())[::-1]


# --- counts ---------------------------------------------------------------------------------------------------------


def _made(checkpoint: Checkpoint) -> int:
    """Updates that were made, by the position and the skipped ones."""
    return checkpoint.position.step - checkpoint.counters.get("skipped_steps", 0)


def _own_count(checkpoint: Checkpoint) -> int | None:
    """Updates as Adam counted them; None where it didn't count the whole run."""
    recipes = {segment.recipe["optimizer"] for segment in checkpoint.history.segments}
    steps = [float(state["step"]) for state in checkpoint.optimizer["state"].values() if "step" in state]
    return int(max(steps)) if steps and recipes <= set(_ADAMS) else None


def _counts(checkpoint: Checkpoint, expected_step: int | None) -> Iterator[Cause]:
    """Position, average and Adam each count the updates, the windows foretell them: who stands alone is wrong."""
    made, averaged, own = _made(checkpoint), checkpoint.ema_updates, _own_count(checkpoint)
    skipped = checkpoint.position.step - made
    third = own if own is not None or expected_step is None else expected_step - skipped
    said = f"{checkpoint.position.step} updates were attempted, {made} of them made"
    if averaged != made and third != averaged:
        yield cause(causes.UPDATE_COUNT, f"{said}, but the average counts {averaged}.", 0.95)
    elif averaged != made:
        yield cause(causes.POSITION, f"{said}, but it should be {averaged}, as the average counts.", 0.95)
    if own is not None and own != made and own != averaged:
        yield cause(causes.OPTIMIZER_FOREIGN, f"{said}, but the optimizer counts {own}.", 0.9)


def _position(checkpoint: Checkpoint, expected_step: int | None, at_window_start: bool | None) -> Iterator[Cause]:
    position, sums = checkpoint.position, checkpoint.open_epoch
    where = f"The position is epoch {position.epoch + 1}, image {position.images}, update {position.step}"
    if at_window_start is False:
        yield cause(causes.POSITION, f"{where}: no update begins at this image.", 0.95)
    if expected_step is not None and expected_step != position.step:
        yield cause(causes.POSITION, f"{where}; the settings come to {expected_step} updates there.", 0.9)
    summed = int(sums["images"])
    if summed > position.images or (summed < position.images and not sums.get("skipped_steps")):
        yield cause(causes.POSITION, f"{where}, but the epoch's sums are over {summed} images.", 0.95)


def _history(checkpoint: Checkpoint) -> Iterator[Cause]:
    records, position = checkpoint.history.records, checkpoint.position
    epochs = [record.epoch for record in records]
    steps = [0, *(record.step for record in records)]
    between = position.images == 0 and position.phase == "train"
    if epochs != list(range(len(epochs))) or any(b < a for a, b in itertools.pairwise(steps)):
        yield cause(causes.HISTORY, "Its epochs don't follow on one another.", 0.9)
    elif len(epochs) != position.epoch and between and steps[-1] == position.step:
        said = f"The position is in epoch {position.epoch + 1}, but the history ends with {len(epochs)}"
        yield cause(causes.POSITION, f"{said}, at the same update.", 0.9)
    elif len(epochs) != position.epoch:
        said = f"The history ends with epoch {len(epochs)}, but the position is in epoch {position.epoch + 1}"
        yield cause(causes.HISTORY, f"{said}.", 0.9)
    elif position.step < steps[-1] or (position.step != steps[-1]) == between:
        said = f"The last finished epoch ended with update {steps[-1]}, but the position is at update {position.step}"
        yield cause(causes.POSITION, f"{said}.", 0.85)


def _older(checkpoint: Checkpoint, epochs_known: int) -> Iterator[Cause]:
    epochs = len(checkpoint.history.records)
    if epochs_known <= epochs + _SENSIBLE_LAG_EPOCHS:
        return
    best = best_record(checkpoint.history)
    is_best = best is not None and best.epoch == checkpoint.weights_epoch
    name = causes.BEST_FOR_LAST if is_best else causes.OLDER_FILE
    which = "the best one until then" if is_best else "not the newest"
    yield cause(name, f"It holds epoch {epochs}, {which}; the run's table or journal tells of {epochs_known}.", 0.97)


# --- parts that must be there ---------------------------------------------------------------------------------------


def _just_began(checkpoint: Checkpoint) -> bool:
    """Whether a changed segment begins here: its optimizer may be empty."""
    segments, position = checkpoint.history.segments, checkpoint.position
    here = (position.epoch, position.images) if position.phase == "train" else (position.epoch + 1, 0)
    return len(segments) > 1 and here == (segments[-1].from_epoch, segments[-1].from_images)


def _optimizer(checkpoint: Checkpoint) -> Iterator[Cause]:
    recipe = checkpoint.history.segments[-1].recipe
    kind, state = recipe["optimizer"], checkpoint.optimizer["state"]
    if _made(checkpoint) == 0 or _just_began(checkpoint) or (kind == "SGD" and recipe["momentum"] == 0):
        return
    trained = [number for group in checkpoint.optimizer["param_groups"] for number in group["params"]]
    without = sum(not _moves(state.get(number)) for number in trained)
    # Some are zero in a healthy run: where no object falls to a level of the head, nothing flows back.
    if without > len(trained) / 2:
        said = f"{without} of {len(trained)} trained tensors have no moments after {_made(checkpoint)} updates"
        yield cause(causes.OPTIMIZER_MISSING, f"{said}.", 0.95)
        return
    if without_entry := [number for number in trained if number not in state]:
        said = f"{len(without_entry)} of {len(trained)} trained tensors have no moments"
        yield cause(causes.OPTIMIZER_MISSING, f"{said}.", 0.9)
    keys = {key for each in state.values() for key in each}
    if not keys >= _STATE_OF[kind]:
        yield cause(
            causes.OPTIMIZER_FOREIGN, f"It holds {', '.join(sorted(keys))}, which is not what {kind} has.", 0.95
        )


def _moves(state: Mapping[str, Any] | None) -> bool:
    """Whether there is a moment that isn't all zeros."""
    tensors = [value for key, value in (state or {}).items() if isinstance(value, torch.Tensor) and key != "step"]
    return any(bool(tensor.any()) for tensor in tensors)


def _scaler(checkpoint: Checkpoint) -> Iterator[Cause]:
    if checkpoint.arithmetic["precision"] == "float16" and not checkpoint.scaler:
        yield cause(causes.SCALER_MISSING, "The run computes in float16, and its gradient scale is not there.", 0.95)


def _settings(checkpoint: Checkpoint) -> Iterator[Cause]:
    added = added_settings(Settings)
    noted, settings = added | dict(checkpoint.history.segments[-1].settings), added | checkpoint.settings
    differing = [name for name in noted if settings.get(name) != noted[name]]
    for names, name in (
        ([each for each in differing if each == "imgsz"], causes.IMAGE_SIZE),
        ([each for each in differing if each != "imgsz"], causes.SETTINGS),
    ):
        if names:
            said = ", ".join(f"{each}: {noted[each]} -> {settings.get(each)}" for each in names)
            yield cause(name, f"No segment of the run notes {said}.", 0.95)


# --- parts that must belong together --------------------------------------------------------------------------------


def _average(checkpoint: Checkpoint, belonging: Belonging | None) -> Iterator[Cause]:
    if belonging is None:
        return
    if belonging.equal:
        said = "Average and weights are equal to the last bit"
        yield cause(causes.EMA_RESET, f"{said}, though they moved since the average began.", 0.9)
    elif belonging.strayed:
        said = f"The average is {belonging.distance:.3g} times as far from the weights as the last updates explain"
        yield cause(causes.EMA_RESET, f"{said}.", 0.9)
    elif belonging.foreign:
        said = "The optimizer's moments don't point along the way that the weights came"
        yield cause(
            causes.OPTIMIZER_FOREIGN,
            f"{said} (cosine {belonging.agreement:.2f}, in a healthy run about {belonging.expected_agreement:.2f}).",
            0.85,
        )


def _statistics(checkpoint: Checkpoint, belonging: Belonging | None) -> Iterator[Cause]:
    if belonging is None:
        return
    thawed = len({str(segment.settings["freeze"]) for segment in checkpoint.history.segments}) > 1
    if belonging.untouched_statistics and _made(checkpoint) > 0:
        yield cause(causes.STATISTICS, "They are as a new network has them: mean 0, variance 1.", 0.95)
    elif belonging.strayed or belonging.equal:
        return  # the average is wrong as a whole
    elif belonging.least_batches < _made(checkpoint) and not thawed:
        said = f"They count {belonging.least_batches} batches, after {_made(checkpoint)} updates of at least one each"
        yield cause(causes.STATISTICS, f"{said}.", 0.9)
    elif belonging.batches_differ:
        yield cause(causes.STATISTICS, "Those of the weights saw other batches than those of the average.", 0.9)
    elif belonging.statistics_strayed:
        said = "They lie further from the average's than a run moves them"
        yield cause(
            causes.STATISTICS, f"{said} ({belonging.statistics_distance:.2g}; in healthy runs up to 0.03).", 0.9
        )
