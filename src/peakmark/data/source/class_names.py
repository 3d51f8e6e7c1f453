"""What are the classes of a data.yaml called? As a list or a mapping, as numbers or as text; or only how many.

It must not know where the images are.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any


def class_names(
    content: Mapping[str, Any], problems: list[str], notes: list[str], *, equal_names: bool = False
) -> tuple[str, ...]:
    """Gives the names in the order of their numbers; empty where something is wrong, which `problems` then says.

    `equal_names`: whether two classes may be called the same, which `notes` then says.
    """
    names, count = content.get("names"), content.get("nc")
    counted = _count(count, problems)
    if names is None or names in ([], {}):
        if counted is not None:
            shown = "class_0" if counted == 1 else f"class_0 to class_{counted - 1}"
            notes.append(f"The data.yaml gives no names, only nc: {counted}; the classes are called {shown}.")
            return tuple(f"class_{number}" for number in range(counted))
        if count is None:
            problems.append("the key names is missing: list the classes, e.g. names: [cat, dog]")
        return ()
    listed = _in_order(names, problems)
    if not listed:
        return ()
    before = len(problems)
    for number, name in enumerate(listed):
        # yaml reads a bare yes, no, on or off as a truth value: the class `no` would quietly become `False`.
        if isinstance(name, bool) or not isinstance(name, str | int | float) or not str(name).strip():
            problems.append(f"the name of class {number} is {name!r}, which is not text: put it in quotes")
    if len(problems) > before:
        return ()
    for first, number, name in _equal_names(listed):
        same = f"lasses {first} and {number} have the same name, {name!r}"
        if equal_names:
            notes.append(f"C{same}: what began with such names goes on with them, but a new run is refused.")
        else:
            problems.append(
                f"c{same}: give each a name of its own, or, if they are one class, write {first} for {number} in the"
                " labels"
            )
    if counted is not None and counted != len(listed):
        problems.append(f"nc is {count!r}, but names has {len(listed)} classes: correct one of them or leave nc out")
    return tuple(str(name) for name in listed)


def _in_order(names: Any, problems: list[str]) -> list[Any]:
    if isinstance(names, list):
        return names
    if not isinstance(names, dict):
        problems.append(f"names must be a list or a mapping from number to name, not {names!r}")
        return []
    # Tools that go through JSON write the numbers as text.
    numbered = {_number(key): name for key, name in names.items()}
    if None in numbered or sorted(numbered, key=str) != sorted(range(len(names)), key=str):
        keys = ", ".join(repr(key) for key in names)
        problems.append(f"the classes in names must be numbered 0 to {len(names) - 1} without holes, not {keys}")
        return []
    return [numbered[number] for number in range(len(names))]


def _number(key: Any) -> int | None:
    if isinstance(key, str) and key.strip().isdecimal():
        return int(key)
    return key if isinstance(key, int) and not isinstance(key, bool) else None


def _count(value: Any, problems: list[str]) -> int | None:
    if value is None:
        return None
    number = _number(value)
    if number is None or number < 1:
        problems.append(f"nc is {value!r}; it must be the number of classes: correct it or leave it out")
        return None
    return number


def _equal_names(names: Sequence[Any]) -> list[tuple[int, int, str]]:
    """Gives the numbers and the name of classes that could not be told apart in any table, formula or file."""
    numbers: dict[str, int] = {}
    found = []
    for number, name in enumerate(names):
        looks = unicodedata.normalize("NFC", str(name).strip())
        first = numbers.setdefault(looks, number)
        if first != number:
            found.append((first, number, looks))
    return found
