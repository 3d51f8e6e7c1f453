"""How does a file get to its name so that no crash can leave half of it there? The only place that writes final files.

A new file is written beside its target under a staged name, flushed to the disk, checked, and only then renamed; then
the folder is flushed, since a rename that lives in memory only is lost with the power. What that protects against:

- the process is killed, or the machine loses power, while the file is written: the staged name is torn, the target is
  still the previous good file;
- it happens between writing and renaming: the same;
- it happens between two names of one content: each name is a whole file, the old or the new one;
- the disk is full or fails: the staged file is taken away and a `MachineError` says so.

Names never share a file, as hard links would: whoever writes into one of them in place would write into all of them.
Where the disk can share what is in them until one is written to (Btrfs, XFS and others), they take the room of one.

It must not know what is in the files.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from peakmark.errors import MachineError
from peakmark.files import disk

_STAGED_MARK = ".peakmark-part"
_SPARE_BYTES = 1 << 20
"""Left free beyond what a file needs: the folder entry, the journal and the table beside it want a little as well."""

_NAME_IS_TAKEN = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}
_REMEDIES = {
    errno.ENOSPC: "Free some space there, or choose a folder on another disk.",
    errno.EDQUOT: "Your quota there is used up: free some space, or choose a folder on another disk.",
    errno.EACCES: "Give yourself the right to write there, or choose another folder.",
    errno.EPERM: "Give yourself the right to write there, or choose another folder.",
    errno.EROFS: "That disk is read-only: choose a folder on another one.",
    errno.ENOTDIR: "A part of this path is a file, not a folder: choose another path.",
    errno.EEXIST: "A part of this path is a file, not a folder: choose another path.",
    errno.EISDIR: "There is a folder of this name: remove it or choose another name.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EIO: "The disk reports an error: check it before you go on.",
}


def write_bytes(path: Path, data: bytes) -> None:
    """Makes `path` hold exactly `data`, all of it or what was there before. Raises `MachineError`."""
    write_durably((path,), lambda stream: stream.write(data), expected_bytes=len(data))


def write_text(path: Path, text: str) -> None:
    """Makes `path` hold exactly `text` in UTF-8 with the newlines as they are. Raises `MachineError`."""
    write_bytes(path, text.encode())


def append_line(path: Path, line: str) -> None:
    """Adds one line to a log and flushes it to the disk. Raises `MachineError`.

    A line that a crash tore before is closed first, so that it can't swallow this one.
    """
    if "\n" in line:
        raise ValueError("append_line takes one line, without a newline")
    with _explained(path):
        make_folder(path.parent)
        is_new = not path.exists()
        with open(path, "a+b") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - 1))
            torn = size > 0 and stream.read(1) != b"\n"
            # One write: in append mode the lines of two processes then don't mix.
            stream.write((b"\n" if torn else b"") + line.encode() + b"\n")
            _flush(stream)
        if is_new:
            disk.flush_folder(path.parent)


def write_durably(
    targets: Sequence[Path],
    write: Callable[[BinaryIO], object],
    verify: Callable[[Path], None] | None = None,
    *,
    expected_bytes: int = 0,
) -> int:
    """Writes the same file under all the names in `targets`, in this order, and gives the size of one in bytes.

    The previous files stand until then. `verify` reads a staged file and raises if it isn't what it should be; its
    name doesn't change then. `expected_bytes` is about what one file will need; too little free space is said before
    anything is written. Raises `MachineError`, and whatever `write` and `verify` raise.
    """
    staged = stage(targets[0])
    try:
        with _explained(targets[0]):
            # Beside what stands lie the staged file and, for a further name, a copy of it.
            check_free_space(staged.parent, expected_bytes * min(2, len(targets)))
            with open(staged, "xb") as stream:
                write(stream)
                size_bytes = stream.tell()
                _flush(stream)
        if verify is not None:
            with _explained(targets[0]):
                verify(staged)
        publish(staged, *targets, verify=verify)
        return size_bytes
    finally:
        # Gone already where it was published. An error here would hide the one that matters.
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)


def stage(target: Path) -> Path:
    """Gives a new name beside `target` to write to before `publish`; makes the folder. Raises `MachineError`.

    It ends as `target` does: video and image writers choose the format by that.
    """
    with _explained(target):
        make_folder(target.parent)
    # Shortened, since a name has at most 255 bytes and ours is longer than the target's.
    return target.with_name(f".{target.stem[:40]}.{uuid.uuid4().hex}{_STAGED_MARK}{target.suffix[-10:]}")


def publish(temporary: Path, *targets: Path, verify: Callable[[Path], None] | None = None) -> None:
    """Moves a finished file to its names, in this order: to the last one itself, to the others a copy each.

    Flushes the file first (whoever wrote it may not have) and the folders after; `verify` reads each copy before it
    gets its name. `temporary` must lie on the same disk as the targets; it is gone afterwards. Raises `MachineError`.
    """
    with _explained(targets[0]), open(temporary, "rb") as stream:
        os.fsync(stream.fileno())
    for target in targets[:-1]:
        _publish_copy(temporary, target, verify)
    with _explained(targets[-1]):
        make_folder(targets[-1].parent)
        os.replace(temporary, targets[-1])
    for folder in dict.fromkeys(target.parent for target in targets):
        with _explained(folder):
            disk.flush_folder(folder)


class PartialFile:
    """What is there so far of a file that comes in parts, held by one process while the `with` block runs.

    It keeps its name beside the target, so that a later process goes on where this one ended. Entering raises
    `MachineError` where another process has it, and every method where the disk says no.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(f".{target.name[:200]}{_STAGED_MARK}")
        self._target = target

    def __enter__(self) -> PartialFile:
        with _explained(self._target):
            make_folder(self._target.parent)
            self._stream = open(self.path, "a+b")
        try:
            with _explained(self.path):
                disk.hold(self._stream)
            # Its holder may have given it its name in between: what is added then would go into the finished file.
            held = self.path.exists() and os.path.samestat(os.fstat(self._stream.fileno()), self.path.stat())
        except MachineError as error:
            held = not isinstance(error.__cause__, BlockingIOError)
            if held:
                self._stream.close()
                raise
        if not held:
            self._stream.close()
            raise MachineError(f"{self._target} is being written by another process. Wait until that has ended.")
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def content(self) -> BinaryIO:
        """Its stream, from the start, to be read."""
        self._stream.seek(0)
        return self._stream

    def append(self, data: bytes) -> None:
        with _explained(self.path):
            self._stream.write(data)

    def begin_anew(self) -> None:
        with _explained(self.path):
            self._stream.truncate(0)

    def finish(self) -> None:
        """Gives it the target's name; nothing can be added any more."""
        with _explained(self.path):
            _flush(self._stream)
        publish(self.path, self._target)


