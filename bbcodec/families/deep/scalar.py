# SPDX-License-Identifier: Apache-2.0
"""The coding of a chain of planes, sample by sample: the meaning of docs/deep.md, in plain numbers.

One text, two speeds: Python runs it as it stands, and `bbcodec.families.deep.jit` compiles the same text with
numba. So everything here is numbers, arrays and tuples of them. Integers fit 64 bits; floats are `np.float32`
and `np.float64` scalars, rounded after every operation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np

from bbcodec.coding.logistic_tables import MU_LIMIT, PRECISION, sigmoid_table
from bbcodec.families.deep.tables import (
    AROUND,
    FARTHEST,
    FINEST,
    LARGEST,
    LEAST_EXPONENT,
    WINDOW,
    inverse_scale_table,
)
from bbcodec.families.local.order import OWN
from bbcodec.families.local.tables import EXP_LIMIT, exp_table, log_table, r1_table, r2_table, sigma_table

F = TypeVar("F", bound=Callable[..., Any])

# What makes a function of this text: nothing, or a compiler that `load` puts here before the text is run.
function: Callable[[F], F] = globals().get("function", lambda f: f)

LANES: Final = 8  # of the message
CELL: Final = 3  # pixels of a row that share a fit
FEATURES: Final = 48
PHASES: Final = 4
OUTSIDE: Final = 1280  # the error of a pixel that does not exist: 20 levels
MAIN, ESCAPE, LOW = 0, 1, 2
"""What of a sample is coded: its symbol in the window, how far it lies outside, its low bits."""

_R1: Final = r1_table()
_R2: Final = r2_table()
_SIG: Final = sigma_table()
_LE: Final = log_table()
_EXP: Final = exp_table()
_SIGMOID: Final = sigmoid_table()
_INVERSE: Final = inverse_scale_table()
_OWN: Final = OWN
_AROUND: Final = AROUND

_TOTAL: Final = 1 << PRECISION
_HALF_RANGE: Final = 1 << 19  # of A
_ONE: Final = 1 << 30  # of C
_MASK: Final = np.uint64(_TOTAL - 1)
_SHIFT: Final = np.uint64(PRECISION)
_WORD: Final = np.uint64(32)
_LOWER: Final = np.uint64(1 << 31)

_ZERO32: Final = np.float32(0)
_ONE32: Final = np.float32(1)
_HALF32: Final = np.float32(0.5)
_UNIT: Final = np.float32(64)
_WEIGHT: Final = np.float32(1572864)
_WEIGHT_FLOOR: Final = np.float32(24576)
_EIGHTH: Final = np.float32(0.125)
_128TH: Final = np.float32(0.0078125)
_B1: Final = np.float32(0.875)
_B2: Final = np.float32(0.9921875)
_EPSILON: Final = np.float32(2.0**-20)
_USED_UNIT: Final = np.float32(16384)
_USED_LIMIT: Final = np.float32(32767)
_BIAS_UNIT: Final = np.float32(262144)
_BIAS_LIMIT: Final = np.float32(268435456)
_GRADIENT_UNIT: Final = np.float32(2.0**-14)
_BIAS_GRADIENT_UNIT: Final = np.float32(2.0**-10)


class Network(NamedTuple):
    """The numbers of a model; H wide, L hidden layers, J components."""

    own: Any  # int64 [2]: positions S of each predictor
    earlier: Any  # int64 [2]: positions X of each reference
    phased: Any  # int64 [2]: positions S of each predictor where phases are told apart
    along: Any  # float32 [2]: 2^-shift
    down: Any  # float32 [2]
    ridge: Any  # float32
    rate: Any  # float32
    every: int
    components: int
    first_w: Any  # int64 [3, 48, H]
    first_m: Any  # int64 [3, H]
    first_b: Any  # int64 [3, H]
    signs: Any  # int64 [L, H, H]
    hidden_m: Any  # int64 [L, H]
    hidden_b: Any  # int64 [L, H]


class Heads(NamedTuple):
    """The last layers, which learn; one for each role. I = H + 48 inputs, K = 3 J outputs."""

    w: Any  # float32 [R, K, I + 1]: the last is the bias
    first: Any  # float32 [R, K, I + 1]: first moments
    second: Any  # float32 [R, K, I + 1]
    used: Any  # int64 [R, K, I + 1]: the rounded weights
    decays: Any  # float32 [R, 2]
    gradient: Any  # int64 [K, I + 1]


class Chain(NamedTuple):
    """P planes of H rows and W columns."""

    samples: Any  # int64 [P, H W + 1]: the last is outside
    errors: Any  # int64 [P, H W + 1]
    planes: Any  # int64 [P, 5]: two references (-1: none), role, whether phases are told apart, largest sample
    height: int
    width: int


class State(NamedTuple):
    """What is known of a plane while it is coded; S slots."""

    row: Any  # float32 [2, S, entries]: F
    column: Any  # float32 [2, cells, entries]: G
    weights: Any  # float32 [2, S, N]
    slow_row: Any  # int64 [S]: h
    slow: Any  # int64 [W]: V
    # Of the lanes of the time at hand:
    lane: Any  # int64 [S, 8]: prediction, spread in the window, shift, base, symbols, miss, middle, symbol
    mixture: Any  # int64 [S, 3, J]: weights, means, inverse scales
    inputs: Any  # int64 [S, I + 1]
    # Room for numbers that nothing reads later:
    near: Any  # int64 [16]
    d: Any  # float32 [58]
    a: Any  # float32 [58, 59]
    stream: Any  # int64 [H]
    active: Any  # int64 [H]
    out: Any  # int64 [K]


class Coder(NamedTuple):
    """A message that is popped, or symbols that will be pushed."""

    decoding: bool
    heads: Any  # uint64 [8]
    words: Any  # uint32
    at: Any  # int64 [3]: words taken, or symbols; sections; 1 if there are too few words
    start: Any  # uint32 [symbols]
    freq: Any  # uint32 [symbols]
    sections: Any  # int64: numbers of symbols that begin at lane 0


@function
def clamp(v: Any, low: Any, high: Any) -> Any:
    return min(max(v, low), high)


@function
def references(plane: Any) -> int:
    """Return the number of references of a plane."""
    return int(plane[0] >= 0) + int(plane[1] >= 0)


@function
def qlog(v: int) -> int:
    v = min(v, LARGEST)
    b = 6
    while v >> b > 1:
        b += 1
    return 4 * b + ((v >> (b - 2)) & 3)


@function
def excess(k: int) -> int:
    """By how many bits a scale with this logarithm is larger than those of the tables."""
    return max(0, (k >> 2) - LEAST_EXPONENT)


@function
def norm(v: int, shift: int, r: int) -> int:
    """Return a difference as a feature."""
    return clamp((clamp(v >> shift, -FARTHEST, FARTHEST) * r + 8192) >> 14, -127, 127)


@function
def c8(v: int) -> int:
    return clamp(v, -127, 127)


@function
def place(y: int, x: int, dx: int, dy: int, height: int, width: int) -> int:
    """Return where a neighbour in the own plane is read; docs/local.md has the rules."""
    yy, xx = y + dy, x + dx
    if yy < 0:
        yy = 0
        xx = min(xx, x + 2) if y > 0 else x - 1
    if xx < 0:
        if yy == y and x == 0:
            yy -= 1
        xx = 0
    if yy < 0:
        return height * width
    return yy * width + min(xx, width - 1)


@function
def place_around(y: int, x: int, position: int, height: int, width: int) -> int:
    """Return where a neighbour in a reference plane is read."""
    yy = clamp(y + _AROUND[position, 1], 0, height - 1)
    return yy * width + clamp(x + _AROUND[position, 0], 0, width - 1)


# ---- least squares ----


@function
def terms(net: Network, plane: Any, q: int) -> int:
    """Return the number of regressors of a predictor."""
    own = PHASES * net.phased[q] if plane[3] else net.own[q]
    return own + net.earlier[q] * references(plane)


@function
def set_regressors(net: Network, chain: Chain, p: int, y: int, x: int, q: int, state: State) -> int:
    """Set the regressors of a predictor, and return the middle of the neighbours."""
    plane, samples = chain.planes[p], chain.samples[p]
    d, near = state.d, state.near
    middle = (samples[near[0]] + samples[near[1]]) >> 1
    n = 0
    if plane[3]:
        phase = 2 * (y & 1) + (x & 1)
        for f in range(PHASES):
            for i in range(net.phased[q]):
                d[n] = np.float32(samples[near[i]] - middle) if f == phase else _ZERO32
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
        inverse = _ONE32 / (ridge if pivot < ridge else pivot)
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
    s0, s1, s2, s3 = _ZERO32, _ZERO32, _ZERO32, _ZERO32
    s4, s5, s6, s7 = _ZERO32, _ZERO32, _ZERO32, _ZERO32
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
    v = (s + np.float32(middle)) * _UNIT + _HALF32
    if not v >= _ZERO32:
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


# ---- features and network ----


@function
def set_features(chain: Chain, p: int, y: int, x: int, p0: int, p1: int, z: int, state: State, f: Any) -> int:
    """Write the 48 features of a sample, and return ``ks``."""
    plane, samples, errors = chain.planes[p], chain.samples[p], chain.errors[p]
    near, top = state.near, plane[4]
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
        offset = (clamp(out[j], -4096, 4096) * _SIG[spread] + 1024) >> 11
        mixture[1, j] = clamp(mean + offset, -MU_LIMIT, MU_LIMIT)
        size = _LE[spread] + ((clamp(out[components + j], -8192, 8192) * 185 + 128) >> 8)
        mixture[2, j] = _INVERSE[clamp((size + 8) >> 4, FINEST, 79) - FINEST]


# ---- symbols ----


@function
def boundary(k: int, mu: int, inverse: int) -> Any:
    """Return ``A`` and ``C`` at the boundary below symbol k."""
    a = clamp(((64 * k - 32 - mu) * inverse) >> 10, -_HALF_RANGE, _HALF_RANGE)
    u = a + _HALF_RANGE
    i = min(u >> 10, len(_SIGMOID) - 2)
    low = _SIGMOID[i]
    return a, low + (((_SIGMOID[i + 1] - low) * (u - (i << 10))) >> 10)


@function
def cdf(mixture: Any, k: int, symbols: int) -> int:
    """Return the cdf of 2^20 below symbol k of `symbols`."""
    if k <= 0:
        return 0
    if k >= symbols:
        return _TOTAL
    total = 0
    for j in range(mixture.shape[1]):
        _, c = boundary(k, mixture[1, j], mixture[2, j])
        total += mixture[0, j] * c
    return (((total >> 16) * (_TOTAL - WINDOW)) >> 30) + k


@function
def record(coder: Coder, start: int, end: int) -> None:
    """Note a symbol that will be pushed."""
    at = coder.at[0]
    coder.start[at] = start
    coder.freq[at] = end - start
    coder.at[0] = at + 1


@function
def peek(coder: Coder, lane: int) -> int:
    return np.int64(coder.heads[lane] & _MASK)


@function
def take(coder: Coder, lane: int, start: int, end: int) -> None:
    """Take a symbol off a lane."""
    head = coder.heads[lane]
    head = np.uint64(end - start) * (head >> _SHIFT) + ((head & _MASK) - np.uint64(start))
    if head < _LOWER:
        if coder.at[0] == len(coder.words):
            coder.at[2] = 1
        else:
            head = (head << _WORD) | np.uint64(coder.words[coder.at[0]])
            coder.at[0] += 1
    coder.heads[lane] = head


@function
def code_symbol(coder: Coder, lane: int, mixture: Any, symbols: int, x: int) -> int:
    """Code a symbol of the window."""
    if not coder.decoding:
        record(coder, cdf(mixture, x, symbols), cdf(mixture, x + 1, symbols))
        return x
    found = peek(coder, lane)
    low, high, start, end = 0, symbols, 0, _TOTAL
    while high - low > 1:
        middle = (low + high) >> 1
        c = cdf(mixture, middle, symbols)
        if c <= found:
            low, start = middle, c
        else:
            high, end = middle, c
    take(coder, lane, start, end)
    return low


@function
def code_uniform(coder: Coder, lane: int, count: int, x: int) -> int:
    """Code one of `count` symbols that are equally likely, as far as 2^20 can be divided."""
    if coder.decoding:
        x = ((peek(coder, lane) + 1) * count - 1) >> PRECISION
    start, end = (x << PRECISION) // count, ((x + 1) << PRECISION) // count
    if coder.decoding:
        take(coder, lane, start, end)
    else:
        record(coder, start, end)
    return x


@function
def escapes(state: State, lane: int, top: int) -> int:
    """Return how many places outside of the window a lane's sample may have; 0 if it is inside."""
    _, _, shift, base, symbols, _, _, symbol = state.lane[lane]
    if symbol == 0 and base > 0:
        return base + 1
    if symbol == symbols - 1 and base + symbols - 1 < top >> shift:
        return (top >> shift) - (base + symbols - 1) + 1
    return 0


