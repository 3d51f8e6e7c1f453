"""Does a gate answer a pipeline by its exit code, with the figures that `val` gives?"""

from __future__ import annotations

import json
from math import nextafter

import pytest

from peakmark import YOLO, gate
from peakmark.errors import DataError, ModelFileError, SettingsError


def test_the_figures_are_those_of_the_log_and_of_its_intervals(trained):
    best = trained[0].summary["best"]
    result = gate(trained[0].best, require="map50_95>=0, precision>=0, recall[red]>=0")
    values = [ruling.value for ruling in result.rulings]
    assert values == [best["metrics"]["map50_95"], best["metrics"]["precision"], best["per_class"]["recall"][1]]
    sure = trained[0].summary["certainty"]["metrics"]["map50_95"]
    assert (result.rulings[0].low, result.rulings[0].high) == (sure["low"], sure["high"])


def test_a_pipeline_is_answered_by_the_exit_code(trained, peakmark, tmp_path):
    reached = trained[0].metrics["map50"]
    low = trained[0].summary["certainty"]["metrics"]["map50"]["low"]
    assert low < reached
    model = f"model={trained[0].best}"
    passes = peakmark("gate", model, f"require=map50>={reached!r}", cwd=tmp_path)
    assert passes.returncode == 0, passes.stderr
    assert "holds" in passes.stdout
    fails = peakmark("gate", model, f"require=map50>={nextafter(reached, 1)!r},map50>=0", "--json", cwd=tmp_path)
    assert fails.returncode == 1
    told = json.loads(fails.stdout)
    assert [ruling["passed"] for ruling in told["rulings"]] == [False, True]
    unsure = peakmark("gate", model, f"require=map50>={reached!r}", "at=lower", cwd=tmp_path)
    assert unsure.returncode == 1
    assert "FAILS" in unsure.stdout
    assert list(tmp_path.iterdir()) == [], "a gate writes nothing"


def test_several_looks_at_each_image_are_judged_as_val_finds_them_and_named(trained, peakmark, tmp_path):
    usual, several = (gate(trained[0].best, require="map50_95>=0", augment=augment) for augment in (False, True))
    validated = YOLO(trained[0].best).val(augment=True, project=tmp_path / "val", plots=False)
    assert several.rulings[0].value == validated.metrics["map50_95"] != usual.rulings[0].value
    assert several.protocol == validated.protocol != usual.protocol
    told = peakmark("gate", f"model={trained[0].best}", "require=map50_95>=0", "augment=True", cwd=tmp_path)
    assert "augment=True (1," in told.stdout
    plain = peakmark("gate", f"model={trained[0].best}", "require=map50_95>=0", cwd=tmp_path)
    assert "augment" not in plain.stdout


def test_mistakes_are_told_before_anything_is_loaded(peakmark, tmp_path):
    (tmp_path / "best.pt").write_text("no model")
    done = peakmark("gate", "model=best.pt", "data=nothere.yaml", "require=map5>=0.5", "at=upper", cwd=tmp_path)
    assert done.returncode == 2
    assert "the nearest one is map50" in done.stderr
    assert "at=upper can't be used; at is one of value, lower" in done.stderr
    assert "nothere.yaml" in done.stderr
    assert "no model file" not in done.stderr
    assert "require is missing" in peakmark("gate", "model=best.pt", cwd=tmp_path).stderr


def test_models_and_data_that_cannot_be_judged_are_refused(trained, write_set, tmp_path):
    with pytest.raises(ModelFileError, match="architecture without trained weights"):
        gate("yolov8n.yaml", require="map50>=0.5")
    with pytest.raises(SettingsError, match=r"recall\[blue\] is of no class of the model; they are light, red"):
        gate(trained[0].best, require="recall[blue]>=0.5")
    other = write_set(tmp_path / "other", names=("a", "b"))
    with pytest.raises(ModelFileError, match="not the model's"):
        gate(trained[0].best, other, require="map50>=0.5")
    with pytest.raises(DataError):
        gate(trained[0].best, require="map50>=0.5", split="test")
