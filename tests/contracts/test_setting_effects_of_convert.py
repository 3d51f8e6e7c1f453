"""Has every setting of `convert` an effect? Each has an entry here, and a setting without one fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.data.formats.conftest import voc_object, write_image, write_voc

import peakmark
from peakmark.errors import DataError, SettingsError
from peakmark.settings.description import describe
from peakmark.settings.fields import ConvertSettings

Convert = Callable[..., Any]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twenty images of a cat and a dog; the dog is difficult."""
    objects = {f"{chr(97 + n)}": [voc_object(), voc_object("dog", more="<difficult>1</difficult>")] for n in range(20)}
    return write_voc(tmp_path / "voc", objects)


@pytest.fixture
def converted(source: Path, tmp_path: Path) -> Convert:
    counter = iter(range(100))

    def convert(given: Path = source, **settings: Any) -> Any:
        return peakmark.convert(given, **{"target": tmp_path / f"out{next(counter)}", **settings})

    return convert


def labels(done: Any) -> str:
    return "".join(sorted(path.read_text() for path in done.target.rglob("labels/**/*.txt")))


def convert_source(converted, tmp_path, **_):
    other = write_voc(tmp_path / "other", {"x": []} | {"y": [voc_object()]})
    assert converted(other).after == {"train": (2, 1)} != converted().after


def convert_from_(converted, source, **_):
    (source / "data.yaml").write_text("train: JPEGImages\nnames: [x]\n")
    with pytest.raises(DataError, match="write from="):
        converted()
    assert converted(from_="voc").names == ("cat", "dog")
    assert converted(**{"from": "yolo"}, to="coco").names == ("x",)


def convert_images(converted, source, tmp_path, **_):
    (source / "JPEGImages").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="images=FOLDER"):
        converted()
    assert converted(images=tmp_path / "elsewhere").after["train"][0] == 20


def convert_names(converted, **_):
    assert converted(names=["dog", "cat"]).names == ("dog", "cat")
    assert converted(names="[dog]").after["train"][1] == 20


def convert_first_pixel(converted, **_):
    assert labels(converted(first_pixel=1)) != labels(converted(first_pixel=0)) == labels(converted())


def convert_difficult(converted, **_):
    assert converted(difficult="drop").dropped_by_kind() == {"difficult object": 20}
    assert converted(difficult="keep").dropped == ()


def convert_max_image_pixels(converted, source, **_):
    write_image(source / "JPEGImages/a.png", (90, 60))
    (source / "Annotations/a.xml").write_text((source / "Annotations/a.xml").read_text().replace(">80<", ">90<"))
    assert converted(max_image_pixels=5000).after["train"][0] == 19
    assert converted(max_image_pixels=5400).after["train"][0] == 20


def convert_to(converted, **_):
    files = {"yolo": "data.yaml", "coco": "annotations/instances_train.json", "voc": "ImageSets/Main/train.txt"}
    for to, file in {**files, "labelme": "train/a.json"}.items():
        assert (converted(to=to).target / file).is_file()


def convert_target(converted, tmp_path, **_):
    assert converted(target=tmp_path / "mine").data == tmp_path / "mine/data.yaml"
    with pytest.raises(SettingsError, match="nothing is written over"):
        converted(target=tmp_path / "mine")


def convert_split(converted, **_):
    # Pictures of one colour: what looks alike hangs together, so that a few shades are told apart by nothing.
    with pytest.raises(DataError, match="hang together"):
        converted(split="0.5,0.5")
    for wrong in ("0.5", "0.5,0.4", "a,b", "0.5,-0.5,1", "0,1"):
        with pytest.raises(SettingsError, match="split="):
            converted(split=wrong)


def convert_seed(converted, tiny_data, **_):
    def split(**settings: Any) -> list[str]:
        done = converted(tiny_data, split=[0.5, 0.5], **settings)
        return sorted(path.name for path in (done.target / "images/val").iterdir())

    assert split() == split(seed=0)
    assert any(split(seed=seed) != split() for seed in (1, 2, 3))


def convert_files(converted, source, **_):
    image = Path("images/train/a.png")
    kinds = {}
    for how in ("link", "copy", "symlink"):
        made = converted(files=how).target / image
        kinds[how] = (made.is_symlink(), os.path.samefile(made, source / "JPEGImages/a.png"))
    assert kinds == {"link": (False, True), "copy": (False, False), "symlink": (True, True)}


CHECKS = {
    name.removeprefix("convert_"): check for name, check in list(globals().items()) if name.startswith("convert_")
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_setting_of_convert_does_what_it_declares(name, converted, source, tmp_path, tiny_data):
    CHECKS[name](converted=converted, source=source, tmp_path=tmp_path, tiny_data=tiny_data)


def test_every_setting_of_convert_has_an_entry():
    assert set(CHECKS) == set(describe(ConvertSettings))
