"""What is a data set between two formats? Images with named boxes in pixels, and an account of what was not taken.

Every object that a reader meets is either in the set or in the account, with its file and place: what goes missing in
silence can't be told from what was never there. Formats and files on the disk are none of this file's business.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from peakmark.shown import as_shown

SPLITS = ("train", "val", "test")
ALSO_CALLED = {"valid": "val", "validation": "val", "eval": "val", "training": "train", "testing": "test"}
_LONGEST_SHOWN = 120
_ROUNDING_PX = 0.01
"""Up to here a box over the edge was rounded there by who wrote it, and is cut without a word."""
_LEAST_SHARE = 2e-7
"""Of the image's side: what is smaller is no side to a training, which refuses such a label line."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Annotation:
    """One object of an image."""

    name: str
    """Of its class."""
    box_xyxy_px: Box
    """Edges in px, from 0 at the left and top edge of the image; inside it."""
    difficult: bool = False
    """PASCAL VOC's mark for an object that a model need not find."""
    crowd: bool = False
    """COCO's mark for a box around many objects that were not told apart."""


@dataclass(slots=True)
class AnnotatedImage:
    """One image of a set and its objects."""

    name: str
    """Its file name, with folders inside the split where there are some, written with slashes."""
    split: str
    width_px: int
    height_px: int
    path: Path | None
    """The file; None where the pixels come from `embedded`."""
    objects: list[Annotation] = field(default_factory=list)
    embedded: Callable[[], bytes] | None = None
    """Gives the image file's content where it lies inside an annotation."""


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Something that was left out, or taken otherwise than it was written."""

    kind: str
    """The same words for all of a kind, to be counted by."""
    where: str
    """File and place in it."""
    text: str
    """What exactly, and what to do."""
    objects: int = 1
    """How many objects were left out with it; 0 where they were taken."""
    images: int = 0


@dataclass(slots=True)
class Account:
    """What a conversion met, and what it did not take as it was."""

    images: Counter[str] = field(default_factory=Counter)
    """Met, by split."""
    objects: Counter[str] = field(default_factory=Counter)
    dropped: list[NotTaken] = field(default_factory=list)
    changed: list[NotTaken] = field(default_factory=list)
    """Taken, but not as it was written."""
    notes: list[str] = field(default_factory=list)
    """How the source was understood, and what the target can't say; a sentence each."""
    lost: Counter[str] = field(default_factory=Counter)
    """Kinds of things that no converted set holds (outlines, poses), and how many were met."""

    def drop(self, kind: str, where: str, text: str, *, objects: int = 1, images: int = 0) -> None:
        self.dropped.append(NotTaken(kind, where, text, objects, images))

    def change(self, kind: str, where: str, text: str) -> None:
        self.changed.append(NotTaken(kind, where, text, objects=0))

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)


@dataclass(slots=True)
class AnnotatedSet:
    """A whole data set, read."""

    names: tuple[str, ...]
    """The classes, in the order of their numbers; no two are equal."""
    images: list[AnnotatedImage]
    account: Account
    category_ids: Mapping[str, int] = field(default_factory=dict)
    """The numbers that a COCO file gave its classes, which may have holes; empty for other sources."""

    @property
    def splits(self) -> tuple[str, ...]:
        present = {image.split for image in self.images}
        return tuple(split for split in SPLITS if split in present)

    def counts(self) -> dict[str, tuple[int, int]]:
        """Gives images and objects of each split."""
        images: Counter[str] = Counter()
        objects: Counter[str] = Counter()
        for image in self.images:
            images[image.split] += 1
            objects[image.split] += len(image.objects)
        return {split: (images[split], objects[split]) for split in self.splits}


class Gathering:
    """Takes annotations one by one into images; what can't be taken goes into the account, with its reason."""

    def __init__(
        self, account: Account, names: Sequence[str] | None, *, keep_difficult: bool = True, keep_crowds: bool = True
    ) -> None:
        self._account = account
        self._known = None if names is None else frozenset(names)
        self._keep_difficult, self._keep_crowds = keep_difficult, keep_crowds

    def take(
        self,
        image: AnnotatedImage,
        name: object,
        box_xyxy_px: Iterable[object],
        where: str,
        *,
        difficult: bool = False,
        crowd: bool = False,
    ) -> None:
        """Adds an object to an image, its box cut at the edges, or says why not. Whatever was written may come here."""
        self._account.objects[image.split] += 1
        drop = self._account.drop
        if not isinstance(name, str) or not name.strip():
            return drop("no class", where, f"the class is {shown(name)}, which is no name")
        name = name.strip()
        if self._known is not None and name not in self._known:
            return drop("unknown class", where, f"{shown(name)} is none of the classes")
        if difficult and not self._keep_difficult:
            return drop("difficult object", where, f"{shown(name)} is marked difficult, and difficult=drop")
        if crowd and not self._keep_crowds:
            return drop("crowd", where, f"a crowd of {shown(name)}: a box around many, which the target can't say")
        values = [as_number(value) for value in box_xyxy_px]
        if len(values) != 4 or not all(map(math.isfinite, values)):
            return drop("box that is no box", where, f"its box is {shown([*box_xyxy_px])}; it must be four numbers")
        box = (values[0], values[1], values[2], values[3])
        if not _has_extent(box, image):
            size = f"{box[2] - box[0]:g} x {box[3] - box[1]:g} px"
            return drop("degenerate box", where, f"{shown(name)} at {_edges(box)} has no extent ({size})")
        cut = _cut(box, image)
        if not _has_extent(cut, image):
            size = f"{image.width_px} x {image.height_px} px"
            return drop("box outside the image", where, f"{shown(name)} at {_edges(box)} is outside of {size}")
        if max(abs(one - other) for one, other in zip(box, cut, strict=True)) > _ROUNDING_PX:
            text = f"{shown(name)} at {_edges(box)} was cut to {_edges(cut)}"
            self._account.change("box over the edge", where, text)
        image.objects.append(Annotation(name, cut, difficult, crowd))
        return None


def as_number(value: object) -> float:
    """Gives a number that somebody wrote, as a number or as text; NaN where it is none. A truth value is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def split_called(word: str) -> str | None:
    """Gives the split that a folder's or a list's name stands for: train, val, test, train2017, valid; else None."""
    plain = word.lower().strip("-_0123456789. ")
    plain = ALSO_CALLED.get(plain, plain)
    return plain if plain in SPLITS else None


def shown(value: object) -> str:
    """Gives something that a stranger wrote, short, as a person may see it."""
    text = as_shown(value if isinstance(value, str) else repr(value))
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _has_extent(box: Box, image: AnnotatedImage) -> bool:
    return box[2] - box[0] > _LEAST_SHARE * image.width_px and box[3] - box[1] > _LEAST_SHARE * image.height_px


def _cut(box: Box, image: AnnotatedImage) -> Box:
    left, top, right, bottom = box
    width, height = float(image.width_px), float(image.height_px)
    return max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height)


def _edges(box: Box) -> str:
    return "(" + ", ".join(f"{edge:g}" for edge in box) + ")"
