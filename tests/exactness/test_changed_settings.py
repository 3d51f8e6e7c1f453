"""What does a change of settings at a resume do, and is the run after it as exact as the one before?

Whatever was changed: a run that is stopped once more after the change and resumed is the run that was not.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from peakmark import YOLO, inspect
from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read
from peakmark.errors import MachineError, ModelFileError, SettingsError
from peakmark.events import EpochEnded, MicrobatchDone, ResumePlanned, RunStarted, SeamJudged, ValidationProgress
from peakmark.nouns.resume import ChangePlan, Continuity
from peakmark.record.unfinished import newest_unfinished

WISHES = {
    "epochs": 3, "batch": 2, "nbs": 4, "warmup_epochs": 0.5, "mosaic": 0.7, "close_mosaic": 1, "save_interval": 0,
    "optimizer": "SGD", "lr0": 0.01,
}  # fmt: skip
WEIGHTS = ("model", "training_weights", "optimizer")


def _ignore(event: object) -> None:
    pass


@pytest.fixture(scope="module")
def whole(train_in, tmp_path_factory):
    return train_in(tmp_path_factory.mktemp("whole"), **WISHES).save_dir


@pytest.fixture(scope="module")
def inside(train_in, stop_at, tmp_path_factory):
    """Stopped in its second epoch of three, after two of five microbatches: at a window's start."""
    return train_in(tmp_path_factory.mktemp("inside"), observer=stop_at(MicrobatchDone, 7), **WISHES).save_dir


@pytest.fixture(scope="module")
def validating(train_in, stop_at, tmp_path_factory):
    """Stopped in the validation of its second epoch; each has three batches."""
    return train_in(tmp_path_factory.mktemp("validating"), observer=stop_at(ValidationProgress, 4), **WISHES).save_dir


@pytest.fixture
def copy_of(runs):
    def copy(run: Path, name: str = "train") -> Path:
        return Path(shutil.copytree(run, runs / name))

    return copy


def state_of(run: Path) -> Checkpoint:
    return read(run / "weights/last.pt")


def weights_of(run: Path) -> dict[str, str]:
    found = inspect(run / "weights/last.pt")["digests"]
    return {name: found[name] for name in WEIGHTS}


def notes_of(events: list[Any]) -> str:
    return " ".join(note for event in events if isinstance(event, RunStarted) for note in event.notes)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"optimizer": "AdamW", "lr0": 0.001, "cos_lr": True}, id="another optimizer"),
        pytest.param({"batch": 4, "nbs": 8}, id="another batch"),
        pytest.param({"imgsz": 64}, id="another size", marks=pytest.mark.slow),
        pytest.param({"mixup": 0.5, "seed": 5}, id="other draws", marks=pytest.mark.slow),
        pytest.param({"freeze": 3}, id="frozen layers", marks=pytest.mark.slow),
        pytest.param({"epochs": 4, "schedule": "stretch"}, id="stretched", marks=pytest.mark.slow),
        pytest.param({"epochs": 4}, id="held"),
    ],
)
def test_after_a_change_a_stop_still_changes_nothing(inside, copy_of, facts, stop_at, changes):
    straight, stopped = copy_of(inside, "straight"), copy_of(inside, "stopped")
    YOLO().resume(straight, observer=_ignore, yes=True, **changes)
    for kind, number in ((MicrobatchDone, 1), (ValidationProgress, 1), (EpochEnded, 1)):
        again = YOLO().resume(stopped, observer=stop_at(kind, number), yes=True, **changes)
        changes = {}
        assert again.outcome == "interrupted"
    assert YOLO().resume(stopped, observer=_ignore).outcome == "finished"
    assert facts(stopped) == facts(straight)
    assert weights_of(straight) != weights_of(inside)


def test_a_longer_run_holds_rate_and_phase(whole, copy_of, train):
    run = copy_of(whole)
    assert YOLO().resume(run, observer=_ignore, epochs=5).outcome == "finished"
    before, after = state_of(whole).history, state_of(run).history
    assert repr(after.records[:3]) == repr(before.records)  # as text: NaN equals itself there
    assert [record.lr for record in after.records[2:]] == [before.records[2].lr] * 3
    assert [segment.horizon for segment in after.segments] == [3, 3]
    assert [(segment.from_epoch, segment.from_images) for segment in after.segments] == [(0, 0), (3, 0)]
    assert [record.segment for record in after.records] == [0, 0, 0, 1, 1]
    assert len((run / "results.csv").read_text().splitlines()) == 6


