# SPDX-License-Identifier: Apache-2.0
"""Mixtures of integer logistics: from the last layer's outputs to intervals, gradients, and back to symbols.

Doubles hold integers below 2^53 here: all is exact but the gradients, whose roundings docs/local.md gives.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit

from bbcodec.families.local.jit.arithmetic import clamp
from bbcodec.families.local.jit.layout import WIDTH
from bbcodec.families.local.jit.vectors import (
    doubles,
    floor,
    gather,
    ints,
    load,
    select,
    store,
    to_doubles,
    to_floats,
    to_ints,
)
from bbcodec.families.local.order import LANES

_PRECISION: Final = np.uint64(20)
_WORD: Final = np.uint64(32)
_LOWER: Final = np.uint64(1 << 31)
_LOW_BITS: Final = np.uint64((1 << 20) - 1)
_SCALE: Final = ((1 << 20) - 256) / (1 << 30)
_MU_LIMIT: Final = 1 << 17


@njit
def make_mixtures(m: Any, g: Any, s: Any, k: int) -> None:
    j, o = m.components, s.outputs
    mean, ks = load(g.mean, k * WIDTH), load(g.spread, k * WIDTH)
    sig, le = gather(m.sig, 0, ks), gather(m.le, 0, ks)
    top = load(o, 2 * j * WIDTH)
    for i in range(1, j):
        v = load(o, (2 * j + i) * WIDTH)
        top = select(v > top, v, top)
    total = ints(0)
    for i in range(j):
        at = (k * j + i) * WIDTH
        v = clamp(load(o, i * WIDTH), -4096, 4096)
        store(g.mix_mu, at, mean + ((v * sig + 1024) >> 11))
        v = clamp(load(o, (j + i) * WIDTH), -8192, 8192)
        store(g.mix_e, at, clamp((le + ((v * 185 + 128) >> 8) + 8) >> 4, 0, 79))
        u = top - load(o, (2 * j + i) * WIDTH)
        x = gather(m.exp, 0, select(u < 2816, u, 2816))
        store(g.mix_w, at, x)
        total = total + x
    rest = ints(65536)
    for i in range(1, j):
        at = (k * j + i) * WIDTH
        # Rounded down: a quotient that is no integer is further from one than doubles round.
        share = to_ints(to_doubles(load(g.mix_w, at)) * 65536 / to_doubles(total))
        store(g.mix_w, at, share)
        rest = rest - share
    store(g.mix_w, k * j * WIDTH, rest)


@njit
def _argument(mu: Any, inverse: Any, at: Any) -> Any:
    """``u = A + 2^19`` at a boundary; all are integers in doubles, but for the inverse, which is in 2^-10."""
    v = (at - mu) * inverse
    v = select(v < -524288, -524288, v)
    return floor(select(v > 524288, 524288, v) + 524288)


@njit
def _mass(m: Any, u: Any) -> Any:
    """C"""
    whole = to_ints(u)
    i = whole >> 10
    i = select(i > 1023, 1023, i)
    part = to_doubles(whole - (i << 10)) * (1.0 / 1024)
    return gather(m.sigmoid, 0, i) + floor(gather(m.rise, 0, i) * part)


@njit
def _cumulative(total: Any, symbol: Any) -> Any:
    """The cdf of 2^20 below a symbol from the sum of weight times mass."""
    v = to_ints(floor(total * (1.0 / 65536)) * _SCALE) + symbol
    v = select(symbol <= 0, 0, v)
    return select(symbol >= 256, 1 << 20, v)


@njit
def _rounded(v: Any) -> Any:
    v = floor(v * 1024 + 0.5)
    v = select(v < -4095, -4095, v)
    return to_floats(to_ints(select(v > 4095, 4095, v)))


@njit
def weigh(
    m: Any, g: Any, s: Any, c: int, k: int, learn: bool, wanted: bool, start: Any, freq: Any, first: int
) -> None:
    """Intervals of a chunk's samples, if wanted, and gradients."""
    j, lane = m.components, k * WIDTH
    symbol = load(g.symbol, lane)
    x = to_doubles(symbol)
    below, above, z = doubles(0), doubles(0), doubles(0)
    unit = 1.0 / (1 << 30)
    part = j * WIDTH
    for i in range(j):
        at = (k * j + i) * WIDTH
        weight = to_doubles(load(g.mix_w, at))
        mu = to_doubles(clamp(load(g.mix_mu, at), -_MU_LIMIT, _MU_LIMIT))
        inverse = to_doubles(gather(m.inverse, 0, load(g.mix_e, at))) * (1.0 / 1024)
        u_l, u_u = _argument(mu, inverse, 64 * x - 32), _argument(mu, inverse, 64 * x + 32)
        c_l, c_u = _mass(m, u_l), _mass(m, u_u)
        below, above = below + weight * c_l, above + weight * c_u
        if learn:
            s_u = select(x == 255, 1 << 30, c_u) * unit
            s_l = select(x == 0, 0, c_l) * unit
            d_u, d_l = s_u * (1 - s_u), s_l * (1 - s_l)
            a_u, a_l = (u_u - 524288) * (1.0 / 32768), (u_l - 524288) * (1.0 / 32768)
            q = weight * (1.0 / 65536)
            mass = s_u - s_l
            z = z + q * mass
            store(s.masses, i * WIDTH, q)
            store(s.masses, part + i * WIDTH, mass)
            store(s.masses, 2 * part + i * WIDTH, d_u - d_l)
            store(s.masses, 3 * part + i * WIDTH, a_u * d_u - a_l * d_l)
            store(s.masses, 4 * part + i * WIDTH, inverse)
    if wanted:
        low = _cumulative(below, symbol)
        high = _cumulative(above, symbol + 1)
        store(s.outputs, 0, low)
        store(s.outputs, WIDTH, high - low)
        for i in range(WIDTH):
            if g.active[lane + i]:
                at = first + g.listed[lane + i]
                start[at] = s.outputs[i]
                freq[at] = s.outputs[WIDTH + i]
    if not learn:
        return
    sig = to_doubles(gather(m.sig, 0, load(g.spread, lane)))
    active = load(g.active, lane) < 0
    z = z + 1.0 / (1 << 20)
    for i in range(0, part, WIDTH):
        q = load(s.masses, i)
        f = q / z
        ratio = (sig * load(s.masses, 4 * part + i)) * (1.0 / (1 << 18))
        mean = _rounded((load(s.masses, 2 * part + i) * f) * ratio)
        scale = _rounded(load(s.masses, 3 * part + i) * f)
        weight = _rounded(q - f * load(s.masses, part + i))
        store(s.slopes, i, select(active, mean, 0))
        store(s.slopes, part + i, select(active, scale, 0))
        store(s.slopes, 2 * part + i, select(active, weight, 0))


