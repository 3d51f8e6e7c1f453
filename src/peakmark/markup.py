"""How does text that others wrote become part of HTML, and stay text? By templates that escape what they are given.

A template is named by its path in the package, so that a room has its own and takes those of lower floors, as it does
with imports. The one place that knows Jinja2. It must not know what any page holds.
"""

from __future__ import annotations

import base64
from functools import cache
from typing import TYPE_CHECKING, Final

from peakmark.shown import as_shown

if TYPE_CHECKING:
    from jinja2 import Environment

_MEDIA_TYPES: Final = {".jpg": "image/jpeg", ".png": "image/png"}


def render(template: str, **values: object) -> str:
    """Gives the HTML of a template, `report/pages/templates/run.html.j2`, which knows `values` by their names.

    Raises `jinja2.UndefinedError` where the template asks for what it was not given.
    """
    # A name that is no UTF-8 can't be written to a file, and control characters are no HTML.
    return as_shown(_environment().get_template(template).render(values), lines=True)


def data_url(picture: bytes, suffix: str) -> str:
    """Gives a picture's file (.jpg, .png) as an address that holds all of it: a page with it needs no other file."""
    return f"data:{_MEDIA_TYPES[suffix]};base64,{base64.b64encode(picture).decode('ascii')}"


@cache
def _environment() -> Environment:
    # Loaded at the first page: importing the package, asking for help and a run without pictures need nothing of it.
    from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - as said

    return Environment(
        loader=PackageLoader("peakmark", ""),
        autoescape=True,
        undefined=StrictUndefined,  # a field that was renamed would else be an empty place on a page
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
