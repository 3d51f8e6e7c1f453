"""Every chart is there, has its size and shows something, for usual and unusual runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from peakmark.nouns.run import History
from peakmark.report.pictures.confusion import draw_confusion
from peakmark.report.pictures.curves import draw_results
from peakmark.report.pictures.labels import SplitLabels, draw_labels
from peakmark.report.pictures.precision_recall import draw_precision_recall

EIGHTY = tuple(f"class number {c}" for c in range(80))
AWKWARD = ("_hidden", "price $x$ or $\\frac{$", "two\nlines", "名前", "n" * 200)


def read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path))
    assert image is not None, path
    return np.asarray(image, dtype=np.int64)


def ink(path: Path) -> float:
    """The share of pixels that aren't white."""
    return float((read(path) < 250).any(axis=2).mean())


def size(path: Path) -> tuple[int, int]:
    height, width = read(path).shape[:2]
    return width, height


def green(path: Path) -> int:
    """Pixels in the green that marks the best epoch."""
    return int((np.abs(read(path) - (115, 158, 0)) < 12).all(axis=2).sum())


def shade(path: Path) -> int:
    """Pixels in the shade of the closed mosaic."""
    return int((np.abs(read(path) - (230, 240, 243)) <= 1).all(axis=2).sum())


def dotted(path: Path) -> list[int]:
    """The columns in which the dark of a dotted line runs through the upper half."""
    upper = read(path)[100:560]
    dark = (upper < 120).all(axis=2).sum(axis=0)
    return [int(x) for x in np.flatnonzero(dark > 60)]


def test_results_mark_the_best_epoch_and_the_closed_mosaic(tmp_path, make_history, make_segment):
    draw_results(make_history(12, segments=(make_segment(0),)), 7, tmp_path / "a.png")
    draw_results(make_history(12, segments=(make_segment(0, close_mosaic=0),)), None, tmp_path / "b.png")
    assert size(tmp_path / "a.png") == (2400, 1200)
    assert green(tmp_path / "a.png") > 500
    assert shade(tmp_path / "a.png") > 5000
    assert green(tmp_path / "b.png") == 0
    assert shade(tmp_path / "b.png") == 0


def test_a_longer_run_is_shaded_where_mosaic_was_closed_in_each_of_its_parts(tmp_path, make_history, make_segment):
    held = (make_segment(0), make_segment(12, reason="epochs: 12 -> 24"))
    stretched = (make_segment(0), make_segment(12, reason="epochs: 12 -> 24", horizon=24))
    for name, segments in (("held", held), ("stretched", stretched)):
        draw_results(make_history(24, segments=segments), None, tmp_path / f"{name}.png")
    # 15 of 24 epochs are closed where the phase is held, 3 and 3 where mosaic comes back.
    assert 2.2 < shade(tmp_path / "held.png") / shade(tmp_path / "stretched.png") < 2.8


