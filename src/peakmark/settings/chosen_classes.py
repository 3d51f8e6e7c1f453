"""Which classes does a choice mean? Names and numbers, as a setting holds them, held against the classes there are.

It must not know what becomes of the classes that are left out.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from peakmark.errors import SettingsError

_NAMES_LISTED = 20


def class_numbers(wishes: Sequence[int | str] | None, names: Sequence[str], whose: str) -> tuple[int, ...] | None:
    """Gives the numbers of the chosen classes, each once and ascending; None, which chooses nothing, means all.

    A name means every class that is called so. `whose`: who has these classes, for a person. Raises SettingsError with
    each wish that is none of them, and where nothing is chosen at all.
    """
    if wishes is None:
        return None
    if not wishes:
        raise SettingsError([f"classes=[] chooses no class; leave it out for all of them: {_listed(names, whose)}."])
    wrong = [text for wish in wishes if (text := _what_is_wrong(wish, names, whose))]
    if wrong:
        raise SettingsError(wrong)
    chosen = set(wishes)
    return tuple(number for number, name in enumerate(names) if number in chosen or name in chosen)


def in_words(numbers: Sequence[int], names: Sequence[str]) -> str:
    """Names a choice of classes as a setting and for a person: classes=[0,2] (cat, dog)."""
    return f"classes=[{','.join(map(str, numbers))}] ({_shortened([names[number] for number in numbers])})"


def _what_is_wrong(wish: int | str, names: Sequence[str], whose: str) -> str:
    if isinstance(wish, int):
        return "" if wish < len(names) else f"classes has {wish}, and {_listed(names, whose)}."
    if wish in names:
        return ""
    near = difflib.get_close_matches(wish, names, n=1)
    nearest = f"; the nearest one is {near[0]!r}" if near else ""
    return f"classes has {wish!r}, which {whose} doesn't know{nearest}; {_listed(names, whose)}."


def _listed(names: Sequence[str], whose: str) -> str:
    numbers = "0" if len(names) == 1 else f"0 to {len(names) - 1}"
    return f"the classes of {whose} are {numbers}: {_shortened(names)}"


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMES_LISTED]) + (", ..." if len(names) > _NAMES_LISTED else "")
