"""Which images and labels was a run trained on, file by file? A listing beside the run, and what differs between two.

A fingerprint says that data changed; this says which. Text in gzip, a line an image: split, digests of image and
labels, name. It must not know how the digests come about.
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from peakmark.errors import MachineError

FILE_NAME = "data-files.txt.gz"
_HEADING = b"# split, digest of the image, digest of its labels, name; tab-separated\n"
_SHOWN = 3
_LEVEL = 1
"""Digests don't shrink; a higher level takes three times as long for the same size."""

Rows = Iterable[tuple[str, str, str]]
"""Name, digest of the image, digest of its labels."""
Listing = Mapping[str, Mapping[str, tuple[str, str]]]
"""Per split: name to the two digests."""


def render(splits: Mapping[str, Rows]) -> bytes:
    """Gives the listing's file; equal rows give equal bytes."""
    lines = (
        b"\t".join((os.fsencode(split), image.encode(), labels.encode(), _escaped(name))) + b"\n"
        for split, rows in splits.items()
        for name, image, labels in rows
    )
    # Without a time in it: the same data give the same file.
    return gzip.compress(_HEADING + b"".join(lines), _LEVEL, mtime=0)


def read(path: Path) -> Listing | None:
    """Reads a listing; None where there is none, or it is damaged. Raises `MachineError` where the disk refuses."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (FileNotFoundError, EOFError, gzip.BadGzipFile, zlib.error):
        return None
    except OSError as error:
        raise MachineError(f"Can't read {path}: {error.strerror}. Check its rights.") from error
    return of(_rows(content))


def of(rows: Iterable[tuple[str, str, str, str]]) -> Listing:
    """Makes a listing of rows that begin with the split."""
    listing: dict[str, dict[str, tuple[str, str]]] = {}
    for split, image, labels, name in rows:
        listing.setdefault(split, {})[name] = (image, labels)
    return listing


def differences(before: Listing, now: Listing) -> tuple[str, ...]:
    """Says per split what was added, removed and changed, the first few by name: `train: 1 image added (a.jpg).`"""
    said = []
    for split in (*before, *(split for split in now if split not in before)):
        was, now_is = before.get(split, {}), now.get(split, {})
        both = [name for name in was if name in now_is]
        kinds = {
            "added": [name for name in now_is if name not in was],
            "removed": [name for name in was if name not in now_is],
            "changed": [name for name in both if was[name][0] != now_is[name][0]],
            "with other labels": [name for name in both if was[name][1] != now_is[name][1]],
        }
        parts = [_named(names, kind) for kind, names in kinds.items() if names]
        if parts:
            said.append(f"{split}: {', '.join(parts)}.")
    return tuple(said)


def _rows(content: bytes) -> Iterator[tuple[str, str, str, str]]:
    for line in content.split(b"\n"):
        fields = line.split(b"\t", 3)
        if len(fields) == 4:
            split, image, labels, name = fields
            yield os.fsdecode(split), image.decode(), labels.decode(), os.fsdecode(_plain(name))


def _named(names: Sequence[str], kind: str) -> str:
    shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return f"{len(names)} {'image' if len(names) == 1 else 'images'} {kind} ({shown})"


def _escaped(name: str) -> bytes:
    return os.fsencode(name).replace(b"\\", b"\\\\").replace(b"\n", b"\\n")


def _plain(name: bytes) -> bytes:
    return b"\\".join(part.replace(b"\\n", b"\n") for part in name.split(b"\\\\"))
