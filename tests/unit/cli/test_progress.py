"""How far a video is: a bar on a terminal and a line that stays, a line a frame elsewhere."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from peakmark.cli.progress import shown_results
from peakmark.deploy.boxes import Boxes
from peakmark.deploy.frames import Origin
from peakmark.deploy.results import Results


def result(origin: Origin) -> Results:
    boxes = Boxes(np.array([[1, 1, 9, 9, 0.5, 0]], np.float32), (20, 20))
    return Results(np.zeros((20, 20, 3), np.uint8), boxes, {0: "[red]cell"}, origin, {"inference": 2.0})


def frames(name: str, count: int) -> list[Results]:
    return [result(Origin(name, Path(name), index, count, kind="video")) for index in range(count)]


def test_a_log_has_a_line_for_each_frame():
    file = io.StringIO()
    with shown_results(Console(file=file, width=200)) as found:
        for each in frames("a.mp4", 2):
            found.show(each)
    assert file.getvalue().splitlines() == [
        "a.mp4, frame 1 of 2: 1 [red]cell, 2.0 ms", "a.mp4, frame 2 of 2: 1 [red]cell, 2.0 ms"
    ]  # fmt: skip


def test_a_terminal_has_a_bar_and_keeps_a_line_for_each_video():
    picture = result(Origin("b.jpg", None, 0, 1))
    file = io.StringIO()
    with shown_results(Console(file=file, force_terminal=True, width=200, color_system=None)) as found:
        for each in [*frames("a.mp4", 30), *frames("c.mp4", 2), picture]:
            found.show(each)
    text = file.getvalue()
    assert "a.mp4: 30 objects in 30 frames, 2.0 ms a frame" in text
    assert "c.mp4: 2 objects in 2 frames" in text
    assert "b.jpg: 1 [red]cell, 2.0 ms" in text
    assert "frame 2 of 30" not in text
    assert text.index("a.mp4: 30 objects") < text.index("c.mp4: 2 objects") < text.index("b.jpg: 1")


@pytest.mark.parametrize("count", [None, 5])
def test_a_video_that_is_left_is_told_as_far_as_it_came(count):
    file = io.StringIO()
    with shown_results(Console(file=file, force_terminal=True, width=200, color_system=None)) as found:
        found.show(result(Origin("camera_0.mp4", None, 7, count, kind="video")))
    assert "camera_0.mp4: 1 object in 1 frame, " in file.getvalue()
