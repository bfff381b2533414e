# SPDX-License-Identifier: Apache-2.0
"""The static check of a graph: shapes fit, and no accumulator can overflow.

Models are untrusted input.  `check_graph` walks every function once with interval arithmetic (one interval
per channel) and either proves that all backends compute the same exact integers, or raises `ModelError`.  It
runs at export and at load.  Nothing is executed here.  The check itself is bounded too: what it may cost is
charged to a budget for the whole graph before it is spent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.engine import bits
from bbcodec.engine.graph import (
    INT16_MAX,
    INT16_MIN,
    KERNELS,
    Add,
    Bconv,
    Conv,
    DepthToSpace,
    Function,
    Graph,
    Input,
    Kind,
    Mul,
    Op,
    Qconv,
    Requantise,
    Sign,
    SpaceToDepth,
    Table,
    Tensors,
    Wconv,
    reads,
    uses,
)
from bbcodec.errors import ModelError

# Limits that real models stay far below; they bound the memory per pixel that a hostile one can ask for.
MAX_FUNCTIONS = 256
MAX_INPUTS = 64
MAX_OPS = 4096
MAX_CHANNELS = 8192
# Over all functions: operations, channels of all values, and weights of all convolutions, a tensor counted as
# often as it is used.  The released models have 216, 16 thousand and 1.2 million; a network of the paper's
# size (96 binary convolutions of 256 x 256 x 3 x 3) has some 700, 10^5 and 57 million.
MAX_TOTAL_OPS = 8192
MAX_TOTAL_CHANNELS = 1 << 20
MAX_TOTAL_WEIGHTS = 1 << 27
MAX_TABLE = 1 << 17
# A value may be at most 2^4 times finer than the inputs of its function.
MAX_UPSCALE = 4
MAX_SHIFT = 40
# Of a product of two streams: |x * y| <= 2^30, and with the rounding term the sum stays inside int32.
MAX_MUL_SHIFT = 15
# |acc * mul| < 2^62; with |add| <= 2^61 and the rounding term the sum stays inside int64.
MAX_ADD = 1 << 61
ACC_LIMIT = 1 << 31

Interval = NDArray[np.int64]

# Weights that are unpacked at once, and sums of weights that are kept for the next use of their tensor.
_WEIGHTS_AT_ONCE = 1 << 20
_SUMS_KEPT = 1 << 21
_BYTES = {"stream": 2, "acc": 4}


@dataclass(frozen=True, slots=True)
class Value:
    """What is proven about a value.

    ``lo`` and ``hi`` are int64 [C] and hold for every pixel; ``up`` is the log2 of its resolution relative to
    the inputs of the function.
    """

    kind: Kind
    channels: int
    lo: Interval
    hi: Interval
    up: int


@dataclass(frozen=True, slots=True)
class Analysis:
    """Result for one function; all costs are per position of the inputs.

    Attributes
    ----------
    values : all values by name.
    macs : multiply-accumulates.
    elements : what all operations write, in elements.
    largest : elements of the largest value.
    live : most bytes of values that must be kept at the same time.
    """

    values: Mapping[str, Value]
    macs: int
    elements: int
    largest: float
    live: float


@dataclass(slots=True)
class _Check:
    """Tensors of the graph, what its functions cost so far, and sums of weights that may be met again."""

    tensors: Tensors
    channels: int = 0
    weights: int = 0
    sums: dict[tuple[str, int], tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)
    kept: int = 0
    clean: set[tuple[str, int]] = field(default_factory=set)

    def charge(self, where: str, channels: int = 0, weights: int = 0) -> None:
        self.channels += channels
        self.weights += weights
        if self.channels > MAX_TOTAL_CHANNELS:
            raise ModelError(f"{where}: the values have more than {MAX_TOTAL_CHANNELS} channels in all")
        if self.weights > MAX_TOTAL_WEIGHTS:
            raise ModelError(f"{where}: the convolutions have more than {MAX_TOTAL_WEIGHTS} weights in all")


def check_graph(graph: Graph) -> dict[str, Analysis]:
    """Prove a graph sound.

    Returns
    -------
    One `Analysis` per function.

    Raises
    ------
    ModelError
        Names the function and the operation, what was found and what was expected.
    """
    if len(graph.functions) > MAX_FUNCTIONS:
        raise ModelError(f"model: {len(graph.functions)} functions, expected at most {MAX_FUNCTIONS}")
    total = sum(len(function.ops) for function in graph.functions.values())
    if total > MAX_TOTAL_OPS:
        raise ModelError(f"model: {total} ops, expected at most {MAX_TOTAL_OPS}")
    check = _Check(graph.tensors)
    return {name: _check_function(name, function, check) for name, function in graph.functions.items()}


def _check_function(name: str, function: Function, check: _Check) -> Analysis:
    where = f"function {name!r}"
    for what, items, limit in (
        ("inputs", function.inputs, MAX_INPUTS),
        ("ops", function.ops, MAX_OPS),
        ("outputs", function.outputs, MAX_OPS),
    ):
        if len(items) > limit or (what != "ops" and not items):
            raise ModelError(f"{where}: {len(items)} {what}, expected 1 to {limit}")
    values: dict[str, Value] = {}
    for port in function.inputs:
        if port.name in values:
            raise ModelError(f"{where}: input {port.name!r} is declared twice")
        values[port.name] = _input(port, f"{where}, input {port.name!r}", check)
    wanted = set(function.outputs).union(*(reads(op) for op in function.ops))
    macs = elements = 0
    for index, op in enumerate(function.ops):
        spot = f"{where}, op {index} ({op.tag} -> {op.out!r})"
        if op.out in values:
            raise ModelError(f"{spot}: {op.out!r} is defined twice")
        for read in reads(op):
            if read not in values:
                raise ModelError(f"{spot}: reads {read!r}, which is not defined before")
        for used in uses(op):
            if used not in check.tensors:
                raise ModelError(f"{spot}: there is no tensor {used!r}")
        if op.out not in wanted:
            raise ModelError(f"{spot}: nothing reads {op.out!r}, and it is no output")
        value = _transfer(op, [values[read] for read in reads(op)], check, spot)
        if value.channels > MAX_CHANNELS:
            raise ModelError(f"{spot}: {value.channels} channels, expected at most {MAX_CHANNELS}")
        if value.up > MAX_UPSCALE:
            raise ModelError(f"{spot}: more than {MAX_UPSCALE} doublings of the resolution")
        values[op.out] = value
        elements += _per_position(value.channels, value.up)
        if isinstance(op, Bconv | Wconv | Qconv):
            macs += _per_position(op.kernel**2 * values[op.x].channels * value.channels, value.up)
    for output in function.outputs:
        if output not in values or values[output].kind == "acc":
            raise ModelError(f"{where}: output {output!r} is not a defined stream or bits value")
    if len(set(function.outputs)) != len(function.outputs):
        raise ModelError(f"{where}: an output is named twice")
    largest = max(value.channels * 4.0**value.up for value in values.values())
    return Analysis(values, macs, elements, largest, _live(function, values))


def _per_position(work: int, up: int) -> int:
    """Work at the resolution of a value, per position of the inputs, rounded up."""
    return work << 2 * up if up >= 0 else -(-work >> -2 * up)


def _live(function: Function, values: Mapping[str, Value]) -> float:
    """Most bytes a position that an executor must keep if it drops every value after its last reader."""

    def size(name: str) -> float:
        value = values[name]
        depth = (
            8 * bits.words(value.channels) if value.kind == "bits" else _BYTES[value.kind] * value.channels
        )
        return depth * 4.0**value.up

    last = {read: index for index, op in enumerate(function.ops) for read in reads(op)}
    live = {port.name: size(port.name) for port in function.inputs}
    now = most = sum(live.values())
    for index, op in enumerate(function.ops):
        live[op.out] = size(op.out)
        now += live[op.out]
        most = max(most, now)
        for read in set(reads(op)):
            if last[read] == index and read not in function.outputs:
                now -= live.pop(read)
    return most


def _input(port: Input, where: str, check: _Check) -> Value:
    if not 1 <= port.channels <= MAX_CHANNELS:
        raise ModelError(f"{where}: {port.channels} channels, expected 1 to {MAX_CHANNELS}")
    check.charge(where, channels=port.channels)
    if port.kind == "bits":
        return _signs(port.channels, 0)
    _check_range(port.lo, port.hi, where)
    return Value(
        "stream", port.channels, _constant(port.lo, port.channels), _constant(port.hi, port.channels), 0
    )


def _transfer(op: Op, args: list[Value], check: _Check, where: str) -> Value:
    """Interval of the value that ``op`` defines, from the intervals of those that it reads."""
    x, tensors = args[0], check.tensors
    expected = {"bconv": "bits", "requantise": "acc"}.get(op.tag, "stream")
    for arg in args:
        if arg.kind != expected:
            raise ModelError(f"{where}: reads a value of kind {arg.kind}, expected {expected}")
    if isinstance(op, Bconv | Wconv | Qconv):
        return _conv(op, x, check, where)
    quarters = {"space_to_depth": 16, "depth_to_space": 1}.get(op.tag, 4)
    check.charge(where, channels=-(-x.channels * quarters // 4))
    match op:
        case Requantise():
            return _requantise(op, x, tensors, where)
        case Add():
            y = args[1]
            if y.channels != x.channels:
                raise ModelError(f"{where}: adds {y.channels} channels to {x.channels}")
            _check_range(op.lo, op.hi, where)
            lo, hi = (np.clip(total, op.lo, op.hi) for total in (x.lo + y.lo, x.hi + y.hi))
            return Value("stream", x.channels, lo, hi, max(x.up, y.up))
        case Mul():
            return _mul(op, x, args[1], where)
        case Sign():
            _check_tensor(tensors[op.threshold], "int16", (x.channels,), op.threshold, where)
            return _signs(x.channels, x.up)
        case Table():
            return _table(op, x, tensors[op.table], where)
        case SpaceToDepth():
            return Value("stream", 4 * x.channels, np.tile(x.lo, 4), np.tile(x.hi, 4), x.up - 1)
        case DepthToSpace():
            if x.channels % 4:
                raise ModelError(f"{where}: {x.channels} channels are not divisible by 4")
            lo, hi = x.lo.reshape(4, -1).min(0), x.hi.reshape(4, -1).max(0)
            return Value("stream", x.channels // 4, lo, hi, x.up + 1)


def _conv(op: Conv, x: Value, check: _Check, where: str) -> Value:
    weight = check.tensors[op.weight]
    if op.kernel not in KERNELS:
        raise ModelError(f"{where}: kernel {op.kernel}, expected one of {KERNELS}")
    packed = not isinstance(op, Qconv)
    depth = bits.words(x.channels) if packed else x.channels
    _check_tensor(
        weight, "uint64" if packed else "int8", (None, op.kernel, op.kernel, depth), op.weight, where
    )
    outputs = weight.shape[0]
    if outputs > MAX_CHANNELS:
        raise ModelError(f"{where}: {outputs} channels, expected at most {MAX_CHANNELS}")
    check.charge(where, channels=outputs, weights=outputs * op.kernel**2 * x.channels)
    if packed and (op.weight, x.channels) not in check.clean:
        if np.any(weight[..., -1] & np.uint64(bits.spare_mask(x.channels))):
            raise ModelError(f"{where}: spare bits of {op.weight!r} are not 0")
        check.clean.add((op.weight, x.channels))
    if isinstance(op, Bconv):
        size = op.kernel**2 * x.channels
        return Value("acc", outputs, _constant(-size, outputs), _constant(size, outputs), x.up)
    # All sums below are of integers < 2^53 in magnitude (8192 channels x 25 taps x 2^15 x 2^7 < 2^43):
    # float64 is exact.
    # Padding brings in zeros, so the interval of the inputs is widened to contain 0.
    lo = np.minimum(x.lo, 0).astype(np.float64)
    hi = np.maximum(x.hi, 0).astype(np.float64)
    # Any partial sum, in any order, is at most ``magnitude``.
    ends = (lo, hi, np.maximum(-lo, hi))
    acc_lo, acc_hi, magnitude = np.empty((3, outputs))
    step = max(1, _WEIGHTS_AT_ONCE // (op.kernel**2 * x.channels))
    for first in range(0, outputs, step):
        rows = slice(first, first + step)
        positive, negative = _sums(op, x.channels, first, rows, check)
        # Not a BLAS product: its threads take longer to meet than this takes.
        more, less = ([np.einsum("oc,c->o", sums, end) for end in ends] for sums in (positive, negative))
        acc_lo[rows] = more[0] - less[1]
        acc_hi[rows] = more[1] - less[0]
        magnitude[rows] = more[2] + less[2]
    if magnitude.max() >= ACC_LIMIT:
        channel = int(magnitude.argmax())
        raise ModelError(
            f"{where}: the accumulator of channel {channel} can reach {int(magnitude[channel])}, "
            f"expected less than {ACC_LIMIT}"
        )
    return Value("acc", outputs, acc_lo.astype(np.int64), acc_hi.astype(np.int64), x.up)


def _sums(
    op: Conv, channels: int, first: int, rows: slice, check: _Check
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sums [rows, Cin] over the taps of the positive weights and of the negative ones, without their sign."""
    key = (f"{op.tag} {first} {op.weight}", channels)
    if key in check.sums:
        return check.sums[key]
    weight = check.tensors[op.weight][rows]
    if isinstance(op, Qconv):
        # 25 taps of at most 128 fit int16.
        positive = np.maximum(weight, 0).sum((1, 2), dtype=np.int16).astype(np.float64)
        negative = positive - weight.sum((1, 2), dtype=np.int16)
    else:
        taps = bits.unpack(weight, channels).view(np.uint8)
        negative = taps.sum((1, 2), dtype=np.uint8).astype(np.float64)
        positive = op.kernel**2 - negative
    if check.kept + positive.size <= _SUMS_KEPT:
        check.kept += positive.size
        check.sums[key] = positive, negative
    return positive, negative


