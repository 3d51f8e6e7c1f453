"""How do files get to a folder, here or in another store, whole and provably so? By `durable.py`, or by fsspec.

A file is put under another name first, read back, compared by its SHA-256, and only then given its own: a move on
servers that have one, a copy inside an object store, where each object appears whole or not at all. So what stood
under the name stands until something verified takes its place.

A folder is published as one thing, for good. On a disk that is one rename. Elsewhere its first file is written only if
there is none, which claims the name, and a file that is named as the last completes it: without that one it is nothing.
It must not know what is in the files.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import Any, BinaryIO, Protocol

import fsspec
from fsspec.registry import known_implementations
from fsspec.utils import get_protocol

from peakmark.errors import MachineError
from peakmark.files import durable

BLOCK_BYTES = 1 << 23
_ON_THIS_MACHINE = ("file", "local")
_WITHOUT_FOLDERS = ("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "obs", "memory")
"""Stores of objects, whose names need no folder; asked for one, some drivers would make a bucket."""
_PART = ".part"
_RIGHTS = "Check the rights of that folder"
_REMEDY = "Check the address, the credentials and the connection"
_LONGEST_REASON = 200


class Store(Protocol):
    """A folder somewhere. Every method raises MachineError with a sentence that names the place."""

    @property
    def place(self) -> str: ...
    def inside(self, name: str) -> Store:
        """Gives a folder in it, which need not be there yet."""
        ...

    def names(self) -> tuple[str, ...]:
        """Gives what is in it, hidden files left out, in order; empty where it is not there."""
        ...

    def read(self, name: str) -> bytes | None:
        """Gives the content of a small file; None where there is none."""
        ...

    def put(self, name: str, source: BinaryIO) -> str:
        """Puts all of `source` under a name, verified by reading it back; gives its SHA-256."""
        ...

    def clean_leftovers(self) -> None:
        """Removes what killed puts left; only for who alone puts files there."""
        ...

    def staging(self) -> AbstractContextManager[Path]:
        """Lends a folder of this machine to be filled for `publish`."""
        ...

    def publish(self, staged: Path, name: str, *, first: str, last: str) -> bool:
        """Puts the files of `staged` into a new folder, for good, and says whether the name was free."""
        ...


def open_store(place: str) -> Store:
    """Gives a folder's path, or a URL that fsspec knows, as a store; nothing is touched.

    Raises MachineError where no such kind of store is known, or its driver is not installed.
    """
    if not place:
        raise MachineError(": this names no place; give a folder or a URL such as s3://bucket/folder.")
    kind = get_protocol(place)
    if kind in _ON_THIS_MACHINE:
        return _Disk(Path(place.removeprefix(f"{kind}://")).expanduser())
    if kind not in fsspec.available_protocols():
        raise MachineError(f"{place}: {kind}:// is no store that fsspec knows; give a folder, s3://..., gs://... .")
    try:
        with _explained(place, "Check the address"):
            # Listings that a driver remembers would hide what others put there meanwhile.
            files, path = fsspec.core.url_to_fs(place, use_listings_cache=False)
    except ImportError as error:
        needed = known_implementations.get(kind, {}).get("err", str(error)).rstrip(".")
        raise MachineError(f"{place}: the driver for {kind}:// is not installed. {needed} (with pip).") from error
    return _Remote(files, path.rstrip("/"), place.rstrip("/"), makes_folders=kind not in _WITHOUT_FOLDERS)


def sha256_of(source: BinaryIO, pass_on: Callable[[bytes], object] = lambda block: None) -> str:
    """Gives the SHA-256 of a file from its start, in hex, and passes each block on."""
    source.seek(0)
    digest = hashlib.sha256()
    while block := source.read(BLOCK_BYTES):
        digest.update(block)
        pass_on(block)
    return digest.hexdigest()


def sha256_of_file(path: Path) -> str:
    """Gives the SHA-256 of a file of this machine, in hex. Raises MachineError."""
    with _explained(str(path), _RIGHTS), open(path, "rb") as stream:
        return sha256_of(stream)


class _Disk:
    """A folder of this machine's disks, or of one that is mounted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @property
    def place(self) -> str:
        return str(self._folder)

    def inside(self, name: str) -> _Disk:
        return _Disk(self._folder / name)

    def names(self) -> tuple[str, ...]:
        with _explained(self.place, _RIGHTS):
            if not self._folder.is_dir():
                return ()
            return tuple(sorted(path.name for path in self._folder.iterdir() if not path.name.startswith(".")))

    def read(self, name: str) -> bytes | None:
        with _explained(self.place, _RIGHTS):
            try:
                return (self._folder / name).read_bytes()
            except FileNotFoundError:
                return None

    def put(self, name: str, source: BinaryIO) -> str:
        put = ""

        def write(stream: BinaryIO) -> None:
            nonlocal put
            put = sha256_of(source, stream.write)

        def verify(staged: Path) -> None:
            with open(staged, "rb") as stream:
                _must_be(sha256_of(stream), put, self.place, name)

        durable.write_durably((self._folder / name,), write, verify, expected_bytes=source.seek(0, io.SEEK_END))
        return put

    def clean_leftovers(self) -> None:
        durable.clean_leftovers(self._folder)

    @contextmanager
    def staging(self) -> Iterator[Path]:
        staged = durable.stage_folder(self._folder)
        try:
            yield staged
        finally:
            # It has its name by now, or is of no use; an error here would hide the one that matters.
            with suppress(OSError):
                rmtree(staged, ignore_errors=True)

    def publish(self, staged: Path, name: str, *, first: str, last: str) -> bool:
        return durable.publish_folder(staged, self._folder / name)


