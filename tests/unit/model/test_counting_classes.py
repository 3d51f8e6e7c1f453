"""Classes that don't count are not detected, drop nobody, take up no place, and cost nothing in a loss."""

from __future__ import annotations

import pytest
import torch

from peakmark.geometry.anchors import anchor_grid
from peakmark.loss.detection import detection_loss
from peakmark.machine.devices import Arithmetic
from peakmark.model.candidates import Thresholds
from peakmark.model.detector import build_detector
from peakmark.model.predictor import Predictor, Seen, of_counting_classes
from peakmark.model.scales import SCALES
from peakmark.nouns.batch import Batch
from peakmark.nouns.images import Detections
from peakmark.nouns.losses import HeadOutput
from peakmark.settings.recipe import VERSION

ARITHMETIC = Arithmetic("cpu", "a processor", "float32", 1, False, True)
CLASSES = 4
Row = tuple[int, float, tuple[float, ...]]
"""Class, score and box of a detection."""


@pytest.fixture(scope="module")
def output() -> HeadOutput:
    """Of two images; every class is seen somewhere."""
    generator = torch.Generator().manual_seed(0)
    grid = anchor_grid([(8, 8), (4, 4), (2, 2)], (8, 16, 32), torch.device("cpu"))
    boxes = torch.randn(2, 84, 64, generator=generator)
    return HeadOutput(boxes, torch.randn(2, 84, CLASSES, generator=generator), grid)


def found(
    output: HeadOutput, *, most: int = 1000, iou: float = 0.7, one: bool = False, **limits: object
) -> list[list[Row]]:
    model = build_detector(SCALES["yolov8n"], CLASSES, seed=0)
    thresholds = Thresholds(0.3, iou, most, **limits)  # type: ignore[arg-type]
    detect = Predictor(model, ARITHMETIC, thresholds, chunk=2, one_class_per_box=one)
    return [_rows(each) for each in detect.detections(Seen(output))]


def _rows(each: Detections) -> list[Row]:
    rows = zip(each.classes.tolist(), each.scores.tolist(), map(tuple, each.boxes_xyxy_px.tolist()), strict=True)
    return sorted(rows)


@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("chosen", [(0,), (1, 3), (0, 1, 2, 3)])
def test_what_is_found_is_what_is_found_of_them_among_all(output, chosen, one):
    everything = found(output, one=one)
    expected = [[row for row in of_image if row[0] in chosen] for of_image in everything]
    assert all(expected)
    assert found(output, one=one, classes=chosen) == expected


def test_the_others_take_up_no_place_among_the_most(output):
    few = found(output, most=5, classes=(2,))
    assert [len(of_image) for of_image in few] == [5, 5]
    best = [sorted((row[1] for row in each if row[0] == 2), reverse=True)[:5] for each in found(output)]
    assert [sorted((row[1] for row in each), reverse=True) for each in few] == best


def test_the_others_drop_nobody_where_classes_don_t_matter(output):
    own = found(output, iou=0.1, classes=(2,))
    assert found(output, iou=0.1, agnostic=True, classes=(2,)) == own
    among_all = found(output, iou=0.1, agnostic=True)
    assert sum(row[0] == 2 for each in among_all for row in each) < sum(map(len, own))


def test_the_loss_is_that_of_a_head_with_these_classes_alone(output):
    chosen = (1, 3)
    batch = Batch(
        torch.zeros(2, 3, 64, 64, dtype=torch.uint8),
        torch.tensor([[4.0, 6.0, 30.0, 28.0], [20.0, 20.0, 60.0, 62.0]]),
        torch.tensor([3, 1]),
        torch.tensor([0, 1]),
        ("a.png", "b.png"),
    )
    narrow = Batch(batch.images_BCHW, batch.boxes_xyxy_px, torch.tensor([1, 0]), batch.image_index, batch.files)
    few = HeadOutput(output.box_logits_BAR4, output.class_logits_BAC[:, :, list(chosen)], output.grid)
    masked = detection_loss(
        of_counting_classes(output, Thresholds(0.3, 0.7, 9, classes=chosen)), batch, version=VERSION
    )
    alone = detection_loss(few, narrow, version=VERSION)
    for term in ("box", "cls", "dfl", "target_scores"):
        assert float(getattr(masked, term)) == pytest.approx(float(getattr(alone, term)), rel=1e-6)
    assert float(detection_loss(output, batch, version=VERSION).cls) > float(masked.cls)


def test_all_classes_are_the_output_as_it_is(output):
    assert of_counting_classes(output, Thresholds(0.3, 0.7, 9)) is output


def test_the_choice_is_in_the_words_for_the_numbers():
    assert Thresholds(0.001, 0.7, 300, classes=(0, 2)).unusual() == ("classes=[0,2]",)
    assert Thresholds(0.001, 0.7, 300).unusual() == ()
