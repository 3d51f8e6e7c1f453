"""Can a run be released to a folder and to a store of objects, and is all there that somebody who gets it needs?"""

from __future__ import annotations

import hashlib
import json
import subprocess

import numpy as np
import pytest

from peakmark import YOLO, promote
from peakmark.errors import MachineError, ModelFileError, SettingsError
from peakmark.files.stores import open_store


def test_a_release_in_a_folder_is_whole_and_works(trained, peakmark, tmp_path):
    run = trained[0].save_dir
    done = peakmark("promote", str(run), "to=releases", "name=squares", "license=Apache-2.0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"squares v1 (epoch {trained[0].summary['best']['epoch']}) is released" in done.stdout
    release = tmp_path / "releases/squares/v1"
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=release, capture_output=True, check=False)
    assert checked.returncode == 0
    card = (release / "README.md").read_text()
    assert f"| mAP50-95 | {trained[0].metrics['map50_95']:.4f} |" in card
    assert trained[0].summary["certainty"]["text"] in card
    assert json.loads((release / "summary.json").read_text()) == json.loads((run / "summary.json").read_text())
    evaluation = YOLO(release / "best.pt").val(project=tmp_path, plots=False, observer=lambda event: None)
    logged = {name: value for name, value in trained[0].metrics.items() if not np.isnan(value)}
    assert {name: evaluation.metrics[name] for name in logged} == logged
    assert promote(run, tmp_path / "releases", name="squares").version == "v2"


def test_a_release_in_a_store_of_objects_is_whole_and_stays(trained, bucket, peakmark, tmp_path):
    url = bucket.url.replace("night", "releases")
    for version in ("v1", "v2"):
        done = peakmark("promote", str(trained[0].save_dir), f"to={url}", "name=squares", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        there = open_store(url).inside("squares").inside(version)
        lines = (there.read("SHA256SUMS") or b"").decode().splitlines()
        assert len(lines) == 3
        for digest, name in (line.split("  ") for line in lines):
            assert hashlib.sha256(there.read(name) or b"").hexdigest() == digest
    with pytest.raises(SettingsError, match="is there already"):
        promote(trained[0].save_dir, url, name="squares", version="v1")
    with pytest.raises(MachineError, match="bucket does not exist"):
        promote(trained[0].save_dir, "s3://nobucket/x", name="squares")


def test_mistakes_are_told_all_at_once_and_nothing_is_written(trained, peakmark, tmp_path):
    (tmp_path / "run/weights").mkdir(parents=True)
    done = peakmark("promote", "run", "to=oci://x", "licence=MIT", cwd=tmp_path)
    assert done.returncode == 2
    assert "licence is no setting; the nearest one is license" in done.stderr
    assert "run has no summary.json" in done.stderr
    done = peakmark("promote", "to=there", cwd=tmp_path)
    assert done.returncode == 2
    assert "No run is named" in done.stderr
    run = str(trained[0].save_dir)
    assert "to is missing" in peakmark("promote", run, cwd=tmp_path).stderr
    assert "the driver for oci:// is not installed" in peakmark("promote", run, "to=oci://x", cwd=tmp_path).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("file", ["last.pt", "epoch5.pt"])
def test_only_the_best_is_released(trained, tmp_path, file):
    with pytest.raises(ModelFileError, match="what is released is a run's best epoch"):
        promote(trained[0].save_dir / "weights" / file, tmp_path)
