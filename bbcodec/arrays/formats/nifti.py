# SPDX-License-Identifier: Apache-2.0
"""NIfTI files of one piece (``.nii``): the array behind header and extensions."""

from __future__ import annotations

import io
import logging
from typing import Final

import numpy as np

from bbcodec.arrays.formats.parts import Parts, library
from bbcodec.errors import FormatError

__all__ = ["find"]

_LETTERS: Final = "wvutzyx"  # the last axis runs fastest
_NIFTI2_BYTES: Final = 540


def find(data: bytes, axes: str | None) -> Parts:
    """Return the array of a NIfTI file, whose axes are those of the file in reversed order: ``tzyx``."""
    nibabel = library("nibabel", "a NIfTI file")
    is_second = _NIFTI2_BYTES in (int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big"))
    kind = nibabel.Nifti2Header if is_second else nibabel.Nifti1Header
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)
    parts = Parts(data)
    try:
        header = kind.from_fileobj(io.BytesIO(data), check=False)
        at, shape = int(header.get_data_offset()), tuple(map(int, header.get_data_shape()[::-1]))
        dtype = header.get_data_dtype()
    except Exception as error:
        raise FormatError(f"nibabel cannot read the NIfTI file: {error}") from error
    letters = _LETTERS[len(_LETTERS) - len(shape) :]
    if dtype.fields:  # colours
        if {field.str for field, *_ in dtype.fields.values()} != {"|u1"}:
            return parts
        shape, letters, dtype = (*shape, dtype.itemsize), letters + "s", np.dtype(np.uint8)
    if len(shape) == len(letters):
        parts.add(at, dtype, shape, letters)
    return parts
