# SPDX-License-Identifier: Apache-2.0
"""Predictions by least squares, whose sums decay along rows and down columns."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .function import function
from .numbers import place_around, references
from .state import Chain, Network, State

PHASES: Final = 4

_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
_HALF: Final = np.float32(0.5)
_UNIT: Final = np.float32(64)


@function
def terms(net: Network, plane: Any, q: int) -> int:
    """Return the number of regressors of a predictor."""
    own = PHASES * net.phased[q] if plane[3] else net.own[q]
    count: int = own + net.earlier[q] * references(plane)
    return count


@function
def set_regressors(net: Network, chain: Chain, p: int, y: int, x: int, q: int, state: State) -> int:
    """Set the regressors of a predictor, and return the middle of the neighbours."""
    plane, samples = chain.planes[p], chain.samples[p]
    d, near = state.d, state.near
    middle: int = (samples[near[0]] + samples[near[1]]) >> 1
    n = 0
    if plane[3]:
        phase = 2 * (y & 1) + (x & 1)
        for f in range(PHASES):
            for i in range(net.phased[q]):
                d[n] = np.float32(samples[near[i]] - middle) if f == phase else _ZERO
                n += 1
    else:
        for i in range(net.own[q]):
            d[n] = np.float32(samples[near[i]] - middle)
            n += 1
    for r in range(2):
        if plane[r] < 0:
            continue
        other = chain.samples[plane[r]]
        left = other[place_around(y, x, 1, chain.height, chain.width)]
        above = other[place_around(y, x, 2, chain.height, chain.width)]
        own = (left + above) >> 1
        for i in range(net.earlier[q]):
            d[n] = np.float32(other[place_around(y, x, i, chain.height, chain.width)] - own)
            n += 1
    return middle


@function
def fit(n: int, ridge: Any, row: Any, column: Any, a: Any, w: Any) -> None:
    """Set the weights w of n regressors from the sums of a row and a column."""
    e = 0
    for i in range(n):
        for j in range(i + 1):
            v = column[e] + row[e]
            a[j, i] = v
            e += 1
    for i in range(n):
        a[i, i] = a[i, i] + ridge
        a[i, n] = column[e] + row[e]
        e += 1
    for k in range(n):
        pivot = a[k, k]
        inverse = _ONE / (ridge if pivot < ridge else pivot)
        w[k] = inverse
        for i in range(k + 1, n):
            factor = a[k, i] * inverse
            for j in range(i, n + 1):
                a[i, j] = a[i, j] - factor * a[k, j]
    for k in range(n - 1, -1, -1):
        v = a[k, n] * w[k]
        w[k] = v
        for i in range(k):
            a[i, n] = a[i, n] - a[i, k] * v


@function
def predicted(n: int, w: Any, d: Any, middle: int, top: int) -> int:
    """Return a prediction in 1/64 level."""
    s0, s1, s2, s3 = _ZERO, _ZERO, _ZERO, _ZERO
    s4, s5, s6, s7 = _ZERO, _ZERO, _ZERO, _ZERO
    for k in range(n):
        v = w[k] * d[k]
        part = k & 7
        if part == 0:
            s0 = s0 + v
        elif part == 1:
            s1 = s1 + v
        elif part == 2:
            s2 = s2 + v
        elif part == 3:
            s3 = s3 + v
        elif part == 4:
            s4 = s4 + v
        elif part == 5:
            s5 = s5 + v
        elif part == 6:
            s6 = s6 + v
        else:
            s7 = s7 + v
    s = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    v = (s + np.float32(middle)) * _UNIT + _HALF
    if not v >= _ZERO:
        return 0
    return min(int(min(v, np.float32(64 * top))), 64 * top)


@function
def remember(n: int, d: Any, target: int, weight: Any, row: Any) -> None:
    """Add the products of a pixel to the sums of its row."""
    e = 0
    for i in range(n):
        scaled = d[i] * weight
        for j in range(i + 1):
            row[e] = row[e] + scaled * d[j]
            e += 1
    scaled = np.float32(target) * weight
    for i in range(n):
        row[e] = row[e] + scaled * d[i]
        e += 1


@function
def end_cell(count: int, along: Any, down: Any, row: Any, column: Any) -> None:
    """End a cell: the sums of the row decay, and go into those of the column, which decay too."""
    for e in range(count):
        f = row[e] - row[e] * along
        row[e] = f
        g = column[e] + f
        column[e] = g - g * down