def _requantise(op: Requantise, x: Value, tensors: Tensors, where: str) -> Value:
    mul, add = tensors[op.mul], tensors[op.add]
    _check_tensor(mul, "int32", (x.channels,), op.mul, where)
    _check_tensor(add, "int64", (x.channels,), op.add, where)
    if not 1 <= op.shift <= MAX_SHIFT:
        raise ModelError(f"{where}: shift {op.shift}, expected 1 to {MAX_SHIFT}")
    if add.max() > MAX_ADD or add.min() < -MAX_ADD:
        raise ModelError(f"{where}: {op.add!r} holds a number beyond ±2^61")
    _check_range(op.lo, op.hi, where)
    ends = np.stack([x.lo * mul.astype(np.int64), x.hi * mul.astype(np.int64)])
    lo, hi = ((end + add + (1 << (op.shift - 1))) >> op.shift for end in (ends.min(0), ends.max(0)))
    return Value("stream", x.channels, np.clip(lo, op.lo, op.hi), np.clip(hi, op.lo, op.hi), x.up)


def _mul(op: Mul, x: Value, y: Value, where: str) -> Value:
    if y.channels != x.channels:
        raise ModelError(f"{where}: multiplies {x.channels} channels by {y.channels}")
    if not 1 <= op.shift <= MAX_MUL_SHIFT:
        raise ModelError(f"{where}: shift {op.shift}, expected 1 to {MAX_MUL_SHIFT}")
    _check_range(op.lo, op.hi, where)
    corners = np.stack([x.lo * y.lo, x.lo * y.hi, x.hi * y.lo, x.hi * y.hi])
    lo, hi = ((end + (1 << (op.shift - 1))) >> op.shift for end in (corners.min(0), corners.max(0)))
    return Value("stream", x.channels, np.clip(lo, op.lo, op.hi), np.clip(hi, op.lo, op.hi), max(x.up, y.up))


