"""Does an audit tell a person and a pipeline what it found, and write it down?"""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from tests.beside import BCCD

from peakmark import audit
from peakmark.errors import SettingsError
from peakmark.events import RunStarted

BCCD_YAML = BCCD / "data.yaml"


@pytest.fixture
def data(write_set, tmp_path):
    """A data set that is far too small to validate on."""
    return write_set(tmp_path / "set", train=12, val=12)


def test_an_audit_is_written_down_and_given(data, runs):
    done = audit(data, project=runs, name="mine")
    assert done.folder == runs / "mine"
    written = json.loads((done.folder / "audit.json").read_text())
    assert written["severity"] == done.severity == "high"
    assert written["audit"]["images"] == {"train": 12, "val": 12}
    assert [found["kind"] for found in written["audit"]["findings"]] == [found.kind for found in done.findings]
    assert "small validation set" in [found.kind for found in done.findings]
    assert "small validation set" in (done.folder / "audit.html").read_text()
    severities = ["high", "medium", "low"]
    assert [found.severity for found in done.findings] == sorted(
        (found.severity for found in done.findings), key=severities.index
    )


def test_a_folder_is_never_written_over_unless_it_is_wished(data, runs):
    first, second = (audit(data, project=runs).folder.name for _ in range(2))
    assert (first, second) == ("audit", "audit2")
    assert audit(data, project=runs, exist_ok=True).folder.name == "audit"


def test_the_command_answers_a_person_and_a_pipeline(data, runs, peakmark, tmp_path):
    told = peakmark("audit", f"data={data}", f"project={runs}", cwd=tmp_path)
    assert told.returncode == 6
    assert "small validation set" in told.stdout
    assert "Validate on about" in told.stdout
    asked = peakmark("audit", f"data={data}", f"project={runs}", "--json", cwd=tmp_path)
    assert asked.returncode == 6
    assert json.loads(asked.stdout)["severity"] == "high"


def test_a_repaired_split_has_nothing_to_repair(data, runs, peakmark, tmp_path):
    root = data.parent
    before = {file: file.read_bytes() for file in root.rglob("*") if file.is_file()}
    for number in range(3):
        for kind, suffix in (("images", "png"), ("labels", "txt")):
            copy = root / f"{kind}/val/copy{number}.{suffix}"
            copy.write_bytes((root / f"{kind}/train/{number:02d}.{suffix}").read_bytes())
            before[copy] = copy.read_bytes()
    told = peakmark("audit", f"data={data}", f"project={runs}", "fix=split", cwd=tmp_path)
    assert "3 further copies left out" in told.stdout
    assert {file: file.read_bytes() for file in root.rglob("*") if file.is_file()} == before
    again = audit(runs / "audit/repaired/data.yaml", project=runs, fix="split")
    assert not [found.kind for found in again.findings if "duplicate" in found.kind]
    assert again.repaired is not None
    assert (again.repaired.moved, again.repaired.left_out) == (0, 0)
    assert sum(again.images.values()) == 24


def test_a_split_that_only_repeats_another_can_not_be_repaired(data, runs):
    for kind in ("images", "labels"):
        shutil.rmtree(data.parent / kind / "val")
        shutil.copytree(data.parent / kind / "train", data.parent / kind / "val")
    said: list[str] = []
    done = audit(data, project=runs, fix="split", observer=lambda event: said.append(getattr(event, "text", "")))
    assert done.repaired is None
    assert not (done.folder / "repaired").exists()
    assert "val would be empty" in said[-1]


def test_of_a_set_without_a_readable_image_everything_is_said_all_the_same(data, runs):
    for image in (data.parent / "images").rglob("*.png"):
        image.write_bytes(b"no image")
    found = audit(data, project=runs, fix="split").findings
    assert {each.kind for each in found if each.severity == "high"} == {"unreadable image", "no objects"}


def test_mistakes_are_told_at_once(runs):
    with pytest.raises(SettingsError) as caught:
        audit("nowhere.yaml", project=runs, names="x")
    assert "nowhere.yaml" in str(caught.value)
    assert "names" in str(caught.value)


@pytest.mark.skipif(not BCCD_YAML.exists(), reason="the blood cells are not beside this repository")
def test_blood_cells_raise_no_alarm(runs):
    done = audit(BCCD_YAML, project=runs)
    assert "high" not in [found.severity for found in done.findings]


def test_a_training_says_at_its_start_what_is_wrong_with_its_data(data, train):
    (data.parent / "images/val/copy.png").write_bytes((data.parent / "images/train/00.png").read_bytes())
    notes: list[str] = []

    def listen(event):
        if isinstance(event, RunStarted):
            notes.extend(event.notes)

    train(data=data, epochs=1, observer=listen)
    assert "1 image of val is in train too, as equal files (7.7% of val)." in notes
    assert any("standard error" in note for note in notes)


def test_an_audit_leaves_out_images_of_too_many_pixels(data, runs):
    cv2.imwrite(str(data.parent / "images/train/00.png"), np.zeros((100, 100, 3), np.uint8))
    told = [audit(data, project=runs, max_image_pixels=most).images["train"] for most in (10_000, 9_999)]
    assert told == [12, 11]
