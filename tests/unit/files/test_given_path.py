"""What can't be a path is a sentence at every door, and what never ends is not opened."""

from __future__ import annotations

import functools
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from peakmark.api import runs
from peakmark.data.dataset import read_dataset
from peakmark.data.index import build_index
from peakmark.data.source.indexed_split import Index
from peakmark.data.source.listing import list_images
from peakmark.deploy.sources import open_source
from peakmark.errors import PeakmarkError
from peakmark.files.given_path import given_path, is_special
from peakmark.record.folder import create_run_folder
from peakmark.run.weights import find_model
from peakmark.settings.fields import Settings
from peakmark.settings.settings_file import with_file

DOORS: dict[str, Callable[[str], object]] = {
    "data": read_dataset,
    "model": find_model,
    "source": lambda text: open_source(text, observer=lambda _: None),
    "inspect": runs.inspect,
    "strip": runs.strip,
    "resume": runs.diagnose,
    "project": lambda text: create_run_folder(Path(text), "train", exist_ok=False),
    "cfg": lambda text: with_file(Settings, {"cfg": text}),
    "train in data.yaml": lambda text: list_images(read_dataset(data_yaml(text)), "train"),
    "a line of a list in data.yaml": lambda text: build_index(read_dataset(data_yaml("list.txt", text)), "train"),
    "a line of a list as source": lambda text: list(open_source(a_list(text), observer=lambda _: None)),
}
ENDLESS = ("data", "model", "source", "cfg", "train in data.yaml", "a line of a list as source", "label")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def a_list(*lines: str) -> str:
    Path("list.txt").write_text("\n".join(lines) + "\n")
    return "list.txt"


def data_yaml(train: str, *lines: str) -> str:
    """A data.yaml whose training images are these, with a list of these lines beside it."""
    a_list(*lines)
    Path("data.yaml").write_text(json.dumps({"train": train, "val": train, "names": ["a"]}))
    return "data.yaml"


def label(text: str) -> object:
    """Makes an index of one image whose label file is what `text` names."""
    for folder in ("images", "labels"):
        Path(folder).mkdir(exist_ok=True)
    cv2.imwrite("images/a.png", np.zeros((32, 32, 3), np.uint8))
    Path("labels/a.txt").unlink(missing_ok=True)
    Path("labels/a.txt").symlink_to(text)
    return build_index(read_dataset(data_yaml("images")), "train")


def ends(call: Callable[[], None]) -> bool:
    """Whether a call comes back in a few seconds; one that doesn't is left behind in its thread."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(10)
    return not thread.is_alive()


@pytest.mark.parametrize("text", ["a\0b", "x" * 300, "~nobody-of-this-name/x"])
@pytest.mark.parametrize("door", DOORS)
def test_what_cannot_be_a_path_is_told_in_a_sentence(door: str, text: str):
    with pytest.raises(PeakmarkError) as told:
        DOORS[door](text)
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("special", ["a pipe.txt", "/dev/null"])
@pytest.mark.parametrize("door", ENDLESS)
def test_a_pipe_or_a_device_is_not_opened(door: str, special: str, tmp_path: Path):
    os.mkfifo("a pipe.txt")
    Path("link.txt").symlink_to(special)
    told: list[PeakmarkError] = []

    def knock(text: str) -> None:
        try:
            (DOORS | {"label": label})[door](text)
        except PeakmarkError as error:
            told.append(error)

    for text in (str(tmp_path / special), str(tmp_path / "link.txt")):
        assert ends(functools.partial(knock, text))
    assert len(told) == 2
    assert all("a pipe or a device" in str(error) for error in told)


def test_an_image_in_a_list_that_is_a_pipe_is_left_out_and_said():
    os.mkfifo("b.png")
    cv2.imwrite("a.png", np.zeros((32, 32, 3), np.uint8))
    Path("a.txt").write_text("0 .5 .5 .5 .5\n")
    found: list[Index] = []
    assert ends(lambda: found.append(build_index(read_dataset(data_yaml("list.txt", "a.png", "b.png")), "train")))
    assert len(found[0]) == 1
    assert any("b.png (a pipe or a device" in warning for warning in found[0].warnings)


def test_ordinary_paths_pass(tmp_path: Path):
    assert given_path("~/a", "data") == Path.home() / "a"
    assert given_path(tmp_path / "nothing", "data") == tmp_path / "nothing"
    assert not is_special(tmp_path)
    assert not is_special(tmp_path / "nothing")
