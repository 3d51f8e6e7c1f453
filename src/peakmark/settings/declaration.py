"""How is one setting declared? With its meaning, unit, range, default, group and what it bears on, in one call.

It must not know any particular setting; those are in `fields.py`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

import annotated_types
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

BearsOn = Literal["result", "content", "execution", "output"]
"""What another value changes.

result: the course of the run, and so its digest. content: only where an input lies; what lies there is fingerprinted,
its place is not. execution: how fast, where, or for how long the run is worked on. output: what is written, and where.
"""

REQUIRED: Any = ...
"""As a default: the setting must be given."""

CacheMode = Literal["auto", "off", "ram", "disk", "device"]
_USUAL_SHARE = 0.6
"""Of the memory, for batch=-1, as in the field."""
LAST_LAYER_TO_FREEZE = 21
"""Layer 22 is the detection head; a run that doesn't train its head learns nothing."""


class SettingsModel(BaseModel):
    """What all three kinds of settings share: nothing changes after the check, nothing unknown, nothing infinite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


def setting(
    default: Any,
    meaning: str,
    group: str,
    bears_on: BearsOn,
    *,
    unit: str | None = None,
    unset: str | None = None,
    added: bool = False,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
) -> Any:
    """Declares a setting; `unset` says in words what None comes to, and the last four are its range.

    `added`: it bears on the result, came when there were runs without it, and at its default they are what they were.
    """
    extra: dict[str, Any] = {"group": group, "bears_on": bears_on, "unit": unit, "unset": unset, "added": added}
    return Field(default, description=meaning, json_schema_extra=extra, gt=gt, ge=ge, lt=lt, le=le)


# --- values that are written in more than one way -------------------------------------------------------------------


def _number(value: Any) -> Any:
    # Python counts True as 1: without this, lr0=True trains with a learning rate of 1.
    if isinstance(value, bool):
        raise PydanticCustomError("bool_for_number", "a number is needed")
    return value


def _whole(value: Any) -> Any:
    # 1e2 is 100, on a command line as in Python; 2.5 stays what it is, and is refused.
    if isinstance(value, str) and "e" in value.lower():
        with contextlib.suppress(ValueError, OverflowError):
            return int(number) if (number := float(value)).is_integer() else value
    return _number(value)


def _text(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _device(value: Any) -> Any:
    if value is None or (isinstance(value, str) and not value.strip(" []()")):
        return None
    items = value.strip(" []()").split(",") if isinstance(value, str) else value
    if isinstance(items, list | tuple):
        if len(items) != 1:
            raise ValueError("names more than one device; a run uses one, e.g. device=0 or device=cpu")
        value = items[0]
    text = str(value).strip().strip("'\"").lower()
    if text in ("cpu", "cpu:0"):
        return "cpu"
    if text == "mps" or text.startswith("mps:"):
        raise ValueError(
            "is Apple's GPU, on which no run has been checked to be exact; write device=cpu, which is exact there too"
        )
    number = "0" if text == "cuda" else text.removeprefix("cuda:")
    if not number.isdecimal():
        raise ValueError("is no device; write cpu, cuda, cuda:1 or the number of a GPU")
    return f"cuda:{int(number)}"


def _cache(value: Any) -> Any:
    if isinstance(value, bool):
        return "ram" if value else "off"
    mode = str(value).strip().lower()
    if mode not in get_args(CacheMode):
        raise ValueError("is none of auto, False, ram, disk and device")
    return mode


def _optimizer(value: Any) -> Any:
    known = {name.lower(): name for name in ("auto", "SGD", "Adam", "AdamW")}
    return known.get(str(value).strip().lower(), value)


def _images_or_share(value: Any, number_of_images: ValidatorFunctionWrapHandler) -> Any:
    """-1 is the share of the memory that is usual; a share stays one until a run begins."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        number = float(value)
        if number == -1 or 0 < number < 1:
            return _USUAL_SHARE if number == -1 else number
    return number_of_images(value)


def _share_of_size(value: Any) -> Any:
    return {True: 0.5, False: 0.0}[value] if isinstance(value, bool) else value


