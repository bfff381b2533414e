# SPDX-License-Identifier: Apache-2.0
"""What graphs may cost, and what checking and binding them costs."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from graphs import Array, conv_chain, one

from bbcodec import backends
from bbcodec.engine import (
    Add,
    DepthToSpace,
    Function,
    Graph,
    Input,
    Mul,
    Op,
    Qconv,
    Requantise,
    Sign,
    bits,
    check_graph,
)
from bbcodec.engine.program import engine_backend
from bbcodec.errors import ModelError


def wide_chain(ops: int, channels: int = 8192) -> Function:
    """Sums of sums, each read by the next."""
    names = ["x", *(f"s{i}" for i in range(ops))]
    body = tuple(Add(read, read, out, 0, 1) for read, out in itertools.pairwise(names))
    return Function((Input("x", "stream", channels, 0, 1),), body, (names[-1],))


def test_totals_are_bounded_before_the_work() -> None:
    started = time.monotonic()
    check_graph(Graph({"f": wide_chain(60), "g": wide_chain(60)}))
    with pytest.raises(ModelError, match="channels in total"):
        check_graph(Graph({"f": wide_chain(70), "g": wide_chain(70)}))
    with pytest.raises(ModelError, match="channels in total"):
        check_graph(Graph({"f": wide_chain(4096)}))
    with pytest.raises(ModelError, match="ops, expected"):
        check_graph(Graph({name: wide_chain(2800, 1) for name in "fgh"}))
    with pytest.raises(ModelError, match="weights in total"):
        check_graph(conv_chain(129, 1024))
    assert time.monotonic() - started < 5


def test_a_tensor_is_unpacked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, sizes, unpack = conv_chain(50, 70), [], bits.unpack

    def counted(packed: Array, channels: int) -> Array:
        sizes.append(packed.size)
        return unpack(packed, channels)

    monkeypatch.setattr(bits, "unpack", counted)
    expected = check_graph(graph)["f"].values
    assert sizes == [140]
    # Bounded pieces, none of them kept: the same intervals.
    monkeypatch.setattr("bbcodec.engine.intervals._WEIGHTS_AT_ONCE", 700)
    monkeypatch.setattr("bbcodec.engine.intervals._MAX_CACHED_SUMS", 0)
    found = check_graph(graph)["f"].values
    assert len(sizes) == 1 + 50 * 7
    for name, value in expected.items():
        assert np.array_equal(found[name].lo, value.lo)
        assert np.array_equal(found[name].hi, value.hi)


@pytest.mark.parametrize("backend", backends.available())
def test_a_tensor_is_bound_once(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, module, count = conv_chain(20, 70), engine_backend(backend), 0
    unpack = bits.unpack_signs

    def counted(packed: Array, channels: int) -> Array:
        nonlocal count
        count += packed.ndim == 4 and packed.shape[0] == 70
        return unpack(packed, channels)

    monkeypatch.setattr(bits, "unpack_signs", counted)
    module.steps(graph.functions["f"], graph.tensors, check_graph(graph)["f"].values)
    assert count == 1


def test_costs_are_counted() -> None:
    ops: list[Op] = [
        Qconv("x", "a", "w", 1),
        Requantise("a", "b", "mul", "add", 1, 0, 1),
        DepthToSpace("b", "c"),
        Sign("c", "d", "t"),
        Sign("c", "e", "t"),
    ]
    tensors: dict[str, Array] = {
        "w": np.zeros((8, 1, 1, 3), np.int8),
        "mul": np.ones(8, np.int32),
        "add": np.zeros(8, np.int64),
        "t": np.zeros(2, np.int16),
    }
    found = check_graph(one(ops, [Input("x", "stream", 3, 0, 1)], ["d", "e"], tensors))["f"]
    assert (found.macs, found.elements, found.largest) == (24, 40, 8)
    assert found.live == 4 * 2 * 2 + 2 * 4 * 8  # c, d and e, at four times the positions, a word of bits each


def test_a_product_costs_what_it_writes() -> None:
    ops: list[Op] = [DepthToSpace("x", "y"), Mul("y", "y", "z", 8, 0, 9)]
    found = check_graph(one(ops, [Input("x", "stream", 8, 0, 99)], ["z"], {}))["f"]
    assert (found.macs, found.elements, found.values["z"].up) == (0, 16, 1)
    assert found.live == 32
