"""Each command checks, hands on to the facade, shows, and ends with the right exit code. The facade is a fake here."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import peakmark
from peakmark.cli.main import app
from peakmark.errors import DataError, MachineError, TrainingError
from peakmark.nouns import Curves, Evaluation, Observer, Outcome, Position, RunEnded


def _evaluation() -> Evaluation:
    levels, by_class = np.zeros(1, dtype=np.float32), np.zeros((2, 1))
    curves = Curves(levels, by_class, levels, by_class, by_class, by_class, 0.5)
    numbers = {name: (0.5, float("nan")) for name in ("precision", "recall", "map50", "map50_95")}
    metrics = {"map50_95": 0.41234567890123456, "map50": 0.7, "precision": 0.6, "recall": 0.5}
    return Evaluation(("RBC", "[WBC]"), metrics, numbers, curves, np.zeros((3, 3), dtype=np.int64), 87, 9, (9, 0), 30)


class _Facade:
    """Stands for peakmark.YOLO: remembers what it was called with."""

    calls: list[tuple[str, Any]] = []  # noqa: RUF012
    raises: BaseException | None = None
    outcome: Outcome = "finished"

    def __init__(self, model):
        self.calls.append(("YOLO", model))

    def _called(self, name: str, observer: Observer | None, settings: dict[str, Any]) -> None:
        self.calls.append((name, settings))
        if self.raises is not None:
            raise self.raises
        if observer is not None:
            observer(RunEnded(Path("runs"), self.outcome, Position(), None, None, "All done."))

    def train(self, observer=None, **settings):
        self._called("train", observer, settings)

    def val(self, observer=None, **settings):
        self._called("val", None, settings)
        return _evaluation()

    def predict(self, source, stream=False, **settings):
        self._called("predict", None, {"source": source, "stream": stream, **settings})
        yield SimpleNamespace(path="a.jpg", verbose=lambda: "4 RBCs")


@pytest.fixture
def facade(monkeypatch):
    class Fresh(_Facade):
        calls = []  # noqa: RUF012

    # In its dict: to look up the real one would load torch.
    monkeypatch.setitem(vars(peakmark), "YOLO", Fresh)
    described = {"epoch": 3, "digests": {"model": "ab"}, "nan": float("nan")}
    monkeypatch.setitem(vars(peakmark), "inspect", lambda path: described)
    monkeypatch.setenv("COLUMNS", "80")
    return Fresh


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str, str]:
    with pytest.raises(SystemExit) as ended:
        app(list(arguments))
    out, err = capsys.readouterr()
    return ended.value.code, out, err


def test_train_hands_on_the_pairs(facade, capsys):
    code, out, err = _run(capsys, "train", "data=d.yaml", "model=yolov8s.yaml", "epochs=3")
    assert (code, err) == (0, "")
    assert facade.calls == [("YOLO", "yolov8s.yaml"), ("train", {"data": "d.yaml", "epochs": "3"})]
    assert "Finished. All done." in out


def test_train_takes_the_smallest_model_by_default(facade, capsys):
    _run(capsys, "train", "data=d.yaml")
    assert facade.calls[0] == ("YOLO", "yolov8n.yaml")


@pytest.mark.parametrize(
    ("outcome", "code"),
    [("finished", 0), ("early_stopped", 0), ("out_of_time", 0), ("interrupted", 130), ("not_finite", 4)],
)
def test_the_end_of_a_run_is_the_exit_code(facade, capsys, outcome, code):
    facade.outcome = outcome
    assert _run(capsys, "train", "data=d.yaml")[0] == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("d.yaml: no such file."), 2),
        (MachineError("disk full"), 3),
        (TrainingError("nan"), 4),
        (KeyboardInterrupt(), 130),
    ],
)
def test_a_mistake_is_one_sentence_and_an_exit_code(facade, capsys, error, code):
    facade.raises = error
    ended, _, err = _run(capsys, "train", "data=d.yaml")
    assert ended == code
    assert "Traceback" not in err
    assert str(error) in err


def test_a_defect_keeps_its_traceback(facade):
    facade.raises = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        app(["train", "data=d.yaml"])


def test_wrong_settings_never_reach_the_facade(facade, capsys):
    code, out, err = _run(capsys, "train", "epochs=0", "batch_size=4")
    assert (code, out, facade.calls) == (2, "", [])
    assert err.startswith("Error: 3 things to mend\n  - batch_size is no setting")


def test_val_prints_every_number_to_its_last_digit_and_names_the_protocol(facade, capsys):
    code, out, _ = _run(capsys, "val", "model=best.pt", "split=test")
    assert code == 0
    assert facade.calls == [("YOLO", "best.pt"), ("val", {"split": "test"})]
    assert repr(0.41234567890123456) in out
    assert "COCO: 10 IoU thresholds" in out
    assert "[WBC]" in out


def test_predict_streams_and_tells_each_image(facade, capsys):
    code, out, _ = _run(capsys, "predict", "model=best.pt", "source=images", "conf=0.5")
    assert (code, out) == (0, "a.jpg: 4 RBCs\n")
    assert facade.calls[1] == ("predict", {"source": "images", "stream": True, "conf": "0.5"})


def test_predict_tells_all_that_is_missing(facade, capsys):
    code, _, err = _run(capsys, "predict")
    assert code == 2
    assert "model is missing" in err
    assert "source is missing" in err


def test_inspect_as_json_is_json(facade, capsys):
    code, out, _ = _run(capsys, "inspect", "best.pt", "--json")
    assert code == 0
    assert json.loads(out) == {"epoch": 3, "digests": {"model": "ab"}, "nan": None}


def test_inspect_for_a_person(facade, capsys):
    _, out, _ = _run(capsys, "inspect", "best.pt")
    assert "epoch  3" in out
    assert "  model  ab" in out
