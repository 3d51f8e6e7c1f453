"""Does a resume go on with what its user means, and does the run come out as if it had never been stopped?

One run that was not interrupted, and the same one stopped by Ctrl-C in its second epoch, as a notebook does it.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.conftest import CHEAP

from peakmark import YOLO, TrainResults, diagnose, inspect, strip
from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.errors import MachineError
from peakmark.events import Event, MicrobatchDone, RunEnded, RunStarted
from peakmark.record.folder import RunFolder

WISHES: dict[str, Any] = {
    **CHEAP, "batch": 2, "nbs": 4, "warmup_epochs": 0.5, "mosaic": 0.7, "save_interval": 0, "optimizer": "SGD",
    "lr0": 0.01,
}  # fmt: skip
MICROBATCHES = 5
"""In an epoch of 10 images."""


class Interrupted(NamedTuple):
    first: TrainResults
    again: TrainResults
    stopped: Path
    """The run's folder as it was between the two."""


@pytest.fixture(scope="module")
def data(write_set: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("data"), val=6)


@pytest.fixture(scope="module")
def whole(
    train_in: Callable[..., TrainResults], data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, list[Event]]]:
    events: list[Event] = []
    project = tmp_path_factory.mktemp("whole")
    yield train_in(project, observer=events.append, **WISHES, data=data).save_dir, events
    shutil.rmtree(project)


@pytest.fixture(scope="module")
def interrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Interrupted]:
    project = tmp_path_factory.mktemp("interrupted")
    microbatches = iter(range(MICROBATCHES + 3))

    def interrupt(event: Event) -> None:
        if isinstance(event, MicrobatchDone) and next(microbatches) == MICROBATCHES + 2:
            os.kill(os.getpid(), signal.SIGINT)

    model = YOLO("yolov8t.yaml")
    first = model.train(observer=interrupt, data=data, project=project / "runs", **WISHES)
    stopped = Path(shutil.copytree(first.save_dir, project / "stopped"))
    yield Interrupted(first, model.train(resume=True, observer=_ignore), stopped)
    shutil.rmtree(project)


@pytest.fixture
def run(interrupted: Interrupted, runs: Path) -> Path:
    """The run as its interruption left it."""
    return Path(shutil.copytree(interrupted.stopped, runs / "train"))


def _ignore(event: Event) -> None:
    pass


class _LeaveError(BaseException):
    """No Exception, which a run survives in an observer; no KeyboardInterrupt: a test is to fail, and not all end."""


def _leave(event: Event) -> None:
    """Ends the run before its first image."""
    if isinstance(event, RunStarted):
        raise _LeaveError


def _notes(events: list[Event]) -> str:
    return " ".join(note for event in events if isinstance(event, RunStarted) for note in event.notes)


def _state(run: Path) -> str:
    """The digest of all that a run's newest state holds."""
    return str(inspect(run / "weights/last.pt")["digests"]["everything"])


def _in_history(file: Path, epoch: int, **changes: Any) -> None:
    checkpoint: Checkpoint = read(file)
    records = list(checkpoint.history.records)
    records[epoch] = dataclasses.replace(records[epoch], **changes)
    save(dataclasses.replace(checkpoint, history=dataclasses.replace(checkpoint.history, records=tuple(records))), file)


def test_a_lone_last_pt_goes_on_anywhere_as_if_it_had_never_been_moved(interrupted, whole, tmp_path):
    """All that is left of a machine that is gone."""
    lone = tmp_path / "from the old machine" / "last.pt"
    lone.parent.mkdir()
    shutil.copy(interrupted.stopped / "weights/last.pt", lone)
    before = lone.read_bytes()
    events: list[Event] = []
    results = YOLO(str(lone)).train(resume=True, observer=events.append)
    assert results.outcome == "finished"
    assert results.save_dir == lone.parent / "train"
    assert _state(results.save_dir) == _state(whole[0])
    assert lone.read_bytes() == before
    assert {path.name for path in lone.parent.iterdir()} == {"last.pt", "train"}
    assert f"{lone}: it lies in no run's folder" in _notes(events)
    rows = (results.save_dir / "results.csv").read_text().splitlines()
    assert len(rows) == len((whole[0] / "results.csv").read_text().splitlines())
    (entry,) = read(results.last).provenance["lineage"]
    assert (entry["branch"], entry["parent"]) == (True, inspect(lone)["digests"]["everything"])
    shutil.rmtree(results.save_dir)