def _off_below_zero(value: Any) -> Any:
    # The peer writes -1 for "off"; 0 says the same here, so that one wish has one value.
    return 0 if value in (-1, "-1", False) and value is not True else _number(value)


def _checkpoint(value: Any) -> Any:
    return None if value is False else _text(value)


def _place(value: Any) -> Any:
    text = _text(value)
    if not isinstance(text, str) or not text or "://" in text or "::" in text:
        return text
    # A run that is resumed from another folder must not go on to another place.
    return os.path.abspath(os.path.expanduser(text))


def _devices(value: Any) -> Any:
    """One device, or several GPUs: 0,1 whatever way they were written."""
    items = value.strip(" []()").split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or len(items) < 2:
        return _device(value)
    names = [str(_device(item)).removeprefix("cuda:") for item in items]
    if not all(name.isdigit() for name in names) or len(set(names)) < len(names):
        raise ValueError("names several devices, which have to be GPUs, each once, e.g. device=0,1")
    return ",".join(names)


def _items(value: Any) -> Iterable[Any]:
    """What a list holds, or a text such as `0,2`; anything else is one item."""
    if isinstance(value, str) and "," in value:
        return [item.strip() for item in value.split(",") if item.strip()]
    return value if isinstance(value, list | tuple | range | set) else (value,)


def _indices(value: Any, what: str) -> tuple[int, ...]:
    items: Iterable[Any] = _items(value)
    try:
        numbers = sorted({int(str(item)) for item in items})
    except ValueError:
        raise ValueError(f"is no list of {what} such as [0,2]") from None
    if numbers and numbers[0] < 0:
        raise ValueError(f"has {numbers[0]}, and {what} start at 0")
    return tuple(numbers)


def _layers(value: Any) -> Any:
    if value is None or value is False:
        return ()
    count_or_list = _indices(value, "layer numbers")
    is_count = not isinstance(value, list | tuple | range | set) and not (isinstance(value, str) and "," in value)
    layers = tuple(range(count_or_list[0])) if is_count else count_or_list
    if layers and layers[-1] > LAST_LAYER_TO_FREEZE:
        raise ValueError(
            f"freezes layer {layers[-1]}; layers 0 to {LAST_LAYER_TO_FREEZE} can be frozen, the detection head can't"
        )
    return layers


def _classes(value: Any) -> Any:
    """Numbers come as numbers, in their order; names as they are: which class has which name is known elsewhere."""
    if value is None:
        return None
    items = [str(item).strip().strip("'\"") for item in _items(value)]
    if all(item.lstrip("-").isdecimal() for item in items):
        return _indices(items, "class numbers")
    if not all(items) or any(isinstance(item, float | bool) for item in _items(value)):
        raise ValueError("is no list of classes such as [0,2] or [cat,dog]")
    return tuple(int(item) if item.isdecimal() else item for item in dict.fromkeys(items))


Whole = Annotated[int, BeforeValidator(_whole)]
Real = Annotated[float, BeforeValidator(_number)]
Text = Annotated[str, BeforeValidator(_text)]
Device = Annotated[str | None, BeforeValidator(_device)]
Devices = Annotated[str | None, BeforeValidator(_devices)]
"""One, or several GPUs as `0,1`."""
Cache = Annotated[CacheMode, BeforeValidator(_cache)]
BatchSize = Annotated[int, BeforeValidator(_whole), annotated_types.Ge(1), WrapValidator(_images_or_share)]
"""A number of images; or, until a run begins and settles it, a share of the memory above 0 and below 1."""
Optimizer = Annotated[Literal["auto", "SGD", "Adam", "AdamW"], BeforeValidator(_optimizer)]
ShareOfSize = Annotated[float, BeforeValidator(_share_of_size)]
Period = Annotated[int, BeforeValidator(_off_below_zero)]
Checkpoint = Annotated[str | None, BeforeValidator(_checkpoint)]
Place = Annotated[str, BeforeValidator(_place)]
"""A folder, made absolute, or a URL that fsspec knows."""
Layers = Annotated[tuple[int, ...], BeforeValidator(_layers)]
"""freeze=10 is written out as (0, 1, ... 9), and None as ()."""
Classes = Annotated[tuple[int | str, ...] | None, BeforeValidator(_classes)]
"""Numbers or names, or both."""