def copy(existing: Path, target: Path) -> None:
    """Copies a file that is whole to another name, which replaces what had it in one move. Raises `MachineError`."""
    _publish_copy(existing, target, None)
    with _explained(target.parent):
        disk.flush_folder(target.parent)


def claim_folder(folder: Path) -> bool:
    """Makes a folder that isn't there yet and says whether it was this call that made it. Raises `MachineError`.

    Of two processes that ask for the same name, exactly one is told True.
    """
    with _explained(folder):
        make_folder(folder.parent)
        try:
            folder.mkdir()
        except FileExistsError:
            return False
        disk.flush_folder(folder.parent)
        return True


def move_folder(folder: Path, empty_folder: Path) -> None:
    """Gives `folder` the name of an empty folder beside it, which it replaces. Raises `MachineError`."""
    with _explained(folder):
        os.replace(folder, empty_folder)
        disk.flush_folder(folder.parent)


def stage_folder(folder: Path) -> Path:
    """Makes a new folder inside `folder` to fill before `publish_folder`. Raises `MachineError`."""
    staged = folder / f".{uuid.uuid4().hex}{_STAGED_MARK}"
    with _explained(staged):
        make_folder(staged)
    return staged


def publish_folder(staged: Path, target: Path) -> bool:
    """Gives a finished folder of files its name for good, its files read-only, and says whether the name was free.

    Of several that want the same name exactly one is told True; nothing is replaced, and no crash leaves a part of it.
    `staged` must lie on the same disk as `target`. Raises `MachineError`.
    """
    with _explained(target):
        for path in sorted(staged.iterdir()):
            path.chmod(0o444)
            with open(path, "rb") as stream:
                os.fsync(stream.fileno())
        disk.flush_folder(staged)
        try:
            # The system replaces nothing but an empty folder by a folder, and that in one move: so this is the claim.
            os.replace(staged, target)
        except OSError as error:
            if error.errno not in _NAME_IS_TAKEN:
                raise
            return False
        disk.flush_folder(target.parent)
        return True


