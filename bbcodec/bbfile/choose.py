# SPDX-License-Identifier: Apache-2.0
"""What ``method="auto"`` decides with: cheap statistics that tell photographs from graphics, and a few crops.

Everything here is a pure function of the pixels, so that the same picture always takes the same way. Coding
the picture and comparing the results is the business of `bbcodec.api`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bbcodec.classic import webp_size

__all__ = ["Choice", "choose", "crops", "flat_share"]

Samples = NDArray[np.uint8]

_CROP = 128  # pixels: large enough for WebP's tables not to weigh, small enough to take no time
_CROPS = (2, 3)  # along the short and the long side
_SAMPLE_ROWS = 256
# Share of pixels equal to their left neighbour: photographs stay below 0.2, screens and charts lie above 0.6.
_GRAPHICS_SHARE = 0.5
# In gray more neighbours are equal: nine of ten photographs stay below 0.4 and all Kodak's do; of charts and
# screens half lie above 0.8. The crops decide what is between.
_GRAPHICS_SHARE_GRAY = 0.7
# Pixels of the shorter side below which a picture is not worth a model, whose latents cover blocks of 2^S
# pixels.
_THIN = 16
_COLOURS_PER_PIXEL = 1 / 64  # a photograph has hundreds of times more distinct colours than a drawing
_FEW_GRAYS = 24  # of 256: dull photographs have more, drawings with smooth edges often less
# Learned bits over WebP bits on the crops. Between the two both are tried.
_LEARNED_BELOW = 0.92
_CLASSIC_ABOVE = 1.03
_UNEVEN = 0.05  # the picture may be flatter than its crops by this share before they are no longer trusted


@dataclass(frozen=True)
class Choice:
    """What to try.

    Parameters
    ----------
    learned, classic : bool
        At least one is true; both means that the smaller result wins.
    webp_bits : float
        Size of the picture as WebP in bits, extrapolated from the crops; 0 when no crop was coded. A learned
        result that is not clearly below it must be compared with the classic one after all.
    """

    learned: bool
    classic: bool
    webp_bits: float = 0.0


def flat_share(samples: Samples) -> float:
    """Return the share of pixels that equal their left neighbour, on at most 256 rows; 1 for one column."""
    step = -(-samples.shape[0] // _SAMPLE_ROWS)
    rows = samples[step // 2 :: step]
    if rows.shape[1] < 2:
        return 1.0
    return float((rows[:, 1:] == rows[:, :-1]).all(axis=2).mean())


def crops(height: int, width: int) -> list[tuple[slice, slice]]:
    """Return the places to look at: the whole of a small picture, else 6 crops of 128 x 128 in a grid.

    Examples
    --------
    >>> len(crops(300, 300)), len(crops(512, 768)), crops(512, 768)[0]
    (1, 6, (slice(64, 192, None), slice(64, 192, None)))
    """
    if height * width <= _CROPS[0] * _CROPS[1] * _CROP**2:
        return [(slice(0, height), slice(0, width))]
    down, across = _CROPS if width >= height else _CROPS[::-1]
    return [
        (_centred(height, i, down), _centred(width, j, across)) for i in range(down) for j in range(across)
    ]


def _centred(length: int, index: int, count: int) -> slice:
    size = min(_CROP, length)
    centre = length * (2 * index + 1) // (2 * count)
    start = min(max(0, centre - size // 2), length - size)
    return slice(start, start + size)


def choose(samples: Samples, learned_bits: Callable[[Samples], float]) -> Choice:
    """Decide which methods to try for colour samples.

    Parameters
    ----------
    samples : uint8 ``[H, W, C]``, C of 1 (gray) or 3
    learned_bits : callable
        Bits that the learned method needs for a crop.
    """
    height, width = samples.shape[:2]
    share = flat_share(samples)
    most = _GRAPHICS_SHARE if samples.shape[2] > 1 else _GRAPHICS_SHARE_GRAY
    if min(height, width) < _THIN or share > most or _few_colours(samples):
        return Choice(learned=False, classic=True)
    places = [np.ascontiguousarray(samples[place]) for place in crops(height, width)]
    webp = 8.0 * sum(webp_size(crop) for crop in places)
    ratio = sum(learned_bits(crop) for crop in places) / webp
    total = webp * (height * width) / sum(crop.shape[0] * crop.shape[1] for crop in places)
    if ratio > _CLASSIC_ABOVE:
        return Choice(learned=False, classic=True, webp_bits=total)
    even = share <= float(np.mean([flat_share(crop) for crop in places])) + _UNEVEN
    return Choice(learned=True, classic=not (even and ratio < _LEARNED_BELOW), webp_bits=total)


def _few_colours(samples: Samples) -> bool:
    step = -(-samples.shape[0] // _SAMPLE_ROWS)
    rows = samples[step // 2 :: step].astype(np.uint32)
    if rows.shape[2] == 1:
        return len(np.unique(rows)) < min(_FEW_GRAYS, _COLOURS_PER_PIXEL * rows.size)
    packed = rows[:, :, 0] << 16 | rows[:, :, 1] << 8 | rows[:, :, 2]
    return len(np.unique(packed)) < _COLOURS_PER_PIXEL * packed.size
