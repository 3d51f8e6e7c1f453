"""What travels from a source through prediction to what is saved? A picture, and where it comes from.

Must not know how sources are opened or what is done with a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from peakmark.nouns.images import ImageArray


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a picture comes from; small enough to be kept after the picture is gone."""

    name: str
    """A file name for copies: the name of the file, or imageN.jpg for pixels that came without one."""
    path: Path | None
    """The file; None for pixels that were handed over."""
    index: int
    """0-based: which image of the source; in a video, which frame of that video."""
    count: int | None
    """Of how many; None where nobody knows. For a video it is what the file claims, which may be an estimate."""
    kind: Literal["image", "video"] = "image"
    fps: float | None = None
    """For a video: how many of the frames that are handed on make a second (the stride is taken into account)."""

    live: bool = False
    """Of a camera or a network stream, which has no end of its own."""

    @property
    def text(self) -> str:
        """For a person: the file or name, with the number of the frame where it is a video."""
        place = str(self.path or self.name)
        return f"{place}, frame {self.index + 1}" if self.kind == "video" else place


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture to predict on."""

    image: ImageArray
    origin: Origin


@dataclass(frozen=True, slots=True)
class SavedName:
    """What a picture is called where results are saved, without ending."""

    item: str
    """The image, or the whole video."""
    picture: str
    """The image, or this frame of the video."""
