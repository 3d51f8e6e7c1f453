"""Do the commands of the tutorial do what it says? The first ones always, all of them in `make slow`.

What would take long is made small: the network, the images, the number of epochs. All other words are the page's own.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import peakmark as facade

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
CODE = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
COMMANDS = [shlex.split(line) for kind, lines in CODE if kind == "bash" for line in lines.splitlines()]
SMALL = {"model": "yolov8t.yaml", "epochs": "4", "imgsz": "64"}
LONGER = {"epochs": "5"}
ENDS_WITH = {"audit": {0, 5, 6}, "gate": {0, 1}}
"""A verdict on data, or on a model, is no failure; the data here are few, the model knows little."""

Peakmark = Callable[..., Any]


@pytest.fixture
def photos(write_set, tmp_path):
    """A folder as the tutorial begins with: photos, and LabelMe's files beside them."""
    data = write_set(tmp_path / "made", train=24, val=1)
    facade.convert(str(data), str(tmp_path / "labelled"), to="labelme", files="copy")
    (tmp_path / "labelled/train").rename(tmp_path / "photos")
    return tmp_path


def made_small(words: list[str]) -> list[str]:
    """The command with the settings that make it long replaced."""
    small = SMALL if words[1] == "train" else LONGER if words[1] == "resume" else {}
    assert small.keys() <= {word.partition("=")[0] for word in words}, words
    return [f"{key}={small[key]}" if (key := word.partition("=")[0]) in small else word for word in words]


def run(peakmark: Peakmark, words: list[str], folder: Path) -> str:
    ended = peakmark(*made_small(words)[1:], cwd=folder)
    assert ended.returncode in ENDS_WITH.get(words[1], {0}), f"{shlex.join(words)}\n{ended.stdout}{ended.stderr}"
    return str(ended.stdout)


def test_what_it_installs_is_there():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    [install] = [words for words in COMMANDS if words[0] == "pip"]
    assert re.fullmatch(r"\.\[(\w+)\]", install[-1])
    assert install[-1][2:-1] in extras
    assert {words[0] for words in COMMANDS} == {"pip", "peakmark"}


def test_its_first_commands_make_a_data_set_and_look_at_it(peakmark, photos):
    ours = [words for words in COMMANDS if words[0] == "peakmark"][:2]
    assert [words[1] for words in ours] == ["convert", "audit"]
    for words in ours:
        run(peakmark, words, photos)
    assert (photos / "set/data.yaml").is_file()
    assert (photos / "runs/detect/audit/audit.html").is_file()


@pytest.mark.slow
def test_all_of_it_in_its_order(peakmark, photos, monkeypatch, capsys):
    pytest.importorskip("onnxruntime", reason="pip install '.[onnx]'")
    said = {}
    for words in COMMANDS:
        if words[0] == "peakmark":
            said[words[1]] = run(peakmark, words, photos)
    run_folder = photos / "runs/detect/first"
    assert (run_folder / "report.html").is_file()
    assert (run_folder / "weights/best.onnx").is_file()
    assert "map50 >= 0.5" in said["gate"]

    monkeypatch.chdir(photos)
    [program] = [lines for kind, lines in CODE if kind == "python"]
    assert "np.array(0.4, np.float32)" in program
    # A model that learnt for a second is sure of nothing.
    exec(compile(program.replace("0.4,", "0.0005,"), "docs/tutorial.md", "exec"), {})  # noqa: S102 - our own page
    theirs = np.array([[float(word) for word in line.split()[1:]] for line in capsys.readouterr().out.splitlines()])
    [ours] = facade.YOLO("runs/detect/first/weights/best.onnx").predict("photos/00.png", conf=0.0005, save=False)
    boxes = ours.boxes.data.numpy()
    assert len(theirs) > 0
    assert len(theirs) == len(boxes)
    # It prints two decimals of a score, and boxes as they are found, over the edges of the photo too.
    np.testing.assert_allclose(theirs[:, 0], boxes[:, 4], atol=0.006)
    np.testing.assert_allclose(np.clip(theirs[:, 1:], 0, 64), boxes[:, :4], atol=0.06)
