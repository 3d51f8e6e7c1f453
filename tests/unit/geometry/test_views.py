"""Views of an image: pixels and boxes go the same way, and boxes come back to where they were, for any size."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from peakmark.geometry.letterbox import BACKGROUND
from peakmark.geometry.views import AUGMENTED, ONCE, View, in_words, views_for
from peakmark.machine.streams import stream

LENGTHS_PX = st.integers(1, 64).map(lambda multiple: 32 * multiple)
VIEWS = st.builds(View, st.floats(0.25, 1.5), st.booleans())


def to_view(boxes: np.ndarray, view: View, width: int, height: int) -> np.ndarray:
    """Where boxes of an image lie in a view of it: the rule, written down a second time, in float64."""
    longer = round(view.scale * max(width, height))
    inner = [max(1, round(length * longer / max(width, height))) for length in (width, height)]
    start = [(math.ceil(length / 32) * 32 - length) // 2 for length in inner]
    seen = boxes.astype(np.float64).copy()
    if view.mirrored:
        seen[:, [0, 2]] = width - boxes[:, [2, 0]].astype(np.float64)
    for axis, length in enumerate((width, height)):
        seen[:, axis::2] = seen[:, axis::2] * inner[axis] / length + start[axis]
    return seen


def picture(width: int, height: int, *key: int) -> torch.Tensor:
    """(1, 3, H, W), in the layout of a loaded image"""
    pixels = stream(0, "test-views", width, height, *key).integers(0, 256, (1, height, width, 3), dtype=np.uint8)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)


@given(VIEWS, LENGTHS_PX, LENGTHS_PX, st.lists(st.tuples(*[st.floats(-0.1, 1.1)] * 4), min_size=1, max_size=5))
def test_boxes_come_back_to_a_thousandth_of_a_pixel(view, width, height, fractions):
    corners = np.array(fractions).reshape(-1, 2, 2)
    corners.sort(axis=1)
    boxes = (corners * [width, height]).reshape(-1, 4).astype(np.float32)
    seen = torch.from_numpy(to_view(boxes, view, width, height).astype(np.float32))
    back = view.to_image(seen, width, height)
    assert back.dtype == torch.float32
    assert np.abs(back.numpy().astype(np.float64) - boxes).max() < 1e-3
    assert (back[:, 2:] >= back[:, :2]).all()


@given(VIEWS, st.sampled_from([64, 96, 160]), st.sampled_from([64, 96, 160]), st.data())
def test_boxes_come_back_to_where_the_pixels_were(view, width, height, data):
    x1, y1 = data.draw(st.integers(0, width - 24)), data.draw(st.integers(0, height - 24))
    x2, y2 = data.draw(st.integers(x1 + 20, width)), data.draw(st.integers(y1 + 20, height))
    image = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    image[:, :, y1:y2, x1:x2] = 255
    pixels = view.pixels(image)[0, 0].numpy()
    ys, xs = np.nonzero(pixels > 127)  # the rectangle is grey in no place, but at its edges, half and half
    seen = torch.tensor([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], dtype=torch.float32)
    assert np.abs(view.to_image(seen, width, height)[0].numpy() - [x1, y1, x2, y2]).max() <= 0.51 / view.scale + 0.6


@pytest.mark.parametrize("view", [View(0.83), View(0.67, mirrored=True), View(1.25)])
@pytest.mark.parametrize(("width", "height"), [(64, 64), (160, 32), (96, 640)])
def test_a_view_is_the_image_in_a_rectangle_of_whole_strides(view, width, height):
    pixels = view.pixels(torch.zeros(2, 3, height, width, dtype=torch.uint8))
    assert pixels.dtype == torch.uint8
    assert all(length % 32 == 0 for length in pixels.shape[2:])
    inside = (round(height * round(view.scale * max(width, height)) / max(width, height))) * round(
        width * round(view.scale * max(width, height)) / max(width, height)
    )
    assert (pixels == 0).sum() == 2 * 3 * inside
    assert ((pixels == 0) | (pixels == BACKGROUND)).all()


def test_the_image_as_it_is_is_no_copy_and_its_boxes_no_other_numbers():
    images, boxes = picture(64, 32), torch.tensor([[1.1, 2.2, 3.3, 4.4]])
    assert View(1.0).pixels(images) is images
    assert View(1.0).to_image(boxes, 64, 32) is boxes


def test_mirrored_pixels_are_those_of_the_other_side():
    images = picture(64, 32)
    assert torch.equal(View(1.0, mirrored=True).pixels(images), images[..., torch.arange(63, -1, -1)])


def test_a_mirrored_image_has_the_views_of_the_image_in_another_order():
    """Bit for bit, where rows of padding are odd as well: 100 px of 160 become 83 and 17 of padding."""
    image = picture(160, 96)
    for scale in (0.52, 0.83, 1.0):
        one, mirrored = View(scale), View(scale, mirrored=True)
        assert torch.equal(one.pixels(image.flip(3)), mirrored.pixels(image))
        assert torch.equal(mirrored.pixels(image.flip(3)), one.pixels(image))
        assert not torch.equal(one.pixels(image), mirrored.pixels(image))


@pytest.mark.parametrize("view", [View(0.83, mirrored=True), View(0.67), View(1.25)])
def test_a_view_of_an_image_follows_from_it_alone(view):
    images = torch.cat([picture(96, 64, number) for number in range(5)])
    together = view.pixels(images)
    for number in range(5):
        assert torch.equal(view.pixels(images[number : number + 1])[0], together[number])
    assert torch.equal(view.pixels(images.contiguous()), together)  # nor from how it lies in memory


def test_a_smaller_view_skips_no_pixel():
    """Every second row is bright: taken one in two, the image would be black or white."""
    image = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    image[:, :, ::2] = 200
    inside = View(0.5).pixels(image)[0, 0, 4:-4, 4:-4]
    assert inside.min() > 80
    assert inside.max() < 120


def test_of_every_set_of_views_the_first_is_the_image_as_it_is():
    for views in (ONCE, AUGMENTED):
        assert views[0] == View(1.0)
        assert len(set(views)) == len(views)
    assert views_for(augment=False) == ONCE
    assert views_for(augment=True) == AUGMENTED
    assert len(AUGMENTED) > 1


def test_several_views_are_named_and_one_is_not():
    assert in_words(ONCE) == ()
    assert in_words((View(1.0), View(0.83, mirrored=True))) == ("augment=True (1, 0.83 mirrored)",)
