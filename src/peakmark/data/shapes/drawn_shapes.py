"""What does a picture of the sample set look like? Shapes of all sizes, a third of them partly hidden, on textures.

A box is the extent of what can be seen of an object, as an annotator would draw it: where an object is partly hidden,
the box ends at the last visible pixel. At least half of each object can be seen, or nothing would tell a square from a
triangle. Everything is drawn from the generator it is given; files are none of this file's business.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from peakmark.nouns.images import FloatArray, ImageArray, IntArray

NAMES = ("circle", "square", "triangle", "star")
SIDE_PX = 320

_MOST_OBJECTS = 12
_SMALLEST_PX, _LARGEST_PX = 12.0, 160.0
"""Diameters of the circles that shapes are drawn in, before they are stretched."""
_ATTEMPTS = 30
_ONTO_SHARE, _BAR_SHARE = 0.35, 0.35
"""How often it is tried to lay an object over another one, and a bar over an object; many attempts hide too much."""
_LEAST_HIDDEN, _MOST_HIDDEN = 0.1, 0.5
"""Of an object's pixels, where it is partly hidden."""
_SMALLEST_HIDDEN_PX = 28.0
"""What is left of a smaller object would have no shape."""
_LEAST_CONTRAST = 90.0
"""Distance in RGB between an object's colour and the mean of what is under it."""
_NOISE = np.float32(5)

_HUES = {"circle": 0.0, "square": 0.3, "triangle": 0.6, "star": 0.13}
"""Where on the colour circle (0 to 1, red at 0) a class's fills lie: things differ in more than their outline."""
_HUE_SPREAD = 0.06
"""Either way; outlines, lights and grounds have every colour, so a colour alone says little."""

_SIDES = {"square": (4, math.cos(math.pi / 4)), "triangle": (3, 0.5), "star": (5, 0.45)}
"""Corners of a shape, and how far out it reaches midway between two of them, as a share of the way to a corner."""

_GROUND = -1
"""Shown by pixels that show no object."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawn image and what can be seen in it."""

    image: ImageArray
    """(320, 320, 3)"""
    boxes_xyxy_px: FloatArray
    """(G, 4) around the visible pixels"""
    classes: IntArray
    """(G,)"""
    visible: FloatArray
    """(G,) share of each object's pixels that nothing else covers"""
    shown: IntArray
    """(320, 320) number of the object that a pixel shows, or -1"""


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where a figure lies. Its kind is one of `NAMES`, or `bar`."""

    kind: str
    x_px: float
    y_px: float
    radius_px: float
    stretch: float
    angle: float

    @property
    def reach_px(self) -> float:
        """How far from its middle it can have pixels."""
        return self.radius_px * max(self.stretch, 1 / self.stretch) * (math.sqrt(2) if self.kind == "bar" else 1)


@dataclass(frozen=True, slots=True)
class _Cover:
    """How far inside a figure the pixels of a window of the picture lie, in px; negative outside."""

    window: tuple[slice, slice]
    depth_px: FloatArray

    @property
    def inside(self) -> NDArray[np.bool_]:
        return self.depth_px > 0

    @property
    def share(self) -> FloatArray:
        """How much of each pixel the figure covers, 0 to 1: smooth edges."""
        return (self.depth_px + np.float32(0.5)).clip(0, 1)


def draw_picture(rng: np.random.Generator) -> Picture:
    """Draws a picture with 1 to 12 objects."""
    canvas = _Canvas(rng)
    for _ in range(int(rng.integers(1, _MOST_OBJECTS + 1))):
        canvas.add_object()
    canvas.add_bars()
    return canvas.finish()


class _Canvas:
    """A picture in the making: its colours, and which object each pixel shows."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._colours = _texture(rng)
        self._shown: IntArray = np.full((SIDE_PX, SIDE_PX), _GROUND, np.int64)
        self._shapes: list[_Shape] = []
        self._areas_px: list[int] = []

    def add_object(self) -> None:
        """Adds an object where there is room, or over a part of another one; ever smaller, or else not at all."""
        large = [shape for shape in self._shapes if not _is_small(shape)]
        onto = large[int(self._rng.integers(len(large)))] if large and self._rng.random() < _ONTO_SHARE else None
        for attempt in range(_ATTEMPTS):
            shape = _draw_shape(self._rng, 0.93**attempt, onto)
            cover = _cover(shape)
            if self._hides_a_part(cover) if onto else self._is_free(shape):
                paint = _paint_for(shape.kind, cover, self._colours[cover.window], self._rng)
                self._paint(cover, paint, len(self._shapes))
                self._shapes.append(shape)
                self._areas_px.append(int(cover.inside.sum()))
                return

    def add_bars(self) -> None:
        """Lays bars of another texture over parts of objects."""
        for shape in self._shapes:
            if not _is_small(shape) and self._rng.random() < _BAR_SHARE:
                cover = _cover(_draw_bar(self._rng, shape))
                if self._hides_a_part(cover):
                    self._paint(cover, _texture(self._rng)[cover.window], _GROUND)

    def finish(self) -> Picture:
        """Gives the picture with its sensor noise, and the boxes of what can be seen."""
        noisy = self._colours + _NOISE * self._rng.standard_normal(self._colours.shape, np.float32)
        numbers = range(len(self._shapes))
        return Picture(
            image=noisy.clip(0, 255).astype(np.uint8),
            boxes_xyxy_px=np.array([_extent_xyxy_px(self._shown == number) for number in numbers], np.float32),
            classes=np.array([NAMES.index(shape.kind) for shape in self._shapes], np.int64),
            visible=np.array([self._pixels(number) / self._areas_px[number] for number in numbers], np.float32),
            shown=self._shown,
        )

    def _is_free(self, shape: _Shape) -> bool:
        around = _cover(replace(shape, radius_px=shape.radius_px + 3))
        return not np.any(self._shown[around.window][around.inside] != _GROUND)

    def _hides_a_part(self, cover: _Cover) -> bool:
        """Whether something opaque there would hide enough of one object, and too much of none."""
        covered = self._shown[cover.window][cover.inside]
        hidden = []
        for number in np.unique(covered[covered != _GROUND]).tolist():
            left_px = self._pixels(number) - int((covered == number).sum())
            hidden.append(1 - left_px / self._areas_px[number])
            if _is_small(self._shapes[number]):
                return False
        return bool(hidden) and max(hidden) <= _MOST_HIDDEN and min(hidden) >= _LEAST_HIDDEN

    def _pixels(self, number: int) -> int:
        return int((self._shown == number).sum())

    def _paint(self, cover: _Cover, colours: FloatArray, shown_as: int) -> None:
        under = self._colours[cover.window]
        under += cover.share[..., None] * (colours - under)
        self._shown[cover.window][cover.inside] = shown_as


