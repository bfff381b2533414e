# SPDX-License-Identifier: Apache-2.0
"""All backends compute the same integers, on every target, for random shapes and extreme values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bbcodec import backends
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
)

Array = np.ndarray[Any, Any]

# Sizes around the blocks (8, 16, 64) and register tiles (8 pixels) of the kernels.
CHANNELS = st.sampled_from([1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 96, 128, 130])
SIDES = st.integers(1, 9)
SEEDS = st.integers(0, 2**32 - 1)
KERNELS = st.sampled_from([1, 3, 5])


def others() -> list[tuple[str, str | None]]:
    """Backends beside the reference, the native one once per target."""
    found: list[tuple[str, str | None]] = []
    if "native" in backends.available():
        from bbcodec import _native

        found += [("native", target) for target in _native.targets()]
    if "numba" in backends.available():
        found.append(("numba", None))
    return found


@pytest.fixture(params=others(), ids=lambda pair: "-".join(filter(None, pair)))
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    name, target = request.param
    if target is None:
        yield name
        return
    from bbcodec import _native

    before = _native.target()
    _native.set_target(target)
    yield name
    _native.set_target(before)


bounded = settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def scale(rng: np.random.Generator, channels: int) -> tuple[dict[str, Array], dict[str, int]]:
    """A requantisation, from harmless to the ends of what the check allows."""
    mul_bits = rng.integers(1, 32)
    mul = rng.integers(-(1 << mul_bits), 1 << mul_bits, channels).clip(-(1 << 31), (1 << 31) - 1)
    mul[rng.random(channels) < 0.1] = 0
    add_bits = rng.integers(1, 62)
    add = rng.integers(-(1 << add_bits), 1 << add_bits, channels, dtype=np.int64, endpoint=True)
    ends = np.sort(rng.integers(-32768, 32768, 2)) if rng.random() < 0.5 else np.array([-32768, 32767])
    if rng.random() < 0.3:
        ends = np.sort(rng.integers(-3, 4, 2))
    options = {"shift": int(rng.integers(1, 41)), "lo": int(ends[0]), "hi": int(ends[1])}
    return {"mul": mul.astype(np.int32), "add": add}, options


def same(graph: Graph, inputs: dict[str, Array], backend: str) -> None:
    expected = Program(graph, "numpy")("f", inputs)
    found = Program(graph, backend)("f", inputs)
    assert expected.keys() == found.keys()
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name], array), name


def thresholds(rng: np.random.Generator, channels: int) -> Array:
    """int16 [C]: small ones, or now and then all that int16 can hold."""
    limit = int(rng.choice([1, 300, 32768]))
    return rng.integers(-limit, limit, channels).astype(np.int16)


@bounded
@given(SEEDS, CHANNELS, CHANNELS, KERNELS, st.integers(1, 3), SIDES, SIDES)
def test_bit_convolution(
    backend: str, seed: int, channels: int, outputs: int, kernel: int, n: int, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    bias = rng.choice([0.0, 0.5, 1.0])  # all +1 and all -1 reach the ends of the accumulator
    x = bits.pack(rng.random((n, height, width, channels)) < bias)
    tensors, options = scale(rng, outputs)
    tensors["t"] = thresholds(rng, outputs)
    tensors["w"] = bits.pack(rng.random((outputs, kernel, kernel, channels)) < rng.choice([0.0, 0.5, 1.0]))
    ops: list[Op] = [
        Bconv("x", "a", "w", kernel),
        Requantise("a", "y", "mul", "add", **options),
        Sign("y", "s", "t"),
    ]
    port = Input("x", "bits", channels)
    # With "y" among the outputs Sign is a step of its own; without, it may be merged.
    for outs in (("y", "s"), ("s",), ("y",)):
        used = tuple(ops if "s" in outs else ops[:2])
        same(Graph({"f": Function((port,), used, outs)}, tensors), {"x": x}, backend)


@bounded
@given(SEEDS, CHANNELS, CHANNELS, KERNELS, st.integers(1, 3), SIDES, SIDES, st.booleans())
def test_integer_convolution(
    backend: str,
    seed: int,
    channels: int,
    outputs: int,
    kernel: int,
    n: int,
    height: int,
    width: int,
    packed: bool,
) -> None:
    rng = np.random.default_rng(seed)
    shape = (outputs, kernel, kernel, channels)
    tensors, options = scale(rng, outputs)
    tensors["t"] = thresholds(rng, outputs)
    largest = min(32768, ((1 << 31) - 1) // (kernel**2 * channels * (1 if packed else 128)))
    if packed:
        tensors["w"] = bits.pack(rng.random(shape) < rng.choice([0.0, 0.5, 1.0]))
    else:
        extreme = rng.random() < 0.3
        tensors["w"] = (rng.choice([-128, 127], shape) if extreme else rng.integers(-128, 128, shape)).astype(
            np.int8
        )
    size = (n, height, width, channels)
    ends = [-largest, min(largest, 32767)]
    if rng.random() < 0.5:  # what bytes hold, or hold but for one
        lo = int(rng.choice([0, -128, -255, -rng.integers(0, 256)]))
        ends = [lo, lo + int(rng.choice([255, 254, 256]))]
    x = rng.choice(ends, size) if rng.random() < 0.3 else rng.integers(ends[0], ends[1], size, endpoint=True)
    conv = Wconv("x", "a", "w", kernel) if packed else Qconv("x", "a", "w", kernel)
    ops: list[Op] = [conv, Requantise("a", "y", "mul", "add", **options), Sign("y", "s", "t")]
    port = Input("x", "stream", channels, *ends)
    for outs in (("y", "s"), ("s",)):
        same(Graph({"f": Function((port,), tuple(ops), outs)}, tensors), {"x": x.astype(np.int16)}, backend)


@bounded
@given(SEEDS, CHANNELS, st.integers(1, 3), SIDES, SIDES)
def test_maps(backend: str, seed: int, channels: int, n: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    size = (n, 2 * height, 2 * width, channels)
    full = (-32768, 32767)
    arrays = {
        name: rng.choice(full, size) if rng.random() < 0.2 else rng.integers(*full, size, endpoint=True)
        for name in "xy"
    }
    lo, hi = (int(end) for end in np.sort(rng.integers(-32768, 32768, 2)))
    table = rng.integers(*full, rng.integers(1, 1000), endpoint=True).astype(np.int16)
    ops: list[Op] = [
        Add("x", "y", "sum", lo, hi),
        Mul("x", "y", "product", int(rng.integers(1, 16)), lo, hi),
        Mul("y", "y", "square", 15, *full),
        Sign("x", "sign", "t"),
        Table("x", "seen", "table", int(rng.integers(-40000, 40000))),
        SpaceToDepth("sum", "deep"),
        DepthToSpace("deep", "flat"),
        Sign("flat", "flat_sign", "t"),
    ]
    inputs = tuple(Input(name, "stream", channels, *full) for name in "xy")
    function = Function(inputs, tuple(ops), tuple(op.out for op in ops))
    tensors = {"table": table, "t": thresholds(rng, channels)}
    same(Graph({"f": function}, tensors), {k: v.astype(np.int16) for k, v in arrays.items()}, backend)


@bounded
@given(SEEDS, st.sampled_from([8, 24, 64, 72]))
def test_residual_network(backend: str, seed: int, width: int) -> None:
    """A whole function: values that are read twice, shared tensors, gates, outputs of both kinds, threads."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, Array] = {
        "t": thresholds(rng, width),
        "w_in": rng.integers(-128, 128, (width, 3, 3, 12)).astype(np.int8),
        "w_bit": bits.pack(rng.integers(0, 2, (width, 3, 3, width))),
        "w_sign": bits.pack(rng.integers(0, 2, (5, 1, 1, width))),
        "mul": rng.integers(-4000, 4000, width).astype(np.int32),
        "add": rng.integers(-(1 << 20), 1 << 20, width),
        "gate": np.sort(rng.integers(-50, 1025, 1001)).astype(np.int16),
        "mul5": rng.integers(-4000, 4000, 5).astype(np.int32),
        "add5": rng.integers(-(1 << 20), 1 << 20, 5),
    }
    ops: list[Op] = [
        SpaceToDepth("x", "deep"),
        Qconv("deep", "a", "w_in", 3),
        Requantise("a", "r0", "mul", "add", 14, -4096, 4095),
    ]
    for i in range(2):
        ops += [
            Sign(f"r{i}", f"s{i}", "t"),
            Bconv(f"s{i}", f"b{i}", "w_bit", 3),
            Requantise(f"b{i}", f"t{i}", "mul", "add", 9, -32768, 32767),
            Sign(f"t{i}", f"u{i}", "t"),
            Bconv(f"u{i}", f"c{i}", "w_bit", 3),
            Requantise(f"c{i}", f"d{i}", "mul", "add", 12, -32768, 32767),
            Table(f"t{i}", f"g{i}", "gate", 500),
            Mul(f"d{i}", f"g{i}", f"p{i}", 10, -5000, 4999),
            Add(f"r{i}", f"p{i}", f"r{i + 1}", -4096, 4095),
        ]
    ops += [Wconv("r2", "e", "w_sign", 1), Requantise("e", "y", "mul5", "add5", 8, -32768, 32767)]
    function = Function((Input("x", "stream", 3, -255, 255),), tuple(ops), ("y", "u1", "r2"))
    graph = Graph({"f": function}, tensors)
    x = rng.integers(-255, 256, (3, 10, 6, 3)).astype(np.int16)
    same(graph, {"x": x}, backend)
    expected = Program(graph, "numpy")("f", {"x": x})
    found = Program(graph, backend, threads=2)("f", {"x": x})
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