# ---- a sample ----


@function
def set_near(chain: Chain, y: int, x: int, near: Any) -> None:
    for i in range(len(near)):
        near[i] = place(y, x, _OWN[i, 0], _OWN[i, 1], chain.height, chain.width)


@function
def before(net: Network, heads: Heads, chain: Chain, p: int, y: int, x: int, lane: int, state: State) -> None:
    """Predict a sample: from what is known to the mixture."""
    plane, errors, near = chain.planes[p], chain.errors[p], state.near
    top, slot = plane[4], y % len(state.slow_row)
    set_near(chain, y, x, near)
    if x == 0:
        state.row[:, slot] = _ZERO32
        state.slow_row[slot] = 0
    p0, p1, middle = 0, 0, 0
    for q in range(2):
        n = terms(net, plane, q)
        middle = set_regressors(net, chain, p, y, x, q, state)
        w = state.weights[q, slot]
        if x % CELL == 0:
            fit(n, net.ridge, state.row[q, slot], state.column[q, x // CELL], state.a, w)
        v = predicted(n, w, state.d, middle, top)
        p0, p1 = (v, p1) if q == 0 else (p0, v)
    mean = (p0 + p1) >> 1
    z = ((state.slow[min(x + 2, chain.width - 1)] + 4 * state.slow_row[slot]) >> 4) + 64
    inputs = state.inputs[lane]
    hidden = len(state.stream)
    f = inputs[hidden : hidden + FEATURES]
    ks = set_features(chain, p, y, x, p0, p1, z, state, f)
    run_network(net, references(plane), state, f, inputs)
    shift = excess(ks)
    center, highest = min((mean + 32) >> (6 + shift), top >> shift), top >> shift
    base = clamp(center - WINDOW // 2, 0, max(0, highest - (WINDOW - 1)))
    own = state.lane[lane]
    miss = abs(errors[near[0]]) + abs(errors[near[1]]) + abs(errors[near[2]]) + abs(errors[near[3]])
    own[0], own[1], own[2], own[3] = mean, ks - 4 * shift, shift, base
    own[4], own[5], own[6], own[7] = min(WINDOW, highest + 1), miss >> 2, middle, 0
    inside = ((mean + 32) >> shift) - 32 - 64 * base
    set_mixture(heads.used[plane[2]], inputs, inside, own[1], state, state.mixture[lane])


@function
def add_gradients(heads: Heads, state: State, lane: int, slopes: Any) -> None:
    """Add the gradient of a sample's likelihood to the sums of the last layer's step."""
    weight, mu, inverse = state.mixture[lane]
    own = state.lane[lane]
    k, symbols, components = own[7], own[4], len(mu)
    z = 0.0
    for j in range(components):
        a_l, c_l = boundary(k, mu[j], inverse[j])
        a_u, c_u = boundary(k + 1, mu[j], inverse[j])
        if k == 0:
            c_l = 0
        if k == symbols - 1:
            c_u = _ONE
        s_l, s_u = c_l * 2.0**-30, c_u * 2.0**-30
        d_l, d_u = s_l * (1.0 - s_l), s_u * (1.0 - s_u)
        slopes[0, j] = weight[j] * 2.0**-16
        slopes[1, j] = s_u - s_l
        slopes[2, j] = d_u - d_l
        slopes[3, j] = (a_u * 2.0**-15) * d_u - (a_l * 2.0**-15) * d_l
        z += slopes[0, j] * slopes[1, j]
    z += 2.0**-20
    inputs = state.inputs[lane]
    for j in range(components):
        f = slopes[0, j] / z
        unit = (_SIG[own[1]] * inverse[j]) * 2.0**-28
        add_slope(heads.gradient[j], (slopes[2, j] * f) * unit, inputs)
        add_slope(heads.gradient[components + j], slopes[3, j] * f, inputs)
        add_slope(heads.gradient[2 * components + j], slopes[0, j] - f * slopes[1, j], inputs)


@function
def add_slope(sums: Any, slope: float, inputs: Any) -> None:
    y = int(clamp(np.floor(slope * 1024.0 + 0.5), -4095.0, 4095.0))
    if y != 0:
        for i in range(len(sums)):
            sums[i] += y * inputs[i]


@function
def after(net: Network, chain: Chain, p: int, y: int, x: int, lane: int, state: State) -> None:
    """Bring the state up to date with a sample."""
    plane, slot = chain.planes[p], y % len(state.slow_row)
    own, here = state.lane[lane], y * chain.width + x
    sample = chain.samples[p, here]
    error = 64 * sample - own[0]
    chain.errors[p, here] = error
    set_near(chain, y, x, state.near)
    miss = np.float32(own[5])
    weight = max(_WEIGHT / (_WEIGHT_FLOOR + miss * miss), _ONE32)
    for q in range(2):
        n = terms(net, plane, q)
        middle = set_regressors(net, chain, p, y, x, q, state)
        row = state.row[q, slot]
        remember(n, state.d, sample - middle, weight, row)
        if x % CELL == CELL - 1 or x == chain.width - 1:
            column = state.column[q, x // CELL]
            end_cell(n * (n + 1) // 2 + n, net.along[q], net.down[q], row, column)
    h = state.slow_row[slot]
    h = h + abs(error) - (h >> 4)
    state.slow_row[slot] = h
    state.slow[x] = state.slow[x] + h - (state.slow[x] >> 3)


# ---- the last layer ----


@function
def round_weights(heads: Heads, role: int) -> None:
    """Set the weights in use of a role."""
    inputs = heads.w.shape[2] - 1
    for k in range(heads.w.shape[1]):
        w, used = heads.w[role, k], heads.used[role, k]
        for i in range(inputs):
            used[i] = int(clamp(np.floor(w[i] * _USED_UNIT + _HALF32), -_USED_LIMIT, _USED_LIMIT))
        used[inputs] = int(clamp(np.floor(w[inputs] * _BIAS_UNIT + _HALF32), -_BIAS_LIMIT, _BIAS_LIMIT))


@function
def learn(heads: Heads, role: int, rate: Any) -> None:
    """Take one step from the sums of the gradients, and begin new sums."""
    b1, b2 = heads.decays[role, 0] * _B1, heads.decays[role, 1] * _B2
    heads.decays[role, 0], heads.decays[role, 1] = b1, b2
    c1, c2 = _ONE32 / (_ONE32 - b1), _ONE32 / (_ONE32 - b2)
    inputs = heads.w.shape[2] - 1
    for k in range(heads.w.shape[1]):
        w, first, second = heads.w[role, k], heads.first[role, k], heads.second[role, k]
        gradient = heads.gradient[k]
        for i in range(inputs + 1):
            y = np.float32(gradient[i]) * (_GRADIENT_UNIT if i < inputs else _BIAS_GRADIENT_UNIT)
            first[i] = first[i] + (y - first[i]) * _EIGHTH
            second[i] = second[i] + (y * y - second[i]) * _128TH
            w[i] = w[i] - rate * ((first[i] * c1) / (np.sqrt(second[i] * c2) + _EPSILON))
            gradient[i] = 0
    round_weights(heads, role)


# ---- a chain ----


@function
def code_time(chain: Chain, p: int, time: int, first: int, lanes: int, state: State, coder: Coder) -> bool:
    """Code the samples of all lanes of a time; return whether all of them are possible."""
    top = chain.planes[p, 4]
    for lane in range(lanes):
        y = first + lane
        own, here = state.lane[lane], y * chain.width + time - CELL * y
        shift, base, symbols = own[2], own[3], own[4]
        x = 0 if coder.decoding else clamp((chain.samples[p, here] >> shift) - base, 0, symbols - 1)
        own[7] = code_symbol(coder, lane % LANES, state.mixture[lane], symbols, x)
    end_section(coder, lanes)
    count = 0
    for lane in range(lanes):
        y = first + lane
        own, here = state.lane[lane], y * chain.width + time - CELL * y
        shift, value = own[2], own[3] + own[7]
        places = escapes(state, lane, top)
        if places:
            x = 0 if coder.decoding else abs((chain.samples[p, here] >> shift) - value)
            x = code_uniform(coder, count % LANES, places, x)
            value = value - x if own[7] == 0 else value + x
            count += 1
        if coder.decoding:
            chain.samples[p, here] = value << shift
    end_section(coder, count)
    count, possible = 0, True
    for lane in range(lanes):
        y = first + lane
        shift, here = state.lane[lane, 2], y * chain.width + time - CELL * y
        if shift:
            low = chain.samples[p, here] & ((1 << shift) - 1)
            low = code_uniform(coder, count % LANES, 1 << shift, low)
            count += 1
            if coder.decoding:
                chain.samples[p, here] += low
                if chain.samples[p, here] > top:
                    chain.samples[p, here] = top
                    possible = False
    end_section(coder, count)
    return possible


@function
def end_section(coder: Coder, count: int) -> None:
    if count and not coder.decoding:
        coder.sections[coder.at[1]] = count
        coder.at[1] += 1


@function
def code_plane(
    net: Network, heads: Heads, chain: Chain, p: int, state: State, coder: Coder, slopes: Any
) -> bool:
    """Code a plane; return False where a message is damaged."""
    role = chain.planes[p, 2]
    chain.samples[p, chain.height * chain.width] = (chain.planes[p, 4] + 1) >> 1
    chain.errors[p, chain.height * chain.width] = OUTSIDE
    state.row[:] = _ZERO32
    state.column[:] = _ZERO32
    state.slow[:] = 0
    for time in range(chain.width + CELL * (chain.height - 1)):
        first = max(0, (time - chain.width + CELL) // CELL)
        lanes = min(chain.height - 1, time // CELL) - first + 1
        if lanes < 1:
            continue
        for lane in range(lanes):
            y = first + lane
            before(net, heads, chain, p, y, time - CELL * y, lane, state)
        if not code_time(chain, p, time, first, lanes, state, coder) or coder.at[2]:
            return False
        learns = net.rate > 0 and time % net.every == 0
        for lane in range(lanes):
            y = first + lane
            if learns:
                add_gradients(heads, state, lane, slopes)
            after(net, chain, p, y, time - CELL * y, lane, state)
        if learns:
            learn(heads, role, net.rate)
    return True
