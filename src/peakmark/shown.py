"""How is text that others wrote shown, so that nothing obeys it? Names of files, classes and runs come from anywhere.

A terminal obeys control characters, a spreadsheet what begins like a formula; half a surrogate pair, which a file name
that is no UTF-8 leaves in a text, ends the process when OpenCV draws it. Files of ours keep the name itself; what is
shown passes here. This file knows no other file of the package.
"""

from __future__ import annotations

import re

_OBEYED = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters
    "\u200e\u200f\u202a-\u202e\u2066-\u2069"  # they turn the direction of what follows
    "\u2028\u2029"  # line ends for some
    "\ud800-\udfff]"  # halves of pairs
)
_OBEYED_BUT_LINE_ENDS = re.compile(_OBEYED.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))
_BEGINS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_shown(text: str, *, lines: bool = False) -> str:
    r"""Gives text with each character that a terminal would obey, or that can't be drawn, written as \uNNNN.

    That is what JSON writes too, so JSON that is shown stays JSON. `lines` lets line ends stand.
    """
    pattern = _OBEYED_BUT_LINE_ENDS if lines else _OBEYED
    return pattern.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def as_cell(text: str) -> str:
    """Gives text for a cell of a table that a spreadsheet may open: as it is shown, never taken for a formula."""
    return ("'" if text.startswith(_BEGINS_A_FORMULA) else "") + as_shown(text)
