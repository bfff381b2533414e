# SPDX-License-Identifier: Apache-2.0
"""From the pixels around a chunk's lanes to features, and through the network to what the last layer says."""

from __future__ import annotations

from typing import Any

from numba import njit

from bbcodec.families.local.jit.arithmetic import clamp, magnitude, normed, qlog
from bbcodec.families.local.jit.fits import fit, predicted
from bbcodec.families.local.jit.layout import BIAS, NEARBY, POSITIONS, ROWS, TIMES, WIDTH
from bbcodec.families.local.jit.mixtures import make_mixtures
from bbcodec.families.local.jit.vectors import (
    exact_sum,
    floats,
    from_unsigned,
    gather,
    ints,
    load,
    select,
    shorts,
    store,
    to_floats,
    to_ints,
    to_shorts,
)
from bbcodec.families.local.model import FEATURES, PREDICTORS


@njit
def predict(m: Any, g: Any, s: Any, c: int, k: int, time: int) -> None:
    """Regressors, predictions and features of a chunk's lanes."""
    lane = k * WIDTH
    near = k * NEARBY * WIDTH
    ring = TIMES * (g.chunks + 1) * WIDTH
    now = (time % TIMES) * (g.chunks + 1) * WIDTH + lane
    cell = ((k * g.channels + c) * 3 + time % 3) * ROWS * WIDTH
    around = s.around
    for i in range(POSITIONS):
        store(around, i * WIDTH, gather(g.samples, c * ring, load(g.near, near + i * WIDTH)))
    middle = (load(around, 0) + load(around, WIDTH)) >> 1
    for i in range(0, POSITIONS * WIDTH, WIDTH):
        store(g.cell, cell + i, to_floats(load(around, i) - middle))
    for n in range(c):
        other = (POSITIONS + 9 * n) * WIDTH
        store(around, other, load(g.samples, n * ring + now))
        for i in range(1, 9):
            which = near + m.as_own[i] * WIDTH
            store(around, other + i * WIDTH, gather(g.samples, n * ring, load(g.near, which)))
        beside = (load(around, other + WIDTH) + load(around, other + 2 * WIDTH)) >> 1
        for i in range(other, other + 9 * WIDTH, WIDTH):
            store(g.cell, cell + i, to_floats(load(around, i) - beside))
    if time % 3 == 0:
        for q in range(PREDICTORS):
            fit(m, g, s, k, c, q)
    for q in range(PREDICTORS):
        store(s.guesses, q * WIDTH, predicted(m, g, k, c, q, cell, middle))
    p0, p1 = load(s.guesses, 0), load(s.guesses, WIDTH)
    mean = (p0 + p1) >> 1

    # Features.
    alone = load(g.alone, lane) < 0
    to = (k * (m.hidden + FEATURES) + m.hidden) * WIDTH
    f = g.inputs
    e0 = gather(g.errors, c * ring, load(g.near, near))
    e1 = gather(g.errors, c * ring, load(g.near, near + WIDTH))
    e2 = gather(g.errors, c * ring, load(g.near, near + 2 * WIDTH))
    e3 = gather(g.errors, c * ring, load(g.near, near + 3 * WIDTH))
    e4 = gather(g.errors, c * ring, load(g.near, near + 4 * WIDTH))
    e5 = gather(g.errors, c * ring, load(g.near, near + 5 * WIDTH))
    nearest = magnitude(e0) + magnitude(e1)
    next_to = magnitude(e2) + magnitude(e3)
    ks = qlog(64 + 2 * nearest + next_to + magnitude(e4) + magnitude(e5))
    texture = ints(64)
    for i in range(0, 10 * WIDTH, WIDTH):
        texture = texture + magnitude(64 * load(around, i) - mean)
    kt = qlog(texture)
    r1, r2 = gather(m.r1, 0, ks), gather(m.r2, 0, kt)
    for i in range(0, POSITIONS * WIDTH, WIDTH):
        store(f, to + i, normed(64 * load(around, i) - mean, r2))
    store(f, to + 16 * WIDTH, normed(e0, r1))
    store(f, to + 17 * WIDTH, normed(e1, r1))
    store(f, to + 18 * WIDTH, normed(e2, r1))
    store(f, to + 19 * WIDTH, normed(e3, r1))
    store(f, to + 20 * WIDTH, normed(e4, r1))
    store(f, to + 21 * WIDTH, normed(e5, r1))
    store(f, to + 22 * WIDTH, normed(p0 - p1, r1))
    store(f, to + 23 * WIDTH, clamp(3 * (ks - 48), -127, 127))
    store(f, to + 24 * WIDTH, clamp(3 * (kt - 48), -127, 127))
    ahead = gather(g.slow, c * ring, load(g.near, near + POSITIONS * WIDTH))
    z = ((ahead + 4 * load(g.slow_row, (k * g.channels + c) * WIDTH)) >> 4) + 64
    store(f, to + 25 * WIDTH, clamp(3 * (qlog(z) - 40), -127, 127))
    store(f, to + 26 * WIDTH, clamp((mean >> 7) - 64, -127, 127))
    for i in range(27 + 10 * c, FEATURES):
        store(f, to + i * WIDTH, 0)
    for n in range(c):
        at, other = to + (27 + 10 * n) * WIDTH, (POSITIONS + 9 * n) * WIDTH
        error = load(g.errors, n * ring + now)
        store(f, at, normed(error, r1))
        for i in range(2):
            v = gather(g.errors, n * ring, load(g.near, near + i * WIDTH))
            store(f, at + (1 + i) * WIDTH, select(alone, 0, normed(v, r1)))
        v = 3 * (qlog(64 + 8 * magnitude(error)) - ks)
        store(f, at + 3 * WIDTH, clamp(v, -127, 127))
        for i in range(6):
            v = 64 * (load(around, other + (1 + i) * WIDTH) - load(around, other))
            store(f, at + (4 + i) * WIDTH, select(alone, 0, normed(v, r2)))
    store(g.middle, lane, middle)
    store(g.mean, lane, mean)
    store(g.spread, lane, ks)
    store(g.miss, lane, (nearest + next_to) >> 2)


