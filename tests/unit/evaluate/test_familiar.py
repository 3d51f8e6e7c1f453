"""An evaluation in the words of the field: our numbers, and nothing made up for a class without truths."""

from __future__ import annotations

import math

import numpy as np
import pytest

from peakmark.evaluate.familiar import BoxMetrics

NAN = float("nan")


@pytest.fixture
def box() -> BoxMetrics:
    return BoxMetrics(
        {"map50_95": 0.4, "map50": 0.6, "map75": 0.5, "precision": 0.7, "recall": 0.8},
        {
            "map50_95": (0.5, NAN, 0.3),
            "map50": (0.7, NAN, 0.5),
            "precision": (0.5, NAN, 0.9),
            "recall": (1.0, NAN, 0.0),
        },
    )


def test_the_means(box):
    assert (box.map, box.map50, box.map75, box.mp, box.mr) == (0.4, 0.6, 0.5, 0.7, 0.8)
    assert box.mean_results() == [0.7, 0.8, 0.6, 0.4]


def test_the_classes(box):
    np.testing.assert_array_equal(box.maps, [0.5, NAN, 0.3])
    assert box.ap_class_index.tolist() == [0, 2]
    assert box.ap.tolist() == [0.5, 0.3]
    assert box.ap50.tolist() == [0.7, 0.5]
    assert box.p.tolist() == [0.5, 0.9]
    assert box.r.tolist() == [1.0, 0.0]
    assert box.f1.tolist() == pytest.approx([2 / 3, 0.0])
    assert box.class_result(1) == (0.9, 0.0, 0.5, 0.3)


def test_what_was_not_validated_has_no_numbers():
    nothing = BoxMetrics({}, {})
    assert math.isnan(nothing.map)
    assert nothing.maps.shape == nothing.ap.shape == nothing.f1.shape == (0,)
    assert nothing.ap_class_index.tolist() == []