@njit
def _cdf(m: Any, g: Any, at: int, symbol: int) -> int:
    """The cdf of 2^20 below a symbol, with the components of one lane from ``at`` on."""
    if symbol <= 0:
        return 0
    if symbol >= 256:
        return 1 << 20
    total = 0
    edge = 64 * symbol - 32
    for j in range(at, at + m.components * WIDTH, WIDTH):
        mu = min(max(g.mix_mu[j], -_MU_LIMIT), _MU_LIMIT)
        inverse = m.inverse[g.mix_e[j]]
        u = min(max(((edge - mu) * inverse) >> 10, -(1 << 19)), 1 << 19) + (1 << 19)
        i = min(u >> 10, 1023)
        low = m.whole_sigmoid[i]
        mass = low + (((m.whole_sigmoid[i + 1] - low) * (u - (i << 10))) >> 10)
        total += g.mix_w[j] * mass
    return (((total >> 16) * ((1 << 20) - 256)) >> 30) + symbol


@njit
def _find(m: Any, g: Any, at: int, cf: int) -> Any:
    """``(symbol, cdf below, cdf above)`` of the interval that holds cf: guess, gallop, halve."""
    best = at
    for j in range(at + WIDTH, at + m.components * WIDTH, WIDTH):
        if g.mix_w[j] > g.mix_w[best]:
            best = j
    # A symbol is 64 inverse 2^-25 scales wide.
    step = max(1, (1 << 18) // m.inverse[g.mix_e[best]])
    low = min(max((g.mix_mu[best] + 32) >> 6, 0), 255)
    c_low = _cdf(m, g, at, low)
    high, c_high = low, c_low
    if c_low <= cf:
        while c_high <= cf:
            low, c_low = high, c_high
            high = min(low + step, 256)
            c_high = _cdf(m, g, at, high)
            step *= 2
    else:
        while c_low > cf:
            high, c_high = low, c_low
            low = max(high - step, 0)
            c_low = _cdf(m, g, at, low)
            step *= 2
    while high - low > 1:
        middle = (low + high) >> 1
        c_middle = _cdf(m, g, at, middle)
        if c_middle <= cf:
            low, c_low = middle, c_middle
        else:
            high, c_high = middle, c_middle
    return low, c_low, c_high


@njit
def pop(m: Any, g: Any, count: int, head: Any, words: Any, n_words: int, taken: int) -> int:
    """Pop the samples of a time's lanes; return how many words are taken by then, or -1."""
    for n in range(count):
        slot = g.lanes[n]
        h = head[n % LANES]
        cf = h & _LOW_BITS
        at = slot // WIDTH * m.components * WIDTH + slot % WIDTH
        symbol, start, end = _find(m, g, at, np.int64(cf))
        h = np.uint64(end - start) * (h >> _PRECISION) + (cf - np.uint64(start))
        if h < _LOWER:
            if taken == n_words:
                return -1
            h = (h << _WORD) | np.uint64(words[taken])
            taken += 1
        head[n % LANES] = h
        g.symbol[slot] = symbol
    return taken
