"""Which settings are there for converting a data set from one format to another?

What a setting does is not known here, only what it means; that it has its effect is a test.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from peakmark.settings import shared_settings as shared
from peakmark.settings.declaration import REQUIRED, SettingsModel, Text, Whole, setting
from peakmark.settings.shared_words import INPUT, OUTPUT


def _shares(value: Any) -> Any:
    items = value.strip(" []()").split(",") if isinstance(value, str) else value
    if items is None or not isinstance(items, list | tuple):
        return value
    try:
        shares = tuple(float(item) for item in items)
    except (TypeError, ValueError):
        raise ValueError("is no list of shares such as 0.8,0.1,0.1") from None
    whole = len(shares) in (2, 3) and all(math.isfinite(share) and share >= 0 for share in shares)
    if not whole or shares[0] == 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise ValueError("must be shares of train, val and test (or of the first two) that make 1, e.g. 0.8,0.1,0.1")
    return shares


def _names(value: Any) -> Any:
    items = value.strip(" []()").split(",") if isinstance(value, str) else value
    if items is None or not isinstance(items, list | tuple):
        return value
    names = tuple(str(item).strip().strip("'\"") for item in items)
    if not all(names) or len(set(names)) < len(names):
        raise ValueError("must be names of classes, each once, e.g. [cat,dog]")
    return names


Shares = Annotated[tuple[float, ...] | None, BeforeValidator(_shares)]
Names = Annotated[tuple[str, ...] | None, BeforeValidator(_names)]
FormatName = Literal["yolo", "coco", "voc", "labelme"]


class ConvertSettings(SettingsModel):
    """The settings of a conversion."""

    source: Text = setting(REQUIRED, "the data set: a data.yaml, a COCO file, or a folder", INPUT, "content")
    # Python keeps the word from for itself; on the command line it is from=.
    from_: FormatName | None = setting(
        None, "the format of the source", INPUT, "content", unset="by what is in the source"
    )
    images: Text | None = setting(
        None, "folder of the images", INPUT, "content", unset="where the format has them, beside the annotations"
    )
    names: Names = setting(
        None,
        "the classes that are taken, in the order of their numbers, e.g. [cat,dog]; others are left out",
        INPUT,
        "result",
        unset="all; VOC and LabelMe number none, so by name",
    )
    first_pixel: Literal[0, 1] | None = setting(
        None,
        "of VOC: the coordinate of the corner pixel; 1 as in the challenges, 0 as most tools write",
        INPUT,
        "result",
        unset="1 where a file names a VOC challenge as its source, else 0; 0 is written",
    )
    difficult: Literal["keep", "drop"] = setting("keep", "what becomes of objects marked difficult", INPUT, "result")
    max_image_pixels: Whole = shared.max_image_pixels()

    to: FormatName = setting("yolo", "the format of the target", OUTPUT, "output")
    target: Text = setting(REQUIRED, "a new folder; nothing is written over", OUTPUT, "output")
    split: Shares = setting(
        None,
        "make a split of these shares for train, val and test, e.g. 0.8,0.1,0.1; what belongs together stays so",
        OUTPUT,
        "result",
        unset="as in the source",
    )
    seed: Whole = setting(0, "the number that the split is drawn by", OUTPUT, "result", ge=0)
    files: Literal["link", "copy", "symlink"] = setting(
        "link",
        "images: link gives each a second name (copied where the disk can't), copy doubles them, symlink points there",
        OUTPUT,
        "output",
    )
