# SPDX-License-Identifier: Apache-2.0
"""Which format holds a picture, where the user names none."""

from __future__ import annotations

from bbcodec.picture.formats import tiff_metadata
from bbcodec.picture.picture import Picture

__all__ = ["default_format"]


def default_format(picture: Picture) -> str:
    """Return ``tif`` where PNG cannot say what the samples mean, else ``png``.

    PNG has no samples whose 0 is white, no alpha that colours are multiplied with, and no palette of 16 bits.

    Examples
    --------
    >>> import numpy as np
    >>> default_format(Picture(np.zeros((2, 2), np.uint8), "L"))
    'png'
    """
    deep_palette = picture.mode == "P" and picture.metadata.note(
        tiff_metadata.FORMAT, tiff_metadata.COLOUR_MAP
    )
    return "tif" if picture.white_is_zero or picture.has_associated_alpha or deep_palette else "png"
