# SPDX-License-Identifier: Apache-2.0
"""The layer of docs/loglinear.md, sample by sample: the meaning, in plain numbers.

One text, two speeds: Python runs it as it stands, and `bbcodec.families.loglinear.jit` compiles the same text
with numba. So everything here is numbers, arrays and tuples of them, and every integer fits 64 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import numpy as np

from bbcodec.coding.logistic_tables import PRECISION, sigmoid_table
from bbcodec.families.loglinear.tables import (
    COUNTS,
    LOGIT_LIMIT,
    LOGS,
    MAX_VALUE,
    MAX_WEIGHT,
    PLACE,
    log_table,
    rate_table,
    squash_table,
)

F = TypeVar("F", bound=Callable[..., Any])

# What makes a function of this text: nothing, or a compiler that `load` puts here before the text is run.
function: Callable[[F], F] = globals().get("function", lambda f: f)

FIRST: Final = 0
UP: Final = 1
DOWN: Final = 2
WITHIN: Final = 3
BETWEEN: Final = 7
"""Kinds of decisions: at the prediction, upwards, downwards, within a place (3 to 6), between places."""

NEAR: Final = 6
AROUND: Final = 22
FURTHER: Final = np.array([(-4, 0), (-4, -1), (-3, -2), (-1, -3), (1, -3), (4, -2)])
"""Positions (dx, dy) of neighbours of a pixel after S0 to S15 of docs/local.md."""
RECALLS: Final = 3
NOT_FOUND: Final = 7
"""The code of a pixel that equals no candidate; otherwise the candidate's number, at most MAX_CODE."""
MAX_CODE: Final = 5
MAX_DECISIONS: Final = 20  # of a sample
MAX_LINES: Final = 20
DIRECT: Final = 512
"""Entries of a direct context for each kind of decision."""
BOUNDARIES: Final = 64
"""The spot of the first four boundaries of places; before it are the places."""

_LOG: Final = log_table()
_SQUASH: Final = squash_table()
_RATE: Final = rate_table()
_SIGMOID: Final = sigmoid_table()
_TOTAL: Final = 1 << PRECISION
_HALF_RANGE: Final = 1 << 19
_LOW_32: Final = 0xFFFFFFFF
_HEAD_LOW: Final = np.uint64(0xFFFF)
_SHIFT: Final = np.uint64(16)
_WORD: Final = np.uint64(32)
_LOWER: Final = np.uint64(1 << 31)


class Layer(NamedTuple):
    """What the layer of a group with S slots and C channels knows; N contexts, tables of 2^bits entries."""

    skip: int
    mix_shift: int
    bits: int
    numbers: Any  # int64 [C, N, 4]: terms of the contexts
    direct: Any  # int64 [C, N]: 1 for direct contexts
    tables: Any  # int16 [C, N, 2^bits]: value << 4 | count
    weights: Any  # int64 [C, 8, N], in 2^-20
    visits: Any  # int64 [C]: decisions that were learned
    # Of the lanes of the time at hand:
    decisions: Any  # int64 [C, S]
    decision: Any  # int64 [C, S, MAX_DECISIONS, 6]: base, entry, kind, line, bit, value
    origins: Any  # int64 [C, S, N]: what direct contexts count from
    lines: Any  # int64 [C, S]
    line: Any  # int64 [C, S, MAX_LINES, N]
    # Room for numbers that nothing reads later:
    terms: Any  # int64 [33]
    hashes: Any  # int64 [N]
    entries: Any  # int64 [N]


class Pixels(NamedTuple):
    """What is known of whole pixels: P of them, in S slots."""

    layer: Layer  # of one channel and 8 contexts
    neighbours: int  # that must have been found for a pixel to be asked about
    recall_bits: int
    colours: Any  # int64 [P + 1]: the last is outside
    codes: Any  # int64 [P + 1]
    recalled: Any  # int64 [3, 2^recall_bits]: colours, -1 for none
    # Of the lanes of the time at hand:
    asked: Any  # int64 [S]
    found: Any  # int64 [S]
    candidates: Any  # int64 [S]
    candidate: Any  # int64 [S, 7]: colours
    kind: Any  # int64 [S, 7]
    recall: Any  # int64 [S, 3]
    # Room for numbers that nothing reads later:
    near: Any  # int64 [22]
    around: Any  # int64 [22]
    codes_near: Any  # int64 [6]


class Streams(NamedTuple):
    """Streams of decisions: pushed later, or popped."""

    decoding: bool
    heads: Any  # uint64 [streams]
    words: Any  # uint32, of all streams
    at: Any  # int64 [streams]: the next word
    end: Any  # int64 [streams]
    failed: Any  # int64 [1]: 1 if words were missing
    record: Any  # uint32: probability | bit << 16, if not decoding
    owner: Any  # uint8: the stream of each
    count: Any  # int64 [1]


