"""Is the best epoch chosen again as asked, and does the run go on with that choice?"""

from __future__ import annotations

import csv
import dataclasses
import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from peakmark import YOLO, inspect, select
from peakmark.checkpoint.catalogue import newest_good
from peakmark.checkpoint.reader import read
from peakmark.errors import MachineError, ModelFileError, SettingsError
from peakmark.evaluate.evidence_file import read as read_evidence
from peakmark.evaluate.evidence_file import to_bytes
from peakmark.evaluate.metrics import evaluation_from
from peakmark.events import Event, Notice
from peakmark.files import durable
from peakmark.files.lock import RunLock
from peakmark.nouns.run import EpochRecord, History
from peakmark.record.folder import RunFolder
from peakmark.selection.best import best_record

LEARNS = {
    "optimizer": "AdamW", "lr0": 0.01, "warmup_epochs": 0, "nbs": 4, "epochs": 6, "imgsz": 64, "mosaic": 0,
    "scale": 0.1,
}  # fmt: skip
"""So that the last epochs have a fitness above 0."""
WORST = "1 - map50_95"
"""By it the worst epoch is the best: surely another one."""


@pytest.fixture(scope="module")
def whole(train_in: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with every epoch kept."""
    folder: Path = train_in(tmp_path_factory.mktemp("whole"), **LEARNS, keep=9, plots=True).save_dir
    return folder


@pytest.fixture
def run(whole: Path, runs: Path) -> Path:
    return Path(shutil.copytree(whole, runs / "copy"))


def history_names(run: Path) -> tuple[str, ...]:
    return newest_good(run / "weights").checkpoint.names


def history_of(run: Path) -> History:
    return newest_good(run / "weights").checkpoint.history


def files_of(run: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and not path.name.startswith(".")}


def by_fitness(history: History) -> list[EpochRecord]:
    return sorted(history.records, key=lambda record: record.metrics["map50_95"] if record.metrics else 0.0)


def test_without_a_cap_the_figures_of_coco_stand_beside(run):
    assert json.loads((run / "summary.json").read_text())["coco"] is None
    worst = by_fitness(history_of(run))[0]
    # As in a set of which an image holds over 100 objects of a class: the cap is COCO's alone there.
    capped = read_evidence(RunFolder(run).evidence_file(worst.epoch))
    assert capped is not None
    without_cap = dataclasses.replace(capped, cap=None)
    durable.write_bytes(RunFolder(run).evidence_file(worst.epoch), to_bytes(without_cap))
    select(run, fitness=WORST, observer=lambda event: None)
    summary = json.loads((run / "summary.json").read_text())
    expected = evaluation_from(without_cap, history_names(run)).coco
    # NaN, of a size without objects, is null there.
    assert summary["coco"] == {name: None if math.isnan(value) else value for name, value in expected.items()}
    assert summary["coco"]["map50_95"] >= 0


def test_another_epoch_becomes_best_and_everything_says_so(run):
    was = best_record(history_of(run))
    assert was is not None
    worst = by_fitness(history_of(run))[0]
    told: list[Event] = []
    found = select(run, fitness=WORST, observer=told.append)
    assert found.done
    assert found.chosen is not None
    assert found.chosen.epoch == worst.epoch != was.epoch == found.best_before
    assert found.chosen.fitness == 1 - (worst.fitness or 0.0)
    assert found.chosen.before == worst.fitness
    assert [text for text in map(text_of, told) if f"best.pt is epoch {was.epoch + 1} until now" in text]
    assert inspect(run / "weights/best.pt")["epoch"] == worst.epoch + 1
    assert inspect(RunFolder(run).epoch_file(was.epoch))["epoch"] == was.epoch + 1
    assert len(RunFolder(run).best_epoch_files()) == 6, "nothing is taken away"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["best"]["epoch"] == worst.epoch + 1
    assert summary["fitness"].startswith(WORST)
    assert summary["outcome"] == "finished"
    assert summary["certainty"]["epochs"]
    assert summary["segments"][-1]["reason"] == f"fitness: map50_95 -> {WORST}"
    assert yaml.safe_load((run / "settings.yaml").read_text())["fitness"] == WORST
    with open(run / "results.csv", newline="") as table:
        assert [row["epoch"] for row in csv.DictReader(table) if row["best"] == "1"] == [str(worst.epoch + 1)]
    page = (run / "report.html").read_text()
    assert f"fitness: map50_95 -&gt; {WORST}" in page
    assert f"are of epoch {was.epoch + 1} as it was then" in page
    assert '"gallery": null' in page
    assert summary["digests"] == inspect(run / "weights/last.pt")["digests"]


def text_of(event: Event) -> str:
    return event.text if isinstance(event, Notice) else ""


def test_a_resume_goes_on_with_the_choice_and_back_again_is_a_choice_too(run):
    was = best_record(history_of(run))
    assert was is not None
    select(run, fitness=WORST)
    YOLO().resume(run, observer=lambda event: None, epochs=7, plots=False)
    history = history_of(run)
    assert len(history.records) == 7
    assert [record.fitness for record in history.records] == [
        1 - (record.metrics or {})["map50_95"] for record in history.records
    ]
    best = best_record(history)
    assert best is not None
    assert read(run / "weights/best.pt").weights_epoch == best.epoch
    again = select(run, fitness="map50_95")
    assert again.chosen is not None
    assert again.chosen.fitness == max((record.metrics or {})["map50_95"] for record in history.records)


def test_every_epoch_gets_what_a_training_by_that_fitness_would_have_logged(run, train):
    condition = "precision where recall >= 0.2"
    trained = train(**LEARNS, fitness=condition).save_dir
    logged = {record.epoch: record.fitness for record in history_of(trained).records}
    found = select(run, fitness=condition)
    assert {rated.epoch: pytest.approx(rated.fitness, abs=1e-9) for rated in found.epochs} == logged
    assert found.chosen is not None
    assert inspect(trained / "weights/best.pt")["epoch"] == found.chosen.epoch + 1


def test_a_dry_run_and_a_best_that_was_not_kept_change_nothing(run):
    before = files_of(run)
    found = select(run, fitness=WORST, dry_run=True)
    assert not found.done
    assert "would be epoch" in found.text
    assert files_of(run) == before
    best = found.best
    assert best is not None
    assert best.file is not None
    best.file.unlink()
    before = files_of(run)
    found = select(run, fitness=WORST)
    assert not found.done
    assert found.chosen is None
    assert f"epoch {best.epoch + 1} is best" in found.text
    assert "weights were not kept" in found.text
    assert files_of(run) == before
    found = select(run, fitness=WORST, kept=True)
    assert found.done
    assert found.chosen is found.epochs[1]
    assert inspect(run / "weights/best.pt")["epoch"] == found.epochs[1].epoch + 1
    assert best.epoch in history_of(run).segments[-1].gone


def test_a_python_function_chooses_too(run):
    def least(metrics: Any) -> float:
        return 1.0 - float(metrics["map50_95"])

    found = select(run, fitness=least)
    assert found.chosen is not None
    assert found.chosen.epoch == by_fitness(history_of(run))[0].epoch


def test_killed_between_best_and_the_state_the_next_resume_puts_best_back(run, monkeypatch):
    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    was = inspect(run / "weights/best.pt")["epoch"]
    with monkeypatch.context() as patch:
        patch.setattr("peakmark.run.reselect.save", killed)
        with pytest.raises(KeyboardInterrupt):
            select(run, fitness=WORST)
    assert inspect(run / "weights/best.pt")["epoch"] != was
    YOLO().resume(run, observer=lambda event: None, plots=False)
    assert inspect(run / "weights/best.pt")["epoch"] == was


def test_a_run_that_is_being_trained_is_left_alone(run):
    before = files_of(run)
    with RunLock(run), pytest.raises(MachineError):
        select(run, fitness=WORST)
    assert files_of(run) == before


def test_wrong_wishes_are_refused_before_anything_changes(run):
    before = files_of(run)
    with pytest.raises(SettingsError, match="the nearest one is map50"):
        select(run, fitness="nap50")
    with pytest.raises(SettingsError, match="of no class of the data"):
        select(run, fitness="recall[zebra]")
    with pytest.raises(ModelFileError, match="give the folder of the run"):
        select(run / "weights/best.pt", fitness="map50")
    with pytest.raises(ModelFileError, match="this is no run"):
        select(run.parent / "none", fitness="map50")
    assert files_of(run) == before


def test_on_the_command_line(run, peakmark, tmp_path):
    named = peakmark("select", str(run), f"fitness={WORST}", "--dry-run", cwd=tmp_path)
    assert named.returncode == 0, named.stderr
    assert "(was best)" in named.stdout
    done = peakmark("select", str(run), f"fitness={WORST}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "best.pt is now epoch" in done.stdout
    for words in (("lr0=0.1",), ("fitness=map50", "lr0=0.1"), ("fitness=zebra",)):
        refused = peakmark("select", str(run), *words, cwd=tmp_path)
        assert refused.returncode == SettingsError.exit_code
        assert refused.stderr.startswith("Error: ")


def test_on_the_command_line_a_best_that_is_gone_ends_with_a_code(run, peakmark, tmp_path):
    would_be_best = select(run, fitness=WORST, dry_run=True, observer=lambda event: None).epochs[0]
    RunFolder(run).best_epoch_file(would_be_best.epoch).unlink()
    refused = peakmark("select", str(run), f"fitness={WORST}", cwd=tmp_path)
    assert refused.returncode == SettingsError.exit_code
    assert "--kept" in refused.stdout
    assert peakmark("select", str(run), f"fitness={WORST}", "--kept", cwd=tmp_path).returncode == 0
