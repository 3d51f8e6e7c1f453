"""Is a doubled map the same one, and its gradient a sum in a fixed order, also where it is compiled?"""

from __future__ import annotations

import torch
from torch.nn import functional

from peakmark.machine.compiling import compiled, compiling
from peakmark.machine.devices import Arithmetic
from peakmark.model.blocks import Doubled

TWO_THREADS = Arithmetic("cpu", "test", "float32", 2, True, True)


def gradient(double: torch.nn.Module, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    maps = maps.detach().requires_grad_()
    doubled = double(maps)
    (found,) = torch.autograd.grad(doubled.square().sum(), maps)
    return doubled, found


def test_compiled_it_is_the_same_and_no_thread_adds_to_what_another_adds_to():
    # One image: the threads share its rows out.
    maps = torch.arange(8 * 16 * 16.0).reshape(1, 8, 16, 16).to(memory_format=torch.channels_last) / 1000
    plain, double = gradient(Doubled(), maps), compiled(Doubled(), TWO_THREADS)
    with compiling():
        (mine, of_mine), *code = torch._inductor.utils.run_and_get_code(gradient, double, maps)
    assert torch.equal(mine, plain[0])
    assert torch.equal(plain[0], functional.interpolate(maps, scale_factor=2))
    assert torch.allclose(of_mine, plain[1])
    assert len(code[0]) == 2, "forward and backward"
    assert not any("atomic_add" in text for text in code[0])
