"""What does a user read when a run can't start? One clear sentence for each mistake, all of them at once, no traceback.

Mistakes in labels and images are in `test_bad_data.py`, misspelt words in `test_command_line.py`.
"""

from __future__ import annotations

import itertools
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import CHEAP

from peakmark import YOLO, inspect
from peakmark.checkpoint.background import BackgroundWriter
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.cli.main import app
from peakmark.data.order import epoch_order
from peakmark.errors import DataError, MachineError, ModelFileError, SettingsError
from peakmark.events import EpochEnded, EpochStarted, MicrobatchDone, Notice, RunEnded, RunStarted
from peakmark.files.lock import RunLock
from peakmark.loss.detection import detection_loss
from peakmark.machine.stopping import EndNow
from peakmark.record.journal import Journal
from peakmark.record.journal import read as read_journal


def _command(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as ended:
        app(list(words))
    told = capsys.readouterr()
    assert "Traceback" not in told.err
    return ended.value.code, told.err


def test_settings_model_and_data_are_told_at_once(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, err = _command(capsys, "train", "model=nope.pt", "data=nope.yaml", "epoch=3", "batch=0")
    assert code == 2
    first, *lines = err.splitlines()
    assert first == "Error: 4 things to fix"
    assert lines[0] == "  - epoch is no setting; the nearest one is epochs: write epochs=3."
    assert lines[1].startswith("  - batch=0 is out of range; batch is a whole number from 1 (images); -1, or a share")
    assert lines[2].startswith("  - model=nope.pt: there is no such file. Nothing is downloaded: give the path of")
    assert lines[3].startswith("  - data=nope.yaml: there is no such file.")
    assert list(tmp_path.iterdir()) == []


def test_python_is_told_at_once_as_well():
    with pytest.raises(SettingsError) as caught:
        YOLO().train(data="nope.yaml", epoch=3)
    assert len(caught.value.violations) == 2


@pytest.mark.parametrize(("command", "words"), [("val", ["data=nope.yaml", "conf=2"]), ("predict", ["conf=2"])])
def test_val_and_predict_tell_at_once(capsys, command, words):
    code, err = _command(capsys, command, "model=nope.pt", *words)
    assert code == 2
    for said in ("conf=2 is out of range", "model=nope.pt: there is no such file"):
        assert said in err
    assert ("data=nope.yaml: there is no such file" in err) == (command == "val")
    assert ("source is missing" in err) == (command == "predict")


def test_data_missing(capsys):
    code, err = _command(capsys, "train", "epochs=3")
    assert (code, err) == (
        2,
        "Error: data is missing; write data=... (a data.yaml, or shapes for the embedded sample data).\n",
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"hello, this is text", "is not a model file"),
        (b"PK\x03\x04 and then nothing", "is cut off or damaged"),
        (b"\x80\x02ccollections\nOrderedDict\nq\x00)Rq\x01.", "pickle of another program"),
    ],
)
def test_a_model_file_that_is_none(tmp_path, tiny_data, runs, content, said):
    file = tmp_path / "best.pt"
    file.write_bytes(content)
    with pytest.raises(ModelFileError, match=said) as caught:
        YOLO(file)
    assert str(file) in str(caught.value)
    with pytest.raises(ModelFileError, match=said):
        YOLO().train(data=tiny_data, pretrained=file, project=runs)
    assert not runs.exists()


def test_another_architecture_is_named_with_those_there_are():
    with pytest.raises(ModelFileError, match=r"model=yolov9c.yaml: not one of the architectures .* yolov8n.yaml"):
        YOLO("yolov9c.yaml")


def test_imgsz_is_rounded_up_and_said(train, trained, tiny_data, runs):
    events: list[Any] = []
    said = "imgsz=40 is not a multiple of 32; 64 is used instead."
    results = train(imgsz=40, epochs=1, val=False, observer=events.append)
    assert results.summary["settings"]["imgsz"] == 64
    assert said in next(event for event in events if isinstance(event, RunStarted)).notes
    model = YOLO(trained[0].best)
    for use in (
        lambda observer: model.val(imgsz=40, project=runs, plots=False, observer=observer),
        lambda observer: model.predict(tiny_data.parent / "images/val", imgsz=40, observer=observer),
    ):
        notices: list[Any] = []
        use(notices.append)
        assert said in [notice.text for notice in notices if isinstance(notice, Notice)]


@pytest.mark.parametrize("batch", [0, -2, 1.5, "many"])
def test_batch_that_is_no_number_of_images(tiny_data, batch):
    with pytest.raises(SettingsError, match=f"^batch={batch} .*batch is a whole number from 1"):
        YOLO().train(data=tiny_data, batch=batch)


