"""Has every setting of `doctor` an effect? Each has an entry here, and a setting without one fails."""

from __future__ import annotations

from pathlib import Path

import pytest

import peakmark
from peakmark.checkup import looking
from peakmark.errors import MachineError
from peakmark.machine.devices import Arithmetic
from peakmark.settings.description import describe
from peakmark.settings.fields import DoctorSettings


def test_every_setting_has_an_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[str, Path]] = []

    def look(arithmetic: Arithmetic, folder: Path, *rest: object) -> tuple[()]:
        seen.append((arithmetic.device, folder))
        return ()

    monkeypatch.setattr(looking, "_findings", look)
    with pytest.raises(MachineError, match="cuda:7"):
        peakmark.doctor(device="cuda:7")
    there = [tmp_path / name for name in ("one", "other")]
    for folder in there:
        folder.mkdir()
        peakmark.doctor(device="cpu", project=folder)
    assert seen == [("cpu", there[0]), ("cpu", there[1])]
    assert set(describe(DoctorSettings)) == {"device", "project"}
