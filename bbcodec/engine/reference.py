# SPDX-License-Identifier: Apache-2.0
"""The reference backend: every operation in NumPy. All other backends must equal it bit for bit.

It is written for clarity, not for speed. A convolution is a sum of one matrix product per kernel tap. The
products run in float64 BLAS. All terms are integers, and `bounds.check_graph` has proven that the sum of
their magnitudes stays below 2^31, far below 2^53. Every partial sum is therefore exact in any order.
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
# Per matrix product, so that the float64 copies of a large map stay within a few tens of megabytes.
_PIXELS_PER_PRODUCT = 1 << 15


def steps(function: Function, tensors: Tensors, values: Mapping[str, Value]) -> list[Step]:
    """Return one step per operation of a function."""
    return plain_steps(prepare, function, tensors, values)


def prepare(op: Op, tensors: Tensors, channels: int) -> Kernel:
    """Bind an operation to its tensors.

    Parameters
    ----------
    op : operation of the graph
    tensors : tensors of the graph
    channels : channels of the (first) value that the operation reads

    Returns
    -------
    Function that computes the output array from the input arrays.
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
    """Convolve uint64 [N, H, W, Cw] with uint64 [Cout, k, k, Cw] to int32 [N, H, W, Cout]; padding is +1."""
    signs = bits.unpack_signs(x, channels)
    return _conv(signs, bits.unpack_signs(weight, channels), padding=1)


def qconv(x: Array, weight: Array) -> Array:
    """Convolve int16 [N, H, W, Cin] with int8 [Cout, k, k, Cin] to int32 [N, H, W, Cout]; padding is 0."""
    return _conv(x, weight, padding=0)


def requantise(x: Array, mul: Array, add: Array, shift: int, lo: int, hi: int) -> Array:
    """Scale int32 to int16: multiply, add, round half up by an arithmetic shift, clamp. Work in 64 bits."""
    wide = x.astype(np.int64) * mul.astype(np.int64) + (add + (1 << (shift - 1)))
    return np.asarray(np.clip(wide >> shift, lo, hi), np.int16)


def add_streams(x: Array, y: Array, lo: int, hi: int) -> Array:
    """Add int16 and int16 to int16, clamped to [lo, hi]."""
    return np.clip(x.astype(np.int32) + y, lo, hi).astype(np.int16)


def multiply_streams(x: Array, y: Array, shift: int, lo: int, hi: int) -> Array:
    """Multiply int16 by int16 to int16: round half up by an arithmetic shift, clamp. Work in 32 bits."""
    product = x.astype(np.int32) * y.astype(np.int32) + np.int32(1 << (shift - 1))
    return np.asarray(np.clip(product >> shift, lo, hi), np.int16)


def sign(x: Array, threshold: Array) -> Array:
    """Pack the signs of int16 [..., C] plus int16 [C] into uint64 [..., ceil(C / 64)]."""
    return bits.pack(x.astype(np.int32) + threshold < 0)


def look_up(x: Array, table: Array, offset: int) -> Array:
    """Map int16 to int16 by a table; the index is clamped to the table."""
    return np.asarray(table[np.clip(x.astype(np.int64) + offset, 0, len(table) - 1)])


def space_to_depth(x: Array) -> Array:
    """Rearrange int16 [N, 2H, 2W, C] to [N, H, W, 4C]."""
    n, height, width, c = x.shape
    split = x.reshape(n, height // 2, 2, width // 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(split).reshape(n, height // 2, width // 2, 4 * c)


def depth_to_space(x: Array) -> Array:
    """Rearrange int16 [N, H, W, 4C] to [N, 2H, 2W, C]."""
    n, height, width, c = x.shape
    split = x.reshape(n, height, width, 2, 2, c // 4).transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(split).reshape(n, 2 * height, 2 * width, c // 4)


def _conv(x: Array, weight: Array, padding: int) -> Array:
    """Convolve numbers [N, H, W, Cin] with numbers [Cout, k, k, Cin] to int32 [N, H, W, Cout]."""
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
