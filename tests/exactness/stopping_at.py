"""A training in a process of its own that waits, at a chosen moment, for somebody to end it.

Run as a program: the words of the command line come last, an event's name and its number first. When that event comes,
it prints WAITING and reads a line before it goes on.
"""

from __future__ import annotations

import sys
from typing import Any

from peakmark.cli.main import run
from peakmark.report.terminal.console import ConsoleObserver


def main() -> None:
    kind, number, *words = sys.argv[1:]
    told = ConsoleObserver.__call__
    left = int(number)

    def wait(self: ConsoleObserver, event: Any) -> None:
        nonlocal left
        left -= type(event).__name__ == kind
        if left == 0 and type(event).__name__ == kind:
            print("WAITING", flush=True)
            sys.stdin.readline()
        told(self, event)

    ConsoleObserver.__call__ = wait  # type: ignore[method-assign]
    sys.argv = ["peakmark", *words]
    run()


if __name__ == "__main__":
    main()
