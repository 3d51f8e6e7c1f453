"""What was found in overlapping tiles becomes what is in the picture, each object once and whole. By which rule?

1. A box that ends at a border inside the picture may be a piece of an object. Two pieces at facing borders are joined
   where they agree in the strip that both tiles show: the object is larger than the strip, and whole in neither.
2. Of what two tiles show whole, one stays: boxes of a class that overlap by more than half, the surer first. A tile's
   own suppression has judged the boxes of one tile; between two tiles they are two measurements of one object, and
   those of a small one overlap by less than `iou`, which is for one look.
3. A piece stays only where nothing whole covers more than half of it, of whatever class: an object that isn't larger
   than the overlap is whole in another tile, and half an object is easily taken for another class.
4. Objects larger than the overlap are also looked for in the whole picture; a tile's own boxes come before these,
   which are measured less finely.

Boxes are float32 xyxy in px of the picture. It must not know pixels or models.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from peakmark.deploy.tiled.layout import Grid
from peakmark.nouns.images import Detections, FloatArray, IntArray

_SAME = 0.5
"""IoU of two tiles' boxes above which they are one object."""
_COVERED = 0.5
"""Share of a piece above which it belongs to what covers it."""
_SEEN_ALIKE_PX = 2.0
"""Of what the detector sees: boxes of two tiles whose sides all differ by less are one, however small."""

_Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Found:
    """Boxes with where they come from."""

    boxes: FloatArray
    """(N, 4)"""
    scores: FloatArray
    classes: IntArray
    look: IntArray
    """(N,) the tile; -1 for joined pieces, -2 for the whole picture"""
    cut: _Flags
    """(N, 4) whether each side ends at a border that lies inside the picture"""

    def of(self, chosen: IntArray | _Flags) -> _Found:
        return _Found(
            self.boxes[chosen], self.scores[chosen], self.classes[chosen], self.look[chosen], self.cut[chosen]
        )

    def and_(self, other: _Found) -> _Found:
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__slots__)
        return _Found(*(np.concatenate(pair) for pair in pairs))


_JOINED, _WHOLE = -1, -2


def merge(
    grid: Grid,
    of_tiles: Sequence[Detections],
    of_whole: Detections,
    *,
    edge_px: float,
    whole_px: float,
    seen_px: tuple[float, float],
    agnostic: bool,
) -> Detections:
    """Gives what is in the picture, surest first, from what each tile of it shows and what the whole picture shows.

    `edge_px`, `whole_px`: see `Tiling`; `seen_px`: how many px of the picture are one of what a detector sees in a
    tile, and in the whole picture; `agnostic`: whether boxes of two classes can be one object. Deterministic.
    """
    pieces_and_wholes = _joined(_marked(grid, of_tiles, edge_px), grid, edge_px, agnostic)
    sides = of_whole.boxes_xyxy_px[:, 2:] - of_whole.boxes_xyxy_px[:, :2]
    large = sides.max(axis=1, initial=0) > whole_px
    found = pieces_and_wholes.and_(_uncut(of_whole, large))
    drops = _drops(found, grid, seen_px, agnostic)
    rank = np.where(found.cut.any(axis=1), 2, np.where(found.look == _WHOLE, 1, 0))
    dropped = np.zeros(len(found.scores), dtype=bool)
    for number in np.lexsort((np.arange(len(rank)), -found.scores, rank)).tolist():
        if not dropped[number]:
            # Nothing that came before is marked: it was compared when it was kept.
            dropped[drops[number]] = True
    kept = np.flatnonzero(~dropped)
    kept = kept[np.argsort(-found.scores[kept], kind="stable")]
    return Detections(found.boxes[kept], found.scores[kept], found.classes[kept])


def _marked(grid: Grid, of_tiles: Sequence[Detections], edge_px: float) -> _Found:
    """All tiles' boxes, and which of their sides lie at a border inside the picture."""
    cut = []
    for tile, found in zip(grid.tiles_xyxy_px, of_tiles, strict=True):
        left, top, right, bottom = tile
        is_inside = np.array([left > 0, top > 0, right < grid.width_px, bottom < grid.height_px])
        to_border = np.abs(found.boxes_xyxy_px - np.array(tile, np.float32))
        cut.append((to_border <= edge_px) & is_inside)
    return _Found(
        np.concatenate([found.boxes_xyxy_px for found in of_tiles]),
        np.concatenate([found.scores for found in of_tiles]),
        np.concatenate([found.classes for found in of_tiles]),
        np.concatenate([np.full(len(found), tile, np.int64) for tile, found in enumerate(of_tiles)]),
        np.concatenate(cut),
    )


def _uncut(found: Detections, chosen: _Flags) -> _Found:
    count = int(chosen.sum())
    look, cut = np.full(count, _WHOLE, np.int64), np.zeros((count, 4), bool)
    return _Found(found.boxes_xyxy_px[chosen], found.scores[chosen], found.classes[chosen], look, cut)


# --- pieces of one object ---------------------------------------------------------------------------------------------


def _joined(found: _Found, grid: Grid, edge_px: float, agnostic: bool) -> _Found:
    """The same, with the pieces of an object in the place of which its whole box stands."""
    parent = list(range(len(found.scores)))

    def root(number: int) -> int:
        while parent[number] != number:
            number = parent[number]
        return number

    for first, second in _facing(found, grid, agnostic):
        # The lower number is the root, so that the order of the joined boxes follows from the tiles alone.
        low, high = sorted((root(first), root(second)))
        parent[high] = low
    groups: dict[int, list[int]] = {}
    for number in range(len(parent)):
        groups.setdefault(root(number), []).append(number)
    of_several = [group for group in groups.values() if len(group) > 1]
    if not of_several:
        return found
    alone = np.array([group[0] for group in groups.values() if len(group) == 1], np.int64)
    parts = [_one_of(found.of(np.array(group, np.int64)), edge_px) for group in of_several]
    joined = found.of(alone)
    for part in parts:
        joined = joined.and_(part)
    return joined


