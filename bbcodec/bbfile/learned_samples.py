# SPDX-License-Identifier: Apache-2.0
"""What a model codes of a picture (``CHNS``), and the picture's samples from that.

A model knows 8-bit gray and RGB, each with or without alpha. So bits are coded as 0 and 255, indices as the
colours of their entries, and of samples of 16 bits only the high bytes. `bbcodec.bbfile.deep_samples` has
whole samples of 16 bits.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.bbfile import deep_samples, palette_section
from bbcodec.container import Section
from bbcodec.errors import FormatError
from bbcodec.picture import planes
from bbcodec.picture.picture import Mode, Palette, Picture

__all__ = ["channels", "is_learnable", "restored", "samples_of"]

MASKS: Final = (planes.COLOUR, planes.COLOUR | planes.ALPHA)
"""What a section ``CHNS`` may hold besides the masks of `bbcodec.bbfile.deep_samples`."""

_SET: Final = 255  # of a bit that is 1
_RGB: Final = 3


def is_learnable(mask: int, mode: Mode) -> bool:
    """Return whether a section ``CHNS`` may hold the samples of a mask."""
    if deep_samples.is_deep(mask):
        return mask == planes.every(mode)
    return mask in MASKS and planes.shape(mask, mode, 1, 1) is not None


def channels(mask: int, mode: Mode) -> int:
    """Return the channels of the samples that a model codes for a mask, 1 to 4."""
    if mode.name == "P":
        return _RGB
    found = planes.shape(mask, mode, 1, 1)
    assert found is not None  # the mask is learnable
    return found[0][2]


def samples_of(picture: Picture, mask: int, mode: Mode) -> NDArray[np.uint8] | None:
    """Return what a model codes, uint8 ``[H, W, C]``; None if the indices would not come back.

    That is so where two entries of the palette that are used differ in alpha alone, or not at all.
    """
    if picture.palette is not None:
        return palette_section.paint(picture.palette, picture.pixels, alpha=False)
    samples = planes.select(picture.pixels, mask, mode)
    return samples.astype(np.uint8) * np.uint8(_SET) if mode.dtype == "bool" else samples


def restored(
    samples: NDArray[np.uint8], mode: Mode, stored: Section | None
) -> tuple[NDArray[Any], Palette | None]:
    """Return the samples of a picture from what a model coded, and the palette of mode P.

    Parameters
    ----------
    samples : uint8 ``[H, W, C]``
    stored : section of the palette, or None.

    Raises
    ------
    FormatError
        No picture of this mode is coded so.
    """
    if mode.name == "P":
        if stored is None:
            raise FormatError("file: indices are coded as colours, but there is no palette")
        whole = samples if palette_section.channels(stored) == _RGB else None
        palette = palette_section.unpack_palette(stored, whole)
        return palette_section.unpaint(samples, palette)[:, :, None], palette
    if mode.dtype == "bool":
        if ((samples != 0) & (samples != _SET)).any():
            raise FormatError("file: the model's samples of a bilevel picture are not all 0 or 255")
        return samples != 0, None
    return samples, None
