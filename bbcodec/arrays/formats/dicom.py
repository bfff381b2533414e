# SPDX-License-Identifier: Apache-2.0
"""DICOM files: the pixel data of native transfer syntaxes. Encapsulated and deflated ones stay bytes.

An array of a compressed syntax would not give back the same file.
"""

from __future__ import annotations

import io
import math
import warnings
from typing import Any, Final

from bbcodec.arrays.formats.parts import Parts, library
from bbcodec.errors import FormatError

__all__ = ["find"]

_PIXELS: Final = {(0x7FE0, 0x0010): "", (0x7FE0, 0x0008): "f4", (0x7FE0, 0x0009): "f8"}
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF  # of encapsulated pixel data


def find(data: bytes, axes: str | None) -> Parts:
    """Return the frames of a DICOM file: ``zyx``, ``zyxs`` or ``zsyx``."""
    pydicom = library("pydicom", "a DICOM file")
    parts = Parts(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = pydicom.dcmread(io.BytesIO(data), force=True)  # some have no preamble
        except Exception as error:
            raise FormatError(f"pydicom cannot read the DICOM file: {error}") from error
        for tag, kind in _PIXELS.items():
            if tag in dataset:
                try:
                    _add(parts, dataset, dataset.get_item(tag), kind)
                except Exception:  # an element that says what the pixels are is missing or damaged
                    continue
    return parts


def _add(parts: Parts, dataset: Any, element: Any, kind: str) -> None:
    """Add the frames of an element of pixel data, if they stand in the file as they are."""
    at: Any = getattr(element, "value_tell", None)
    value = element.value
    is_native = at is not None and isinstance(value, bytes) and element.length != _UNDEFINED_LENGTH
    if not is_native or parts.data[at : at + len(value)] != value:
        return
    bits = int(dataset.BitsAllocated)
    if not kind:
        if bits not in (8, 16, 32, 64):
            return
        kind = f"{'i' if int(dataset.PixelRepresentation) else 'u'}{bits // 8}"
    dtype = f"{'<' if element.is_little_endian else '>'}{kind}"
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    frames, samples = int(dataset.get("NumberOfFrames") or 1), int(dataset.get("SamplesPerPixel") or 1)
    shape, letters = (frames, rows, columns, samples), "zyxs"
    if samples > 1 and int(dataset.get("PlanarConfiguration") or 0):
        shape, letters = (frames, samples, rows, columns), "zsyx"
    if "422" in str(dataset.get("PhotometricInterpretation")) and samples > 1:
        shape = (frames, rows, columns, 2)  # Y and one of the two others
    size = int(dtype[-1])
    if math.prod(shape) * size <= len(value):  # padding may follow
        parts.add(at, dtype, shape, letters)