def test_a_lone_file_goes_on_with_its_data_in_another_place(interrupted, whole, data, tmp_path):
    """On another machine they are."""
    moved = Path(shutil.copytree(data.parent, tmp_path / "moved")) / data.name
    shutil.copy(interrupted.stopped / "weights/last.pt", tmp_path)
    results = YOLO(str(tmp_path / "last.pt")).train(resume=True, observer=_ignore, data=moved)
    assert _state(results.save_dir) == _state(whole[0])
    shutil.rmtree(results.save_dir)


@pytest.mark.parametrize("folder", ["weights", "weights/weights"])
def test_a_folder_that_is_called_weights_is_no_run_yet(interrupted, tmp_path, folder):
    """In place, the run would take other models that lie there for its own, and write into the folder above."""
    lone = tmp_path / folder / "last.pt"
    lone.parent.mkdir(parents=True)
    shutil.copy(interrupted.stopped / "weights/last.pt", lone)
    with pytest.raises(_LeaveError):
        YOLO().resume(lone, observer=_leave)
    assert {path.name for path in lone.parent.iterdir()} == {"last.pt", "train"}
    assert [path.name for path in tmp_path.iterdir()] == ["weights"]
    shutil.rmtree(lone.parent / "train")


def test_the_folder_of_a_lone_file_can_be_named_and_the_plan_says_it_is_a_new_one(interrupted, tmp_path, monkeypatch):
    shutil.copy(interrupted.stopped / "weights/last.pt", tmp_path / "last.pt")
    monkeypatch.chdir(tmp_path)
    planned = YOLO("last.pt").plan_resume(project="mine", name="rescued")
    (folder,) = (part for part in planned.plan.parts if part.part == "folder")
    assert folder.why.startswith("it lies in no run's folder")
    assert not planned.plan.refusals
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
    with pytest.raises(_LeaveError):
        YOLO("last.pt").train(resume=True, observer=_leave, project="mine", name="rescued")
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt", "mine"}
    assert _state(Path("mine/rescued")) == _state(interrupted.stopped)
    shutil.rmtree("mine")


def test_after_an_interrupt_train_resume_goes_on_with_that_run_in_its_folder(interrupted, whole):
    """The object has become the run's best by then, and best.pt alone would branch."""
    assert interrupted.first.outcome == "interrupted"
    assert interrupted.first.best is not None
    assert interrupted.again.outcome == "finished"
    assert interrupted.again.save_dir == interrupted.first.save_dir
    assert [path.name for path in interrupted.first.save_dir.parent.iterdir()] == ["train"]
    assert _state(interrupted.again.save_dir) == _state(whole[0])


def test_time_is_the_limit_of_the_whole_run_and_a_larger_one_goes_on(run):
    _in_history(run / "weights/last.pt", 0, train_s=3600.0)
    before = read(run / "weights/last.pt").position
    events: list[Any] = []
    assert YOLO().resume(run, observer=events.append, time=1).outcome == "out_of_time"
    assert read(run / "weights/last.pt").position == before, "an hour was used before this resume"
    again = f"peakmark resume {run} time=2"
    assert again in _notes(events)
    assert "is used up" in _notes(events)
    assert events[-1].text.endswith(again)
    events.clear()

    def leave(event: Event) -> None:
        events.append(event)
        if isinstance(event, MicrobatchDone):
            raise _LeaveError

    with pytest.raises(_LeaveError):
        YOLO().resume(run, observer=leave, time=2)
    assert "time=2 hours is for the whole run: 1 are used, 1 are left" in _notes(events)


