"""What is kept and said when an error ends a run? What was trained is saved first, then the error comes as it was.

A run's state stands at the start of a window, or between two epochs, whatever is raised. It must not know what went
wrong, and nothing that fails here takes the error's place.
"""

from __future__ import annotations

from typing import Protocol

from peakmark.errors import DataError, MachineError, PeakmarkError
from peakmark.events import Notice, Observer
from peakmark.machine.devices import Arithmetic
from peakmark.record.folder import RunFolder
from peakmark.settings.fields import Settings
from peakmark.state.state import RunState

ALSO_FAILS = (PeakmarkError, OSError, RuntimeError, MemoryError)
"""What saving may raise after an error: a full disk, no memory for a snapshot, a GPU that answers nothing any more."""


class Saves(Protocol):
    """Puts the state on disk."""

    @property
    def closed(self) -> bool: ...
    def keep_position(self, state: RunState) -> None: ...
    def close(self) -> None: ...


def save_what_stands(state: RunState, keeper: Saves) -> str:
    """Saves the state if it is whole, and waits for the disk; gives in words what is not saved, and why, or nothing.

    A keeper that is closed has the last state already, or tries once more.
    """
    try:
        if state.whole and not keeper.closed:
            keeper.keep_position(state)
        keeper.close()
    except ALSO_FAILS as error:
        return f"What was trained since the last save is not saved. {error}"
    if not state.whole:
        return "The error came in the middle of an update, so what was trained since the last save is not saved."
    return ""


def tell_what_stands(error: BaseException, not_saved: str, folder: RunFolder, tell: Observer) -> None:
    """Tells what of a run is on the disk and how to resume it. Raises `error` where telling fails as well."""
    if not_saved:
        text = f"{not_saved} Go on from the last save with: peakmark resume"
    elif isinstance(error, DataError):
        text = "All that was trained is saved. With the data as it was, resume with: peakmark resume"
    else:
        text = "All that was trained is saved. Resume with: peakmark resume"
    try:
        tell(Notice(f"{text} {folder.path}", serious=True))
    except Exception:  # noqa: BLE001 - whoever watches may be what failed in the first place
        raise error from error.__cause__


def out_of_memory(settings: Settings, arithmetic: Arithmetic, folder: RunFolder | None) -> MachineError:
    """Says what would help where the memory is used up, and the command that does it.

    `folder` is None in a process that doesn't lead: the one that leads names it.
    """
    batch, imgsz = settings.batch, settings.imgsz
    ways = ["a smaller batch (gradients still gather up to nbs)"] if batch > 1 else []
    ways += ["a smaller imgsz", "a smaller model"]
    if arithmetic.precision == "float32" and not settings.amp:
        ways.append("amp=True, where the device has half precision")
    if settings.cache in ("ram", "device"):
        ways.append(f"cache={'disk' if settings.cache == 'ram' else 'ram'}, which leaves the network what images take")
    least_px = 32
    change = f"batch={batch // 2}" if batch > 1 else f"imgsz={max(least_px, imgsz // 2 // least_px * least_px)}"
    return MachineError(
        f"The memory is used up at batch={batch}, imgsz={imgsz}: take {', '.join(ways[:-1])} or {ways[-1]}; for"
        f" instance: {f'peakmark resume {folder.path} ' if folder else ''}{change}"
    )
