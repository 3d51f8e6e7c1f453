"""Is every good line read exactly and every bad line caught?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from peakmark.data.source.labels import COORDINATE_TOLERANCE, label_folder, parse_labels, read_labels


def test_boxes_and_polygons():
    parsed = parse_labels("0 0.5 0.5 0.2 0.4\n\n 1.0\t0.1 0.2 0.5 0.2 0.3 0.8 \n", 2)
    assert parsed.classes == [0, 1]
    np.testing.assert_allclose(parsed.boxes_cxcywh_norm, [[0.5, 0.5, 0.2, 0.4], [0.3, 0.5, 0.4, 0.6]])
    assert not parsed.bad_lines


def test_oriented_boxes_are_polygons_of_four_points():
    parsed = parse_labels("0 0.5 0.1 0.9 0.5 0.5 0.9 0.1 0.5", 1)
    np.testing.assert_allclose(parsed.boxes_cxcywh_norm, [[0.5, 0.5, 0.8, 0.8]])


def test_empty_text_is_background():
    assert parse_labels("", 1).classes == []
    assert parse_labels("\n  \n", 1).classes == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2 0.5 0.5 0.2 0.2", "class 2 is out of range; the data.yaml names 2 classes, so 0 to 1"),
        ("-1 0.5 0.5 0.2 0.2", "class -1 is out of range"),
        ("0.5 0.5 0.5 0.2 0.2", "class 0.5 is out of range"),
        ("cat 0.5 0.5 0.2 0.2", "'cat' is not a number"),
        ("0 0.5 1.2 0.2 0.2", "coordinate 1.2 is outside 0 to 1"),
        ("0 -0.1 0.5 0.2 0.2", "coordinate -0.1 is outside 0 to 1"),
        ("0 320 240 100 50", "coordinate 320 is outside 0 to 1: give fractions"),
        ("0 0.1 0.1 0.5 0.1 0.5 1.5", "coordinate 1.5 is outside"),
        ("0 nan 0.5 0.2 0.2", "nan is not a finite number"),
        ("nan 0.5 0.5 0.2 0.2", "nan is not a finite number"),
        ("inf 0.5 0.5 0.2 0.2", "inf is not a finite number"),
        ("0 0.5 0.5 -0.2 0.2", "size -0.2 x 0.2 is negative"),
        ("0 0.5 0.5 0.2 -1e-9", "size 0.2 x -1e-9 is negative"),
        ("0 0.5 0.5 0 0.2", "no extent inside the image (width 0, height 0.2)"),
        ("0 0.5 0.5 1e-60 0.2", "no extent"),
        ("0 1.0009 0.5 0.0001 0.2", "no extent"),
        ("0 0.1 0.1 0.5 0.1 0.9 0.1", "no extent"),
        ("0 0.5 0.5 0.2", "4 columns"),
        ("0", "1 columns"),
        ("0,0.5,0.5,0.2,0.2", "not a number"),
        ("0 0.5 0.5 0.2 0.2 0.9", "6 columns"),
        ("0 0.5 0.5 0.2 0.2 0.9 0.1 0.1", "8 columns"),
        ("0 0.5 0.5 0.2 x", "'x' is not a number"),
    ],
)
def test_bad_lines_say_number_value_and_remedy(line: str, said: str):
    parsed = parse_labels(f"0 0.5 0.5 0.1 0.1\n{line}\n1 0.5 0.5 0.1 0.1", 2)
    assert len(parsed.bad_lines) == 1
    assert parsed.bad_lines[0].startswith("line 2: ")
    assert said in parsed.bad_lines[0]
    assert parsed.classes == [0, 1]


def test_equal_lines_are_counted_and_dropped():
    parsed = parse_labels("0 0.5 0.5 0.2 0.2\n0 0.50 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2\n", 2)
    assert parsed.classes == [0, 1]
    assert parsed.duplicates == 1


def test_rounding_at_the_edge_is_no_finding():
    parsed = parse_labels("0 0.0500005 0.5 0.100002 0.2\n0 1.0000001 0.5 0.1 0.1", 1)
    assert not parsed.bad_lines
    cx, _, width, _ = parsed.boxes_cxcywh_norm[0]
    assert cx - width / 2 == 0
    assert parsed.clipped == 1  # the second one only: half of it lies outside


def test_boxes_over_the_edge_are_cut_there():
    parsed = parse_labels("0 0.95 0.5 0.2 0.2", 1)
    np.testing.assert_allclose(parsed.boxes_cxcywh_norm, [[0.925, 0.5, 0.15, 0.2]])
    assert parsed.clipped == 1


_NUMBERS = st.floats(allow_nan=True, allow_infinity=True) | st.floats(-0.1, 1.1)


@given(st.lists(_NUMBERS, min_size=4, max_size=10))
def test_whatever_is_accepted_lies_inside_the_image(values: list[float]):
    parsed = parse_labels("0 " + " ".join(map(repr, values)), 1)
    assert len(parsed.classes) + len(parsed.bad_lines) == 1
    for cx, cy, width, height in parsed.boxes_cxcywh_norm:
        assert np.float32(width) > 0
        assert np.float32(height) > 0
        assert min(cx - width / 2, cy - height / 2) >= -1e-9
        assert max(cx + width / 2, cy + height / 2) <= 1 + 1e-9
        assert min(values) >= -COORDINATE_TOLERANCE


@given(st.text(max_size=60))
def test_no_text_makes_it_fail(text: str):
    parse_labels(text, 3)


def test_the_last_images_in_the_path_becomes_labels(tmp_path: Path):
    folder = tmp_path / "images/images/train"
    assert label_folder(str(folder)) == str(folder)
    (tmp_path / "images/labels/train").mkdir(parents=True)
    assert label_folder(str(folder)) == str(tmp_path / "images/labels/train")
    assert label_folder(str(tmp_path / "my-images")) == str(tmp_path / "my-images")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 .5 .5 .2 .2 .93", "a box and its confidence, as predict save_conf=True writes it"),
        ("0 .5 .5 .2 .2 7", "a box and its track number"),
        ("0 .5 .5 .2 .2 .93 1", "its confidence and its track number"),
        ("0 .5 .5 .2 .2 .93 17", "its confidence and its track number"),
        ("0 .5 .5 .2 .2 3 .93", "its confidence and its track number"),
        ("0 .5 .5 .4 .4 .4 .4 2 .6 .6 1", "2 key points; say kpt_shape: [2, 3]"),
        ("0 .5 .5 .4 .4 .4 .4 1", "1 key points; say kpt_shape: [1, 3]"),
        ("0 .1 .1 .5 .1 .5 .5 .93", "the last one may be a confidence"),
    ],
)
def test_rows_of_another_task_are_named(line: str, said: str):
    parsed = parse_labels(f"{line}\n0 .5 .5 .1 .1\n", 1)
    (bad,) = parsed.bad_lines
    assert bad.startswith("line 1: ")
    assert said in bad
    assert parsed.boxes_cxcywh_norm == [(0.5, 0.5, 0.1, 0.1)]


def test_triangles_at_the_edge_are_triangles():
    assert not parse_labels("0 .1 .1 .5 .1 .3 1", 1).bad_lines  # as a box it would reach over the edge
    polygons = "0 .5 .5 .2 .2 .93 1\n0 .1 .1 .2 .1 .2 .2 .1 .2\n"
    parsed = parse_labels(polygons, 1)  # among longer polygons
    assert not parsed.bad_lines
    assert (parsed.polygons, parsed.first_polygon, parsed.boxes) == (2, 1, 0)


def test_a_rectangle_of_the_whole_image_is_no_pose():
    assert not parse_labels("0 0 0 1 0 1 1 0 1 0 0", 1).bad_lines


def test_of_a_pose_set_the_box_is_taken():
    parsed = parse_labels("0 .5 .5 .4 .2 .4 .4 2 .6 .6 1\n0 .5 .5 .1 .1\n0 .5 .5 .1 .1 .2 .2 .3\n", 1, (2, 3))
    assert parsed.boxes_cxcywh_norm == [(0.5, 0.5, 0.4, 0.2), (0.5, 0.5, 0.1, 0.1)]
    assert parsed.bad_lines == [
        "line 3: 8 columns; with kpt_shape: [2, 3] in the data.yaml a row has 11 (class cx cy w h and the key points),"
        " or 5: correct the line or kpt_shape"
    ]


def test_boxes_and_polygons_are_counted_with_their_first_line():
    parsed = parse_labels("\n0 .5 .5 .1 .1\n0 .1 .1 .2 .1 .2 .2\n0 .6 .6 .1 .1\n", 1)
    assert (parsed.boxes, parsed.first_box, parsed.polygons, parsed.first_polygon) == (2, 2, 1, 3)


@pytest.mark.parametrize("line", ["0 .9 .5 1.009 .2", "0 1.009 .5 .2 .2", "0 .1 -.009 .5 .1 .5 1.009"])
def test_a_hair_over_the_edge_is_cut_and_counted(line: str):
    parsed = parse_labels(line, 1)
    assert not parsed.bad_lines
    assert parsed.clipped == 1
    cx, cy, width, height = parsed.boxes_cxcywh_norm[0]
    assert max(cx + width / 2, cy + height / 2) <= 1 + 1e-12
    assert parse_labels("0 1.011 .5 .2 .2", 1).bad_lines


def test_any_class_number_where_all_are_one():
    parsed = parse_labels("5 .5 .5 .1 .1\n1.5 .5 .5 .1 .1\n-1 .5 .5 .1 .1\n1e300 .5 .5 .1 .1\n", None)
    assert parsed.classes == [5]
    assert [line[:28] for line in parsed.bad_lines] == [
        "line 2: class 1.5 is no clas", "line 3: class -1 is no class", "line 4: class 1e300 is no cl"
    ]  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf_16_is_named(encoding: str):
    (line,) = read_labels("0 .5 .5 .1 .1\n".encode(encoding), 1).bad_lines
    assert line.startswith("line 1: this file is ")
    assert "UTF-16 text; save it as UTF-8" in line
    assert read_labels("0 .5 .5 .1 .1\n".encode("utf-8-sig"), 1).classes == [0]
