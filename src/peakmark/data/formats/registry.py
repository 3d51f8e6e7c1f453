"""Which formats are there? Each with how it is read and written, and what it can say of an object beside its box."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from peakmark.data.formats import coco, labelme, voc, yolo
from peakmark.data.formats.annotated_set import AnnotatedSet
from peakmark.data.formats.wishes import Target, Wishes
from peakmark.errors import DataError


@dataclass(frozen=True, slots=True)
class Format:
    """A way to write a data set down."""

    title: str
    recognises: Callable[[Path], bool]
    read: Callable[[Path, Wishes], AnnotatedSet]
    write: Callable[[AnnotatedSet, Target], None]
    description: str
    """What describes the data set in a target: a file or a folder, as data= takes it; . for the target itself."""
    keeps_difficult: bool = False
    keeps_crowds: bool = False
    check: Callable[[AnnotatedSet], None] | None = None
    """Raises DataError for what can't be written."""


FORMATS = {
    "yolo": Format("YOLO", yolo.recognises, yolo.read, yolo.write, yolo.DATA_YAML),
    "coco": Format("COCO", coco.recognises, coco.read, coco.write, ".", keeps_difficult=True, keeps_crowds=True),
    "voc": Format("PASCAL VOC", voc.recognises, voc.read, voc.write, ".", keeps_difficult=True, check=voc.refuse_names),
    "labelme": Format("LabelMe", labelme.recognises, labelme.read, labelme.write, "."),
}


def recognised(source: Path) -> str:
    """Names the format of a source. Raises DataError where none of them, or more than one, is seen in it."""
    if not source.exists():
        raise DataError(f"source={source}: there is no such file or folder.")
    found = [name for name, each in FORMATS.items() if each.recognises(source)]
    if len(found) == 1:
        return found[0]
    what = f"it could be {' or '.join(found)}" if found else f"it is seen to be none of {', '.join(FORMATS)}"
    raise DataError(f"source={source}: {what}; write from=... to say what it is.")