@function
def clamp(v: int, low: int, high: int) -> int:
    """v, moved into low .. high."""
    return min(max(v, low), high)


@function
def times(a: int, b: int) -> int:
    """The product of two numbers of 32 bits, modulo 2^32."""
    return (a * (b & 0xFFFF) + (((a * (b >> 16)) & 0xFFFF) << 16)) & _LOW_32


@function
def set_terms(samples: Any, near: Any, spot: Any, c: int, mean: int, spread: int, t: Any) -> None:
    """Set the terms t [33] of a sample.

    Parameters
    ----------
    samples : [C, P + 1], channels in coding order; the last pixel is the one outside.
    near : pixels W, N, NW, NE, WW, NN.
    spot : the pixel, and its column and row in the block.
    c : channel.
    mean, spread : prediction in 1/64 of a level, ``ks``.
    """
    pixel, x, y = spot
    a = int(samples[0, pixel]) if c > 0 else 0
    b = int(samples[1, pixel]) if c > 1 else 0
    t[0] = 0
    for i in range(NEAR):
        own = int(samples[c, near[i]])
        t[1 + i] = own
        t[7 + i] = own - int(samples[0, near[i]]) if c > 0 else own
    w, n, nw, ne, ww, nn = int(t[1]), int(t[2]), int(t[3]), int(t[4]), int(t[5]), int(t[6])
    alike = (w == n) | (w == nw) << 1 | (n == nw) << 2 | (n == ne) << 3 | (ww == w) << 4 | (nn == n) << 5
    for i in range(13, 22):
        t[i] = 0
    if c > 0:
        first_w, first_n = int(samples[0, near[0]]), int(samples[0, near[1]])
        t[13], t[14], t[15] = a, a - first_w, a - first_n
        alike |= (a == first_w) << 6 | (a == first_n) << 7
        alike |= (a == int(samples[0, near[2]])) << 8 | (a == int(samples[0, near[3]])) << 9
        if c > 1:
            second_w, second_n = int(samples[1, near[0]]), int(samples[1, near[1]])
            t[16], t[17], t[18] = b - a, second_w - first_w, second_n - first_n
            t[19], t[20] = b - second_w, b - second_n
            alike |= (b == second_w) << 10 | (b == second_n) << 11
    t[21] = a | b << 8
    for i in range(4):
        colour = 0
        for k in range(len(samples)):
            colour = colour << 8 | int(samples[k, near[i]])
        t[22 + i] = colour
    t[26] = (y & 1) << 1 | (x & 1)
    t[27] = (y & 7) << 3 | (x & 7)
    t[28] = alike
    t[29] = clamp((mean + 32) >> 6, 0, 255) - a
    t[30] = w + n - nw
    t[31] = spread
    t[32] = clamp((mean + 32) >> 6, 0, 255)


@function
def set_hashes(numbers: Any, terms: Any, hashes: Any) -> None:
    """Set the hash of each context from its terms."""
    for f in range(len(hashes)):
        h = times(f, 0x9E3779B1)
        for k in range(4):
            h = times((h + int(terms[numbers[f, k]])) & _LOW_32, 0x9E3779B1)
            h ^= h >> 15
        hashes[f] = h


@function
def set_line(bits: int, hashes: Any, spot: int, line: Any) -> None:
    """Set the first entry of the line of a spot in the table of each context."""
    shifted = times(spot, 0x85EBCA6B)
    for f in range(len(hashes)):
        line[f] = times((int(hashes[f]) + shifted) & _LOW_32, 0xC2B2AE35) >> (36 - bits) << 4


@function
def logarithm(x: int) -> int:
    """2^10 ln x, about; x is 1 to 2^20."""
    shift = 0
    while x >> shift >= LOGS:
        shift += 1
    return int(_LOG[x >> shift]) + int(_LOG[LOGS + shift])


@function
def squash(x: int) -> int:
    """The probability of a logit in 2^-10, in 2^-16."""
    return int(_SQUASH[(clamp(x, -LOGIT_LIMIT, LOGIT_LIMIT - 1) + LOGIT_LIMIT) >> 3])


