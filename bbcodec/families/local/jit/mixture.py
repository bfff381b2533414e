# SPDX-License-Identifier: Apache-2.0
"""The mixture of a sample: intervals of symbols, the symbol to pop, and gradients.

`bbcodec.coding.logistic_tables` and `bbcodec.families.local.learning` have the meaning.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from bbcodec.coding.logistic_tables import PRECISION, sigmoid_table
from bbcodec.families.local.jit.network import SIG, clamp
from bbcodec.families.local.jit.state import njit

_SIGMOID: Final = sigmoid_table()
_SYMBOLS: Final = 256
_TOTAL: Final = 1 << PRECISION
_HALF_RANGE: Final = 1 << 19  # of A
_ONE: Final = 1 << 30  # of C
_MASK: Final = np.uint64(_TOTAL - 1)
_SHIFT: Final = np.uint64(PRECISION)
_WORD: Final = np.uint64(32)
_LOWER: Final = np.uint64(1 << 31)


@njit
def _boundary(k: int, mu: int, inverse: int) -> Any:
    """``A`` and ``C`` at the boundary below symbol k."""
    a = clamp(((64 * k - 32 - mu) * inverse) >> 10, -_HALF_RANGE, _HALF_RANGE)
    u = a + _HALF_RANGE
    i = min(u >> 10, len(_SIGMOID) - 2)
    low = _SIGMOID[i]
    return a, low + (((_SIGMOID[i + 1] - low) * (u - (i << 10))) >> 10)


@njit
def cdf(mixture: Any, k: Any) -> Any:
    """The cdf of 2^20 below symbol k."""
    if k <= 0:
        return 0
    if k >= _SYMBOLS:
        return _TOTAL
    total = 0
    for i in range(mixture.shape[1]):
        _, c = _boundary(k, mixture[1, i], mixture[2, i])
        total += mixture[0, i] * c
    return (((total >> 16) * (_TOTAL - _SYMBOLS)) >> 30) + k


@njit
def pop(mixture: Any, head: Any, lane: int, words: Any, taken: int) -> Any:
    """Pop a symbol; return it and how many words are taken by then, -1 if there are too few."""
    h = head[lane]
    cf = np.int64(h & _MASK)
    mean = 0
    for i in range(mixture.shape[1]):
        mean += mixture[0, i] * mixture[1, i]
    k, end, start, stop, step = 0, _SYMBOLS, 0, _TOTAL, 2
    middle = clamp(mean >> 22, 1, _SYMBOLS - 1)
    while end - k > 1:  # gallop from the mean, then halve
        c = cdf(mixture, middle)
        if c <= cf:
            k, start = middle, c
            middle = min(k + step, (k + end) >> 1)
        else:
            end, stop = middle, c
            middle = max(end - step, (k + end) >> 1)
        step *= 2
    h = np.uint64(stop - start) * (h >> _SHIFT) + np.uint64(cf - start)
    if h < _LOWER:
        if taken == len(words):
            return k, -1
        h = (h << _WORD) | np.uint64(words[taken])
        taken += 1
    head[lane] = h
    return k, taken


@njit
def add_gradients(g: Any, c: int, ks: int, k: int) -> None:
    """Add the gradient of a sample's likelihood to the sums of the last layer's step."""
    weight, mu, inverse = g.mixture
    q, mass, d, ad = g.slopes
    components = len(mu)
    z = 0.0
    for i in range(components):
        a_l, c_l = _boundary(k, mu[i], inverse[i])
        a_u, c_u = _boundary(k + 1, mu[i], inverse[i])
        if k == 0:
            c_l = 0
        if k == _SYMBOLS - 1:
            c_u = _ONE
        s_l, s_u = c_l * 2.0**-30, c_u * 2.0**-30
        d_l, d_u = s_l * (1.0 - s_l), s_u * (1.0 - s_u)
        q[i] = weight[i] * 2.0**-16
        mass[i] = s_u - s_l
        d[i] = d_u - d_l
        ad[i] = (a_u * 2.0**-15) * d_u - (a_l * 2.0**-15) * d_l
        z += q[i] * mass[i]
    z += 2.0**-20
    for i in range(components):
        f = q[i] / z
        unit = (SIG[ks] * inverse[i]) * 2.0**-28
        _add(g.gradient[c, i], (d[i] * f) * unit, g.inputs)
        _add(g.gradient[c, components + i], ad[i] * f, g.inputs)
        _add(g.gradient[c, 2 * components + i], q[i] - f * mass[i], g.inputs)


@njit
def _add(sums: Any, slope: float, inputs: Any) -> None:
    y = np.int32(clamp(np.floor(slope * 1024.0 + 0.5), -4095.0, 4095.0))
    if y != 0:
        for i in range(len(sums)):
            sums[i] += y * inputs[i]
