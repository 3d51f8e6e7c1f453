"""Each command checks, hands on to the facade, shows, and ends with the right exit code. The facade is a fake here."""

import json
import os
import signal
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import peakmark
from peakmark.cli.main import app, run
from peakmark.errors import DataError, MachineError, SettingsError, TrainingError
from peakmark.events import Notice, Observer, ResumePlanned, RunEnded
from peakmark.nouns.evaluation import Curves, Evaluation
from peakmark.nouns.outcome import Outcome
from peakmark.nouns.resume import ChangePlan, Fate, PlannedPart
from peakmark.nouns.run import Position
from peakmark.report.terminal.console import ConsoleObserver


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
    planned: tuple[Fate, str] = ("carried over", "bit for bit")

    def __init__(self):
        pass

    @classmethod
    def from_settings(cls, kind, given, mistakes=()):
        cls.calls.append((kind.__name__, dict(given)))
        if mistakes:
            raise SettingsError(mistakes)
        return cls()

    leading = staticmethod(nullcontext)

    def _called(self, name: str, settings: dict[str, Any]) -> None:
        self.calls.append((name, settings))
        if self.raises is not None:
            raise self.raises

    def _ended(self, observer: Observer | None) -> SimpleNamespace:
        tell = observer or ConsoleObserver()
        tell(RunEnded(Path("runs"), self.outcome, Position(), None, None, None, "All done.", True))
        return SimpleNamespace(outcome=self.outcome)

    def train(self, observer=None, **settings):
        self._called("train", settings)
        return self._ended(observer)

    def resume(self, run, observer=None, yes=False, **changes):
        self.agreed = yes if isinstance(yes, bool) else "asked"
        self._called("resume", {"run": run, "yes": self.agreed, **changes})
        return self._ended(observer)

    def plan_resume(self, run, **changes):
        self._called("plan_resume", {"run": run, **changes})
        part = PlannedPart("weights", *self.planned)
        return ResumePlanned(Path("runs"), ChangePlan((), (part,), ()), Position())

    def val(self, observer=None, **settings):
        self._called("val", settings)
        return SimpleNamespace(evaluation=_evaluation())

    def predict(self, source, stream=False, observer=None, **settings):
        self._called("predict", {"source": source, "stream": stream, **settings})
        observer(Notice("Written to runs/detect/predict"))
        speed = {"preprocess": 1.0, "inference": 2.5}
        for path, kind, index in (("a.jpg", "image", 0), ("b.mp4", "video", 4)):
            origin = SimpleNamespace(kind=kind, index=index, count=60)
            yield SimpleNamespace(path=path, verbose=lambda: "4 RBCs", speed=speed, origin=origin)

    def track(self, source, stream=False, observer=None, **settings):
        self._called("track", {"source": source, "stream": stream, **settings})
        os.kill(os.getpid(), signal.SIGTERM)  # as a service manager does
        yield from ()


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
    given = {"data": "d.yaml", "model": "yolov8s.yaml", "epochs": "3"}
    assert facade.calls == [("Settings", given), ("train", {"data": "d.yaml", "epochs": "3"})]
    assert "Finished. All done." in out


@pytest.mark.parametrize("words", [("train", "data=d.yaml"), ("resume", "runs/detect/train")])
@pytest.mark.parametrize(
    ("outcome", "code"),
    [("finished", 0), ("early_stopped", 0), ("out_of_time", 0), ("interrupted", 130), ("not_finite", 4)],
)
def test_the_end_of_a_run_is_the_exit_code(facade, capsys, words, outcome, code):
    facade.outcome = outcome
    assert _run(capsys, *words)[0] == code


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


def test_what_is_no_pair_never_reaches_the_facade(facade, capsys):
    code, out, err = _run(capsys, "train", "epochs", "3")
    assert (code, out, facade.calls) == (2, "", [])
    assert "settings are written without spaces: epochs=3" in err


def test_a_command_may_be_written_as_the_field_writes_it(facade, capsys):
    assert _run(capsys, "detect", "train", "--img", "64", "exist_ok", "weights=best.pt")[0] == 0
    assert facade.calls[-1] == ("train", {"img": "64", "exist_ok": "True"})


@pytest.mark.parametrize(("word", "says"), [("checks", "peakmark doctor"), ("segment", "boxes")])
def test_a_command_that_is_lacking_is_named_as_lacking(word, says, capsys):
    code, _, err = _run(capsys, word, "model=best.pt")
    assert code == 2
    assert f"{word} is no command of Peakmark" in " ".join(err.split())
    assert says in err
    assert "Did you mean" not in err


def test_resume_hands_on_the_run_and_its_changes(facade, capsys):
    assert _run(capsys, "resume", "runs/detect/train2", "epochs=9", "--yes")[0] == 0
    assert _run(capsys, "resume", "epochs=9")[0] == 0
    named = {"run": "runs/detect/train2", "yes": True, "epochs": "9"}
    assert facade.calls == [("resume", named), ("resume", {"run": None, "yes": "asked", "epochs": "9"})]


