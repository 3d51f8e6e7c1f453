"""How do the bytes of an image file become pixels, and can they? The only place that decodes images.

Whatever OpenCV decodes comes out as RGB bytes, turned upright as its EXIF entry says. Grey becomes three equal
channels. Of 16 bits the upper 8 are taken, on the full scale and not stretched per image, so that equal values stay
equal. Of an image with alpha the stored colours are taken and the alpha is left out, as other detectors do it.
This file must not know labels, splits or caches.
"""

from __future__ import annotations

import errno
import hashlib
import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from PIL import Image

from peakmark.errors import DataError
from peakmark.nouns import ImageArray

Verify = Literal["full", "fast"]
"""full: decode the whole image; fast: look at its beginning and end only."""

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jp2", ".png", ".webp", ".avif", ".gif", ".bmp", ".dib", ".tif", ".tiff"}
    | {".pbm", ".pgm", ".ppm", ".pnm", ".ras", ".sr", ".hdr"}
)
"""Files that count as images in a folder, in small or capital letters."""

DIGEST_BYTES = 16
_LOOK_BYTES = 1 << 16
_TRANSPOSING_ORIENTATIONS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""
_EXIF_MARK = b"Exif"
_EXIF_IFD, _DATE_TIME_ORIGINAL, _DATE_TIME = 0x8769, 0x9003, 0x0132
_SETTLED_ERRORS = (errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ELOOP)


class UnreadableImageError(DataError):
    """This file is no usable image, and trying again won't help. `reason` says why in a few words."""

    def __init__(self, path: Path, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{path}: {reason}; replace the file or take it out of the data set.")


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What an index remembers of an image file."""

    width_px: int
    height_px: int
    """Upright, after its EXIF orientation."""
    digest: bytes
    """Of the content: every byte (full), or the size and both ends (fast)."""


def decode(path: Path) -> ImageArray:
    """Reads an image file as (height, width, 3) RGB. Raises `DataError`; `UnreadableImageError` where it's the file."""
    return _decode_bytes(path, _read(path))


def decode_with_time(path: Path) -> tuple[ImageArray, datetime | None]:
    """Reads an image as `decode` does, and when it was taken, where its EXIF entry says so."""
    data = _read(path)
    return _decode_bytes(path, data), _taken_at(data)


def probe(path: Path, verify: Verify) -> ImageFacts:
    """Finds out whether an image can be used, its size and its digest. Raises as `decode`.

    `fast` accepts a JPEG or PNG whose beginning and end are in order; anything else is decoded in full.
    """
    if verify == "fast" and (facts := _glance(path)):
        return facts
    data = _read(path)
    height_px, width_px = _decode_bytes(path, data).shape[:2]
    return ImageFacts(width_px, height_px, hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest())


def _read(path: Path) -> bytes:
    # Read here and not by OpenCV, which on some systems can't open every name and says nothing about why it failed.
    try:
        return path.read_bytes()
    except OSError as error:
        raise _read_error(path, error) from error


def _read_error(path: Path, error: OSError) -> DataError:
    reason = error.strerror or str(error)
    if error.errno in _SETTLED_ERRORS:
        return UnreadableImageError(path, reason[:1].lower() + reason[1:])
    # A network disk that stumbles is no fact about the image: it must not be left out of the index for good.
    return DataError(f"{path}: reading it failed ({reason}); check the disk or its connection and start again.")


def _decode_bytes(path: Path, data: bytes) -> ImageArray:
    if not data:
        raise UnreadableImageError(path, "the file is empty")
    if _is_cut_jpeg(data):
        raise UnreadableImageError(path, "the JPEG is truncated")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise UnreadableImageError(path, f"OpenCV can't decode it ({error.err})") from error
    if image is None:
        raise UnreadableImageError(path, "truncated, damaged, or not an image that OpenCV decodes")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _taken_at(data: bytes) -> datetime | None:
    # Looked for before Pillow is asked: most images have no such entry, and opening each costs a third of decoding it.
    if _EXIF_MARK not in data[:_LOOK_BYTES]:
        return None
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "TIFF", "WEBP")) as header:
            exif = header.getexif()
            text = exif.get_ifd(_EXIF_IFD).get(_DATE_TIME_ORIGINAL) or exif.get(_DATE_TIME)
        return datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _is_cut_jpeg(data: bytes) -> bool:
    """Whether a JPEG has no end marker after its picture data; OpenCV 4 fills the missing rows with grey instead."""
    if not data.startswith(b"\xff\xd8"):
        return False
    # The header's segments are stepped over by their lengths: an EXIF thumbnail has an end marker of its own.
    position = 2
    while data[position : position + 1] == b"\xff" and (marker := data[position + 1 : position + 2]) != b"\xda":
        is_filling = marker == b"\xff"
        position += 1 if is_filling else 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    found_picture = data[position : position + 2] == b"\xff\xda"
    # An odd header is OpenCV's to judge: a whole picture must not be refused for it.
    return data.find(b"\xff\xd9", position if found_picture else 2) < 0


def _glance(path: Path) -> ImageFacts | None:
    """Looks at the beginning and the end of a JPEG or PNG; None where that is not enough to accept it."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(_LOOK_BYTES)
            size_bytes = stream.seek(0, io.SEEK_END)
            stream.seek(max(0, size_bytes - _LOOK_BYTES))
            tail = stream.read(_LOOK_BYTES)
    except OSError as error:
        raise _read_error(path, error) from error
    try:
        with Image.open(io.BytesIO(head), formats=("JPEG", "PNG")) as header:
            width_px, height_px = header.size
            turned = header.getexif().get(0x0112) in _TRANSPOSING_ORIENTATIONS
            end = b"\xff\xd9" if header.format in ("JPEG", "MPO") else b"IEND"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    if end not in tail:
        return None
    digest = hashlib.blake2b(b"%d|" % size_bytes + head + tail, digest_size=DIGEST_BYTES).digest()
    return ImageFacts(height_px, width_px, digest) if turned else ImageFacts(width_px, height_px, digest)
