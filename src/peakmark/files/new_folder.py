"""How does a folder of many files come to be, all of it or nothing? It is filled beside its name and then given it.

Nothing that is there is written over. The files are flushed together, since a hundred thousand flushes, one for each,
take longer than all else. It must not know what is in the files.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Literal

from peakmark.errors import SettingsError
from peakmark.files import disk, durable

How = Literal["link", "copy", "symlink"]
"""How a file that stands elsewhere gets into the folder: under a second name (copied where the disk can't do that), as
bytes of its own, or as a pointer to where it stands."""

_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EACCES, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}


class NewFolder:
    """A folder that is filled in a `with` block and has its name after `publish`; without that it is gone."""

    def __init__(self, target: Path) -> None:
        """Raises SettingsError where there is something under its name."""
        self.target = target.absolute()
        self.copied = 0
        """Files that were to be linked, and had to be copied."""
        self._made: set[Path] = set()
        self._check_free()

    def __enter__(self) -> NewFolder:
        self._staged = durable.stage_folder(self.target.parent)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        durable.remove_folder(self._staged)  # gone already where it was published

    def write(self, name: str, content: bytes) -> None:
        """Writes a new file, its folders with it. Raises MachineError."""
        path = self._place(name)
        with durable.explained(self.target / name), open(path, "xb") as stream:
            stream.write(content)

    def place(self, name: str, file: Path, how: How) -> None:
        """Brings in a file that stands elsewhere, which stays as it is. Raises MachineError."""
        path = self._place(name)
        with durable.explained(self.target / name):
            real = os.path.realpath(file)
            if how == "symlink":
                os.symlink(real, path)
            elif how == "copy" or not self._linked(real, path):
                shutil.copyfile(real, path)

    def publish(self) -> None:
        """Gives the folder its name. Raises SettingsError where something has it by now, and MachineError."""
        with durable.explained(self.target):
            # A rename that outlives its files after a power cut would leave a data set of empty files.
            disk.flush_all()
            try:
                os.rename(self._staged, self.target)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
                self._check_free()
                raise

    def _linked(self, real: str, path: Path) -> bool:
        try:
            os.link(real, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self.copied += 1
            return False
        return True

    def _place(self, name: str) -> Path:
        path = self._staged / name
        if path.parent not in self._made:
            with durable.explained(self.target / name):
                path.parent.mkdir(parents=True, exist_ok=True)
            self._made.add(path.parent)
        return path

    def _check_free(self) -> None:
        taken = self.target.is_symlink() or self.target.exists()
        if taken and not (self.target.is_dir() and not self.target.is_symlink() and not any(self.target.iterdir())):
            raise SettingsError(
                [f"{self.target}: there is something of this name, and nothing is written over: name a new folder."]
            )
