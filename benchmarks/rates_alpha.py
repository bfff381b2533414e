# SPDX-License-Identifier: Apache-2.0
"""Pictures with soft alpha for `rates_sets.py`, composed of photographs and masks. Nothing is read here.

Each shape is made twice: with the colours of the photograph under alpha 0, and with zeros there. Both are
common in files, and a lossless codec must keep them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

__all__ = ["MASKS", "compose", "composed", "with_shadow"]

Pixels = NDArray[np.uint8]
Mask = NDArray[np.uint8]

_FEATHER = 0.25  # width of a soft edge, as a fraction of the radius
_SHADOW_BLUR = 0.03  # of the shorter side
_SHADOW_SHIFT = 0.04  # of the shorter side, down and to the right
_SHADOW_ALPHA = 0.6
_SMOKE_CELLS = 6  # random values of the smoke along each side
_LETTERS = ("Ag", "Rx", "QO", "Me")


def disc(height: int, width: int, seed: int) -> Mask:
    """Return a disc with a feathered edge."""
    y, x = _centred(height, width)
    radius = 0.45 * min(height, width)
    return _mask((radius - np.sqrt(y * y + x * x)) / (_FEATHER * radius))


def gradient(height: int, width: int, seed: int) -> Mask:
    """Return a linear gradient from transparent to opaque, with both ends flat."""
    y, x = _centred(height, width)
    slope = x / width if seed % 2 else y / height
    return _mask(0.5 + 1.25 * slope)


def card(height: int, width: int, seed: int) -> Mask:
    """Return a rectangle with round corners, smooth over one pixel."""
    y, x = _centred(height, width)
    radius = 0.12 * min(height, width)
    dy = np.maximum(np.abs(y) - (0.42 * height - radius), 0)
    dx = np.maximum(np.abs(x) - (0.42 * width - radius), 0)
    return _mask(radius - np.sqrt(dy * dy + dx * dx) + 0.5)


def letters(height: int, width: int, seed: int) -> Mask:
    """Return large letters with the smooth edges of the font renderer."""
    canvas = Image.new("L", (width, height), 0)
    font = ImageFont.load_default(0.7 * min(height, width))
    text = _LETTERS[seed % len(_LETTERS)]
    ImageDraw.Draw(canvas).text((width / 2, height / 2), text, fill=255, font=font, anchor="mm")
    return np.asarray(canvas)


def smoke(height: int, width: int, seed: int) -> Mask:
    """Return smooth noise; a good part of it is transparent."""
    cells = np.random.default_rng(seed).integers(0, 256, (_SMOKE_CELLS, _SMOKE_CELLS), np.uint8)
    soft = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
    return _mask((np.asarray(soft).astype(np.float64) - 96) / 128)


MASKS: dict[str, Callable[[int, int, int], Mask]] = {
    "disc": disc,
    "gradient": gradient,
    "card": card,
    "letters": letters,
    "smoke": smoke,
}
"""Masks by name, called with (height, width, seed); 0 is transparent."""


def compose(colours: Pixels, mask: Mask, keep_hidden: bool) -> Pixels:
    """Return RGBA of an RGB picture and a mask. Without `keep_hidden`, colours under alpha 0 become 0."""
    rgba = np.dstack([colours, mask])
    if not keep_hidden:
        rgba[mask == 0] = 0
    return rgba


def with_shadow(colours: Pixels, mask: Mask) -> tuple[Pixels, Mask]:
    """Return colours and mask of a picture over its black drop shadow, with straight alpha.

    Where neither the picture nor its shadow is seen, the colours are those of the picture.
    """
    shorter = min(mask.shape)
    shift = round(_SHADOW_SHIFT * shorter)
    moved = np.zeros_like(mask)
    moved[shift:, shift:] = mask[:-shift, :-shift]
    blurred = Image.fromarray(moved).filter(ImageFilter.GaussianBlur(_SHADOW_BLUR * shorter))
    above = mask / 255
    below = _SHADOW_ALPHA * np.asarray(blurred) / 255 * (1 - above)
    alpha = above + below
    share = np.divide(above, alpha, out=np.ones_like(alpha), where=alpha > 0)
    return np.rint(colours * share[:, :, None]).astype(np.uint8), np.rint(255 * alpha).astype(np.uint8)


def composed(photographs: Sequence[Pixels]) -> Iterator[Pixels]:
    """Yield RGBA pictures: each mask, a card and letters with shadow, and a logo of two flat colours.

    Each is made twice, with and without its hidden colours. The photographs (RGB8) are used in turn.
    """
    jobs = [*((name, False) for name in MASKS), ("card", True), ("letters", True), ("logo", True)]
    for keep_hidden in (True, False):
        for name, shadowed in jobs:
            index = 2 * jobs.index((name, shadowed)) + keep_hidden
            colours = photographs[index % len(photographs)]
            height, width = colours.shape[:2]
            if name == "logo":
                colours = _two_colours(height, width)
            mask = MASKS["letters" if name == "logo" else name](height, width, index)
            if shadowed:
                colours, mask = with_shadow(colours, mask)
            yield compose(colours, mask, keep_hidden)


def _two_colours(height: int, width: int) -> Pixels:
    colours = np.empty((height, width, 3), np.uint8)
    colours[: height // 2] = (38, 84, 196)
    colours[height // 2 :] = (232, 120, 40)
    return colours


def _centred(height: int, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coordinates of the pixels' centres, with the origin in the middle."""
    y = np.arange(height, dtype=np.float64)[:, None] - (height - 1) / 2
    x = np.arange(width, dtype=np.float64)[None, :] - (width - 1) / 2
    return np.broadcast_to(y, (height, width)), np.broadcast_to(x, (height, width))


def _mask(opacity: NDArray[np.float64]) -> Mask:
    """Return a mask of opacities; those outside 0…1 are clipped."""
    return np.rint(255 * np.clip(opacity, 0, 1)).astype(np.uint8)
