# SPDX-License-Identifier: Apache-2.0
"""Interval arithmetic on the values of a graph: check one operation, and bound its output per channel.

`bbcodec.engine.bounds` applies this to whole graphs. Nothing is executed here. Models are untrusted input, so
the work is charged to the budget of the graph before it is done.
"""

from __future__ import annotations

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
)
from bbcodec.errors import ModelError

__all__ = ["MAX_CHANNELS", "MAX_TOTAL_OPS", "CheckState", "Value", "input_value", "output_value"]

# Limits far above real models. They bound the memory per pixel that a hostile model can require.
MAX_CHANNELS = 8192
# Totals over all functions: operations, channels of all values, and weights of all convolutions. A tensor
# counts once per use. The released models have 216, 16 thousand and 1.2 million. A network of the size in the
# paper (96 binary convolutions of 256 x 256 x 3 x 3) has about 700, 10^5 and 57 million.
MAX_TOTAL_OPS = 8192
MAX_TOTAL_CHANNELS = 1 << 20
MAX_TOTAL_WEIGHTS = 1 << 27
MAX_TABLE = 1 << 17
MAX_SHIFT = 40
# For a product of two streams: |x * y| <= 2^30, and with the rounding term the sum stays inside int32.
MAX_MUL_SHIFT = 15
# |acc * mul| < 2^62; with |add| <= 2^61 and the rounding term the sum stays inside int64.
MAX_ADD = 1 << 61
ACC_LIMIT = 1 << 31

Interval = NDArray[np.int64]

_WEIGHTS_AT_ONCE = 1 << 20  # unpacked at a time
_MAX_CACHED_SUMS = 1 << 21  # sums of weights, kept for the next use of their tensor


@dataclass(frozen=True, slots=True)
class Value:
    """Proven facts about a value.

    ``lo`` and ``hi`` are int64 [C] and bound every pixel. ``up`` is the log2 of the resolution, relative to
    the inputs of the function.
    """

    kind: Kind
    channels: int
    lo: Interval
    hi: Interval
    up: int


@dataclass(slots=True)
class CheckState:
    """State of the check of one graph: its tensors, the costs so far, and cached sums of weights.

    Attributes
    ----------
    tensors : tensors of the graph.
    channels, weights : totals so far, bounded by `MAX_TOTAL_CHANNELS` and `MAX_TOTAL_WEIGHTS`.
    sums : sums of positive and of negative weights by part of a tensor and number of input channels.
    cached_sums : number of elements in half of `sums`, bounded by `_MAX_CACHED_SUMS`.
    clean : tensors and numbers of channels whose spare bits are known to be 0.
    """

    tensors: Tensors
    channels: int = 0
    weights: int = 0
    sums: dict[tuple[str, int], tuple[NDArray[np.float64], NDArray[np.float64]]] = field(default_factory=dict)
    cached_sums: int = 0
    clean: set[tuple[str, int]] = field(default_factory=set)

    def charge(self, where: str, channels: int = 0, weights: int = 0) -> None:
        """Add costs to the totals; raise `ModelError` if a total exceeds its limit."""
        self.channels += channels
        self.weights += weights
        if self.channels > MAX_TOTAL_CHANNELS:
            raise ModelError(f"{where}: the values have more than {MAX_TOTAL_CHANNELS} channels in total")
        if self.weights > MAX_TOTAL_WEIGHTS:
            raise ModelError(f"{where}: the convolutions have more than {MAX_TOTAL_WEIGHTS} weights in total")


def input_value(port: Input, where: str, state: CheckState) -> Value:
    """Check a declared input, and return its value.

    Raises
    ------
    ModelError
        The channels or the range are outside the limits, or the budget is exceeded.
    """
    if not 1 <= port.channels <= MAX_CHANNELS:
        raise ModelError(f"{where}: {port.channels} channels, expected 1 to {MAX_CHANNELS}")
    state.charge(where, channels=port.channels)
    if port.kind == "bits":
        return _signs(port.channels, 0)
    _check_range(port.lo, port.hi, where)
    return Value(
        "stream", port.channels, _constant(port.lo, port.channels), _constant(port.hi, port.channels), 0
    )


