"""Which changes at a resume are refused, need a yes or lead to a branch, and where does it stand what was changed?"""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from tests.exactness.changed_settings.changes import WISHES, ignore, notes_of, state_of, weights_of

from peakmark import YOLO, inspect
from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read
from peakmark.errors import ModelFileError, SettingsError
from peakmark.events import MicrobatchDone, SeamJudged
from peakmark.nouns.resume import ChangePlan, Continuity
from peakmark.record.unfinished import newest_unfinished

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
        YOLO().resume(run, observer=ignore, **changes)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("changes", [{"lr0": 0.2}, {"mixup": 1.0, "mosaic": 1.0, "epochs": 9, "close_mosaic": 0}])
def test_a_danger_needs_a_yes(whole, copy_of, changes):
    run = copy_of(whole)
    changes = {"epochs": 4, "schedule": "stretch", **changes}
    with pytest.raises(SettingsError, match=r"nobody agreed to what is dangerous.*--yes"):
        YOLO().resume(run, observer=ignore, **changes)
    assert state_of(run).position.epoch == 3
    asked: list[ChangePlan] = []

    def agree(plan: ChangePlan) -> bool:
        asked.append(plan)
        return True

    YOLO().resume(run, observer=ignore, yes=agree, **changes)
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
    YOLO().resume(run, observer=ignore, mixup=0.25)
    (line,) = (line for line in (run / "settings.yaml").read_text().splitlines() if line.startswith("mixup:"))
    assert line.split() == ["mixup:", "0.25", "#", "changed", "at", "the", "resume", "in", "epoch", "2,", "was", "0.0"]
    state = state_of(run)
    assert state.settings["mixup"] == 0.25
    (entry,) = state.provenance["lineage"]
    assert (entry["changes"], entry["epoch"], entry["images"]) == (["mixup: 0 -> 0.25"], 1, 4)
    assert state.provenance["parent"] == inspect(inside / "weights/last.pt")["digests"]["everything"]


def test_what_bears_on_nothing_leaves_the_run_the_same(inside, whole, copy_of, facts):
    run = copy_of(inside)
    YOLO().resume(run, observer=ignore, workers=2, save_period=3, cache="off")
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
        YOLO().resume(run, observer=ignore)
    assert (run / "weights/last.pt").read_bytes() == before


def test_train_with_resume_is_a_resume(inside, whole, copy_of, monkeypatch):
    run = copy_of(inside)
    assert YOLO(run / "weights/last.pt").train(resume=True, observer=ignore).save_dir == run
    assert weights_of(run) == weights_of(whole)
    other = copy_of(inside, "other")
    assert YOLO().train(resume=other, observer=ignore, epochs=4).save_dir == other
    assert len(state_of(other).history.records) == 4
    third = copy_of(inside, "third")
    monkeypatch.chdir(run.parent)
    assert YOLO().train(resume=True, observer=ignore, project=run.parent).save_dir == third


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
        assert YOLO().resume(run, observer=ignore, epochs=6, on_break=on_break).outcome == outcome
    assert state_of(run).position.epoch == 4  # after the first epoch that was looked at
    assert newest_unfinished(run.parent) == (run if on_break == "pause" else None)
    assert YOLO().resume(run, observer=ignore).outcome == "finished"
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