def _table(op: Table, x: Value, table: NDArray[Any], where: str) -> Value:
    _check_tensor(table, "int16", (None,), op.table, where)
    if len(table) > MAX_TABLE:
        raise ModelError(f"{where}: table of {len(table)} entries, expected at most {MAX_TABLE}")
    if abs(op.offset) > MAX_TABLE:
        raise ModelError(f"{where}: offset {op.offset}, expected at most ±{MAX_TABLE}")
    first = int(np.clip(x.lo.min() + op.offset, 0, len(table) - 1))
    last = int(np.clip(x.hi.max() + op.offset, 0, len(table) - 1))
    reached = table[first : last + 1]
    lo, hi = int(reached.min()), int(reached.max())
    return Value("stream", x.channels, _constant(lo, x.channels), _constant(hi, x.channels), x.up)


def _signs(channels: int, up: int) -> Value:
    return Value("bits", channels, _constant(-1, channels), _constant(1, channels), up)


def _constant(value: int, channels: int) -> Interval:
    return np.full(channels, value, np.int64)


def _check_range(lo: int, hi: int, where: str) -> None:
    if not INT16_MIN <= lo <= hi <= INT16_MAX:
        raise ModelError(f"{where}: range [{lo}, {hi}], expected lo <= hi inside of int16")


def _check_tensor(
    tensor: NDArray[Any], dtype: str, shape: tuple[int | None, ...], name: str, where: str
) -> None:
    fits = len(tensor.shape) == len(shape) and all(
        found >= 1 and wanted in (None, found) for found, wanted in zip(tensor.shape, shape, strict=True)
    )
    if tensor.dtype != np.dtype(dtype) or not fits:
        sizes = ", ".join("any" if size is None else str(size) for size in shape)
        raise ModelError(
            f"{where}: tensor {name!r} is {tensor.dtype} {list(tensor.shape)}, expected {dtype} [{sizes}]"
        )