def output_value(op: Op, args: list[Value], state: CheckState, where: str) -> Value:
    """Check an operation; return its output value, with intervals computed from those of its inputs.

    Raises
    ------
    ModelError
        The operation does not fit its inputs or tensors, can overflow, or exceeds a limit or the budget.
    """
    x, tensors = args[0], state.tensors
    expected = {"bconv": "bits", "requantise": "acc"}.get(op.tag, "stream")
    for arg in args:
        if arg.kind != expected:
            raise ModelError(f"{where}: reads a value of kind {arg.kind}, expected {expected}")
    if isinstance(op, Bconv | Wconv | Qconv):
        return _conv(op, x, state, where)
    quarters = {"space_to_depth": 16, "depth_to_space": 1}.get(op.tag, 4)
    state.charge(where, channels=-(-x.channels * quarters // 4))
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


def _conv(op: Conv, x: Value, state: CheckState, where: str) -> Value:
    """Check a convolution and its weights, and return the interval of its accumulators."""
    weight = state.tensors[op.weight]
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
    state.charge(where, channels=outputs, weights=outputs * op.kernel**2 * x.channels)
    if packed and (op.weight, x.channels) not in state.clean:
        if np.any(weight[..., -1] & np.uint64(bits.spare_mask(x.channels))):
            raise ModelError(f"{where}: spare bits of {op.weight!r} are not 0")
        state.clean.add((op.weight, x.channels))
    if isinstance(op, Bconv):
        size = op.kernel**2 * x.channels
        return Value("acc", outputs, _constant(-size, outputs), _constant(size, outputs), x.up)
    # float64 is exact: all sums below are integers of magnitude < 2^53 (8192 channels x 25 taps x 2^15 x 2^7
    # < 2^43). Padding adds zeros, so the interval of the inputs is widened to contain 0.
    lo = np.minimum(x.lo, 0).astype(np.float64)
    hi = np.maximum(x.hi, 0).astype(np.float64)
    # No partial sum, in any order, exceeds ``magnitude``.
    ends = (lo, hi, np.maximum(-lo, hi))
    acc_lo, acc_hi, magnitude = np.empty((3, outputs))
    step = max(1, _WEIGHTS_AT_ONCE // (op.kernel**2 * x.channels))
    for first in range(0, outputs, step):
        rows = slice(first, first + step)
        positive, negative = _sums(op, x.channels, first, rows, state)
        # einsum, not BLAS: synchronising the threads of BLAS takes longer than these products.
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
    op: Conv, channels: int, first: int, rows: slice, state: CheckState
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return sums [rows, Cin] over the taps of the positive and of the negative weights, without sign."""
    key = (f"{op.tag} {first} {op.weight}", channels)
    if key in state.sums:
        return state.sums[key]
    weight = state.tensors[op.weight][rows]
    if isinstance(op, Qconv):
        # 25 taps of at most 128 fit int16.
        positive = np.maximum(weight, 0).sum((1, 2), dtype=np.int16).astype(np.float64)
        negative = positive - weight.sum((1, 2), dtype=np.int16)
    else:
        taps = bits.unpack(weight, channels).view(np.uint8)
        negative = taps.sum((1, 2), dtype=np.uint8).astype(np.float64)
        positive = op.kernel**2 - negative
    if state.cached_sums + positive.size <= _MAX_CACHED_SUMS:
        state.cached_sums += positive.size
        state.sums[key] = positive, negative
    return positive, negative


def _requantise(op: Requantise, x: Value, tensors: Tensors, where: str) -> Value:
    mul, add = tensors[op.mul], tensors[op.add]
    _check_tensor(mul, "int32", (x.channels,), op.mul, where)
    _check_tensor(add, "int64", (x.channels,), op.add, where)
    if not 1 <= op.shift <= MAX_SHIFT:
        raise ModelError(f"{where}: shift {op.shift}, expected 1 to {MAX_SHIFT}")
    if add.max() > MAX_ADD or add.min() < -MAX_ADD:
        raise ModelError(f"{where}: tensor {op.add!r} has a number outside ±2^61")
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
        raise ModelError(f"{where}: range [{lo}, {hi}], expected lo <= hi within int16")


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
