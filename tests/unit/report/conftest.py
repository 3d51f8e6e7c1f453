"""Plausible runs and evaluations, made from formulas, for tests of pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from peakmark.nouns.evaluation import Curves, Evaluation
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import EpochRecord, History, Segment
from peakmark.settings.fields import Settings
from peakmark.settings.recipe import recipe


@pytest.fixture
def make_history() -> Callable[..., History]:
    return _history


@pytest.fixture
def make_segment() -> Callable[..., Segment]:
    return _segment


@pytest.fixture
def make_evaluation() -> Callable[..., Evaluation]:
    return _evaluation


def _segment(
    from_epoch: int, from_images: int = 0, *, horizon: int = 12, reason: str = "start", close_mosaic: int = 3
) -> Segment:
    wishes = Settings(data="-", close_mosaic=close_mosaic)
    settings, chosen = {"mosaic": 1.0}, dataclasses.asdict(recipe(wishes, classes=2, images=100))
    return Segment(from_epoch, from_images, settings, reason, chosen, horizon, "the same set")


def _history(
    epochs: int, *, val_period: int = 1, validated: bool = True, segments: tuple[Segment, ...] = ()
) -> History:
    """A run whose losses fall and whose metrics rise and, late, fall a little."""
    rng = np.random.Generator(np.random.Philox(key=7))
    records = []
    for epoch in range(epochs):
        noise = rng.normal(0, 0.02, 8)
        quality = 0.55 * (1 - np.exp(-epoch / max(epochs / 5, 1))) - 0.05 * (epoch / max(epochs, 1)) ** 4
        has_metrics = validated and (epoch % val_period == val_period - 1 or epoch == epochs - 1)
        train = Losses(1.0 + 2 * np.exp(-epoch / 8) + noise[0], 0.6 + 3 * np.exp(-epoch / 6) + noise[1], 1.1 + noise[2])
        rate = 0.01 * (1 - 0.99 * epoch / epochs)
        warm = min(1.0, (epoch + 1) / 3)
        metrics = {
            "map50_95": max(0.0, quality + noise[3] * 0.4),
            "map50": max(0.0, quality * 1.45 + noise[3] * 0.4),
            "map75": max(0.0, quality * 1.05),
            "precision": float(np.clip(0.3 + quality + noise[4], 0, 1)),
            "recall": float(np.clip(0.2 + quality + noise[5], 0, 1)),
            "map_small": float("nan"),
            "map_medium": max(0.0, quality * 0.9 + noise[6]),
            "map_large": max(0.0, quality * 1.2 + noise[7]),
        }
        records.append(
            EpochRecord(
                epoch=epoch,
                segment=max(
                    (n for n, s in enumerate(segments) if (s.from_epoch, s.from_images) < (epoch + 1, 0)), default=0
                ),
                step=(epoch + 1) * 13,
                images=205,
                train=train,
                lr=(rate * warm, rate * warm, rate * (1 + 9 * (1 - warm))),
                metrics=metrics if has_metrics else None,
                validation=Losses(train.box + 0.2, train.cls + 0.1, train.dfl + 0.1) if has_metrics else None,
                fitness=metrics["map50_95"] if has_metrics else None,
            )
        )
    return History(tuple(records), segments)


def _evaluation(names: tuple[str, ...], *, without_truths: tuple[int, ...] = (), empty: bool = False) -> Evaluation:
    """An evaluation with one curve a class; `empty`: nothing was detected at all."""
    rng = np.random.Generator(np.random.Philox(key=11))
    classes = len(names)
    recall, confidence = np.linspace(0, 1, 101), np.linspace(0, 1, 1000)
    ap_C = np.clip(rng.beta(5, 2, classes), 0.05, 0.98) * (0.0 if empty else 1.0)
    edge_C1 = (ap_C + 0.02)[:, None]
    precision_CR = 1 / (1 + np.exp((recall[None] - edge_C1) * 18)) * (0.0 if empty else 1.0)
    recall_CK = edge_C1 * (1 - confidence[None] ** 1.5) * (0.0 if empty else 1.0)
    precision_CK = np.clip(0.3 + 0.7 * confidence[None] ** 0.4 * edge_C1 / edge_C1.max(), 0, 1) * (0.0 if empty else 1)
    f1_CK = 2 * precision_CK * recall_CK / np.maximum(precision_CK + recall_CK, 1e-12)
    for c in without_truths:
        ap_C[c] = np.nan
        for curve in (precision_CR, precision_CK, recall_CK, f1_CK):
            curve[c] = np.nan
    with_truths = [c for c in range(classes) if c not in without_truths]
    best = int(f1_CK[with_truths].mean(axis=0).argmax()) if with_truths else 0
    per_class_truths = tuple(0 if c in without_truths else int(rng.integers(4, 900)) for c in range(classes))
    mean = {
        "precision": float(precision_CK[with_truths, best].mean()) if with_truths else float("nan"),
        "recall": float(recall_CK[with_truths, best].mean()) if with_truths else float("nan"),
        "map50": float(ap_C[with_truths].mean()) if with_truths else float("nan"),
    }
    return Evaluation(
        names=names,
        metrics={**mean, "map50_95": mean["map50"] * 0.7},
        per_class={
            "map50": tuple(ap_C),
            "map50_95": tuple(ap_C * 0.7),
            "precision": tuple(ap_C),
            "recall": tuple(ap_C),
        },
        curves=Curves(
            recall_levels=recall.astype(np.float32),
            precision_CR=precision_CR,
            confidences=confidence.astype(np.float32),
            precision_CK=precision_CK,
            recall_CK=recall_CK,
            f1_CK=f1_CK,
            best_confidence=float(confidence[best]),
        ),
        confusion=_confusion(rng, per_class_truths, ap_C, empty=empty),
        images=64,
        truths=sum(per_class_truths),
        truths_per_class=per_class_truths,
        detections=0 if empty else 4321,
    )


def _confusion(
    rng: np.random.Generator, truths_per_class: tuple[int, ...], ap_C: np.ndarray, *, empty: bool
) -> np.ndarray:
    classes = len(truths_per_class)
    confusion = np.zeros((classes + 1, classes + 1), dtype=np.int64)
    for c, truths in enumerate(truths_per_class):
        found = 0 if empty or not truths else int(truths * ap_C[c])
        confusion[c, c] = found
        taken_for = int(rng.integers(0, classes))
        wrong = (truths - found) // 3 if not empty else 0
        confusion[taken_for, c] += wrong
        confusion[classes, c] = truths - found - wrong
        confusion[c, classes] = 0 if empty else int(rng.integers(0, 30))
    return confusion
