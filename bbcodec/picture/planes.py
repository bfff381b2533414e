# SPDX-License-Identifier: Apache-2.0
"""Plane masks: select the samples of a picture that a payload holds, and put them back.

A picture is one array. A coder gets the samples of a *plane mask*: colour or alpha channels, as whole samples
or as their high or low bytes. Nothing is coded here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.picture.picture import Mode

__all__ = ["ALPHA", "ALPHA_LOW", "COLOUR", "COLOUR_LOW", "describe", "every", "place", "select", "shape"]

COLOUR = 1
"""Colour or gray channels, bilevel samples, palette indices: whole samples, or their high bytes."""
ALPHA = 2
"""The alpha channel: whole samples, or their high bytes."""
COLOUR_LOW = 4
"""Low bytes of 16-bit colour channels."""
ALPHA_LOW = 8
"""Low bytes of a 16-bit alpha channel."""


def every(mode: Mode) -> int:
    """Return the mask of all samples of a mode.

    Examples
    --------
    >>> from bbcodec.picture.picture import MODES
    >>> every(MODES["RGB"]), every(MODES["LA;16"])
    (1, 15)
    """
    mask = COLOUR | (ALPHA if mode.alpha else 0)
    return mask | mask << 2 if mode.dtype == "uint16" else mask


def describe(mask: int) -> str:
    """Return the description of a mask for messages.

    Examples
    --------
    >>> describe(COLOUR | ALPHA)
    'colour + alpha'
    """
    names = {COLOUR: "colour", ALPHA: "alpha", COLOUR_LOW: "colour low bytes", ALPHA_LOW: "alpha low bytes"}
    return " + ".join(name for bit, name in names.items() if mask & bit)


def _parts(mask: int, mode: Mode) -> tuple[slice, str] | None:
    """Return the channels of a mask and their part (whole, high, low); None if the mode has no such mask."""
    high, low = mask & 3, mask >> 2
    if not mask or mask & ~every(mode) or (high and low and high != low):
        return None
    group = high or low
    channels = slice(0 if group & COLOUR else mode.colours, mode.channels if group & ALPHA else mode.colours)
    return channels, "whole" if mode.dtype != "uint16" or (high and low) else "high" if high else "low"


def shape(mask: int, mode: Mode, height: int, width: int) -> tuple[tuple[int, int, int], str] | None:
    """Return shape ``[H, W, C]`` and dtype name of the samples of a mask; None if the mode lacks them."""
    parts = _parts(mask, mode)
    if parts is None:
        return None
    channels, what = parts
    return (height, width, channels.stop - channels.start), mode.dtype if what == "whole" else "uint8"


def select(pixels: NDArray[Any], mask: int, mode: Mode) -> NDArray[Any]:
    """Return the samples of a mask as a contiguous array ``[H, W, C]``.

    Raises
    ------
    ValueError
        The mode does not have these planes.
    """
    parts = _parts(mask, mode)
    if parts is None:
        raise ValueError(f"mode {mode.name} has no planes {mask}")
    channels, what = parts
    samples = pixels.reshape(*pixels.shape[:2], -1)[:, :, channels]
    if what == "high":
        samples = (samples >> 8).astype(np.uint8)
    elif what == "low":
        samples = (samples & 255).astype(np.uint8)
    return np.ascontiguousarray(samples)


def place(pixels: NDArray[Any], samples: NDArray[Any], mask: int, mode: Mode) -> None:
    """Write the samples of a mask into `pixels`, in place. High and low bytes are added to zero bytes.

    Raises
    ------
    ValueError
        The mode does not have these planes.
    """
    parts = _parts(mask, mode)
    if parts is None:
        raise ValueError(f"mode {mode.name} has no planes {mask}")
    channels, what = parts
    target = pixels.reshape(*pixels.shape[:2], -1)[:, :, channels]
    if what == "whole":
        target[...] = samples
    else:
        target |= samples.astype(np.uint16) << 8 if what == "high" else samples
