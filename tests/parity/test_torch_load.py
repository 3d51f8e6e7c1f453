"""Our reading of a file that PyTorch wrote gives what `torch.load` gives, to the strides, without being it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
import torch

from peakmark.checkpoint.format import to_plain
from peakmark.files.torch_file import TorchFile

GOLDEN = sorted((Path(__file__).parents[1] / "contracts/golden").glob("*.pt"))
DTYPES = (
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool),
)


def _same(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs)
        assert (ours.dtype, ours.stride(), ours.storage_offset()) == (
            theirs.dtype,
            theirs.stride(),
            theirs.storage_offset(),
        )
        # In the middle of a vector of the machine other instructions would sum, in another order.
        assert ours.data_ptr() % 64 == theirs.data_ptr() % 64
        assert ours._base is theirs._base is None
    elif isinstance(ours, dict):
        assert list(ours) == list(theirs)
        for key in ours:
            _same(ours[key], theirs[key])
    elif isinstance(ours, list | tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            _same(one, other)
    else:
        assert repr(ours) == repr(theirs)


def _read_both(stream: io.BytesIO) -> None:
    stream.seek(0)
    theirs = torch.load(stream, weights_only=True)
    _same(TorchFile(stream).plain(), theirs)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_files_of_every_version_are_read_alike(path: Path):
    assert len(GOLDEN) >= 4
    _read_both(io.BytesIO(path.read_bytes()))


def test_a_checkpoint_is_read_alike(tiny_checkpoint: Any):
    stream = io.BytesIO()
    torch.save(to_plain(tiny_checkpoint), stream)
    _read_both(stream)


def _tensor(dtype: torch.dtype, shape: list[int], turned: bool) -> torch.Tensor:
    count = 1
    for length in shape:
        count *= length
    made = torch.arange(count).reshape(shape).to(dtype)
    return made.transpose(0, -1) if turned and shape else made


TENSORS = st.builds(_tensor, st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=4), st.booleans())
TREES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats() | st.text(max_size=8) | TENSORS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=4) | st.integers(-9, 9), inner, max_size=4)
    ),
    max_leaves=12,
)


@hypothesis.given(TREES)
@hypothesis.settings(max_examples=60, deadline=None)
def test_any_tree_of_tensors_and_plain_values_is_read_alike(tree: Any):
    stream = io.BytesIO()
    torch.save(tree, stream)
    _read_both(stream)
