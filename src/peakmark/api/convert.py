"""How is a data set converted? The part of the facade that needs no model: it loads no torch and computes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peakmark.api.asking import watch_by
from peakmark.data.formats.convert import Conversion, convert_set
from peakmark.data.formats.wishes import Wishes
from peakmark.events import Notice, Observer, unwatched
from peakmark.files.given_path import given_path
from peakmark.settings.fields import ConvertSettings
from peakmark.settings.parse import parse


def convert(
    source: str | Path | None = None,
    target: str | Path | None = None,
    *,
    observer: Observer | None = None,
    **settings: Any,
) -> Conversion:
    """Writes a data set in another format into a new folder, and says what was left out and why.

    `settings`: those of `peakmark convert --help`; the format of the source is `from_`. The source is not touched.
    Raises SettingsError and DataError with every mistake at once, and MachineError.
    """
    observe = observer or unwatched
    given = {"source": source, "target": target}
    parsed = parse(ConvertSettings, {**{name: value for name, value in given.items() if value is not None}, **settings})
    wishes = parsed.settings
    for note in parsed.notes:
        observe(Notice(note))

    done = convert_set(
        given_path(wishes.source, "source"),
        given_path(wishes.target, "target"),
        source_format=wishes.from_,
        target_format=wishes.to,
        wishes=Wishes(
            names=wishes.names,
            images=given_path(wishes.images, "images") if wishes.images is not None else None,
            first_pixel=wishes.first_pixel,
            keep_difficult=wishes.difficult == "keep",
            max_image_pixels=wishes.max_image_pixels,
        ),
        shares=wishes.split,
        seed=wishes.seed,
        how=wishes.files,
        watch=watch_by(observe),
    )
    for note in done.notes:
        observe(Notice(note))
    return done