def test_a_folder_may_have_an_equals_sign_in_its_name(facade, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lr=1").mkdir()
    _run(capsys, "resume", "lr=1", "lr0=0.1")
    assert facade.calls == [("resume", {"run": "lr=1", "yes": "asked", "lr0": "0.1"})]


def test_two_runs_at_once_are_refused(facade, capsys):
    code, _, err = _run(capsys, "resume", "a", "b")
    assert code == 2
    assert "More than one run is named: a, b" in err


@pytest.mark.parametrize(("planned", "code"), [(("carried over", "x"), 0), (("refused", "other shapes"), 2)])
def test_a_dry_run_shows_the_plan_and_does_nothing(facade, capsys, planned, code):
    facade.planned = planned
    ended, out, _ = _run(capsys, "resume", "runs/detect/train", "lr0=0.1", "--dry-run")
    assert ended == code
    assert facade.calls == [("plan_resume", {"run": "runs/detect/train", "lr0": "0.1"})]
    assert planned[0] in out or planned[0] == "carried over"


@pytest.mark.parametrize(
    ("words", "run"),
    [
        (("resume=True",), None),
        (("resume=true", "model=runs/detect/train/weights/last.pt"), "runs/detect/train/weights/last.pt"),
        (("resume=runs/detect/train",), "runs/detect/train"),
    ],
)
def test_train_with_resume_is_a_resume(facade, capsys, words, run):
    assert _run(capsys, "train", *words, "epochs=9")[0] == 0
    assert facade.calls == [("resume", {"run": run, "yes": "asked", "epochs": "9"})]


def test_train_without_resume_is_none(facade, capsys):
    _run(capsys, "train", "data=d.yaml", "resume=False")
    assert [name for name, _ in facade.calls] == ["Settings", "train"]


def test_val_prints_every_number_to_its_last_digit_and_names_the_protocol(facade, capsys):
    code, out, _ = _run(capsys, "val", "model=best.pt", "split=test")
    assert code == 0
    assert facade.calls == [("ValSettings", {"model": "best.pt", "split": "test"}), ("val", {"split": "test"})]
    assert repr(0.41234567890123456) in out
    assert "COCO: 10 IoU thresholds" in out
    assert "[WBC]" in out


def test_predict_streams_and_tells_each_image(facade, capsys):
    code, out, _ = _run(capsys, "predict", "model=best.pt", "source=images", "conf=0.5")
    assert (code, out) == (
        0,
        "Note: Written to runs/detect/predict\na.jpg: 4 RBCs, 3.5 ms\nb.mp4, frame 5 of 60: 4 RBCs, 3.5 ms\n",
    )
    assert facade.calls[1] == ("predict", {"source": "images", "stream": True, "conf": "0.5"})


def test_track_hands_its_own_settings_on_and_ends_by_a_signal_as_by_ctrl_c(facade, capsys):
    before = signal.getsignal(signal.SIGTERM)
    code, _, _ = _run(capsys, "track", "model=best.pt", "source=0", "track_buffer=9")
    assert code == 130
    assert facade.calls == [
        ("TrackSettings", {"model": "best.pt", "track_buffer": "9"}),
        ("track", {"source": "0", "stream": True, "track_buffer": "9"}),
    ]
    assert signal.getsignal(signal.SIGTERM) is before


def test_predict_tells_all_that_is_missing(facade, capsys):
    code, _, err = _run(capsys, "predict", "model=best.pt")
    assert code == 2
    assert err.startswith("Error: source is missing; source=... is an image, a video")


def test_inspect_as_json_is_json(facade, capsys):
    code, out, _ = _run(capsys, "inspect", "best.pt", "--json")
    assert code == 0
    assert json.loads(out) == {"epoch": 3, "digests": {"model": "ab"}, "nan": None}


def test_inspect_for_a_person(facade, capsys):
    _, out, _ = _run(capsys, "inspect", "best.pt")
    assert "epoch  3" in out
    assert "  model  ab" in out


@pytest.mark.parametrize("fails", [False, True])
def test_python_ends_without_looking_through_what_torch_loaded(monkeypatch, fails):
    """A second after a second Ctrl-C, and after every other command: nothing is left to be found by then."""
    told: list[str] = []

    def ends() -> None:
        told.append("app")
        if fails:
            raise SystemExit(130)

    monkeypatch.setattr("peakmark.cli.main.app", ends)
    monkeypatch.setattr(
        "peakmark.cli.main.gc",
        SimpleNamespace(set_threshold=lambda count: told.append("threshold"), freeze=lambda: told.append("freeze")),
    )
    with pytest.raises(SystemExit) if fails else nullcontext():
        run()
    assert told == ["threshold", "app", "freeze"]
