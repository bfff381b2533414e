# SPDX-License-Identifier: Apache-2.0
"""Codecs of uniform symbols; their number need not be a power of two."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bbcodec.coding.codecs import Codec, vector_codec

PRECISION = 27
MAX_SYMBOLS = 1 << 20  # frequencies are 128 or more: a symbol costs at most 0.012 bits above log2(nsym)


def Uniform(nsym: ArrayLike, shape: tuple[int, ...] | None = None, backend: str | None = None) -> Codec:
    """Return a codec of symbols ``0 .. nsym - 1`` with frequencies of ``2**27 / nsym``, rounded down or up.

    The interval of symbol k is ``[(k << 27) // nsym, ((k + 1) << 27) // nsym)``.

    Parameters
    ----------
    nsym : integers
        1..2**20, scalar or array. Exact for powers of two.
    shape : tuple of int or None
        Shape of the symbols, to which ``nsym`` is broadcast. None means the shape of ``nsym``, or the shape
        of the head if ``nsym`` is a scalar.
    backend : str or None
        Kernels that push; the words do not depend on them.

    Raises
    ------
    TypeError
        ``nsym`` is not an integer.
    ValueError
        ``nsym`` is out of range.

    >>> from bbcodec.coding.ans import base_message
    >>> codec = Uniform(1000, (3,), backend="numpy")
    >>> message, = codec.push(base_message(1), [999, 0, 500])
    >>> codec.pop(message)[1]
    array([999,   0, 500], dtype=int32)
    """
    count = np.asarray(nsym)
    if count.dtype.kind not in "iu":
        raise TypeError(f"nsym must be an integer, got {count.dtype}")
    if count.size and not (count.min() >= 1 and count.max() <= MAX_SYMBOLS):
        raise ValueError(f"nsym must be in 1..{MAX_SYMBOLS}, got {count.min()}..{count.max()}")
    if shape is None and count.ndim:
        shape = count.shape
    flat = count.astype(np.int64)
    if shape is not None:
        flat = np.broadcast_to(flat, shape).reshape(-1)

    def counts(part: slice) -> NDArray[np.int64]:
        return flat[part] if flat.ndim else flat

    def encode(symbols: NDArray[np.int64], part: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        n = counts(part)
        if ((symbols < 0) | (symbols >= n)).any():
            raise ValueError("a symbol is not in 0 .. nsym - 1")
        start = (symbols << PRECISION) // n
        return start, ((symbols + 1) << PRECISION) // n - start

    def decode(cf: NDArray[np.int64], part: slice) -> NDArray[np.int64]:
        symbols: NDArray[np.int64] = ((cf + 1) * counts(part) - 1) >> PRECISION
        return symbols

    return vector_codec(encode, decode, shape, PRECISION, backend)
