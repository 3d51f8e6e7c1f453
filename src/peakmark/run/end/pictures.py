"""What if a picture or a page can't be drawn? That is said, and the run goes on: no picture is worth a training."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from peakmark.events import Event, Notice, Observer


def drawn(what: str, draw: Callable[[], None], tell: Observer) -> bool:
    """Draws, and gives whether that went well; where it did not, `tell` learns why.

    The one place that catches everything: drawing goes through libraries that raise whatever they like, from a font
    that is missing to memory that is used up, and what they draw from stands. `what` begins a sentence.
    """
    try:
        draw()
    except Exception as error:  # noqa: BLE001 - see above
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__} in {place.filename}, line {place.lineno}"
        reason = " ".join(str(error).split()) or "no reason is given"
        tell(Notice(f"{what} could not be drawn: {reason} ({where}). Nothing else is harmed.", serious=True))
        return False
    return True


class WhileItGoes:
    """Draws while a run goes on; after its first failure no more, which would only fail again."""

    def __init__(self, draw: Observer, tell: Observer) -> None:
        self._draw = draw
        self._tell = tell
        self._goes_well = True

    def __call__(self, event: Event) -> None:
        if self._goes_well:
            # Meanwhile nothing: what is told of a failure comes by here as well.
            self._goes_well = False
            self._goes_well = drawn("The pictures of training batches", lambda: self._draw(event), self._tell)
