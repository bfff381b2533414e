# SPDX-License-Identifier: Apache-2.0
"""From what is around a sample to a mixture of logistics: features, network, last layer."""

from __future__ import annotations

from typing import Any, Final

from bbcodec.coding.logistic_tables import MU_LIMIT
from bbcodec.families.deep.tables import FINEST, inverse_scale_table
from bbcodec.families.local.tables import EXP_LIMIT, exp_table, log_table, r1_table, r2_table, sigma_table

from .function import function
from .numbers import c8, clamp, excess, norm, place_around, qlog
from .state import Chain, Network, State

FEATURES: Final = 48

SIG: Final = sigma_table()
_R1: Final = r1_table()
_R2: Final = r2_table()
_LE: Final = log_table()
_EXP: Final = exp_table()
_INVERSE: Final = inverse_scale_table()


@function
def set_features(chain: Chain, p: int, y: int, x: int, state: State, f: Any) -> int:
    """Write the 48 features of a sample, and return ``ks``."""
    plane, samples, errors = chain.planes[p], chain.samples[p], chain.errors[p]
    near, top = state.near, plane[4]
    p0, p1, z = state.guess
    mean = (p0 + p1) >> 1
    miss = 64 + 2 * abs(errors[near[0]]) + 2 * abs(errors[near[1]])
    for i in range(2, 6):
        miss += abs(errors[near[i]])
    texture = 64
    for i in range(10):
        texture += abs(64 * samples[near[i]] - mean)
    ks, kt = qlog(miss), qlog(texture)
    s1, s2 = excess(ks), excess(kt)
    r1, r2 = _R1[ks - 4 * s1], _R2[kt - 4 * s2]
    for i in range(16):
        f[i] = norm(64 * samples[near[i]] - mean, s2, r2)
    for i in range(6):
        f[16 + i] = norm(errors[near[i]], s1, r1)
    f[22] = norm(p0 - p1, s1, r1)
    f[23] = c8(3 * (ks - 48))
    f[24] = c8(3 * (kt - 48))
    f[25] = c8(3 * (qlog(z) - 40))
    bits = 0
    while top >> bits > 0:
        bits += 1
    f[26] = c8(((2 * mean) >> bits) - 64)
    n = 27
    for r in range(2):
        if plane[r] < 0:
            continue
        other, wrong = chain.samples[plane[r]], chain.errors[plane[r]]
        here = y * chain.width + x
        f[n] = norm(wrong[here], s1, r1)
        for i in range(1, 3):
            f[n + i] = norm(wrong[place_around(y, x, i, chain.height, chain.width)], s1, r1)
        f[n + 3] = c8(3 * (qlog(64 + 8 * abs(wrong[here])) - ks))
        for i in range(6):
            sample = other[place_around(y, x, 1 + i, chain.height, chain.width)]
            f[n + 4 + i] = norm(64 * (sample - other[here]), s2, r2)
        n += 10
    f[n:FEATURES] = 0
    return ks


@function
def run_network(net: Network, kind: int, state: State, f: Any, inputs: Any) -> None:
    """Set the inputs of the last layer but the bias: activations, then the features."""
    stream, active = state.stream, state.active
    hidden = len(stream)
    stream[:] = 0
    for i in range(FEATURES):
        if f[i] != 0:
            for h in range(hidden):
                stream[h] += net.first_w[kind, i, h] * f[i]
    for h in range(hidden):
        v = (stream[h] * net.first_m[kind, h] + net.first_b[kind, h] + 8192) >> 14
        stream[h] = clamp(v, -32767, 32767)
    for layer in range(len(net.signs)):
        for h in range(hidden):
            active[h] = clamp((stream[h] + 8) >> 4, 0, 255)
        for o in range(hidden):
            total = 0
            for h in range(hidden):
                total += net.signs[layer, o, h] * active[h]
            v = stream[o] + ((total * net.hidden_m[layer, o] + net.hidden_b[layer, o] + 2048) >> 12)
            stream[o] = clamp(v, -32767, 32767)
    for h in range(hidden):
        inputs[h] = clamp((stream[h] + 8) >> 4, 0, 255)
    for i in range(FEATURES):
        inputs[hidden + i] = f[i]


@function
def set_mixture(used: Any, inputs: Any, mean: int, spread: int, state: State, mixture: Any) -> None:
    """Set the mixture around a mean in the window."""
    out = state.out
    n = len(inputs) - 1
    for k in range(len(out)):
        total = used[k, n] + 512
        for i in range(n):
            total += used[k, i] * inputs[i]
        out[k] = total >> 10
    components = len(out) // 3
    best = out[2 * components]
    for j in range(1, components):
        best = max(best, out[2 * components + j])
    total = 0
    for j in range(components):
        v = _EXP[min(best - out[2 * components + j], EXP_LIMIT)]
        mixture[0, j] = v
        total += v
    rest = 1 << 16
    for j in range(1, components):
        v = (mixture[0, j] << 16) // total
        mixture[0, j] = v
        rest -= v
    mixture[0, 0] = rest
    for j in range(components):
        offset = (clamp(out[j], -4096, 4096) * SIG[spread] + 1024) >> 11
        mixture[1, j] = clamp(mean + offset, -MU_LIMIT, MU_LIMIT)
        size = _LE[spread] + ((clamp(out[components + j], -8192, 8192) * 185 + 128) >> 8)
        mixture[2, j] = _INVERSE[clamp((size + 8) >> 4, FINEST, 79) - FINEST]
