"""Run folders that a comparison can read, made without a training: a tiny checkpoint and evidence of known quality."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.writer import save
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.evidence_file import to_bytes
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.tables import DetectionTable, TruthTable
from peakmark.files import durable
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import EpochRecord, History, Position
from peakmark.record.data_listing import render as render_listing
from peakmark.record.folder import RunFolder
from peakmark.record.settings_yaml import render

IMAGES = 40
SETTINGS: Mapping[str, Any] = {
    "model": "yolov8n.yaml", "pretrained": None, "imgsz": 320, "seed": 0, "epochs": 3, "fitness": "map50_95",
    "lr0": 0.01, "mosaic": 1.0, "workers": 2, "project": "runs", "name": "train",
}  # fmt: skip
BEARING = ("imgsz", "seed", "epochs", "fitness", "lr0", "mosaic")
COMPARABLE = f"validation data {'7' * 64}, 320 px, COCO: the protocol, of ten"


@cache
def evidence_of(quality: float, draw: int, world: int) -> Evidence:
    """The same truths for all of a world; the better the quality, the nearer to them lie the detections."""
    of_world, own = np.random.default_rng((0, world)), np.random.default_rng((1, draw))
    truths = 200
    boxes = np.concatenate([of_world.uniform(0, 60, (truths, 2)), of_world.uniform(10, 140, (truths, 2))], axis=1)
    image_G, class_G = of_world.integers(0, IMAGES, truths), of_world.integers(0, 2, truths)
    moved = boxes + own.normal(size=boxes.shape) * (1 - quality) * 0.2 * np.tile(boxes[:, 2:], 2)
    return match(
        TruthTable(image_G, class_G, boxes, np.zeros(truths, bool), boxes[:, 2] * boxes[:, 3]),
        DetectionTable(image_G, class_G, moved, own.random(truths).astype(np.float32)),
        images=IMAGES,
        classes=2,
    )


@pytest.fixture
def make_run(tmp_path: Path, tiny_checkpoint: Checkpoint) -> Callable[..., Path]:
    """Writes a run's folder; `qualities`: of each epoch's detections, None where it was not validated."""

    def make(
        name: str,
        qualities: Sequence[float | None] = (0.5, 0.8, 0.7),
        *,
        draw: int = 0,
        world: int = 0,
        evidence: bool = True,
        ended: bool = True,
        comparable: str = COMPARABLE,
        settings: Mapping[str, Any] | None = None,
        origins: Mapping[str, str] | None = None,
        listing: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        versions: Mapping[str, str] | None = None,
        train_loss: float = 3.0,
        train_s: float = 1.0,
        skipped_steps: int = 0,
        **changes: Any,
    ) -> Path:
        folder = RunFolder(tmp_path / name)
        wishes = {**SETTINGS, **(settings or {})}
        records = []
        for epoch, quality in enumerate(qualities):
            record = _record(epoch, quality, draw, world, train_loss)
            records.append(dataclasses.replace(record, train_s=train_s, skipped_steps=skipped_steps))
            if quality is not None and evidence:
                content = to_bytes(evidence_of(quality, draw + epoch, world))
                durable.write_bytes(folder.evidence_file(epoch), content)
        segment = dataclasses.replace(tiny_checkpoint.history.segments[0], comparable=comparable)
        about = {"train": "1" * 64, "val": "7" * 64, "train_images": 8, "val_images": IMAGES, **(data or {})}
        checkpoint = dataclasses.replace(
            tiny_checkpoint,
            history=History(tuple(records), (segment,)),
            settings=wishes,
            result_settings=BEARING,
            position=Position(epoch=len(records), step=len(records)),
            weights_epoch=len(records) - 1,
            provenance={
                **tiny_checkpoint.provenance,
                "data": about,
                "versions": {"torch": "2.13.0", "numpy": "2.4", **(versions or {})},
            },
            validated=False,
            metrics=None,
            fitness=None,
            **changes,
        )
        save(checkpoint, folder.last)
        durable.write_text(
            folder.settings_yaml, render(wishes, {each: (origins or {}).get(each, "given") for each in wishes})
        )
        end = '{"event": "RunEnded", "outcome": "finished"}\n' if ended else ""
        durable.write_text(folder.journal, f'{{"event": "RunStarted"}}\n{end}')
        if listing is not None:
            durable.write_bytes(folder.data_files, render_listing(listing))
        return folder.path

    return make


@pytest.fixture
def make_bare_run(make_run: Callable[..., Path]) -> Callable[..., Path]:
    """Without evidence: quicker to compare, where no interval is asked for."""
    return partial(make_run, evidence=False)


@cache
def _record(epoch: int, quality: float | None, draw: int, world: int, train_loss: float) -> EpochRecord:
    record = EpochRecord(epoch, 0, epoch + 1, 8, Losses(train_loss - epoch, 2.0, 1.0), (0.1, 0.1, 0.1))
    if quality is None:
        return record
    evaluation = evaluation_from(evidence_of(quality, draw + epoch, world), ("cat", "dog"))
    return dataclasses.replace(
        record,
        metrics=evaluation.metrics,
        per_class=evaluation.per_class,
        validation=Losses(3.0, 2.0, 1.0),
        fitness=evaluation.metrics["map50_95"],
    )
