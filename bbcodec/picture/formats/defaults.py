# SPDX-License-Identifier: Apache-2.0
"""Which format holds a picture, where the user names none."""

from __future__ import annotations

from bbcodec.picture.formats import tiff
from bbcodec.picture.metadata import Metadata

__all__ = ["default_format"]


def default_format(mode: str, metadata: Metadata) -> str:
    """Return ``tif`` where PNG cannot say what the samples mean, else ``png``.

    PNG has no samples whose 0 is white, no alpha that colours are multiplied with, and no palette of 16 bits.

    Examples
    --------
    >>> default_format("L", Metadata())
    'png'
    """
    deep_palette = mode == "P" and metadata.note(tiff.FORMAT, tiff.COLOUR_MAP)
    only_tiff = metadata.white_is_zero or metadata.has_associated_alpha or deep_palette
    return "tif" if only_tiff else "png"
