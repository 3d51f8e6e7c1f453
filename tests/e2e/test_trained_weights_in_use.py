"""What can one do with best.pt? Look for objects anywhere, train on for other classes, or take the weights by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from peakmark import YOLO, inspect
from peakmark.errors import ModelFileError
from peakmark.evaluate.evidence_file import read as read_evidence
from peakmark.events import Notice, RunStarted
from peakmark.geometry.views import View


@pytest.fixture
def model(trained) -> YOLO:
    return YOLO(trained[0].best)


def test_the_weights_by_hand(trained, model):
    checkpoint = torch.load(trained[0].best, weights_only=True)
    assert {"model", "optimizer", "epoch", "best_fitness", "settings"} <= set(checkpoint)
    by_hand = YOLO("yolov8t.yaml").load_state_dict(checkpoint["model"])
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        mine, theirs = (yolo.model.eval()(images) for yolo in (by_hand, model))
    assert torch.equal(mine.class_logits_BAC, theirs.class_logits_BAC)
    assert torch.equal(mine.box_logits_BAR4, theirs.box_logits_BAR4)


def test_a_folder(model, tiny_data, runs):
    notices: list[Notice] = []
    folder = tiny_data.parent / "images/val"
    results = model.predict(
        folder, conf=0.05, project=runs, save=True, save_txt=True, save_json=True, observer=notices.append
    )
    assert [Path(result.path).name for result in results] == sorted(path.name for path in folder.iterdir())
    assert any(len(result.boxes) for result in results)
    for result in results:
        boxes = result.boxes.xyxy
        assert ((boxes >= 0) & (boxes <= 64)).all()
        assert (result.boxes.conf > 0.05).all()
        assert set(result.boxes.cls.tolist()) <= {0, 1}
    assert results[0].names == {0: "light", 1: "red"}
    assert len(list((runs / "predict").glob("*.png"))) == len(results)
    labels = {path.stem: path.read_text().splitlines() for path in (runs / "predict/labels").iterdir()}
    assert {Path(result.path).stem: len(result.boxes) for result in results} == {
        stem: len(lines) for stem, lines in labels.items()
    }
    assert json.loads((runs / "predict/predictions.json").read_text())
    assert notices[-1].text == f"Written to {runs / 'predict'}"


def test_a_mirrored_image_gives_mirrored_boxes_where_both_sides_of_it_are_looked_at(
    trained, model, tiny_data, monkeypatch
):
    monkeypatch.setattr("peakmark.geometry.views.AUGMENTED", (View(1.0), View(1.0, mirrored=True)))
    image = cv2.imdecode(np.fromfile(tiny_data.parent / "images/val/01.png", np.uint8), cv2.IMREAD_COLOR)
    assert image is not None

    def rows(pixels: np.ndarray, augment: bool) -> np.ndarray:
        return np.array(model.predict(pixels, conf=0.02, augment=augment)[0].boxes.data)

    mirrored = np.ascontiguousarray(image[:, ::-1])
    back = rows(mirrored, augment=True)
    back[:, [0, 2]] = image.shape[1] - back[:, [2, 0]]
    assert len(back) > 0
    np.testing.assert_allclose(back, rows(image, augment=True), atol=1e-3)
    assert rows(mirrored, augment=False)[:, 4].tolist() != rows(image, augment=False)[:, 4].tolist()


def test_a_folder_is_predicted_on_to_the_last_bit_as_it_was_validated(trained, model, tiny_data):
    folder, best = trained[0].save_dir, trained[0].summary["best"]["epoch"]
    evidence = read_evidence(folder / f"evidence/epoch{best}.npz")
    assert evidence is not None
    validated = set(zip(evidence.image_D.tolist(), evidence.class_D.tolist(), evidence.scores_D.tolist(), strict=True))

    def predicted(**settings: Any) -> set[tuple[int, int, float]]:
        found = model.predict(tiny_data.parent / "images/val", conf=0.05, **settings)
        return {(i, int(box.cls), float(box.conf)) for i, result in enumerate(found) for box in result.boxes}

    assert predicted()
    assert predicted() <= validated
    assert not predicted(imgsz=96) <= validated


def test_an_array_is_read_as_opencv_gives_it(model, tiny_data):
    file = tiny_data.parent / "images/val/01.png"
    (from_file,), (from_array,) = model.predict(file, conf=0.01), model.predict(cv2.imread(str(file)), conf=0.01)
    assert len(from_file.boxes) > 0
    np.testing.assert_array_equal(from_file.boxes.data, from_array.boxes.data)


def test_weights_that_are_changed_between_two_calls_are_the_ones_that_predict(model, tiny_data):
    """Also by who was given the network, in whatever way: `.data` leaves no trace that torch would tell of."""
    file = tiny_data.parent / "images/val/01.png"

    def found() -> np.ndarray:
        (result,) = model.predict(file, conf=0.01)
        return np.asarray(result.boxes.data)

    at_first = found()
    assert len(at_first)
    np.testing.assert_array_equal(found(), at_first)
    weights = {name: tensor.clone() for name, tensor in model.model.state_dict().items()}
    model.model.head.cls[0][-1].bias.data -= 0.5
    shifted = found()
    assert not np.array_equal(shifted, at_first)
    model.load_state_dict(weights)
    np.testing.assert_array_equal(found(), at_first)


def test_weights_that_are_loaded_after_a_call_predict_as_well(trained, tiny_data):
    """Here nobody was given the network, so it isn't compared."""
    model, file = YOLO(trained[0].best), tiny_data.parent / "images/val/01.png"
    (before,) = model.predict(file, conf=0.01)
    weights = dict(torch.load(trained[0].best, weights_only=True)["model"])
    weights["head.cls.0.2.bias"] = weights["head.cls.0.2.bias"] - 0.5
    (after,) = model.load_state_dict(weights).predict(file, conf=0.01)
    assert len(before.boxes)
    assert not np.array_equal(before.boxes.data, after.boxes.data)