@njit
def _stream(s: Any, h: int, v: Any) -> None:
    """Keep a stream and its activation."""
    v = clamp(v, -32767, 32767)
    store(s.stream, h * WIDTH, v)
    store(s.active, h * WIDTH, to_shorts(clamp((v + 8) >> 4, 0, 255)))


@njit
def _first_layer(m: Any, g: Any, s: Any, c: int, k: int) -> None:
    from_features = (k * (m.hidden + FEATURES) + m.hidden) * WIDTH
    for i in range(0, FEATURES * WIDTH, WIDTH):
        store(s.features, i, to_floats(load(g.inputs, from_features + i)))
    w = m.first_w
    at = c * m.hidden * FEATURES
    for h in range(0, m.hidden, 8):
        a0 = floats(0)
        a1, a2, a3, a4, a5, a6, a7 = a0, a0, a0, a0, a0, a0, a0
        for i in range(0, FEATURES * WIDTH, WIDTH):
            # At most 48 * 127 * 128.
            x = load(s.features, i)
            a0 = exact_sum(x, w[at], a0)
            a1 = exact_sum(x, w[at + 1], a1)
            a2 = exact_sum(x, w[at + 2], a2)
            a3 = exact_sum(x, w[at + 3], a3)
            a4 = exact_sum(x, w[at + 4], a4)
            a5 = exact_sum(x, w[at + 5], a5)
            a6 = exact_sum(x, w[at + 6], a6)
            a7 = exact_sum(x, w[at + 7], a7)
            at += 8
        o = h * WIDTH
        store(s.stream, o, to_ints(a0))
        store(s.stream, o + WIDTH, to_ints(a1))
        store(s.stream, o + 2 * WIDTH, to_ints(a2))
        store(s.stream, o + 3 * WIDTH, to_ints(a3))
        store(s.stream, o + 4 * WIDTH, to_ints(a4))
        store(s.stream, o + 5 * WIDTH, to_ints(a5))
        store(s.stream, o + 6 * WIDTH, to_ints(a6))
        store(s.stream, o + 7 * WIDTH, to_ints(a7))
    for h in range(m.hidden):
        v = load(s.stream, h * WIDTH) * m.first_m[c * m.hidden + h]
        v = (v + m.first_b[c * m.hidden + h]) >> 14
        if g.told:
            v = v + load(g.side, (k * m.hidden + h) * WIDTH)
        _stream(s, h, v)


