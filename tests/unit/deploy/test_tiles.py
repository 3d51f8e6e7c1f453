"""Large pictures in tiles: each object once and whole, and where one tile suffices nothing is another way."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from peakmark.deploy.frames import Frame, Origin
from peakmark.deploy.predict import predict
from peakmark.deploy.results import Results
from peakmark.deploy.tiled.layout import Grid, Tiling
from peakmark.deploy.tiled.looking import batch_with_tiles, predict_in_tiles, saying_what_is_shrunk
from peakmark.deploy.tiled.merging import merge
from peakmark.errors import DataError
from peakmark.events import Event
from peakmark.machine.streams import stream
from peakmark.nouns.images import Detections, ImageArray

TILE_PX = 64
Box = tuple[int, int, int, int]


def detections(*rows: tuple[float, ...]) -> Detections:
    """Rows of left, top, right, bottom, score, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 4], table[:, 5].astype(np.int64))


def find_squares(images_BCHW: torch.Tensor) -> list[Detections]:
    """Finds every bright rectangle exactly, and nothing in a picture that was resized: it has grey edges there."""
    found = []
    for image in images_BCHW.numpy():
        is_sharp = np.isin(image[0], (0, 255, 114)).all()
        bright = (image[0] == 255).astype(np.uint8) if is_sharp else np.zeros_like(image[0])
        _, _, stats, _ = cv2.connectedComponentsWithStats(bright)
        left, top, width, height = stats[1:, :4].T
        found.append(detections(*zip(left, top, left + width, top + height, 0.9 + 0 * left, 0 * left, strict=True)))
    return found


def layout(seed: int, width_px: int, height_px: int, count: int) -> tuple[ImageArray, list[Box]]:
    """A black picture with white rectangles that don't touch: most small, some larger than a tile."""
    draw = stream(0, "test-tiles", seed, count)
    image, taken, boxes = np.zeros((height_px, width_px, 3), np.uint8), np.zeros((height_px, width_px), bool), []
    for _ in range(count):
        longest = 200 if draw.random() < 0.15 else 26
        width, height = (int(side) for side in draw.integers(3, longest, 2))
        if width >= width_px or height >= height_px:
            continue
        x, y = int(draw.integers(width_px - width)), int(draw.integers(height_px - height))
        if not taken[max(0, y - 3) : y + height + 3, max(0, x - 3) : x + width + 3].any():
            taken[y : y + height, x : x + width] = True
            image[y : y + height, x : x + width] = 255
            boxes.append((x, y, x + width, y + height))
    return image, boxes


def frame_of(image: ImageArray, index: int = 0) -> Frame:
    return Frame(image, Origin(f"image{index}.jpg", None, index, None))


def in_tiles(
    *images: ImageArray, tile_px: int = TILE_PX, overlap: float = 0.2, detect=find_squares, most: int = 300, **more
) -> list[Results]:
    frames = [frame_of(image, index) for index, image in enumerate(images)]
    usual = {"names": ("bright", "other"), "side_px": TILE_PX, "agnostic": False, "observer": lambda event: None}
    tiling = Tiling(tile_px, overlap)
    return list(predict_in_tiles(frames, detect, tiling=tiling, max_detections=most, **{**usual, **more}))


def boxes_of(result: Results) -> list[tuple[float, ...]]:
    return sorted(tuple(box) for box in result.boxes.xyxy.tolist())


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    width=st.integers(65, 400),
    height=st.integers(20, 400),
    count=st.integers(0, 40),
    overlap=st.sampled_from([0.1, 0.2, 0.35, 0.5]),
    batch=st.sampled_from([1, 8]),
)
def test_every_object_comes_out_once_and_whole(seed, width, height, count, overlap, batch):
    """Also those that lie on borders, on corners, and those larger than a tile, which no tile shows whole."""
    image, boxes = layout(seed, width, height, count)
    [found] = in_tiles(image, overlap=overlap, batch=batch)
    assert boxes_of(found) == sorted(boxes)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), overlap=st.sampled_from([0.35, 0.5]))
