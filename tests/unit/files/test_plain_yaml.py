"""No file of a stranger wears the machine out, however large it is or says it is."""

from __future__ import annotations

import os
import re
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from peakmark.data.dataset import read_dataset
from peakmark.data.index import build_index
from peakmark.deploy.sources import open_source
from peakmark.errors import PeakmarkError
from peakmark.files.plain_yaml import read_plain_yaml
from peakmark.record.settings_yaml import read as read_settings
from peakmark.settings.fields import Settings
from peakmark.settings.settings_file import with_file

_LARGE_BYTES = 10**9
_SWELLING = "\n".join(["a0: &a0 [x, x]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))])
_YAML_DOORS: dict[str, Callable[[Path], object]] = {
    "data": read_dataset,
    "cfg": lambda file: with_file(Settings, {"cfg": str(file)}),
    "settings of a run": read_settings,
}


@pytest.mark.parametrize("door", _YAML_DOORS)
def test_aliases_that_swell_are_refused(door: str, tmp_path: Path):
    """2^40 values in 40 lines: whatever compares or shows them takes hours."""
    file = tmp_path / "a.yaml"
    file.write_text(f"{_SWELLING}\nnames: *a39\nepochs: *a39\ntrain: images\nval: images\n")
    with pytest.raises(PeakmarkError, match="its aliases stand for more than 100,000 further values"):
        _YAML_DOORS[door](file)


@pytest.mark.parametrize("text", ["a: &a [1, 2]\nb: *a\nc: [*a, *a]\n", "a: &a [*a]\n", "", "- 1\n- &x {y: 2}\n- *x\n"])
def test_aliases_as_people_write_them_are_read(text: str, tmp_path: Path):
    (tmp_path / "a.yaml").write_text(text)
    values, _ = read_plain_yaml(tmp_path / "a.yaml")
    if text.startswith("a: &a [1"):
        assert values == {"a": [1, 2], "b": [1, 2], "c": [[1, 2], [1, 2]]}


@pytest.mark.parametrize("file", ["data.yaml", "list.txt", "labels/a.txt", "source.txt", "args.yaml", "settings.yaml"])
def test_a_file_of_a_gigabyte_is_refused_before_it_is_read(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("images", "labels"):
        Path(folder).mkdir()
    cv2.imwrite("images/a.png", np.zeros((32, 32, 3), np.uint8))
    Path("data.yaml").write_text(f"train: {'list.txt' if file == 'list.txt' else 'images'}\nval: images\nnames: [a]\n")
    Path(file).touch()
    os.truncate(file, _LARGE_BYTES)
    doors: dict[str, Callable[[], object]] = {
        "source.txt": lambda: open_source(file, observer=lambda _: None),
        "args.yaml": lambda: with_file(Settings, {"cfg": file}),
        "settings.yaml": lambda: read_settings(Path(file)),
    }
    knock = doors.get(file, lambda: build_index(read_dataset("data.yaml"), "train"))
    tracemalloc.start()
    try:
        with pytest.raises(PeakmarkError, match=re.escape(file)):
            knock()
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most_bytes < 50 * 2**20
