"""A small state and batches to step it with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from peakmark.machine.devices import Arithmetic
from peakmark.model.detector import build_detector
from peakmark.model.scales import SCALES
from peakmark.nouns.batch import Batch
from peakmark.nouns.run import Segment
from peakmark.run.build import new_state
from peakmark.settings.fields import Settings
from peakmark.state.state import RunState

ARITHMETIC = Arithmetic("cpu", "test", "float32", 1, True, True)


@pytest.fixture
def arithmetic() -> Arithmetic:
    return ARITHMETIC


@pytest.fixture
def make_state(segment_of: Callable[..., Segment]) -> Callable[..., RunState]:
    def make(*, arithmetic: Arithmetic = ARITHMETIC, **changes: Any) -> RunState:
        settings = Settings.model_validate({"data": "x.yaml", "optimizer": "AdamW", "lr0": 0.01} | changes)
        model = build_detector(SCALES["yolov8t"], 2, seed=0)
        return new_state(settings, model, arithmetic, segment_of(settings))

    return make


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    def make(number: int, images: int = 2) -> Batch:
        generator = torch.Generator().manual_seed(number)
        pixels = torch.randint(0, 256, (images, 32, 32, 3), generator=generator, dtype=torch.uint8)
        return Batch(
            pixels.permute(0, 3, 1, 2),
            torch.tensor([[2.0, 3.0, 20.0, 25.0], [8.0, 8.0, 30.0, 28.0]])[:images],
            torch.tensor([0, 1])[:images],
            torch.arange(min(images, 2)),
            tuple(f"{number}-{image}.png" for image in range(images)),
        )

    return make