def test_a_video_comes_frame_by_frame(model, tiny_data, tmp_path, runs):
    file = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 5, (64, 64))
    pictures = sorted((tiny_data.parent / "images/train").iterdir())[:6]
    for picture in pictures:
        image = cv2.imread(str(picture))
        assert image is not None
        writer.write(image)
    writer.release()
    frames = model.predict(file, stream=True, conf=0.05, save=True, project=runs)
    assert not isinstance(frames, list)
    assert len([frame.boxes for frame in frames]) == 6
    copy = cv2.VideoCapture(str(runs / "predict/clip.mp4"))
    assert int(copy.get(cv2.CAP_PROP_FRAME_COUNT)) == 6


def test_after_training_the_model_is_the_best_one(tiny_data, runs):
    yolo = YOLO()
    results = yolo.train(
        data=tiny_data, imgsz=32, epochs=1, batch=4, plots=False, project=runs, observer=lambda event: None
    )  # fmt: skip
    assert yolo.names == {0: "light", 1: "red"}
    assert results.best is not None
    best = torch.load(results.best, weights_only=True)["model"]
    assert all(torch.equal(tensor, best[name]) for name, tensor in yolo.model.state_dict().items())


def test_training_on_for_other_classes_takes_the_body_and_the_classes_that_match(train, trained, write_set, tmp_path):
    data = write_set(tmp_path / "other", names=("red", "green", "light"))
    notes: list[str] = []

    def observe(event: object) -> None:
        if isinstance(event, RunStarted):
            notes.extend(event.notes)

    results = train(data=data, model=trained[0].best, observer=observe)
    assert any(str(trained[0].best) in note and "the head for 2 of 3 classes" in note for note in notes)
    assert inspect(results.last)["names"] == ["red", "green", "light"]
    assert YOLO(results.last).names == {0: "red", 1: "green", 2: "light"}


def test_what_was_never_trained_finds_nothing_and_says_why(tiny_data):
    with pytest.raises(ModelFileError, match="this is an architecture without trained weights"):
        YOLO("yolov8n.yaml").predict(tiny_data.parent / "images/val")


def test_validating_on_other_classes_is_refused(model, write_set, tmp_path):
    data = write_set(tmp_path / "other", val=2, names=("red", "light"))
    with pytest.raises(ModelFileError, match="are not the model's"):
        model.val(data=data, observer=lambda event: None)


def test_the_model_is_called_as_a_function(model, tiny_data):
    image = tiny_data.parent / "images/val/01.png"
    called, predicted = model(image, conf=0.01), model.predict(image, conf=0.01)
    assert called[0].to_json() == predicted[0].to_json() != "[]"
    assert [one.to_json() for one in model(image, conf=0.01, stream=True)] == [called[0].to_json()]
