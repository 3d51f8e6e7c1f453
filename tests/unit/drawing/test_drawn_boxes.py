"""Boxes and sheets: the input stays as it was, nothing is drawn wrongly at the edges."""

from __future__ import annotations

import numpy as np
import pytest

from peakmark.drawing.boxes import class_colour, contact_sheet, draw_boxes

GREY = np.full((120, 200, 3), 90, dtype=np.uint8)


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


def test_the_input_is_left_untouched():
    image = GREY.copy()
    drawn = draw_boxes(image, boxes((10, 30, 60, 90)), np.array([0]), ["cat"])
    assert (image == GREY).all()
    assert (drawn != GREY).any()
    assert not np.shares_memory(image, drawn)


def test_frame_lies_on_the_box_in_the_colour_of_its_class():
    drawn = draw_boxes(GREY, boxes((20, 40, 150, 100)), np.array([1]), ["a", "b"], line_width_px=1)
    for x, y in ((20, 70), (150, 70), (80, 100), (150, 40)):
        assert tuple(drawn[y, x]) == class_colour(1)
    assert tuple(drawn[70, 85]) == (90, 90, 90)


def test_without_boxes_nothing_changes():
    assert (draw_boxes(GREY, boxes(), np.array([], dtype=np.int64), []) == GREY).all()


@pytest.mark.parametrize(
    "box",
    [
        (np.nan, 0, 50, 50),
        (0, 0, np.inf, 50),
        (-np.inf, -np.inf, np.inf, np.inf),
        (300, 10, 400, 50),
        (10, -80, 50, -5),
    ],
)
def test_boxes_outside_or_not_finite_are_left_out(box):
    assert (draw_boxes(GREY, boxes(box), np.array([0]), ["cat"]) == GREY).all()


def test_boxes_over_the_edge_are_clipped_to_it():
    drawn = draw_boxes(GREY, boxes((-50, -50, 500, 500)), np.array([0]), [""], line_width_px=1)
    assert (drawn[60, [0, 199]] == class_colour(0)).all()
    assert (drawn[[119], 100] == class_colour(0)).all()


def test_a_name_at_the_top_edge_is_written_inside_the_image():
    low = draw_boxes(GREY, boxes((50, 60, 190, 110)), np.array([0]), ["cat"])
    high = draw_boxes(GREY, boxes((50, 0, 190, 50)), np.array([0]), ["cat"])

    def label_pixels(image: np.ndarray) -> int:
        # White letters on the blue of class 0: nothing else here is so bright.
        return int((image > 150).all(axis=2).sum())

    assert label_pixels(high) == label_pixels(low) > 10


def test_a_name_at_the_right_edge_moves_left_until_it_fits():
    narrow = draw_boxes(GREY, boxes((195, 60, 199, 110)), np.array([0]), ["a long name"])
    roomy = draw_boxes(GREY, boxes((20, 60, 24, 110)), np.array([0]), ["a long name"])
    assert (narrow > 150).all(axis=2).sum() == (roomy > 150).all(axis=2).sum() > 10


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 300, 3), (300, 5, 3)])
def test_tiny_images_are_no_problem(shape):
    drawn = draw_boxes(
        np.zeros(shape, dtype=np.uint8), boxes((0, 0, 5, 5)), np.array([0]), ["a name " * 20], scores=np.array([0.5])
    )
    assert drawn.shape == shape


def test_a_class_without_a_name_is_called_by_its_number():
    assert (draw_boxes(GREY, boxes((10, 40, 60, 90)), np.array([7]), ["a"]) != GREY).any()


def test_the_surest_box_lies_on_top():
    same = boxes((20, 40, 150, 100), (20, 40, 150, 100))
    drawn = draw_boxes(GREY, same, np.array([0, 1]), ["", ""], scores=np.array([0.9, 0.2]), line_width_px=1)
    assert tuple(drawn[100, 80]) == class_colour(0)


def test_sheet_holds_images_of_any_shape_in_cells():
    images = [
        np.full((50, 100, 3), 10, np.uint8),
        np.full((100, 50, 3), 20, np.uint8),
        np.full((8, 8, 3), 30, np.uint8),
    ]
    sheet = contact_sheet(images, ["one", "two", "three " * 50], columns=2, cell_px=80)
    assert sheet.shape[1] == 2 * 84 + 4
    counts = [int((sheet == value).all(axis=2).sum()) for value in (10, 20, 30)]
    assert counts == [80 * 40, 40 * 80, 80 * 80]


def test_sheet_without_images_is_an_empty_cell():
    sheet = contact_sheet([], [], columns=4, cell_px=64)
    assert sheet.shape[1] == 72
    assert (sheet == 255).all()


def test_a_landscape_row_takes_no_more_height_than_it_needs():
    wide = np.zeros((10, 100, 3), np.uint8)
    assert contact_sheet([wide], [""], columns=1, cell_px=100).shape[0] < 50


def test_a_box_without_a_name_is_its_frame_alone() -> None:
    blank = np.zeros((60, 60, 3), np.uint8)
    box = np.array([[20.0, 30.0, 40.0, 50.0]], np.float32)
    drawn = draw_boxes(blank, box, np.array([0]), [""], line_width_px=1)
    assert drawn.any()
    assert not drawn[:29].any()
    assert not drawn[32:49, 22:39].any()


def test_names_in_any_script_are_drawn_as_they_are() -> None:
    """OpenCV 4 draws one question mark for each byte of them, which is why it is out of the range in pyproject.toml."""
    blank = np.zeros((80, 240, 3), np.uint8)
    box = np.array([[20.0, 30.0, 200.0, 60.0]], np.float32)
    names = ("\u00e9", "\u00fc", "\u044f", "\u03c9", "\u732b", "\u72ac", "?", "??", "???")
    pictures = {name: draw_boxes(blank, box, np.array([0]), [name]).tobytes() for name in names}
    assert len(set(pictures.values())) == len(names)
