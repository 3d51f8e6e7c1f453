"""A look at this machine: in its order, in the folder that is asked for, leaving nothing; and as it is printed."""

from __future__ import annotations

import io
import json
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from rich.console import Console

import peakmark
from peakmark.checkup import looking as composed
from peakmark.checkup import machine
from peakmark.checkup.looking import existing_parent
from peakmark.checkup.machine import driver_version, look_at_machine
from peakmark.checkup.trainings import Measured
from peakmark.cli.show import show_checkup
from peakmark.errors import MachineError, SettingsError
from peakmark.machine.devices import Arithmetic, settle
from peakmark.nouns.checkup import Checkup, Finding

OK = Finding("lock", "ok", "It holds.")
BAD = Finding("forward", "failed", "It strays.", "Update the driver.")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tiny_data: Path) -> dict[str, Any]:
    """Lets what takes long be passed over; remembers with what it was asked for."""
    asked: dict[str, Any] = {}

    class Step:
        def __init__(self, settings: Any, data: Any, device: str) -> None:
            asked["device"] = device

        def findings(self) -> Iterator[Finding]:
            yield asked.get("step", OK)

    class Training:
        def __init__(self, device: str, folder: Path, together: object = None) -> None:
            asked["folder"], asked["together"] = folder, together
            asked["disk"] = sorted(path.name for path in folder.iterdir())

        def findings(self) -> Iterator[Finding]:
            yield replace(OK, name="repeated")

        def run(self, name: str, **changes: object) -> None:
            asked["timed"] = changes

        def measured(self, name: str) -> Measured:
            seconds = {"loading": 2.0, "forward": 3.0, "loss": 1.0, "backward": 3.0, "update": 1.0}
            return Measured(seconds, 100, ("Take more workers.",))

    monkeypatch.setattr(composed, "StepCheck", Step)
    monkeypatch.setattr(composed, "Trainings", Training)
    asked["trainings"] = Training
    monkeypatch.setattr(composed, "read_dataset", lambda name: None)
    monkeypatch.setattr(composed, "open_data", lambda *parts: None)
    monkeypatch.setattr(composed, "try_file_system", lambda folder: iter((OK,)))
    return asked


def test_it_looks_where_it_is_told_to_and_leaves_nothing(tmp_path: Path, quick: dict[str, Any]):
    notes: list[Any] = []
    found = peakmark.doctor(device="cpu", project=tmp_path / "runs/detect", observer=notes.append)
    names = [finding.name for finding in found.findings]
    assert names == [
        "PyTorch", "device", "precision", "threads", "disk", "extras", "lock", "lock", "repeated", "pace"
    ]  # fmt: skip
    assert found.sound
    assert (quick["device"], quick["together"]) == ("cpu", {"processes": 2})
    assert quick["folder"].parent == tmp_path, "on the disk of the runs, without making their folder"
    assert list(tmp_path.iterdir()) == []
    assert notes
    assert quick["timed"]["profile"] is True
    assert (found.findings[-1].says.partition(" with ")[0], found.findings[-1].advice) == (
        "10 images/s",
        "Take more workers.",
    )
    assert found.stage_ms_per_image["forward"] == 30


def test_something_that_fails_fails_it_all(tmp_path: Path, quick: dict[str, Any]):
    quick["step"] = BAD
    found = peakmark.doctor(device="cpu", project=tmp_path)
    assert (found.sound, found.failed) == (False, (BAD,))


def test_a_gpu_that_waits_for_images_is_a_warning(tmp_path: Path, quick: dict[str, Any]):
    on_gpu = Arithmetic("cuda:0", "test", "bfloat16", 1, True, True)
    notes: list[Any] = []
    (pace,) = composed._pace(quick["trainings"]("cuda:0", tmp_path), on_gpu, notes.append, [])
    assert pace.verdict == "warning"
    assert quick["timed"]["imgsz"] == 640


