# SPDX-License-Identifier: Apache-2.0
"""Symbols of the mixture, and numbers that are equally likely: noted, or taken off a message."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from bbcodec.coding.logistic_tables import PRECISION, sigmoid_table
from bbcodec.families.deep.tables import WINDOW

from .function import function
from .numbers import clamp
from .state import Coder, State

LANES: Final = 8  # of the message

_SIGMOID: Final = sigmoid_table()
_TOTAL: Final = 1 << PRECISION
_HALF_RANGE: Final = 1 << 19  # of A
_MASK: Final = np.uint64(_TOTAL - 1)
_SHIFT: Final = np.uint64(PRECISION)
_WORD: Final = np.uint64(32)
_LOWER: Final = np.uint64(1 << 31)


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
def record(coder: Coder, start: int, end: int, pixel: int) -> None:
    """Note a symbol that will be pushed."""
    at = coder.at[0]
    coder.start[at] = start
    coder.freq[at] = end - start
    if len(coder.pixels):
        coder.pixels[at] = pixel
    coder.at[0] = at + 1


@function
def peek(coder: Coder, lane: int) -> Any:
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
def code_symbol(coder: Coder, lane: int, mixture: Any, symbols: int, x: int, pixel: int) -> int:
    """Code a symbol of the window."""
    if not coder.decoding:
        record(coder, cdf(mixture, x, symbols), cdf(mixture, x + 1, symbols), pixel)
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
def code_uniform(coder: Coder, lane: int, count: int, x: int, pixel: int) -> int:
    """Code one of `count` symbols that are equally likely, as far as 2^20 can be divided."""
    if coder.decoding:
        x = ((peek(coder, lane) + 1) * count - 1) >> PRECISION
    start, end = (x << PRECISION) // count, ((x + 1) << PRECISION) // count
    if coder.decoding:
        take(coder, lane, start, end)
    else:
        record(coder, start, end, pixel)
    return x


@function
def escapes(state: State, lane: int, top: int) -> int:
    """Return how many places outside of the window a lane's sample may have; 0 if it is inside."""
    own = state.lane[lane]
    shift: int = own[2]
    base: int = own[3]
    symbols: int = own[4]
    symbol: int = own[7]
    if symbol == 0 and base > 0:
        return base + 1
    if symbol == symbols - 1 and base + symbols - 1 < top >> shift:
        return (top >> shift) - (base + symbols - 1) + 1
    return 0


@function
def end_section(coder: Coder, count: int) -> None:
    if count and not coder.decoding:
        coder.sections[coder.at[1]] = count
        coder.at[1] += 1
