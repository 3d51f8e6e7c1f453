"""From a source on disk to saved predictions, with a detector that needs no training: it finds what is bright."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from peakmark.deploy.predict import predict
from peakmark.deploy.results import Results
from peakmark.deploy.saving import open_saver
from peakmark.deploy.sources import open_source
from peakmark.events import Event, Notice
from peakmark.nouns.images import Detections, ImageArray

BOX_XYXY_PX = (20, 10, 60, 40)
SIDE_PX = 64


def picture(shift_px: int = 0) -> ImageArray:
    """Black, 96 x 80 px, with a white rectangle at `BOX_XYXY_PX`, moved to the right."""
    image = np.zeros((80, 96, 3), np.uint8)
    left, top, right, bottom = BOX_XYXY_PX
    image[top:bottom, left + shift_px : right + shift_px] = 255
    return image


def find_bright(images_BCHW: torch.Tensor) -> list[Detections]:
    found = []
    for image in images_BCHW.numpy():
        ys, xs = np.nonzero(image[0] > 200)
        edges = [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]] if len(xs) else []
        boxes = np.array(edges, np.float32).reshape(-1, 4)
        found.append(Detections(boxes, np.full(len(boxes), 0.9, np.float32), np.zeros(len(boxes), np.int64)))
    return found


def run(source: object, folder: Path, batch: int = 2) -> tuple[list[Results], list[str]]:
    """Predicts on a source and saves everything, as a command does."""
    events: list[Event] = []
    frames = open_source(source, observer=events.append)
    results = []
    with open_saver(folder, observer=events.append, txt=True, json=True, csv=True) as saver:
        for result in predict(frames, find_bright, names=("bright",), side_px=SIDE_PX, batch=batch):
            saver.add(result)
            results.append(result)
    return results, [event.text for event in events if isinstance(event, Notice)]


def assert_found(result: Results, shift_px: int = 0) -> None:
    expected = np.add(BOX_XYXY_PX, (shift_px, 0, shift_px, 0))
    assert np.abs(result.boxes.xyxy[0].numpy() - expected).max() <= 96 / SIDE_PX


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "b.bmp", "c.tif"):
        cv2.imwrite(str(folder / name), picture())
    return folder


def test_a_folder_with_one_bad_image(images, tmp_path):
    (images / "bad.jpg").write_bytes(b"")
    before = {path: path.read_bytes() for path in images.iterdir()}
    results, notices = run(images, tmp_path / "out")
    for result in results:
        assert_found(result)
    assert [Path(result.path).name for result in results] == ["a.png", "b.bmp", "c.tif"]
    assert "bad.jpg" in notices[0]
    assert "1 of 4" in notices[1]
    labels = ["labels/a.txt", "labels/b.txt", "labels/c.txt"]
    assert files(tmp_path / "out") == sorted(
        ["a.png", "b.bmp", "c.tif", "predictions.csv", "predictions.json", *labels]
    )
    assert len(json.loads((tmp_path / "out" / "predictions.json").read_text())) == 3
    assert {path: path.read_bytes() for path in images.iterdir()} == before


def test_label_files_are_truths_for_a_next_training(images, tmp_path):
    results, _ = run(images / "a.png", tmp_path / "out")
    class_, *box = (tmp_path / "out" / "labels" / "a.txt").read_text().split()
    assert class_ == "0"
    assert np.array(box, np.float64) == pytest.approx(results[0].boxes.xywhn[0].numpy(), rel=1e-5)


def test_a_video(tmp_path):
    path = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (96, 80))
    for number in range(8):
        writer.write(picture(4 * number))
    writer.release()
    results, notices = run(path, tmp_path / "out", batch=3)
    assert notices == []
    for number, result in enumerate(results):
        assert_found(result, 4 * number)
    copy = cv2.VideoCapture(str(tmp_path / "out" / "clip.mp4"))
    assert copy.get(cv2.CAP_PROP_FRAME_COUNT) == len(results) == 8
    assert len(list((tmp_path / "out" / "labels").iterdir())) == 8
    with open(tmp_path / "out" / "predictions.csv", newline="") as stream:
        assert [row["frame"] for row in csv.DictReader(stream)] == [str(number + 1) for number in range(8)]


def test_arrays_pil_images_and_files_of_one_picture_agree(images, tmp_path):
    sources = [images / "a.png", str(images / "a.png"), picture()[..., ::-1], Image.fromarray(picture())]
    results, _ = run(sources, tmp_path / "out")
    for result in results:
        assert torch.equal(result.boxes.data, results[0].boxes.data)
        assert (result.orig_img == results[0].orig_img).all()


def test_a_picture_with_nothing_in_it(tmp_path):
    results, notices = run(np.zeros((80, 96, 3), np.uint8), tmp_path / "out")
    assert notices == []
    assert [len(result) for result in results] == [0]
    assert (tmp_path / "out" / "labels" / "image0.txt").read_text() == ""
