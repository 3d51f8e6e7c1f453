"""Are images shown only as what they are: the mistakes of the epoch that is best?"""

from __future__ import annotations

import json

import pytest

from peakmark.errors import MachineError
from peakmark.report.pages.gallery_shown import gallery_in

GALLERY = {"format": "peakmark-gallery", "format_version": 1, "epoch": 7, "ap50": 0.5, "images": []}
BEST = {"epoch": 7, "metrics": {"map50": 0.5 + 1e-12}}


def test_the_gallery_of_the_best_epoch_is_shown(tmp_path):
    (tmp_path / "gallery.json").write_text(json.dumps(GALLERY))
    assert gallery_in(tmp_path / "gallery.json", BEST) == (GALLERY, "")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"epoch": 6}, "of epoch 6"),
        ({"ap50": 0.50001}, "of epoch 7 as it was then"),
        ({"ap50": None}, "of epoch 7"),
        ({"format_version": 2}, "another version"),
        ({"format": "x"}, "another version"),
    ],
)
def test_one_of_another_epoch_or_format_is_left_out_and_that_is_said(tmp_path, changes, says):
    (tmp_path / "gallery.json").write_text(json.dumps({**GALLERY, **changes}))
    shown, note = gallery_in(tmp_path / "gallery.json", BEST)
    assert shown is None
    assert says in note


def test_none_is_none_and_a_damaged_one_is_named(tmp_path):
    path = tmp_path / "gallery.json"
    assert gallery_in(path, BEST) == (None, "")
    path.write_text("{")
    with pytest.raises(MachineError, match=r"gallery\.json is damaged"):
        gallery_in(path, BEST)
