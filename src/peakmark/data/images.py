"""How do the bytes of an image file become pixels, and can they? The only place that decodes images.

JPEGs are decoded by libjpeg-turbo itself, which says here what it finds damaged and writes nothing to the terminal;
whatever else OpenCV decodes comes out by it. All of it is RGB bytes, turned upright as the file says. Grey becomes
three equal channels. Of 16 bits the upper 8 are taken, on the full scale and not stretched per image, so that equal
values stay equal. Of an image with alpha the stored colours are taken and the alpha is left out, as other detectors do
it. Of several pages or frames the first is taken. How large an image is, is read off its header before it is decoded.
This file must not know labels, splits or caches.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from peakmark.errors import DataError
from peakmark.files.given_path import is_special
from peakmark.nouns.images import ImageArray
from peakmark.settings.shared_words import MAX_IMAGE_PIXELS, MOST_PIXELS_DECODED

Verify = Literal["full", "fast"]
"""full: decode the whole image; fast: look at its beginning and end only."""

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".jp2", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"}
    | {".dib", ".pbm", ".pgm", ".ppm", ".pnm", ".ras", ".sr", ".hdr"}
)
"""Files that count as images in a folder, in small or capital letters."""

DIGEST_BYTES = 16
_LOOK_BYTES = 1 << 16
_SIGNATURE_BYTES = 16
_TRANSPOSING_ORIENTATIONS = (5, 6, 7, 8)
"""EXIF orientations that swap width and height."""
# What is odd about a file is said here with its name, or by nobody: Pillow's lines name no file.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
_EXIF_MARK = b"Exif"
_JPEG_START = b"\xff\xd8"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_BYTES = 33
_ORIENTATION = 0x0112
_DEEP_BITS = 16
_DARK = 16
"""Of 256: what 12 bits in the lower end of 16 come to."""
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
    remark: str = ""
    """What somebody should know of an image that can be used: damaged, of several frames, nearly black; in words."""


def decode(path: Path, most_px: int = MAX_IMAGE_PIXELS) -> ImageArray:
    """Reads an image file as (height, width, 3) RGB, unless it has more than `most_px` pixels.

    Raises `DataError`; `UnreadableImageError` where it's the file.
    """
    return _decoded(path, _read(path), most_px)[0]


def decode_with_remark(path: Path, most_px: int = MAX_IMAGE_PIXELS) -> tuple[ImageArray, str]:
    """Reads an image as `decode` does, and what somebody should know of it, as `ImageFacts.remark`."""
    return _decoded(path, _read(path), most_px)


def decode_with_time(path: Path, most_px: int = MAX_IMAGE_PIXELS) -> tuple[ImageArray, datetime | None]:
    """Reads an image as `decode` does, and when it was taken, where its EXIF entry says so."""
    data = _read(path)
    return _decoded(path, data, most_px)[0], _taken_at(data)


def probe(path: Path, verify: Verify, most_px: int = MAX_IMAGE_PIXELS) -> ImageFacts:
    """Finds out whether an image can be used, its size and its digest. Raises as `decode`.

    `fast` accepts a JPEG or PNG whose beginning and end are in order; anything else is decoded in full.
    """
    if verify == "fast" and (facts := _glance(path, most_px)):
        return facts
    data = _read(path)
    image, remark = _decoded(path, data, most_px)
    height_px, width_px = image.shape[:2]
    return ImageFacts(width_px, height_px, hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest(), remark)


def _read(path: Path) -> bytes:
    _refuse_special(path)
    # Read here and not by OpenCV, which on some systems can't open every name and says nothing about why it failed.
    try:
        return path.read_bytes()
    except OSError as error:
        raise _read_error(path, error) from error


def _refuse_special(path: Path) -> None:
    if is_special(path):
        raise UnreadableImageError(path, "a pipe or a device, not a regular file")


def _read_error(path: Path, error: OSError) -> DataError:
    reason = error.strerror or str(error)
    if error.errno in _SETTLED_ERRORS:
        return UnreadableImageError(path, reason[:1].lower() + reason[1:])
    # A network disk that stumbles is no fact about the image: it must not be left out of the index for good.
    return DataError(f"{path}: reading it failed ({reason}); check the disk or its connection and start again.")


def _refuse_too_large(path: Path, px: int, most_px: int) -> None:
    if px > most_px:
        remedy = f"; max_image_pixels={px} lets it in" if px <= MOST_PIXELS_DECODED else ""
        raise UnreadableImageError(path, f"it has {px:,} px, more than the {most_px:,} that are decoded{remedy}")


def _decoded(path: Path, data: bytes, most_px: int) -> tuple[ImageArray, str]:
    if not data:
        raise UnreadableImageError(path, "the file is empty")
    if _is_cut_jpeg(data):
        raise UnreadableImageError(path, "the JPEG is truncated")
    if data.startswith(_JPEG_START):
        return _decoded_jpeg(path, data, most_px)
    found = _look_at_header(path, data)
    _refuse_too_large(path, found.px, most_px)
    if data.startswith(_PNG_START) and (chunk := _damaged_chunk(data)):
        raise UnreadableImageError(path, f"the PNG is damaged: its part {chunk} has another checksum")
    if found.alpha_by_pillow:
        image = _decoded_by_pillow(path, data)
    else:
        image = _decoded_by_opencv(path, data)
    if found.turn_here:
        image = _upright(image, found.orientation)
    remark = "it has several pages or frames, of which the first is taken" if found.frames > 1 else ""
    if found.bits == _DEEP_BITS and image.max(initial=0) < _DARK:
        remark = "its 16 bits a channel use 12 at most, so it is nearly black (stretch them to the full 16)"
    return image, remark


def _decoded_jpeg(path: Path, data: bytes, most_px: int) -> tuple[ImageArray, str]:
    remark = ""
    try:
        height_px, width_px, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
        _refuse_too_large(path, height_px * width_px, most_px)
        try:
            image = simplejpeg.decode_jpeg(data, "RGB", strict=True)
        except ValueError as error:
            image = simplejpeg.decode_jpeg(data, "RGB", strict=False)
            # Without the words that stand before each of them: they would read like the decoder's own line.
            remark = f"damaged ({str(error).removeprefix('Corrupt JPEG data: ')})"
    except ValueError as error:
        raise UnreadableImageError(path, f"damaged, or not a JPEG that can be decoded ({error})") from error
    except KeyError as error:  # what a header says of colours or sampling, looked up by simplejpeg in its own tables
        raise UnreadableImageError(
            path, "damaged, or not a JPEG that can be decoded (its header is unknown)"
        ) from error
    return _upright(np.asarray(image, dtype=np.uint8), _orientation_of_jpeg(data)), remark


def _decoded_by_pillow(path: Path, data: bytes) -> ImageArray:
    try:
        with _opened(data) as image:
            # By the bands: OpenCV multiplies the colours of a TIFF by its alpha, which darkens them.
            return np.ascontiguousarray(np.asarray(image)[:, :, :3])
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableImageError(path, f"truncated or damaged ({error})") from error


def _decoded_by_opencv(path: Path, data: bytes) -> ImageArray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise UnreadableImageError(path, f"OpenCV can't decode it ({error.err})") from error
    if image is None:
        raise UnreadableImageError(path, "truncated, damaged, or not an image that OpenCV decodes")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class _Header:
    px: int = 0
    frames: int = 1
    bits: int = 8
    orientation: int = 1
    turn_here: bool = False
    """Whether nobody else turns it upright."""
    alpha_by_pillow: bool = False


def _look_at_header(path: Path, data: bytes) -> _Header:
    """What a file that is no JPEG says of itself; nothing where that is not known."""
    if data.startswith(_PNG_START) and len(data) > _PNG_HEADER_BYTES:
        width_px, height_px = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
        return _Header(width_px * height_px, 2 if b"acTL" in data[:_LOOK_BYTES] else 1, data[24])
    try:
        with _opened(data) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
            by_pillow = image.format == "TIFF" and image.mode == "RGBA"
            return _Header(
                image.width * image.height,
                2 if getattr(image, "is_animated", False) else 1,
                _DEEP_BITS if image.mode.startswith("I;16") else 8,
                orientation if isinstance(orientation, int) else 1,
                turn_here=image.format == "AVIF" or by_pillow,
                alpha_by_pillow=by_pillow,
            )
    except (OSError, ValueError, SyntaxError, EOFError):
        return _Header()
    except Image.DecompressionBombError as error:  # WebP, whose reader asks once more
        limit = "PIL.Image.MAX_IMAGE_PIXELS"
        raise UnreadableImageError(path, f"more than Pillow opens of its format ({limit}); save it as PNG") from error


def _opened(data: bytes, *formats: str) -> Image.Image:
    """Opens an image of one of `formats` (any, if none) for what its header says; raises as Pillow does.

    Pillow's limit of pixels doesn't count here. It is the whole process's, another one than ours, and a large image
    whose header can't be read would come out lying on its side.
    """
    try:
        return Image.open(io.BytesIO(data), formats=formats or None)
    except Image.DecompressionBombError:
        Image.init()
    for kind in formats or Image.ID:
        factory, accepts = Image.OPEN[kind]
        if accepts is None or accepts(data[:_SIGNATURE_BYTES]) is True:
            with contextlib.suppress(SyntaxError, IndexError, TypeError, struct.error):  # as Pillow itself goes on
                return factory(io.BytesIO(data), "")
    raise UnidentifiedImageError("no format that Pillow knows")


def _damaged_chunk(data: bytes) -> str:
    """The name of a PNG's chunk that is not what its checksum says: libpng would tell the terminal, without a name."""
    view, position = memoryview(data), len(_PNG_START)
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(view[position : position + 4], "big")
        if end + 4 > len(data):
            return ""  # cut: OpenCV's to judge
        kind = bytes(view[position + 4 : position + 8])
        if kind[:1].isupper() and zlib.crc32(view[position + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            return kind.decode("ascii", "replace")
        if kind == b"IEND":
            return ""
        position = end + 4
    return ""


def _orientation_of_jpeg(data: bytes) -> int:
    # Looked for before Pillow is asked: opening each image costs a third of decoding it.
    if _EXIF_MARK not in data[:_LOOK_BYTES]:
        return 1
    try:
        with _opened(data, "JPEG") as header:
            orientation = header.getexif().get(_ORIENTATION, 1)
    except (OSError, ValueError, SyntaxError):
        return 1
    return orientation if isinstance(orientation, int) else 1


def _upright(image: ImageArray, orientation: int) -> ImageArray:
    """Turns and mirrors an image as its EXIF orientation, 1 to 8, says; anything else is none."""
    if orientation in _TRANSPOSING_ORIENTATIONS:
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _taken_at(data: bytes) -> datetime | None:
    # Looked for before Pillow is asked: most images have no such entry, and opening each costs a third of decoding it.
    if _EXIF_MARK not in data[:_LOOK_BYTES]:
        return None
    try:
        with _opened(data, "JPEG", "PNG", "TIFF", "WEBP") as header:
            exif = header.getexif()
            text = exif.get_ifd(_EXIF_IFD).get(_DATE_TIME_ORIGINAL) or exif.get(_DATE_TIME)
        return datetime.strptime(str(text).strip("\0 "), "%Y:%m:%d %H:%M:%S")
    except (OSError, ValueError, SyntaxError):
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


def _glance(path: Path, most_px: int) -> ImageFacts | None:
    """Looks at the beginning and the end of a JPEG or PNG; None where that is not enough to accept it."""
    _refuse_special(path)
    try:
        with open(path, "rb") as stream:
            head = stream.read(_LOOK_BYTES)
            size_bytes = stream.seek(0, io.SEEK_END)
            stream.seek(max(0, size_bytes - _LOOK_BYTES))
            tail = stream.read(_LOOK_BYTES)
    except OSError as error:
        raise _read_error(path, error) from error
    try:
        with _opened(head, "JPEG", "PNG") as header:
            width_px, height_px = header.size
            # Before the EXIF entry: for one that may lie behind the pixels Pillow decodes them.
            _refuse_too_large(path, width_px * height_px, most_px)
            turned = header.getexif().get(0x0112) in _TRANSPOSING_ORIENTATIONS
            end = b"\xff\xd9" if header.format in ("JPEG", "MPO") else b"IEND"
    except (OSError, ValueError, SyntaxError):
        return None
    if end not in tail:
        return None
    digest = hashlib.blake2b(b"%d|" % size_bytes + head + tail, digest_size=DIGEST_BYTES).digest()
    return ImageFacts(height_px, width_px, digest) if turned else ImageFacts(width_px, height_px, digest)
