"""What tests of several rooms share."""

from __future__ import annotations

import pytest
import torch

from peakmark.checkpoint.format import Checkpoint, snapshot
from peakmark.nouns import EpochRecord, History, Losses, Position, Segment


@pytest.fixture(scope="session")
def tiny_checkpoint() -> Checkpoint:
    """A whole checkpoint of a real module and optimizer after three updates, a few KB small, the same every time."""
    settings = {"lr0": 0.01, "epochs": 3, "imgsz": 32, "mosaic": 1.0, "workers": 2, "name": None}
    result_settings = ("lr0", "epochs", "imgsz", "mosaic")
    module, optimizer = _trained_module()
    weights = snapshot(module.state_dict())
    metrics = {"map50_95": 0.25, "map50": 0.5, "precision": 0.75, "recall": 0.5, "map_small": float("nan")}
    records = (
        EpochRecord(
            0, 0, 1, 8, Losses(3.0, 4.0, 2.0), (0.1, 0.0, 0.0), None, None, None, None, 1, train_s=1.5, validation_s=0.0
        ),
        EpochRecord(
            epoch=1,
            segment=0,
            step=3,
            images=8,
            train=Losses(2.5, 3.5, 1.5),
            lr=(0.1, 0.01, 0.01),
            metrics=metrics,
            per_class={"map50": (0.5, float("nan"))},
            validation=Losses(2.25, 3.25, 1.25),
            fitness=0.25,
            train_s=1.25,
            validation_s=0.5,
        ),
    )
    bearing = {name: settings[name] for name in result_settings}
    return Checkpoint(
        model={name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in weights.items()},
        training_weights=weights,
        optimizer=snapshot(optimizer.state_dict()),
        scaler=None,
        ema_updates=2,
        position=Position(epoch=2, images=0, phase="train", step=3),
        open_epoch={"box": 0.0, "cls": 0.0, "dfl": 0.0, "images": 0},
        counters={"skipped": 1, "skipped_in_a_row": 0},
        history=History(records, (Segment(0, 0, bearing, "start"),)),
        settings=settings,
        result_settings=result_settings,
        names=("cat", "dog"),
        architecture="yolov8n",
        arithmetic={"device": "cpu", "precision": "float32", "threads": 1, "channels_last": True},
        provenance={
            "versions": {"peakmark": "0.1.0", "torch": "2.13.0"},
            "data": {"train": "0" * 64},
            "created_at": "2026-01-02T03:04:05+00:00",
            "parent": None,
        },
        weights_epoch=1,
        validated=True,
        fitness=0.25,
        metrics=metrics,
    )


def _trained_module() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 2, bias=False), torch.nn.BatchNorm2d(2))
    for name, tensor in module.state_dict().items():
        if name.endswith("weight"):
            tensor.copy_(torch.linspace(-1, 1, tensor.numel()).reshape(tensor.shape))
    module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.125)
    for step in range(3):
        optimizer.zero_grad()
        images = torch.linspace(0, 1 + step, 2 * 3 * 4 * 4).reshape(2, 3, 4, 4)
        module(images).square().mean().backward()
        optimizer.step()
    return module, optimizer
