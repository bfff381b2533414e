# SPDX-License-Identifier: Apache-2.0
"""The rANS kernels in NumPy, vectorised over lanes. They define the results of the vector rule.

They are written for clarity: groups of lanes go through :mod:`bbcodec.coding.ans` one after another. ``jit``
and ``native`` are fast.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding import ans, logistic_tables
from bbcodec.coding.ans import Head, Tail, Words
from bbcodec.coding.kernels import check_intervals, check_lengths, check_symbols, padded


def push_logistic(
    head: Head, symbols: NDArray[np.int32], mu: NDArray[np.int32], e: NDArray[np.int32], nsym: int, floor: int
) -> tuple[Head, Words]:
    """Push as :meth:`bbcodec.coding.kernels.RansKernels.push_logistic` defines."""
    check_lengths(len(head), len(symbols), len(mu), len(e))
    logistic_tables.check_nsym(nsym, floor)
    check_symbols(symbols, nsym)
    k = symbols.astype(np.int64)
    location, inverse = logistic_tables.clamp_parameters(mu, e)
    starts = logistic_tables.logistic_cdf(k, location, inverse, nsym, floor)
    freqs = logistic_tables.logistic_cdf(k + 1, location, inverse, nsym, floor) - starts
    return push_freqs(head, starts.astype(np.uint64), freqs.astype(np.uint64), logistic_tables.PRECISION)


def pop_logistic(
    head: Head, mu: NDArray[np.int32], e: NDArray[np.int32], nsym: int, floor: int, words: Words
) -> tuple[Head, NDArray[np.int32], int]:
    """Pop as :meth:`bbcodec.coding.kernels.RansKernels.pop_logistic` defines."""
    check_lengths(len(head), len(mu), len(e))
    logistic_tables.check_nsym(nsym, floor)
    head, tail = head.copy(), (words, ())
    location, inverse = logistic_tables.clamp_parameters(mu, e)
    symbols = np.empty(len(mu), np.int32)
    rest: Tail = tail
    for first in range(0, len(mu), len(head)):
        group = slice(first, min(first + len(head), len(mu)))
        lanes = group.stop - first
        cf, finish = ans.pop((head[:lanes], rest), logistic_tables.PRECISION)
        k = _search(cf.astype(np.int64), location[group], inverse[group], nsym, floor)
        start = logistic_tables.logistic_cdf(k, location[group], inverse[group], nsym, floor)
        freq = logistic_tables.logistic_cdf(k + 1, location[group], inverse[group], nsym, floor) - start
        head[:lanes], rest = finish(start, freq)
        symbols[group] = k
    return head, symbols, len(words) - (len(rest[0]) if rest else 0)


def _search(
    cf: NDArray[np.int64], mu: NDArray[np.int64], inverse: NDArray[np.int64], nsym: int, floor: int
) -> NDArray[np.int64]:
    """Return the greatest ``k`` with ``cdf(k) <= cf``, by bisection with ``cdf(low) <= cf < cdf(high)``."""
    low, high = np.zeros_like(cf), np.full_like(cf, nsym)
    for _ in range((nsym - 1).bit_length()):
        middle = (low + high) >> 1
        below = logistic_tables.logistic_cdf(middle, mu, inverse, nsym, floor) <= cf
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return low


def push_freqs(
    head: Head, starts: NDArray[np.uint64], freqs: NDArray[np.uint64], precision: int
) -> tuple[Head, Words]:
    """Push as :meth:`bbcodec.coding.kernels.RansKernels.push_freqs` defines."""
    check_lengths(len(head), len(starts), len(freqs))
    check_intervals(starts, freqs, precision)
    head = head.copy()
    emitted: list[Words] = []
    for first in reversed(range(0, len(starts), len(head))):
        group = slice(first, min(first + len(head), len(starts)))
        lanes = group.stop - first
        head[:lanes], tail = ans.push((head[:lanes], ()), starts[group], freqs[group], precision)
        if tail:
            emitted.append(tail[0])
    return head, np.concatenate(emitted[::-1]) if emitted else np.empty(0, np.uint32)


def push_sections(
    head: Head,
    starts: NDArray[np.uint32],
    freqs: NDArray[np.uint32],
    sections: NDArray[np.int64],
    precision: int,
) -> tuple[Head, Words]:
    """Push as :meth:`bbcodec.coding.kernels.RansKernels.push_sections` defines."""
    check_lengths(len(head), len(starts), len(freqs))
    return push_freqs(head, *padded(starts, freqs, sections, len(head), precision), precision)
