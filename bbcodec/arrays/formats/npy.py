# SPDX-License-Identifier: Apache-2.0
"""NumPy files: one array behind a short header. Objects, texts and records are kept as bytes."""

from __future__ import annotations

import io

from numpy.lib import format as npy

from bbcodec.arrays.axes import default_axes
from bbcodec.arrays.formats.parts import Parts
from bbcodec.errors import FormatError

__all__ = ["find"]


def find(data: bytes, axes: str | None) -> Parts:
    """Return the array of a NumPy file."""
    parts = Parts(data)
    file = io.BytesIO(data)
    try:
        version = npy.read_magic(file)
        if version == (1, 0):
            shape, by_column, dtype = npy.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, by_column, dtype = npy.read_array_header_2_0(file)
        else:  # of records with names that are not Latin
            return parts
    except Exception as error:  # headers are Python literals: there are many ways to be wrong
        raise FormatError(f"damaged NumPy file: {error}") from error
    letters = axes or default_axes(shape)
    if len(letters) == len(shape):
        at = file.tell()
        parts.add(at, dtype, shape[::-1] if by_column else shape, letters[::-1] if by_column else letters)
    return parts
