"""Is a release whole, its own, and never changed?"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest

from peakmark.checkpoint.digest import digest
from peakmark.checkpoint.reader import read
from peakmark.checkpoint.writer import save
from peakmark.errors import MachineError, ModelFileError, SettingsError
from peakmark.files.stores import open_store
from peakmark.record.folder import RunFolder
from peakmark.record.plain_json import as_json
from peakmark.release.promotion import Wish, candidate_of, promote_to
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.settings.plain import to_plain

WISH = Wish("parts", version=None, license="MIT", whole=False, unfinished=False)


@pytest.fixture
def run(tiny_checkpoint, tmp_path):
    """A run's folder with a best.pt and the summary that tells of it."""
    settings = to_plain(parse(Settings, {"data": "d.yaml"}).settings)
    data = {"train": "aa", "train_images": 8, "val": "bb", "val_images": 4}
    provenance = {**tiny_checkpoint.provenance, "data": data, "lineage": []}
    metrics = dict(tiny_checkpoint.metrics or {})
    checkpoint = replace(
        tiny_checkpoint, settings=settings, result_settings=("lr0",), provenance=provenance, metrics=metrics
    )
    folder = RunFolder(tmp_path / "run")
    save(checkpoint, folder.best)
    per_class = {name: [0.5, None] for name in ("map50_95", "map50", "precision", "recall")}
    tell(
        folder, format="peakmark-summary", outcome="finished", epochs=3, certainty=None, fitness="map50_95",
        protocol="COCO", names=["cat", "dog"], segments=[{"epoch": 1, "images": 0, "reason": "start"}],
        best={"epoch": 2, "fitness": 0.25, "metrics": metrics, "per_class": per_class},
    )  # fmt: skip
    return folder


def tell(folder: RunFolder, **changes: Any) -> None:
    known = json.loads(folder.summary.read_text()) if folder.summary.exists() else {}
    folder.summary.write_text(as_json(known | changes))


@pytest.fixture(params=["disk", "memory"])
def store(request, tmp_path):
    if request.param == "disk":
        return open_store(str(tmp_path / "releases"))
    fsspec.filesystem("memory").store.clear()
    return open_store("memory://bucket/releases")


def released(store: Any, run: RunFolder, **changes: Any) -> Any:
    return promote_to(store, candidate_of(run, unfinished=False), replace(WISH, **changes))


def test_a_release_holds_weights_numbers_a_card_and_checksums(store, run, tiny_checkpoint):
    done = released(store, run)
    there = store.inside("parts").inside("v1")
    assert (done.version, done.place, done.epoch) == ("v1", there.place, 2)
    assert done.files == there.names() == ("README.md", "SHA256SUMS", "best.pt", "summary.json")
    sums = dict(reversed(line.split("  ")) for line in there.read("SHA256SUMS").decode().splitlines())
    assert sums == {
        name: hashlib.sha256(there.read(name)).hexdigest() for name in ("README.md", "best.pt", "summary.json")
    }
    assert there.read("summary.json") == run.summary.read_bytes()
    assert "# parts v1" in there.read("README.md").decode()


@pytest.mark.parametrize("whole", [False, True])
def test_its_weights_are_those_of_the_best(run, tmp_path, whole):
    released(open_store(str(tmp_path)), run, whole=whole)
    given = read(tmp_path / "parts/v1/best.pt")
    assert digest(given.model) == digest(read(run.best).model)
    assert given.complete is whole
    done = subprocess.run(
        ["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path / "parts/v1", capture_output=True, check=False
    )
    assert done.returncode == 0


def test_versions_are_counted_up_and_a_given_one_is_kept_for_good(store, run):
    assert [released(store, run).version for _ in range(2)] == ["v1", "v2"]
    assert released(store, run, version="v11").version == "v11"
    assert released(store, run, version="1.0-rc1").version == "1.0-rc1"
    assert released(store, run).version == "v12"
    before = store.inside("parts").inside("v1").read("README.md")
    with pytest.raises(
        SettingsError, match=r"version=v1: .*/parts/v1 is there already, and a release is never changed"
    ):
        released(store, run, version="v1", license="GPL")
    assert store.inside("parts").inside("v1").read("README.md") == before


def test_several_at_once_get_a_version_each(store, run):
    candidate = candidate_of(run, unfinished=False)
    versions: list[str] = []
    threads = [
        threading.Thread(target=lambda: versions.append(promote_to(store, candidate, WISH).version)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(versions) == ["v1", "v2", "v3", "v4"]


def test_what_a_kill_left_in_a_store_is_no_release_and_is_told(run):
    fsspec.filesystem("memory").store.clear()
    store = open_store("memory://bucket")
    fsspec.filesystem("memory").pipe_file("/bucket/parts/v1/README.md", b"half")
    done = released(store, run)
    assert done.version == "v2"
    assert "parts/v1 has no SHA256SUMS and is no release" in done.notes[0]
    with pytest.raises(MachineError, match="v1 is no whole release"):
        released(store, run, version="v1")


@pytest.mark.parametrize(("setting", "value"), [("version", "a/b"), ("version", ".."), ("name", "../x"), ("name", " ")])
def test_names_that_lead_elsewhere_are_refused(run, tmp_path, setting, value):
    with pytest.raises(SettingsError, match=f"{setting}="):
        released(open_store(str(tmp_path / "releases")), run, **{setting: value})
    assert not (tmp_path / "releases").exists()


def test_what_is_not_over_is_released_only_if_it_is_wished(run):
    tell(run, outcome="interrupted")
    with pytest.raises(ModelFileError, match=r"is not over \(interrupted\)"):
        candidate_of(run, unfinished=False)
    candidate_of(run, unfinished=True)


def test_weights_that_the_summary_does_not_tell_of_are_refused(run, tiny_checkpoint):
    candidate_of(run, unfinished=False)
    best = json.loads(run.summary.read_text())["best"]
    for changed in ({"epoch": 3}, {"fitness": 0.26}, {"metrics": {**best["metrics"], "map50": 0.51}}):
        tell(run, best=best | changed)
        with pytest.raises(ModelFileError, match="doesn't belong to"):
            candidate_of(run, unfinished=False)


def test_a_run_without_a_best_or_an_end_is_refused(run):
    tell(run, best=None)
    with pytest.raises(ModelFileError, match="has no best epoch"):
        candidate_of(run, unfinished=False)
    for broken in ("{", "[]", '{"format": "other"}'):
        run.summary.write_text(broken)
        with pytest.raises(ModelFileError, match="peakmark resume"):
            candidate_of(run, unfinished=False)
    run.summary.unlink()
    with pytest.raises(ModelFileError, match=r"has no summary\.json"):
        candidate_of(run, unfinished=False)


def test_a_refused_release_leaves_nothing(run, tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(MachineError, match="Free some space"):
        released(open_store(str(tmp_path / "releases")), run)
    assert [path for path in Path(tmp_path / "releases").rglob("*") if path.is_file()] == []
