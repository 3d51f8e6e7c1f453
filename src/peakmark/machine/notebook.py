"""Is this a notebook, and how does something come into the output of its cell? The one place that knows IPython.

IPython is looked for only where it is loaded already: outside a notebook nothing of it is needed. Must not know what is
shown.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from typing import Any


def in_notebook() -> bool:
    """Whether a notebook's kernel runs this code: Jupyter, Colab and their like, not IPython on a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class OutputBox:
    """One output of a cell that can be drawn over; what is drawn later doesn't pile up below it."""

    def __init__(self) -> None:
        self._handle: Any = None

    def draw(self, shown: Mapping[str, str]) -> None:
        """Shows content by its media types (text/html, text/plain ...), in place of what was drawn before."""
        if self._handle is None:
            display = importlib.import_module("IPython.display").display
            self._handle = display(dict(shown), raw=True, display_id=True)
        else:
            self._handle.update(dict(shown), raw=True)


def show(thing: object) -> None:
    """Shows an object as the last line of a cell would."""
    importlib.import_module("IPython.display").display(thing)
