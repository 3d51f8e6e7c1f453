"""Which pictures does a source mean, and in which order?

What is *named* (a file, a list of files, arrays) must be readable, or results would no longer line up with the list.
What is *found* (in a folder, by a glob, in a .txt list) and can't be read is reported, left out and counted. Names are
settled at once, so mistakes show before a model runs; pixels are read only when they are asked for, one picture at a
time. Must not know models.
"""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from peakmark.data.images import IMAGE_SUFFIXES, UnreadableImageError, decode_with_remark
from peakmark.data.source.listing import is_companion, list_lines
from peakmark.deploy.arrays import array_to_rgb, pil_to_rgb
from peakmark.deploy.frames import Frame, Origin
from peakmark.deploy.live import LIVE_SCHEMES, is_live, read_live, shown_address
from peakmark.deploy.video import VIDEO_SUFFIXES, UnreadableVideoError, read_video
from peakmark.errors import DataError
from peakmark.events import Notice, Observer
from peakmark.files.given_path import NO_FILE_WORDS, given_path, is_special
from peakmark.nouns.images import ImageArray
from peakmark.settings.shared_words import MAX_IMAGE_PIXELS

_OTHERS_SHOWN = 5
_ACCEPTED = (
    "Give an image or video file, a folder, a glob, a .txt list of files, a camera's number, the address of a stream,"
    " a NumPy array (BGR, uint8), a PIL image, or a list of these"
)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    named: bool
    """By the caller; otherwise it was found."""


@dataclass(frozen=True, slots=True)
class _Pixels:
    to_rgb: Callable[[Any, str], ImageArray]
    pixels: Any


@dataclass(frozen=True, slots=True)
class _Live:
    address: int | str
    """The number of a camera, or a URL."""


_Item = _File | _Pixels | _Live


def open_source(
    source: object, *, vid_stride: int = 1, max_image_pixels: int = MAX_IMAGE_PIXELS, observer: Observer
) -> Iterator[Frame]:
    """Gives the pictures of a source in a fixed order.

    A folder means the images and videos directly in it, by name; for sub-folders there is the glob `folder/**/*.jpg`.
    The lines of a .txt list are relative to its folder, else to the working directory. Of a video every `vid_stride`-th
    frame counts. NumPy arrays are BGR as OpenCV reads them. Raises `DataError`, at once for what is missing, at its
    turn for what can't be read; `observer` is told what was left out.
    """
    frames_of = partial(_frames, vid_stride=vid_stride, max_image_pixels=max_image_pixels, observer=observer)
    return _read(_resolve(source, observer), frames_of, observer)


def _read(
    items: list[_Item], frames_of: Callable[[_Item, int, int], Iterator[Frame]], observer: Observer
) -> Iterator[Frame]:
    left_out = 0
    for index, item in enumerate(items):
        try:
            yield from frames_of(item, index, len(items))
        except (UnreadableImageError, UnreadableVideoError) as error:
            if not isinstance(item, _File) or item.named:
                raise
            left_out += 1
            observer(Notice(f"Left out: {error}", serious=True))
    if left_out == len(items):
        raise DataError(f"None of the {left_out} files found could be read. Check that they are images or videos.")
    if left_out:
        observer(Notice(f"{left_out} of {len(items)} files could not be read and were left out.", serious=True))


def _frames(
    item: _Item, index: int, count: int, *, vid_stride: int, max_image_pixels: int, observer: Observer
) -> Iterator[Frame]:
    if isinstance(item, _Pixels):
        name = f"image{index}.jpg"
        yield Frame(item.to_rgb(item.pixels, name), Origin(name, None, index, count))
    elif isinstance(item, _Live):
        yield from read_live(item.address, vid_stride, observer)
    elif item.path.suffix.lower() in VIDEO_SUFFIXES:
        yield from read_video(item.path, vid_stride, observer)
    else:
        image, remark = decode_with_remark(item.path, max_image_pixels)
        if remark:
            observer(Notice(f"{item.path}: {remark}.", serious=True))
        yield Frame(image, Origin(item.path.name, item.path, index, count))


def _resolve(source: object, observer: Observer) -> list[_Item]:
    if isinstance(source, str | Path):
        try:
            return list(_resolve_path(str(source), observer))
        except OSError as error:
            raise DataError(
                f"source {str(source)!r}: {error.strerror}. Check the path and your rights on it."
            ) from error
    if isinstance(source, list | tuple):
        if not source:
            raise DataError(f"The list of sources is empty. {_ACCEPTED}.")
        return [item for part in source for item in _resolve(part, observer)]
    if isinstance(source, int) and not isinstance(source, bool) and source >= 0:
        return [_Live(source)]
    if isinstance(source, np.ndarray):
        return [_Pixels(array_to_rgb, source)]
    if isinstance(source, Image.Image):
        return [_Pixels(pil_to_rgb, source)]
    raise DataError(f"Can't predict on {source!r:.80}, a {type(source).__name__}. {_ACCEPTED}.{_how_to_turn(source)}")


