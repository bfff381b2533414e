# SPDX-License-Identifier: Apache-2.0
"""Code arrays of at most 256 values, such as labels, as pictures of 8 bits: the ranks of the values.

docs/format.md, "Chunks", way 4, defines the bytes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.arrays import numbers
from bbcodec.classic import generic
from bbcodec.container import Reader, varint
from bbcodec.container.inflate import inflate
from bbcodec.errors import FormatError

__all__ = ["MAX_VALUES", "pack", "ranks", "unpack", "values"]

MAX_VALUES: Final = 256


def ranks(array: NDArray[Any]) -> list[tuple[NDArray[Any], NDArray[np.uint8]]]:
    """Return the values of an array and the ranks of its samples, in one or two orders; nothing if too many.

    The values ascend; and they stand in the order in which they appear, which suits labels.
    """
    whole = numbers.integers(array)
    found, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    if len(found) > MAX_VALUES:
        return []
    table = numbers.samples(found, array.dtype)
    out = [(table, inverse.reshape(array.shape).astype(np.uint8))]
    order = np.argsort(first)
    if (np.diff(order) < 0).any():
        place = np.argsort(order).astype(np.uint8)
        out.append((table[order], place[inverse].reshape(array.shape)))
    return out


def pack(table: NDArray[Any]) -> bytes:
    """Return the bytes of 1 to 256 values."""
    little = table.astype(table.dtype.newbyteorder("<"), copy=False).tobytes()
    packed = generic.deflate(np.frombuffer(little, np.uint8).reshape(len(table), -1).T.tobytes())
    return bytes([len(table) - 1]) + varint(len(packed)) + packed


def unpack(reader: Reader, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return values in native byte order; raise FormatError if the bytes are damaged."""
    count = 1 + reader.u8("number of values")
    size = reader.varint("bytes of the values")
    at = reader.offset
    raw = inflate(Reader(reader.take(size, "values"), "values", at), count * dtype.itemsize)
    little = np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, count).T.tobytes()
    table = np.frombuffer(little, dtype.newbyteorder("<"))
    return table.astype(dtype.newbyteorder("="))


def values(table: NDArray[Any], found: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the values that ranks stand for; raise FormatError if a rank has none."""
    if found.size and int(found.max()) >= len(table):
        raise FormatError(f"chunk: rank {int(found.max())} of {len(table)} values")
    return table[found]
