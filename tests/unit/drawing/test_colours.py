"""Class colours are the same in every run, all different, and readable under their text."""

from __future__ import annotations

import itertools

import numpy as np

from peakmark.drawing.colours import class_colour, text_colour_on


def test_first_colours_are_frozen():
    assert [class_colour(c) for c in range(4)] == [(0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0)]
    assert class_colour(7) == (135, 0, 255)


def test_eighty_classes_have_clearly_different_colours():
    colours = np.array([class_colour(c) for c in range(80)], dtype=float)
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2)]
    assert min(distances) > 25


def test_any_number_of_classes_has_colours():
    assert class_colour(128) == class_colour(0)
    assert all(0 <= value <= 255 for c in range(1203) for value in class_colour(c))


def test_text_has_contrast_on_every_colour():
    def luminance(colour: tuple[int, int, int]) -> float:
        value = np.array(colour) / 255
        linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    for c in range(128):
        dark, light = sorted((luminance(class_colour(c)), luminance(text_colour_on(class_colour(c)))))
        assert (light + 0.05) / (dark + 0.05) >= 4.5
