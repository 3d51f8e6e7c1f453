"""Do real runs compare, from Python and on the command line: equal ones equal, others ranked or refused?"""

from __future__ import annotations

import html
import json
import shutil

import pytest

from peakmark import compare
from peakmark.errors import SettingsError

LEARNS = {"optimizer": "AdamW", "lr0": 0.005, "warmup_epochs": 0, "nbs": 4, "scale": 0.2, "imgsz": 64, "epochs": 3}


@pytest.fixture(scope="module")
def runs(train_in, tmp_path_factory):
    """One run twice, one of another seed, one of another size."""
    project = tmp_path_factory.mktemp("compared")
    for name, changes in {"one": {}, "again": {"workers": 2}, "seed1": {"seed": 1}, "small": {"imgsz": 32}}.items():
        train_in(project, **{**LEARNS, **changes}, name=name)
    yield project
    shutil.rmtree(project)


def test_equal_settings_and_seed_give_equal_runs(runs, tmp_path):
    done = compare(runs / "one", runs / "again/weights/best.pt", project=tmp_path)
    assert done.sameness[0].startswith("one and again are the same, bit for bit")
    assert [each.name for each in done.settings] == ["workers"]
    assert done.surroundings == ()
    assert done.runs[0].digests == done.runs[1].digests
    assert done.runs[0].state == "finished"
    assert "have exactly the same fitness on the same 19 images" in done.text


def test_runs_of_other_seeds_are_ranked_and_written_down(runs, tmp_path):
    done = compare(runs / "one", runs / "seed1", project=tmp_path, name="mine", fitness="map50")
    assert done.folder == tmp_path / "mine"
    assert done.ranked
    assert done.images == 19
    assert "fitness" in done.runs[1].behind
    assert [each.name for each in done.settings] == ["seed"]
    assert len(done.seeds) == 1
    written = json.loads((tmp_path / "mine/compare.json").read_text())
    assert written == json.loads(done.to_json())
    assert written["comparison"]["fitness"] == "map50"
    assert done.text.split(".")[0] in html.unescape((tmp_path / "mine/compare.html").read_text())


def test_every_setting_has_its_effect(runs, tmp_path):
    two = (runs / "one", runs / "seed1")
    names = [compare(*two, project=tmp_path, exist_ok=taken).folder for taken in (False, False, True)]
    assert [folder.name for folder in names if folder] == ["compare", "compare2", "compare"]
    with pytest.raises(SettingsError, match="nearest one is fitness"):
        compare(*two, fitnes="map50")


def test_the_command_answers_a_person_and_a_pipeline(runs, peakmark, tmp_path):
    told = peakmark("compare", str(runs / "one"), str(runs / "seed1"), f"project={tmp_path}", cwd=tmp_path)
    assert told.returncode == 0
    assert told.stdout.splitlines()[0].startswith("run")
    assert "on the same 19 images" in told.stdout
    assert told.stdout.splitlines()[-1] == f"Written to {tmp_path / 'compare'}"
    words = ("compare", str(runs / "one"), "small", f"project={tmp_path}", "--json")
    refused = peakmark(*words, cwd=runs)
    assert refused.returncode == 7
    content = json.loads(refused.stdout)
    assert content["best"] is None
    assert "different image sizes (one: 64 px rectangles, small: 32 px rectangles)" in content["comparison"]["text"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "Name two runs or more: peakmark compare runs/detect/train runs/detect/train2"),
        (("one",), "Name two runs or more"),
        (("one", "nothing"), "nothing: this is no run; give a run's folder such as runs/detect/train."),
        (("one", "one"), "one and one are the same run."),
        (("one", "seed1", "fitness=mapp"), "fitness=mapp"),
    ],
)
def test_mistakes_are_answered_in_a_sentence_and_leave_no_folder(runs, peakmark, tmp_path, words, said):
    ended = peakmark("compare", *words, *([f"project={tmp_path / 'out'}"] if words else []), cwd=runs)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stdout == ""
    assert not (tmp_path / "out").exists()