def test_a_folder_that_cannot_be_written(train, trained, tiny_data, tmp_path):
    in_the_way = tmp_path / "file"
    in_the_way.write_text("mine")
    model = YOLO(trained[0].best)
    for use in (
        lambda: train(project=in_the_way),
        lambda: model.val(project=in_the_way, observer=lambda event: None),
        lambda: model.predict(tiny_data.parent / "images/val", save=True, project=in_the_way),
    ):
        with pytest.raises(MachineError, match=f"Can't write {in_the_way}") as caught:
            use()
        assert "." in str(caught.value).partition("Can't write")[2]
    assert in_the_way.read_text() == "mine"


def test_a_name_that_is_a_path(train):
    with pytest.raises(SettingsError, match=r"name=a/b is not the name of a folder. Put the folders above it into"):
        train(name="a/b")


def test_too_little_memory(train, runs, monkeypatch):
    monkeypatch.setattr("peakmark.run.begin.available_bytes", lambda: 300 * 2**20)
    with pytest.raises(MachineError, match=r"batch=4 at imgsz=32 with yolov8t needs about .* GiB of memory, and 0.3"):
        train()
    assert not runs.exists()


def test_memory_is_counted_for_the_largest_images_that_multi_scale_draws(train, runs, monkeypatch):
    """It varies the side up to twice as large, and with it the memory up to four times."""
    needed: list[int] = []

    def estimate(*_: object, side_px: int, **__: object) -> int:
        needed.append(side_px)
        return 2**40

    monkeypatch.setattr("peakmark.run.begin.training_bytes", estimate)
    for share, said in (
        (1.0, r"imgsz=96 and multi_scale=1, so up to 192 px, with yolov8t"),
        (0, "imgsz=96 with yolov8t"),
    ):
        with pytest.raises(MachineError, match=said):
            train(imgsz=96, multi_scale=share)
    assert needed == [192, 96]
    assert not runs.exists()


def test_memory_that_runs_out_on_the_way_keeps_what_was_saved(train, monkeypatch):
    steps = iter(range(100))

    def greedy(output: Any, batch: Any, **rules: Any) -> Any:
        if next(steps) == 4:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory")
        return detection_loss(output, batch, **rules)

    monkeypatch.setattr("peakmark.train.step.detection_loss", greedy)
    folders: list[Path] = []

    def observe(event: object) -> None:
        if isinstance(event, RunStarted):
            folders.append(event.folder)

    with pytest.raises(
        MachineError, match=r"The memory is used up at batch=4, imgsz=32: take a smaller batch .*resume .* batch=2"
    ):
        train(observer=observe)
    position = read(folders[0] / "weights/last.pt").position
    assert (position.epoch, position.images) == (1, 4), "the window before it, which no save had held"
    monkeypatch.undo()
    assert YOLO().resume(folders[0], observer=lambda event: None).outcome == "finished"


def _fails(*_: object, **__: object) -> None:
    raise ZeroDivisionError("mine")


@pytest.mark.parametrize("disk_is_full", [False, True])
def test_any_error_keeps_what_was_trained_and_is_not_hidden_by_the_next(train, monkeypatch, disk_is_full):
    events: list[Any] = []

    def refuse(*_: object, **__: object) -> None:
        raise MachineError("Can't write last.pt: No space left on device.")

    def fail(self: Journal, event: object) -> None:
        if isinstance(event, MicrobatchDone) and (event.epoch, event.images_done) == (1, 6):
            if disk_is_full:
                monkeypatch.setattr("peakmark.files.durable.write_durably", refuse)
                monkeypatch.setattr("peakmark.files.durable.append_line", refuse)
            _fails()

    monkeypatch.setattr(Journal, "__call__", fail)
    with pytest.raises(ZeroDivisionError, match="mine"):
        train(batch=2, nbs=2, save_interval=0, observer=events.append)
    monkeypatch.undo()
    folder = next(event.folder for event in events if isinstance(event, RunStarted))
    position = read(folder / "weights/last.pt").position
    said = events[-1].text
    if disk_is_full:
        assert (position.epoch, position.images) == (1, 0)
        assert "What was trained since the last save is not saved. Can't write last.pt: No space left" in said
        assert said.endswith(f"Go on from the last save with: peakmark resume {folder}")
    else:
        assert (position.epoch, position.images) == (1, 4)
        assert said == f"All that was trained is saved. Resume with: peakmark resume {folder}"


