"""What lies in a model file's zip, and where? Decided from its directory alone, before an entry is read.

PyTorch writes an uncompressed zip whose entries lie one behind the other. Whatever is not so was made to take more
memory or time than the file is large: a compressed entry swells, entries that share bytes swell by their number, and a
file with holes takes no room on a disk but hours to read. It must not know what the entries mean.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, cast

MOST_FILE_BYTES = 4 << 30
"""YOLOv8x in training takes 1.2 GB, with 20,000 classes half as much again."""
_MOST_DIRECTORY_BYTES = 4 << 20
"""Some 50,000 entries; a model in training has 3,000."""
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_LOCAL_SIGNATURE = b"PK\x03\x04"
_ENCRYPTED = 0x1
_GAP_BYTES = 1 << 14
"""What may lie between two entries: the header and its padding, which aligns data to a page of memory at most."""


class ArchiveError(ValueError):
    """A zip that is not as PyTorch writes it; the message is the end of a sentence that names the file."""


class ChecksumError(ArchiveError):
    """An entry whose bytes are not those that were written."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Where an entry lies."""

    header_at: int
    """Of the header that stands before its data."""
    size_bytes: int
    checksum: int


class Archive:
    """A zip whose entries are uncompressed and lie apart from each other. `stream` must stay open while it is used."""

    def __init__(self, stream: BinaryIO) -> None:
        """Raises ArchiveError where the zip is not so, and OSError."""
        self._stream = stream
        self._entries = _entries(stream)

    @property
    def names(self) -> Sequence[str]:
        return tuple(self._entries)

    def size_bytes(self, name: str) -> int:
        return self._entry(name).size_bytes

    def read(self, name: str, most_bytes: int) -> bytes:
        """Reads a small entry and compares it with its checksum."""
        size_bytes = self.size_bytes(name)
        if size_bytes > most_bytes:
            raise ArchiveError(
                f"its entry {name!a} has {size_bytes:,} bytes, where at most {most_bytes:,} are sensible"
            )
        buffer = bytearray(size_bytes)
        self.read_into(name, memoryview(buffer))
        if zlib.crc32(buffer) != self._entry(name).checksum:
            raise ChecksumError(f"its entry {name!a} disagrees with its checksum")
        return bytes(buffer)

    def read_into(self, name: str, buffer: memoryview) -> None:
        """Reads an entry into a buffer of its size; its checksum is left alone."""
        entry = self._entry(name)
        self._stream.seek(entry.header_at)
        header = self._stream.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size:
            raise ArchiveError(f"its entry {name!a} lies beyond its end")
        signature, name_bytes, extra_bytes = _LOCAL_HEADER.unpack(header)
        if signature != _LOCAL_SIGNATURE:
            raise ArchiveError(f"its entry {name!a} is not where its directory says")
        self._stream.seek(name_bytes + extra_bytes, io.SEEK_CUR)
        if cast(io.BufferedIOBase, self._stream).readinto(buffer) != entry.size_bytes:
            raise ArchiveError(f"its entry {name!a} lies beyond its end")

    def _entry(self, name: str) -> Entry:
        entry = self._entries.get(name)
        if entry is None:
            raise ArchiveError(f"it has no entry {name!a}")
        return entry


def _entries(stream: BinaryIO) -> dict[str, Entry]:
    size_bytes = stream.seek(0, io.SEEK_END)
    if size_bytes > MOST_FILE_BYTES:
        raise ArchiveError(f"it has {size_bytes / 1e9:.1f} GB, more than any YOLOv8 model")
    found: dict[str, Entry] = {}
    last_end = 0
    infos, directory_at = _directory(stream)
    for info in sorted(infos, key=lambda info: info.header_offset):
        name = info.filename
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise ArchiveError(f"its entry {name!a} is compressed, which PyTorch never does")
        if info.flag_bits & _ENCRYPTED:
            raise ArchiveError(f"its entry {name!a} is encrypted")
        if name in found:
            raise ArchiveError(f"it has two entries {name!a}")
        if info.header_offset < last_end:
            raise ArchiveError(f"its entry {name!a} shares bytes with another one")
        if info.header_offset > last_end + _GAP_BYTES:
            raise ArchiveError(f"there is a hole before its entry {name!a}")
        last_end = info.header_offset + _LOCAL_HEADER.size + info.file_size
        found[name] = Entry(info.header_offset, info.file_size, info.CRC)
    if not last_end <= directory_at <= last_end + _GAP_BYTES:
        raise ArchiveError("its directory is not behind its entries")
    return found


def _directory(stream: BinaryIO) -> tuple[list[zipfile.ZipInfo], int]:
    """Gives what the zip's directory says, and where it begins."""
    try:
        archive = zipfile.ZipFile(cast(BinaryIO, _Sparing(stream)))
        return archive.infolist(), archive.start_dir
    except (ArchiveError, OSError):
        raise
    except Exception as error:
        # `zipfile` raises half a dozen types for a damaged directory, by what is wrong in it.
        raise ArchiveError("its end is missing or wrong") from error


class _Sparing:
    """Hands `zipfile` the end of a file, and never so much that its directory could fill the memory."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        here = self._stream.tell()
        if size < 0:
            size = self._stream.seek(0, io.SEEK_END) - here
            self._stream.seek(here)
        if size > _MOST_DIRECTORY_BYTES:
            raise ArchiveError(f"the directory of its entries has {size:,} bytes")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True
