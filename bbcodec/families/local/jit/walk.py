# SPDX-License-Identifier: Apache-2.0
"""A group in decoding order, sample by sample: the function that Python calls, and its cache.

`bbcodec.families.local.reference` has the meaning. numba looks for changes in the file of a cached function
alone. So `run` has a fingerprint of all modules of this package in its closure, which is part of the cache's
key.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any, Final

from bbcodec.families.local.jit.learning import learn, round_weights
from bbcodec.families.local.jit.least_squares import (
    begin_cells,
    end_cell,
    list_lanes,
    predict,
    set_regressors,
    set_target,
)
from bbcodec.families.local.jit.mixture import add_gradients, cdf, pop
from bbcodec.families.local.jit.network import R1, clamp, features, mix, network
from bbcodec.families.local.jit.state import njit
from bbcodec.families.local.model import CELL, FEATURES
from bbcodec.families.local.order import LANES

PLAN: Final = 0
DECODE: Final = 1
SURVEY: Final = 2


@njit
def _count(g: Any, c: int, b: int, error: int, ks: int, seen: Any) -> None:
    """Add a sample to the statistics of its block."""
    n = clamp((error * R1[ks] + 8192) >> 14, -72, 72)
    small = 24 if abs(n) <= 7 else 0
    sums = g.statistics[b, c]
    for i in range(FEATURES + 1):
        x = seen[i - 1] if i else 32
        sums[0, i] += n * x
        sums[1, i] += abs(n) * x
        sums[2, i] += small * x


def _compiled(version: int) -> Any:
    """`run`, of this version of the package."""

    @njit(cache=True, nogil=True, forceinline=False, no_cpython_wrapper=False)
    def run(m: Any, g: Any, mode: int, head: Any, words: Any, start: Any, freq: Any) -> Any:
        """One pass over a group; return how many words were taken, or -1 where they do not suffice.

        Parameters
        ----------
        m, g : Tables, Group
        mode : PLAN fills start and freq from the samples, DECODE the samples, SURVEY the statistics alone.
        head : uint64 [8], changed by DECODE.
        words : uint32, for DECODE.
        start, freq : uint32 [samples] in decoding order, for PLAN.
        """
        _ = version
        taken = done = 0
        channels = len(g.samples)
        seen = g.inputs[len(g.stream) : -1]
        for c in range(channels):
            round_weights(m, g, c)
        for time in range(g.times):
            learns = m.rate > 0 and mode != SURVEY and time % m.every == 0
            lanes = list_lanes(g, time)
            for c in range(channels):
                if time % CELL == 0:
                    begin_cells(m, g, c, lanes)
                for lane in range(lanes):
                    b, y, x, pixel, slot, column = g.lanes[lane]
                    width = g.blocks[b, 1]
                    if x == 0:
                        g.activity_row[c, slot] = 0
                    h, v = g.activity_row[c, slot], g.activity_column[c, column]
                    ahead = g.activity_column[c, column + min(2, width - 1 - x)]
                    z = ((ahead + 4 * h) >> 4) + 64

                    middle = set_regressors(m, g, c, lane)
                    p0 = predict(m, g, c, 0, slot, x % CELL, middle)
                    p1 = predict(m, g, c, 1, slot, x % CELL, middle)
                    p = (p0 + p1) >> 1
                    ks = features(g, c, lane, x == 0 and y == 0, p0, p1, z, seen)
                    if mode != SURVEY:
                        network(m, g, c, lane)
                        mix(g, c, p, ks)
                    if mode == DECODE:
                        symbol, taken = pop(g.mixture, head, lane % LANES, words, taken)
                        if taken < 0:
                            return taken
                        g.samples[c, pixel] = symbol
                    symbol = g.samples[c, pixel]
                    if mode == PLAN:
                        start[done] = cdf(g.mixture, symbol)
                        freq[done] = cdf(g.mixture, symbol + 1) - start[done]
                        done += 1
                    if learns:
                        add_gradients(g, c, ks, symbol)

                    error = 64 * symbol - p
                    if g.counts:
                        _count(g, c, b, error, ks, seen)
                    set_target(m, g, c, lane, symbol - middle)
                    if x % CELL == CELL - 1 or x == width - 1:
                        end_cell(m, g, c, slot, column // CELL)
                    g.errors[c, pixel] = error
                    h += abs(error) - (h >> 4)
                    g.activity_row[c, slot] = h
                    g.activity_column[c, column] = v + h - (v >> 3)
                if learns and lanes:
                    learn(m, g, c)
        return taken

    return run


def _fingerprint() -> int:
    """Checksum of the text of the package's modules."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


run = _compiled(_fingerprint())
