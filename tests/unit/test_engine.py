# SPDX-License-Identifier: Apache-2.0
"""The reference backend against naive loops, the static check, the executor, and the choice of a backend."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import pytest

from bbcodec.engine import (
    Add,
    Bconv,
    DepthToSpace,
    Function,
    Graph,
    Input,
    Mul,
    Op,
    Program,
    Qconv,
    Requantise,
    Sign,
    SpaceToDepth,
    Table,
    Wconv,
    bits,
    check_graph,
    select,
)
from bbcodec.engine.graph import functions_from_json, functions_to_json
from bbcodec.errors import ModelError, OptionError

Array = np.ndarray[Any, Any]
FULL = (-32768, 32767)


def one(ops: list[Op], inputs: list[Input], outputs: list[str], tensors: dict[str, Array]) -> Graph:
    return Graph({"f": Function(tuple(inputs), tuple(ops), tuple(outputs))}, tensors)


def naive_conv(x: Array, weight: Array, padding: int) -> Array:
    """Cross-correlation by its definition, in Python integers."""
    n, height, width, channels = x.shape
    outputs, kernel = weight.shape[:2]
    out = np.zeros((n, height, width, outputs), object)
    for i, y, column, o in itertools.product(range(n), range(height), range(width), range(outputs)):
        total = 0
        for dy, dx, c in itertools.product(range(kernel), range(kernel), range(channels)):
            sy, sx = y + dy - kernel // 2, column + dx - kernel // 2
            inside = 0 <= sy < height and 0 <= sx < width
            total += int(weight[o, dy, dx, c]) * (int(x[i, sy, sx, c]) if inside else padding)
        out[i, y, column, o] = total
    return out


def naive_requantise(acc: Array, mul: Array, add: Array, shift: int, lo: int, hi: int) -> Array:
    out = np.zeros(acc.shape, np.int16)
    for index in np.ndindex(acc.shape):
        c = index[-1]
        value = (int(acc[index]) * int(mul[c]) + int(add[c]) + (1 << (shift - 1))) // (1 << shift)
        out[index] = min(max(value, lo), hi)
    return out


def scale_tensors(rng: np.random.Generator, channels: int) -> dict[str, Array]:
    return {
        "mul": rng.integers(-900, 900, channels).astype(np.int32),
        "add": rng.integers(-(10**6), 10**6, channels),
    }


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("kind", ["bconv", "wconv", "qconv"])
def test_convolution_is_its_definition(kind: str, kernel: int) -> None:
    rng = np.random.default_rng(kernel)
    channels, outputs = 67, 3
    tensors = scale_tensors(rng, outputs)
    if kind == "qconv":
        weight = rng.integers(-128, 128, (outputs, kernel, kernel, channels)).astype(np.int8)
        tensors["w"] = weight
    else:
        weight = rng.choice([-1, 1], (outputs, kernel, kernel, channels))
        tensors["w"] = bits.pack_signs(weight)
    if kind == "bconv":
        x = rng.choice([-1, 1], (2, 3, 4, channels))
        given, port = bits.pack_signs(x), Input("x", "bits", channels)
    else:
        x = given = rng.integers(-2000, 2001, (2, 3, 4, channels)).astype(np.int16)
        port = Input("x", "stream", channels, -2000, 2000)
    conv = {"bconv": Bconv, "wconv": Wconv, "qconv": Qconv}[kind]("x", "a", "w", kernel)
    graph = one([conv, Requantise("a", "y", "mul", "add", 9, *FULL)], [port], ["y"], tensors)
    acc = naive_conv(x, weight, padding=1 if kind == "bconv" else 0)
    expected = naive_requantise(acc, tensors["mul"], tensors["add"], 9, *FULL)
    found = Program(graph, "numpy")("f", {"x": given})["y"]
    assert found.dtype == np.int16
    assert np.array_equal(found, expected)


def test_pointwise_operations_are_their_definitions() -> None:
    rng = np.random.default_rng(1)
    x = rng.integers(-32768, 32768, (2, 4, 6, 70)).astype(np.int16)
    y = rng.integers(-32768, 32768, (2, 4, 6, 70)).astype(np.int16)
    x[0, 0, 0, :3] = (0, -1, 1)
    table = rng.integers(-32768, 32768, 100).astype(np.int16)
    threshold = rng.choice([-32768, -1, 0, 1, 32767], 70).astype(np.int16)
    ops: list[Op] = [
        Add("x", "y", "sum", -30000, 20000),
        Mul("x", "y", "product", 13, -30000, 20000),
        Sign("x", "sign", "t"),
        Table("x", "seen", "table", 50),
    ]
    inputs = [Input("x", "stream", 70, *FULL), Input("y", "stream", 70, *FULL)]
    graph = one(ops, inputs, ["sum", "product", "sign", "seen"], {"table": table, "t": threshold})
    found = Program(graph, "numpy")("f", {"x": x, "y": y})
    for index in np.ndindex(x.shape):
        n, row, column, c = index
        assert found["sum"][index] == min(max(int(x[index]) + int(y[index]), -30000), 20000)
        product = (int(x[index]) * int(y[index]) + (1 << 12)) // (1 << 13)
        assert found["product"][index] == min(max(product, -30000), 20000)
        assert found["seen"][index] == table[min(max(int(x[index]) + 50, 0), 99)]
        bit = int(found["sign"][n, row, column, c // 64]) >> (c % 64) & 1
        assert bit == (int(x[index]) + int(threshold[c]) < 0)
    assert not np.any(found["sign"][..., 1] >> np.uint64(6))


@pytest.mark.parametrize("shift", [1, 8, 15])
@pytest.mark.parametrize("backend", select.available())
def test_products_of_extremes_are_exact(backend: str, shift: int) -> None:
    ends = [-32768, -32767, -257, -129, -128, -1, 0, 1, 127, 128, 255, 32766, 32767]
    x, y = (side.astype(np.int16)[None, ..., None] for side in np.meshgrid(ends, ends))
    inputs = [Input("x", "stream", 1, *FULL), Input("y", "stream", 1, *FULL)]
    program = Program(one([Mul("x", "y", "z", shift, *FULL)], inputs, ["z"], {}), backend)
    found = program("f", {"x": x, "y": y})["z"]
    for index in np.ndindex(x.shape):
        expected = (int(x[index]) * int(y[index]) + (1 << shift - 1)) // (1 << shift)
        assert found[index] == min(max(expected, -32768), 32767)
    assert found[0, 0, 0] == 32767  # -32768 times itself
    halves = Program(one([Mul("x", "x", "z", 1, -3, 3)], inputs[:1], ["z"], {}), backend)
    values = np.array([-3, -2, -1, 0, 1, 2], np.int16).reshape(1, 1, 6, 1)
    assert halves("f", {"x": values})["z"].ravel().tolist() == [3, 2, 1, 0, 1, 2]


def test_space_and_depth_are_their_definitions() -> None:
    x = np.random.default_rng(2).integers(-9, 9, (2, 4, 6, 3)).astype(np.int16)
    graph = one(
        [SpaceToDepth("x", "d"), DepthToSpace("d", "s")], [Input("x", "stream", 3, *FULL)], ["d", "s"], {}
    )
    found = Program(graph, "numpy")("f", {"x": x})
    for n, y, column, dy, dx, c in np.ndindex(2, 2, 3, 2, 2, 3):
        assert found["d"][n, y, column, (dy * 2 + dx) * 3 + c] == x[n, 2 * y + dy, 2 * column + dx, c]
    assert np.array_equal(found["s"], x)


def test_bits_round_trip() -> None:
    for channels in (1, 63, 64, 65, 130):
        flags = np.random.default_rng(channels).integers(0, 2, (5, channels)).astype(bool)
        packed = bits.pack(flags)
        assert packed.shape == (5, bits.words(channels))
        assert np.array_equal(bits.unpack(packed, channels), flags)
        assert not np.any(packed[:, -1] & np.uint64(bits.spare_mask(channels)))


# --- the static check
# -------------------------------------------------------------------------------------------------


def qconv_graph(weight: Array, top: int, **changes: Any) -> Graph:
    outputs = weight.shape[0]
    tensors = {"w": weight, "mul": np.ones(outputs, np.int32), "add": np.zeros(outputs, np.int64)}
    tensors.update(changes.pop("tensors", {}))
    scale = {"shift": 1, "lo": -5, "hi": 5, **changes}
    ops: list[Op] = [Qconv("x", "a", "w", weight.shape[1]), Requantise("a", "y", "mul", "add", **scale)]
    return one(ops, [Input("x", "stream", weight.shape[3], -top - 1, top)], ["y"], tensors)


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


def test_a_product_costs_what_it_writes() -> None:
    ops: list[Op] = [DepthToSpace("x", "y"), Mul("y", "y", "z", 8, 0, 9)]
    found = check_graph(one(ops, [Input("x", "stream", 8, 0, 99)], ["z"], {}))["f"]
    assert (found.macs, found.elements, found.values["z"].up) == (0, 16, 1)
    assert found.live == 32


def mul_graph(x: int = 3, y: int = 3, shift: int = 8, lo: int = 0, hi: int = 9) -> Graph:
    ports = [Input("x", "stream", x, 0, 1), Input("y", "stream", y, 0, 1)]
    return one([Mul("x", "y", "z", shift, lo, hi)], ports, ["z"], {})


T3 = np.zeros(3, np.int16)
SMALL = np.ones((2, 1, 1, 3), np.int8)


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


def wide_chain(ops: int, channels: int = 8192) -> Function:
    """Sums of sums, each read by the next."""
    names = ["x", *(f"s{i}" for i in range(ops))]
    body = tuple(Add(read, read, out, 0, 1) for read, out in itertools.pairwise(names))
    return Function((Input("x", "stream", channels, 0, 1),), body, (names[-1],))


def conv_chain(convs: int, channels: int) -> Graph:
    """1-bit convolutions of streams that share one tensor."""
    ops: list[Op] = []
    for i in range(convs):
        ops += [
            Wconv(f"x{i}", f"a{i}", "w", 1),
            Requantise(f"a{i}", f"x{i + 1}", "mul", "add", 1, -9, 9),
        ]
    tensors: dict[str, Array] = {
        "w": bits.pack_signs(np.ones((channels, 1, 1, channels))),
        "mul": np.ones(channels, np.int32),
        "add": np.zeros(channels, np.int64),
    }
    return one(ops, [Input("x0", "stream", channels, -9, 9)], [f"x{convs}"], tensors)


def test_totals_are_bounded_before_the_work() -> None:
    started = time.monotonic()
    check_graph(Graph({"f": wide_chain(60), "g": wide_chain(60)}))
    with pytest.raises(ModelError, match="channels in all"):
        check_graph(Graph({"f": wide_chain(70), "g": wide_chain(70)}))
    with pytest.raises(ModelError, match="channels in all"):
        check_graph(Graph({"f": wide_chain(4096)}))
    with pytest.raises(ModelError, match="ops, expected"):
        check_graph(Graph({name: wide_chain(2800, 1) for name in "fgh"}))
    with pytest.raises(ModelError, match="weights in all"):
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
    monkeypatch.setattr("bbcodec.engine.bounds._WEIGHTS_AT_ONCE", 700)
    monkeypatch.setattr("bbcodec.engine.bounds._SUMS_KEPT", 0)
    found = check_graph(graph)["f"].values
    assert len(sizes) == 1 + 50 * 7
    for name, value in expected.items():
        assert np.array_equal(found[name].lo, value.lo)
        assert np.array_equal(found[name].hi, value.hi)


@pytest.mark.parametrize("backend", select.available())
def test_a_tensor_is_bound_once(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    graph, module, count = conv_chain(20, 70), select.backend(backend), 0
    unpack = bits.unpack_signs

    def counted(packed: Array, channels: int) -> Array:
        nonlocal count
        count += packed.ndim == 4 and packed.shape[0] == 70
        return unpack(packed, channels)

    monkeypatch.setattr(bits, "unpack_signs", counted)
    module.steps(graph.functions["f"], graph.tensors, check_graph(graph)["f"].values)
    assert count == 1


def test_operations_for_nothing_are_refused() -> None:
    x = Input("x", "stream", 3, 0, 1)
    dead: list[Op] = [Add("x", "x", "y", 0, 1), Add("x", "x", "z", 0, 1)]
    check_graph(one(dead, [x], ["y", "z"], {}))
    with pytest.raises(ModelError, match="nothing reads 'z'"):
        check_graph(one(dead, [x], ["y"], {}))


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


def test_json_round_trip_and_strictness() -> None:
    graph = qconv_graph(SMALL, 9)
    data = functions_to_json(graph.functions)
    assert functions_from_json(data) == graph.functions
    op = data["f"]["ops"][0]
    for key, value in [("kernel", True), ("kernel", 1.0), ("x", 1), ("x", ""), ("op", "conv"), ("more", 1)]:
        broken = {"f": {**data["f"], "ops": [{**op, key: value}]}}
        with pytest.raises(ModelError):
            functions_from_json(broken)
    body = data["f"]
    for broken in ([], {"f": []}, {"f": {}}, {"f": {**body, "ops": "abc"}}, {"f": {**body, "outputs": [1]}}):
        with pytest.raises(ModelError):
            functions_from_json(broken)


def test_json_of_a_product() -> None:
    graph = mul_graph()
    data = functions_to_json(graph.functions)
    op = {"op": "mul", "x": "x", "y": "y", "out": "z", "shift": 8, "lo": 0, "hi": 9}
    assert data["f"]["ops"] == [op]
    assert functions_from_json(data) == graph.functions
    changes = [("shift", True), ("shift", 8.0), ("shift", 1 << 62), ("y", 1), ("y", ""), ("mul", "m")]
    for key, value in changes:
        with pytest.raises(ModelError):
            functions_from_json({"f": {**data["f"], "ops": [{**op, key: value}]}})
    for key in op:
        less = {name: value for name, value in op.items() if name != key}
        with pytest.raises(ModelError):
            functions_from_json({"f": {**data["f"], "ops": [less]}})


# --- the executor
# -----------------------------------------------------------------------------------------------------


def test_inputs_are_validated() -> None:
    program = Program(qconv_graph(SMALL, 9), "numpy")
    good = np.zeros((1, 2, 2, 3), np.int16)
    program("f", {"x": good})
    bad: list[dict[str, Array]] = [
        {},
        {"x": good, "z": good},
        {"x": good[0]},
        {"x": good[..., :2]},
        {"x": good[:0]},
        {"x": good.astype(np.int32)},
        {"x": good + np.int16(10)},
        {"x": good - np.int16(11)},
    ]
    for inputs in bad:
        with pytest.raises(ValueError, match="input"):
            program("f", inputs)
    with pytest.raises(KeyError):
        program("g", {"x": good})


def test_spare_bits_of_inputs_are_validated() -> None:
    program = Program(one([], [Input("x", "bits", 3)], ["x"], {}), "numpy")
    program("f", {"x": np.full((1, 1, 1, 1), 7, np.uint64)})
    with pytest.raises(ValueError, match="spare"):
        program("f", {"x": np.full((1, 1, 1, 1), 8, np.uint64)})


def test_sizes_that_do_not_fit_are_model_errors() -> None:
    halve = Program(one([SpaceToDepth("x", "y")], [Input("x", "stream", 1, 0, 1)], ["y"], {}), "numpy")
    with pytest.raises(ModelError, match="odd"):
        halve("f", {"x": np.zeros((1, 3, 2, 1), np.int16)})
    inputs = [Input("x", "stream", 1, 0, 1), Input("y", "stream", 1, 0, 1)]
    both: list[Op] = [Add("x", "y", "z", 0, 1), Mul("x", "y", "z", 8, 0, 1)]
    for op in both:
        program = Program(one([op], inputs, ["z"], {}), "numpy")
        with pytest.raises(ModelError, match="different sizes"):
            program("f", {"x": np.zeros((1, 3, 2, 1), np.int16), "y": np.zeros((1, 2, 3, 1), np.int16)})
        with pytest.raises(ValueError, match="batch"):
            program("f", {"x": np.zeros((1, 3, 2, 1), np.int16), "y": np.zeros((2, 3, 2, 1), np.int16)})


@pytest.mark.parametrize("cache", [1, 1 << 8, 1 << 30])
def test_threads_and_parts_of_a_batch_change_nothing(cache: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = qconv_graph(np.random.default_rng(0).integers(-9, 9, (5, 3, 3, 4)).astype(np.int8), 99)
    x = np.random.default_rng(1).integers(-100, 100, (7, 5, 4, 4)).astype(np.int16)
    expected = Program(graph, "numpy")("f", {"x": x})["y"]
    monkeypatch.setattr("bbcodec.engine.program._CACHE_BYTES", cache)
    for threads in (1, 2, 3, 16):
        assert np.array_equal(Program(graph, "numpy", threads)("f", {"x": x})["y"], expected)


# --- the choice
# -------------------------------------------------------------------------------------------------------


def test_backend_is_chosen_by_name_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BBCODEC_BACKEND", raising=False)
    monkeypatch.delenv("BBCODEC_TARGET", raising=False)
    assert select.backend_name() == select.available()[0]
    assert select.backend_name("numpy") == "numpy"
    assert select.backend("numpy").name == "numpy"
    monkeypatch.setenv("BBCODEC_BACKEND", "numpy")
    assert select.backend_name() == "numpy"
    monkeypatch.setenv("BBCODEC_BACKEND", "abacus")
    with pytest.raises(OptionError, match="abacus"):
        select.backend_name()
    with pytest.raises(OptionError, match="torch"):
        select.backend_name("torch")


@pytest.mark.skipif("native" not in select.available(), reason="no native backend")
def test_targets_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    from bbcodec import _native

    offered = _native.targets()
    best = max(offered, key=select.TARGETS.index)
    try:
        for target in (*offered, offered[0], "", offered[0], None):
            if target is None:
                monkeypatch.delenv("BBCODEC_TARGET")
            else:
                monkeypatch.setenv("BBCODEC_TARGET", target)
            assert select.backend_name("native") == "native"
            assert select.native_target() == (target or best)
    finally:
        monkeypatch.undo()
        select.backend_name("native")


def test_unknown_target_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BBCODEC_TARGET", "sse9")
    with pytest.raises(OptionError, match="sse9"):
        select.backend_name("native")
