# SPDX-License-Identifier: Apache-2.0
"""FITS files: the images of all parts (HDU). Tables and compressed images are kept as bytes."""

from __future__ import annotations

import io
import warnings
from typing import Any, Final

from bbcodec.arrays.formats.parts import Parts, library
from bbcodec.errors import FormatError

__all__ = ["find"]

_TYPES: Final = {8: "u1", 16: ">i2", 32: ">i4", 64: ">i8", -32: ">f4", -64: ">f8"}
_LETTERS: Final = "abdefghijklmtzyx"  # the last axis runs fastest


def find(data: bytes, axes: str | None) -> Parts:
    """Return the images of a FITS file, each with its axes in reversed order: ``zyx``."""
    fits = library("astropy.io.fits", "a FITS file")
    parts = Parts(data)
    found: list[Any] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with fits.open(io.BytesIO(data), do_not_scale_image_data=True, lazy_load_hdus=False) as units:
                found = [(type(unit), unit.header, getattr(unit, "fileinfo", dict)()) for unit in units]
            for kind, header, place in found:
                if kind in (fits.PrimaryHDU, fits.ImageHDU) and place:
                    _add(parts, header, place["datLoc"])
        except Exception as error:
            raise FormatError(f"astropy cannot read the FITS file: {error}") from error
    return parts


def _add(parts: Parts, header: Any, at: int) -> None:
    """Add the image of a part of the file, if it has one."""
    count, dtype = header.get("NAXIS"), _TYPES.get(header.get("BITPIX"))
    shape = [header.get(f"NAXIS{axis}") for axis in range(count or 0, 0, -1)]
    is_image = shape and dtype and all(isinstance(side, int) and side > 0 for side in shape)
    if is_image and len(shape) <= len(_LETTERS):
        parts.add(at, dtype, shape, _LETTERS[-len(shape) :])
