"""What did a validation find, on one page? val.html, of the sections that the page of a run has of its best epoch.

It is handed what was found; it must not know how weights are validated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peakmark.evaluate.validator import Validated
from peakmark.files.durable import write_text
from peakmark.markup import render
from peakmark.nouns.gallery import Gallery
from peakmark.record import gallery_file
from peakmark.report.pages.at_confidence import by_confidence
from peakmark.report.pages.page import Classes, LabelledNumber, classes_of, measured_in, protocol_in_words, shown_data
from peakmark.report.pages.words import Said, spoken

PAGE_FILE = "val.html"


@dataclass(frozen=True, slots=True)
class ValidationPage:
    """What the page of a validation holds."""

    model: str
    set: Said
    """What was validated on"""
    numbers: Sequence[LabelledNumber]
    protocol: Sequence[Said]
    classes: Classes | None
    data: Mapping[str, Any]
    """What the scripts draw: `names`, `at` (a confidence) and `gallery`"""


def write_validation_page(
    folder: Path, validated: Validated, gallery: Gallery, *, model: str, data: str, split: str
) -> Path:
    """Writes val.html and gives its path. Raises `MachineError` where it can't write.

    `model` and `data`: what was validated, and on what, as the user named them.
    """
    found = validated.evaluation
    page = ValidationPage(
        model=model,
        set=Said(
            "val.set", {"data": data, "split": split, "images": f"{found.images:,}", "objects": f"{found.truths:,}"}
        ),
        numbers=measured_in(found.metrics),
        protocol=protocol_in_words(found.protocol, found.coco),
        classes=classes_of(found.per_class, found.names),
        data=shown_data(
            {
                "names": found.names,
                "at": by_confidence(validated.evidence),
                "gallery": gallery_file.plain(gallery),
            }
        ),
    )
    write_text(folder / PAGE_FILE, render("report/pages/templates/validation.html.j2", page=page, **spoken()))
    return folder / PAGE_FILE