def _one_of(pieces: _Found, edge_px: float) -> _Found:
    """The box around pieces, with the mean of their scores and the class of the surest."""
    around = np.concatenate((pieces.boxes[:, :2].min(axis=0), pieces.boxes[:, 2:].max(axis=0)))
    # A side is cut where every piece that reaches it is: what one tile cuts there, the next one may show to its end.
    reaches = np.abs(pieces.boxes - around) <= edge_px
    cut = (pieces.cut | ~reaches).all(axis=0)
    surest = pieces.classes[[int(pieces.scores.argmax())]]
    score = np.array([pieces.scores.mean()], np.float32)
    return _Found(around[None].astype(np.float32), score, surest, np.array([_JOINED]), cut[None])


def _facing(found: _Found, grid: Grid, agnostic: bool) -> Iterator[tuple[int, int]]:
    """Pairs of pieces at facing borders of neighbours that agree in the strip that both show, each at most once."""
    tiles = np.array(grid.tiles_xyxy_px, np.float32)
    for first, second, axis in grid.neighbours():
        before = np.flatnonzero((found.look == first) & found.cut[:, 2 + axis])
        after = np.flatnonzero((found.look == second) & found.cut[:, axis])
        if not len(before) or not len(after):
            continue
        strip = np.concatenate(
            (np.maximum(tiles[first], tiles[second])[:2], np.minimum(tiles[first], tiles[second])[2:])
        )
        iou, _, _ = _overlaps(_clipped(found.boxes[before], strip), _clipped(found.boxes[after], strip))
        if not agnostic:
            iou = np.where(found.classes[before][:, None] == found.classes[after], iou, 0)
        free = np.ones(iou.shape, bool)
        while (best := np.where(free, iou, 0)).max() > _SAME:
            row, column = np.unravel_index(int(best.argmax()), best.shape)
            free[row], free[:, column] = False, False
            yield int(before[row]), int(after[column])


def _clipped(boxes: FloatArray, to: FloatArray) -> FloatArray:
    return np.concatenate((np.maximum(boxes[:, :2], to[:2]), np.minimum(boxes[:, 2:], to[2:])), axis=1)


# --- what stands for the same object ----------------------------------------------------------------------------------


def _drops(found: _Found, grid: Grid, seen_px: tuple[float, float], agnostic: bool) -> list[list[int]]:
    """For each box those that fall where it stays."""
    drops: list[list[int]] = [[] for _ in range(len(found.scores))]
    is_piece: _Flags = np.asarray(found.cut.any(axis=1))
    for first, second in _compared(found, grid):
        one, other = found.boxes[first], found.boxes[second]
        alike_px = np.float32(_SEEN_ALIKE_PX * seen_px[_WHOLE in (found.look[first[0]], found.look[second[0]])])
        iou, _, _ = _overlaps(one, other)
        # Of a piece of a few px all may lie beside the whole by what a detector errs.
        _, _, of_second = _overlaps(_grown(one, alike_px), other)
        _, of_first, _ = _overlaps(one, _grown(other, alike_px))
        same: _Flags = (iou > _SAME) | (np.abs(one[:, None] - other).max(axis=2) <= alike_px)
        if not agnostic:
            same = same & (found.classes[first][:, None] == found.classes[second])
        for row, column in np.argwhere(same | ((of_second > _COVERED) & is_piece[second])).tolist():
            drops[first[row]].append(int(second[column]))
        for row, column in np.argwhere(same | ((of_first > _COVERED) & is_piece[first][:, None])).tolist():
            drops[second[column]].append(int(first[row]))
    return drops


def _grown(boxes: FloatArray, by_px: np.float32) -> FloatArray:
    return boxes + by_px * np.array([-1, -1, 1, 1], np.float32)


def _compared(found: _Found, grid: Grid) -> Iterator[tuple[IntArray, IntArray]]:
    """Which boxes are compared: those of two tiles that have something in common, and what is of no tile with all.

    By pairs of tiles: all boxes with all would be more than memory holds where there are thousands.
    """
    by_look = {look: np.flatnonzero(found.look == look) for look in np.unique(found.look).tolist()}
    tiles = grid.tiles_xyxy_px
    for first, second in combinations(by_look, 2):
        if first < 0 or _meet(tiles[first], tiles[second]):
            yield by_look[first], by_look[second]
    joined = by_look.get(_JOINED, np.zeros(0, np.int64))
    for place in range(len(joined) - 1):
        yield joined[place : place + 1], joined[place + 1 :]


def _meet(tile: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    left, top, right, bottom = tile
    return left < other[2] and other[0] < right and top < other[3] and other[1] < bottom


def _overlaps(boxes: FloatArray, others: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """IoU (N, M), and the share of each of the first and of the second that lies in the other."""
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    common = np.prod((high - low).clip(min=0), axis=2)
    area, other_area = (np.prod((each[:, 2:] - each[:, :2]).clip(min=0), axis=1) for each in (boxes, others))
    least = np.float32(1e-7)
    iou = common / np.maximum(area[:, None] + other_area - common, least)
    return iou, common / np.maximum(area[:, None], least), common / np.maximum(other_area, least)
