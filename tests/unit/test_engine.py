# SPDX-License-Identifier: Apache-2.0
"""The meaning of the operations: the reference against naive loops, products of extremes on all backends."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from graphs import FULL, Array, one

from bbcodec import backends
from bbcodec.engine import (
    Add,
    Bconv,
    DepthToSpace,
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
)


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
@pytest.mark.parametrize("backend", backends.available())
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
