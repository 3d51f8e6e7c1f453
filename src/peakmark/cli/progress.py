"""How is it shown how far a video is? As a bar on a terminal; elsewhere each frame has its line.

It must not know how anything was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from peakmark.shown import as_shown

if TYPE_CHECKING:
    from peakmark.deploy.results import Results  # loading it would load torch, also for a help


@contextmanager
def shown_results(console: Console) -> Iterator[Found]:
    """Shows results as they come, and leaves a line for each video behind."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    is_live = console.is_terminal and not console.is_dumb_terminal
    with Progress(*columns, console=console, transient=True, disable=not is_live) as progress:
        found = Found(console, progress if is_live else None)
        try:
            yield found
        finally:
            found.end_video()


class Found:
    """Says what was found: a line for each picture, and on a terminal a bar for a video."""

    def __init__(self, console: Console, progress: Progress | None) -> None:
        self._console = console
        self._progress = progress
        self._task: int | None = None
        self._video = ""
        self._frames = self._objects = 0
        self._took_ms = 0.0

    def show(self, result: Results) -> None:
        """Shows one result."""
        if self._progress is None or result.origin.kind != "video":
            self.end_video()
            self._line(found_in_words(result))
            return
        origin = result.origin
        if self._task is None or self._video != result.path or origin.index == 0:
            self.end_video()
            # Of every n-th frame the number is known as well: it is that of the video.
            self._task = self._progress.add_task(result.path, total=origin.count)
            self._video = result.path
        self._frames += 1
        self._objects += len(result)
        self._took_ms += sum(result.speed.values())
        words = as_shown(f"{result.path}: {result.verbose()}")
        self._progress.update(self._task, completed=origin.index + 1, description=words)  # type: ignore[arg-type]

    def end_video(self) -> None:
        """Takes the bar away and says what the video came to."""
        if self._progress is None or self._task is None:
            return
        self._progress.remove_task(self._task)  # type: ignore[arg-type]
        found = f"{_counted(self._objects, 'object')} in {_counted(self._frames, 'frame')}"
        self._line(f"{self._video}: {found}, {self._took_ms / self._frames:.1f} ms a frame")
        self._task, self._frames, self._objects, self._took_ms = None, 0, 0, 0.0

    def _line(self, text: str) -> None:
        self._console.print(Text(as_shown(text)), soft_wrap=True)


def found_in_words(result: Results) -> str:
    """A line that can be told from those of other frames, with what the picture took."""
    took_ms = sum(result.speed.values())
    frame = f", frame {result.origin.index + 1}" if result.origin.kind == "video" else ""
    of = f" of {result.origin.count}" if frame and result.origin.count else ""
    return f"{result.path}{frame}{of}: {result.verbose()}, {took_ms:.1f} ms"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")
