"""Is there enough data to learn from, and to measure with? Objects per class, and how sure an mAP can be at all.

It must not know what is in the images.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from peakmark.data.audit.findings import Example, Finding, Severity, counted, finding
from peakmark.data.source.indexed_split import Index
from peakmark.nouns.images import IntArray

FEW_TRUTHS = 10
"""Below this an AP is a matter of single objects."""

_AP_SPREAD = 0.25
"""Standard error of a class's AP50-95, times the root of the images that show the class. Drawing the images of BCCD's
validation set again gives 0.19 to 0.22; objects of one image are no independent witnesses, so images count."""

_UNSURE = 0.02
_VERY_UNSURE = 0.05
"""Standard error of mAP50-95. Trainers hunt gains of 0.01 and less."""


def check_size(
    splits: Mapping[str, Index], names: Sequence[str], classes: Sequence[int] | None = None
) -> list[Finding]:
    """Finds classes with too few objects, and a validation set that can't tell epochs apart.

    `classes`: numbers of those that are looked at; None for all.
    """
    looked_at = np.isin(np.arange(len(names)), np.arange(len(names)) if classes is None else classes)
    counts = {split: np.bincount(index.classes, minlength=len(names)) for split, index in splits.items()}
    found: list[Finding] = []
    for split in counts:
        found += _few_truths(split, counts, names, looked_at)
    if "val" in splits and (error := expected_standard_error(splits["val"], len(names))) is not None:
        found += _unsure(error, splits["val"])
    return found


def expected_standard_error(index: Index, classes: int) -> float | None:
    """Estimates the standard error that mAP50-95 will have on a set, before there is a model; None without truths."""
    images_C = _images_per_class(index, classes)
    images_C = images_C[images_C > 0]
    if len(images_C) == 0:
        return None
    return _AP_SPREAD * math.sqrt(float((1 / images_C).sum())) / len(images_C)


def _images_per_class(index: Index, classes: int) -> IntArray:
    image_of_truth = np.repeat(np.arange(len(index)), np.diff(index.offsets))
    pairs = np.unique(image_of_truth * classes + index.classes)
    return np.bincount(pairs % classes, minlength=classes)


def _few_truths(
    split: str, counts: Mapping[str, NDArray[np.intp]], names: Sequence[str], looked_at: NDArray[np.bool_]
) -> Iterator[Finding]:
    if split == "test":
        return
    mine = counts[split]
    if not mine.any():
        yield finding(
            "no objects",
            "high",
            f"{split}: not a single object is labelled; no training starts with it.",
            "Put the label files where the last `images` of the images' path reads `labels`, or beside the images.",
            (),
            1,
        )
        return
    elsewhere = np.sum([of for other, of in counts.items() if other != split], axis=0) + np.zeros_like(mine)
    absent, unused = (mine == 0) & (elsewhere > 0), looked_at & (mine == 0) & (elsewhere == 0)
    few = (mine > 0) & (mine < FEW_TRUTHS)
    consequence = {
        "train": "The model can't learn what it never sees.",
        "val": "mAP is taken over the other classes only and says nothing about these.",
    }[split]
    if absent.any():
        yield finding(
            "class absent",
            "high",
            f"{split}: {_named(absent, names)} without a single object here, but not in the other splits."
            f" {consequence}",
            f"Put images that show them into {split}.",
            (Example(f"{names[c]}: 0 in {split}, {elsewhere[c]:,} elsewhere") for c in np.flatnonzero(absent).tolist()),
        )
    if unused.any() and split == "train":
        yield finding(
            "class unused",
            "low",
            f"{_named(unused, names)} named in the data.yaml but without an object in any split.",
            "Take them out of names, or look whether their labels are missing.",
            (Example(names[c]) for c in np.flatnonzero(unused).tolist()),
        )
    if few.any():
        yield finding(
            "few objects",
            "medium",
            f"{split}: {_named(few, names)} with under {FEW_TRUTHS} objects.",
            f"Label more of them for {split}, or don't trust the AP of these classes.",
            (Example(f"{names[c]}: {counted(int(mine[c]), 'object')}") for c in np.flatnonzero(few).tolist()),
        )


def _unsure(error: float, index: Index) -> Iterator[Finding]:
    if error < _UNSURE:
        return
    severity: Severity = "high" if error >= _VERY_UNSURE else "medium"
    needed = math.ceil(len(index) * (error / _UNSURE) ** 2 / 10) * 10
    yield finding(
        "small validation set",
        severity,
        f"val: with {counted(len(index), 'image')} mAP50-95 will have a standard error of about {error:.3f};"
        f" differences under {2 * error:.2f} are mostly luck.",
        f"Validate on about {needed:,} images of the same kind to bring it to {_UNSURE}, or read the intervals instead"
        " of the best number.",
        (),
        1,
    )


def _named(which: NDArray[np.bool_], names: Sequence[str]) -> str:
    numbers = np.flatnonzero(which)
    shown = ", ".join(names[c] for c in numbers[:5]) + (", ..." if len(numbers) > 5 else "")
    return f"{counted(len(numbers), 'class', 'classes')} ({shown})"