@njit
def _hidden_layer(m: Any, s: Any, layer: int) -> None:
    """Inputs go in by fours: an output adds one of the sixteen sums that there can be of each four."""
    total = shorts(0)
    a, sums = s.active, s.sums
    for four in range(0, m.hidden * WIDTH, 4 * WIDTH):
        one, two = load(a, four), load(a, four + WIDTH)
        three, four_ = load(a, four + 2 * WIDTH), load(a, four + 3 * WIDTH)
        to = four * 4
        first, last = one + two, three + four_
        store(sums, to, 0)
        store(sums, to + WIDTH, one)
        store(sums, to + 2 * WIDTH, two)
        store(sums, to + 3 * WIDTH, first)
        store(sums, to + 4 * WIDTH, three)
        store(sums, to + 5 * WIDTH, three + one)
        store(sums, to + 6 * WIDTH, three + two)
        store(sums, to + 7 * WIDTH, three + first)
        store(sums, to + 8 * WIDTH, four_)
        store(sums, to + 9 * WIDTH, four_ + one)
        store(sums, to + 10 * WIDTH, four_ + two)
        store(sums, to + 11 * WIDTH, four_ + first)
        store(sums, to + 12 * WIDTH, last)
        store(sums, to + 13 * WIDTH, last + one)
        store(sums, to + 14 * WIDTH, last + two)
        store(sums, to + 15 * WIDTH, last + first)
        total = total + (first + last)
    # At most 192 * 255: 16 bits without a sign.
    whole = from_unsigned(total)
    at = layer * m.hidden
    which = at * m.hidden // 4
    for h in range(m.hidden):
        negative = shorts(0)
        for _ in range(m.hidden // 32):
            # All subsets are listed from their group's first on.
            negative = negative + load(sums, m.signs[which]) + load(sums, m.signs[which + 1])
            negative = negative + load(sums, m.signs[which + 2]) + load(sums, m.signs[which + 3])
            negative = negative + load(sums, m.signs[which + 4]) + load(sums, m.signs[which + 5])
            negative = negative + load(sums, m.signs[which + 6]) + load(sums, m.signs[which + 7])
            which += 8
        z = whole - 2 * from_unsigned(negative)
        v = (z * m.hidden_m[at + h] + m.hidden_b[at + h]) >> 12
        _stream(s, h, load(s.stream, h * WIDTH) + v)


@njit
def _outputs(m: Any, g: Any, s: Any, c: int, k: int) -> None:
    n = m.hidden + FEATURES
    to = k * n * WIDTH
    for h in range(0, m.hidden * WIDTH, WIDTH):
        store(g.inputs, to + h, from_unsigned(load(s.active, h)))
    w = g.used_w
    for o in range(0, 3 * m.components, 3):
        at = (c * 3 * m.components + o) * n
        z0 = ints(512) + g.used_bias[c * BIAS + o]
        z1 = ints(512) + g.used_bias[c * BIAS + o + 1]
        z2 = ints(512) + g.used_bias[c * BIAS + o + 2]
        for i in range(n):
            x = load(g.inputs, to + i * WIDTH)
            z0 = z0 + x * w[at + i]
            z1 = z1 + x * w[at + n + i]
            z2 = z2 + x * w[at + 2 * n + i]
        store(s.outputs, o * WIDTH, z0 >> 10)
        store(s.outputs, (o + 1) * WIDTH, z1 >> 10)
        store(s.outputs, (o + 2) * WIDTH, z2 >> 10)


@njit
def distributions(m: Any, g: Any, s: Any, c: int, k: int) -> None:
    """From a chunk's features to its mixtures."""
    _first_layer(m, g, s, c, k)
    for layer in range(m.layers):
        _hidden_layer(m, s, layer)
    _outputs(m, g, s, c, k)
    make_mixtures(m, g, s, k)
