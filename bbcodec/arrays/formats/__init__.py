# SPDX-License-Identifier: Apache-2.0
"""Find the arrays in files of other formats: NumPy, DICOM, NIfTI, FITS, TIFF.

Each module finds where the samples stand in the bytes of a file (`parts.Parts`), with the library that its
format's users know. Nothing else of a file is interpreted: what is not samples is kept as it is.
"""

from __future__ import annotations

from bbcodec.arrays.formats.parts import Parts
from bbcodec.arrays.formats.registry import FORMATS, HEAD_BYTES, Format, format_of, holds_arrays, open_file

__all__ = ["FORMATS", "HEAD_BYTES", "Format", "Parts", "format_of", "holds_arrays", "open_file"]
