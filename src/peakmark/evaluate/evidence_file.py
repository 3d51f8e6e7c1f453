"""How does evidence lie on the disk? One .npz file per set, small, that every NumPy reads and that runs nothing.

What follows from other columns is left out, and columns are turned so that they compress: 500,000 detections take some
2.4 MB, of which 1.7 MB are scores. Nothing is rounded. It must not know where a run keeps the file.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from peakmark.errors import DataError
from peakmark.evaluate.evidence import Evidence
from peakmark.evaluate.matching import place_in_group
from peakmark.evaluate.protocol import AREA_NAMES
from peakmark.nouns.evaluation import MAX_DETECTIONS

_VERSION: Final = 2
"""2 holds every detection, and how many of an image and class average precision looks at. Version 1 held the 100 best
of each, and all its numbers were made of these."""
_SAME: Final = 1e-9
"""By how much a number that is made again may differ: it may be summed in another order."""


def to_bytes(evidence: Evidence) -> bytes:
    """Gives the file of a set's evidence; `read` gives exactly the same evidence back."""
    file = io.BytesIO()
    truth_of_D = np.where(evidence.truth_of_D < 0, -1, evidence.truth_of_D - _first_truth_of_detection(evidence))
    np.savez_compressed(
        file,
        allow_pickle=False,
        version=np.array([_VERSION]),
        classes=np.array([evidence.classes]),
        detections_per_image=np.bincount(evidence.image_D, minlength=evidence.images).astype(np.int32),
        truths_per_image=np.bincount(evidence.image_G, minlength=evidence.images).astype(np.int32),
        # A byte of all numbers after the other: the upper ones hardly differ, the lower ones don't compress anyway.
        score_bytes=np.ascontiguousarray(evidence.scores_D, dtype="<f4").view(np.uint8).reshape(-1, 4).T,
        class_steps=np.diff(evidence.class_D, prepend=np.int32(0)),
        matched=evidence.matched_DA,
        ignored=evidence.ignored_DA,
        truth_in_image=truth_of_D.astype(np.int32),
        truth_class=evidence.class_G,
        crowd=evidence.crowd_G,
        truth_ignored=evidence.ignored_GA,
        cap=np.array([-1 if evidence.cap is None else evidence.cap]),
    )
    return file.getvalue()


def read(path: Path) -> Evidence | None:
    """Reads evidence from its file; None where there is none. Raises DataError where it can't be read or is damaged."""
    try:
        with np.load(path, allow_pickle=False) as columns:
            version = int(columns["version"][0])
            if 1 <= version <= _VERSION:
                return _evidence(columns, MAX_DETECTIONS if version == 1 else int(columns["cap"][0]))
            reason = f"it has format version {version}, and this Peakmark reads 1 to {_VERSION}"
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, IndexError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error) or "it is damaged"
    raise DataError(f"{path} can't be read as evidence ({reason}). Remove it, and its epoch is left out.")


def read_logged(
    path: Path, epoch: str, logged: Sequence[float], again: Callable[[Evidence], Sequence[float]], *, missing: str
) -> Evidence | str:
    """Reads the evidence of what was logged for `epoch`, or gives a sentence that says why it can't be used.

    `again` makes the numbers that were logged from it once more; `missing` is the sentence where there is no file.
    """
    try:
        evidence = read(path)
    except DataError as error:
        return str(error)
    if evidence is None:
        return missing
    if all(abs(number - was) <= _SAME for number, was in zip(again(evidence), logged, strict=True)):
        return evidence
    return f"{path} is not the evidence of what was logged for {epoch}."


def _evidence(columns: Mapping[str, Any], cap: int) -> Evidence:
    image_D, image_G = _image_of_row(columns["detections_per_image"]), _image_of_row(columns["truths_per_image"])
    class_D = np.cumsum(columns["class_steps"], dtype=np.int32)
    first_G = _first_truth(columns["truths_per_image"])
    truth_of_D = np.where(columns["truth_in_image"] < 0, -1, columns["truth_in_image"] + first_G[image_D])
    evidence = Evidence(
        images=len(columns["detections_per_image"]),
        classes=int(columns["classes"][0]),
        scores_D=np.ascontiguousarray(columns["score_bytes"].T).view("<f4").reshape(-1).astype(np.float32),
        image_D=image_D,
        class_D=class_D,
        rank_D=_rank(image_D, class_D),
        matched_DA=columns["matched"],
        ignored_DA=columns["ignored"],
        truth_of_D=truth_of_D.astype(np.int32),
        class_G=columns["truth_class"],
        image_G=image_G,
        crowd_G=columns["crowd"],
        ignored_GA=columns["truth_ignored"],
        cap=None if cap < 0 else cap,
    )
    _check(evidence)
    return evidence


def _check(evidence: Evidence) -> None:
    """Raises ValueError where the columns don't belong together."""
    detections, truths, areas = len(evidence.image_D), len(evidence.image_G), len(AREA_NAMES)
    shapes = {
        (detections,): (evidence.scores_D, evidence.class_D, evidence.truth_of_D),
        (detections, areas): (evidence.matched_DA, evidence.ignored_DA),
        (truths,): (evidence.class_G, evidence.crowd_G),
        (truths, areas): (evidence.ignored_GA,),
    }
    if any(column.shape != shape for shape, belonging in shapes.items() for column in belonging):
        raise ValueError("its columns are of different lengths")


def _rank(image_D: NDArray[np.int32], class_D: NDArray[np.int32]) -> NDArray[np.int32]:
    is_first_D = (np.diff(image_D, prepend=-1) != 0) | (np.diff(class_D, prepend=-1) != 0)
    return place_in_group(np.cumsum(is_first_D) - 1).astype(np.int32)


def _image_of_row(rows_per_image: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.repeat(np.arange(len(rows_per_image), dtype=np.int32), rows_per_image)


def _first_truth(truths_per_image: NDArray[np.int32]) -> NDArray[np.int64]:
    return np.cumsum(truths_per_image, dtype=np.int64) - truths_per_image


def _first_truth_of_detection(evidence: Evidence) -> NDArray[np.int64]:
    per_image = np.bincount(evidence.image_G, minlength=evidence.images).astype(np.int32)
    return _first_truth(per_image)[evidence.image_D]
