# SPDX-License-Identifier: Apache-2.0
"""The features of a sample, the network, and the mixture that its outputs stand for.

`bbcodec.families.local.features` and `bbcodec.families.local.network` have the meaning. Inner loops run over
the outputs of a layer, which are neighbours in memory: LLVM makes vectors of them. Sums stay within 32 bits;
numba computes with 64 unless it is told.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from bbcodec.coding.logistic_tables import MU_LIMIT, inverse_scale_table
from bbcodec.families.local.jit.state import njit
from bbcodec.families.local.model import NEAR
from bbcodec.families.local.tables import EXP_LIMIT, exp_table, log_table, r1_table, r2_table, sigma_table

R1: Final = r1_table()
SIG: Final = sigma_table()
_R2: Final = r2_table()
_LE: Final = log_table()
_EXP: Final = exp_table()
_INVERSE: Final = inverse_scale_table()
_LIMIT: Final = np.int32(32767)  # of the stream, in 1/256


@njit
def clamp(v: Any, low: Any, high: Any) -> Any:
    return min(max(v, low), high)


@njit
def _qlog(v: Any) -> Any:
    b = 6
    while v >> b > 1:
        b += 1
    return 4 * b + ((v >> (b - 2)) & 3)


@njit
def _norm(v: Any, r: Any) -> Any:
    return clamp((v * r + 8192) >> 14, -127, 127)


@njit
def _c8(v: Any) -> Any:
    return clamp(v, -127, 127)


@njit
def features(g: Any, c: int, lane: int, first: bool, p0: int, p1: int, z: int, out: Any) -> Any:
    """Write the 48 features of a sample, and return ``ks``.

    Parameters
    ----------
    g : Group
    c, lane : which sample.
    first : whether it is of pixel (0, 0).
    p0, p1 : predictions.
    z : slow activity.
    out : int32 [48]
    """
    own, samples, errors = g.own[lane], g.samples[c], g.errors[c]
    pixel = g.lanes[lane, 3]
    p = (p0 + p1) >> 1
    near = 2 * abs(errors[own[0]]) + 2 * abs(errors[own[1]])
    for i in range(2, 6):
        near += abs(errors[own[i]])
    contrast = 0
    for i in range(10):
        contrast += abs(64 * samples[own[i]] - p)
    ks, kt = _qlog(64 + near), _qlog(64 + contrast)
    r1, r2 = R1[ks], _R2[kt]
    for i in range(16):
        out[i] = _norm(64 * samples[own[i]] - p, r2)
    for i in range(6):
        out[16 + i] = _norm(errors[own[i]], r1)
    out[22] = _norm(p0 - p1, r1)
    out[23] = _c8(3 * (ks - 48))
    out[24] = _c8(3 * (kt - 48))
    out[25] = _c8(3 * (_qlog(z) - 40))
    out[26] = _c8((p >> 7) - 64)
    for k in range(c):
        part = out[27 + 10 * k : 37 + 10 * k]
        error, sample = g.errors[k, pixel], g.samples[k, pixel]
        part[0] = _norm(error, r1)
        part[3] = _c8(3 * (_qlog(64 + 8 * abs(error)) - ks))
        for i in range(2):
            part[1 + i] = 0 if first else _norm(g.errors[k, own[i]], r1)
        for i in range(6):
            part[4 + i] = 0 if first else _norm(64 * (g.samples[k, own[i]] - sample), r2)
    out[27 + 10 * c :] = 0
    return ks


@njit
def network(m: Any, g: Any, c: int, lane: int) -> None:
    """Fill in the inputs of the last layer, whose features are known."""
    b, y, x = g.lanes[lane, 0], g.lanes[lane, 1], g.lanes[lane, 2]
    stream, inputs = g.stream, g.inputs
    hidden = len(stream)
    _multiply(inputs[hidden:-1], m.first_w[c], g.sums)
    scale, bias = m.first_m[c], m.first_b[c]
    for h in range(hidden):
        stream[h] = np.int32(g.sums[h] * scale[h] + bias[h]) >> 14
    if g.has_side:
        right = g.blocks[b, 1] - 1 - x
        side, top = g.side[b], m.positions[0, min(y, NEAR - 1)]
        left, right = m.positions[1, min(x, NEAR - 1)], m.positions[2, min(right, NEAR - 1)]
        for h in range(hidden):
            stream[h] += side[h] + top[h] + left[h] + right[h]
    total = _activate(stream, g.active)
    for layer in range(len(m.negative)):
        _multiply(g.active, m.negative[layer], g.negative)
        scale, bias = m.hidden_m[layer], m.hidden_b[layer]
        for h in range(hidden):
            z = np.int32(total - 2 * np.int32(g.negative[h]))
            stream[h] += np.int32(z * scale[h] + bias[h]) >> 12
        total = _activate(stream, g.active)
    for h in range(hidden):
        inputs[h] = g.active[h]


@njit
def _multiply(x: Any, w: Any, sums: Any) -> None:
    """Sum the products of inputs and weights [inputs, H]; most activations are 0."""
    sums[:] = 0
    for i in range(len(x)):
        if x[i] != 0:
            for h in range(len(sums)):
                sums[h] += x[i] * w[i, h]


@njit
def _activate(stream: Any, active: Any) -> Any:
    """Clamp the stream, set ``A(s)``, and return its sum."""
    total = np.int32(0)
    for h in range(len(stream)):
        v = clamp(stream[h], -_LIMIT, _LIMIT)
        a = np.uint16(clamp((v + 8) >> 4, 0, 255))
        stream[h] = v
        active[h] = a
        total = np.int32(total + a)
    return total


@njit
def mix(g: Any, c: int, p: int, ks: int) -> None:
    """From the last layer's inputs to the mixture."""
    outputs, inputs = g.outputs, g.inputs
    weight, mu, inverse = g.mixture
    j = len(mu)
    for k in range(3 * j):
        w = g.used_w[c, k]
        z = np.int32(512)
        for i in range(len(inputs)):
            z = np.int32(z + inputs[i] * w[i])
        outputs[k] = z >> 10
    highest = outputs[2 * j]
    for i in range(1, j):
        highest = max(highest, outputs[2 * j + i])
    total = 0
    for i in range(j):
        mean = p + ((clamp(outputs[i], -4096, 4096) * SIG[ks] + 1024) >> 11)
        mu[i] = clamp(mean, -MU_LIMIT, MU_LIMIT)
        e = (_LE[ks] + ((clamp(outputs[j + i], -8192, 8192) * 185 + 128) >> 8) + 8) >> 4
        inverse[i] = _INVERSE[clamp(e, 0, 79)]
        weight[i] = _EXP[min(highest - outputs[2 * j + i], EXP_LIMIT)]
        total += weight[i]
    weight[0] = 1 << 16
    for i in range(1, j):
        weight[i] = (weight[i] << 16) // total
        weight[0] -= weight[i]
