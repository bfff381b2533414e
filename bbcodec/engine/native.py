# SPDX-License-Identifier: Apache-2.0
"""The C++ backend: binds operations to kernels of `bbcodec._native`, and merges what belongs together.

A convolution whose accumulators are read by one `Requantise` alone becomes one step, so that accumulators
never leave the cache; where that stream in turn is read by one `Sign` alone, all three become one step in
which requantisation is a single comparison per channel.  No arithmetic on pixels happens here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bbcodec import _native
from bbcodec.engine import bits
from bbcodec.engine.bounds import Value
from bbcodec.engine.graph import (
    INT16_MAX,
    INT16_MIN,
    Add,
    Bconv,
    Conv,
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
    reads,
)
from bbcodec.engine.program import Kernel, Step

name = "native"

Array: TypeAlias = NDArray[Any]
_INT32_MIN, _INT32_MAX = -(1 << 31), (1 << 31) - 1


def steps(function: Function, tensors: Tensors, values: Mapping[str, Value]) -> list[Step]:
    """Steps of a function; Conv, Requantise and Sign become one where nobody else reads in between."""
    readers: dict[str, Op] = {read: op for op in function.ops for read in reads(op)}
    count = Counter(read for op in function.ops for read in reads(op))
    count.update(function.outputs)

    def only_reader(value: str) -> Op | None:
        return readers.get(value) if count[value] == 1 else None

    plan: list[Step] = []
    merged: set[str] = set()
    # A tensor that many operations use is bound once.
    convs: dict[tuple[str, str, int, int, int], _native.BitConv | _native.IntConv] = {}
    for op in function.ops:
        if op.out in merged:
            continue
        if not isinstance(op, Bconv | Wconv | Qconv):
            plan.append(Step(reads(op), op.out, prepare(op, tensors, values[op.x].channels)))
            continue
        x = values[op.x]
        lo, hi = int(x.lo.min()), int(x.hi.max())
        key = (op.tag, op.weight, x.channels, lo, hi)
        if key not in convs:
            convs[key] = _conv(op, tensors, x.channels, lo, hi)
        conv = convs[key]
        outputs = values[op.out].channels
        scale = only_reader(op.out)
        if not isinstance(scale, Requantise):
            plan.append(Step((op.x,), op.out, _acc_kernel(conv, outputs)))
            continue
        merged.add(scale.out)
        sign = only_reader(scale.out)
        if isinstance(sign, Sign):
            merged.add(sign.out)
            plan.append(
                Step((op.x,), sign.out, _sign_kernel(conv, _threshold(scale, sign, tensors), outputs))
            )
        else:
            plan.append(Step((op.x,), scale.out, _scale_kernel(conv, _scale(scale, tensors), outputs)))
    return plan


def prepare(op: Op, tensors: Tensors, channels: int) -> Kernel:
    """Bind one operation that reads ``channels`` channels, without merging."""
    match op:
        case Bconv() | Wconv() | Qconv():
            return _acc_kernel(_conv(op, tensors, channels), tensors[op.weight].shape[0])
        case Requantise():
            scale = _scale(op, tensors)

            def requantise(x: Array) -> Array:
                out = np.empty(x.shape, np.int16)
                scale.run(x, out)
                return out

            return requantise
        case Add():
            lo, hi = op.lo, op.hi

            def add(x: Array, y: Array) -> Array:
                out = np.empty(x.shape, np.int16)
                _native.add(x, y, lo, hi, out)
                return out

            return add
        case Mul():
            return _mul_kernel(op)
        case Sign():
            threshold = np.ascontiguousarray(tensors[op.threshold])

            def sign(x: Array) -> Array:
                out = np.empty((*x.shape[:3], bits.words(x.shape[3])), np.uint64)
                _native.sign(x, threshold, out)
                return out

            return sign
        case Table():
            table, offset = np.ascontiguousarray(tensors[op.table]), op.offset

            def look_up(x: Array) -> Array:
                out = np.empty(x.shape, np.int16)
                _native.look_up(x, table, offset, out)
                return out

            return look_up
        case SpaceToDepth():
            return _space_to_depth
        case DepthToSpace():
            return _depth_to_space


def _conv(
    op: Conv, tensors: Tensors, channels: int, lo: int = INT16_MIN, hi: int = INT16_MAX
) -> _native.BitConv | _native.IntConv:
    """Convolution of inputs proven to lie in ``lo`` to ``hi``; where bytes hold these it works on bytes."""
    weight = np.ascontiguousarray(tensors[op.weight])
    match op:
        case Bconv():
            return _native.BitConv(weight, channels)
        case Wconv():
            return _native.IntConv(bits.unpack_signs(weight, channels), lo, hi)
        case Qconv():
            return _native.IntConv(weight, lo, hi)


def _scale(op: Requantise, tensors: Tensors) -> _native.Scale:
    mul, add = np.ascontiguousarray(tensors[op.mul]), np.ascontiguousarray(tensors[op.add])
    return _native.Scale(mul, add, op.shift, op.lo, op.hi)


def _threshold(op: Requantise, sign: Sign, tensors: Tensors) -> _native.Threshold:
    """Solve ``clamp((acc * mul + add + half) >> shift, lo, hi) + t < 0`` for acc: ``(acc < limit) xor flip``.

    Where the clamp lets it vary, that is ``acc * mul < (-t << shift) - (add + half)``.
    """
    mul, bound = tensors[op.mul].astype(np.int64), -tensors[sign.threshold].astype(np.int64)
    total = tensors[op.add] + (1 << (op.shift - 1)) - (bound << op.shift)
    divisor = np.where(mul == 0, 1, np.abs(mul))
    # mul > 0: acc < ceil(-total / mul).  mul < 0: acc > floor(total / -mul), which is not (acc < that + 1).
    limit = np.where(mul > 0, -(total // divisor), total // divisor + 1)
    flip = mul < 0
    constant = (mul == 0) | (op.lo >= bound) | (op.hi < bound)
    # Accumulators lie strictly between the ends of int32: "always" is a flipped "never".
    always = ~constant & (limit > _INT32_MAX)
    never = constant | always | (limit < _INT32_MIN)
    negative = (total < 0) & (op.lo < bound) | (op.hi < bound)
    flip = np.where(constant, negative, flip ^ always)
    limit = np.where(never, _INT32_MIN, limit)
    return _native.Threshold(limit.astype(np.int32), flip.astype(np.uint8))


def _acc_kernel(conv: _native.BitConv | _native.IntConv, outputs: int) -> Kernel:
    def run(x: Array) -> Array:
        out = np.empty((*x.shape[:3], outputs), np.int32)
        conv.acc(x, out)
        return out

    return run


def _scale_kernel(conv: _native.BitConv | _native.IntConv, scale: _native.Scale, outputs: int) -> Kernel:
    def run(x: Array) -> Array:
        out = np.empty((*x.shape[:3], outputs), np.int16)
        conv.scale(x, scale, out)
        return out

    return run


def _sign_kernel(
    conv: _native.BitConv | _native.IntConv, threshold: _native.Threshold, outputs: int
) -> Kernel:
    depth = bits.words(outputs)

    def run(x: Array) -> Array:
        out = np.empty((*x.shape[:3], depth), np.uint64)
        conv.sign(x, threshold, out)
        return out

    return run


def _mul_kernel(op: Mul) -> Kernel:
    shift, lo, hi = op.shift, op.lo, op.hi

    def run(x: Array, y: Array) -> Array:
        out = np.empty(x.shape, np.int16)
        _native.mul(x, y, shift, lo, hi, out)
        return out

    return run


def _space_to_depth(x: Array) -> Array:
    n, height, width, channels = x.shape
    out = np.empty((n, height // 2, width // 2, 4 * channels), np.int16)
    _native.space_to_depth(x, out)
    return out


def _depth_to_space(x: Array) -> Array:
    n, height, width, channels = x.shape
    out = np.empty((n, 2 * height, 2 * width, channels // 4), np.int16)
    _native.depth_to_space(x, out)
    return out
