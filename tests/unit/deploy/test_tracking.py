"""Tracking: objects keep their ids through crossings, gaps and weak frames; a new video begins anew."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from peakmark.deploy.boxes import Boxes
from peakmark.deploy.frames import Origin
from peakmark.deploy.results import Results
from peakmark.deploy.tracking.following import Following
from peakmark.deploy.tracking.motion import Motion
from peakmark.deploy.tracking.tracker import Tracker, TrackRules
from peakmark.errors import MachineError
from peakmark.machine.streams import stream
from peakmark.nouns.images import Detections

pytest.importorskip("scipy", reason="optional: pip install 'peakmark[track]'")

Row = tuple[float, ...]
"""left, top, right, bottom, score"""


def found(*rows: Row) -> Detections:
    table = np.array(rows, np.float32).reshape(-1, 5)
    return Detections(table[:, :4], table[:, 4], np.zeros(len(table), np.int64))


def at(x: float, y: float, score: float = 0.9, side: float = 20) -> Row:
    return (x, y, x + side, y + side, score)


def follow(frames: Sequence[Sequence[Row]], **rules: float) -> list[dict[int, int]]:
    """Of each frame: the number of the detection, and its id."""
    tracker = Tracker(TrackRules(**rules))  # type: ignore[arg-type]
    given = []
    for rows in frames:
        numbers, ids = tracker.follow(found(*rows))
        given.append(dict(zip(numbers.tolist(), ids.tolist(), strict=True)))
    return given


def switches(given: Sequence[dict[int, int]], objects: int) -> int:
    """How often an object, which is the same number in each frame, has another id than before."""
    last: dict[int, int] = {}
    count = 0
    for ids in given:
        for number in range(objects):
            if number in ids:
                count += number in last and last[number] != ids[number]
                last[number] = ids[number]
    return count


def test_each_object_keeps_its_id_and_ids_count_from_1():
    frames = [[at(3 * t, 10), at(200 - 2 * t, 80), at(50, 5 * t)] for t in range(30)]
    given = follow(frames)
    assert given == [{0: 1, 1: 2, 2: 3}] * 30


@pytest.mark.parametrize("speed", [1, 3, 6])
def test_two_that_cross_keep_their_ids(speed):
    """Towards each other, a little apart in height: in the middle they overlap by half."""
    steps = 200 // speed
    given = follow([[at(speed * t, 10), at(200 - speed * t, 18)] for t in range(steps)])
    assert switches(given, 2) == 0
    assert set().union(*(ids.values() for ids in given)) == {1, 2}


def test_one_behind_the_other_for_a_while_comes_out_as_the_same():
    """The second is hidden for eight frames, in which it moves on by nearly two of its sides."""
    frames = [[at(100, 10), at(20 + 4 * t, 12)] for t in range(40)]
    hidden = range(16, 24)
    shown = [rows[:1] if t in hidden else rows for t, rows in enumerate(frames)]
    given = follow(shown)
    assert {ids[1] for t, ids in enumerate(given) if t not in hidden} == {2}
    assert {ids[0] for ids in given} == {1}


def test_lost_and_found_again_within_the_buffer_and_forgotten_after_it():
    def gap(frames: int, **rules: int) -> set[int]:
        still = [at(50, 50)]
        given = follow([*[still] * 10, *[[]] * frames, *[still] * 3], **rules)
        assert all(ids == {} for ids in given[10 : 10 + frames])
        return {number for ids in given for number in ids.values()}

    assert gap(29) == gap(30) == {1}
    assert gap(31) == {1, 2}
    assert gap(5, buffer=4) == {1, 2}


def test_weak_detections_keep_an_id_and_never_begin_one():
    fading = [[at(2 * t, 10, 0.9 if t < 10 else 0.12)] for t in range(30)]
    assert follow(fading) == [{0: 1}] * 30
    assert follow([[at(2 * t, 10, 0.2)] for t in range(30)]) == [{}] * 30
    # Lost is lost: what is weak doesn't bring it back.
    given = follow([*[[at(10, 10)]] * 5, [], [], *[[at(10, 10, 0.15)]] * 5])
    assert given[7:] == [{}] * 5


def test_what_is_seen_once_is_no_object():
    """A flash in one frame; what comes later has its id in its second frame. In the first frame all have theirs."""
    frames = [[at(10, 10)], [at(10, 10), at(80, 80)], [at(10, 10)], [at(10, 10), at(120, 20)]] + [
        [at(10, 10), at(120, 20)]
    ] * 3
    assert follow(frames) == [{0: 1}, {0: 1}, {0: 1}, {0: 1}, *[{0: 1, 1: 2}] * 3]


def test_empty_frames_and_no_frames():
    assert follow([[], [], []]) == [{}, {}, {}]
    assert follow([[], [at(1, 1)], [at(1, 1)], []]) == [{}, {}, {0: 1}, {}]


def test_its_limits_are_the_rules():
    moving = [[at(20 * t, 10, 0.5)] for t in range(3)]  # no overlap
    assert follow(moving) == [{0: 1}, {}, {}]
    still = [[at(10, 10, 0.3)]] * 3
    assert follow(still) == [{0: 1}] * 3
    assert follow(still, high=0.4) == [{}] * 3
    assert follow(still, new=0.35) == [{}] * 3
    # Likeness is overlap times score: 0.3 here.
    assert follow(still, match=0.6) == [{0: 1}, {}, {0: 2}]


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), objects=st.integers(1, 12), frames=st.integers(1, 30))
def test_ids_are_unique_in_a_frame_and_deterministic(seed, objects, frames):
    draw = stream(0, "test-tracks", seed)
    rows = [
        [at(*(float(each) for each in draw.uniform((0, 0, 0.1, 5), (60, 60, 1, 30)))) for _ in range(objects)]
        for _ in range(frames)
    ]
    given = follow(rows)
    for ids in given:
        assert len(set(ids.values())) == len(ids)
        assert all(0 <= number < objects for number in ids)
    assert follow(rows) == given


def crowd(seed: int, objects: int = 12, frames: int = 80) -> list[list[Row]]:
    """Objects on straight ways through one another, measured with errors, weak now and then; number i is object i."""
    draw = stream(0, "test-crowd", seed)
    start, speed = draw.uniform(0, 400, (objects, 2)), draw.uniform(-4, 4, (objects, 2))
    sides = draw.uniform(20, 45, objects)
    rows = []
    for t in range(frames):
        centres = start + t * speed + draw.normal(0, 0.7, (objects, 2))
        scores = np.where(draw.random(objects) < 0.15, 0.15, 0.85)
        rows.append([at(x, y, float(score), float(s)) for (x, y), score, s in zip(centres, scores, sides, strict=True)])
    return rows


def test_a_crowd_has_as_few_switches_as_with_roboflows_bytetrack():
    """Over 20 crowds of 30 objects it was 15 to 14."""
    crowds = [crowd(seed, objects=20) for seed in range(5)]
    ours = [switches(follow(rows), 20) for rows in crowds]
    assert sum(ours) <= 5
    trackers = pytest.importorskip(
        "trackers", reason="optional: make installs it without opencv-python, which it asks for and which breaks cv2"
    )
    supervision = pytest.importorskip("supervision")
    theirs = 0
    for rows in crowds:
        other = trackers.ByteTrackTracker(track_activation_threshold=0.25, high_conf_det_threshold=0.25)
        given = []
        for frame in rows:
            found_here = found(*frame)
            tracked = other.update(
                supervision.Detections(
                    xyxy=found_here.boxes_xyxy_px, confidence=found_here.scores, class_id=found_here.classes,
                    data={"number": np.arange(len(frame))},
                )
            )  # fmt: skip
            pairs = zip(tracked.data["number"].tolist(), tracked.tracker_id.tolist(), strict=True)
            given.append({number: id_ for number, id_ in pairs if id_ >= 0})
        theirs += switches(given, 20)
    assert sum(ours) <= theirs + 2


def test_motion_is_the_textbook_filter():
    """Held against matrices, coordinate by coordinate (Bar-Shalom et al., chapters 5 and 6.2)."""
    boxes = np.array([[10.0, 20, 30, 60], [5, 5, 9, 9]])
    motion = Motion.of(boxes)
    size = np.sqrt(np.array([20 * 40, 4 * 4.0]))
    states = [np.array([motion.position[0, 0], 0.0]), np.array([motion.position[1, 1], 0.0])]
    covariances = [np.diag([(s / 20) ** 2, (s / 5) ** 2]) for s in size]
    step = np.array([[1.0, 1], [0, 1]])
    noise = np.array([[0.25, 0.5], [0.5, 1]])
    for shift in (3.0, 4.0, 2.5):
        q = [(np.sqrt(np.prod(row[2:])) / 40) ** 2 for row in motion.position]
        motion = motion.after_a_frame()
        boxes = boxes + shift
        motion = motion.seen(boxes)
        centres = [(boxes[0, 0] + boxes[0, 2]) / 2, (boxes[1, 1] + boxes[1, 3]) / 2]
        for i in range(2):
            x, p = step @ states[i], step @ covariances[i] @ step.T + q[i] * noise
            gain = p[:, 0] / (p[0, 0] + (size[i] / 20) ** 2)
            states[i] = x + gain * (centres[i] - x[0])
            covariances[i] = p - np.outer(gain, p[0])
    assert motion.position[0, 0] == pytest.approx(states[0][0])
    assert motion.velocity[1, 1] == pytest.approx(states[1][1])
    assert motion.position_variance[1, 1] == pytest.approx(covariances[1][0, 0])
    assert motion.covariance[0, 0] == pytest.approx(covariances[0][0, 1])
    assert motion.velocity_variance[0, 0] == pytest.approx(covariances[0][1, 1])


def test_what_is_lost_keeps_its_size():
    motion = Motion.of(np.array([[0.0, 0, 20, 20]]))
    for t in range(1, 6):
        motion = motion.after_a_frame().seen(np.array([[0.0, 0, 20 - 2 * t, 20 - 2 * t]]))
    gone = motion.of_one_size(np.array([True]))
    for _ in range(30):
        gone = gone.after_a_frame()
    assert gone.position[0, 2] == motion.position[0, 2] > 5


def test_without_scipy_it_is_said_which_extra_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(
        MachineError, match=r"pip install 'peakmark\[track\]', or in a checkout pip install '\.\[track\]'"
    ):
        Tracker(TrackRules())


# --- in results -------------------------------------------------------------------------------------------------------


def result(rows: Sequence[Row], origin: Origin) -> Results:
    boxes = Boxes.from_detections(found(*rows), (300, 300))
    return Results(np.zeros((300, 300, 3), np.uint8), boxes, {0: "cell"}, origin, {})


def frame(index: int, name: str = "a.mp4") -> Origin:
    return Origin(name, Path(name), index, 9, kind="video", fps=25)


def ids_of(results: Sequence[Results]) -> list[list[int]]:
    return [[int(number) for number in each.boxes.id.tolist()] for each in results]


def test_results_keep_the_followed_objects_with_their_ids():
    rows = [at(10, 10), at(100, 100, 0.15), at(200, 200)]
    results = list(Following(TrackRules()).follow(result(rows, frame(i)) for i in range(3)))
    assert ids_of(results) == [[1, 2]] * 3
    assert results[0].boxes.xyxy.tolist() == [list(rows[0][:4]), list(rows[2][:4])]  # as they were found
    assert results[1].orig_img.shape == (300, 300, 3)
    nothing = next(Following(TrackRules()).follow([result([], frame(0))]))
    assert nothing.boxes.is_track
    assert nothing.boxes.shape == (0, 7)


def test_a_new_video_begins_anew_also_the_same_file_again():
    one, two = [at(10, 10)], [at(100, 100)]
    videos = [("a.mp4", one, 0), ("a.mp4", one, 1), ("b.mp4", two, 0), ("b.mp4", two, 1), ("b.mp4", one, 0)]
    results = Following(TrackRules()).follow(result(rows, frame(index, name)) for name, rows, index in videos)
    assert ids_of(list(results)) == [[1]] * 5


def test_pictures_that_are_no_video_follow_one_another():
    following = Following(TrackRules())
    origins = [Origin(f"{i}.jpg", Path(f"{i}.jpg"), i, 4) for i in range(4)]
    assert (
        ids_of(list(following.follow(result([at(10 + i, 10)], origin) for i, origin in enumerate(origins))))
        == [[1]] * 4
    )
    # As of a program that hands over one frame after the other.
    assert ids_of(list(following.follow([result([at(14, 10)], Origin("image0.jpg", None, 0, 1))]))) == [[1]]