def test_changed_settings_are_marked_and_explained(tmp_path, make_history, make_segment):
    first = make_segment(0, close_mosaic=0)
    begun = make_segment(12, reason="lr0: 0.01 -> 0.001", close_mosaic=0)
    draw_results(make_history(12, segments=(first,)), None, tmp_path / "without.png")
    draw_results(make_history(12, segments=(first, begun)), None, tmp_path / "begun.png")
    assert (tmp_path / "without.png").read_bytes() == (tmp_path / "begun.png").read_bytes(), "nothing was trained in it"
    # Words of any length have their place, and so has a change within an epoch.
    changes = (
        (6, 96, "lr0: 0.01 -> 0.001, " + "more " * 90),
        *((epoch, 0, f"lr0: {epoch}") for epoch in (8, 9, 10, 11)),
    )
    segments = (first, *(make_segment(e, i, reason=why, close_mosaic=0) for e, i, why in changes))
    draw_results(make_history(12, segments=segments), None, tmp_path / "changed.png")
    assert size(tmp_path / "changed.png") == (2400, 1200)
    before = {x // 20 for x in dotted(tmp_path / "without.png")}
    assert len({x // 20 for x in dotted(tmp_path / "changed.png")} - before) >= 4 * len(changes)


@pytest.mark.parametrize(
    ("kind", "best", "least"),
    [
        ({"epochs": 1}, 0, 0.01),
        ({"epochs": 9, "val_period": 4}, 3, 0.02),
        ({"epochs": 5, "validated": False}, None, 0.01),
    ],
    ids=["one epoch", "gaps", "never validated"],
)
def test_results_of_unusual_runs(tmp_path, make_history, kind, best, least):
    draw_results(make_history(**kind), best, tmp_path / "results.png")
    assert size(tmp_path / "results.png") == (2400, 1200)
    assert ink(tmp_path / "results.png") > least


def test_results_before_the_first_epoch_has_ended(tmp_path):
    draw_results(History(), None, tmp_path / "results.png")
    assert ink(tmp_path / "results.png") > 0.005


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (EIGHTY, {"without_truths": (0, 79)}),
        (AWKWARD, {}),
        (("a", "b"), {"without_truths": (0, 1)}),
        (("a",), {"empty": True}),
    ],
    ids=["80 classes", "awkward names", "no truths", "no detections"],
)
def test_evaluation_charts(tmp_path, make_evaluation, names, kind):
    of = make_evaluation(names, **kind)
    curves = draw_precision_recall(of, tmp_path)
    assert [path.name for path in curves] == ["PR_curve.png", "F1_curve.png", "P_curve.png", "R_curve.png"]
    for path in curves:
        assert size(path) == (1650, 1125)
        assert ink(path) > 0.005
    matrices = draw_confusion(of, tmp_path)
    assert [path.name for path in matrices] == ["confusion_matrix.png", "confusion_matrix_normalized.png"]
    for path in matrices:
        assert 1200 <= min(size(path)) <= max(size(path)) <= 2600
        assert ink(path) > 0.005


def test_a_confusion_is_drawn_in_its_row_and_column(tmp_path, make_evaluation):
    of = make_evaluation(("a", "b", "c"), empty=True)
    of.confusion[:] = 0
    before = read(draw_confusion(of, tmp_path / "before")[0])
    of.confusion[0, 2] = 1  # predicted a, in truth c: the upper right of the classes
    after = read(draw_confusion(of, tmp_path / "after")[0])
    ys, xs = np.nonzero((before != after).any(axis=2)[:, :1100])
    assert ys.mean() < 0.35 * before.shape[0]
    assert xs.mean() > 0.5 * before.shape[1]


def split(objects: int, classes: int, images: int) -> SplitLabels:
    rng = np.random.Generator(np.random.Philox(key=objects))
    boxes = np.hstack([rng.uniform(0, 1, (objects, 2)), rng.uniform(0.0005, 1, (objects, 2))])
    counts = np.bincount(rng.integers(0, max(images, 1), objects), minlength=images)
    return SplitLabels(boxes, rng.integers(0, classes, objects), counts)


@pytest.mark.parametrize(
    ("splits", "names"),
    [
        ({"train": split(900, 3, 100), "val": split(200, 3, 30)}, ("a", "b", "c")),
        ({"train": split(1, 1, 1)}, ("single",)),
        ({"train": split(3000, 80, 50), "val": split(80, 80, 9), "test": split(9, 80, 5)}, EIGHTY),
        ({"train": split(3000, 300, 50)}, tuple(map(str, range(300)))),
        ({"train": split(0, 1, 4), "val": split(0, 1, 0)}, ("nothing",)),
        ({"train": split(50, 5, 4)}, AWKWARD),
    ],
    ids=["usual", "one object", "80 classes", "300 classes", "no labels", "awkward names"],
)
def test_label_statistics(tmp_path, splits, names):
    draw_labels(splits, names, tmp_path / "labels.jpg")
    assert size(tmp_path / "labels.jpg") == (2250, 1500)
    assert ink(tmp_path / "labels.jpg") > 0.005


def test_a_picture_is_the_same_each_time(tmp_path, make_history):
    for name in ("a.png", "b.png"):
        draw_results(make_history(3), 1, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