@function
def share_below(mixture: Any, k: int) -> int:
    """The share of samples below k, in 2^-20. mixture: weights, mu, reciprocal scales [3, J]."""
    if k <= 0:
        return 0
    if k >= 256:
        return _TOTAL
    total = 0
    for j in range(mixture.shape[1]):
        product = (64 * k - 32 - int(mixture[1, j])) * int(mixture[2, j])
        u = clamp(product >> 10, -_HALF_RANGE, _HALF_RANGE) + _HALF_RANGE
        i = min(u >> 10, len(_SIGMOID) - 2)
        low = int(_SIGMOID[i])
        total += int(mixture[0, j]) * (low + (((int(_SIGMOID[i + 1]) - low) * (u - (i << 10))) >> 10))
    return (((total >> 16) * (_TOTAL - 256)) >> 30) + k


@function
def place_of(layer: Layer, c: int, lane: int, f: int, decision: Any) -> int:
    """Where the entry of a decision is in the table of a context."""
    if layer.direct[c, f]:
        return DIRECT * int(decision[2]) + (int(decision[5] - layer.origins[c, lane, f]) & (DIRECT - 1))
    return int(layer.line[c, lane, decision[3], f] + decision[1])


@function
def correction(layer: Layer, c: int, lane: int, decision: Any) -> int:
    """The correction of a logit, in 2^-10; the entries it comes from are left in ``layer.entries``."""
    total, kind = 0, int(decision[2])
    for f in range(len(layer.entries)):
        found = int(layer.tables[c, f, place_of(layer, c, lane, f, decision)])
        layer.entries[f] = found
        total += (found >> 4) * (int(layer.weights[c, kind, f]) >> 8)
    return total >> 10


@function
def code_bit(streams: Streams, stream: int, p: int, known: int) -> int:
    """Code a decision that is 1 with the probability p, in 2^-16; return it."""
    if not streams.decoding:
        i = int(streams.count[0])
        streams.record[i] = p | known << 16
        streams.owner[i] = stream
        streams.count[0] = i + 1
        return known
    head = streams.heads[stream]
    low = int(head & _HEAD_LOW)
    bit = 1 if low < p else 0
    start, size = (0, p) if bit else (p, 65536 - p)
    head = np.uint64(size) * (head >> _SHIFT) + np.uint64(low - start)
    if head < _LOWER:
        at = int(streams.at[stream])
        if at >= streams.end[stream]:
            streams.failed[0] = 1
            head |= _LOWER
        else:
            head = (head << _WORD) | np.uint64(streams.words[at])
            streams.at[stream] = at + 1
    streams.heads[stream] = head
    return bit


@function
def decide(layer: Layer, streams: Streams, stream: int, c: int, lane: int, at: Any, known: int) -> int:
    """Code one decision.

    at : shares below and above, number of the line, entry, kind, the sample at and above which it is 1.
    """
    down, up, number, entry, kind, value = at
    if up <= 0:
        return 0
    if down <= 0:
        return 1
    base = logarithm(up) - logarithm(down)
    if min(up, down) < (up + down) >> layer.skip:
        return code_bit(streams, stream, squash(base), known)
    i = int(layer.decisions[c, lane])
    decision = layer.decision[c, lane, i]
    decision[0], decision[1], decision[2], decision[3], decision[5] = base, entry, kind, number, value
    bit = code_bit(streams, stream, squash(base + correction(layer, c, lane, decision)), known)
    decision[4] = bit
    layer.decisions[c, lane] = i + 1
    return bit


@function
def add_line(layer: Layer, c: int, lane: int, spot: int) -> int:
    """Find the line of a spot, and return its number among those of the lane."""
    number = int(layer.lines[c, lane])
    set_line(layer.bits, layer.hashes, spot, layer.line[c, lane, number])
    layer.lines[c, lane] = number + 1
    return number


@function
def decide_at(layer: Layer, streams: Streams, stream: int, c: int, lane: int, at: Any, known: int) -> int:
    """Code whether a sample is at or above the beginning of a place.

    at : shares below and above, the place, the kind, what leads from a relative value to a sample.
    """
    down, up, place, kind, shift = at
    if up <= 0:
        return 0
    if down <= 0:
        return 1
    number = add_line(layer, c, lane, BOUNDARIES + (place >> 2))
    entry = 4 * (place & 3) + (3 if kind == BETWEEN else kind)
    at = (down, up, number, entry, kind, place * PLACE + shift)
    return decide(layer, streams, stream, c, lane, at, known)