def _is_small(shape: _Shape) -> bool:
    return shape.radius_px * 2 < _SMALLEST_HIDDEN_PX


def _draw_shape(rng: np.random.Generator, shrink: float, onto: _Shape | None) -> _Shape:
    """Draws kind, size, place and turn of an object: anywhere, or so that it meets the shape `onto`."""
    kind = NAMES[int(rng.integers(len(NAMES)))]
    # Nearly even in the logarithm: many small objects, but most of them large enough to learn from.
    diameter_px = _SMALLEST_PX * (_LARGEST_PX / _SMALLEST_PX) ** (rng.random() ** 0.65)
    stretch = float(np.exp(rng.uniform(-0.12, 0.12)))
    shape = _Shape(kind, 0, 0, max(_SMALLEST_PX, diameter_px * shrink) / 2, stretch, rng.uniform(0, 2 * math.pi))
    place_px = rng.uniform(0, SIDE_PX, 2)
    if onto:
        direction, away_px = rng.uniform(0, 2 * math.pi), rng.uniform(0.5, 0.95) * (shape.radius_px + onto.radius_px)
        place_px = np.array([onto.x_px + away_px * math.cos(direction), onto.y_px + away_px * math.sin(direction)])
    # Wholly inside the picture: what the edge would cut off would be hidden without being counted.
    x_px, y_px = place_px.clip(shape.reach_px, SIDE_PX - shape.reach_px).tolist()
    return replace(shape, x_px=x_px, y_px=y_px)


def _draw_bar(rng: np.random.Generator, over: _Shape) -> _Shape:
    """Draws a bar that crosses the shape `over`; much longer than wide, or it would pass for a square."""
    angle, aside_px = rng.uniform(0, math.pi), rng.uniform(-0.7, 0.7) * over.radius_px
    half_width_px = rng.uniform(0.15, 0.3) * over.radius_px
    stretch = math.sqrt(rng.uniform(5, 8))
    return _Shape(
        "bar",
        over.x_px - aside_px * math.sin(angle),
        over.y_px + aside_px * math.cos(angle),
        half_width_px * stretch,
        stretch,
        angle,
    )


def _cover(shape: _Shape) -> _Cover:
    """Finds the pixels of a figure. Their middles lie at half numbers."""
    columns, rows = (
        slice(max(0, math.floor(middle - shape.reach_px) - 1), min(SIDE_PX, math.ceil(middle + shape.reach_px) + 1))
        for middle in (shape.x_px, shape.y_px)
    )
    x: FloatArray = np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5 - shape.x_px)
    y: FloatArray = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] + np.float32(0.5 - shape.y_px)
    cosine, sine = np.float32(math.cos(shape.angle)), np.float32(math.sin(shape.angle))
    along: FloatArray = (x * cosine + y * sine) * np.float32(1 / shape.stretch)
    across: FloatArray = (y * cosine - x * sine) * np.float32(shape.stretch)
    return _Cover((rows, columns), _depth(shape, along, across))


