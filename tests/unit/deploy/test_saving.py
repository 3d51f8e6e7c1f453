"""Saving: names, formats, collisions, and that a final name appears only on what is whole."""

from __future__ import annotations

import csv
import json
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from peakmark.deploy.boxes import Boxes
from peakmark.deploy.frames import Origin
from peakmark.deploy.results import Results
from peakmark.deploy.saving import open_saver
from peakmark.deploy.video import VideoCopy
from peakmark.errors import DataError, MachineError
from peakmark.events import Event, Notice
from peakmark.nouns.images import Detections

Row = tuple[float, float, float, float, float, int]
ONE: Row = (2, 4, 10, 12, 0.5, 1)
EVERYTHING: dict[str, Any] = {"txt": True, "txt_conf": True, "json": True, "csv": True}


def make_result(
    origin: Origin, boxes: tuple[Row, ...] = (ONE,), value: int = 0, height: int = 48, width: int = 64
) -> Results:
    table = np.array(boxes, np.float32).reshape(-1, 6)
    detections = Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))
    image_bgr = np.full((height, width, 3), value, np.uint8)
    return Results(image_bgr, Boxes.from_detections(detections, (height, width)), {0: "a", 1: "b, c"}, origin, {})


def image_origin(path: str | Path, index: int = 0) -> Origin:
    return Origin(Path(path).name, Path(path), index, None)


def video_origin(path: str | Path, index: int, fps: float | None = 10.0) -> Origin:
    return Origin(Path(path).name, Path(path), index, 5, kind="video", fps=fps)