def test_the_state_before_a_change_is_kept_and_leads_back_to_the_unchanged_run(run, runs, whole):
    unchanged = _state(run)

    with pytest.raises(_LeaveError):
        YOLO().resume(run, observer=_leave, lr0=0.002)
    kept, last = run / "weights/before_epoch2.pt", run / "weights/last.pt"
    assert inspect(kept)["digests"]["everything"] == unchanged != _state(run)
    assert read(kept).position == read(last).position
    changed = last.read_bytes()
    # A second change at the same place doesn't take the way back away.
    with pytest.raises(_LeaveError):
        YOLO().resume(run, observer=_leave, lr0=0.003)
    assert inspect(kept)["digests"]["everything"] == unchanged

    last.write_bytes(changed)
    same = Path(shutil.copy(last, run / "weights/same.pt"))
    assert "folder" not in [part.part for part in YOLO().plan_resume(same).plan.parts if part.fate == "changed"]
    (folder,) = (part for part in YOLO().plan_resume(kept).plan.parts if part.part == "folder")
    assert folder.why.startswith("another state than the run's newest")
    branch = YOLO().resume(kept, observer=_ignore)
    assert branch.save_dir == runs / "train2", "at an equal place, but of other settings"
    assert _state(branch.save_dir) == _state(whole[0])
    assert last.read_bytes() == changed


def test_labels_that_changed_before_the_first_save_are_refused(run, data):
    shutil.rmtree(run / "weights")
    label = data.parent / "labels/train/03.txt"
    before = label.read_text()
    label.write_text("0 0.5 0.5 0.25 0.25\n")

    try:
        with pytest.raises(MachineError, match=r"not those that this run was started with.* data=") as error:
            YOLO().resume(run, observer=_leave)
        assert "03.txt" in str(error.value) or "03.png" in str(error.value)
        # Named, they are taken as they are, from then on.
        for given in ({"data": data}, {}):
            with pytest.raises(_LeaveError):
                YOLO().resume(run, observer=_leave, **given)
    finally:
        label.write_text(before)


def test_no_best_is_named_where_none_is_there(whole, runs):
    run = Path(shutil.copytree(whole[0], runs / "train"))
    _in_history(run / "weights/last.pt", 0, fitness=0.99)
    for path in (run / "weights").glob("*.pt"):
        if path.name != "last.pt":
            path.unlink()
    events: list[Any] = []
    results = YOLO().resume(run, observer=events.append)
    ended = events[-1]
    assert isinstance(ended, RunEnded)
    assert (ended.best_epoch, ended.best_is_gone, ended.shipping) == (0, True, "")
    assert results.best is None
    assert results.last.is_file()


def test_the_end_says_how_small_a_stripped_best_is(whole, tmp_path):
    run, events = whole
    ended = events[-1]
    assert isinstance(ended, RunEnded)
    assert not ended.best_is_gone
    best = RunFolder(run).best
    assert ended.shipping.startswith(f"peakmark strip {best} ")
    small, large = (float(size) for size in re.findall(r"(\d+) MB", ended.shipping))
    _, before, after = strip(best, tmp_path / "small.pt")
    assert (small, large) == (round(after / 1e6), round(before / 1e6))


def test_a_remedy_of_diagnose_is_a_command_that_goes_back(run):
    checkpoint = read(run / "weights/last.pt")
    save(checkpoint, RunFolder(run).before_file(checkpoint.position.epoch))
    save(dataclasses.replace(checkpoint, ema_updates=checkpoint.ema_updates + 1000), run / "weights/last.pt")
    (found, *_) = diagnose(run).contradictions
    assert found.remedy.endswith(f"peakmark resume {run / 'weights/before_epoch2.pt'}")
