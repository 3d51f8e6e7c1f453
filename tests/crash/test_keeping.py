"""A backup or a release that is killed or refused at any call: what stood stands, and there is no half of anything."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from peakmark.checkpoint.digest import everything
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.record.plain_json import as_json
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.settings.plain import to_plain

PROJECT = Path(__file__).resolve().parents[2]
WHERE = ("DISK", "OTHER")


@pytest.fixture(scope="module")
def folder(tiny_checkpoint, tmp_path_factory):
    folder: Path = tmp_path_factory.mktemp("keeping")
    data = {"train": "aa", "train_images": 8, "val": "bb", "val_images": 4}
    new = replace(
        tiny_checkpoint,
        settings=to_plain(parse(Settings, {"data": "d.yaml"}).settings),
        provenance={**tiny_checkpoint.provenance, "data": data, "lineage": []},
    )
    save(tiny_checkpoint, folder / "old")
    save(new, folder / "run/weights/best.pt")
    per_class = {name: [0.5, None] for name in ("map50_95", "map50", "precision", "recall")}
    summary = {
        "format": "peakmark-summary", "outcome": "finished", "epochs": 3, "certainty": None, "fitness": "map50_95",
        "protocol": "COCO", "names": ["cat", "dog"], "segments": [],
        "best": {"epoch": 2, "fitness": 0.25, "metrics": new.metrics, "per_class": per_class},
    }  # fmt: skip
    (folder / "run/summary.json").write_text(as_json(summary))
    return folder


@pytest.fixture(scope="module")
def ended(folder) -> dict[str, str]:
    command = [sys.executable, "-m", "tests.crash.keeping_that_fails", str(folder)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    outcomes: dict[str, str] = json.loads(done.stdout)
    return outcomes


def cases(ended: dict[str, str], deed: str, where: str) -> dict[str, str]:
    return {case: outcome for case, outcome in ended.items() if case.startswith(f"{deed}-{where}-")}


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("deed", ["BACKUP", "PROMOTE"])
def test_every_call_was_tried_and_a_refusal_is_a_sentence(ended, folder, deed, where):
    tried = cases(ended, deed, where)
    assert tried[f"{deed}-{where}-UNHARMED-0"] == "done"
    assert set(tried.values()) <= {"done", "killed", "refused"}
    assert len([outcome for outcome in tried.values() if outcome == "killed"]) > 5
    calls = set((folder / f"{deed}-{where}-UNHARMED-0/calls").read_text().splitlines())
    assert calls >= ({"replace", "fsync"} if where == "DISK" else {"open", "mv"})
    for case, outcome in tried.items():
        if outcome == "refused":
            assert (folder / case / "said").read_text().rstrip().endswith(".")


@pytest.mark.parametrize("where", WHERE)
def test_a_backup_is_the_old_one_or_the_new_one_whole(ended, folder, where):
    old, new = everything(read(folder / "old")), everything(read(folder / "run/weights/best.pt"))
    seen = set()
    for case, outcome in cases(ended, "BACKUP", where).items():
        place = folder / case / "place"
        found = everything(read(place / "best.pt"))
        manifest = json.loads((place / "backup.json").read_text())
        told = {1: old, 2: new}[manifest["epoch"]]
        # The manifest comes last, so it never tells of what isn't there yet.
        assert (found, told) in {(old, old), (new, old), (new, new)}, case
        if told == found:
            assert manifest["sha256"] == hashlib.sha256((place / "best.pt").read_bytes()).hexdigest(), case
        if outcome == "done":
            assert told == found == new, case
        seen.add((found, told))
    assert len(seen) == 3, "each stage must have been reached"


@pytest.mark.parametrize("where", WHERE)
def test_a_release_is_there_whole_or_is_none_and_the_old_one_stands(ended, folder, where):
    before = {path.name: path.read_bytes() for path in (folder / "old-PROMOTE/parts/v1").iterdir()}
    seen = set()
    for case, outcome in cases(ended, "PROMOTE", where).items():
        parts = folder / case / "place/parts"
        assert {path.name: path.read_bytes() for path in (parts / "v1").iterdir()} == before, case
        visible = {path.name for path in parts.iterdir() if not path.name.startswith(".")}
        released = "v2" in visible and (parts / "v2/SHA256SUMS").exists()
        if released:
            for line in (parts / "v2/SHA256SUMS").read_text().splitlines():
                digest, name = line.split("  ")
                assert hashlib.sha256((parts / "v2" / name).read_bytes()).hexdigest() == digest, case
            assert {path.name for path in (parts / "v2").iterdir() if path.suffix != ".part"} == set(before), case
        if where == "DISK":
            assert released == ("v2" in visible), "on a disk there is not even a part of it"
        assert released or outcome != "done", case
        seen.add(released)
    assert seen == {True, False}
