"""The habits of YOLO users in Python, on a model that was trained."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from peakmark import YOLO
from peakmark.api.model.lacking import INSTEAD
from peakmark.checkpoint.reader import read
from peakmark.errors import MachineError, ModelFileError, SettingsError
from peakmark.events import Event, Notice, RunStarted
from peakmark.machine.devices import settle


@pytest.fixture
def model(trained) -> YOLO:
    return YOLO(trained[0].best)


@pytest.fixture(scope="module")
def image(tiny_data):
    return tiny_data.parent / "images/val/01.png"


@pytest.fixture(scope="module")
def validated(trained, tmp_path_factory):
    """A validation of the best epoch, with the callbacks that were called and all that was told."""
    model = YOLO(trained[0].best)
    calls: list[Any] = []
    events: list[Event] = []
    model.add_callback("on_val_start", lambda view: calls.append(("on_val_start", dict(view.metrics))))
    model.add_callback("on_val_end", lambda view: calls.append(("on_val_end", dict(view.metrics))))
    found = model.val(observer=events.append, plots=False, workers=0, project=tmp_path_factory.mktemp("val"))
    return found, calls, events


def test_a_model_says_what_it_is(model, trained, capsys):
    assert model.names == {0: "light", 1: "red"}
    assert model.task == "detect"
    assert repr(model) == f"YOLO({trained[0].best}: yolov8t, 2 classes: light, red)"
    published = YOLO("yolov8n.yaml")
    layers, parameters, gradients, gflops = published.info(verbose=False)
    assert (layers, parameters, gradients, round(gflops, 1)) == (23, 3_157_200, 3_157_184, 8.7)
    assert capsys.readouterr().out == ""
    published.info()
    assert "3,157,200 parameters" in capsys.readouterr().out
    model.info(detailed=True)
    assert "ConvNormAct" in capsys.readouterr().out
    assert repr(YOLO()) == "YOLO(yolov8n.yaml: yolov8n, no classes)"


def test_the_device_that_is_chosen_once_is_taken_from_then_on(model, trained, image, monkeypatch):
    assert model.to("cpu") is model
    assert model.device == torch.device("cpu")
    assert model.to(torch.device("cpu")).cpu().device.type == "cpu"
    with pytest.raises(MachineError, match="cuda:7"):
        model.to(7)
    with pytest.raises(SettingsError, match="device=toaster"):
        model.to("toaster")
    asked: list[Any] = []

    def noted(**wish: Any) -> Any:
        asked.append(wish["device"])
        return settle(**wish)

    monkeypatch.setattr("peakmark.api.model.trained.settle", noted)
    model.predict(image)
    YOLO(trained[0].best).predict(image)
    assert asked == ["cpu", None]


def test_val_gives_the_numbers_in_the_words_of_the_field(validated, trained):
    found, _, _ = validated
    best = read(trained[0].best)
    assert best.metrics is not None
    assert found.box.map == found.metrics["map50_95"] == best.metrics["map50_95"]
    assert (found.box.map50, found.box.map75) == (best.metrics["map50"], best.metrics["map75"])
    assert (found.box.mp, found.box.mr) == (best.metrics["precision"], best.metrics["recall"])
    assert found.results_dict == {
        "metrics/precision(B)": found.box.mp,
        "metrics/recall(B)": found.box.mr,
        "metrics/mAP50(B)": found.box.map50,
        "metrics/mAP50-95(B)": found.box.map,
        "fitness": best.fitness,
    }
    assert found.fitness == trained[0].fitness
    assert found.keys == list(found.results_dict)[:4]
    assert found.names == {0: "light", 1: "red"}
    assert found.ap_class_index.tolist() == [0, 1]
    assert found.maps.tolist() == list(found.evaluation.per_class["map50_95"])
    assert found.confusion_matrix.matrix.shape == (3, 3)
    assert found.confusion_matrix.matrix[:, :2].sum() == found.truths
    assert list(found.speed) == ["preprocess", "inference", "loss", "postprocess"]
    assert all(0 < ms < 10_000 for ms in found.speed.values())
    assert (found.save_dir / "metrics.json").is_file()


def test_the_callbacks_of_a_validation(validated):
    found, calls, _ = validated
    assert calls == [("on_val_start", {}), ("on_val_end", found.results_dict)]


def test_train_gives_them_as_well(trained, validated):
    results, found = trained[0], validated[0]
    assert results.box.map == found.box.map == results.metrics["map50_95"]
    assert results.results_dict == found.results_dict
    assert results.maps.tolist() == found.maps.tolist()
    assert (results.confusion_matrix.matrix == found.confusion_matrix.matrix).all()
    assert results.names == found.names
    assert list(results.speed) == list(found.speed)


def test_results_are_told_in_a_line_and_shown_in_a_notebook(trained, validated):
    results, found = trained[0], validated[0]
    epoch = results.summary["best"]["epoch"]
    assert repr(results).startswith(f"TrainResults(finished, best epoch {epoch}: mAP50-95 {results.box.map:.4f}, ")
    assert repr(found).startswith(f"ValResults(mAP50-95 {found.box.map:.4f}, mAP50 ")
    for told in (repr(results), repr(found), repr(results.evaluation), repr(found.box), repr(found.confusion_matrix)):
        assert len(told) < 1000
        assert "\n" not in told
    assert "<td>red</td>" in found._repr_html_()
    html = results._repr_html_()
    assert "<td>red</td>" in html
    assert 'src="data:image/png;base64,' in html


def test_callbacks_of_a_training_and_a_run_without_validation(runs, tiny_data):
    from tests.conftest import CHEAP

    model, calls = YOLO("yolov8t.yaml"), []
    model.add_callback("on_train_start", lambda trainer: calls.append((trainer.args.epochs, trainer.names)))
    model.add_callback("on_fit_epoch_end", lambda trainer: calls.append((trainer.epoch, trainer.metrics)))
    model.add_callback(RunStarted, lambda event: calls.append(event.train_images))
    told: list[Event] = []
    results = model.train(observer=told.append, data=tiny_data, project=runs, **{**CHEAP, "epochs": 1, "val": False})
    assert calls == [10, (1, {0: "light", 1: "red"}), (0, {})]
    assert math.isnan(results.box.map)
    assert results.results_dict == {"fitness": None}
    assert results.confusion_matrix is None
    assert repr(results).startswith("TrainResults(finished: nothing was validated, in ")
    assert results._repr_html_()


# --- weights by hand ------------------------------------------------------------------------------------------------


@pytest.fixture
def weights(trained):
    return torch.load(trained[0].best, weights_only=True)["model"]


def test_weights_by_hand_predict_and_validate(trained, weights, image, tiny_data, tmp_path):
    by_hand = YOLO("yolov8t.yaml").load_state_dict(weights)
    events: list[Event] = []
    (found,) = by_hand.predict(image, conf=0.01, imgsz=64, observer=events.append)
    (expected,) = YOLO(trained[0].best).predict(image, conf=0.01)
    assert torch.equal(found.boxes.data, expected.boxes.data)
    assert found.names == {0: "class0", 1: "class1"} == by_hand.names
    [note] = [event.text for event in events if isinstance(event, Notice)]
    assert "imgsz=640" in note
    assert "class0, class1" in note
    with pytest.raises(SettingsError, match="data is missing"):
        by_hand.val()
    metrics = by_hand.val(data=tiny_data, imgsz=64, plots=False, workers=0, project=tmp_path, observer=events.append)
    assert repr(metrics.metrics) == repr(trained[0].metrics)  # as text: NaN equals itself there
    assert metrics.names == {0: "light", 1: "red"}  # by the data, which have as many


def test_what_is_guessed_is_said_once(weights, image, capsys):
    by_hand = YOLO("yolov8t.yaml").load_state_dict(weights)
    for _ in range(3):
        by_hand(image, imgsz=64)
    assert capsys.readouterr().out.count("The weights were given in Python") == 1


def test_weights_by_hand_for_other_classes_than_the_data(weights, write_set, tmp_path):
    data = write_set(tmp_path / "three", val=3, names=("a", "b", "c"))
    with pytest.raises(ModelFileError, match=r"its classes \(a, b, c\) are not the model's"):
        YOLO("yolov8t.yaml").load_state_dict(weights).val(data=data, imgsz=64, project=tmp_path)


@pytest.mark.parametrize("changed", ["by load_state_dict", "in the network itself"])
def test_a_training_starts_from_the_weights_that_were_given(weights, runs, tiny_data, changed):
    from tests.conftest import CHEAP

    model = YOLO("yolov8t.yaml")
    if changed == "by load_state_dict":
        model.load_state_dict(weights)
    else:
        with torch.no_grad():
            model.model.backbone.stem.conv.weight.fill_(0.25)
    told: list[Event] = []
    # Nothing moves at this rate: what is saved is what it started from.
    still = {**CHEAP, "epochs": 1, "val": False, "lr0": 1e-12, "optimizer": "SGD", "warmup_bias_lr": 1e-12}
    results = model.train(observer=told.append, data=tiny_data, project=runs, **still)
    [start] = [event for event in told if isinstance(event, RunStarted)]
    assert any("the weights given in Python" in note for note in start.notes)
    after = read(results.last).training_weights["backbone.stem.conv.weight"]
    expected = weights["backbone.stem.conv.weight"] if changed == "by load_state_dict" else torch.full_like(after, 0.25)
    np.testing.assert_allclose(after, expected, atol=1e-6)
    head = read(results.last).training_weights["head.cls.0.2.bias"]
    if changed == "by load_state_dict":
        np.testing.assert_allclose(head, weights["head.cls.0.2.bias"], atol=1e-6)


def test_load_takes_a_checkpoint_over(trained, image):
    loaded = YOLO("yolov8t.yaml").load(trained[0].best)
    (found,), (expected,) = loaded(image, conf=0.01), YOLO(trained[0].best)(image, conf=0.01)
    assert loaded.names == {0: "light", 1: "red"}
    assert torch.equal(found.boxes.data, expected.boxes.data)
    with pytest.raises(ModelFileError, match="pretrained="):
        YOLO("yolov8s.yaml").load(trained[0].best)
    with pytest.raises(ModelFileError, match="without weights"):
        loaded.load("yolov8n.yaml")


def test_weights_of_something_else_are_refused_in_words(weights):
    with pytest.raises(ModelFileError, match="state dict of a Peakmark detector"):
        YOLO("yolov8n.yaml").load_state_dict({"model": torch.zeros(1)})
    with pytest.raises(ModelFileError, match="not those of a yolov8s"):
        YOLO("yolov8s.yaml").load_state_dict(weights)


# --- what there isn't -----------------------------------------------------------------------------------------------


def test_what_is_lacking_says_what_to_do_instead(model):
    for name in INSTEAD:
        with pytest.raises(AttributeError, match=name):
            getattr(model, name)
        assert not hasattr(model, name)
    with pytest.raises(AttributeError, match=r"docs/python\.md"):
        model.cook  # noqa: B018


def test_what_means_nothing_here_is_taken_and_said_once(model, capsys):
    assert model.fuse() is model.fuse() is model
    assert capsys.readouterr().out.count("nothing left for fuse() to do") == 1
    assert YOLO("yolov8n.yaml", task="detect").task == "detect"
    with pytest.raises(SettingsError, match="task=segment"):
        YOLO("yolov8n.yaml", task="segment")
    YOLO("yolov8n.yaml", verbose=True)
    assert "8.7 GFLOPs" in capsys.readouterr().out
