"""The folder of a run of any size, made from formulas without any training: what pages are measured and tested on.

Curves rise, truths lie at random, and detections are truths with a known share of every kind of mistake.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from peakmark.data.source.indexed_split import Index
from peakmark.evaluate.evidence_file import to_bytes
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.tables import detection_table, truth_table
from peakmark.evaluate.validator import Validated
from peakmark.geometry.boxes import xyxy_from_cxcywh
from peakmark.nouns.gallery import Gallery
from peakmark.nouns.images import Detections
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import EpochRecord, History
from peakmark.record import gallery_file, results_csv
from peakmark.record.folder import RunFolder
from peakmark.settings.fields import Settings
from peakmark.settings.plain import to_plain
from peakmark.validation.gallery import make_gallery

_WIDTH_PX, _HEIGHT_PX = 640, 480
_PICTURES = 12
"""Files; an image of the set is one of them."""
_TRUTHS_PER_IMAGE = 7


@dataclass(frozen=True, slots=True)
class MadeRun:
    """How large a run is."""

    names: Sequence[str]
    epochs: int
    images: int
    noise_per_image: int = 90
    """Detections of low scores, as a validation from confidence 0.001 on keeps them"""
    files: Sequence[str] = ()
    """Names of the pictures; img0.jpg and so on where there are fewer"""


def write_made_run(folder: Path, made: MadeRun, *, seed: int = 0) -> Path:
    """Writes what the page of a run reads into `folder`, which it makes, and gives it."""
    rng = np.random.default_rng(seed)
    places = RunFolder(folder)
    places.evidence.mkdir(parents=True)
    (folder / "images").mkdir()
    validated, gallery = make_validation(folder / "images", made, rng)
    evidence = validated.evidence
    best = max(0, made.epochs - 1 - made.epochs // 5)
    places.evidence_file(best).write_bytes(to_bytes(evidence))
    places.gallery.write_text(gallery_file.render(replace(gallery, epoch=best + 1)))
    history = make_history(made, best, dict(validated.evaluation.metrics), rng)
    places.results_csv.write_text(results_csv.render(history, best))
    places.summary.write_text(json.dumps(_summary(made, best, validated, history)))
    return folder


def make_validation(folder: Path, made: MadeRun, rng: np.random.Generator) -> tuple[Validated, Gallery]:
    """Gives what a validation finds, and the images that show it; their files lie in `folder`, which is there."""
    index = _index(folder, made, rng)
    found = [_detections(index, number, made, rng) for number in range(made.images)]
    truths = [index.truths_px(number) for number in range(made.images)]
    evidence = match(truth_table(truths), detection_table(found), images=made.images, classes=len(made.names))
    validated = Validated(evaluation_from(evidence, made.names), evidence)
    return validated, make_gallery(index, found, evidence, validated.evaluation.curves.best_confidence)


def _index(folder: Path, made: MadeRun, rng: np.random.Generator) -> Index:
    files = [*made.files, *(f"img{number}.jpg" for number in range(_PICTURES))][: max(1, min(_PICTURES, made.images))]
    for name in files:
        ground = cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (_WIDTH_PX, _HEIGHT_PX))
        ground = np.clip(ground + rng.normal(0, 6, ground.shape), 0, 255).astype(np.uint8)
        (folder / name).write_bytes(cv2.imencode(".jpg", ground)[1].tobytes())
    counts = rng.poisson(_TRUTHS_PER_IMAGE, made.images)
    total = int(counts.sum())
    sizes = rng.uniform(0.08, 0.3, (total, 2))
    centres = sizes / 2 + rng.random((total, 2)) * (1 - sizes)
    return Index(
        split="val",
        folder=folder,
        files=tuple(files[number % len(files)] for number in range(made.images)),
        widths_px=np.full(made.images, _WIDTH_PX, np.int32),
        heights_px=np.full(made.images, _HEIGHT_PX, np.int32),
        digests=np.zeros((made.images, 16), np.uint8),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes_cxcywh_norm=np.concatenate([centres, sizes], axis=1).astype(np.float32),
        classes=rng.integers(0, len(made.names), total),
        unreadable=(),
        warnings=(),
        verify="full",
        labelled=np.ones(made.images, np.bool_),
    )


def _detections(index: Index, number: int, made: MadeRun, rng: np.random.Generator) -> Detections:
    """Of ten truths about one each is missed, taken for another class, badly placed and doubled."""
    truths = index.truths_px(number)
    kind = rng.integers(0, 10, len(truths))
    kept = np.flatnonzero(kind > 0)
    kept = np.concatenate([kept, kept[kind[kept] == 1]])
    sides = np.tile(truths.boxes_xyxy_px[kept, 2:] - truths.boxes_xyxy_px[kept, :2], 2)
    shift = rng.normal(0, 0.04, (len(kept), 4)) + np.where(kind[kept] == 2, 0.45, 0)[:, None]
    boxes = truths.boxes_xyxy_px[kept] + shift * sides
    other = (truths.classes[kept] + 1 + rng.integers(0, 2, len(kept))) % len(made.names)
    classes = np.where(kind[kept] == 3, other, truths.classes[kept])
    noise = rng.random((made.noise_per_image, 4)) * np.array([0.8, 0.8, 0.3, 0.3]) + np.array([0.1, 0.1, 0.02, 0.02])
    size = np.array([_WIDTH_PX, _HEIGHT_PX] * 2)
    boxes = np.concatenate([boxes, xyxy_from_cxcywh((noise * size).astype(np.float32))])
    scores = np.concatenate([rng.uniform(0.3, 0.98, len(kept)), 0.001 + rng.random(len(noise)) ** 8 * 0.7])
    classes = np.concatenate([classes, rng.integers(0, len(made.names), len(noise))])
    order = np.argsort(-scores, kind="stable")
    clipped = np.clip(boxes, 0, size).astype(np.float32)
    return Detections(clipped[order], scores[order].astype(np.float32), classes[order].astype(np.int64))


def make_history(made: MadeRun, best: int, metrics: dict[str, float], rng: np.random.Generator) -> History:
    """Gives curves that rise, with `metrics` at the epoch `best` (0-based)."""
    records = []
    for epoch in range(made.epochs):
        risen = (1 - np.exp(-4 * (epoch + 1) / made.epochs)) * (1 - 0.04 * max(0, epoch - best) / made.epochs)
        own = {name: value * float(risen) * float(rng.uniform(0.97, 1)) for name, value in metrics.items()}
        losses = Losses(*(0.4 + 2 * np.exp(-3 * epoch / made.epochs) + rng.normal(0, 0.02, 3)).tolist())
        values = metrics if epoch == best else own
        rate = 0.01 * (1 - epoch / made.epochs)
        records.append(
            EpochRecord(
                epoch=epoch, segment=0, step=(epoch + 1) * 20, images=320, train=losses, lr=(rate, rate, rate * 1.5),
                metrics=values, validation=losses, fitness=values["map50_95"], train_s=30.0, validation_s=4.0,
            )
        )  # fmt: skip
    return History(tuple(records))


def _summary(made: MadeRun, best: int, validated: Validated, history: History) -> dict[str, Any]:
    evaluation = validated.evaluation
    fitness = evaluation.metrics["map50_95"]

    def estimate(value: float) -> dict[str, float]:
        return {"value": value, "standard_error": 0.008, "low": value - 0.016, "high": value + 0.016}

    near = [record for record in history.records if record.fitness and fitness - record.fitness < 0.016][-4:]
    return {
        "outcome": "finished",
        "text": f"All {made.epochs} epochs are done.",
        "names": list(made.names),
        "epochs": made.epochs,
        "train_s": 30.0 * made.epochs,
        "validation_s": 4.0 * made.epochs,
        "fitness": "map50_95 (COCO protocol)",
        "protocol": evaluation.protocol,
        "best": {
            "epoch": best + 1,
            "fitness": fitness,
            "reason": f"fitness {fitness:.4f} beats all before",
            "metrics": {name: None if value != value else value for name, value in evaluation.metrics.items()},
            "per_class": {
                name: [None if value != value else value for value in values]
                for name, values in evaluation.per_class.items()
            },
        },
        "certainty": {
            "text": f"Fitness {fitness:.4f} ± 0.0080 (one standard error, {made.images} validation images).",
            "resamples": 500,
            "fitness": estimate(fitness),
            "epochs": [
                {
                    "epoch": record.epoch + 1,
                    "fitness": estimate(record.fitness or 0.0),
                    "ahead": estimate(fitness - (record.fitness or 0.0)),
                    "tied": True,
                }
                for record in near
            ],
        },
        "settings": to_plain(Settings(data="set.yaml", epochs=made.epochs)),
        "versions": {"peakmark": "0.1.0"},
        "digests": {"model": "0" * 64},
    }
