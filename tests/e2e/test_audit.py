"""Does an audit tell a person and a pipeline what it found, and write it down?"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from peakmark import audit
from peakmark.errors import SettingsError

BCCD = Path(__file__).resolve().parents[3] / "shared/data/bccd/data.yaml"


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


def test_mistakes_are_told_at_once(runs):
    with pytest.raises(SettingsError) as caught:
        audit("nowhere.yaml", project=runs, names="x")
    assert "nowhere.yaml" in str(caught.value)
    assert "names" in str(caught.value)


@pytest.mark.skipif(not BCCD.exists(), reason="the blood cells are not beside this repository")
def test_blood_cells_raise_no_alarm(runs):
    done = audit(BCCD, project=runs)
    assert "high" not in [found.severity for found in done.findings]
