# SPDX-License-Identifier: Apache-2.0
"""Any increasing map on any message: numbers and message come back exactly, from either side."""

from __future__ import annotations

from typing import Any

import numpy as np
from flows import TableMap, random_ends
from hypothesis import given, settings
from hypothesis import strategies as st

from bbcodec.coding import ans
from bbcodec.coding.bits_back.local_bits_back import Bijection, chain, piecewise_linear

few = settings(derandomize=True, deadline=None, max_examples=60, database=None)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def messages(draw: Any) -> ans.Message:
    lanes = draw(st.integers(1, 9))
    edge = st.sampled_from([ans.LOWER, ans.LOWER + 1, ans.UPPER - 1])
    inside = st.integers(ans.LOWER, ans.UPPER - 1)
    head = np.array(draw(st.lists(st.one_of(edge, inside), min_size=lanes, max_size=lanes)), np.uint64)
    return head, (np.random.default_rng(draw(seeds)).integers(1 << 32, size=99, dtype=np.uint32), ())


@st.composite
def maps(draw: Any, n: int, bits: int) -> Bijection:
    cells_log2 = draw(st.integers(0, min(bits, 8)))
    rng = np.random.default_rng(draw(seeds))
    ends = random_ends(rng, (n,), cells_log2, bits - cells_log2, draw(st.sampled_from([0.0, 1.0, 9.0])))
    return piecewise_linear(TableMap(ends), (n,), bits - cells_log2, "numpy")


@few
@given(st.data(), messages(), st.integers(1, 20), st.integers(0, 20))
def test_maps_undo_themselves(data: Any, message: ans.Message, bits: int, n: int) -> None:
    bijection = chain(data.draw(maps(n, bits)) for _ in range(data.draw(st.integers(1, 3))))
    ends = st.sampled_from([0, (1 << bits) - 1])
    numbers = st.one_of(ends, st.integers(0, (1 << bits) - 1))
    x = np.array(data.draw(st.lists(numbers, min_size=n, max_size=n)), np.int64)
    for one, other in (
        (bijection.forward, bijection.backward),
        (bijection.backward, bijection.forward),
    ):
        between, y = one(message, x)
        end, back = other(between, y)
        assert np.array_equal(back, x)
        assert ans.message_equal(end, message)
