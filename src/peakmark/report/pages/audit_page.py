"""How is an audit looked at? A contact sheet for each finding that shows images, and one page of all findings.

Pictures are embedded, so that the one file can be sent to somebody. It is handed findings; it must not know how any of
them was found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from peakmark.data.audit.findings import MOST_EXAMPLES, Finding, FindingKind, Severity, Shown
from peakmark.data.images import decode
from peakmark.drawing.boxes import contact_sheet, draw_boxes, fit_into
from peakmark.errors import DataError
from peakmark.files.durable import write_bytes, write_text
from peakmark.geometry.boxes import xyxy_from_cxcywh
from peakmark.markup import data_url, render
from peakmark.nouns.images import FloatArray, ImageArray
from peakmark.report.pages.words import spoken

PAGE_FILE = "audit.html"
_EXAMPLES = 8
"""On a sheet."""
_LISTED = 50
"""On the page; audit.json has more."""
_COLUMNS = 4
_CELL_PX = 320
_ROOM = 3.0
"""The part of an image that is shown, in sizes of the box that is meant."""
_JPEG_QUALITY = 88


@dataclass(frozen=True, slots=True)
class SplitSize:
    split: str
    images: str
    objects: str


@dataclass(frozen=True, slots=True)
class ShownFinding:
    kind: FindingKind
    severity: Severity
    text: str
    remedy: str
    sheet_url: str
    """Empty where there is nothing to see."""
    examples: Sequence[str]
    more: int
    """Cases that are not among the examples."""
    is_open: bool
    """Whether the examples are few enough to be seen at once."""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """What the page of an audit holds."""

    data: str
    sizes: Sequence[SplitSize]
    findings: Sequence[ShownFinding]
    """Worst first."""
    most_listed: int
    """Examples of a finding in audit.json."""


def write_audit_page(
    folder: Path,
    data: str,
    findings: Sequence[Finding],
    sizes: Mapping[str, tuple[int, int]],
    names: Sequence[str],
    max_image_pixels: int,
) -> None:
    """Writes a sheet for each finding with images, and audit.html; `sizes`: images and objects of each split.

    Raises `MachineError` where it can't write.
    """
    shown = []
    for number, found in enumerate(findings, start=1):
        sheet = _sheet(found, names, max_image_pixels)
        if sheet:
            write_bytes(folder / f"{number:02d}-{_file_name(found.kind)}.jpg", sheet)
        shown.append(_shown(found, sheet))
    page = AuditPage(
        data=data,
        sizes=[SplitSize(split, f"{images:,}", f"{objects:,}") for split, (images, objects) in sizes.items()],
        findings=shown,
        most_listed=MOST_EXAMPLES,
    )
    write_text(folder / PAGE_FILE, render("report/pages/templates/audit.html.j2", page=page, **spoken()))


def _shown(found: Finding, sheet: bytes) -> ShownFinding:
    examples = [example.text for example in found.examples[:_LISTED]]
    return ShownFinding(
        kind=found.kind,
        severity=found.severity,
        text=found.text,
        remedy=found.remedy,
        sheet_url=data_url(sheet, ".jpg") if sheet else "",
        examples=examples,
        more=max(0, found.count - len(examples)),
        is_open=len(found.examples) <= _EXAMPLES,
    )


def _sheet(found: Finding, names: Sequence[str], max_image_pixels: int) -> bytes:
    """Draws the images of the first examples, those of one example beside each other; empty where there are none."""
    cells: list[ImageArray] = []
    titles: list[str] = []
    examples = [example for example in found.examples if example.images][:_EXAMPLES]
    # An example of two images must not be torn apart by the end of a row.
    pad = max((len(example.images) for example in examples), default=1) in (3, 4)
    for example in examples:
        for image in example.images:
            cells.append(_cell(image, names, max_image_pixels))
            titles.append(f"{image.split}: {image.file.name}")
        while pad and len(cells) % _COLUMNS:
            cells.append(np.full((1, 1, 3), 255, np.uint8))
            titles.append("")
    if not cells:
        return b""
    bgr = cv2.cvtColor(contact_sheet(cells, titles, columns=_COLUMNS, cell_px=_CELL_PX), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()


def _cell(shown: Shown, names: Sequence[str], max_image_pixels: int) -> ImageArray:
    try:
        image = decode(shown.file, max_image_pixels)
    except DataError:
        # It went away since it was looked at; the other images of the sheet are still worth seeing.
        return np.full((1, 1, 3), 255, np.uint8)
    height, width = image.shape[:2]
    boxes_norm = np.array(shown.boxes_cxcywh_norm, np.float32).reshape(-1, 4)
    boxes_px = xyxy_from_cxcywh(boxes_norm) * np.array([width, height] * 2, np.float32)
    left, top, right, bottom = _part(boxes_px, width, height)
    part = image[top:bottom, left:right]
    fitted = fit_into(part, _CELL_PX)
    gain = max(fitted.shape[:2]) / max(part.shape[:2])
    moved = (boxes_px - np.array([left, top] * 2, np.float32)) * np.float32(gain)
    return draw_boxes(fitted, moved, np.array(shown.classes, np.int64), names, line_width_px=2)


def _part(boxes_px: FloatArray, width: int, height: int) -> tuple[int, int, int, int]:
    """The part of an image to show: all of it, or the surroundings of its boxes."""
    if len(boxes_px) == 0:
        return 0, 0, width, height
    low, high = boxes_px[:, :2].min(axis=0), boxes_px[:, 2:].max(axis=0)
    centre = (low + high) / 2
    reach = max(float((high - low).max()) * _ROOM, 0.2 * max(width, height)) / 2
    left, top = np.clip(centre - reach, 0, None).astype(int).tolist()
    right, bottom = np.ceil(np.minimum(centre + reach, (width, height))).astype(int).tolist()
    return left, top, right, bottom


def _file_name(kind: str) -> str:
    return kind.replace(",", "").replace(" ", "-")
