"""A step on a sound device passes every look; each fault that is planted is named by its stage or operator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from peakmark.checkup import step as checked
from peakmark.checkup.step import StepCheck, judged_kernels
from peakmark.data import loader
from peakmark.data.augment.apply_on_device import apply_on_device
from peakmark.data.dataset import read_dataset
from peakmark.loss.detection import detection_loss
from peakmark.nouns.batch import Batch
from peakmark.nouns.checkup import Finding
from peakmark.nouns.losses import HeadOutput, LossSums
from peakmark.run.open_data import OpenData, open_data
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import VERSION
from peakmark.train import step
from peakmark.train.network import PlainNetwork


@pytest.fixture(scope="module")
def tiny(tiny_data: Path) -> tuple[Settings, OpenData]:
    settings = Settings(data=str(tiny_data), imgsz=64, batch=4, workers=0)
    return settings, open_data(settings, read_dataset(str(tiny_data)), None, VERSION)


@pytest.fixture
def look(tiny: tuple[Settings, OpenData], monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, Finding]]:
    monkeypatch.setattr(checked, "MODEL", "yolov8t")
    return lambda: {finding.name: finding for finding in StepCheck(*tiny, "cpu").findings()}


def failed(found: dict[str, Finding]) -> set[str]:
    return {name for name, finding in found.items() if finding.verdict != "ok"}


def test_a_sound_device_passes(look: Callable[[], dict[str, Finding]]):
    found = look()
    assert list(found) == ["augmentation", "kernels", "forward", "loss", "gradients", "same bits"]
    assert failed(found) == set(), found
    assert not torch.are_deterministic_algorithms_enabled(), "what was set for the look is put back"


def test_an_operator_without_a_deterministic_kernel_is_named(
    look: Callable[[], dict[str, Finding]], monkeypatch: pytest.MonkeyPatch
):
    def with_put(output: HeadOutput, batch: Batch, **rules: Any) -> LossSums:
        torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))
        return detection_loss(output, batch, **rules)

    monkeypatch.setattr(step, "detection_loss", with_put)
    found = look()
    assert failed(found) == {"kernels"}
    assert "put_" in found["kernels"].says


def test_every_operator_is_named_once_and_other_warnings_are_none():
    ending = " does not have a deterministic implementation, but you set ..."
    finding = judged_kernels([f"b_cuda{ending}", f"a_cuda{ending}", f"b_cuda{ending}", "something is deprecated"])
    assert "a_cuda, b_cuda." in finding.says
    assert judged_kernels(["something is deprecated"]).verdict == "ok"


def test_a_loss_that_comes_out_otherwise_each_time_is_named(
    look: Callable[[], dict[str, Finding]], monkeypatch: pytest.MonkeyPatch
):
    calls = iter(range(100))

    def drifting(output: HeadOutput, batch: Batch, **rules: Any) -> LossSums:
        sums = detection_loss(output, batch, **rules)
        return LossSums(sums.box * (1 + 1e-6 * next(calls)), sums.cls, sums.dfl, sums.target_scores)

    monkeypatch.setattr(checked, "detection_loss", drifting)
    found = look()
    assert failed(found) == {"same bits"}
    assert "first in its loss" in found["same bits"].says


@pytest.mark.parametrize("factor", [1.001, float("nan")])
def test_a_network_that_strays_is_named(
    look: Callable[[], dict[str, Finding]], monkeypatch: pytest.MonkeyPatch, factor: float
):
    plain = PlainNetwork.__call__

    def strays(network: Any, images: torch.Tensor) -> HeadOutput:
        output = plain(network, images)
        return HeadOutput(output.box_logits_BAR4 * factor, output.class_logits_BAC, output.grid)

    monkeypatch.setattr(PlainNetwork, "__call__", strays)
    assert "forward" in failed(look())


def test_an_augmentation_of_other_pixels_is_named(
    look: Callable[[], dict[str, Finding]], monkeypatch: pytest.MonkeyPatch
):
    plain = apply_on_device
    monkeypatch.setattr(loader, "apply_on_device", lambda samples, images: plain(samples, images) ^ 1)
    found = look()
    assert failed(found) == {"augmentation"}
    assert "cache=device" in found["augmentation"].advice
