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
from bbcodec.families.local.jit.least_squares import begin_cells, list_lanes
from bbcodec.families.local.jit.mixture import add_gradients, cdf, pop
from bbcodec.families.local.jit.network import R1, clamp
from bbcodec.families.local.jit.sample import after, before
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
                    b, pixel = g.lanes[lane, 0], g.lanes[lane, 3]
                    p, ks, middle = before(m, g, c, lane, seen, mode == SURVEY)
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
                    if g.counts:
                        _count(g, c, b, 64 * symbol - p, ks, seen)
                    after(m, g, c, lane, p, middle, symbol)
                if learns and lanes:
                    learn(m, g, c)
        return taken

    return run


def _fingerprint() -> int:
    """Checksum of the text of the package's modules."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return zlib.crc32(b"".join(file.read_bytes() for file in files))


run = _compiled(_fingerprint())
