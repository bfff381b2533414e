# SPDX-License-Identifier: Apache-2.0
"""Decode a picture with one reader of Pillow, within a limit of pixels, silently."""

from __future__ import annotations

import warnings
from typing import BinaryIO

from PIL import Image

from bbcodec.errors import BBCodecError, FormatError, LimitError
from bbcodec.picture.picture import Picture
from bbcodec.picture.pillow_limit import limited

__all__ = ["picture_of"]


def picture_of(file: BinaryIO, format: str, max_pixels: int) -> Picture:
    """Return the picture that Pillow's reader of a format finds in a seekable file.

    Raises
    ------
    UnsupportedImageError
        Pillow would reduce the samples, the mode has no place here, or there are several pictures.
    FormatError
        The file is damaged.
    LimitError
        The image has more than `max_pixels`.
    """
    with warnings.catch_warnings():  # readers warn about damage that they tolerate
        warnings.simplefilter("ignore")
        with limited(max_pixels):
            try:
                image = Image.open(file, formats=(format,))
            except Image.DecompressionBombError as error:
                raise LimitError(f"{error}; the limit is {max_pixels}") from error
            # UnidentifiedImageError, or any error of a reader on a damaged header
            except Exception as error:
                raise FormatError(f"{format}: not an image that Pillow can read, or damaged") from error
        with image:
            if image.width * image.height > max_pixels:
                raise LimitError(f"{image.width} x {image.height} is above the limit of {max_pixels} pixels")
            try:
                return Picture.of(image)
            except BBCodecError:
                raise
            except Exception as error:  # Pillow's readers raise many kinds on damaged files
                raise FormatError(f"{format}: the picture cannot be read: {error}") from error
