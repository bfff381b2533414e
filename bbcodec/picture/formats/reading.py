# SPDX-License-Identifier: Apache-2.0
"""What a reader of image files returns."""

from __future__ import annotations

from dataclasses import dataclass

from bbcodec.picture.picture import Picture

__all__ = ["Reading"]


@dataclass(frozen=True)
class Reading:
    """The picture of an image file, and what it does not hold of the file.

    A reader accounts for every sample and every piece of meaning of its source: it is in the picture, or
    named in `left_out`, or the reader raises `UnsupportedImageError`.

    Parameters
    ----------
    picture : Picture
    format : str
        Name of the format, in capitals: PNG, TIFF, ...
    left_out : tuple of str
        What the picture does not hold, in words for messages; empty if it holds everything.
    lossy : bool
        Whether the file was compressed with loss, so that its pixels take more bytes than the file.
    """

    picture: Picture
    format: str
    left_out: tuple[str, ...] = ()
    lossy: bool = False
