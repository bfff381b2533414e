# SPDX-License-Identifier: Apache-2.0
"""The meaning of every operation, in NumPy.  All other backends must equal this one bit for bit.

Written to be read and trusted, not to be fast.  Convolutions are sums over kernel taps of one matrix product
each.  The products run in float64 BLAS: all terms are integers and `bounds.check_graph` has proven that the
sum of their magnitudes stays below 2^31 (hence far below 2^53), so every partial sum is exact in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.engine import bits
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

name = "numpy"

Array = NDArray[Any]
# Sizes per matrix product, so that the float64 copies of a large map stay within a few tens of megabytes.
_PIXELS_PER_PRODUCT = 1 << 15


def steps(function: Function, tensors: Tensors, values: Mapping[str, Value]) -> list[Step]:
    """One step per operation."""
    return plain_steps(prepare, function, tensors, values)


def prepare(op: Op, tensors: Tensors, channels: int) -> Kernel:
    """Bind an operation to its tensors.

    Parameters
    ----------
    op : operation of the graph
    tensors : the graph's tensors
    channels : channels of the (first) value that is read

    Returns
    -------
    Function from the arrays that are read to the array that is defined.
    """
    match op:
        case Bconv():
            return partial(bconv, weight=tensors[op.weight], channels=channels)
        case Wconv():
            signs = bits.unpack_signs(tensors[op.weight], channels)
            return partial(qconv, weight=signs)
        case Qconv():
            return partial(qconv, weight=tensors[op.weight])
        case Requantise():
            mul, add = tensors[op.mul], tensors[op.add]
            return partial(requantise, mul=mul, add=add, shift=op.shift, lo=op.lo, hi=op.hi)
        case Add():
            return partial(add_streams, lo=op.lo, hi=op.hi)
        case Mul():
            return partial(multiply_streams, shift=op.shift, lo=op.lo, hi=op.hi)
        case Sign():
            return partial(sign, threshold=tensors[op.threshold])
        case Table():
            return partial(look_up, table=tensors[op.table], offset=op.offset)
        case SpaceToDepth():
            return space_to_depth
        case DepthToSpace():
            return depth_to_space


def bconv(x: Array, weight: Array, channels: int) -> Array:
    """uint64 [N, H, W, Cw] with uint64 [Cout, k, k, Cw] -> int32 [N, H, W, Cout]; padding is +1."""
    signs = bits.unpack_signs(x, channels)
    return _conv(signs, bits.unpack_signs(weight, channels), padding=1)


def qconv(x: Array, weight: Array) -> Array:
    """int16 [N, H, W, Cin] with int8 [Cout, k, k, Cin] -> int32 [N, H, W, Cout]; padding is 0."""
    return _conv(x, weight, padding=0)


def requantise(x: Array, mul: Array, add: Array, shift: int, lo: int, hi: int) -> Array:
    """int32 -> int16: multiply, add, round half up by an arithmetic shift, clamp; 64-bit integers inside."""
    wide = x.astype(np.int64) * mul.astype(np.int64) + (add + (1 << (shift - 1)))
    return np.asarray(np.clip(wide >> shift, lo, hi), np.int16)


def add_streams(x: Array, y: Array, lo: int, hi: int) -> Array:
    """int16 + int16 -> int16, clamped to [lo, hi]."""
    return np.clip(x.astype(np.int32) + y, lo, hi).astype(np.int16)


def multiply_streams(x: Array, y: Array, shift: int, lo: int, hi: int) -> Array:
    """int16 * int16 -> int16: round half up by an arithmetic shift, clamp; 32-bit integers inside."""
    product = x.astype(np.int32) * y.astype(np.int32) + np.int32(1 << (shift - 1))
    return np.asarray(np.clip(product >> shift, lo, hi), np.int16)


def sign(x: Array, threshold: Array) -> Array:
    """int16 [..., C] with int16 [C] -> uint64 [..., ceil(C / 64)]."""
    return bits.pack(x.astype(np.int32) + threshold < 0)


def look_up(x: Array, table: Array, offset: int) -> Array:
    """int16 -> int16 through a table; the index is clamped to the table."""
    return np.asarray(table[np.clip(x.astype(np.int64) + offset, 0, len(table) - 1)])


def space_to_depth(x: Array) -> Array:
    """int16 [N, 2H, 2W, C] -> [N, H, W, 4C]."""
    n, height, width, c = x.shape
    split = x.reshape(n, height // 2, 2, width // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(split).reshape(n, height // 2, width // 2, 4 * c)


def depth_to_space(x: Array) -> Array:
    """int16 [N, H, W, 4C] -> [N, 2H, 2W, C]."""
    n, height, width, c = x.shape
    split = x.reshape(n, height, width, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(split).reshape(n, 2 * height, 2 * width, c // 4)


def _conv(x: Array, weight: Array, padding: int) -> Array:
    outputs, kernel = weight.shape[:2]
    n, height, width, channels = x.shape
    margin = kernel // 2
    pads = ((0, 0), (margin, margin), (margin, margin), (0, 0))
    padded = np.pad(x, pads, constant_values=padding)
    taps = weight.astype(np.float64).transpose(1, 2, 3, 0)
    acc = np.empty((n, height, width, outputs), np.int32)
    rows = max(1, _PIXELS_PER_PRODUCT // width)
    for image in range(n):
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            total = np.zeros(((bottom - top) * width, outputs))
            for dy in range(kernel):
                for dx in range(kernel):
                    view = padded[image, top + dy : bottom + dy, dx : dx + width]
                    total += view.reshape(-1, channels).astype(np.float64) @ taps[dy, dx]
            acc[image, top:bottom] = total.reshape(bottom - top, width, outputs)
    return acc