def _depth(shape: _Shape, along: FloatArray, across: FloatArray) -> FloatArray:
    """How far inside a figure points lie, given in its own axes."""
    radius = np.float32(shape.radius_px)
    if shape.kind == "bar":
        return radius - np.maximum(np.abs(along), np.abs(across))
    out = np.hypot(along, across)
    if shape.kind == "circle":
        return radius - out
    # A shape of n corners is 2n equal wedges: folded into one of them, its outline is a single straight line, from the
    # corner at (radius, 0) to the point midway between two corners.
    corners, midway = _SIDES[shape.kind]
    half_wedge = math.pi / corners
    turn = np.abs(np.mod(np.arctan2(across, along) + half_wedge, 2 * half_wedge) - half_wedge)
    middle_x, middle_y = midway * math.cos(half_wedge), midway * math.sin(half_wedge)
    length = math.hypot(1 - middle_x, middle_y)
    normal_x, normal_y = np.float32(middle_y / length), np.float32((1 - middle_x) / length)
    return (normal_x * radius - normal_x * out * np.cos(turn) - normal_y * out * np.sin(turn)).astype(np.float32)


def _paint_for(kind: str, cover: _Cover, under: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Colours an object: plain or shaded, with or without an outline, never nearly the colour of what is under it."""
    ground = under[cover.inside].mean(axis=0)
    colour = _contrasting(_fills(kind, rng), ground)
    height, width = cover.depth_px.shape
    shading = np.zeros((height, width, 1), np.float32)
    if rng.random() < 0.4:
        direction, strength = rng.uniform(0, 2 * math.pi), rng.uniform(20, 45)
        x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
        shading = (strength * (x * math.cos(direction) + y * math.sin(direction)))[..., None].astype(np.float32)
    painted = colour + shading
    if rng.random() < 0.5:
        line_px = rng.uniform(0.08, 0.18) * cover.depth_px.max() + 1
        painted = np.where(cover.depth_px[..., None] < line_px, _contrasting(_any_colours(rng), ground), painted)
    return painted.astype(np.float32)


def _fills(kind: str, rng: np.random.Generator) -> FloatArray:
    """Draws 16 candidate fills of a class, RGB from 0 to 255: its hue, more or less, from pale to dark."""
    hues = (_HUES[kind] + rng.uniform(-_HUE_SPREAD, _HUE_SPREAD, 16)) % 1
    saturations, values = rng.uniform(0.45, 1, 16), rng.uniform(0.35, 1, 16)
    colours = [
        colorsys.hsv_to_rgb(*hsv) for hsv in zip(hues.tolist(), saturations.tolist(), values.tolist(), strict=True)
    ]
    return np.array(colours, np.float32) * 255


def _any_colours(rng: np.random.Generator) -> FloatArray:
    return rng.uniform(0, 255, (16, 3)).astype(np.float32)


def _contrasting(candidates: FloatArray, ground: FloatArray) -> FloatArray:
    """The first candidate that is far enough from the ground; the farthest where none is."""
    distances = np.linalg.norm(candidates - ground, axis=1)
    far_enough = distances > _LEAST_CONTRAST
    chosen = np.argmax(far_enough) if far_enough.any() else np.argmax(distances)
    return np.asarray(candidates[int(chosen)])


def _texture(rng: np.random.Generator) -> FloatArray:
    """Draws a ground of (320, 320, 3): a gradient, and on it noise, stripes, blobs or nothing more."""
    ends = rng.uniform(30, 225, (2, 3)).astype(np.float32)
    direction = rng.uniform(0, 2 * math.pi)
    steps = np.linspace(-0.5, 0.5, SIDE_PX, dtype=np.float32)
    slope = (steps * math.cos(direction) + steps[:, None] * math.sin(direction)).astype(np.float32)
    ground: FloatArray = ends.mean(axis=0) + slope[..., None] * (ends[1] - ends[0]) * np.float32(rng.uniform(0.2, 0.9))
    pattern = (_plain, _cloud, _stripes, _blobs)[int(rng.integers(4))](rng)
    tint = rng.uniform(-45, 45, 3).astype(np.float32)
    return np.asarray(ground + pattern[..., None] * tint + _cloud(rng)[..., None] * np.float32(8), np.float32)


def _plain(_rng: np.random.Generator) -> FloatArray:
    return np.zeros((SIDE_PX, SIDE_PX), np.float32)


def _cloud(rng: np.random.Generator) -> FloatArray:
    """Smooth noise, from large clouds to fine grain."""
    cells = int(rng.integers(4, 100))
    coarse = rng.standard_normal((cells, cells), np.float32)
    return np.asarray(cv2.resize(coarse, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC), np.float32)


def _stripes(rng: np.random.Generator) -> FloatArray:
    direction, waves = rng.uniform(0, math.pi), rng.uniform(4, 30)
    steps = np.linspace(0, 2 * math.pi * waves, SIDE_PX, dtype=np.float32)
    phase = steps * math.cos(direction) + steps[:, None] * math.sin(direction)
    return np.asarray(np.sin(phase), np.float32)


def _blobs(rng: np.random.Generator) -> FloatArray:
    """Patches with soft edges."""
    cells = int(rng.integers(6, 24))
    coarse = rng.standard_normal((cells, cells), np.float32)
    smooth = np.asarray(cv2.resize(coarse, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC), np.float32)
    return np.asarray(np.tanh(3 * smooth), np.float32)


def _extent_xyxy_px(visible: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