def test_a_detector_that_errs_by_a_px_on_each_side_doubles_and_loses_nothing(seed, overlap):
    """Each look at an object measures it anew, with another score."""
    draw = stream(0, "test-errors", seed)

    def detect(images_BCHW: torch.Tensor) -> list[Detections]:
        return [_with_errors(found) for found in find_squares(images_BCHW)]

    def _with_errors(found: Detections) -> Detections:
        boxes = found.boxes_xyxy_px + draw.uniform(-1, 1, found.boxes_xyxy_px.shape)
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 0.5)
        scores = draw.uniform(0.3, 1, len(found))
        order = np.argsort(-scores)
        return Detections(
            boxes.clip(0, TILE_PX).astype(np.float32)[order], scores.astype(np.float32)[order], found.classes
        )

    _, all_boxes = layout(seed, 300, 300, 40)
    small = [box for box in all_boxes if all(5 <= side <= 18 for side in (box[2] - box[0], box[3] - box[1]))]
    image = np.zeros((300, 300, 3), np.uint8)
    for left, top, right, bottom in small:
        image[top:bottom, left:right] = 255
    [found] = in_tiles(image, overlap=overlap, detect=detect)
    assert len(found) == len(small)
    apart = np.abs(found.boxes.xyxy.numpy()[:, None] - np.array(small, np.float32).reshape(-1, 4)).max(axis=2)
    assert (apart.min(axis=0, initial=0 if not small else np.inf) <= 1.01).all()


def test_2000_px_with_many_small_objects_against_one_look():
    image, boxes = layout(1, 2000, 2000, 900)
    [found] = in_tiles(image, tile_px=256, side_px=256, most=2000)
    assert len(boxes) > 400
    assert boxes_of(found) == sorted(boxes)

    def find_bright(images_BCHW: torch.Tensor) -> list[Detections]:
        return find_squares((images_BCHW > 200).to(torch.uint8) * 255)

    [once] = predict([frame_of(image)], find_bright, names=("bright",), side_px=256)
    assert len(once) < 0.6 * len(boxes)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(length=st.integers(1, 5000), size=st.integers(32, 700), overlap=st.floats(0, 0.5), data=st.data())
def test_what_is_no_larger_than_the_overlap_is_whole_in_a_tile(length, size, overlap, data):
    tiling = Tiling(size, overlap)
    spans = tiling.grid(length, 1).columns
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert {end - start for start, end in spans} == {min(size, length)}
    longest = int(min(tiling.whole_px, length))
    start = data.draw(st.integers(0, length - longest))
    margin = tiling.edge_px
    assert any(
        (left == 0 or left + margin <= start) and (right == length or start + longest <= right - margin)
        for left, right in spans
    )


@pytest.mark.parametrize("batch", [1, 4])
def test_a_picture_that_one_tile_holds_goes_as_without_tiles(batch):
    seen: list[torch.Tensor] = []

    def detect(images_BCHW: torch.Tensor) -> list[Detections]:
        seen.append(images_BCHW.clone())
        return [detections((1.5, 2.25, 30.125, 40, 0.75, 1), (2, 2, 31, 41, 0.5, 1)) for _ in images_BCHW]

    images = [layout(number, 64, 50, 5)[0] for number in range(6)]
    frames = [frame_of(image, index) for index, image in enumerate(images)]
    plain = list(predict(frames, detect, names=("a", "b"), side_px=TILE_PX, batch=batch))
    by_plain, seen = seen, []
    tiled = in_tiles(*images, detect=detect, batch=batch)
    assert all(torch.equal(one, other) for one, other in zip(by_plain, seen, strict=True))
    assert all(torch.equal(one.boxes.data, other.boxes.data) for one, other in zip(plain, tiled, strict=True))


def test_small_and_large_pictures_come_out_in_order():
    images = [layout(number, width, 60, 6) for number, width in enumerate((64, 300, 50, 40, 200, 64))]
    found = in_tiles(*(image for image, _ in images), batch=2)
    assert [result.origin.index for result in found] == list(range(6))
    for result, (image, boxes) in zip(found, images, strict=True):
        assert (result.orig_img == image).all()
        if result.orig_shape[1] >= 64:  # the others are resized
            assert boxes_of(result) == sorted(boxes)