class _Remote:
    """A folder in a store that fsspec reaches."""

    def __init__(self, files: Any, path: str, place: str, *, makes_folders: bool) -> None:
        self._files = files
        self._path = path
        self._place = place
        self._makes_folders = makes_folders

    @property
    def place(self) -> str:
        return self._place

    def inside(self, name: str) -> _Remote:
        makes_folders = self._makes_folders
        return _Remote(self._files, f"{self._path}/{name}", f"{self._place}/{name}", makes_folders=makes_folders)

    def names(self) -> tuple[str, ...]:
        with _explained(self._place, _REMEDY):
            self._files.invalidate_cache()
            try:
                found = self._files.ls(self._path, detail=False)
            except FileNotFoundError:
                return ()
            names = {path.rstrip("/").rpartition("/")[2] for path in found if path.rstrip("/") != self._path}
            return tuple(sorted(name for name in names if not name.startswith(".")))

    def read(self, name: str) -> bytes | None:
        with _explained(self._place, _REMEDY):
            self._files.invalidate_cache()
            try:
                content: bytes = self._files.cat_file(self._at(name))
            except FileNotFoundError:
                return None
            return content

    def put(self, name: str, source: BinaryIO) -> str:
        part = self._at(name + _PART)
        with _explained(self._place, _REMEDY):
            self._make_folder()
            digest = self._write(part, source)
            self._verify(part, digest, name)
            self._files.mv(part, self._at(name))
        return digest

    def clean_leftovers(self) -> None:
        """Nothing: the next put of a name takes the place of what a killed one left."""

    @contextmanager
    def staging(self) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="peakmark-") as folder:
            yield Path(folder)

    def publish(self, staged: Path, name: str, *, first: str, last: str) -> bool:
        folder = self.inside(name)
        rest = sorted(path.name for path in staged.iterdir() if path.name not in (first, last))
        with _explained(folder.place, _REMEDY):
            folder._make_folder()
            try:
                content = (staged / first).read_bytes()
                self._files.pipe_file(folder._at(first), content, mode="create")
            except FileExistsError:
                return False
            folder._verify(folder._at(first), sha256_of(io.BytesIO(content)), first)
        for part in (*rest, last):
            with _explained(folder.place, _REMEDY), open(staged / part, "rb") as source:
                folder.put(part, source)
        return True

    def _write(self, path: str, source: BinaryIO) -> str:
        with self._files.open(path, "wb", block_size=BLOCK_BYTES) as stream:
            return sha256_of(source, stream.write)

    def _verify(self, path: str, digest: str, name: str) -> None:
        self._files.invalidate_cache()
        with self._files.open(path, "rb", block_size=BLOCK_BYTES) as stream:
            _must_be(sha256_of(stream), digest, self._place, name)

    def _make_folder(self) -> None:
        if self._makes_folders:
            self._files.makedirs(self._path, exist_ok=True)

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"


def _must_be(found: str, put: str, place: str, name: str) -> None:
    if found != put:
        raise MachineError(
            f"{place}: {name} reads back as something else than what was put there (SHA-256 {found[:12]}, not"
            f" {put[:12]}); what stood under its name still stands. Put it somewhere else."
        )


@contextmanager
def _explained(place: str, remedy: str) -> Iterator[None]:
    """Turns whatever a driver raises into a MachineError: each has its own dozen types for a server that says no."""
    try:
        yield
    except (MachineError, ImportError):
        raise
    except Exception as error:
        reason = " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
        raise MachineError(f"{place}: {reason[:_LONGEST_REASON].rstrip('.')}. {remedy}.") from error
