"""How large are the objects where the network sees them? What is too small for an image size, and what would help.

Measured by the shorter side, in px of the letterboxed image. The finest level looks at the picture in steps of 8 px, so
an object below that may lie between two of them.
"""

from __future__ import annotations

import math

import numpy as np

from peakmark.data.audit.findings import MOST_EXAMPLES, Example, Finding, Severity, counted, finding
from peakmark.data.source.indexed_split import Index
from peakmark.nouns.images import FloatArray
from peakmark.settings.fields import Settings

TINY_PX, SMALL_PX = 8.0, 16.0
_USUAL_SIDE_PX: int = Settings.model_fields["imgsz"].default
_MANY_TINY, _MANY_SMALL = 0.01, 0.10
"""Shares of a split's objects from which it is said."""
_MOST_TINY = 0.10
"""From which an audit calls it medium."""
_STEP_PX = 32


def sizes_px(index: Index, side_px: int) -> FloatArray:
    """(M,) the shorter side of each object where the longer side of its image is `side_px`"""
    image = index.image_of_truth
    width_px, height_px = index.widths_px[image], index.heights_px[image]
    sides_px = index.boxes_cxcywh_norm[:, 2:] * np.stack((width_px, height_px), axis=1)
    found: FloatArray = sides_px.min(axis=1, initial=np.inf) * (side_px / np.maximum(width_px, height_px))
    return found


def check_object_sizes(index: Index, side_px: int = _USUAL_SIDE_PX) -> list[Finding]:
    """Finds a split of which many objects are too small for images of `side_px`."""
    if len(index.classes) == 0:
        return []
    sizes = sizes_px(index, side_px)
    tiny, small = (int((sizes < limit).sum()) for limit in (TINY_PX, SMALL_PX))
    if tiny < _MANY_TINY * len(sizes) and small < _MANY_SMALL * len(sizes):
        return []
    severity: Severity = "medium" if tiny >= _MOST_TINY * len(sizes) else "low"
    shares = (f"{number / len(sizes):.1%}" for number in (tiny, small))
    order, image_of = np.argsort(sizes, kind="stable"), index.image_of_truth
    return [
        finding(
            "small objects",
            severity,
            f"{index.split}: at imgsz={side_px} {counted(tiny, 'object is', 'objects are')} under {TINY_PX:.0f} px"
            f" ({next(shares)} of {len(sizes):,}) and {small:,} under {SMALL_PX:.0f} px ({next(shares)}), by the"
            " shorter side; the network looks in steps of 8 px.",
            _remedy(index, sizes[order], side_px),
            (Example(f"{index.files[image_of[row]]}: {sizes[row]:.1f} px") for row in order[:MOST_EXAMPLES]),
            small,
        )
    ]


def small_objects_notes(index: Index, side_px: int) -> tuple[str, ...]:
    """Says the same before a training, with what to do."""
    return tuple(f"{found.text} {found.remedy}" for found in check_object_sizes(index, side_px))


def _remedy(index: Index, ordered: FloatArray, side_px: int) -> str:
    """An image size at which it would not be said, where the images have so many pixels; else what they come to."""
    limits = ((TINY_PX, _MANY_TINY), (SMALL_PX, _MANY_SMALL))
    # So many may stay below each limit; a hair more than enough, or rounding would leave one of them there.
    factors = [limit / ordered[math.ceil(len(ordered) * share) - 1] for limit, share in limits]
    enough = side_px * float(max(factors)) * (1 + 1e-6)
    full = int(np.maximum(index.widths_px, index.heights_px).max())
    most = -(-full // _STEP_PX) * _STEP_PX
    wanted = int(min(-(-enough // _STEP_PX) * _STEP_PX, most))
    if wanted <= side_px:
        return "The images have no more pixels: only pictures with more of them, or from nearer, would help."
    seen = ordered * (wanted / side_px)
    short = "" if wanted >= enough else ", which is all that the images have,"
    return (
        f"imgsz={wanted}{short} would leave {(seen < TINY_PX).mean():.1%} under {TINY_PX:.0f} px and"
        f" {(seen < SMALL_PX).mean():.1%} under {SMALL_PX:.0f} px; so would training and predicting on tiles of"
        f" {side_px} px, cut from the images at that size."
    )
