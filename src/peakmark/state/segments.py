"""Which segment begins at a resume, or where a run ends early? Recipe, horizon, end, and what best may still be.

Pure functions of the segment before and of what is wished. They must not know files.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Literal

from peakmark.nouns.run import EpochRecord, History, Position, Segment
from peakmark.selection.best import best_record
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import Recipe, weight_decay

Schedule = Literal["hold", "stretch"] | None


def next_horizon(horizon: int, old_epochs: int, new_epochs: int, schedule: Schedule) -> int:
    """Gives the epochs that rate and phases are laid over from here on.

    hold leaves them as they were, so that a longer run goes on at the rate and in the phase that were reached; stretch
    lays them over the new number. Where nothing is said, a longer run holds, and a shorter one is laid over what is
    left of it, or its rate would never fall and mosaic never close.
    """
    if schedule == "stretch":
        return new_epochs
    if schedule == "hold" or new_epochs >= old_epochs:
        return horizon
    return min(horizon, new_epochs)


def next_recipe(
    recipe: Recipe, fresh: Recipe, old: Settings, new: Settings, *, same_horizon: bool, same_images: bool
) -> Recipe:
    """Gives the recipe from here on: what isn't named stays, whatever the automatic rules say by now.

    `fresh` is what the new settings would come to in a new run. Where rate and phases are laid over another number of
    epochs, so is the closing. The rules of training stay in any case. Class weights are those of the training images
    and labels that the run goes on with: where these are the same, so are they, bit for bit and on any machine.
    """

    def named(*names: str) -> bool:
        return any(getattr(new, name) != getattr(old, name) for name in names)

    nbs = fresh.nbs if named("nbs") else recipe.nbs
    is_closed_anew = named("close_mosaic") or not same_horizon
    took_over = replace(
        fresh,
        version=recipe.version,
        nbs=nbs,
        weight_decay=weight_decay(new, nbs) if named("weight_decay", "batch", "nbs") else recipe.weight_decay,
        close_mosaic=fresh.close_mosaic if is_closed_anew else recipe.close_mosaic,
        class_weights=recipe.class_weights if same_images and not named("cls_pw") else fresh.class_weights,
        # However many processes there are by now, unless another batch is cut anew.
        parts=fresh.parts if named("parts", "batch", "nbs") else recipe.parts,
    )
    if named("optimizer") and fresh.optimizer != recipe.optimizer:
        return took_over
    return replace(
        took_over,
        optimizer=recipe.optimizer,
        lr0=fresh.lr0 if named("lr0") else recipe.lr0,
        momentum=fresh.momentum if named("momentum") else recipe.momentum,
        warmup_bias_lr=fresh.warmup_bias_lr if named("warmup_bias_lr") else recipe.warmup_bias_lr,
        why=recipe.why,
    )


def segment_begins(position: Position) -> tuple[int, int]:
    """Gives epoch and images from which on a change holds: an epoch that is trained already is not touched by it."""
    return (position.epoch, position.images) if position.phase == "train" else (position.epoch + 1, 0)


def closing_segment(open_one: Segment, epoch: int, closing_epochs: int) -> Segment:
    """Gives the segment of an early stop's closing epochs, from `epoch` on: as the last ones of a run of that length.

    The rate falls to its end in them, as it does where a run closes by its plan.
    """
    until = epoch + closing_epochs
    reason = "early stop, closing epochs"
    return replace(
        open_one, from_epoch=epoch, from_images=0, reason=reason, horizon=until, until=until, rewarm_epochs=0.0
    )


def judged_again(history: History, fitness_of: Callable[[EpochRecord], float | None], kept: Collection[int]) -> History:
    """Gives the history with every fitness by another formula; best can be only an epoch whose weights are kept."""
    records = tuple(
        record if record.metrics is None else replace(record, fitness=fitness_of(record)) for record in history.records
    )
    gone = tuple(record.epoch for record in records if record.fitness is not None and record.epoch not in kept)
    return History(records, (*history.segments[:-1], replace(history.segments[-1], gone=gone)))


def better_but_gone(history: History) -> int | None:
    """Names the epoch that would be best, were its weights not gone."""
    segments = history.segments
    regardless = best_record(replace(history, segments=(*segments[:-1], replace(segments[-1], gone=()))))
    best = best_record(history)
    return None if regardless is None or regardless is best else regardless.epoch
