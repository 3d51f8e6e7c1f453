"""Is every value that a file says of the kind that the program takes it for? Held against the types of the nouns.

A digest proves that a file is as it was written, not that Peakmark wrote it. A text among the numbers would otherwise
end some command, much later, in a traceback. It must not know which values make sense.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, Literal

import torch

_LARGEST = 1 << 63


def check_kinds(noun: Any) -> None:
    """Raises TypeError, naming the field, where a value in a dataclass is not of the type that it declares."""
    for name, hint in _hints(typing.cast(Hashable, type(noun))).items():
        if not _fits(getattr(noun, name), hint):
            raise TypeError(f"{name} is not what it should be: {getattr(noun, name)!r:.60}")


def check_optimizer(state: Mapping[str, Any]) -> None:
    """Raises TypeError where an optimizer's state is not built as torch's `state_dict()` builds it, or empty."""
    if not state:
        return
    groups, of_parameters = state.get("param_groups"), state.get("state")
    built = (
        isinstance(groups, list)
        and all(isinstance(group, dict) and _are_numbers(group.get("params")) for group in groups)
        and isinstance(of_parameters, dict)
        and all(type(number) is int and isinstance(moments, dict) for number, moments in of_parameters.items())
    )
    if not built:
        raise TypeError("optimizer is not what it should be: not built as torch builds its state")


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(number) is int for number in value)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    # Losses are terms of float. Their fields are declared with a variable for that, and no value is of its type.
    for base in getattr(kind, "__orig_bases__", ()):
        variables = getattr(typing.get_origin(base), "__parameters__", ())
        meant = dict(zip(variables, typing.get_args(base), strict=True))
        hints = {name: meant.get(hint, hint) for name, hint in hints.items()}
    return hints


def _fits(value: Any, hint: Any) -> bool:
    if hint is Any:
        return _is_plain(value)
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin is tuple:
        # All tuples of nouns are of any length. Those of floats are the long ones: a value per class and epoch.
        floats = isinstance(value, tuple) and parts[0] is float and all(type(item) is float for item in value)
        return floats or (isinstance(value, tuple) and all(_fits(item, parts[0]) for item in value))
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(_fits(k, parts[0]) and _fits(v, parts[1]) for k, v in value.items())
    if dataclasses.is_dataclass(hint):
        return isinstance(value, typing.cast(type, hint)) and all(
            _fits(getattr(value, name), inner) for name, inner in _hints(typing.cast(type, hint)).items()
        )
    if hint in (int, float):
        return _is_number(value) and (hint is float or isinstance(value, int))
    return isinstance(value, types.NoneType if hint is None else hint)


def _is_number(value: Any) -> bool:
    """Whole numbers are those of a machine: a longer one can't be counted with, nor written down in a moment."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, float) or abs(value) < _LARGEST


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str | int) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return isinstance(value, str | bool | torch.Tensor | None) or _is_number(value)
