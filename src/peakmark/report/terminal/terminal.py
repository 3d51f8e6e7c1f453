"""What are results printed on? A console of rich that shows what others wrote and never obeys it.

It must not know what is printed.
"""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from peakmark.shown import as_shown


class Terminal(Console):
    """A console on which the characters of a class or a file can't move the cursor or set the window's title."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Gives the segments of what is printed; rich takes out a few control characters only."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else as_shown(segment.text, lines=True)
            yield segment if text == segment.text else Segment(text, segment.style)
