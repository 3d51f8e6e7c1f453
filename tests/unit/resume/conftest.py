"""Histories that look like those of healthy runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from peakmark.nouns.losses import Losses
from peakmark.nouns.run import EpochRecord, History, Segment
from peakmark.settings.fields import Settings


def _segment(segment_of: Callable[..., Segment], changes: Mapping[str, Any]) -> Segment:
    wishes = {"data": "x.yaml", "optimizer": "AdamW", "epochs": 60, "close_mosaic": 10} | dict(changes)
    own = {name: wishes.pop(name) for name in ("from_epoch", "comparable", "horizon", "reason") if name in wishes}
    return segment_of(Settings.model_validate(wishes), **own)


@pytest.fixture
def healthy(segment_of: Callable[..., Segment]) -> Callable[..., History]:
    """Makes the history of a run that learns fast at first and slowly later, with noise, keyed by `seed`.

    Settings may be given; `later` holds further segments, each as its settings with `from_epoch`. `validated` names the
    epochs that were.
    """

    def make(
        length: int = 20,
        *,
        seed: int = 0,
        noise: float = 0.02,
        later: tuple[Mapping[str, Any], ...] = (),
        validated: Callable[[int], bool] = lambda epoch: True,
        **settings: Any,
    ) -> History:
        segments = tuple(_segment(segment_of, each) for each in (settings, *later))
        draws = np.random.default_rng(seed).normal(0, noise, (length, 7))
        return History(
            tuple(_record(epoch, draws[epoch], segments, validated(epoch)) for epoch in range(length)), segments
        )

    return make


def _record(epoch: int, draws: np.ndarray, segments: tuple[Segment, ...], validated: bool) -> EpochRecord:
    left = math.exp(-epoch / 8)
    box, cls, dfl, val_box, val_cls, val_dfl, score = draws.tolist()
    map50_95 = max(0.0, 0.5 * (1 - left) + score / 2)
    return EpochRecord(
        epoch=epoch,
        segment=max(number for number, segment in enumerate(segments) if segment.from_epoch <= epoch),
        step=4 * (epoch + 1),
        images=100,
        train=Losses(1.5 + 3 * left + box, 1.1 + 3 * left + cls, 1.5 + 2 * left + dfl),
        lr=(0.001, 0.001, 0.001),
        metrics={"map50_95": map50_95, "map50": map50_95} if validated else None,
        validation=Losses(1.4 + 3 * left + val_box, 1 + 3 * left + val_cls, 1.5 + 2 * left + val_dfl)
        if validated
        else None,
        fitness=map50_95 if validated else None,
    )
