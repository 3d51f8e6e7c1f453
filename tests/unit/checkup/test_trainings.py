"""Trainings that must be the same run are compared by their files; one that can't be made is told, not raised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from peakmark.checkup.metrics import compare_metrics
from peakmark.checkup.trainings import FIRST, SMALL, Measured, Trainings
from peakmark.errors import MachineError
from peakmark.record.folder import RunFolder


class Made(Trainings):
    """Stands for trainings that are made already, by their names."""

    def __init__(self, **made: RunFolder | MachineError) -> None:
        self._settings = dict(SMALL)
        self._together = {"processes": 2} if "together" in made else None
        self._made = made

    def run(self, name: str, **changes: object) -> RunFolder:
        found = self._made[name]
        if isinstance(found, MachineError):
            raise found
        return found

    def kill_and_resume(self, name: str) -> RunFolder:
        return self.run(name)


@pytest.fixture(scope="module")
def two_runs(train_in: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, RunFolder]:
    project = tmp_path_factory.mktemp("two")
    one, other = (train_in(project, epochs=1, seed=seed, name=f"seed{seed}") for seed in (0, 1))
    return RunFolder(one.save_dir), RunFolder(other.save_dir)


def test_equal_runs_pass_and_others_are_named_by_their_files(two_runs: tuple[RunFolder, RunFolder]):
    one, other = two_runs
    found = {f.name: f for f in Made(first=one, second=one, third=other).findings()}
    assert [(f.name, f.verdict) for f in found.values()] == [
        ("training", "ok"), ("repeated", "ok"), ("killed", "failed")
    ]  # fmt: skip
    assert "last.pt and best.pt differ" in found["killed"].says
    assert "replay" in found["killed"].advice


def test_two_processes_are_held_against_one(two_runs: tuple[RunFolder, RunFolder]):
    one, other = two_runs
    (*_, same) = Made(first=one, second=one, third=one, alone=other, together=other).findings()
    (*_, differs) = Made(first=one, second=one, third=one, alone=one, together=other).findings()
    assert (same.name, same.verdict, differs.verdict) == ("processes", "ok", "failed")


def test_a_training_that_fails_is_told(two_runs: tuple[RunFolder, RunFolder]):
    broken = MachineError("ended with exit code 4")
    (alone,) = Made(first=broken).findings()
    assert (alone.verdict, alone.says) == ("failed", "ended with exit code 4")
    found = {f.name: f.verdict for f in Made(first=two_runs[0], second=broken, third=two_runs[0]).findings()}
    assert found == {"training": "ok", "repeated": "failed", "killed": "ok"}


def test_the_words_of_a_training_that_ends_with_an_error_are_handed_on(tmp_path: Path):
    with pytest.raises(MachineError, match=r"exit code \d.*no_such_folder"):
        Trainings("cpu", tmp_path, {**SMALL, "data": "no_such_folder/data.yaml"}).run(FIRST)


def test_the_share_of_the_network_is_of_the_steps_alone():
    seconds = {"loading": 1.0, "forward": 3.0, "loss": 1.0, "backward": 4.0, "update": 0.5, "other": 0.5}
    measured = Measured(seconds, images=20, advice=())
    assert (measured.busy, measured.images_per_s) == (0.85, 2.0)


def test_the_same_weights_measure_the_same_on_the_same_device(
    two_runs: tuple[RunFolder, RunFolder], tiny_data: Path, monkeypatch: pytest.MonkeyPatch
):
    from peakmark.checkup import metrics
    from peakmark.data.dataset import read_dataset
    from peakmark.run.open_data import open_data
    from peakmark.settings.fields import Settings
    from peakmark.settings.recipe import VERSION

    settings = Settings(data=str(tiny_data), imgsz=64, batch=4, workers=0)
    data = open_data(settings, read_dataset(str(tiny_data)), None, VERSION)
    assert compare_metrics(two_runs[0].best, settings, data, "cpu").verdict == "ok"
    validated = metrics._validated
    files = iter((two_runs[0].best, two_runs[1].best))
    monkeypatch.setattr(metrics, "_validated", lambda weights, *rest: validated(next(files), *rest))
    assert compare_metrics(two_runs[0].best, settings, data, "cpu").verdict == "failed"