def test_a_stretched_run_lays_the_rate_over_all_epochs(whole, copy_of):
    run = copy_of(whole)
    events: list[Any] = []
    YOLO().resume(run, observer=events.append, epochs=4, schedule="stretch")
    (last,) = state_of(run).history.records[3:]
    assert last.lr[0] == pytest.approx(0.01 * (0.01 + 0.99 * (1 - 3 / 4)))
    (told,) = (event for event in events if isinstance(event, ResumePlanned))
    (rate,) = (part for part in told.plan.parts if part.part == "learning rate")
    # A line over 3 epochs ends at 0.34 of lr0; over 4 the fourth epoch has 0.2575.
    assert rate.fate == "changed"
    assert rate.why.startswith("0.0034 -> 0.00258 in the next epoch, times 0.757 (schedule=stretch")


def test_a_run_with_nothing_left_is_longer_by_a_single_word_and_shorter_by_another(inside, copy_of):
    run = copy_of(inside)
    assert YOLO().resume(run, observer=_ignore, epochs=2).outcome == "finished"
    state = state_of(run)
    assert (state.position.epoch, len(state.history.records)) == (2, 2)
    assert state.history.segments[-1].horizon == 2  # or the rate would never fall and mosaic never close


def test_an_early_stopped_run_with_more_patience_is_the_run_with_that_patience(train, runs, copy_of):
    impatient = {**WISHES, "epochs": 6, "patience": 1, "lr0": 1e-5, "stop_phase": "now"}
    first = train(**impatient, project=runs / "a").save_dir
    assert json.loads((first / "summary.json").read_text())["outcome"] == "early_stopped"
    patient = train(**{**impatient, "patience": 50}, project=runs / "b").save_dir
    events: list[Any] = []
    assert YOLO().resume(first, observer=events.append, patience=50).outcome == "finished"
    assert weights_of(first) == weights_of(patient)


def test_new_moments_begin_at_a_rate_of_nothing(whole, inside, copy_of):
    run = copy_of(inside)
    events: list[Any] = []
    YOLO().resume(run, observer=events.append, optimizer="AdamW", lr0=0.001)
    (told,) = (event for event in events if isinstance(event, ResumePlanned))
    fates = {part.part: part.fate for part in told.plan.parts}
    assert (fates["weights"], fates["optimizer"]) == ("carried over", "re-initialised")
    state = state_of(run)
    assert state.history.segments[-1].rewarm_epochs == 1
    steps = {float(moments["step"]) for moments in state.optimizer["state"].values()}
    assert steps == {state.position.step - state_of(inside).position.step}


def test_other_numbers_of_images_rescale_the_moments(inside, copy_of, stop_at):
    run = copy_of(inside)
    # Stopped inside the first window after the change: what is saved is the changed state before its first step.
    YOLO().resume(run, observer=stop_at(MicrobatchDone, 1), nbs=8)
    before, after = state_of(inside).optimizer["state"], state_of(run).optimizer["state"]
    assert before.keys() == after.keys()
    for key, moments in before.items():
        assert torch.equal(after[key]["momentum_buffer"], 2 * moments["momentum_buffer"])


# --- what best means ------------------------------------------------------------------------------------------------


def test_another_fitness_is_judged_by_what_is_kept(train, runs, monkeypatch):
    """Epochs 1 to 4 reach these by mAP50-95 and by mAP50; only best.pt, last.pt and epoch2.pt are kept."""
    _validated_as(monkeypatch, fine=[0.1, 0.2, 0.3, 0.15, 0.1], coarse=[0.9, 0.8, 0.3, 0.7, 0.75])
    run = train(**{**WISHES, "epochs": 4, "save_period": 2}).save_dir
    assert inspect(run / "weights/best.pt")["epoch"] == 3
    (run / "weights/epoch4.pt").unlink()
    events: list[Any] = []
    YOLO().resume(run, observer=events.append, fitness="map50", epochs=5, probe="quick")
    assert "epoch 1 would be best, but its weights were not kept" in notes_of(events)
    assert "best.pt is epoch 2 now" in notes_of(events)
    described = inspect(run / "weights/best.pt")
    assert described["epoch"] == 2
    assert inspect(run / "weights/epoch3.pt")["epoch"] == 3  # what was best stays, under its number
    state = state_of(run)
    assert [record.fitness for record in state.history.records] == [0.9, 0.8, 0.3, 0.7, 0.75]
    assert state.best_fitness == 0.8
    assert json.loads((run / "summary.json").read_text())["best"]["epoch"] == 2