def saved(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def save(folder: Path, results: Iterable[Results], **options: Any) -> list[str]:
    events: list[Event] = []
    with open_saver(folder, observer=events.append, **options) as saver:
        for result in results:
            saver.add(result)
    return [event.text for event in events if isinstance(event, Notice)]


def read_video(path: Path) -> tuple[list[Any], float]:
    capture = cv2.VideoCapture(str(path))
    frames = []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames, capture.get(cv2.CAP_PROP_FPS)


def test_copies_keep_the_name_and_the_format_where_it_can_be_written(tmp_path):
    names = ["a.png", "b.JPG", "c.jp2", "d.gif"]
    notices = save(tmp_path / "out", [make_result(image_origin(f"in/{name}")) for name in names])
    assert notices == []
    assert saved(tmp_path / "out") == ["a.png", "b.JPG", "c.jpg", "d.jpg"]
    exact, lossy = (cv2.imread(str(tmp_path / "out" / name)) for name in ("a.png", "b.JPG"))
    assert exact is not None
    assert lossy is not None
    assert np.array_equal(exact, make_result(image_origin("in/a.png")).plot())
    assert lossy.shape == exact.shape


def test_line_width_reaches_the_copies(tmp_path):
    for width in (1, 4):
        save(tmp_path / str(width), [make_result(image_origin("in/a.png"))], line_width=width)
    copies = [(tmp_path / str(width) / "a.png").read_bytes() for width in (1, 4)]
    assert copies[0] != copies[1]


def test_only_what_is_asked_for_is_written(tmp_path):
    save(tmp_path, [make_result(image_origin("in/a.png"))], pictures=False)
    assert saved(tmp_path) == []
    save(tmp_path, [make_result(image_origin("in/a.png"))], pictures=False, txt=True)
    assert saved(tmp_path) == ["labels/a.txt"]
    assert (tmp_path / "labels" / "a.txt").read_text() == "1 0.09375 0.166667 0.125 0.166667\n"


def test_all_kinds_together(tmp_path):
    results = [
        make_result(image_origin("in/a.png")),
        make_result(image_origin("in/none.png"), boxes=()),
        *(make_result(video_origin("in/clip.avi", index), value=20 * index) for index in range(3)),
        make_result(Origin("image5.jpg", None, 5, 6)),
    ]
    save(tmp_path, results, **EVERYTHING)
    assert saved(tmp_path) == sorted(
        ["a.png", "none.png", "clip.mp4", "image5.jpg", "predictions.json", "predictions.csv"]
        + [f"labels/{name}.txt" for name in ("a", "none", "clip_1", "clip_2", "clip_3", "image5")]
    )
    assert (tmp_path / "labels" / "a.txt").read_text().endswith(" 0.5\n")
    assert (tmp_path / "labels" / "none.txt").read_text() == ""

    pictures = json.loads((tmp_path / "predictions.json").read_text())
    assert [p["image"] for p in pictures] == ["in/a.png", "in/none.png"] + ["in/clip.avi"] * 3 + ["image5.jpg"]
    assert [p["frame"] for p in pictures] == [None, None, 1, 2, 3, None]
    assert [p["saved_as"] for p in pictures] == ["a", "none", "clip_1", "clip_2", "clip_3", "image5"]
    assert (pictures[0]["width"], pictures[0]["height"]) == (64, 48)
    assert pictures[0]["detections"] == results[0].summary()
    assert pictures[1]["detections"] == []

    with open(tmp_path / "predictions.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["image"], row["frame"]) for row in rows] == [
        ("in/a.png", ""), ("in/clip.avi", "1"), ("in/clip.avi", "2"), ("in/clip.avi", "3"), ("image5.jpg", ""),
    ]  # fmt: skip
    assert rows[0]["name"] == "b, c"
    assert [rows[0][key] for key in ("class", "confidence", "x1", "y1", "x2", "y2")] == [
        "1", "0.5", "2.0", "4.0", "10.0", "12.0",
    ]  # fmt: skip


def test_tables_without_pictures_are_still_valid(tmp_path):
    save(tmp_path, [], **EVERYTHING)
    assert json.loads((tmp_path / "predictions.json").read_text()) == []
    assert (tmp_path / "predictions.csv").read_text().count("\n") == 1


def test_a_video_copy_has_every_frame_in_order_and_the_speed(tmp_path):
    origins = [video_origin("in/clip.mp4", index, fps=12.5) for index in range(10)]
    save(tmp_path, [make_result(origin, value=20 * origin.index, boxes=()) for origin in origins])
    frames, fps = read_video(tmp_path / "clip.mp4")
    assert [round(frame.mean() / 20) for frame in frames] == list(range(10))
    assert fps == 12.5
    assert frames[0].shape == (48, 64, 3)


def test_two_videos_and_the_same_one_twice_are_told_apart(tmp_path):
    clips = [("x/clip.mp4", 3), ("y/clip.mp4", 4), ("y/clip.mp4", 5)]
    results = [make_result(video_origin(path, index)) for path, count in clips for index in range(count)]
    notices = save(tmp_path, results)
    assert [len(read_video(tmp_path / f"{name}.mp4")[0]) for name in ("clip", "clip-2", "clip-3")] == [3, 4, 5]
    assert len(saved(tmp_path)) == 3
    assert "y/clip.mp4" in notices[0]


def test_a_frame_and_an_image_of_the_same_name_are_told_apart(tmp_path):
    results = [make_result(image_origin("in/clip_2.png"))]
    results += [make_result(video_origin("in/clip.mp4", index)) for index in range(2)]
    notices = save(tmp_path, results, txt=True)
    assert saved(tmp_path / "labels") == ["clip_1.txt", "clip_2-2.txt", "clip_2.txt"]
    assert notices == ["in/clip.mp4, frame 2 is saved as clip_2-2: clip_2 is taken by another source."]


def test_a_frame_of_another_size_is_not_lost(tmp_path):
    results = [make_result(video_origin("in/clip.mp4", index), height=48 + 2 * index) for index in range(3)]
    save(tmp_path, results)
    assert len(read_video(tmp_path / "clip.mp4")[0]) == 3


def test_a_video_that_does_not_say_how_fast_it_runs_can_be_copied(tmp_path):
    save(tmp_path, [make_result(video_origin("in/clip.mp4", index, fps=None)) for index in range(2)])
    assert len(read_video(tmp_path / "clip.mp4")[0]) == 2


def test_names_that_collide_get_a_number_and_it_is_said(tmp_path):
    paths = ["x/a.png", "y/a.png", "x/a.jpg", "x/A.png", "x/a-2.png"]
    notices = save(tmp_path, [make_result(image_origin(path)) for path in paths], txt=True, json=True)
    labels = [name for name in saved(tmp_path) if name.startswith("labels/")]
    assert len(labels) == len(paths)
    assert sorted(
        Path(name).stem for name in saved(tmp_path) if "/" not in name and "predictions" not in name
    ) == sorted(Path(name).stem for name in labels)
    assert notices[0] == "y/a.png is saved as a-2: a is taken by another source."
    assert len(notices) == 4
    assert len({name.lower() for name in saved(tmp_path)}) == len(saved(tmp_path))


def test_a_source_is_never_written_over(tmp_path):
    (tmp_path / "data" / "images").mkdir(parents=True)
    source = tmp_path / "data" / "images" / "a.png"
    source.write_bytes(b"the source")
    (tmp_path / "link").symlink_to(tmp_path / "data", target_is_directory=True)
    # The folder above counts as well: labels would go to data/labels, where the truths are.
    for folder in (source.parent, tmp_path / "data", tmp_path / "link"):
        with pytest.raises(DataError, match="Choose another project or name"):
            save(folder, [make_result(image_origin(source))], **EVERYTHING)
    assert source.read_bytes() == b"the source"
    assert saved(tmp_path) == ["data/images/a.png"]


def test_an_error_leaves_whole_files_only(tmp_path):
    saver = open_saver(tmp_path, observer=lambda event: None, **EVERYTHING)

    def fail_in_the_middle() -> None:
        with saver:
            saver.add(make_result(image_origin("in/a.png")))
            saver.add(make_result(video_origin("in/clip.mp4", 0)))
            assert saved(tmp_path) != ["a.png"]
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        fail_in_the_middle()
    assert saved(tmp_path) == ["a.png", "labels/a.txt", "labels/clip_1.txt"]


def test_an_earlier_result_stands_until_the_new_one_is_whole(tmp_path):
    (tmp_path / "predictions.json").write_text("[1]")
    with open_saver(tmp_path, observer=lambda event: None, json=True, pictures=False) as saver:
        saver.add(make_result(image_origin("in/a.png")))
        assert (tmp_path / "predictions.json").read_text() == "[1]"
    assert len(json.loads((tmp_path / "predictions.json").read_text())) == 1


def test_who_has_had_enough_keeps_what_came_until_then(tmp_path):
    def stream() -> Generator[Results, None, None]:
        with open_saver(tmp_path, observer=lambda event: None, **EVERYTHING) as saver:
            for index in range(10):
                result = make_result(video_origin("in/clip.mp4", index))
                saver.add(result)
                yield result

    results = stream()
    for _ in range(4):
        next(results)
    results.close()
    assert len(read_video(tmp_path / "clip.mp4")[0]) == 4
    assert len(json.loads((tmp_path / "predictions.json").read_text())) == 4


def test_one_file_that_can_not_be_finished_does_not_take_the_others_along(tmp_path):
    (tmp_path / "predictions.json").mkdir()
    with pytest.raises(MachineError, match=r"predictions\.json"):
        save(tmp_path, [make_result(video_origin("in/clip.mp4", 0))], **EVERYTHING)
    assert {"clip.mp4", "predictions.csv"} <= set(saved(tmp_path))


def test_a_folder_that_can_not_be_made_is_an_error_with_its_name(tmp_path):
    (tmp_path / "taken").write_text("a file")
    for options in ({}, {"pictures": False, "txt": True}, {"pictures": False, "json": True}):
        with pytest.raises(MachineError, match="taken"):
            save(tmp_path / "taken", [make_result(image_origin("in/a.png"))], **options)
    with pytest.raises(MachineError, match="taken"):
        save(tmp_path / "taken", [make_result(video_origin("in/clip.mp4", 0))])


def test_a_video_that_lost_frames_is_said_and_gets_no_name(tmp_path, monkeypatch):
    copy = VideoCopy(tmp_path / "clip.mp4", 10.0, 64, 48)
    for _ in range(3):
        copy.add(np.zeros((48, 64, 3), np.uint8))
    monkeypatch.setattr(copy, "_frames", 5)
    with pytest.raises(MachineError, match="Only 3 of 5 frames"):
        copy.finish()
    assert saved(tmp_path) == []
