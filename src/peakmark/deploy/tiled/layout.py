"""Where do the tiles of a large picture lie, and how large may an object be that is whole in one of them?

Only numbers live here; it must not know pixels or detections.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

_EDGE_SHARE = 1 / 64
_LEAST_EDGE_PX = 2.0


@dataclass(frozen=True, slots=True)
class Tiling:
    """How pictures are cut."""

    size_px: int
    """The sides of a tile, in px of the picture."""
    overlap: float
    """The least share of its size that a tile has in common with the next one, 0 to 0.5."""

    @property
    def edge_px(self) -> float:
        """A box that ends nearer than this to a tile's border may be cut by it: no detector is exact to the px."""
        return max(_LEAST_EDGE_PX, self.size_px * _EDGE_SHARE)

    @property
    def whole_px(self) -> float:
        """An object whose sides are no longer than this lies whole in some tile, and off its borders."""
        return max(0.0, round(self.size_px * self.overlap) - 2 * self.edge_px)

    def cuts(self, width_px: int, height_px: int) -> bool:
        """Whether a picture takes more than one tile."""
        return max(width_px, height_px) > self.size_px

    def grid(self, width_px: int, height_px: int) -> Grid:
        """Gives the tiles of a picture, all of one size and spread evenly: the overlap is never less than asked."""
        return Grid(width_px, height_px, self._spans(width_px), self._spans(height_px))

    def _spans(self, length_px: int) -> tuple[tuple[int, int], ...]:
        if length_px <= self.size_px:
            return ((0, length_px),)
        step_px = max(1, self.size_px - round(self.size_px * self.overlap))
        way_px = length_px - self.size_px
        steps = -(-way_px // step_px)
        return tuple((start, start + self.size_px) for start in (i * way_px // steps for i in range(steps + 1)))


@dataclass(frozen=True, slots=True)
class Grid:
    """The tiles of one picture, row by row: tile `row * len(columns) + column`."""

    width_px: int
    height_px: int
    columns: tuple[tuple[int, int], ...]
    """Left and right of each."""
    rows: tuple[tuple[int, int], ...]
    """Top and bottom of each."""

    @property
    def tiles_xyxy_px(self) -> list[tuple[int, int, int, int]]:
        """Left, top, right and bottom of each tile."""
        return [(left, top, right, bottom) for (top, bottom), (left, right) in product(self.rows, self.columns)]

    def neighbours(self) -> list[tuple[int, int, int]]:
        """Each tile with the next one in its row (axis 0) or column (axis 1)."""
        across = len(self.columns)
        numbers = [list(range(row * across, (row + 1) * across)) for row in range(len(self.rows))]
        beside = [(tile, other, 0) for row in numbers for tile, other in pairwise(row)]
        below = [
            (tile, other, 1) for upper, lower in pairwise(numbers) for tile, other in zip(upper, lower, strict=True)
        ]
        return beside + below
