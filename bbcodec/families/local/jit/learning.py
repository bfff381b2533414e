# SPDX-License-Identifier: Apache-2.0
"""Learning while coding: sums of gradients, Adam on the last layer, one rounded operation after another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from bbcodec.families.local.jit.layout import BIAS, WIDTH
from bbcodec.families.local.jit.vectors import (
    exact_sum,
    floats,
    floor_floats,
    load,
    root,
    select,
    store,
    to_floats,
    to_ints,
    transpose,
)
from bbcodec.families.local.model import FEATURES


@njit
def sum_gradients(m: Any, g: Any, s: Any, c: int, k: int) -> None:
    n, outputs = m.hidden + FEATURES, 3 * m.components
    for i in range(0, n, WIDTH):
        transpose(g.inputs, (k * n + i) * WIDTH, s.learned, i, n)
    y = s.slopes
    for o in range(0, outputs, 3):
        at, bias = o * WIDTH, c * BIAS + o
        flat = g.bias_gradient
        for lane in range(WIDTH):
            flat[bias] += int(y[at + lane])
            flat[bias + 1] += int(y[at + WIDTH + lane])
            flat[bias + 2] += int(y[at + 2 * WIDTH + lane])
        for i in range(0, n, WIDTH):
            # Sixteen products of 255 * 4095 are below 2^24.
            a0, a1, a2 = floats(0), floats(0), floats(0)
            for lane in range(WIDTH):
                x = load(s.learned, lane * n + i)
                a0 = exact_sum(x, y[at + lane], a0)
                a1 = exact_sum(x, y[at + WIDTH + lane], a1)
                a2 = exact_sum(x, y[at + 2 * WIDTH + lane], a2)
            to = (c * outputs + o) * n + i
            store(g.gradient, to, load(g.gradient, to) + to_ints(a0))
            store(g.gradient, to + n, load(g.gradient, to + n) + to_ints(a1))
            store(g.gradient, to + 2 * n, load(g.gradient, to + 2 * n) + to_ints(a2))


@njit
def _step(
    size: int,
    w: Any,
    first: Any,
    second: Any,
    gradient: Any,
    used: Any,
    rate: Any,
    c1: Any,
    c2: Any,
    units: Any,
) -> None:
    """Adam for all weights, or all biases; their sizes are multiples of sixteen."""
    unit, scale, limit = units[0], units[1], units[2]
    for i in range(0, size, WIDTH):
        y = to_floats(load(gradient, i)) * unit
        m, v = load(first, i), load(second, i)
        m = m + (y - m) * 0.125
        v = v + (y * y - v) * 0.0078125
        store(first, i, m)
        store(second, i, v)
        store(gradient, i, 0)
        new = load(w, i) - rate * ((m * c1) / (root(v * c2) + 1.0 / (1 << 20)))
        store(w, i, new)
        store(used, i, _in_use(new, scale, limit))


@njit
def _weights(m: Any, g: Any) -> Any:
    return g.channels * 3 * m.components * (m.hidden + FEATURES)


@njit
def _in_use(w: Any, scale: Any, limit: Any) -> Any:
    v = floor_floats(w * scale + 0.5)
    v = select(v < -limit, -limit, v)
    return to_ints(select(v > limit, limit, v))


@njit
def round_all(m: Any, g: Any) -> None:
    for i in range(0, _weights(m, g), WIDTH):
        store(g.used_w, i, _in_use(load(g.w, i), np.float32(16384), np.float32(32767)))
    for i in range(0, g.channels * BIAS, WIDTH):
        store(g.used_bias, i, _in_use(load(g.bias, i), np.float32(262144), np.float32(268435456)))


@njit
def learn(m: Any, g: Any) -> None:
    """The last layers' step, of all channels: they have stepped as often as each other."""
    one = np.float32(1)
    b1, b2 = g.decays[0] * np.float32(0.875), g.decays[1] * np.float32(0.9921875)
    g.decays[0], g.decays[1] = b1, b2
    c1, c2 = one / (one - b1), one / (one - b2)
    units = (np.float32(1 / 16384), np.float32(16384), np.float32(32767))
    _step(_weights(m, g), g.w, g.w_m, g.w_v, g.gradient, g.used_w, m.rate, c1, c2, units)
    units = (np.float32(1 / 1024), np.float32(262144), np.float32(268435456))
    _step(g.channels * BIAS, g.bias, g.bias_m, g.bias_v, g.bias_gradient, g.used_bias, m.rate, c1, c2, units)
