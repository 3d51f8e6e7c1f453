"""An audit of some classes, or of all as one, finds what a training with the same choice would meet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from peakmark.data.audit.labels import check_labels
from peakmark.data.audit.size import check_size
from peakmark.data.index import survey_split

NAMES = ("cat", "dog")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    images=st.lists(st.lists(st.integers(0, 4), max_size=6), min_size=1, max_size=8),
    chosen=st.sets(st.integers(0, 4), min_size=1),
)
def test_what_is_left_of_an_index_is_what_a_loop_leaves(make_index, images, chosen):
    index = make_index("train", images)
    boxes = np.random.default_rng(0).random((len(index.classes), 4)).astype(np.float32)
    index = replace(index, boxes_cxcywh_norm=boxes)
    left = index.of_classes(sorted(chosen))
    rows = iter(boxes.tolist())
    for number, of_image in enumerate(images):
        kept = [(kind, box) for kind, box in ((kind, next(rows)) for kind in of_image) if kind in chosen]
        entry = left.entry(number)
        assert entry.classes.tolist() == [kind for kind, _ in kept]
        assert entry.boxes_cxcywh_norm.tolist() == [box for _, box in kept]
        assert left.unchosen is not None
        assert left.unchosen[number] == len(of_image) - len(kept)
    assert left.files == index.files


def test_a_class_that_is_left_out_is_not_called_unused(make_index):
    splits = {"train": make_index("train", [[0]] * 20), "val": make_index("val", [[0]] * 20)}
    assert "class unused" in [found.kind for found in check_size(splits, NAMES)]
    assert "class unused" not in [found.kind for found in check_size(splits, NAMES, (0,))]
    assert "class unused" in [found.kind for found in check_size(splits, NAMES, (0, 1))]


def test_of_classes_that_are_one_no_box_has_two(make_dataset):
    spec = make_dataset(labels={0: "0 0.5 0.5 0.25 0.5\n1 0.5 0.5 0.25 0.5\n"})
    kinds = {
        single: {found.kind for found in check_labels(survey_split(spec, "train", single_class=single), names)}
        for single, names in ((False, NAMES), (True, ("object",)))
    }
    assert "same box, two classes" in kinds[False] - kinds[True]
    assert "doubled box" in kinds[True] - kinds[False]
    alone = survey_split(spec, "train", classes=(0,))
    assert not {"same box, two classes", "doubled box"} & {found.kind for found in check_labels(alone, NAMES)}