def test_what_is_not_there_is_refused_before_anything_is_tried(tmp_path: Path):
    with pytest.raises(MachineError, match="device=cuda:9"):
        peakmark.doctor(device=9, project=tmp_path)
    with pytest.raises(SettingsError, match="project"):
        peakmark.doctor(projekt=tmp_path)


def test_the_nearest_folder_that_is_there(tmp_path: Path):
    assert existing_parent(tmp_path / "a/b/c") == tmp_path
    assert existing_parent(tmp_path) == tmp_path


def test_the_drivers_version_is_read_off_its_module(tmp_path: Path):
    file = tmp_path / "version"
    assert driver_version(file) == ""
    file.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\nGCC version: gcc 12\n")
    assert driver_version(file) == "550.54.15"


def by_name(folder: Path, **changes: Any) -> dict[str, Finding]:
    arithmetic = replace(settle(device="cpu", amp=True, deterministic=True), **changes)
    return {finding.name: finding for finding in look_at_machine(arithmetic, folder)}


def test_every_extra_is_looked_for(tmp_path: Path):
    """But those that no run uses."""
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    said = by_name(tmp_path)["extras"].says.replace(",", " ").replace(".", " ").split()
    assert set(project["optional-dependencies"]) - {"dev", "docs", "jupyter"} <= set(said)


def test_what_is_short_or_missing_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "free_bytes", lambda folder: 2 << 30)
    monkeypatch.setattr(machine, "available_bytes_on", lambda device: 1 << 30)
    monkeypatch.setattr(machine, "driver_version", lambda: "550.54.15")
    monkeypatch.setattr(psutil, "getloadavg", lambda: (1e4, 0.0, 0.0))
    monkeypatch.setattr(machine, "_is_installed", lambda package: package != "openvino")
    found = by_name(tmp_path, precision="float16")
    if not torch.cuda.is_available():
        assert found["PyTorch"].verdict == "warning"
    assert {found[name].verdict for name in ("device", "disk", "threads")} == {"warning"}
    assert all(found[name].advice for name in ("device", "disk"))
    assert "float16" in found["precision"].says
    assert "Not installed: openvino." in found["extras"].says
    assert "peakmark[openvino]" in found["extras"].advice
    monkeypatch.setattr(machine, "free_bytes", lambda folder: 1 << 28)
    assert by_name(tmp_path)["disk"].verdict == "failed"


def printed(checkup: Checkup, *, as_json: bool) -> str:
    console = Console(file=io.StringIO(), width=80)
    show_checkup(console, checkup, as_json=as_json)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("findings", "said"),
    [
        ((OK,), "1 looks at cpu in 3 s: all is well."),
        ((OK, replace(OK, verdict="warning")), "2 looks at cpu in 3 s: nothing failed, 1 warning."),
        ((OK, BAD), "2 looks at cpu in 3 s: forward failed. Put that right before you train."),
    ],
)
def test_a_person_reads_a_table_and_a_program_json(findings: tuple[Finding, ...], said: str):
    checkup = Checkup("cpu", findings, 3.2, {"forward": 1.5})
    text = printed(checkup, as_json=False)
    assert said in text
    assert all(finding.says in text and finding.advice in text for finding in findings)
    assert "forward 1.5" in text
    told = json.loads(printed(checkup, as_json=True))
    assert (told["sound"], told["text"]) == (BAD not in findings, said)
    assert [each["verdict"] for each in told["findings"]] == [finding.verdict for finding in findings]


@pytest.mark.slow
@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda:0",
            marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")],
        ),
    ],
)
def test_this_machine_is_sound_in_under_two_minutes(device: str, tmp_path: Path, peakmark: Callable[..., Any]):
    ended = peakmark("doctor", f"device={device}", "project=runs", "--json", cwd=tmp_path)
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["sound"]) == (0, True), ended.stdout
    names = {each["name"] for each in told["findings"]}
    assert {"lock", "rename", "repeated", "killed", "metrics", "pace"} <= names
    assert device != "cpu" or "processes" in names
    assert told["seconds"] < 120
    assert list(tmp_path.iterdir()) == []