def _resolve_path(text: str, observer: Observer) -> Sequence[_Item]:
    if "://" in text and is_live(text):
        return [_stream(text)]
    path = given_path(text, "source")
    if is_special(path):
        raise DataError(f"source {text!r}: {NO_FILE_WORDS}.")
    if path.is_dir():
        return _found_in_folder(path, observer)
    if path.is_file():
        return _listed(path) if path.suffix.lower() == ".txt" else [_File(path, named=True)]
    if glob.has_magic(text):
        return _found_by_glob(str(path))
    if is_live(text):  # a camera; a file of that name comes before it
        return [_stream(text)]
    if "://" in text:
        raise DataError(f"source {text!r}: streams are opened by {', '.join(LIVE_SCHEMES)}. {_ACCEPTED}.")
    place = "" if path.is_absolute() else f" in {Path.cwd()}"
    raise DataError(f"source {text!r}: there is no such file or folder{place}. Check the path.")


def _stream(text: str) -> _Live:
    if text.isdecimal():
        return _Live(int(text))
    suffix = Path(urlsplit(text).path).suffix.lower()
    if suffix in IMAGE_SUFFIXES | (VIDEO_SUFFIXES - {".ts"}) and text.lower().startswith("http"):
        # Read as a stream, a video would be looked at only where the detector keeps up with the network.
        raise DataError(f"source {shown_address(text)!r}: this is a file; fetch it first, then give its path.")
    return _Live(text)


def _found_in_folder(folder: Path, observer: Observer) -> list[_File]:
    paths = sorted(folder.iterdir())
    files = [_File(path, named=False) for path in paths if _has_pictures(path)]
    others = [path.name for path in paths if _is_of_another_kind(path)]
    if others:
        more = f" and {len(others) - _OTHERS_SHOWN} more" if len(others) > _OTHERS_SHOWN else ""
        text = f"In {folder} {len(others)} of {len(paths)} files are of no kind that is read and are left out: "
        observer(Notice(f"{text}{', '.join(others[:_OTHERS_SHOWN])}{more}.", serious=True))
    if not files:
        remedy = f"Sub-folders are not searched; '{folder}/**/*.jpg' does that."
        raise DataError(f"source {str(folder)!r}: no images or videos lie in this folder. {remedy}")
    return files


def _found_by_glob(pattern: str) -> list[_File]:
    paths = (Path(text) for text in sorted(glob.glob(pattern, recursive=True)))
    files = [_File(path, named=False) for path in paths if _has_pictures(path)]
    if not files:
        raise DataError(
            f"source {pattern!r}: no image or video file matches. Check the pattern, and quote it in a shell."
        )
    return files


def _listed(list_file: Path) -> list[_File]:
    files = []
    for number, line in list_lines(list_file):
        path = given_path(line, f"{list_file}, line {number}")
        candidates = [candidate for candidate in (list_file.parent / path, path) if candidate.is_file()]
        if not candidates and (is_special(list_file.parent / path) or is_special(path)):
            raise DataError(f"{list_file}, line {number}: {line!r}: {NO_FILE_WORDS}.")
        if not candidates:
            raise DataError(f"{list_file}, line {number}: there is no file {line!r}. Fix or remove the line.")
        files.append(_File(candidates[0], named=False))
    if not files:
        raise DataError(f"{list_file}: the list is empty. Write one path a line.")
    return files


def _has_pictures(path: Path) -> bool:
    # The leading dot: copies made by some systems ("._a.jpg") and files that are being written are not pictures.
    known = path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES
    return known and not path.name.startswith(".") and path.is_file()


def _is_of_another_kind(path: Path) -> bool:
    known = path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES
    is_left_out = not known or is_special(path)
    return is_left_out and not path.name.startswith(".") and not path.is_dir() and not is_companion(path.name)


def _how_to_turn(source: object) -> str:
    """For a tensor, which people often have at hand: the line that makes an image of it."""
    if type(source).__module__.partition(".")[0] != "torch":
        return ""
    return " An RGB tensor (3, H, W) in 0..1: (tensor.flip(0).permute(1, 2, 0) * 255).byte().cpu().numpy()."
