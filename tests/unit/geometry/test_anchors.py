"""The anchors lie on cell centres in the order of the feature maps, and distributions become distances in strides."""

from __future__ import annotations

import numpy as np
import torch

from peakmark.geometry.anchors import anchor_grid, boxes_from_distributions
from peakmark.geometry.boxes import cxcywh_from_xyxy, xyxy_from_cxcywh

CPU = torch.device("cpu")


def test_points_are_cell_centres_row_by_row_finest_first():
    grid = anchor_grid([(2, 3), (1, 2)], [8, 16], CPU)
    assert grid.points_px_A2.tolist() == [[4, 4], [12, 4], [20, 4], [4, 12], [12, 12], [20, 12], [8, 8], [24, 8]]
    assert grid.strides_A.tolist() == [8] * 6 + [16] * 2


def test_a_certain_distribution_gives_its_bin_in_strides():
    grid = anchor_grid([(4, 4), (2, 2)], [8, 16], CPU)
    bins = torch.tensor([0, 3, 15, 7])
    logits = torch.full((1, 20, 4, 16), -100.0)
    logits[:, :, torch.arange(4), bins] = 100.0
    boxes = boxes_from_distributions(logits.view(1, 20, 64), grid)[0]
    for box, point, stride in zip(boxes, grid.points_px_A2, grid.strides_A, strict=True):
        expected = torch.cat((point - bins[:2] * stride, point + bins[2:] * stride))
        assert torch.allclose(box, expected)


def test_an_undecided_distribution_gives_the_mean_of_its_bins():
    grid = anchor_grid([(1, 1)], [8], CPU)
    box = boxes_from_distributions(torch.zeros(1, 1, 64), grid)[0, 0]
    assert torch.allclose(box, torch.tensor([4 - 60.0, 4 - 60.0, 4 + 60.0, 4 + 60.0]))


def test_two_bins_share_by_their_weights():
    grid = anchor_grid([(1, 1)], [32], CPU)
    logits = torch.full((1, 1, 4, 16), -100.0)
    logits[..., 2], logits[..., 3] = np.log(0.25), np.log(0.75)
    assert torch.allclose(
        boxes_from_distributions(logits.view(1, 1, 64), grid)[0, 0, 2:], torch.tensor(16 + 2.75 * 32), atol=1e-4
    )


def test_box_forms_are_inverse_to_each_other():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 500, (200, 2))
    xyxy = np.concatenate((low, low + rng.uniform(0, 300, (200, 2))), axis=1).astype(np.float32)
    cxcywh = cxcywh_from_xyxy(xyxy)
    np.testing.assert_allclose(cxcywh[:, 2], xyxy[:, 2] - xyxy[:, 0])
    np.testing.assert_allclose(xyxy_from_cxcywh(cxcywh), xyxy, atol=1e-4)
    assert xyxy_from_cxcywh(cxcywh).dtype == cxcywh.dtype == np.float32
    assert xyxy_from_cxcywh(np.array([10, 20, 4, 6], dtype=np.float32)).tolist() == [8, 17, 12, 23]
