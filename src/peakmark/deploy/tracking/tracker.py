"""Which object of the frames before is each detection of this frame? ByteTrack (Zhang et al., arXiv 2110.06864).

Each frame, the objects are moved on and matched with what is found, in two rounds: sure detections first, by overlap
and score, with all objects, those lost a while ago too; then the weak ones, by overlap, with the objects of the frame
before that are still unmatched. A weak detection is often an object that is half hidden; it keeps an id, and never
begins one. What is unmatched is lost, and after `track_buffer` frames forgotten. What is sure and new gets an id once
the next frame shows it as well; in a first frame at once.

Classes play no part: an object whose class is mistaken in a frame keeps its id. Deterministic. Must not know pictures.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from peakmark.deploy.tracking.motion import Floats, Motion
from peakmark.errors import MachineError, how_to_install
from peakmark.nouns.images import Detections, IntArray

_LEAST_IOU_OF_WEAK = 0.5
_LEAST_IOU_OF_NEW = 0.3
"""Of what was seen once, to be confirmed. Not weighed by the score: what begins an object at 0.25 must be able to."""

_NONE = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class TrackRules:
    """What is matched with what."""

    high: float = 0.25
    """Score from which a detection is sure."""
    new: float = 0.25
    """Score from which a sure one begins an object."""
    buffer: int = 30
    """Frames that a lost object is remembered."""
    match: float = 0.8
    """Cost, 1 less overlap times score, above which a sure detection is another object."""


class Tracker:
    """Follows objects through the frames of one video."""

    def __init__(self, rules: TrackRules) -> None:
        """Raises `MachineError` where scipy, which matches, is not installed."""
        self._rules = rules
        self._assign = _assignment()
        self._motion = Motion.of(np.zeros((0, 4)))
        self._ids = _NONE
        """Of each track; 0 for one that was seen once and has to be confirmed."""
        self._seen_at = _NONE
        """The frame that showed it last."""
        self._frame = 0
        self._given = 0

    @property
    def rules(self) -> TrackRules:
        return self._rules

    def follow(self, found: Detections) -> tuple[IntArray, IntArray]:
        """Gives which of a frame's detections are followed objects, and the id of each, in the order of `found`."""
        rules, boxes, scores = self._rules, found.boxes_xyxy_px, found.scores
        self._frame += 1
        was_lost = self._seen_at < self._frame - 1
        self._motion = self._motion.of_one_size(was_lost).after_a_frame()
        numbers = np.arange(len(scores))
        sure, weak = numbers[scores >= rules.high], numbers[scores < rules.high]

        known = np.flatnonzero(self._ids > 0)
        pairs = self._matched(known, sure, boxes, scores, 1 - rules.match)
        left = np.setdiff1d(known[~was_lost[known]], pairs[:, 0])
        pairs = np.concatenate((pairs, self._matched(left, weak, boxes, None, _LEAST_IOU_OF_WEAK)))
        rest = np.setdiff1d(sure, pairs[:, 1])
        once = np.flatnonzero(self._ids == 0)
        confirmed = self._matched(once, rest, boxes, None, _LEAST_IOU_OF_NEW)
        pairs = np.concatenate((pairs, confirmed))
        self._see(pairs, boxes)
        ids = self._ids[pairs[:, 0]]
        self._forget()
        rest = np.setdiff1d(rest, confirmed[:, 1])
        begun = rest[scores[rest] >= rules.new]
        if self._frame == 1:
            first_ids = self._new_ids(len(begun))
            self._begin(boxes[begun], first_ids)
            return begun, first_ids
        self._begin(boxes[begun], np.zeros(len(begun), np.int64))
        order = np.argsort(pairs[:, 1])
        return pairs[order, 1], ids[order]

    def _matched(
        self, tracks: IntArray, detections: IntArray, boxes: Floats, scores: Floats | None, least: float
    ) -> IntArray:
        """(M, 2) a track and its detection, by the most likeness in all; none below `least`."""
        if not len(tracks) or not len(detections):
            return np.zeros((0, 2), np.int64)
        likeness = _iou(self._motion.boxes_xyxy_px[tracks], boxes[detections])
        if scores is not None:
            likeness = likeness * scores[detections]
        # What may not be matched costs as much as staying alone: it must not drag others into worse pairs.
        rows, columns = self._assign(np.where(likeness >= least, 1 - likeness, 1 - least))
        chosen = likeness[rows, columns] >= least
        return np.stack((tracks[rows[chosen]], detections[columns[chosen]]), axis=1)

    def _see(self, pairs: IntArray, boxes: Floats) -> None:
        """Takes over where the matched tracks are, and gives those their ids that were seen once before."""
        order = np.argsort(pairs[:, 0])
        tracks, numbers = pairs[order, 0], pairs[order, 1]
        is_matched = np.zeros(len(self._ids), bool)
        is_matched[tracks] = True
        fresh = pairs[:, 0][self._ids[pairs[:, 0]] == 0]
        self._ids[fresh] = self._new_ids(len(fresh))
        seen = self._motion.of_rows(tracks).seen(boxes[numbers])
        unseen = self._motion.of_rows(~is_matched)
        place = np.argsort(np.concatenate((tracks, np.flatnonzero(~is_matched))))
        self._motion = seen.and_(unseen).of_rows(place)
        self._seen_at[tracks] = self._frame

    def _forget(self) -> None:
        """Lets go what was lost too long ago, and what was seen once and not again."""
        lost_for = self._frame - self._seen_at
        stays = np.where(self._ids > 0, lost_for <= self._rules.buffer, lost_for == 0)
        self._motion, self._ids, self._seen_at = self._motion.of_rows(stays), self._ids[stays], self._seen_at[stays]

    def _begin(self, boxes: Floats, ids: IntArray) -> None:
        self._motion = self._motion.and_(Motion.of(boxes))
        self._ids = np.concatenate((self._ids, ids))
        self._seen_at = np.concatenate((self._seen_at, np.full(len(ids), self._frame, np.int64)))

    def _new_ids(self, count: int) -> IntArray:
        self._given += count
        return np.arange(self._given - count + 1, self._given + 1)


def _assignment() -> Any:
    try:
        return importlib.import_module("scipy.optimize").linear_sum_assignment
    except ImportError as error:
        raise MachineError(f"Tracking needs scipy, which matches boxes: {how_to_install('track')}.") from error


def _iou(boxes: Floats, others: Floats) -> Floats:
    low, high = np.maximum(boxes[:, None, :2], others[:, :2]), np.minimum(boxes[:, None, 2:], others[:, 2:])
    common = (high - low).clip(min=0).prod(axis=2)
    area, other_area = ((each[:, 2:] - each[:, :2]).prod(axis=1) for each in (boxes, others))
    return np.asarray(common / np.maximum(area[:, None] + other_area - common, 1e-7))