def _validated_as(monkeypatch: pytest.MonkeyPatch, fine: list[float], coarse: list[float]) -> None:
    from peakmark.validation import epoch as validation

    plain = validation.EpochValidator.__call__

    def validated(self: Any, state: Any) -> Any:
        figures, epoch = plain(self, state), state.position.epoch
        metrics = {**figures.metrics, "map50_95": fine[epoch], "map50": coarse[epoch]}
        return dataclasses.replace(figures, metrics=metrics, fitness=metrics[self.fitness.formula.text])

    monkeypatch.setattr(validation.EpochValidator, "__call__", validated)


@pytest.mark.parametrize("changes", [{"imgsz": 64}, {"data": "other"}])
def test_after_another_validation_best_starts_anew_and_the_old_one_is_kept(
    whole, copy_of, write_set, tmp_path, changes
):
    run = copy_of(whole)
    was_best = inspect(run / "weights/best.pt")["epoch"]
    if "data" in changes:
        changes = {"data": write_set(tmp_path / "other", train=6, val=5, seed=3)}
    YOLO().resume(run, observer=_ignore, epochs=4, **changes)
    assert inspect(run / "weights/best.pt")["epoch"] == 4
    assert inspect(run / f"weights/epoch{was_best}.pt")["epoch"] == was_best
    assert state_of(run).history.segments[1].comparable != state_of(run).history.segments[0].comparable


def test_without_validation_the_best_epoch_stays(whole, copy_of):
    run = copy_of(whole)
    best = inspect(run / "weights/best.pt")["epoch"]
    YOLO().resume(run, observer=_ignore, val=False, epochs=4)
    assert inspect(run / "weights/best.pt")["epoch"] == best
    assert state_of(run).best_fitness == state_of(whole).best_fitness
    assert json.loads((run / "summary.json").read_text())["best"]["epoch"] == best


# --- other data -----------------------------------------------------------------------------------------------------


def test_other_data_come_with_the_next_epoch(inside, copy_of, write_set, tmp_path, facts, stop_at):
    other = write_set(tmp_path / "other", train=6, val=5, seed=3)
    run, stopped = copy_of(inside), copy_of(inside, "stopped")
    YOLO().resume(run, observer=_ignore, data=other)
    records = state_of(run).history.records
    assert [record.images for record in records] == [10, 4, 6]
    YOLO().resume(stopped, observer=stop_at(MicrobatchDone, 1), data=other)
    YOLO().resume(stopped, observer=_ignore)
    assert facts(stopped) == facts(run)


