"""Does the page say of each confidence what the evidence says, and nothing where the evidence isn't that of the log?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.unit.evaluate.test_matching import BOX, detections_of, truths_of

from peakmark.evaluate.evidence_file import to_bytes
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.record.folder import RunFolder
from peakmark.report.pages.at_confidence import at_confidences

EVIDENCE = match(
    truths_of((0, 0, BOX), (1, 0, BOX), (2, 1, BOX)),
    detections_of((0, 0, BOX, 0.95), (1, 1, BOX, 0.305), (2, 1, BOX, 0.6), (2, 0, BOX, 0.0045)),
    images=3,
    classes=2,
)


@pytest.fixture
def folder(tmp_path) -> RunFolder:
    places = RunFolder(tmp_path)
    places.evidence.mkdir()
    places.evidence_file(4).write_bytes(to_bytes(EVIDENCE))
    return places


def summary_with(metrics: Mapping[str, float]) -> dict[str, Any]:
    return {"best": {"epoch": 5, "metrics": dict(metrics)}}


METRICS = evaluation_from(EVIDENCE, ("cat", "dog")).metrics


def test_counts_at_each_confidence_are_those_of_the_evidence(folder):
    at, note = at_confidences(folder, summary_with(METRICS))
    assert at is not None
    assert note == ""
    place = at["confidences"].index
    assert [at["right"][0][place(c)] for c in (0.01, 0.95, 0.96)] == [1, 1, 0]
    assert [at["detected"][0][place(c)] for c in (0.004, 0.005, 0.95)] == [2, 1, 1]
    assert [at["detected"][1][place(c)] for c in (0.3, 0.31, 0.6, 0.61)] == [2, 1, 1, 0]
    assert at["truths"] == [2, 1]
    assert at["confidences"] == sorted(set(at["confidences"]))


def test_at_its_best_they_give_the_numbers_of_the_log(folder):
    at, _ = at_confidences(folder, summary_with(METRICS))
    assert at is not None
    best, truths = at["best"], np.array(at["truths"])
    right, detected = (np.array(at[name])[:, best] for name in ("right", "detected"))
    assert at["confidences"][best] == pytest.approx(METRICS["confidence"])
    assert (right / np.maximum(detected, 1)).mean() == pytest.approx(METRICS["precision"])
    assert (right / truths).mean() == pytest.approx(METRICS["recall"])
    assert np.array(at["confusion"]).sum(axis=0)[:2].tolist() == [2, 1], "each truth is in one cell of its column"


def test_evidence_of_something_else_is_not_shown_and_that_is_said(folder):
    at, note = at_confidences(folder, summary_with({**METRICS, "recall": 0.9}))
    assert at is None
    assert "is not the evidence" in note


def test_evidence_that_is_gone_or_damaged_is_said(folder):
    folder.evidence_file(4).write_bytes(b"PK")
    assert "can't be read as evidence" in at_confidences(folder, summary_with(METRICS))[1]
    folder.evidence_file(4).unlink()
    at, note = at_confidences(folder, summary_with(METRICS))
    assert at is None
    assert "is not there" in note


def test_a_run_without_a_best_epoch_has_none(folder):
    assert at_confidences(folder, {"best": None}) == (None, "")
