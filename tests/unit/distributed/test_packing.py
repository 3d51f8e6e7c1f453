"""What is packed comes out the same, bit for bit; and it is data alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from peakmark.distributed.packing import pack, unpack

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
ARRAYS = arrays.arrays(
    st.sampled_from([np.float32, np.float64, np.int64, np.uint8]),
    arrays.array_shapes(min_dims=1, max_dims=3, min_side=0),
)


@given(PLAIN, st.lists(ARRAYS, max_size=3))
def test_it_comes_out_as_it_went_in(plain, given_arrays):
    said, found = unpack(pack(plain, given_arrays))
    assert said == plain
    assert len(found) == len(given_arrays)
    for array, expected in zip(found, given_arrays, strict=True):
        assert (array.dtype, array.shape, array.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())
        array[...] = 0  # it may be written into


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1 + 0.2])
def test_any_number_keeps_its_bits(number):
    (said,), _ = unpack(pack([number]))
    assert np.float64(said).tobytes() == np.float64(number).tobytes()


def test_what_is_no_data_is_refused():
    with pytest.raises(TypeError):
        pack(print)
