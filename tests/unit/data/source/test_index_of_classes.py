"""Of a choice of classes, exactly their truths are left, each in its image, with all that belongs to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from peakmark.data.choice import choice_notes
from peakmark.data.dataset import DatasetSpec
from peakmark.data.index import build_index
from peakmark.errors import DataError
from peakmark.events import SplitContents

TWO = "0 0.5 0.5 0.2 0.2\n1 0.3 0.3 0.1 0.1\n"
LABELS = {0: TWO, 1: "1 0.5 0.5 0.2 0.2\n", 2: ""}
NAMES = ("cat", "dog")


def test_emptied_images_are_background_by_the_choice_and_counted_as_such(make_dataset: Callable[..., DatasetSpec]):
    index = build_index(make_dataset(labels=LABELS), "train", classes=(0,))
    assert index.contents == SplitContents(3, 1, 1, 1, 0, background_by_choice=1)
    assert "1 with objects of other classes alone" in str(index.contents)
    assert index.select([1, 2]).contents == SplitContents(2, 0, 0, 1, 0, background_by_choice=1)
    assert choice_notes(index, (0,), NAMES) == (
        "train: classes=[0] (cat): 1 of 3 objects are used, the 2 of other classes are left out; 1 images are"
        " background by that.",
    )


def test_the_choice_is_part_of_the_fingerprint(make_dataset: Callable[..., DatasetSpec]):
    spec = make_dataset(labels=LABELS)
    cats, dogs, both, plain = (build_index(spec, "train", classes=each) for each in ((0,), (1,), (0, 1), None))
    assert len({index.fingerprint for index in (cats, dogs, plain)}) == 3
    # Nothing was left out: it is the same data.
    assert both.fingerprint == plain.fingerprint
    changed = [one[2] != other[2] for one, other in zip(cats.file_digests(), plain.file_digests(), strict=True)]
    assert changed == [True, True, False]


def test_outlines_stay_with_their_objects(make_dataset: Callable[..., DatasetSpec]):
    labels = {0: "0 0.1 0.1 0.4 0.1 0.1 0.4\n1 0.5 0.5 0.9 0.5 0.5 0.9\n1 0.5 0.5 0.2 0.2\n"}
    index = build_index(make_dataset(count=1, labels=labels), "train", classes=(1,), with_outlines=True)
    assert index.outlines is not None
    triangle, box = index.outlines[slice(0, 2)]
    corners = sorted((round(x, 3), round(y, 3)) for x, y in triangle.tolist())
    assert corners == [(0.5, 0.5), (0.5, 0.9), (0.9, 0.5)]
    assert len(box) == 0


def test_classes_are_chosen_first_and_united_then(make_dataset: Callable[..., DatasetSpec]):
    index = build_index(make_dataset(labels=LABELS), "train", classes=(1,), single_class=True)
    assert index.classes.tolist() == [0, 0]
    assert index.offsets.tolist() == [0, 1, 2, 2]


def test_a_split_without_any_of_them_is_refused_unless_false_alarms_are_counted(
    make_dataset: Callable[..., DatasetSpec],
):
    spec = make_dataset(labels={0: "1 0.5 0.5 0.2 0.2\n", 1: "", 2: ""})
    with pytest.raises(DataError, match=r"none of its 1 objects is of the classes that are chosen, so there is noth"):
        build_index(spec, "train", classes=(0,))
    with pytest.raises(DataError, match=r"no epoch could be judged by it; choose others with classes="):
        build_index(spec, "val", classes=(0,))
    assert len(build_index(spec, "val", classes=(0,), background_is_enough=True)) == 3
