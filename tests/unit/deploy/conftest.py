"""Results that are made by hand: two boxes, none, and with the ids of a tracker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from peakmark.deploy.boxes import Boxes
from peakmark.deploy.frames import Origin
from peakmark.deploy.results import Results
from peakmark.nouns.images import Detections

NAMES = {0: "RBC", 1: "WBC"}


def make_results(
    boxes: Sequence[Sequence[float]],
    scores: list[float],
    classes: Sequence[int],
    *,
    path: Path | None = None,
    height: int = 100,
    width: int = 200,
    name: str = "a.jpg",
) -> Results:
    detections = Detections(
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(classes, np.int64)
    )
    image_bgr = np.full((height, width, 3), (10, 20, 30), np.uint8)
    origin = Origin(name, path, 0, 1)
    speed = {"preprocess": 1.0, "inference": 2.0, "postprocess": 3.0}
    return Results(image_bgr, Boxes.from_detections(detections, (height, width)), NAMES, origin, speed)


@pytest.fixture
def results():
    return make_results([[20, 10, 60, 50], [100, 20, 200, 100]], [0.75, 0.5], [1, 0])


@pytest.fixture
def nothing():
    return make_results([], [], [])


def tracked(results: Results) -> Results:
    """The same with ids 7 and 4."""
    rows = results.boxes.data
    with_ids = torch.cat((rows[:, :4], torch.tensor([[7.0], [4.0]]), rows[:, 4:]), dim=1)
    return replace(results, boxes=Boxes(with_ids, results.orig_shape))
