"""Can what a user gave be the path of anything, and of a file that may be opened? The one place that says why not.

It must not know what the path is for, beyond the name it is told.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from peakmark.errors import SettingsError

_SHOWN_CHARACTERS = 80


def given_path(text: str | Path, what: str) -> Path:
    """Gives the path that a user wrote, ~ followed. It need not exist.

    Raises `SettingsError`, naming it as `what`, where no path can be meant: a NUL character, a name that is longer than
    the file system takes, a ~ of nobody.
    """
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:
        shown = _shortened(str(text))
        raise SettingsError([f"{what}={shown}: there is no such user; write the folder's path in full."]) from error
    return possible_path(path, what)


def possible_path(path: Path, what: str) -> Path:
    """Gives the path back as it is, or raises as `given_path`: for names that stand in a file, where ~ is a name."""
    shown = _shortened(str(path))
    if "\0" in str(path):
        raise SettingsError([f"{what}={shown!r}: a path can't hold a NUL character; correct it."])
    try:
        os.stat(path)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise SettingsError(
                [f"{what}={shown}: a name in this path is longer than the file system takes; correct it."]
            ) from error
        if error.errno == errno.ELOOP:
            raise SettingsError([f"{what}={shown}: its links lead round in circles; correct them."]) from error
    return path


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def is_special(path: Path) -> bool:
    """Whether this is there and neither a regular file nor a folder: to read a pipe or a device may never end."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


NO_FILE_WORDS = "this is a pipe or a device and no regular file; give a file"