@function
def find_place(layer: Layer, streams: Streams, stream: int, lane: int, of: Any) -> tuple[int, int, int]:
    """Code the place of a sample, from the middle outwards; return it, and the shares below and above it.

    of : channel, mixture, the middle place, what leads from a relative value to a sample, the sample wanted.
    """
    c, mixture, middle, shift, wanted = of
    low, high, below, above = 0, (32 if c > 0 else 16), 0, _TOTAL
    share = share_below(mixture, middle * PLACE + shift)
    known = 1 if wanted - shift >= middle * PLACE else 0
    if decide_at(layer, streams, stream, c, lane, (share, _TOTAL - share, middle, FIRST, shift), known):
        low, below = middle, share
        step = 1
        while low + step < high:
            place = low + step
            share = share_below(mixture, place * PLACE + shift)
            known = 1 if wanted - shift >= place * PLACE else 0
            at = (share - below, above - share, place, UP, shift)
            if decide_at(layer, streams, stream, c, lane, at, known):
                low, below = place, share
            else:
                high, above = place, share
                break
            step *= 2
    else:
        high, above = middle, share
        step = 1
        while high - step > low:
            place = high - step
            share = share_below(mixture, place * PLACE + shift)
            known = 1 if wanted - shift >= place * PLACE else 0
            at = (share - below, above - share, place, DOWN, shift)
            if decide_at(layer, streams, stream, c, lane, at, known):
                low, below = place, share
                break
            high, above = place, share
            step *= 2
    while high - low > 1:
        place = (low + high) >> 1
        share = share_below(mixture, place * PLACE + shift)
        known = 1 if wanted - shift >= place * PLACE else 0
        at = (share - below, above - share, place, BETWEEN, shift)
        if decide_at(layer, streams, stream, c, lane, at, known):
            low, below = place, share
        else:
            high, above = place, share
    return low, below, above


