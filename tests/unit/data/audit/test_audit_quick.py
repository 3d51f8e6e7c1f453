"""Is what matters said at a training's start, once worked out, and nothing where nothing is wrong?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from peakmark.data.audit import quick
from peakmark.data.audit.findings import Finding
from peakmark.data.audit.labels import check_boxes
from peakmark.data.audit.quick import quick_notes
from peakmark.data.source.indexed_split import Index

MakeIndex = Callable[..., Index]
NAMES = ("cat", "dog")


def distinct(index: Index, first: int) -> Index:
    """The index with a digest of its own for each image, counted from `first`, ending in zero bytes."""
    numbers = np.arange(first, first + len(index), dtype=">u8")
    digests = np.zeros((len(index), 16), np.uint8)
    digests[:, :8] = numbers.view(np.uint8).reshape(-1, 8)
    return replace(index, digests=digests)


def sound(make_index: MakeIndex, split: str, first: int) -> Index:
    return distinct(make_index(split, [[0], [1]] * 200), first)


def test_of_sound_data_nothing_is_said(make_index: MakeIndex):
    assert quick_notes(sound(make_index, "train", 0), sound(make_index, "val", 1000), NAMES) == ()
    assert quick_notes(sound(make_index, "train", 0), None, NAMES) == ()


def test_images_of_val_that_are_in_train_come_first(make_index: MakeIndex):
    train = sound(make_index, "train", 0)
    notes = quick_notes(train, distinct(make_index("val", [[0]] * 20), 390), NAMES)
    assert notes[0] == "10 images of val are in train too, as equal files (50.0% of val)."
    assert any("standard error" in note for note in notes)
    assert any("1 class (dog) without a single object" in note for note in notes)
    assert "peakmark audit" in notes[-1]


def test_small_faults_are_left_to_the_audit(make_index: MakeIndex):
    one_doubled = make_index("train", [[0], [1]] * 400 + [[0, 0]])
    assert quick_notes(distinct(one_doubled, 0), None, NAMES) == ()
    many_doubled = make_index("train", [[0, 0], [1]] * 400)
    assert "400 objects are labelled twice" in quick_notes(distinct(many_doubled, 0), None, NAMES)[0]


def test_the_same_data_are_looked_at_once(make_index: MakeIndex, monkeypatch, own_cache: Path):
    train, val = sound(make_index, "train", 0), distinct(make_index("val", [[0], [1]] * 5), 1000)
    said = quick_notes(train, val, NAMES)
    looked: list[object] = []

    def look(index: Index, names: Sequence[str]) -> list[Finding]:
        looked.append(index)
        return check_boxes(index, names)

    monkeypatch.setattr(quick, "check_boxes", look)
    assert quick_notes(train, val, NAMES) == said
    assert looked == []
    quick_notes(train, distinct(val, 2000), NAMES)
    assert len(looked) == 2
    for file in (own_cache / "audit").iterdir():
        file.write_text("{damaged")
    assert quick_notes(train, val, NAMES) == said


def test_equal_files_of_a_split_are_told_where_they_are_many_or_labelled_in_different_ways(make_index: MakeIndex):
    def copied(index: Index, copies: int) -> Index:
        digests = index.digests.copy()
        digests[1 : 1 + 2 * copies : 2] = digests[0 : 2 * copies : 2]
        return replace(index, digests=digests)

    alike = distinct(make_index("train", [[0], [0], [1], [1]] * 100), 0)
    assert quick_notes(copied(alike, 10), None, NAMES) == ()
    many = quick_notes(copied(alike, 40), None, NAMES)
    assert many[0].startswith("train: 40 images are the very same file as another one of the split")
    differing = quick_notes(copied(sound(make_index, "train", 0), 3), None, NAMES)
    assert differing[0] == "train: 3 images are there more than once with other labels each time."
