# SPDX-License-Identifier: Apache-2.0
"""The readers of image files by format, and the one function that all of them are called by."""

from __future__ import annotations

import os
from typing import BinaryIO

from bbcodec.container import MAX_PIXELS
from bbcodec.picture import files
from bbcodec.picture.formats.reading import Reading
from bbcodec.picture.picture import Picture

__all__ = ["read", "read_again"]


def read(source: str | os.PathLike[str] | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Reading:
    """Read an image file; errors as of `bbcodec.read_image`."""
    return Reading(files.read_image(source, max_pixels=max_pixels), "")


def read_again(source: str | os.PathLike[str] | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Picture | None:
    """Read an image file in another way than `read`; None if there is no other way.

    PNG and TIFF have one. What it returns equals the picture of `read` in mode, pixels and palette, unless
    one of the two readers is wrong.
    """
    return None
