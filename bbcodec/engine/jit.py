# SPDX-License-Identifier: Apache-2.0
"""The numba backend: the reference as plain loops, compiled at first use and cached on disk.

Importing this module imports numba (half a second); `select` alone does so.  Mind that numba turns mixed
uint64 and int64 arithmetic into float64: words stay uint64 throughout.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bbcodec.engine import bits, reference
from bbcodec.engine.bounds import Value
from bbcodec.engine.graph import (
    Add,
    Bconv,
    DepthToSpace,
    Function,
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
from bbcodec.engine.program import Kernel, Step, plain_steps

name = "numba"

Array: TypeAlias = NDArray[Any]


def steps(function: Function, tensors: Tensors, values: Mapping[str, Value]) -> list[Step]:
    """One step per operation."""
    return plain_steps(prepare, function, tensors, values)


def prepare(op: Op, tensors: Tensors, channels: int) -> Kernel:
    """Bind one operation to its tensors; see `reference.prepare`."""
    match op:
        case Bconv():
            # Outputs last, so that the innermost loop runs over them and is vectorised.
            blocked = np.ascontiguousarray(tensors[op.weight].transpose(1, 2, 3, 0))
            return partial(bconv, weight=blocked, channels=channels)
        case Wconv():
            return partial(qconv, weight=_int_weight(bits.unpack_signs(tensors[op.weight], channels)))
        case Qconv():
            return partial(qconv, weight=_int_weight(tensors[op.weight]))
        case Requantise():
            mul, add = tensors[op.mul].astype(np.int64), tensors[op.add] + (1 << (op.shift - 1))
            return partial(requantise, mul=mul, add=add, shift=op.shift, lo=op.lo, hi=op.hi)
        case Add():
            return partial(add_streams, lo=op.lo, hi=op.hi)
        case Mul():
            return partial(multiply_streams, shift=op.shift, lo=op.lo, hi=op.hi)
        case Sign():
            return partial(sign, threshold=np.ascontiguousarray(tensors[op.threshold]))
        case Table():
            return partial(look_up, table=np.array(tensors[op.table]), offset=op.offset)
        case SpaceToDepth():
            return reference.space_to_depth
        case DepthToSpace():
            return reference.depth_to_space


def bconv(x: Array, weight: Array, channels: int) -> Array:
    """uint64 [N, H, W, Cw] with uint64 [k, k, Cw, Cout] -> int32 [N, H, W, Cout]."""
    kernel = weight.shape[0]
    out = np.empty((*x.shape[:3], weight.shape[3]), np.int32)
    _bconv(_padded(x, kernel), weight, kernel * kernel * channels, out)
    return out


def qconv(x: Array, weight: Array) -> Array:
    """int16 [N, H, W, Cin] with int32 [k, k, Cin, Cout] -> int32 [N, H, W, Cout]."""
    out = np.empty((*x.shape[:3], weight.shape[3]), np.int32)
    _qconv(_padded(x, weight.shape[0]), weight, out)
    return out


def requantise(x: Array, mul: Array, add: Array, shift: int, lo: int, hi: int) -> Array:
    """As `reference.requantise`, with the rounding term in ``add``."""
    out = np.empty(x.shape, np.int16)
    _requantise(x.reshape(-1, x.shape[-1]), mul, add, shift, lo, hi, out.reshape(-1, x.shape[-1]))
    return out


def add_streams(x: Array, y: Array, lo: int, hi: int) -> Array:
    """As `reference.add_streams`."""
    out = np.empty(x.shape, np.int16)
    _add(x.reshape(-1), y.reshape(-1), lo, hi, out.reshape(-1))
    return out


def multiply_streams(x: Array, y: Array, shift: int, lo: int, hi: int) -> Array:
    """As `reference.multiply_streams`."""
    out = np.empty(x.shape, np.int16)
    _multiply(x.reshape(-1), y.reshape(-1), shift, lo, hi, out.reshape(-1))
    return out


def sign(x: Array, threshold: Array) -> Array:
    """As `reference.sign`."""
    out = np.empty((*x.shape[:3], bits.words(x.shape[3])), np.uint64)
    _sign(x.reshape(-1, x.shape[-1]), threshold, out.reshape(-1, out.shape[-1]))
    return out


def look_up(x: Array, table: Array, offset: int) -> Array:
    """As `reference.look_up`."""
    out = np.empty(x.shape, np.int16)
    _look_up(x.reshape(-1), table, offset, out.reshape(-1))
    return out


def _int_weight(weight: Array) -> Array:
    return np.ascontiguousarray(weight.transpose(1, 2, 3, 0), dtype=np.int32)


def _padded(x: Array, kernel: int) -> Array:
    """Frame of zeros (for bits: of +1)."""
    margin = kernel // 2
    return np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))


@njit(cache=True, nogil=True, inline="always")
def _popcount(v: np.uint64) -> np.uint64:
    """Count the bits that are 1. numba has no function for it; LLVM knows this one and takes the CPU's."""
    one, two, four = np.uint64(1), np.uint64(2), np.uint64(4)
    v = v - ((v >> one) & np.uint64(0x5555555555555555))
    v = (v & np.uint64(0x3333333333333333)) + ((v >> two) & np.uint64(0x3333333333333333))
    v = (v + (v >> four)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.uint64((v * np.uint64(0x0101010101010101)) >> np.uint64(56))


@njit(cache=True, nogil=True)
def _bconv(x: Array, weight: Array, size: int, out: Array) -> None:
    kernel, _, depth, outputs = weight.shape
    n, height, width, _ = out.shape
    counts = np.empty(outputs, np.uint64)
    for image in range(n):
        for y in range(height):
            for column in range(width):
                counts[:] = 0
                for dy in range(kernel):
                    for dx in range(kernel):
                        for word in range(depth):
                            value = x[image, y + dy, column + dx, word]
                            for o in range(outputs):
                                counts[o] += _popcount(value ^ weight[dy, dx, word, o])
                for o in range(outputs):
                    out[image, y, column, o] = size - 2 * np.int64(counts[o])


@njit(cache=True, nogil=True)
def _qconv(x: Array, weight: Array, out: Array) -> None:
    kernel, _, channels, outputs = weight.shape
    n, height, width, _ = out.shape
    sums = np.empty(outputs, np.int32)
    for image in range(n):
        for y in range(height):
            for column in range(width):
                sums[:] = 0
                for dy in range(kernel):
                    for dx in range(kernel):
                        for c in range(channels):
                            value = np.int32(x[image, y + dy, column + dx, c])
                            for o in range(outputs):
                                sums[o] += value * weight[dy, dx, c, o]
                for o in range(outputs):
                    out[image, y, column, o] = sums[o]


@njit(cache=True, nogil=True)
def _requantise(x: Array, mul: Array, add: Array, shift: int, lo: int, hi: int, out: Array) -> None:
    rows, channels = x.shape
    for row in range(rows):
        for c in range(channels):
            value = (np.int64(x[row, c]) * mul[c] + add[c]) >> shift
            out[row, c] = min(max(value, lo), hi)


@njit(cache=True, nogil=True)
def _add(x: Array, y: Array, lo: int, hi: int, out: Array) -> None:
    for i in range(x.size):
        out[i] = min(max(np.int64(x[i]) + np.int64(y[i]), lo), hi)


@njit(cache=True, nogil=True)
def _multiply(x: Array, y: Array, shift: int, lo: int, hi: int, out: Array) -> None:
    half = 1 << (shift - 1)
    for i in range(x.size):
        out[i] = min(max((np.int64(x[i]) * np.int64(y[i]) + half) >> shift, lo), hi)


@njit(cache=True, nogil=True)
def _sign(x: Array, threshold: Array, out: Array) -> None:
    rows, channels = x.shape
    out[:] = 0
    for row in range(rows):
        for c in range(channels):
            if np.int32(x[row, c]) + np.int32(threshold[c]) < 0:
                out[row, c >> 6] |= np.uint64(1) << np.uint64(c & 63)


@njit(cache=True, nogil=True)
def _look_up(x: Array, table: Array, offset: int, out: Array) -> None:
    for i in range(x.size):
        out[i] = table[max(0, min(int(x[i]) + offset, table.size - 1))]
