# SPDX-License-Identifier: Apache-2.0
"""A Reed-Solomon code over GF(2^16): from k data rows it makes m parity rows; any m lost rows come back.

Rows are ``[words]`` of uint16; all words of a row are coded alike. docs/format.md ("Recovery") has the
equations. The points of the code are a linear space, so that transforms take n log n steps: "Novel polynomial
basis and its application to Reed-Solomon erasure codes" (Lin, Chung, Han; FOCS 2014), with a Cantor basis,
for which all constants of a transform are points. Nothing here knows files.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["MAX_ROWS", "Code", "Points", "points"]

MAX_ROWS: Final = 1 << 16
"""Rows of a code: one for each element of the field."""

_POLYNOMIAL: Final = 0x1100B  # x^16 + x^12 + x^3 + x + 1, of which 2 is a primitive root
_ORDER: Final = 65535  # of the multiplicative group
_LOG_OF_ZERO: Final = 2 * _ORDER  # sums with it are beyond all sums of logarithms; _EXP is 0 there
_SLICE_WORDS: Final = 1 << 17  # words that are transformed at a time: they and their logarithms fit caches
_MIN_SLICE_WORDS: Final = 16  # words of a row: loops over fewer take longer than what they do

Words = NDArray[np.uint16]


class Points(NamedTuple):
    """Tables of the field.

    Attributes
    ----------
    exp : ``exp[a + b]`` is the product of the numbers with the logarithms a and b.
    log : logarithms, int64, of all numbers; that of 0 is a mark.
    omega : the points of the code, uint16 [65536]: number i is the sum of the basis elements of its bits.
    """

    exp: Words
    log: NDArray[np.int64]
    omega: Words

    def times(self, words: Words, factor_logs: NDArray[np.int64]) -> Words:
        """Return the products of words with the numbers of some logarithms (broadcast)."""
        logs = np.take(self.log, words)
        logs += factor_logs
        return np.take(self.exp, logs)


@lru_cache(maxsize=1)
def points() -> Points:
    """Return the tables of the field."""
    exp = np.zeros(2 * _LOG_OF_ZERO + 1, np.uint16)
    log = np.full(MAX_ROWS, _LOG_OF_ZERO, np.int64)
    power = 1
    powers = []
    for _ in range(_ORDER):
        powers.append(power)
        power <<= 1
        power ^= _POLYNOMIAL if power >> 16 else 0
    exp[:_ORDER] = exp[_ORDER:_LOG_OF_ZERO] = powers
    log[powers] = np.arange(_ORDER)
    # Cantor basis: b[0] = 1, and b[i] is the even solution of y^2 + y = b[i - 1].
    even = np.arange(0, MAX_ROWS, 2, dtype=np.uint16)
    images = np.take(exp, 2 * log[even]) ^ even
    images[0] = 0
    basis = [1]
    for _ in range(15):
        basis.append(int(even[np.flatnonzero(images == basis[-1])[0]]))
    omega = np.zeros(MAX_ROWS, np.uint16)
    for bit, element in enumerate(basis):
        omega[1 << bit : 2 << bit] = omega[: 1 << bit] ^ element
    return Points(exp, log, omega)


def _power_of_two(least: int) -> int:
    """Return the smallest power of two that is at least `least`."""
    return 1 << max(0, least - 1).bit_length()


@dataclass(frozen=True)
class Code:
    """A code of `data` and `parity` rows.

    Row j of the parity has number j in the code, row p of the data has number `first` + p. Numbers from
    `parity` to `first` are computed but not kept. Numbers behind the data are rows of zeros.

    Attributes
    ----------
    data, parity : numbers of rows, at least 1.

    Raises
    ------
    ValueError
        The code would have more than `MAX_ROWS` rows.
    """

    data: int
    parity: int

    def __post_init__(self) -> None:
        if self.data < 1 or self.parity < 1 or self.first + self.data > MAX_ROWS:
            raise ValueError(f"no code of {self.data} rows and {self.parity} rows of parity")

    @property
    def first(self) -> int:
        """Number of the first row of data: the parity rounded up to a power of two."""
        return _power_of_two(self.parity)

    def encode(self, data: Words, threads: int = 1) -> Words:
        """Return the parity, ``[parity, words]``, of rows ``[data, words]``; threads do not change it."""
        out = np.empty((self.parity, data.shape[1]), np.uint16)

        def encode_some(part: slice) -> None:
            transform = _Transform(self.first, part.stop - part.start)
            total = np.zeros_like(transform.rows)
            for at in range(0, self.data, self.first):
                some = data[at : at + self.first, part]
                transform.rows[: len(some)] = some
                transform.rows[len(some) :] = 0
                transform.inverse(self.first + at)
                total ^= transform.rows
            transform.rows[...] = total
            transform.forward(0)
            out[:, part] = transform.rows[: self.parity]

        _each(encode_some, _slices(self.first, data.shape[1]), threads)
        return out

    def recover(self, rows: Words, lost: NDArray[np.bool_], threads: int = 1) -> None:
        """Compute lost rows from the others, in place.

        Parameters
        ----------
        rows : parity then data, uint16 ``[parity + data, words]``; what lost rows hold does not matter.
        lost : bool ``[parity + data]``.
        threads : number of threads; the result does not depend on it.

        Raises
        ------
        ValueError
            More rows are lost than there are rows of parity.
        """
        if lost.sum() > self.parity:
            raise ValueError(f"{lost.sum()} rows are lost, {self.parity} can be computed")
        if not lost.any():
            return
        numbers = np.r_[: self.parity, self.first : self.first + self.data]
        size = _power_of_two(self.first + self.data)
        erased = np.zeros(size, bool)
        erased[self.parity : self.first] = True
        erased[numbers[lost]] = True
        locator = _locator_logs(erased)
        table = points()
        found = numbers[lost]
        known = np.where(erased, _LOG_OF_ZERO, locator)[:, None]

        def recover_some(part: slice) -> None:
            transform = _Transform(size, part.stop - part.start)
            work = transform.rows
            work[...] = 0
            work[numbers] = rows[:, part]
            work[...] = table.times(work, known)
            transform.inverse(0)
            work[...] = _derivative(work)
            transform.forward(0)
            rows[lost, part] = table.times(work[found], (_ORDER - locator[found])[:, None])

        _each(recover_some, _slices(size, rows.shape[1]), threads)


def _each(work: Callable[[slice], None], parts: list[slice], threads: int) -> None:
    """Do work for every slice, on several threads."""
    points()  # made once, before threads need it
    if threads < 2 or len(parts) < 2:
        for part in parts:
            work(part)
        return
    with ThreadPoolExecutor(min(threads, len(parts))) as pool:
        list(pool.map(work, parts))


def _slices(count: int, words: int) -> list[slice]:
    """Return slices of the words of `count` rows, each of about `_SLICE_WORDS` words."""
    step = max(_MIN_SLICE_WORDS, _SLICE_WORDS // count)
    return [slice(at, min(words, at + step)) for at in range(0, words, step)]


class _Transform:
    """Transforms of `rows`, uint16 ``[size, words]``, in place. The size is a power of two.

    In each layer, half of the rows times constants are added to the other half.
    """

    def __init__(self, size: int, words: int) -> None:
        self.rows: Words = np.empty((size, words), np.uint16)
        self._points = points()
        self._bits = size.bit_length() - 1
        self._logs = np.empty(size * words // 2, np.int64)
        self._products = np.empty(size * words // 2, np.uint16)

    def inverse(self, offset: int) -> None:
        """Replace values at the points `offset` … by coefficients of the basis of products."""
        for bit in range(self._bits):
            low, high = self._halves(bit)
            high ^= low
            low ^= self._times(high, (offset >> bit) + 2 * np.arange(len(high)))

    def forward(self, offset: int) -> None:
        """Undo `inverse`: replace coefficients by values."""
        for bit in reversed(range(self._bits)):
            low, high = self._halves(bit)
            low ^= self._times(high, (offset >> bit) + 2 * np.arange(len(high)))
            high ^= low

    def _halves(self, bit: int) -> tuple[Words, Words]:
        """Return the rows without and with a bit in their number, ``[blocks, rows of a block, words]``."""
        pairs = self.rows.reshape(-1, 2, 1 << bit, self.rows.shape[1])
        return pairs[:, 0], pairs[:, 1]

    def _times(self, rows: Words, numbers: NDArray[np.int64]) -> Words:
        """Return the products of blocks of rows with points of the code."""
        table, logs = self._points, self._logs.reshape(rows.shape)
        products = self._products.reshape(rows.shape)
        # With mode "clip", take writes to its output without a copy of its own. No index is out of bounds.
        np.take(table.log, rows, out=logs, mode="clip")
        logs += table.log[table.omega[numbers]][:, None, None]
        np.take(table.exp, logs, out=products, mode="clip")
        return products


def _derivative(rows: Words) -> Words:
    """Return the coefficients of the formal derivative: those of bit j of the number move to its absence."""
    out = np.zeros_like(rows)
    for bit in range(len(rows).bit_length() - 1):
        pairs = (len(rows) >> bit + 1, 2, 1 << bit, rows.shape[1])
        out.reshape(pairs)[:, 0] ^= rows.reshape(pairs)[:, 1]
    return out


def _locator_logs(erased: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each row i the logarithm of the product of (point i - point e) over erased rows e, not i.

    The difference of two points is the point of the xor of their numbers, so this is a convolution by xor:
    two Walsh-Hadamard transforms, modulo the order of the group.
    """
    table = points()
    logs = table.log[table.omega[: len(erased)]].copy()
    logs[0] = 0
    product = _walsh(erased.astype(np.int64)) * _walsh(logs) % _ORDER
    bits = len(erased).bit_length() - 1
    return _walsh(product) * (1 << (16 - bits)) % _ORDER  # 2^16 is 1: this divides by 2^bits


def _walsh(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the Walsh-Hadamard transform modulo the order of the group."""
    out = values.copy()
    for bit in range(len(out).bit_length() - 1):
        pairs = out.reshape(-1, 2, 1 << bit)
        low, high = pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]
        pairs[:, 0], pairs[:, 1] = low, high
    return out % _ORDER