def test_an_error_of_the_source_comes_after_the_results_before_it():
    def frames() -> Iterator[Frame]:
        yield frame_of(layout(0, 64, 64, 3)[0])
        yield frame_of(layout(0, 200, 64, 3)[0], 1)
        raise DataError("broken")

    results = predict_in_tiles(
        frames(), find_squares, tiling=Tiling(64, 0.2), names=("a",), side_px=64, max_detections=9, agnostic=False,
        observer=print,
    )  # fmt: skip
    assert [next(results).origin.index for _ in range(2)] == [0, 1]
    with pytest.raises(DataError, match="broken"):
        next(results)


def test_few_tiles_are_in_memory_together():
    sizes = []

    def detect(images_BCHW: torch.Tensor) -> list[Detections]:
        sizes.append(tuple(images_BCHW.shape))
        return find_squares(images_BCHW)

    in_tiles(layout(0, 500, 300, 30)[0], detect=detect, batch=3)
    assert {shape[1:] for shape in sizes[:-1]} == {(3, 64, 64)}
    assert max(shape[0] for shape in sizes) == 3
    assert sizes[-1] == (1, 3, 64, 64)  # the whole picture, 64 x 38 in its rectangle


def test_what_max_det_leaves_out_is_said_once():
    said: list[Event] = []
    images = [layout(number, 300, 300, 60) for number in range(2)]
    found = in_tiles(*(image for image, _ in images), most=12, observer=said.append)
    assert [len(result) for result in found] == [12, 12]
    assert len(said) == 1
    assert "max_det=12" in str(said[0])
    in_tiles(images[0][0], most=300, observer=said.append)
    assert len(said) == 1


def test_classes_keeps_only_these():
    image, boxes = layout(3, 200, 200, 20)
    [found] = in_tiles(image, classes=[0])
    assert len(found) == len(boxes)
    [found] = in_tiles(image, classes=[1])
    assert len(found) == 0


# --- the rule, case by case -------------------------------------------------------------------------------------------

GRID = Tiling(100, 0.2).grid(180, 100)
"""Two tiles, which both show 80 to 100."""
NOTHING = detections()


def merged(first: Detections, second: Detections, whole: Detections = NOTHING, *, agnostic: bool = False):
    found = merge(GRID, [first, second], whole, edge_px=2, whole_px=16, seen_px=(1, 2), agnostic=agnostic)
    rows = zip(found.boxes_xyxy_px.tolist(), found.scores.tolist(), found.classes.tolist(), strict=True)
    return [(*box, round(score, 3), number) for box, score, number in rows]


def test_the_grid_is_what_the_cases_take_it_for():
    assert GRID.columns == ((0, 100), (80, 180))
    assert GRID.rows == ((0, 100),)


def test_of_two_looks_at_one_object_the_surer_stays():
    first, second = (82, 10, 96, 24, 0.8, 0), (84, 11, 97, 25, 0.9, 0)
    assert merged(detections(first), detections(second)) == [second]


def test_a_tiny_object_that_two_tiles_measure_a_px_apart_is_one():
    """Their IoU is 0.29: no limit of overlap would see it."""
    assert len(merged(detections((84, 10, 87, 13, 0.8, 0)), detections((85, 11, 88, 14, 0.9, 0)))) == 1
    assert len(merged(detections((84, 10, 87, 13, 0.8, 0)), detections((88, 10, 91, 13, 0.9, 0)))) == 2


def test_two_objects_that_overlap_in_one_tile_stay_two():
    """Suppression let them through; and what the other tile shows of both adds nothing."""
    both = detections((82, 10, 96, 40, 0.9, 0), (84, 20, 97, 45, 0.8, 0))
    other = detections((82, 10, 96, 40, 0.7, 0), (84, 20, 96.5, 45, 0.6, 0))
    assert [row[4] for row in merged(both, other)] == [0.9, 0.8]


