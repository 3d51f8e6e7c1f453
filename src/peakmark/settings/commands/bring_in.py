"""Which settings are there for bringing a model of another program in? Those of import, as `use` has those of val.

What a setting does is not known here, only what it means; that it has its effect is a test.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator

from peakmark.settings.declaration import SettingsModel, Text, Whole, setting
from peakmark.settings.shared_words import INPUT, OUTPUT


def _names(value: Any) -> Any:
    """In the order in which they are given, which is that of their numbers."""
    if value is None:
        return None
    items = value.split(",") if isinstance(value, str) else value
    if isinstance(items, dict):
        items = [items[number] for number in sorted(items)]
    names = tuple(str(item).strip().strip("'\"") for item in items) if isinstance(items, list | tuple) else ()
    if not names or not all(names):
        raise ValueError("is no list of class names such as [cat,dog]")
    return names


ClassNames = Annotated[tuple[str, ...] | None, BeforeValidator(_names)]


class ImportSettings(SettingsModel):
    """How a model of another program is brought in. Which file is an argument of its own, not a setting."""

    to: Text | None = setting(
        None, "file to write; none is written over", OUTPUT, "output", unset="NAME-imported.pt in this folder"
    )
    names: ClassNames = setting(
        None,
        "the classes, in the order of their numbers, e.g. [cat,dog]",
        INPUT,
        "content",
        unset="as the file names them; bare tensors name none",
    )
    imgsz: Whole | None = setting(
        None, "image size that it was trained with", INPUT, "content", unit="px", unset="as the file says", ge=32
    )
    download: bool = setting(
        False, "fetch a known model such as yolov8n.pt, under its makers' licence", INPUT, "execution"
    )
    sha256: Text | None = setting(
        None, "the SHA-256 that the file must have", INPUT, "execution", unset="what it has is shown"
    )