def replace_folder(staged: Path, target: Path) -> None:
    """Gives a finished folder of files the name of another, which goes. Raises `MachineError`.

    A crash between the two moves leaves no folder of the name: only for what can be made again.
    """
    with _explained(target):
        for path in staged.iterdir():
            with open(path, "rb") as stream:
                os.fsync(stream.fileno())
        disk.flush_folder(staged)
        if target.exists():
            gone = target.with_name(f".{uuid.uuid4().hex}{_STAGED_MARK}")
            os.replace(target, gone)
            os.replace(staged, target)
            shutil.rmtree(gone)
        else:
            os.replace(staged, target)
        disk.flush_folder(target.parent)


def remove_folder(folder: Path) -> None:
    """Takes a folder of ours and all in it away, if it is there. An error here would hide the one that matters."""
    shutil.rmtree(folder, ignore_errors=True)


def remove(path: Path) -> None:
    """Takes a file away, if it is there. Raises `MachineError`."""
    with _explained(path):
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            disk.flush_folder(path.parent)


def clean_leftovers(folder: Path) -> tuple[str, ...]:
    """Removes what crashed writes left in `folder` and gives the names; only for who holds the folder's lock.

    Anyone else would take a staged file away from under its writer. Raises `MachineError`.
    """
    leftovers = sorted(folder.glob(f".*{_STAGED_MARK}*"))
    for leftover in leftovers:
        remove(leftover)
    return tuple(leftover.name for leftover in leftovers)


def check_free_space(folder: Path, needed_bytes: int) -> None:
    """Raises `MachineError` if the disk of `folder`, which must exist, has too little free for `needed_bytes`."""
    with _explained(folder):
        free_bytes = shutil.disk_usage(folder).free
    if needed_bytes > 0 and free_bytes < needed_bytes + _SPARE_BYTES:
        raise MachineError(
            f"The disk of {folder} has {_megabytes(free_bytes)} free, but {_megabytes(needed_bytes)} are to be written."
            f" {_REMEDIES[errno.ENOSPC]}"
        )


def explained(path: Path) -> contextlib.AbstractContextManager[None]:
    """Turns an OSError of the block into a MachineError with the path, the reason and the remedy."""
    return _explained(path)


def _publish_copy(temporary: Path, target: Path, verify: Callable[[Path], None] | None) -> None:
    """Gives `target` a flushed copy of `temporary`, which replaces it in one move."""
    another = stage(target)
    try:
        with _explained(target):
            copied = _clone_or_copy(temporary, another)
        if copied and verify is not None:
            with _explained(target):
                verify(another)
        with _explained(target):
            os.replace(another, target)
    finally:
        with contextlib.suppress(OSError):
            another.unlink(missing_ok=True)


def _clone_or_copy(source: Path, copy: Path) -> bool:
    """Says whether the bytes were written a second time, instead of shared."""
    with open(source, "rb") as reading, open(copy, "xb") as writing:
        shared = disk.share_content(reading, writing)
        if not shared:
            shutil.copyfileobj(reading, writing, 1 << 20)
        _flush(writing)
    return not shared


def _flush(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def make_folder(folder: Path) -> None:
    """Makes a folder and its parents, each flushed into its own parent, or a power cut takes the file with them."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    disk.flush_folder(folder.parent)


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turns an OSError of the block into a MachineError with the path, the reason and the remedy."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        reason = os.strerror(number) if number else str(error)
        remedy = _REMEDIES.get(number, "Check the disk and the rights of its folder.")
        raise MachineError(f"Can't write {path}: {reason}. {remedy}") from error


def _megabytes(count_bytes: int) -> str:
    return f"{count_bytes / 1e6:.1f} MB"
