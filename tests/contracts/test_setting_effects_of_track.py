"""Has every setting that `track` has of its own an effect? Each has an entry here, and one without fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from peakmark import YOLO
from peakmark.settings.description import describe
from peakmark.settings.fields import PredictSettings, TrackSettings


@pytest.fixture
def moving(tmp_path):
    """Eight frames of a red square that moves 2 px each, gone in the fifth and sixth."""
    file = tmp_path / "moving.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 5, (64, 64))
    for frame in range(8):
        image = np.full((64, 64, 3), 90, np.uint8)
        if frame not in (4, 5):
            image[20:44, 10 + 2 * frame : 34 + 2 * frame] = (40, 40, 220)
        writer.write(image)
    writer.release()
    return file


SURE = {"track_high_thresh": 0.15, "new_track_thresh": 0.15, "match_thresh": 0.95, "max_det": 1}
"""What so small a model is sure of."""


@pytest.fixture
def tracked(trained, moving, runs) -> Callable[..., Any]:
    def track(source: Any = moving, **settings: Any) -> Any:
        return YOLO(trained[0].best).track(source, **{"project": runs, **SURE, **settings})

    return track


def _ids(results: Any) -> list[list[int]]:
    return [[int(number) for number in result.boxes.id.tolist()] for result in results]


def track_conf(tracked, **_):
    assert all(len(result.boxes) == 0 for result in tracked(conf=0.999))


def track_track_high_thresh(tracked, **_):
    assert _ids(tracked(track_high_thresh=1)) == [[]] * 8
    assert any(_ids(tracked()))


def track_new_track_thresh(tracked, **_):
    assert _ids(tracked(new_track_thresh=1)) == [[]] * 8


def track_track_buffer(tracked, **_):
    """The square is gone for two frames: it comes back as another object where that is too long."""
    assert [ids for ids in _ids(tracked()) if ids] == [[1]] * 6
    assert [ids for ids in _ids(tracked(track_buffer=1)) if ids] == [[1]] * 4 + [[2]]


def track_match_thresh(tracked, **_):
    """Nothing is matched but what lies exactly there with full confidence: each frame's objects are seen once."""
    assert _ids(tracked(match_thresh=0))[1] == []
    assert _ids(tracked())[1] != []


def track_name(tracked, runs, **_):
    tracked(save_csv=True)
    head, *rows = (runs / "track/predictions.csv").read_text().splitlines()
    assert head.endswith(",y2,track_id")
    assert {row.split(",")[-1] for row in rows} == {"1"}


TRACK_CHECKS = {
    name.removeprefix("track_"): check for name, check in list(globals().items()) if name.startswith("track_")
}


@pytest.mark.parametrize("name", TRACK_CHECKS)
def test_a_setting_of_track_does_what_it_declares(tracked, runs, name):
    TRACK_CHECKS[name](tracked=tracked, runs=runs)


def test_every_setting_that_track_has_of_its_own_has_an_entry():
    """The others are those of predict, and go the same way."""
    of_predict = describe(PredictSettings)
    own = {name for name, setting in describe(TrackSettings).items() if setting != of_predict.get(name)}
    assert set(TRACK_CHECKS) == own


def test_a_tracked_video_is_saved_with_its_ids_and_again_the_same(tracked, runs):
    for _ in range(2):
        found = tracked(save=True, save_json=True, save_txt=True)
    assert [ids for ids in _ids(found) if ids] == [[1]] * 6
    pages = [(runs / name / "predictions.json").read_text() for name in ("track", "track2")]
    assert pages[0] == pages[1]
    frames = json.loads(pages[0])
    assert [row["track_id"] for frame in frames for row in frame["detections"]] == [1] * 6
    assert [len(frame["detections"]) for frame in frames] == [1, 1, 1, 1, 0, 0, 1, 1]
    assert (runs / "track/labels/moving_1.txt").read_text().endswith(" 1\n")
    assert (runs / "track/moving.mp4").is_file()


def test_persist_goes_on_frame_by_frame(trained, moving):
    capture, model, ids = cv2.VideoCapture(str(moving)), YOLO(trained[0].best), []
    while (read := capture.read())[0]:
        ids += _ids(model.track(read[1], stream=True, persist=True, **SURE))
    assert [each for each in ids if each] == [[1]] * 6
    assert next(iter(_ids(model.track(source=str(moving), stream=True, **SURE)))) == [1]  # a new video begins anew
