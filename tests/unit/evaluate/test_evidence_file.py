"""Does evidence come back from its file as it was, and is a file that is no evidence said to be none?"""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from peakmark.errors import DataError
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.evidence_file import read, to_bytes
from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.tables import DetectionTable, TruthTable

IMAGES, CLASSES = 40, 3


def evidence_of(*, detections: int = 3000, truths: int = 200, seed: int = 0) -> Evidence:
    """Some images without truths or detections, ties, crowds, more than 100 of an image and class, all sizes."""
    rng = np.random.default_rng(seed)
    boxes = np.concatenate([rng.uniform(0, 50, (truths, 2)), rng.uniform(4, 200, (truths, 2))], axis=1)
    crowded = rng.random(detections) < 0.4
    image_D = np.where(crowded, 7, rng.integers(0, IMAGES - 2, detections))
    near = boxes[rng.integers(0, max(truths, 1), detections)] if truths else rng.uniform(5, 50, (detections, 4))
    return match(
        TruthTable(
            rng.integers(0, IMAGES - 1, truths),
            rng.integers(0, CLASSES, truths),
            boxes,
            rng.random(truths) < 0.1,
            boxes[:, 2] * boxes[:, 3],
        ),
        DetectionTable(
            image_D,
            rng.integers(0, CLASSES, detections),
            near * rng.uniform(0.9, 1.1, (detections, 4)),
            (rng.integers(0, 500, detections) / 499).astype(np.float32),
        ),
        images=IMAGES,
        classes=CLASSES,
    )


@pytest.mark.parametrize(("detections", "truths"), [(3000, 200), (0, 20), (50, 0), (0, 0)])
def test_evidence_comes_back_bit_for_bit(tmp_path: Path, detections: int, truths: int) -> None:
    evidence = evidence_of(detections=detections, truths=truths)
    (tmp_path / "epoch1.npz").write_bytes(to_bytes(evidence))
    again = read(tmp_path / "epoch1.npz")
    assert again is not None
    for field in fields(Evidence):
        mine, theirs = getattr(evidence, field.name), getattr(again, field.name)
        assert np.array_equal(mine, theirs), field.name
        assert getattr(mine, "dtype", int) == getattr(theirs, "dtype", int), field.name


def test_a_detection_takes_few_bytes() -> None:
    evidence = evidence_of(detections=60_000, truths=3000)
    assert len(to_bytes(evidence)) / len(evidence.scores_D) < 8


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert read(tmp_path / "epoch1.npz") is None


def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "epoch3.npz"
    whole = to_bytes(evidence_of())
    rng = np.random.default_rng(0)
    for cut in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"epoch3\.npz can't be read as evidence .* Remove it"):
            read(path)
    columns_end = whole.index(b"PK\x01\x02")  # what comes after repeats names and sizes
    for place in rng.integers(200, columns_end, 40):
        changed = bytearray(whole)
        changed[place] ^= 0xFF
        path.write_bytes(changed)
        try:
            again = read(path)
        except DataError:
            continue
        # A byte that says nothing (a time, a flag of the archive): what is read is what was written.
        assert again is not None
        assert to_bytes(again) == whole


def test_columns_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "epoch1.npz"
    path.write_bytes(to_bytes(evidence_of()))
    with np.load(path) as columns:
        shortened = dict(columns)
    shortened["crowd"] = shortened["crowd"][:-1]
    np.savez(path, **shortened)
    with pytest.raises(DataError, match="different lengths"):
        read(path)


def test_evidence_of_a_later_format_says_so(tmp_path: Path) -> None:
    path = tmp_path / "epoch1.npz"
    path.write_bytes(to_bytes(evidence_of()))
    with np.load(path) as columns:
        later = {**columns, "version": np.array([3])}
    np.savez(path, **later)
    with pytest.raises(DataError, match="format version 3"):
        read(path)


def test_evidence_of_the_first_format_gives_the_numbers_that_were_logged_of_it(tmp_path: Path) -> None:
    """It held the 100 best of an image and class, and average precision looked at no more of them."""
    whole = evidence_of(detections=3000, truths=1500)
    assert whole.rank_D.max() > 100
    best_D = whole.rank_D < 100
    of_detections = [
        each.name for each in fields(Evidence) if len(np.atleast_1d(getattr(whole, each.name))) == len(best_D)
    ]
    then = replace(whole, cap=100, **{name: getattr(whole, name)[best_D] for name in of_detections})
    path = tmp_path / "epoch1.npz"
    path.write_bytes(to_bytes(then))
    with np.load(path) as columns:
        first = {name: column for name, column in columns.items() if name != "cap"}
    np.savez(path, **{**first, "version": np.array([1])})
    again = read(path)
    assert again is not None
    assert again.cap == 100
    names = [str(number) for number in range(CLASSES)]
    assert evaluation_from(again, names).metrics == evaluation_from(then, names).metrics
