"""Is what is compiled compiled whole, shape by shape, only when announced? And is what can't be compiled told?"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from peakmark.errors import MachineError
from peakmark.machine.compiling import check_compiler, compiled, compiling
from peakmark.machine.devices import Arithmetic

ARITHMETIC = Arithmetic("cpu", "test", "float32", 1, True, True)


def test_the_machine_s_own_compiler_is_tried_out():
    check_compiler(ARITHMETIC)


def test_a_shape_that_was_not_announced_is_not_computed(quick_compiler):
    def double(numbers: torch.Tensor) -> torch.Tensor:
        return numbers * 2

    twice = compiled(double, ARITHMETIC)
    with compiling():
        assert twice(torch.ones(3)).tolist() == [2, 2, 2]
    assert twice(torch.full((3,), 2.0)).tolist() == [4, 4, 4]
    with pytest.raises(RuntimeError, match="fail_on_recompile"):
        twice(torch.ones(4))


def test_each_of_many_shapes_gets_code_of_its_own(quick_compiler):
    """Torch by itself would take the second one for a sign that sizes change, and give up at the ninth."""

    def total(numbers: torch.Tensor) -> torch.Tensor:
        return numbers.sum()

    function = compiled(total, ARITHMETIC)
    with compiling():
        for size in range(2, 14):
            assert function(torch.ones(size)) == size
    assert len(torch._dynamo.eval_frame._debug_get_cache_entry_list(total)) == 12


def test_what_can_t_be_one_graph_is_told_and_not_left_uncompiled(quick_compiler):
    def looks(numbers: torch.Tensor) -> torch.Tensor:
        return numbers if numbers.sum() > 0 else -numbers

    said = r"^compile=True: torch could not compile the network here .* Or leave"
    with pytest.raises(MachineError, match=said), compiling():
        compiled(looks, ARITHMETIC)(torch.ones(3))


def test_a_process_that_compiles_nothing_is_told(monkeypatch):
    monkeypatch.setenv("TORCHDYNAMO_DISABLE", "1")
    with pytest.raises(MachineError, match=r"^compile=True: TORCHDYNAMO_DISABLE=1 switches compiling off"):
        check_compiler(ARITHMETIC)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied"), "can't be written (Permission denied); name another folder with"),
        (
            RuntimeError("C++ compile error\nx.h:1: fatal error: Python.h: No such file\n"),
            "(x.h:1: fatal error: Python",
        ),
        (RuntimeError(""), "torch could not compile the network here (RuntimeError)"),
    ],
)
def test_the_reason_is_one_sentence_with_its_remedy(error, said):
    with pytest.raises(MachineError) as caught, compiling():
        raise error
    text = str(caught.value)
    assert said in text
    assert text.startswith("compile=True: ")
    assert text.endswith("Or leave compile=True out.")
    assert "\n" not in text


def test_memory_that_is_used_up_is_not_the_compiler_s_fault():
    with pytest.raises(MemoryError), compiling():
        raise MemoryError
    with pytest.raises(torch.OutOfMemoryError), compiling():
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_the_arithmetic_says_whether_it_is_compiled_and_older_ones_were_not():
    plain = replace(ARITHMETIC, compiled=True).to_plain()
    assert Arithmetic.from_plain(plain).compiled
    del plain["compiled"]
    assert not Arithmetic.from_plain(plain).compiled