def test_functions_of_the_user_that_fail_end_no_run(train, runs, tiny_data):
    """What failed is in the journal, once each, and the weights are those of a run without them."""
    model = YOLO(CHEAP["model"])
    model.add_callback("on_fit_epoch_end", _fails)
    results = model.train(
        observer=_fails, data=tiny_data, project=runs, **{key: value for key, value in CHEAP.items() if key != "model"}
    )
    assert results.outcome == "finished"
    told = [line["text"] for line in read_journal(results.save_dir / "journal.jsonl") if line["event"] == "Notice"]
    failed = [text.partition(" failed")[0] for text in told if "mine (ZeroDivisionError" in text]
    assert failed == ["observer=", "The callback _fails of on_fit_epoch_end"]
    quiet = train()
    assert results.summary["digests"]["everything"] == quiet.summary["digests"]["everything"]


def test_pictures_that_can_not_be_drawn_end_no_run(train, monkeypatch):
    monkeypatch.setattr("peakmark.report.pictures.painter.draw_train_batch", _fails)
    monkeypatch.setattr("peakmark.api.model.pictures.write_page", _fails)
    events: list[Any] = []
    results = train(plots=True, epochs=1, observer=events.append)
    assert results.outcome == "finished"
    told = [event.text for event in events if isinstance(event, Notice) and "mine (ZeroDivisionError" in event.text]
    assert [text.partition(" could")[0] for text in told] == [
        "The pictures of training batches",
        "The pictures and the page",
    ]
    assert not events[-1].pictures


def test_a_validation_whose_pictures_can_not_be_drawn_still_gives_its_numbers(trained, runs, monkeypatch):
    monkeypatch.setattr("peakmark.api.model.validate.draw_evaluation", _fails)
    told: list[Any] = []
    evaluation = YOLO(trained[0].best).val(project=runs, observer=told.append)
    assert evaluation.metrics["map50_95"] == trained[0].metrics["map50_95"]
    assert any("The pictures could not be drawn: mine" in event.text for event in told if isinstance(event, Notice))


def test_a_second_ctrl_c_does_not_wait_for_a_save(train, monkeypatch):
    """The files stay those of the last save that was done, and none changes afterwards."""
    first_is_done, may_go, saves = threading.Event(), threading.Event(), itertools.count()
    events: list[Any] = []

    def held_up(checkpoint: Any, *targets: Path, go_on: Any) -> int:
        if next(saves):
            may_go.wait(60)
        size = save(checkpoint, *targets, go_on=go_on)
        first_is_done.set()
        return size

    def observe(event: object) -> None:
        events.append(event)
        if isinstance(event, EpochEnded) and event.record.epoch == 1:
            assert first_is_done.wait(60)
            raise EndNow

    monkeypatch.setattr("peakmark.run.build.BackgroundWriter", partial(BackgroundWriter, save=held_up))
    began_at = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        train(epochs=3, observer=observe)
    assert time.monotonic() - began_at < 30
    last = events[0].folder / "weights/last.pt"
    before = last.read_bytes()
    may_go.set()
    assert read(last).position.epoch == 1
    assert not any(isinstance(event, RunEnded) for event in events)
    assert last.read_bytes() == before


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_image_that_is_gone_during_a_run_stops_it_and_nothing_is_lost(train, write_set, tmp_path, split):
    data = write_set(tmp_path / "set")
    # Of the training images one that comes late in the epoch: were it the first, the save before it would do.
    lost = int(epoch_order(0, 1, 10)[6]) if split == "train" else 3
    image = tmp_path / f"set/images/{split}/{lost:02}.png"
    wishes = {"data": data, "cache": "off", "mosaic": 0, "batch": 2, "nbs": 2}
    whole = inspect(train(**wishes).last)["digests"]
    events: list[Any] = []

    def lose_it(event: object) -> None:
        events.append(event)
        if isinstance(event, EpochStarted) and event.epoch == 1:
            image.rename(image.with_suffix(".lost"))

    with pytest.raises(DataError, match=str(image)):
        train(**wishes, observer=lose_it)
    folder = events[0].folder
    assert events[-1].text.endswith(f"resume with: peakmark resume {folder}")
    position = read(folder / "weights/last.pt").position
    where = (1, 6, "train") if split == "train" else (1, 10, "validate")
    assert (position.epoch, position.images, position.phase) == where
    image.with_suffix(".lost").rename(image)
    resumed = YOLO().resume(folder, observer=lambda event: None)
    assert inspect(resumed.last)["digests"] == whole


def test_a_run_in_use_is_left_alone(trained):
    results = trained[0]
    with RunLock(results.save_dir), pytest.raises(MachineError, match="is in use by process"):
        YOLO().resume(results.save_dir, observer=lambda event: None)
