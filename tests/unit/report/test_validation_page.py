"""Does the page of a validation hold the numbers of the validation, and of its images those that show mistakes?"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.evaluate.test_matching import BOX, detections_of, truths_of

from peakmark.evaluate.matching import match
from peakmark.evaluate.metrics import evaluation_from
from peakmark.evaluate.validator import Validated
from peakmark.nouns.gallery import Gallery, GalleryImage
from peakmark.report.pages.validation_page import write_validation_page

TRUTHS = truths_of((0, 0, BOX), (1, 0, BOX), (2, 1, BOX))
FOUND = detections_of((0, 0, BOX, 0.95), (1, 1, BOX, 0.305), (2, 1, BOX, 0.6), (2, 0, BOX, 0.0045))
GALLERY = Gallery(
    epoch=None, split="test", images_in_set=3, images_with_mistakes=1, confidence=0.6, ap50=0.5, costs={}, counts={},
    images=[GalleryImage("a.jpg", 9, 9, b"x", {"missed": 1}, [(0, 0, 5, 5)], [0], [], 0)],
)  # fmt: skip


def written(folder: Path, truths: Any) -> tuple[Validated, str, Any]:
    """What was validated, the page without its scripts, and the data of the scripts."""
    evidence = match(truths, FOUND, images=3, classes=2)
    validated = Validated(evaluation_from(evidence, ("cat", "dog")), evidence)
    path = write_validation_page(folder, validated, GALLERY, model="best.pt", data="set.yaml", split="test")
    assert path == folder / "val.html"
    page = path.read_text()
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    return validated, page.partition("<script")[0], json.loads(data)


def test_it_holds_the_numbers_of_the_validation(tmp_path):
    validated, page, data = written(tmp_path, TRUTHS)
    found = validated.evaluation
    for number in (found.metrics["map50_95"], found.metrics["recall"], found.per_class["map50"][1]):
        assert f">{number:.4f}<" in page
    for words in ("best.pt", "set.yaml, test: 3 images, 3 objects", found.protocol):
        assert words in page
    at, best = data["at"], data["at"]["best"]
    assert at["confusion"] == found.confusion.tolist()
    right, detected = (np.array(at[name])[:, best] for name in ("right", "detected"))
    assert (right / np.maximum(detected, 1)).mean() == pytest.approx(found.metrics["precision"])
    assert [image["file"] for image in data["gallery"]["images"]] == ["a.jpg"]
    assert "best epoch" not in page.lower(), "it knows none"


def test_a_set_without_objects_has_a_page_too(tmp_path):
    _, page, data = written(tmp_path, truths_of())
    assert "3 images, 0 objects" in page
    assert data["at"]["truths"] == [0, 0]
    assert data["at"]["confusion"] is None
    assert 'id="confusion"' not in page
    assert page.count(">–<") > 4, "numbers that can't be computed"
