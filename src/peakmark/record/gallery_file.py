"""How do the images that show a run's mistakes lie in its folder? As gallery.json, which a page can show at any time.

Pictures are JPEGs in base64. It must not know how images were chosen, nor how they are shown.
"""

from __future__ import annotations

import base64
from dataclasses import fields
from typing import Any, Final

from peakmark.nouns.gallery import Gallery, GalleryImage
from peakmark.record.plain_json import as_json

FORMAT: Final = "peakmark-gallery"
VERSION: Final = 1


def render(gallery: Gallery) -> str:
    """Gives the file's text. A pure function."""
    return as_json(plain(gallery)) + "\n"


def plain(gallery: Gallery) -> dict[str, Any]:
    """Gives what the file holds as plain values."""
    own = {field.name: getattr(gallery, field.name) for field in fields(gallery)}
    images = [_image(image) for image in gallery.images]
    return {"format": FORMAT, "format_version": VERSION, **own, "images": images}


def _image(image: GalleryImage) -> dict[str, Any]:
    own = {field.name: getattr(image, field.name) for field in fields(image)}
    # A list for each detection: their names a hundred times an image would be most of the file.
    found = [[*each.box, each.class_number, each.score, each.kind, each.about, each.taken_for] for each in image.found]
    return {**own, "jpeg": base64.b64encode(image.jpeg).decode("ascii"), "found": found}
