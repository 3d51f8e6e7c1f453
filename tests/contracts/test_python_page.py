"""docs/python.md is true: its blocks run in their order, and the names in its tables are those that there are."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.conftest import CHEAP

from peakmark import YOLO
from peakmark.api.model.callbacks import NAMES, Callbacks, RunView
from peakmark.api.model.results import TrainResults, ValResults
from peakmark.deploy.boxes import Boxes
from peakmark.deploy.results import Results
from peakmark.evaluate.familiar import BoxMetrics
from peakmark.events import EpochEnded, EpochStarted, MicrobatchDone, RunStarted
from peakmark.nouns.losses import Losses
from peakmark.nouns.run import Decision, EpochRecord, Position

PAGE = (Path(__file__).resolve().parents[2] / "docs/python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
OPTIONAL = {"supervision"}


def words_of(head: str) -> list[str]:
    """The names in the first column of the table under a heading."""
    table = PAGE[PAGE.index(f"| {head} |") :].partition("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    return [word for cell in cells for word in re.findall(r"`(\w+)`", cell)]


def test_its_blocks_run(write_set, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_set(tmp_path, train=4, val=3)
    cv2.imwrite("image.jpg", np.full((48, 64, 3), 90, np.uint8))
    for path in (tmp_path / "images/val").iterdir():  # a folder that a source may be: pictures lie directly in it
        (tmp_path / "images" / path.name).write_bytes(path.read_bytes())
    train, val = YOLO.train, YOLO.val

    def val_quickly(model: YOLO, **settings: Any) -> ValResults:
        return val(model, **{**settings, "plots": False, "workers": 0})

    def train_quickly(model: YOLO, **settings: Any) -> TrainResults:
        return train(model, **{**settings, **CHEAP, "epochs": 1})

    monkeypatch.setattr(YOLO, "train", train_quickly)
    monkeypatch.setattr(YOLO, "val", val_quickly)
    ran, names = [], dict[str, Any]()
    for number, block in enumerate(BLOCKS):
        if any(f"import {module}" in block and importlib.util.find_spec(module) is None for module in OPTIONAL):
            continue
        exec(compile(block, f"docs/python.md, block {number}", "exec"), names)  # noqa: S102 - our own page
        ran.append(number)
    assert len(ran) >= len(BLOCKS) - len(OPTIONAL)
    assert isinstance(names["results"], TrainResults)
    assert isinstance(names["metrics"], ValResults)
    assert Path("boxes.jpg").is_file()
    assert re.search(r"^0 [\d.]+ .*train", capsys.readouterr().out, flags=re.MULTILINE)  # what after_epoch prints


@pytest.mark.parametrize(
    ("head", "kinds"),
    [
        ("call", (YOLO,)),
        ("of both", (TrainResults, ValResults)),
        ("of `Results`", (Results,)),
        ("of `Boxes`", (Boxes,)),
    ],
)
def test_the_names_in_its_tables_are_there(head, kinds):
    words = words_of(head)
    assert len(words) > 8
    for kind in kinds:
        # `data` and its like are attributes of objects only.
        there = {*dir(kind), *getattr(kind, "__slots__", ()), *("data", "orig_shape")}
        assert set(words) <= there, set(words) - there


def test_every_public_name_of_the_model_results_and_boxes_is_on_the_page():
    for kind in (YOLO, TrainResults, ValResults, Results, Boxes, BoxMetrics):
        public = {name for name in dir(kind) if not name.startswith("_")}
        public -= {
            "from_settings",
            "leading",
            "from_detections",
            "origin",
            "task",
            "is_track",
            "confusion",
            "truths_per_class",
        }
        missing = {name for name in public if not re.search(rf"\b{name}\b", PAGE)}
        assert not missing, (kind, missing)


def test_the_callbacks_are_all_on_the_page():
    assert words_of("name") == list(NAMES)
    for name in NAMES:
        Callbacks().add(name, print)


def test_what_a_callback_can_read_is_on_the_page(tmp_path):
    losses = Losses(1.0, 1.0, 1.0)
    record = EpochRecord(0, 0, 1, 8, losses, (0.1,), {"map50": 0.5}, validation=losses, fitness=0.5)
    view = RunView()
    for event in (
        RunStarted(tmp_path, "yolov8n", 3, ("cat",), 8, 4, 2, 64, Position(), "cpu", "float32", 1, "AdamW"),
        EpochStarted(0, 2, 8, True),
        MicrobatchDone(0, 2, 8, 8, losses, 1, 64, 0),
        EpochEnded(record, Decision(0, True, 0, 0.5, False, False, None, "why"), 2),
    ):
        list(view._take(event))
    facts = set(view._facts) - {"loss_items"}
    sentence = PAGE[PAGE.index("The function gets an object with") :].partition("It can be read only")[0]
    assert facts == set(re.findall(r"`(\w+)(?:\(tloss\))?`", sentence))
