"""An epoch takes each image once, in an order that seed and epoch alone decide."""

from __future__ import annotations

import pytest

from peakmark.data.order import epoch_order


@pytest.mark.parametrize("images", [1, 2, 97])
def test_each_image_comes_once(images: int):
    assert sorted(epoch_order(3, 5, images)) == list(range(images))


def test_the_order_is_a_function_of_seed_and_epoch():
    orders = {(seed, epoch): tuple(epoch_order(seed, epoch, 50)) for seed in range(3) for epoch in range(3)}
    assert len(set(orders.values())) == 9
    assert tuple(epoch_order(1, 2, 50)) == orders[1, 2]