def test_data_that_changed_in_their_place_are_accepted_when_named(train, stop_at, write_set, tmp_path):
    data = write_set(tmp_path / "set", train=6, val=2)
    run = train(**{**WISHES, "data": data}, observer=stop_at(MicrobatchDone, 4)).save_dir
    (tmp_path / "set/labels/train/03.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    with pytest.raises(MachineError, match=r"The train images or labels are not.*go on with them as they are"):
        YOLO().resume(run, observer=_ignore)
    assert YOLO().resume(run, observer=_ignore, data=data).outcome == "finished"


def test_other_classes_are_refused_with_the_remedy(inside, copy_of, write_set, tmp_path, facts):
    run = copy_of(inside)
    other = write_set(tmp_path / "other", names=("cat", "dog"))
    with pytest.raises(SettingsError, match=r"Fine-tune instead.*peakmark train model=.*last\.pt"):
        YOLO().resume(run, observer=_ignore, data=other)
    assert state_of(run).position == state_of(inside).position


# --- refused, dangerous, branched -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "yolov8s.yaml"}, r"the run is a yolov8t, and yolov8s has other shapes"),
        ({"single_cls": True}, r"Fine-tune instead"),
        ({"name": "elsewhere"}, r"resumed in its own folder"),
        ({"lr0": 5}, r"lr0=5 is out of range"),
        ({"schedul": "hold"}, r"schedul is no setting.*schedule"),
        ({"learning_rate": 5}, r"lr0=5 is out of range"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_touched(inside, copy_of, changes, said):
    run = copy_of(inside)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(SettingsError, match=said):
        YOLO().resume(run, observer=_ignore, **changes)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("changes", [{"lr0": 0.2}, {"mixup": 1.0, "mosaic": 1.0, "epochs": 9, "close_mosaic": 0}])
def test_a_danger_needs_a_yes(whole, copy_of, changes):
    run = copy_of(whole)
    changes = {"epochs": 4, "schedule": "stretch", **changes}
    with pytest.raises(SettingsError, match=r"nobody agreed to what is dangerous.*--yes"):
        YOLO().resume(run, observer=_ignore, **changes)
    assert state_of(run).position.epoch == 3
    asked: list[ChangePlan] = []

    def agree(plan: ChangePlan) -> bool:
        asked.append(plan)
        return True

    YOLO().resume(run, observer=_ignore, yes=agree, **changes)
    assert len(asked) == 1
    assert asked[0].dangers


def test_a_file_of_the_same_epoch_is_an_older_one_where_the_run_is_further(inside, copy_of):
    """Compared by the epoch alone, best.pt would pass for the newest, and last.pt be resumed in its place."""
    run = copy_of(inside)
    newest = read(run / "weights/last.pt").position
    assert read(run / "weights/best.pt").position.epoch == newest.epoch
    assert YOLO().plan_resume(run).position == newest
    planned = YOLO().plan_resume(run / "weights/best.pt").position
    assert (planned.epoch, planned.images) == (newest.epoch, 0)
    assert newest.images > 0


def test_an_older_file_branches_and_the_run_stays(train, runs, facts):
    """best.pt of an earlier epoch, say."""
    run = train(**WISHES, save_period=1).save_dir
    (run / "weights/best.pt").unlink()
    shutil.copy(run / "weights/epoch2.pt", run / "weights/best.pt")
    before = facts(run)
    events: list[Any] = []
    branch = YOLO().resume(run / "weights/best.pt", observer=events.append).save_dir
    assert branch == runs / "train2"
    assert "stays as it is" in notes_of(events)
    assert facts(run) == before
    # With nothing changed the branch is the same run again.
    assert weights_of(branch) == weights_of(run)
    lineage = state_of(branch).provenance["lineage"]
    assert [(entry["branch"], entry["epoch"], entry["run"]) for entry in lineage] == [(True, 2, str(run))]
    assert lineage[0]["parent"] == inspect(run / "weights/epoch2.pt")["digests"]["everything"]


# --- what is told and written ---------------------------------------------------------------------------------------


def test_a_plan_can_be_had_without_a_step(inside, copy_of, facts):
    run = copy_of(inside)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    told = YOLO().plan_resume(run, epochs=9, optimizer="AdamW")
    assert told.plan.changes == ("epochs: 3 -> 9", "optimizer: SGD -> AdamW")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_settings_yaml_and_lineage_say_what_was_changed_when(inside, copy_of):
    run = copy_of(inside)
    YOLO().resume(run, observer=_ignore, mixup=0.25)
    (line,) = (line for line in (run / "settings.yaml").read_text().splitlines() if line.startswith("mixup:"))
    assert line.split() == ["mixup:", "0.25", "#", "changed", "at", "the", "resume", "in", "epoch", "2,", "was", "0.0"]
    state = state_of(run)
    assert state.settings["mixup"] == 0.25
    (entry,) = state.provenance["lineage"]
    assert (entry["changes"], entry["epoch"], entry["images"]) == (["mixup: 0 -> 0.25"], 1, 4)
    assert state.provenance["parent"] == inspect(inside / "weights/last.pt")["digests"]["everything"]


def test_what_bears_on_nothing_leaves_the_run_the_same(inside, whole, copy_of, facts):
    run = copy_of(inside)
    YOLO().resume(run, observer=_ignore, workers=2, save_period=3, cache="off")
    assert weights_of(run) == weights_of(whole)
    assert len(state_of(run).history.segments) == 1
    assert state_of(run).settings["workers"] == 2
    assert (run / "weights/epoch3.pt").exists()


def test_a_run_that_is_over_says_so_and_completes_its_files(whole, copy_of, facts):
    run = copy_of(whole)
    before = facts(run)
    for name in ("results.csv", "summary.json", "weights/best.pt"):
        (run / name).unlink()
    events: list[Any] = []
    assert YOLO().resume(run, observer=events.append).outcome == "finished"
    assert "This run is over" in notes_of(events)
    assert facts(run)["results.csv"] == before["results.csv"]
    assert (run / "summary.json").exists()


def test_a_restore_that_fails_stops_and_names_the_part(inside, copy_of, monkeypatch):
    from peakmark.state import capture

    run = copy_of(inside)
    before = (run / "weights/last.pt").read_bytes()

    def forgetful(checkpoint: Checkpoint, state: Any) -> None:
        capture.restore(checkpoint, state)
        state.optimizer.state.clear()

    monkeypatch.setattr("peakmark.run.restored.restore", forgetful)
    with pytest.raises(ModelFileError, match=r"optimizer.*could not be restored exactly"):
        YOLO().resume(run, observer=_ignore)
    assert (run / "weights/last.pt").read_bytes() == before


def test_train_with_resume_is_a_resume(inside, whole, copy_of, monkeypatch):
    run = copy_of(inside)
    assert YOLO(run / "weights/last.pt").train(resume=True, observer=_ignore).save_dir == run
    assert weights_of(run) == weights_of(whole)
    other = copy_of(inside, "other")
    assert YOLO().train(resume=other, observer=_ignore, epochs=4).save_dir == other
    assert len(state_of(other).history.records) == 4
    third = copy_of(inside, "third")
    monkeypatch.chdir(run.parent)
    assert YOLO().train(resume=True, observer=_ignore, project=run.parent).save_dir == third


def test_seams_are_judged(train, copy_of):
    run = train(**{**WISHES, "epochs": 6}).save_dir
    events: list[Any] = []
    YOLO().resume(run, observer=events.append, epochs=8, watch=2)
    (judged,) = (event for event in events if isinstance(event, SeamJudged))
    assert judged.epoch == 7
    events.clear()
    YOLO().resume(run, observer=events.append, epochs=9, watch=0)
    assert not any(isinstance(event, SeamJudged) for event in events)


@pytest.mark.parametrize(("on_break", "outcome"), [("pause", "paused"), ("stop", "broken")])
def test_a_broken_run_is_saved_and_can_be_gone_on_with(whole, copy_of, monkeypatch, on_break, outcome):
    run = copy_of(whole)
    with monkeypatch.context() as patch:
        verdict = Continuity("broken", "Broken.")
        patch.setattr("peakmark.resume.watch.looking_at", lambda *_, **__: lambda history: verdict)
        assert YOLO().resume(run, observer=_ignore, epochs=6, on_break=on_break).outcome == outcome
    assert state_of(run).position.epoch == 4  # after the first epoch that was looked at
    assert newest_unfinished(run.parent) == (run if on_break == "pause" else None)
    assert YOLO().resume(run, observer=_ignore).outcome == "finished"
    assert state_of(run).position.epoch == 6


def test_weights_stay_bit_for_bit_whatever_is_changed(inside, copy_of, stop_at):
    run = copy_of(inside)
    changes = {"optimizer": "AdamW", "lr0": 0.001, "nbs": 8, "mixup": 0.3, "freeze": 2, "amp": False, "epochs": 4}
    YOLO().resume(run, observer=stop_at(MicrobatchDone, 1), yes=True, **changes)
    before, after = state_of(inside), state_of(run)
    for name in ("model", "training_weights"):
        old, new = getattr(before, name), getattr(after, name)
        assert all(torch.equal(new[key], tensor) for key, tensor in old.items())
    assert (after.ema_updates, after.position) == (before.ema_updates, before.position)
    assert after.optimizer["state"] == {}
