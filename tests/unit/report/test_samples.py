"""Sample sheets show the images they are given, with the boxes where they belong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from peakmark.drawing.boxes import class_colour
from peakmark.nouns.batch import Batch
from peakmark.nouns.images import Detections, Truths
from peakmark.report.pictures import samples
from peakmark.report.pictures.samples import draw_train_batch, draw_validation


def batch(images: int, side: int = 64) -> Batch:
    return Batch(
        images_BCHW=torch.full((images, 3, side, side), 128, dtype=torch.uint8),
        boxes_xyxy_px=torch.tensor([[8.0, 24.0, 56.0, 56.0]]),
        classes=torch.tensor([1]),
        image_index=torch.tensor([images - 1]),
        files=tuple(f"/data/image{i}.jpg" for i in range(images)),
    )


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert image is not None, path
    return np.asarray(image, dtype=np.int64)


def coloured(path: Path, c: int) -> np.ndarray:
    """Where the picture has a class's colour (JPEG blurs it a little)."""
    return np.asarray((np.abs(read(path) - class_colour(c)) < 40).all(axis=2))


def test_train_batch_shows_boxes_on_the_image_they_belong_to(tmp_path):
    before = batch(4)
    draw_train_batch(before, ("a", "b"), tmp_path / "train_batch0.jpg")
    ys, xs = np.nonzero(coloured(tmp_path / "train_batch0.jpg", 1))
    height, width = read(tmp_path / "train_batch0.jpg").shape[:2]
    assert 1200 <= width <= 2400
    assert ys.min() > height / 2
    assert xs.min() > width / 2
    assert (before.images_BCHW == 128).all()


def test_train_batch_of_more_than_sixteen_or_a_single_image(tmp_path):
    draw_train_batch(batch(40), ("a", "b"), tmp_path / "many.jpg")
    draw_train_batch(batch(1), ("a", "b"), tmp_path / "one.jpg")
    assert coloured(tmp_path / "many.jpg", 1).sum() == 0  # the box is on the fortieth
    assert read(tmp_path / "many.jpg").shape[1] > 1200
    assert read(tmp_path / "one.jpg").shape[1] > 900


def test_validation_shows_truths_beside_detections_from_a_confidence_on(tmp_path):
    images = [np.full((60, 100, 3), 128, np.uint8), np.full((100, 60, 3), 128, np.uint8)]
    box = np.array([[10, 20, 50, 50]], dtype=np.float32)
    truths = [Truths(box, np.array([0])), Truths(np.zeros((0, 4), np.float32), np.array([], dtype=np.int64))]
    found = [
        Detections(box.repeat(2, axis=0), np.array([0.9, 0.1], dtype=np.float32), np.array([1, 2])),
        Detections(np.zeros((0, 4), np.float32), np.array([], dtype=np.float32), np.array([], dtype=np.int64)),
    ]
    files = draw_validation(images, truths, found, ("a", "b", "c"), ["x.jpg", "y.jpg"], tmp_path, confidence=0.25)
    labels, predictions, both = files
    assert [file.name for file in files] == ["val_batch0_labels.jpg", "val_batch0_pred.jpg", "val_batch0.jpg"]
    assert coloured(labels, 0).any()
    assert not coloured(labels, 1).any()
    assert coloured(predictions, 1).any()
    assert not coloured(predictions, 0).any()
    assert not coloured(predictions, 2).any()
    assert np.nonzero(coloured(both, 0))[1].max() < np.nonzero(coloured(both, 1))[1].min()


def test_validation_without_images_is_no_problem(tmp_path):
    assert all(file.exists() for file in draw_validation([], [], [], ("a",), [], tmp_path, confidence=0.25))


def test_of_hundreds_of_detections_the_best_are_drawn_and_their_number_is_said(tmp_path, monkeypatch):
    """After few epochs the best confidence is near 0, and every image is covered with boxes."""
    titles: list[list[str]] = []
    drawn: list[np.ndarray | None] = []

    def sheet(images: list[np.ndarray], names: list[str], **_: int) -> np.ndarray:
        titles.append(names)
        return np.zeros((9, 9, 3), np.uint8)

    def draw(image: np.ndarray, *_: object, scores: np.ndarray | None = None) -> np.ndarray:
        drawn.append(scores)
        return image

    monkeypatch.setattr(samples, "contact_sheet", sheet)
    monkeypatch.setattr(samples, "draw_boxes", draw)
    scores = np.linspace(0.001, 0.2, 300, dtype=np.float32)
    found = Detections(np.tile(np.array([10, 10, 50, 50], np.float32), (300, 1)), scores, np.zeros(300, np.int64))
    truths = [Truths(np.zeros((n, 4), np.float32), np.zeros(n, np.int64)) for n in (1, 40)]
    images = [np.zeros((60, 100, 3), np.uint8)] * 2
    draw_validation(images, truths, [found, found], ("a",), ["x.jpg", "y.jpg"], tmp_path, confidence=0.001)
    kept = [each for each in drawn if each is not None]
    assert [len(each) for each in kept] == [15, 80]
    assert all(each.min() >= np.sort(scores)[-len(each)] for each in kept)
    assert titles[1] == ["x.jpg: best 15 of 300 from confidence 0.001", "y.jpg: best 80 of 300 from confidence 0.001"]
    assert titles[2][1::2] == [
        "found: best 15 of 300 from confidence 0.001",
        "found: best 80 of 300 from confidence 0.001",
    ]
