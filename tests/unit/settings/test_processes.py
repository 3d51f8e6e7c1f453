"""Which device does each process of a run have? Never a GPU that another has, however they were started."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from peakmark.errors import MachineError, SettingsError
from peakmark.machine.devices import settle
from peakmark.settings.fields import Settings
from peakmark.settings.parse import parse
from peakmark.settings.processes import own_device, processes_of


def wishes(**given: Any) -> Settings:
    return parse(Settings, {"data": "shapes", **given}).settings


@pytest.mark.parametrize(("given", "processes"), [
    ({}, 1), ({"processes": 3}, 3), ({"device": "0,1"}, 2), ({"device": [0, 1, 3]}, 3), ({"device": "cpu"}, 1),
])  # fmt: skip
def test_how_many_are_asked_for(given: dict[str, Any], processes: int):
    assert processes_of(wishes(**given)) == processes


def test_each_has_its_own_of_the_devices_that_are_named():
    assert [own_device(wishes(device="0,3"), rank, 2) for rank in (0, 1)] == ["cuda:0", "cuda:3"]
    assert [own_device(wishes(device="cpu"), rank, 2) for rank in (0, 1)] == ["cpu", "cpu"]


@pytest.mark.parametrize(("device", "processes"), [("0", 2), ("cuda", 2), ("0,1", 4)])
def test_two_never_share_a_gpu(device: str, processes: int):
    with pytest.raises(SettingsError, match=f"{processes} processes on this machine need a GPU each"):
        own_device(wishes(device=device), 0, processes)
    with pytest.raises(SettingsError, match="each process has one GPU"):
        wishes(device=device, processes=processes)


def test_without_a_word_each_process_of_torchrun_takes_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")

    def chosen(rank: int) -> str:
        device = own_device(wishes(), rank, 2)
        return settle(device=device, amp=False, deterministic=True, processes=2, local_rank=rank).device

    assert [chosen(0), chosen(1)] == ["cuda:0", "cuda:1"]
    with pytest.raises(MachineError, match="device=2: this machine has 2 CUDA devices"):
        chosen(2)
