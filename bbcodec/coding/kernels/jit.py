# SPDX-License-Identifier: Apache-2.0
"""The rANS kernels as plain loops compiled by numba (compiled lazily, cached on disk).

Importing this module imports numba (half a second): only :func:`bbcodec.coding.kernels.kernels` does so. The
same loops, word for word, are in ``native/core/coding/rans.cpp``. numba turns mixed uint64/int64 arithmetic
into floats: every operand below is cast on purpose.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bbcodec.coding import logistic_tables
from bbcodec.coding.ans import Head, Words
from bbcodec.coding.kernels import check_intervals, check_lengths, check_symbols, padded
from bbcodec.errors import MessageUnderflow

_TOTAL = 1 << logistic_tables.PRECISION
_MASK = np.uint64(_TOTAL - 1)
_SHIFT = np.uint64(logistic_tables.PRECISION)
_WORD = np.uint64(32)
_LOWER = np.uint64(1 << 31)
_LIMIT = np.uint64(((1 << 31) >> logistic_tables.PRECISION) << 32)


@njit(cache=True)
def _cdf(k: Any, mu: Any, inverse: Any, nsym: int, floor: int, table: Any) -> Any:
    if k <= 0:
        return 0
    if k >= nsym:
        return _TOTAL
    u = min(max(((64 * k - 32 - mu) * inverse) >> 10, -(1 << 19)), 1 << 19) + (1 << 19)
    i = min(u >> 10, 1023)
    low = table[i]
    c = low + (((table[i + 1] - low) * (u - (i << 10))) >> 10)
    return ((c * (_TOTAL - floor * nsym)) >> 30) + floor * k


@njit(cache=True)
def _search(cf: Any, mu: Any, inverse: Any, nsym: int, floor: int, table: Any, guesses: Any) -> Any:
    """Return ``(k, cdf(k), cdf(k + 1))``, ``cdf(k) <= cf < cdf(k + 1)``: guess, gallop, then bisect."""
    middle = min(max((mu + 32) >> 6, 0), nsym - 1)
    cell = min((max(cf - floor * middle, 0) << 10) // (_TOTAL - floor * nsym), 1023)
    k = min(max(((guesses[cell] << 10) // inverse + mu + 32) >> 6, 0), nsym - 1)
    low, c_low = k, _cdf(k, mu, inverse, nsym, floor, table)
    if c_low <= cf:
        step, high = 1, k + 1
        c_high = _cdf(high, mu, inverse, nsym, floor, table)
        while c_high <= cf:
            low, c_low = high, c_high
            step *= 2
            high = min(low + step, nsym)
            c_high = _cdf(high, mu, inverse, nsym, floor, table)
    else:
        step, high, c_high = 1, k, c_low
        low = k - 1
        c_low = _cdf(low, mu, inverse, nsym, floor, table)
        while c_low > cf:
            high, c_high = low, c_low
            step *= 2
            low = max(high - step, 0)
            c_low = _cdf(low, mu, inverse, nsym, floor, table)
    while high - low > 1:
        middle = (low + high) >> 1
        c_middle = _cdf(middle, mu, inverse, nsym, floor, table)
        if c_middle <= cf:
            low, c_low = middle, c_middle
        else:
            high, c_high = middle, c_middle
    return low, c_low, c_high


@njit(cache=True, nogil=True)
def _pop(
    head: Any,
    mu: Any,
    inverse: Any,
    nsym: int,
    floor: int,
    words: Any,
    table: Any,
    guesses: Any,
    symbols: Any,
) -> int:
    lanes, consumed = len(head), 0
    for n in range(len(mu)):
        lane = n % lanes
        h = head[lane]
        cf = h & _MASK
        k, start, end = _search(np.int64(cf), mu[n], inverse[n], nsym, floor, table, guesses)
        h = np.uint64(end - start) * (h >> _SHIFT) + (cf - np.uint64(start))
        if h < _LOWER:
            if consumed == len(words):
                return -1
            h = (h << _WORD) | np.uint64(words[consumed])
            consumed += 1
        head[lane] = h
        symbols[n] = k
    return consumed


@njit(cache=True, nogil=True)
def _push_logistic(
    head: Any, symbols: Any, mu: Any, inverse: Any, nsym: int, floor: int, words: Any, table: Any
) -> int:
    """Fill ``words`` from its end; return the index of the first word, or -1 for an impossible symbol."""
    lanes, at = len(head), len(words)
    for n in range(len(symbols) - 1, -1, -1):
        lane = n % lanes
        k = np.int64(symbols[n])
        start = _cdf(k, mu[n], inverse[n], nsym, floor, table)
        freq = np.uint64(_cdf(k + 1, mu[n], inverse[n], nsym, floor, table) - start)
        if freq == 0:
            return -1
        h = head[lane]
        if h >= _LIMIT * freq:
            at -= 1
            words[at] = np.uint32(h)
            h >>= _WORD
        head[lane] = ((h // freq) << _SHIFT) + h % freq + np.uint64(start)
    return at


@njit(cache=True, nogil=True)
def _push_freqs(head: Any, starts: Any, freqs: Any, precision: Any, words: Any) -> int:
    lanes, at = len(head), len(words)
    limit = (_LOWER >> precision) << _WORD
    for n in range(len(starts) - 1, -1, -1):
        lane = n % lanes
        freq, h = freqs[n], head[lane]
        if h >= limit * freq:
            at -= 1
            words[at] = np.uint32(h)
            h >>= _WORD
        head[lane] = ((h // freq) << precision) + h % freq + starts[n]
    return at


def push_logistic(
    head: Head, symbols: NDArray[np.int32], mu: NDArray[np.int32], e: NDArray[np.int32], nsym: int, floor: int
) -> tuple[Head, Words]:
    """See :class:`bbcodec.coding.kernels.RansKernels`."""
    check_lengths(len(head), len(symbols), len(mu), len(e))
    logistic_tables.check_nsym(nsym, floor)
    check_symbols(symbols, nsym)
    location, inverse = logistic_tables.clamp_parameters(mu, e)
    head, words = head.copy(), np.empty(len(symbols), np.uint32)
    first = _push_logistic(
        head, symbols, location, inverse, nsym, floor, words, logistic_tables.sigmoid_table()
    )
    if first < 0:
        raise ValueError("a symbol has no probability")
    return head, words[first:].copy()


def pop_logistic(
    head: Head, mu: NDArray[np.int32], e: NDArray[np.int32], nsym: int, floor: int, words: Words
) -> tuple[Head, NDArray[np.int32], int]:
    """See :class:`bbcodec.coding.kernels.RansKernels`."""
    check_lengths(len(head), len(mu), len(e))
    logistic_tables.check_nsym(nsym, floor)
    location, inverse = logistic_tables.clamp_parameters(mu, e)
    head, symbols = head.copy(), np.empty(len(mu), np.int32)
    consumed = _pop(
        head,
        location,
        inverse,
        nsym,
        floor,
        words,
        logistic_tables.sigmoid_table(),
        logistic_tables.guess_table(),
        symbols,
    )
    if consumed < 0:
        raise MessageUnderflow(f"the {len(words)} words left do not hold {len(mu)} symbols")
    return head, symbols, consumed


def push_freqs(
    head: Head, starts: NDArray[np.uint64], freqs: NDArray[np.uint64], precision: int
) -> tuple[Head, Words]:
    """See :class:`bbcodec.coding.kernels.RansKernels`."""
    check_lengths(len(head), len(starts), len(freqs))
    check_intervals(starts, freqs, precision)
    head, words = head.copy(), np.empty(len(starts), np.uint32)
    first = _push_freqs(head, starts, freqs, np.uint64(precision), words)
    return head, words[first:].copy()


def push_sections(
    head: Head,
    starts: NDArray[np.uint32],
    freqs: NDArray[np.uint32],
    sections: NDArray[np.int64],
    precision: int,
) -> tuple[Head, Words]:
    """See :class:`bbcodec.coding.kernels.RansKernels`."""
    check_lengths(len(head), len(starts), len(freqs))
    return push_freqs(head, *padded(starts, freqs, sections, len(head), precision), precision)
