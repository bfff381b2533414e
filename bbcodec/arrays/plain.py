# SPDX-License-Identifier: Apache-2.0
"""Code samples as bytes with deflate or LZMA: for arrays that repeat themselves more than a model can tell.

docs/format.md, "Chunks", way 3, defines the bytes.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.classic import generic
from bbcodec.container import Reader
from bbcodec.container.inflate import inflate

__all__ = ["decode", "encode", "may_win"]

_BY_PLACE, _LZMA = 1, 2  # bits of the form
_SAMPLE_BYTES: Final = 1 << 20
_MARGIN: Final = 1.15  # a fast deflate that is larger by this still tells that LZMA may win


def may_win(array: NDArray[Any], size: int) -> bool:
    """Return whether `encode` may give less than `size` bytes, by a fast look at a part of the array."""
    raw = _bytes(array)
    start = max(0, (len(raw) - _SAMPLE_BYTES) // 2 // array.itemsize * array.itemsize)
    part = raw[start : start + _SAMPLE_BYTES // array.itemsize * array.itemsize]
    least = min(len(zlib.compress(form, 1)) for form in (part, _by_place(part, array.itemsize)))
    return least * len(raw) < _MARGIN * size * len(part)


def encode(array: NDArray[Any]) -> bytes:
    """Return the form and the packed bytes of samples of any shape, whichever form is the smallest."""
    raw = _bytes(array)
    forms = {0: raw} if array.itemsize == 1 else {0: raw, _BY_PLACE: _by_place(raw, array.itemsize)}
    found = [bytes([form]) + generic.deflate(data) for form, data in forms.items()]
    found += [bytes([form | _LZMA]) + generic.compress_lzma(data) for form, data in forms.items()]
    return min(found, key=len)


def decode(reader: Reader, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return `count` samples, which fill the reader.

    Raises
    ------
    FormatError
        The bytes are damaged.
    """
    form = reader.u8("form of the bytes")
    if form & ~(_BY_PLACE | _LZMA):
        raise reader.error(f"form {form} of the bytes is not defined")
    size = count * dtype.itemsize
    raw = generic.expand_lzma(reader, size) if form & _LZMA else inflate(reader, size)
    data = np.frombuffer(raw, np.uint8)
    if form & _BY_PLACE:
        data = np.ascontiguousarray(data.reshape(dtype.itemsize, count).T)
    little = data.reshape(-1).view(dtype.newbyteorder("<"))
    return little.astype(dtype.newbyteorder("="))  # a copy, which the caller may change


def _bytes(array: NDArray[Any]) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def _by_place(raw: bytes, width: int) -> bytes:
    """Return the first bytes of all samples, then the second ones, and so on."""
    return np.frombuffer(raw, np.uint8).reshape(-1, width).T.tobytes()
