"""What do the names, calls and collections of a pickle become, if nothing of it is run? Plain data.

It must not know how a pickle is written, nor what its data mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

ORDERED_DICT = "collections.OrderedDict"
_LARGEST_KEY = 1 << 60
"""Larger whole numbers can be chosen so that all have the same hash: each is then compared with all before it."""


class PickleError(ValueError):
    """No pickle, or none that is sensible; the message is the end of a sentence that names the file."""


@dataclass(frozen=True, slots=True)
class ForeignName:
    """What stands for a class or function of the file."""

    name: str
    """module.name; in nothing else than text."""


class ForeignObject:
    """What stands for an object of the file: the name it was made by, what it was made from, and its state."""

    __slots__ = ("args", "name", "state")

    def __init__(self, name: str, args: tuple[Any, ...]) -> None:
        self.name = name
        self.args = args
        self.state: Any = None


@dataclass(frozen=True, slots=True)
class Unpickled:
    """What a pickle says."""

    root: Any
    """Dicts, lists, tuples, strings, bytes, numbers, None, and `ForeignName` and `ForeignObject` for all else. Parts
    may be shared or lie in themselves: the tree may be endless to whoever walks it."""
    names: tuple[str, ...]
    """Of classes and functions, in the order in which they come."""
    instructions: int
    """Each float counted as one. A tree in which nothing is shared has fewer nodes."""


def called(named: Any, args: Any) -> Any:
    if not isinstance(named, ForeignName | ForeignObject) or not isinstance(args, tuple):
        raise TypeError
    if named.name != ORDERED_DICT:
        return ForeignObject(named.name, args)
    made: dict[Any, Any] = {}
    for pairs in args[:1]:
        for pair in pairs:
            key, item = pair
            put(made, [key, item])
    return made


def append(to: Any, items: Sequence[Any]) -> None:
    """Lets go of what is handed to an object: no collection of another program is looked into."""
    if isinstance(to, list):
        to.extend(items)
    elif not isinstance(to, ForeignObject):
        raise TypeError


def put(into: Any, keys_and_items: Sequence[Any]) -> None:
    """Puts key, item, key, item ... into a dict; lets go of them as `_append` does."""
    if isinstance(into, ForeignObject):
        return
    if not isinstance(into, dict) or len(keys_and_items) % 2:
        raise TypeError
    for index in range(0, len(keys_and_items), 2):
        key = keys_and_items[index]
        if type(key) is not str:
            _check_key(key)
        into[key] = keys_and_items[index + 1]


def _check_key(key: Any) -> None:
    parts = key if isinstance(key, tuple) else (key,)
    for part in parts:
        # A tuple in a tuple isn't taken: hashing goes as deep as they are nested, and there the process ends.
        if isinstance(part, list | dict | tuple) or (isinstance(part, int) and abs(part) > _LARGEST_KEY):
            raise PickleError("a dict in it has a key that no dict should have")