@function
def code(layer: Layer, streams: Streams, stream: int, c: int, lane: int, mixture: Any, wanted: int) -> int:
    """Code the sample of a lane, whose terms are set; return it. wanted: the sample, if it is known."""
    origin = 256 if c > 0 else 0
    shift = int(layer.terms[13]) - origin  # from a relative value to a sample
    centre = int(layer.terms[29]) + origin  # relative
    middle = clamp((centre + PLACE // 2) >> 4, 1, (32 if c > 0 else 16) - 1)
    layer.decisions[c, lane] = 0
    layer.lines[c, lane] = 0
    set_hashes(layer.numbers[c], layer.terms, layer.hashes)
    for f in range(len(layer.hashes)):
        layer.origins[c, lane, f] = layer.terms[layer.numbers[c, f, 0]]
    of = (c, mixture, middle, shift, wanted)
    place, below, above = find_place(layer, streams, stream, lane, of)
    number = add_line(layer, c, lane, place)
    first, node = place * PLACE, 1
    for level in range(4):
        half = first + (PLACE >> (level + 1))
        share = share_below(mixture, half + shift)
        known = 1 if wanted - shift >= half else 0
        at = (share - below, above - share, number, node, WITHIN + level, half + shift)
        bit = decide(layer, streams, stream, c, lane, at, known)
        if bit:
            first, below = half, share
        else:
            above = share
        node = 2 * node + bit
    return clamp(first + shift, 0, 255)


@function
def learn(layer: Layer, c: int, lane: int) -> None:
    """Learn from the decisions of a lane, in their order."""
    half = 1 << (layer.mix_shift - 1)
    for i in range(int(layer.decisions[c, lane])):
        decision = layer.decision[c, lane, i]
        base, kind, target = int(decision[0]), int(decision[2]), int(decision[4]) << 16
        miss = target - squash(base + correction(layer, c, lane, decision))
        dither = times(int(layer.visits[c]) & _LOW_32, 0x9E3779B1) >> 12
        layer.visits[c] += 1
        for f in range(len(layer.entries)):
            value, count = int(layer.entries[f]) >> 4, int(layer.entries[f]) & 15
            own = target - squash(base + 4 * value)
            moved = clamp(value + ((own * int(_RATE[count]) + dither) >> 20), -MAX_VALUE - 1, MAX_VALUE)
            weight = int(layer.weights[c, kind, f]) + ((miss * value + half) >> layer.mix_shift)
            layer.weights[c, kind, f] = clamp(weight, -MAX_WEIGHT, MAX_WEIGHT)
            at = place_of(layer, c, lane, f, decision)
            layer.tables[c, f, at] = moved * 16 + min(count + 1, COUNTS - 1)


@function
def fold(h: int, v: int) -> int:
    """A hash, and one number more."""
    h = times((h + v) & _LOW_32, 0x9E3779B1)
    return h ^ (h >> 15)


@function
def offer(pixels: Pixels, lane: int, colour: int, kind: int) -> None:
    """Add a colour to the candidates of a lane, unless it is one of them."""
    count = int(pixels.candidates[lane])
    for i in range(count):
        if pixels.candidate[lane, i] == colour:
            return
    pixels.candidate[lane, count] = colour
    pixels.kind[lane, count] = kind
    pixels.candidates[lane] = count + 1


@function
def look(pixels: Pixels, near: Any, lane: int) -> None:
    """Find the candidates of a lane's pixel, and the contexts of the decisions about them.

    near : its neighbours [AROUND]: pixels at the positions S of docs/local.md, and at `FURTHER`.
    """
    layer = pixels.layer
    v, code = pixels.around, pixels.codes_near
    known = 0
    for i in range(AROUND):
        v[i] = pixels.colours[near[i]]
        if i < NEAR:
            code[i] = pixels.codes[near[i]]
            known += 1 if code[i] != NOT_FOUND else 0
    pixels.asked[lane] = 1 if known >= pixels.neighbours else 0
    hashes = layer.hashes
    h = 0
    for i in range(AROUND):
        h = fold(h, int(v[i]))
        if i == 1:
            hashes[1] = h
        elif i == 3:
            hashes[2] = h
        elif i == 11:
            hashes[3] = h
    hashes[4] = h
    pixels.candidates[lane] = 0
    for i in range(4):
        offer(pixels, lane, int(v[i]), i)
    for i in range(RECALLS):
        at = times(int(hashes[3 - i]), 0xC2B2AE35) >> (32 - pixels.recall_bits)
        pixels.recall[lane, i] = at
        colour = int(pixels.recalled[i, at])
        if colour >= 0:
            offer(pixels, lane, colour, 4 + i)
    alike = (v[0] == v[1]) | (v[0] == v[2]) << 1 | (v[0] == v[3]) << 2 | (v[1] == v[2]) << 3
    alike |= (v[1] == v[3]) << 4 | (v[2] == v[3]) << 5 | (v[4] == v[0]) << 6 | (v[5] == v[1]) << 7
    further = (v[6] == v[3]) | (v[7] == v[3]) << 1 | (v[8] == v[2]) << 2 | (v[9] == v[2]) << 3
    further |= (v[10] == v[4]) << 4 | (v[11] == v[5]) << 5
    codes = int(code[0] | code[1] << 3 | code[2] << 6 | code[3] << 9)
    hashes[0] = alike
    hashes[5] = fold(fold(0, int(alike | further << 8)), codes)
    hashes[6] = fold(fold(0, int(v[0])), int(alike))
    hashes[7] = fold(fold(0, int(codes | code[4] << 12 | code[5] << 15)), 0)
    layer.decisions[0, lane] = 0
    line = layer.line[0, lane, 0]
    set_line(layer.bits, hashes, 0, line)
    line[0] = PLACE * int(alike)


@function
def code_pixel(pixels: Pixels, streams: Streams, stream: int, lane: int, pixel: int) -> int:
    """Code whether the pixel of a lane is one of its candidates; set its colour and return 1 if it is."""
    if not pixels.asked[lane]:
        return 0
    layer, wanted = pixels.layer, int(pixels.colours[pixel])
    for i in range(int(pixels.candidates[lane])):
        kind, colour = int(pixels.kind[lane, i]), int(pixels.candidate[lane, i])
        known = 1 if wanted == colour else 0
        decision = layer.decision[0, lane, i]
        decision[0], decision[1], decision[2], decision[3], decision[5] = 0, kind, kind, 0, 0
        bit = code_bit(streams, stream, squash(correction(layer, 0, lane, decision)), known)
        decision[4] = bit
        layer.decisions[0, lane] = i + 1
        if bit:
            pixels.colours[pixel] = colour
            return 1
    return 0


@function
def spread_colour(pixels: Pixels, pixel: int, samples: Any) -> None:
    """Set the samples [C, P + 1] of a pixel that was found."""
    colour = int(pixels.colours[pixel])
    for c in range(len(samples) - 1, -1, -1):
        samples[c, pixel] = colour & 255
        colour >>= 8


@function
def learn_pixel(pixels: Pixels, lane: int, pixel: int, samples: Any) -> None:
    """Learn from the pixel of a lane, whose samples [C, P + 1] are known now."""
    if pixels.asked[lane]:
        learn(pixels.layer, 0, lane)
    colour = 0
    for c in range(len(samples)):
        colour = colour << 8 | int(samples[c, pixel])
    pixels.colours[pixel] = colour
    code = NOT_FOUND
    for i in range(int(pixels.candidates[lane])):
        if pixels.candidate[lane, i] == colour:
            code = min(i, MAX_CODE)
            break
    pixels.codes[pixel] = code
    for i in range(RECALLS):
        pixels.recalled[i, pixels.recall[lane, i]] = colour
