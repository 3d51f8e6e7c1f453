"""Which images of a validated set are worth a look, and what went wrong in each? A choice of them, as small JPEGs.

However large the set is, the gallery holds at most `MOST_IMAGES` images. It must not know how anything is shown.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from peakmark.data.images import decode
from peakmark.data.source.indexed_split import Index
from peakmark.drawing.boxes import fit_into
from peakmark.errors import DataError
from peakmark.evaluate.error_kinds import COSTS, KINDS, MISSED, ErrorKinds, find_error_kinds
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.tables import BoolArray, detection_table, truth_table
from peakmark.nouns.gallery import PLACES, Box, FoundObject, Gallery, GalleryImage
from peakmark.nouns.images import Detections, IntArray

MOST_IMAGES: Final = 120
_WITHOUT_MISTAKES: Final = 12
"""Of the images, where there are so many: what the model does well is worth a look, too."""
_SIDE_PX: Final = 400
_JPEG_QUALITY: Final = 72
_LEAST_SCORE: Final = 0.01
_FOUND_AT_LEAST: Final = 20
_FOUND_PER_TRUTH: Final = 3
"""Weaker detections than those that count are kept up to here, so that a lower confidence can be tried."""
_SCORE_DIGITS: Final = 3


def make_gallery(
    index: Index,
    found: Sequence[Detections],
    evidence: Evidence,
    confidence: float,
    *,
    epoch: int | None = None,
    most: int = MOST_IMAGES,
) -> Gallery:
    """Chooses the images and collects what is in them.

    `found`: what was found in each image of `index`, in px of the original; `evidence`: what its numbers were made of;
    `confidence`: from which a detection counts (NaN, in a set without truths, for all from 0.5 on); `epoch`: whose
    weights they are, 1-based, where that is known. Deterministic. An image whose file is gone meanwhile has an empty
    picture.
    """
    least = 0.5 if math.isnan(confidence) else confidence
    truths = [index.truths_px(number) for number in range(len(index))]
    errors = find_error_kinds(truth_table(truths), detection_table(found), evidence)
    counts = _counts_per_image(errors, evidence, least)
    chosen = _chosen(counts, evidence, least, most)
    mistakes_N = _sum_of(counts)
    rows = _RowsOfImages(evidence)
    return Gallery(
        epoch=epoch,
        split=index.split,
        images_in_set=len(index),
        images_with_mistakes=int((mistakes_N > 0).sum()),
        confidence=round(least, _SCORE_DIGITS),
        ap50=_number(errors.ap50),
        costs={name: _number(errors.costs[name]) for name in COSTS},
        counts={name: int(counts[name].sum()) for name in COSTS},
        images=[
            _image(index, number, errors, evidence, rows, counts, least)
            for number in sorted(chosen, key=lambda number: (-int(mistakes_N[number]), number))
        ],
    )


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _counts_per_image(errors: ErrorKinds, evidence: Evidence, least: float) -> dict[str, IntArray]:
    counts_D = errors.detections.scores_D >= least
    counts = {
        name: np.bincount(evidence.image_D[counts_D & (errors.kind_D == number)], minlength=evidence.images)
        for number, name in enumerate(KINDS)
        if name in COSTS
    }
    return {**counts, MISSED: np.bincount(evidence.image_G[errors.missed(least)], minlength=evidence.images)}


def _sum_of(counts: Mapping[str, IntArray]) -> IntArray:
    summed: IntArray = np.sum(list(counts.values()), axis=0)
    return summed


# --- choice ---------------------------------------------------------------------------------------------------------


def _chosen(counts: Mapping[str, IntArray], evidence: Evidence, least: float, most: int) -> Sequence[int]:
    """In turns the worst image of each kind of mistake and one of each pair of classes that are taken for another."""
    if evidence.images <= most:
        return range(evidence.images)
    right = np.flatnonzero(_sum_of(counts) == 0)
    shown_right = right[np.linspace(0, len(right) - 1, min(_WITHOUT_MISTAKES, len(right))).astype(int)].tolist()
    turns = [np.argsort(-count_N, kind="stable")[: int((count_N > 0).sum())].tolist() for count_N in counts.values()]
    turns.append(_images_of_confused_classes(evidence, least))
    in_turn = (number for round_of in itertools.zip_longest(*turns) for number in round_of if number is not None)
    worst = list(itertools.islice(_once(in_turn), most - len(shown_right)))
    # Of a model that makes next to no mistakes more of what is right is shown.
    rest = _once(itertools.chain(worst, shown_right, right.tolist()))
    return list(itertools.islice(rest, most))


def _images_of_confused_classes(evidence: Evidence, least: float) -> list[int]:
    """An image of each cell beside the diagonal of the confusion matrix; of the fullest cells first."""
    counts_D = (evidence.scores_D >= least) & (evidence.truth_of_D >= 0)
    found, true = evidence.class_D[counts_D], evidence.class_G[evidence.truth_of_D[counts_D]]
    image = evidence.image_D[counts_D][found != true]
    cells = (found.astype(np.int64) * evidence.classes + true)[found != true]
    _, first, size = np.unique(cells, return_index=True, return_counts=True)
    return [int(number) for number in image[first[np.argsort(-size, kind="stable")]]]


def _once(numbers: Iterator[int]) -> Iterator[int]:
    return iter(dict.fromkeys(numbers))


# --- one image ------------------------------------------------------------------------------------------------------


class _RowsOfImages:
    """Where the rows of each image begin and end in the evidence."""

    def __init__(self, evidence: Evidence) -> None:
        bounds = np.arange(evidence.images + 1)
        self._of_detections = np.searchsorted(evidence.image_D, bounds)
        self._of_truths = np.searchsorted(evidence.image_G, bounds)

    def detections(self, number: int) -> slice:
        return slice(*self._of_detections[number : number + 2].tolist())

    def truths(self, number: int) -> slice:
        return slice(*self._of_truths[number : number + 2].tolist())


def _image(
    index: Index,
    number: int,
    errors: ErrorKinds,
    evidence: Evidence,
    rows: _RowsOfImages,
    counts: Mapping[str, IntArray],
    least: float,
) -> GalleryImage:
    mine, true = rows.detections(number), rows.truths(number)
    scores = evidence.scores_D[mine]
    kept = mine.start + _kept(scores, true.stop - true.start, least)
    size = np.array([index.widths_px[number], index.heights_px[number]] * 2)
    boxes, truths = (
        _places(table.boxes_xywh_px[which], size) for table, which in ((errors.detections, kept), (errors.truths, true))
    )
    about, taken_for = (
        np.where(column[kept] < 0, -1, column[kept] - true.start) for column in (errors.truth_D, evidence.truth_of_D)
    )
    found = [
        FoundObject(
            box=box,
            class_number=int(evidence.class_D[row]),
            score=round(float(evidence.scores_D[row]), _SCORE_DIGITS),
            kind=KINDS[errors.kind_D[row]] if errors.kind_D[row] >= 0 else "",
            about=int(about[place]),
            taken_for=int(taken_for[place]),
        )
        for place, (row, box) in enumerate(zip(kept.tolist(), boxes, strict=True))
    ]
    return GalleryImage(
        file=index.files[number],
        width_px=int(index.widths_px[number]),
        height_px=int(index.heights_px[number]),
        jpeg=_small_jpeg(index, number),
        counts={name: int(of[number]) for name, of in counts.items() if of[number]},
        truths=truths,
        classes=evidence.class_G[true].tolist(),
        found=found,
        left_out=len(scores) - len(kept),
    )


def _kept(scores: NDArray[np.float32], truths: int, least: float) -> IntArray:
    """The places of the detections that are kept, highest score first."""
    order = np.argsort(-scores, kind="stable")
    most = max(_FOUND_AT_LEAST, _FOUND_PER_TRUTH * truths)
    weaker = (scores[order] >= min(_LEAST_SCORE, least)) & (np.arange(len(order)) < most)
    kept: IntArray = order[(scores[order] >= least) | weaker]
    return kept


def _places(boxes_xywh_px: NDArray[np.float64], size: NDArray[np.int64]) -> list[Box]:
    corners = boxes_xywh_px.copy()
    corners[:, 2:] += corners[:, :2]
    places: BoolArray | IntArray = np.clip(np.round(corners / size * PLACES), 0, PLACES).astype(np.int64)
    return [(left, top, right, bottom) for left, top, right, bottom in places.tolist()]


def _small_jpeg(index: Index, number: int) -> bytes:
    try:
        image = decode(index.path(number), index.max_image_pixels)
    except DataError:
        return b""
    small = fit_into(image, min(_SIDE_PX, max(image.shape[:2])))
    bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()
