# SPDX-License-Identifier: Apache-2.0
"""One pass over a group, which is all that the backend compiles on its own.

numba looks for changes in the file of a cached function alone: `run`, the one that is cached, has a
fingerprint of all files of this package in its closure, which is part of the cache's key.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

from numba import njit

from bbcodec.families.local.jit.arithmetic import clamp, magnitude
from bbcodec.families.local.jit.fits import move_columns, remember
from bbcodec.families.local.jit.lanes import advance, enter, list_lanes, transfer
from bbcodec.families.local.jit.layout import (
    DECODE,
    FLUSH,
    NEARBY,
    PLAN,
    POSITIONS,
    ROWS,
    SURVEY,
    TARGET,
    TIMES,
    WIDTH,
)
from bbcodec.families.local.jit.learning import learn, round_all, sum_gradients
from bbcodec.families.local.jit.mixtures import pop, weigh
from bbcodec.families.local.jit.network import distributions, predict
from bbcodec.families.local.jit.vectors import (
    gather,
    ints,
    load,
    select,
    store,
    to_doubles,
    to_floats,
    to_ints,
)
from bbcodec.families.local.model import FEATURES, MOMENTS, PREDICTORS


@njit
def _count(m: Any, g: Any, c: int, k: int, error: Any) -> None:
    """Add a chunk's samples to the statistics of their slots."""
    lane = k * WIDTH
    active = load(g.active, lane) < 0
    n = (error * gather(m.r1, 0, load(g.spread, lane)) + 8192) >> 14
    n = select(active, clamp(n, -72, 72), 0)
    size = magnitude(n)
    small = select(active & (size <= 7), ints(24), 0)
    to = (k * g.channels + c) * MOMENTS * (FEATURES + 1) * WIDTH
    inputs = (k * (m.hidden + FEATURES) + m.hidden) * WIDTH
    for i in range(FEATURES + 1):
        x = ints(32)
        if i:
            x = load(g.inputs, inputs + (i - 1) * WIDTH)
        at = to + i * WIDTH
        step = (FEATURES + 1) * WIDTH
        store(g.sums, at, load(g.sums, at) + n * x)
        store(g.sums, at + step, load(g.sums, at + step) + size * x)
        store(g.sums, at + 2 * step, load(g.sums, at + 2 * step) + small * x)


@njit
def _flush(g: Any) -> None:
    """Bring the sums of slots to those of blocks."""
    size = g.channels * MOMENTS * (FEATURES + 1)
    for k in range(g.chunks):
        for i in range(size):
            for lane in range(WIDTH):
                at = (k * size + i) * WIDTH + lane
                g.statistics[g.block[k * WIDTH + lane] * size + i] += g.sums[at]
                g.sums[at] = 0


@njit
def _absorb(m: Any, g: Any, s: Any, c: int, k: int, time: int) -> None:
    """The chunk's samples are known: bring its state up to date, but for the network's."""
    lane = k * WIDTH
    ring = c * TIMES * (g.chunks + 1) * WIDTH
    now = ring + (time % TIMES) * (g.chunks + 1) * WIDTH + lane
    x = load(g.symbol, lane)
    error = 64 * x - load(g.mean, lane)
    store(g.samples, now, x)
    store(g.errors, now, error)
    row = (k * g.channels + c) * WIDTH
    h = load(g.slow_row, row)
    h = h + magnitude(error) - (h >> 4)
    store(g.slow_row, row, h)
    above = gather(g.slow, ring, load(g.near, (k * NEARBY + POSITIONS + 1) * WIDTH))
    store(g.slow, now, above + h - (above >> 3))
    # Weights: both are integers below 2^53, and so is the quotient rounded down.
    miss = load(g.miss, lane)
    w = to_ints(1572864.0 / to_doubles(24576 + miss * miss))
    w = select(load(g.active, lane) < 0, select(w < 1, 1, w), 0)
    place = (k * g.channels + c) * 3 + time % 3
    store(g.cell_w, place * WIDTH, to_floats(w))
    store(g.cell, (place * ROWS + TARGET) * WIDTH, to_floats(x - load(g.middle, lane)))
    if time % 3 == 2:
        for q in range(PREDICTORS):
            remember(m, g, s, k, c, q)
    if g.counts:
        _count(m, g, c, k, error)


def _compiled(version: int) -> Any:
    """`run`, of this version of the package."""

    @njit(cache=True, nogil=True)
    def run(
        m: Any, g: Any, s: Any, mode: int, head: Any, words: Any, n_words: int, start: Any, freq: Any
    ) -> Any:
        """One pass over a group; return how many words were taken, or -1 where they do not suffice.

        Parameters
        ----------
        m, g, s : Tables, Group, Scratch
        mode : PLAN fills start and freq from the planes, DECODE the planes, SURVEY the statistics alone.
        head : uint64 [8], changed by DECODE.
        words, n_words : uint32, for DECODE, and how many there are.
        start, freq : uint32 [samples] in decoding order, for PLAN.
        """
        _ = version
        taken = first = 0
        round_all(m, g)
        for time in range(g.end):
            count = list_lanes(g, time)
            learns = m.rate > 0 and mode != SURVEY and time % m.every == 0
            advance(g, time)
            if time % 3 == 0 and time:
                move_columns(m, g)
            for k in range(g.chunks):
                if g.busy[k]:
                    enter(m, g, k)
                    if mode == DECODE:
                        continue
                    for c in range(g.channels):
                        predict(m, g, s, c, k, time)
                        transfer(g, c, k, True)
                        if mode == PLAN:
                            distributions(m, g, s, c, k)
                            weigh(m, g, s, c, k, learns, True, start, freq, first + c * count)
                            if learns:
                                sum_gradients(m, g, s, c, k)
                        _absorb(m, g, s, c, k, time)
            if mode == DECODE:
                for c in range(g.channels):
                    for k in range(g.chunks):
                        if g.busy[k]:
                            predict(m, g, s, c, k, time)
                            distributions(m, g, s, c, k)
                    taken = pop(m, g, count, head, words, n_words, taken)
                    if taken < 0:
                        return taken
                    for k in range(g.chunks):
                        if g.busy[k]:
                            transfer(g, c, k, False)
                            if learns:
                                weigh(m, g, s, c, k, True, False, start, freq, 0)
                                sum_gradients(m, g, s, c, k)
                            _absorb(m, g, s, c, k, time)
            first += count * g.channels
            if learns and count:
                learn(m, g)
            if g.counts and time % FLUSH == FLUSH - 1:
                _flush(g)
        if g.counts:
            _flush(g)
        return taken

    return run


def _fingerprint() -> int:
    """Of the text of the package's modules."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


run = _compiled(_fingerprint())
