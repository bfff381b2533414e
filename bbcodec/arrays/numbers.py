# SPDX-License-Identifier: Apache-2.0
"""Samples of any numeric type as integers in the order of their values, and back, bit for bit.

The bits of a float, read as an unsigned integer b, stand for b, or for -1 - (b without its sign) if the float
is negative: so -0.0 is -1 and 0.0 is 0, and every NaN comes back with its payload. Unsigned integers of 64
bits are read as signed ones.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["DTYPES", "integers", "limits", "samples"]

DTYPES: Final = tuple(
    map(
        np.dtype,
        (
            *("|u1", "<u2", ">u2", "|i1", "<i2", ">i2", "<u4", ">u4", "<i4", ">i4"),
            *("<f4", ">f4", "<f2", ">f2", "<u8", ">u8", "<i8", ">i8", "<f8", ">f8", "|b1"),
        ),
    )
)
"""Types of samples; a chunk names one by its place here. New ones go to the end."""


def limits(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Return the least and the largest integer that a sample becomes."""
    if dtype.kind == "b":
        return 0, 1
    bits = 8 * dtype.itemsize
    if dtype.kind == "u" and bits < 64:
        return 0, (1 << bits) - 1
    return -(1 << bits - 1), (1 << bits - 1) - 1


def integers(array: NDArray[Any]) -> NDArray[np.int64]:
    """Return the integers of samples."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.dtype.kind == "f":
        bits = np.ascontiguousarray(native).view(f"i{native.dtype.itemsize}").astype(np.int64)
        least = limits(native.dtype)[0]
        return np.where(bits < 0, -1 - (bits - least), bits)
    return native.astype(np.int64)


def samples(numbers: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return the samples of integers."""
    if dtype.kind == "f":
        least = limits(dtype)[0]
        bits = np.where(numbers < 0, least + (-1 - numbers), numbers)
        native = bits.astype(f"i{dtype.itemsize}").view(dtype.newbyteorder("="))
    else:
        native = numbers
    return native.astype(dtype)
