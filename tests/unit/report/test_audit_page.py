"""Can one look at what an audit found, on one page that needs nothing else?"""

from __future__ import annotations

import base64
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from peakmark.data.audit.findings import Example, Finding, Shown, finding
from peakmark.report.pages.audit_page import write_audit_page

NAMES = ("<cat>", "dog")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "image.png"
    pixels = np.full((300, 400, 3), 90, np.uint8)
    pixels[100:140, 200:260] = 250
    file.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return file


def page_of(tmp_path: Path, *findings: Finding) -> str:
    write_audit_page(tmp_path / "out", "a <set>.yaml", findings, {"train": (3, 5), "val": (1, 1)}, NAMES, 120_000)
    # Without its scripts and catalogues, in which every word stands.
    return (tmp_path / "out/audit.html").read_text().partition("<script")[0]


def sheet_in(page: str) -> np.ndarray:
    (embedded,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    sheet = cv2.imdecode(np.frombuffer(base64.b64decode(embedded), np.uint8), cv2.IMREAD_COLOR)
    assert sheet is not None
    return sheet


def test_every_finding_is_on_the_page_and_nothing_is_taken_for_html(tmp_path: Path):
    page = page_of(
        tmp_path,
        finding("bad label line", "high", "2 <lines>.", "Fix them.", [Example("x & y")], 9),
        finding("few objects", "low", "Few.", "More.", ()),
    )
    for text in ("a &lt;set&gt;.yaml", "bad label line", "2 &lt;lines&gt;.", "Fix them.", "x &amp; y", "and 8 more;"):
        assert text in page
    assert page.index("bad label line") < page.index("few objects")
    assert 'data-t="finding.bad label line"' in page, "its kind is said in each language"
    assert "<img" not in page


def test_a_sheet_shows_the_box_that_is_meant_large(tmp_path: Path, image: Path):
    box = (0.575, 0.4, 0.15, 0.1333)
    found = finding("doubled box", "low", "t", "r", [Example("one", (Shown("train", image, (box,), (1,)),))])
    sheet = sheet_in(page_of(tmp_path, found))
    assert (tmp_path / "out/01-doubled-box.jpg").is_file()
    # The light square has 2 % of the image, and much more of what is shown.
    assert (sheet[24:].min(axis=2) > 235).mean() > 0.04


def test_images_of_one_example_stand_beside_each_other(tmp_path: Path, image: Path):
    pair = Example("pair", (Shown("train", image), Shown("val", image)))
    sheet = sheet_in(page_of(tmp_path, finding("near duplicate", "low", "t", "r", [pair] * 3)))
    assert 3.5 < sheet.shape[1] / 324 < 4.5
    assert sheet.shape[0] < 600


def test_an_image_that_went_away_leaves_its_place_empty(tmp_path: Path, image: Path):
    gone = Example("gone", (Shown("train", image.with_name("gone.png")), Shown("val", image)))
    assert sheet_in(page_of(tmp_path, finding("near duplicate", "low", "t", "r", [gone]))).shape[1] > 600


def test_nothing_found_is_said(tmp_path: Path):
    assert "Nothing was found." in page_of(tmp_path)
