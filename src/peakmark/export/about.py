"""What does an exported file say of itself? Enough to be used as a model: classes, sizes, rules, where it comes from.

It is JSON under one key, and beside it the few keys that other programs of the field look for. It must not know how a
format carries text.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from peakmark.errors import ModelFileError
from peakmark.geometry.letterbox import STRIDE_PX
from peakmark.record.plain_json import as_json

KEY = "peakmark"
"""Under which a file holds the JSON."""
_VERSION = 1


@dataclass(frozen=True, slots=True)
class About:
    """What is known of an exported network."""

    names: tuple[str, ...]
    """Of the classes, by number"""
    side_px: int
    """Longer side of the images: the input's own, or where that is free what it was trained for"""
    square: bool
    """Whether images are padded to a square, or to the nearest rectangle of whole strides"""
    batch: int | None
    """Images of a call; None where any number may come"""
    precision: str
    """float32, float16 or int8"""
    suppression: Mapping[str, float] | None
    """iou and max_det, where suppression is inside; None where the file gives boxes and scores"""
    architecture: str
    weights_digest: str
    """Of the state dict, as `peakmark inspect --json` says it under digests"""
    settings: Mapping[str, Any]
    """Of its training, as far as a validation repeats them: conf, iou, max_det ..."""
    lineage: Mapping[str, Any]
    """Where the weights come from: epoch, fitness, data, licence ..."""
    protocol: str | None
    """What the metrics in the lineage mean"""

    def to_json(self) -> str:
        """Gives the text that a file holds."""
        letterbox = {"stride_px": STRIDE_PX, "square": self.square, "pad": "even, grey 114", "colours": "RGB, 0 to 1"}
        return as_json({"version": _VERSION, "letterbox": letterbox, **dataclasses.asdict(self)})

    def familiar(self) -> dict[str, str]:
        """Gives the keys that other programs of the field read, as they write them."""
        return {
            "task": "detect",
            "stride": str(STRIDE_PX),
            "imgsz": str([self.side_px, self.side_px]),
            "batch": str(self.batch or 1),
            "names": str(dict(enumerate(self.names))),
        }

    def in_file(self) -> dict[str, str]:
        """Gives all that is written into a file, a text under each key."""
        return {**self.familiar(), KEY: self.to_json()}


def about_from(text: str | None, place: str) -> About | None:
    """Reads what `to_json` gave; None for no text. Raises ModelFileError for another text, naming `place`."""
    if text is None:
        return None
    try:
        plain = json.loads(text)
        if plain["version"] != _VERSION:
            raise ModelFileError(f"{place} was exported by another version of Peakmark; export it again.")
        about = About(**{field.name: plain[field.name] for field in dataclasses.fields(About)})
        return dataclasses.replace(about, names=_names(about.names))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{place} says of itself what can't be read ({error!r:.80}); export it again.") from error


def in_words_of(about: About) -> tuple[str, ...]:
    """Says what a validation of the file does in another way than one of a checkpoint, for its protocol."""
    squares = ("images padded to squares",) if about.square else ()
    precision = () if about.precision == "float32" else (about.precision,)
    return (*squares, *precision)


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise ValueError("names are no list of texts")
    return tuple(value)
