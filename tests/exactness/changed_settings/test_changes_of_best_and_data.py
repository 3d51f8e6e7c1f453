"""What does a resume make of another fitness, another validation, other data?"""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from tests.exactness.changed_settings.changes import WISHES, ignore, notes_of, state_of

from peakmark import YOLO, inspect
from peakmark.errors import MachineError, SettingsError
from peakmark.events import MicrobatchDone

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
    YOLO().resume(run, observer=ignore, epochs=4, **changes)
    assert inspect(run / "weights/best.pt")["epoch"] == 4
    assert inspect(run / f"weights/epoch{was_best}.pt")["epoch"] == was_best
    assert state_of(run).history.segments[1].comparable != state_of(run).history.segments[0].comparable


def test_without_validation_the_best_epoch_stays(whole, copy_of):
    run = copy_of(whole)
    best = inspect(run / "weights/best.pt")["epoch"]
    YOLO().resume(run, observer=ignore, val=False, epochs=4)
    assert inspect(run / "weights/best.pt")["epoch"] == best
    assert state_of(run).best_fitness == state_of(whole).best_fitness
    assert json.loads((run / "summary.json").read_text())["best"]["epoch"] == best


# --- other data -----------------------------------------------------------------------------------------------------


def test_other_data_come_with_the_next_epoch(inside, copy_of, write_set, tmp_path, facts, stop_at):
    other = write_set(tmp_path / "other", train=6, val=5, seed=3)
    run, stopped = copy_of(inside), copy_of(inside, "stopped")
    YOLO().resume(run, observer=ignore, data=other)
    records = state_of(run).history.records
    assert [record.images for record in records] == [10, 4, 6]
    YOLO().resume(stopped, observer=stop_at(MicrobatchDone, 1), data=other)
    YOLO().resume(stopped, observer=ignore)
    assert facts(stopped) == facts(run)


def test_data_that_changed_in_their_place_are_accepted_when_named(train, stop_at, write_set, tmp_path):
    data = write_set(tmp_path / "set", train=6, val=2)
    run = train(**{**WISHES, "data": data}, observer=stop_at(MicrobatchDone, 4)).save_dir
    (tmp_path / "set/labels/train/03.txt").write_text("0 0.5 0.5 0.25 0.25\n")
    with pytest.raises(MachineError, match=r"The train images or labels are not.*go on with them as they are"):
        YOLO().resume(run, observer=ignore)
    assert YOLO().resume(run, observer=ignore, data=data).outcome == "finished"


def test_other_classes_are_refused_with_the_remedy(inside, copy_of, write_set, tmp_path, facts):
    run = copy_of(inside)
    other = write_set(tmp_path / "other", names=("cat", "dog"))
    with pytest.raises(SettingsError, match=r"Fine-tune instead.*peakmark train model=.*last\.pt"):
        YOLO().resume(run, observer=ignore, data=other)
    assert state_of(run).position == state_of(inside).position
