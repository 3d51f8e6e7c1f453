"""Which state does a run go on from, and where does it go on? Read from the disk; nothing is changed there.

In place from the newest good file of a run's folder; in a new folder from a file that is named and is another state, or
that lies in no run's folder at all. It must not know what is wished for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from peakmark.checkpoint.catalogue import Found, has_files, newest_good, read_to_go_on
from peakmark.checkpoint.difference import differing_parts
from peakmark.checkpoint.format import Checkpoint
from peakmark.checkpoint.reader import read_position
from peakmark.record.folder import RunFolder

_ALONE = "it lies in no run's folder, so a run goes on from it in a new one"


@dataclass(frozen=True, slots=True)
class StoppedRun:
    """The state that a run goes on from."""

    folder: RunFolder
    """The run's own; of a file that lies in none, where it lies."""
    checkpoint: Checkpoint
    source: Path
    """What a user would name to go on from it: the folder, or a file."""
    elsewhere: str = ""
    """Why it goes on in another folder; empty where it does in its own."""
    refused: tuple[str, ...] = ()
    """Newer files that are damaged, a sentence each."""

    @property
    def is_alone(self) -> bool:
        """Whether it is a file that lies in no run's folder."""
        return bool(self.elsewhere) and is_alone(self.folder, self.source)


def is_alone(folder: RunFolder, asked: Path | None) -> bool:
    """Whether the named file lies in no run's folder, as one that was copied from a machine that is gone."""
    return asked is not None and asked.parent != folder.weights


def read_stopped(folder: RunFolder, asked: Path | None) -> StoppedRun | None:
    """Reads the state to go on from; `asked` is the file that the user named, if any.

    None where the run was ended before anything was saved. Raises ModelFileError where no file is whole.
    """
    if asked is not None and is_alone(folder, asked):
        return StoppedRun(folder, read_to_go_on(asked), asked, _ALONE)
    if not has_files(folder.weights):
        return None
    found = newest_good(folder.weights)
    if asked is None or _is_newest(found, asked):
        return StoppedRun(folder, found.checkpoint, folder.path, refused=found.refused)
    why = f"another state than the run's newest, {found.path.name}: a branch of it goes on in a new folder"
    return StoppedRun(folder, read_to_go_on(asked), asked, why)


def _is_newest(found: Found, asked: Path) -> bool:
    """Whether the named state is the newest: at one position there are two where settings were changed before it."""
    if read_position(asked) != found.checkpoint.position:
        return False
    return not differing_parts(read_to_go_on(asked), found.checkpoint)