def test_a_surer_piece_gives_way_to_the_whole_whatever_its_class():
    piece, whole = (85, 10, 100, 40, 0.95, 1), (85, 10, 130, 40, 0.4, 0)
    assert merged(detections(piece), detections(whole)) == [whole]


def test_a_small_object_does_not_drop_the_piece_that_it_lies_on():
    piece, small = (40, 10, 100, 90, 0.8, 0), (84, 30, 94, 40, 0.9, 0)
    assert len(merged(detections(piece), detections(small))) == 2


def test_pieces_that_agree_in_the_strip_are_one_object():
    left, right = (30, 10, 100, 50, 0.9, 0), (80, 11, 150, 50, 0.7, 0)
    assert merged(detections(left), detections(right)) == [(30, 10, 150, 50, 0.8, 0)]
    # Another class, or another place in the strip: two objects.
    assert len(merged(detections(left), detections((80, 11, 150, 50, 0.7, 1)))) == 2
    assert len(merged(detections(left), detections((80, 11, 150, 50, 0.7, 1)), agnostic=True)) == 1
    assert len(merged(detections(left), detections((80, 60, 150, 90, 0.7, 0)))) == 2


def test_the_edge_of_the_picture_cuts_nothing():
    first = (0, 10, 30, 50, 0.5, 0)
    assert merged(detections(first, (0, 0, 25, 100, 0.9, 1)), NOTHING)[1] == first


def test_the_whole_picture_shows_what_is_larger_than_the_overlap_alone():
    large, small = (20, 5, 160, 95, 0.6, 0), (40, 40, 50, 50, 0.99, 0)
    assert merged(NOTHING, NOTHING, detections(large, small)) == [large]
    # Pieces in it go, and a tile's own box of the same object comes first.
    assert merged(detections((22, 5, 100, 95, 0.9, 1)), NOTHING, detections(large)) == [large]
    fine = (84, 10, 106, 40, 0.5, 0)
    assert merged(NOTHING, detections(fine), detections((82, 8, 108, 44, 0.9, 0))) == [fine]


def test_thousands_of_boxes_are_merged_in_bounded_memory_and_time():
    grid = Tiling(100, 0.2).grid(1000, 1000)
    draw = stream(0, "test-many")
    tiles = []
    for left, top, _, _ in grid.tiles_xyxy_px:
        corners = draw.integers(0, 90, (40, 2)) + np.array([left, top])
        tiles.append(detections(*(tuple(map(float, (x, y, x + 6, y + 6, 0.5, 0))) for x, y in corners)))
    found = merge(grid, tiles, NOTHING, edge_px=2, whole_px=16, seen_px=(1, 10), agnostic=False)
    assert 3_000 < len(found) < 40 * len(tiles)


# --- around it --------------------------------------------------------------------------------------------------------


def test_a_picture_in_tiles_is_several_images():
    large, small = layout(0, 300, 300, 3)[0], layout(0, 60, 60, 3)[0]

    def batch(image: ImageArray, tiling: Tiling | None) -> int:
        origin = Origin("a.png", None, 0, 1)
        number, frames = batch_with_tiles(iter([Frame(image, origin)]), tiling)
        assert [frame.origin for frame in frames] == [origin]
        return number

    assert batch(large, Tiling(64, 0.2)) == 8
    assert batch(large, None) == batch(small, Tiling(64, 0.2)) == 1
    assert batch_with_tiles(iter([]), Tiling(64, 0.2))[0] == 1


def test_a_picture_that_is_made_very_much_smaller_is_said_once():
    said: list[Event] = []
    frames = [frame_of(np.zeros((height, 100, 3), np.uint8), height) for height in (60, 256, 300, 400)]
    assert list(saying_what_is_shrunk(iter(frames), 64, said.append)) == frames
    assert len(said) == 1
    assert "made 5 times smaller for imgsz=64" in str(said[0])
    assert "under 40 px" in str(said[0])


def test_grid_neighbours_are_beside_and_below():
    assert Grid(1, 1, ((0, 1), (1, 2)), ((0, 1), (1, 2))).neighbours() == [(0, 1, 0), (2, 3, 0), (0, 2, 1), (1, 3, 1)]
