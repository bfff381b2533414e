# SPDX-License-Identifier: Apache-2.0
"""The static check: intervals, and graphs that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import FULL, SMALL, mul_graph, one, qconv_graph

from bbcodec.engine import (
    Add,
    Bconv,
    DepthToSpace,
    Graph,
    Input,
    Mul,
    Op,
    Qconv,
    Requantise,
    Sign,
    Table,
    check_graph,
)
from bbcodec.errors import ModelError

T3 = np.zeros(3, np.int16)


def test_accumulator_bound_is_exact() -> None:
    channels = 516
    weight = np.full((1, 1, 1, channels), 127, np.int8)
    assert 127 * channels * 32768 < 1 << 31
    check_graph(qconv_graph(weight, 32767))
    weight = np.full((1, 1, 1, channels + 1), 127, np.int8)
    assert 127 * (channels + 1) * 32768 >= 1 << 31
    with pytest.raises(ModelError, match="accumulator"):
        check_graph(qconv_graph(weight, 32767))


def test_intervals_are_per_channel() -> None:
    weight = np.array([[[[1, 1]]], [[[1, -2]]]], np.int8)
    graph = qconv_graph(weight, 99, lo=-10000, hi=10000)
    value = check_graph(graph)["f"].values["a"]
    assert value.lo.tolist() == [-200, -100 - 2 * 99]
    assert value.hi.tolist() == [198, 99 + 200]
    assert check_graph(graph)["f"].macs == 4


@pytest.mark.parametrize(
    ("x", "y", "product"),
    [
        ((-3, 5), (2, 7), (-21, 35)),
        ((-3, 5), (-7, -2), (-35, 21)),
        ((-5, -3), (-7, -2), (6, 35)),
        ((-3, 5), (-7, 2), (-35, 21)),
        ((-32768, -32768), (-32768, -32768), (1 << 30, 1 << 30)),
        ((-32768, 32767), (-32768, 32767), (-32767 << 15, 1 << 30)),
    ],
)
@pytest.mark.parametrize("shift", [1, 4, 15])
def test_interval_of_a_product(
    x: tuple[int, int], y: tuple[int, int], product: tuple[int, int], shift: int
) -> None:
    def value(lo: int, hi: int) -> list[list[int]]:
        ports = [Input("x", "stream", 2, *x), Input("y", "stream", 2, *y)]
        found = check_graph(one([Mul("x", "y", "z", shift, lo, hi)], ports, ["z"], {}))["f"].values["z"]
        assert (found.kind, found.channels, found.up) == ("stream", 2, 0)
        return [found.lo.tolist(), found.hi.tolist()]

    ends = [(end + (1 << shift - 1)) // (1 << shift) for end in product]
    assert value(*FULL) == [[min(max(end, -32768), 32767)] * 2 for end in ends]
    assert value(-1, 2) == [[min(max(end, -1), 2)] * 2 for end in ends]


@pytest.mark.parametrize(
    "graph",
    [
        qconv_graph(SMALL, 9, shift=0),
        qconv_graph(SMALL, 9, shift=41),
        qconv_graph(SMALL, 9, lo=6),
        qconv_graph(SMALL, 9, hi=32768),
        qconv_graph(SMALL, 32768),
        qconv_graph(SMALL, 9, tensors={"add": np.full(2, (1 << 61) + 1)}),
        qconv_graph(SMALL, 9, tensors={"add": np.full(2, -(1 << 63))}),
        qconv_graph(SMALL, 9, tensors={"mul": np.ones(3, np.int32)}),
        qconv_graph(SMALL, 9, tensors={"mul": np.ones(2, np.int64)}),
        qconv_graph(SMALL, 9, tensors={"w": SMALL.astype(np.int16)}),
        qconv_graph(SMALL, 9, tensors={"w": np.ones((2, 1, 3, 3), np.int8)}),
        qconv_graph(np.ones((2, 2, 2, 3), np.int8), 9),
        one([], [Input("x", "stream", 3, 0, 1)], ["y"], {}),
        one([], [Input("x", "stream", 3, 0, 1)], [], {}),
        one([], [Input("x", "stream", 3, 0, 1)], ["x", "x"], {}),
        one([], [Input("x", "stream", 0, 0, 1)], ["x"], {}),
        one([], [Input("x", "stream", 9000, 0, 1)], ["x"], {}),
        one([], [Input("x", "stream", 3, 0, 1)] * 2, ["x"], {}),
        one([], [], ["x"], {}),
        one([Sign("x", "x", "t")], [Input("x", "stream", 3, 0, 1)], ["x"], {"t": T3}),
        one([Sign("z", "y", "t")], [Input("x", "stream", 3, 0, 1)], ["y"], {"t": T3}),
        one([Sign("x", "y", "t")], [Input("x", "bits", 3)], ["y"], {"t": T3}),
        one([Sign("x", "y", "t")], [Input("x", "stream", 3, 0, 1)], ["y"], {}),
        one([Sign("x", "y", "t")], [Input("x", "stream", 4, 0, 1)], ["y"], {"t": T3}),
        one([Sign("x", "y", "t")], [Input("x", "stream", 3, 0, 1)], ["y"], {"t": T3.astype(np.int32)}),
        one([Sign("y", "z", "t"), Sign("x", "y", "t")], [Input("x", "stream", 3, 0, 1)], ["z"], {"t": T3}),
        one([DepthToSpace("x", "y")], [Input("x", "stream", 3, 0, 1)], ["y"], {}),
        one([Qconv("x", "y", "w", 1)], [Input("x", "stream", 3, 0, 1)], ["y"], {"w": SMALL}),
        one([Qconv("x", "y", "w", 1)], [Input("x", "stream", 3, 0, 1)], ["x"], {}),
        one([Table("x", "y", "t", 0)], [Input("x", "stream", 3, 0, 1)], ["y"], {"t": np.zeros(0, np.int16)}),
        one(
            [Table("x", "y", "t", 1 << 20)],
            [Input("x", "stream", 3, 0, 1)],
            ["y"],
            {"t": np.zeros(2, np.int16)},
        ),
        one(
            [Add("x", "y", "z", 0, 1)],
            [Input("x", "stream", 3, 0, 1), Input("y", "stream", 4, 0, 1)],
            ["z"],
            {},
        ),
        mul_graph(y=4),
        mul_graph(x=1),
        mul_graph(shift=0),
        mul_graph(shift=-1),
        mul_graph(shift=16),
        mul_graph(lo=10),
        mul_graph(hi=32768),
        mul_graph(lo=-32769),
        one([Mul("x", "y", "z", 8, 0, 1)], [Input("x", "stream", 3, 0, 1)], ["z"], {}),
        one([Mul("x", "x", "z", 8, 0, 1)], [Input("x", "bits", 3)], ["z"], {}),
        one(
            [Qconv("x", "a", "w", 1), Mul("a", "a", "z", 8, 0, 1)],
            [Input("x", "stream", 3, 0, 1)],
            ["z"],
            {"w": SMALL},
        ),
        one(
            [Bconv("x", "a", "w", 1)],
            [Input("x", "bits", 3)],
            ["x"],
            {"w": np.full((1, 1, 1, 1), 8, np.uint64)},
        ),
    ],
)
def test_unsound_graphs_are_refused(graph: Graph) -> None:
    with pytest.raises(ModelError):
        check_graph(graph)


def test_errors_of_products_say_what_was_found() -> None:
    for shift in (1, 15):
        check_graph(mul_graph(shift=shift))
    with pytest.raises(ModelError, match=r"mul -> 'z'.*shift 16, expected 1 to 15"):
        check_graph(mul_graph(shift=16))
    with pytest.raises(ModelError, match="multiplies 3 channels by 4"):
        check_graph(mul_graph(y=4))


def test_unbounded_growth_is_refused() -> None:
    ops: list[Op] = []
    for i in range(5):
        wide = np.zeros((4, 1, 1, 1), np.int8)
        ops += [
            Qconv(f"x{i}", f"a{i}", "w", 1),
            Requantise(f"a{i}", f"s{i}", "mul", "add", 1, 0, 1),
            DepthToSpace(f"s{i}", f"x{i + 1}"),
        ]
    tensors = {"w": wide, "mul": np.ones(4, np.int32), "add": np.zeros(4, np.int64)}
    with pytest.raises(ModelError, match="doublings"):
        check_graph(one(ops, [Input("x0", "stream", 1, 0, 1)], ["x5"], tensors))


def test_operations_for_nothing_are_refused() -> None:
    x = Input("x", "stream", 3, 0, 1)
    dead: list[Op] = [Add("x", "x", "y", 0, 1), Add("x", "x", "z", 0, 1)]
    check_graph(one(dead, [x], ["y", "z"], {}))
    with pytest.raises(ModelError, match="nothing reads 'z'"):
        check_graph(one(dead, [x], ["y"], {}))
