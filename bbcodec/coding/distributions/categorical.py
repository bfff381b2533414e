# SPDX-License-Identifier: Apache-2.0
"""Codecs of symbols with tables of integer frequencies: one table for all symbols, or one for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bbcodec.coding.codecs import Codec, vector_codec

MAX_PRECISION = 27


def Categorical(freqs: ArrayLike, shape: tuple[int, ...] | None = None, backend: str | None = None) -> Codec:
    """Return a codec of symbols ``0 .. K - 1`` with given frequencies.

    Parameters
    ----------
    freqs : integers [K] or [..., K]
        Not negative. Along the last axis they sum to one power of two, at most 2**27. A symbol of frequency
        0 cannot be pushed.
    shape : tuple of int or None
        Shape of the symbols, to which ``freqs.shape[:-1]`` is broadcast. None means ``freqs.shape[:-1]``, or
        the shape of the head if ``freqs`` is one table.
    backend : str or None
        Kernels that push; the words do not depend on them.

    Raises
    ------
    TypeError
        The frequencies are not integers.
    ValueError
        The frequencies do not follow the rules above.

    >>> from bbcodec.coding.ans import base_message
    >>> codec = Categorical([1, 2, 1], (4,), backend="numpy")
    >>> message, = codec.push(base_message(2), [0, 1, 2, 1])
    >>> codec.pop(message)[1]
    array([0, 1, 2, 1], dtype=int32)
    """
    table = np.asarray(freqs)
    if table.dtype.kind not in "iu":
        raise TypeError(f"frequencies must be integers, got {table.dtype}")
    if table.ndim < 1 or not table.shape[-1]:
        raise ValueError("freqs needs a last axis of at least one symbol")
    if shape is None and table.ndim > 1:
        shape = table.shape[:-1]
    k = table.shape[-1]
    table = table.astype(np.int64)
    if table.ndim > 1:
        table = np.broadcast_to(table, (*(shape or ()), k))
    rows = table.reshape(-1, k)
    if (rows < 0).any() or (rows > 1 << MAX_PRECISION).any():
        raise ValueError(f"frequencies must be in 0..2**{MAX_PRECISION}")
    ends = np.zeros((len(rows), k + 1), np.int64)
    np.cumsum(rows, axis=1, out=ends[:, 1:])
    total = int(ends[0, -1]) if len(ends) else 1
    precision = total.bit_length() - 1
    if total != 1 << max(precision, 0) or precision > MAX_PRECISION or (ends[:, -1] != total).any():
        raise ValueError(f"frequencies must sum to one power of two up to 2**{MAX_PRECISION}")

    def table_rows(part: slice) -> NDArray[np.int64]:
        return ends if len(ends) == 1 else ends[part]

    def encode(symbols: NDArray[np.int64], part: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if ((symbols < 0) | (symbols >= k)).any():
            raise ValueError(f"a symbol is not in 0..{k - 1}")
        mine = table_rows(part)
        row = np.arange(len(symbols)) if len(mine) > 1 else np.zeros(len(symbols), np.intp)
        start = mine[row, symbols]
        return start, mine[row, symbols + 1] - start

    def decode(cf: NDArray[np.int64], part: slice) -> NDArray[np.int64]:
        symbols: NDArray[np.int64] = (table_rows(part)[:, 1:] <= cf[:, None]).sum(axis=1)
        return symbols

    return vector_codec(encode, decode, shape, precision, backend)


def quantise(counts: ArrayLike, precision: int) -> NDArray[np.int64]:
    """Return frequencies of at least 1 that sum to ``2**precision`` from counts, with integers only.

    Every symbol gets 1 and its share of the rest, rounded down. The symbol with the greatest count gets what
    remains.

    Parameters
    ----------
    counts : integers [..., K]
        ``0 <= count < 2**35`` with a sum below 2**35. All zeros mean a uniform distribution.
    precision : int
        At most 27, with ``K <= 2**precision``.

    Returns
    -------
    int64 [..., K]

    Raises
    ------
    ValueError
        The counts or the precision are outside these ranges.

    >>> quantise([0, 3, 1], 4)
    array([ 1, 11,  4])
    """
    c = np.asarray(counts).astype(np.int64)
    if not 0 <= precision <= MAX_PRECISION:
        raise ValueError(f"precision must be in 0..{MAX_PRECISION}, got {precision}")
    if c.ndim < 1 or not 1 <= c.shape[-1] <= 1 << precision:
        raise ValueError(f"{c.shape} counts do not fit precision {precision}")
    c = np.where(c.any(axis=-1, keepdims=True), c, 1)
    total = c.sum(axis=-1, keepdims=True)
    if (c < 0).any() or (total >= 1 << 35).any():
        raise ValueError("counts must not be negative, with a sum below 2**35")
    freqs: NDArray[np.int64] = 1 + c * ((1 << precision) - c.shape[-1]) // total
    greatest = np.argmax(c, axis=-1, keepdims=True)
    spare = (1 << precision) - freqs.sum(axis=-1, keepdims=True)
    np.put_along_axis(freqs, greatest, np.take_along_axis(freqs, greatest, axis=-1) + spare, axis=-1)
    return freqs
