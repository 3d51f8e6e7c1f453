"""Does the person at the terminal agree? Asked only where there is one, and nothing is done without a yes."""

from __future__ import annotations

import sys

from peakmark.shown import as_shown


def agreed_at_terminal(question: str) -> bool:
    """Asks a question that yes or no answers; False where nobody can be asked, and for any answer but yes."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    sys.stderr.write(f"{as_shown(question, lines=True)} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
