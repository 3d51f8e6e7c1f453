"""The bricks compute no more than they must."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from peakmark.model.blocks import ConvNormAct


class Copies(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the arrays that are copied, by autograd as well."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func is torch.ops.aten.clone.default
        return func(*args, **(kwargs or {}))


def test_a_forward_pass_in_training_copies_no_feature_map():
    brick = ConvNormAct(3, 4, 3).train()
    torch.nn.init.normal_(brick.conv.weight, generator=torch.Generator().manual_seed(0))
    with Copies() as copies:
        brick(torch.ones(1, 3, 8, 8))
    assert copies.count == 0
    brick.act = torch.nn.SiLU(inplace=True)
    with Copies() as copies:
        brick(torch.ones(1, 3, 8, 8))
    assert copies.count == 1
