"""What can't be a path is a sentence at every door, and what never ends is not opened."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from peakmark import runs
from peakmark.data.dataset import read_dataset
from peakmark.deploy.sources import open_source
from peakmark.errors import PeakmarkError
from peakmark.machine.given_path import given_path, is_special
from peakmark.record.folder import create_run_folder
from peakmark.train.start import find_model

DOORS: dict[str, Callable[[str], object]] = {
    "data": read_dataset,
    "model": find_model,
    "source": lambda text: open_source(text, observer=lambda _: None),
    "inspect": runs.inspect,
    "strip": runs.strip,
    "resume": runs.diagnose,
    "project": lambda text: create_run_folder(Path(text), "train", exist_ok=False),
}


@pytest.mark.parametrize("text", ["a\0b", "x" * 300, "~nobody-of-this-name/x"])
@pytest.mark.parametrize("door", DOORS)
def test_what_cannot_be_a_path_is_told_in_a_sentence(door: str, text: str):
    with pytest.raises(PeakmarkError) as told:
        DOORS[door](text)
    assert len(str(told.value)) < 400


@pytest.mark.parametrize("door", ["data", "model", "source"])
def test_a_pipe_or_a_device_is_not_opened(door: str, tmp_path: Path):
    os.mkfifo(tmp_path / "a")
    for special in (tmp_path / "a", Path("/dev/zero")):
        with pytest.raises(PeakmarkError, match="a pipe or a device"):
            DOORS[door](str(special))


def test_ordinary_paths_pass(tmp_path: Path):
    assert given_path("~/a", "data") == Path.home() / "a"
    assert given_path(tmp_path / "nothing", "data") == tmp_path / "nothing"
    assert not is_special(tmp_path)
    assert not is_special(tmp_path / "nothing")
