# SPDX-License-Identifier: Apache-2.0
"""All policy of ``method="auto"``: which coders are tried, and which result is taken.

Files, archives and chunks of arrays use the same rules. Everything here is a pure function of the pixels and
of sizes in bytes, so that the same picture always takes the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.classic import webp_size

__all__ = ["Choice", "batch_is_good", "choose", "crops", "flat_share", "must_compare"]

Samples = NDArray[np.uint8]

# --- pictures: cheap statistics
# --------------------------------------------------------------------------------

CROP_SIDE: Final = 128  # pixels: large enough for WebP's tables not to weigh, small enough to take no time
CROPS: Final = (2, 3)  # along the short and the long side
SAMPLED_ROWS: Final = 256  # rows that statistics look at
# Share of pixels equal to their left neighbour: photographs stay below 0.2, screens and charts lie above 0.6.
MAX_FLAT_SHARE: Final = 0.5
# In gray more neighbours are equal: nine of ten photographs stay below 0.4 and all Kodak's do; of charts and
# screens half lie above 0.8. The crops decide what is between.
MAX_FLAT_SHARE_GRAY: Final = 0.7
MIN_LEARNED_SIDE: Final = 16  # pixels of the shorter side; thinner pictures are not worth a model
MIN_COLOURS_PER_PIXEL: Final = (
    1 / 64
)  # a photograph has hundreds of times more distinct colours than a drawing
MIN_GRAYS: Final = 24  # of 256: dull photographs have more, drawings with smooth edges often less
MAX_UNEVEN: Final = 0.05  # share by which a picture may be flatter than its crops and they are still trusted

# --- sizes: learned bits or bytes over those of lossless WebP
# ------------------------------------------------

# On the crops. Below the first only the model is tried, above the second only the classic method.
LEARNED_ONLY_BELOW: Final = 0.92
CLASSIC_ONLY_ABOVE: Final = 1.03
# Of a whole picture. Above the first, over WebP's size extrapolated from the crops, or above the second, over
# WebP's quick size (which knows of repeats that the crops miss), the classic method is tried after all.
COMPARE_ABOVE_WEBP: Final = 0.97
COMPARE_ABOVE_QUICK_WEBP: Final = 0.8
# Of a batch in an archive. Up to the first, over quick WebP, no picture is compared: WebP's default effort,
# ten times as slow, takes at most a sixth less on photographs. Above the second, over WebP, pictures are
# compared one by one.
BATCH_GOOD_BELOW_QUICK_WEBP: Final = 0.85
BATCH_COMPARE_ABOVE_WEBP: Final = 0.9
# Of a stack of arrays coded as one batch.
STACK_COMPARE_ABOVE_QUICK_WEBP: Final = 0.8

# --- bytes
# ----------------------------------------------------------------------------------------------------

# Bytes of colours from which the palette (at most 1 KiB) is not coded as their order: it does not weigh, and
# looking for the colours of a large picture takes time.
ORDER_PALETTE_BELOW_BYTES: Final = 2**17
# Bytes around the payload of a section: type, length and CRC-32, and what others' lengths may grow by.
SECTION_OVERHEAD_BYTES: Final = 12
# Bytes of a picture of its own in an archive beside its samples: name, header, and sections around.
ALONE_OVERHEAD_BYTES: Final = 60


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
    step = -(-samples.shape[0] // SAMPLED_ROWS)
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
    if height * width <= CROPS[0] * CROPS[1] * CROP_SIDE**2:
        return [(slice(0, height), slice(0, width))]
    down, across = CROPS if width >= height else CROPS[::-1]
    return [
        (_centred(height, i, down), _centred(width, j, across)) for i in range(down) for j in range(across)
    ]


def _centred(length: int, index: int, count: int) -> slice:
    size = min(CROP_SIDE, length)
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
    most = MAX_FLAT_SHARE if samples.shape[2] > 1 else MAX_FLAT_SHARE_GRAY
    if min(height, width) < MIN_LEARNED_SIDE or share > most or _few_colours(samples):
        return Choice(learned=False, classic=True)
    places = [np.ascontiguousarray(samples[place]) for place in crops(height, width)]
    webp = 8.0 * sum(webp_size(crop) for crop in places)
    ratio = sum(learned_bits(crop) for crop in places) / webp
    total = webp * (height * width) / sum(crop.shape[0] * crop.shape[1] for crop in places)
    if ratio > CLASSIC_ONLY_ABOVE:
        return Choice(learned=False, classic=True, webp_bits=total)
    even = share <= float(np.mean([flat_share(crop) for crop in places])) + MAX_UNEVEN
    return Choice(learned=True, classic=not (even and ratio < LEARNED_ONLY_BELOW), webp_bits=total)


def must_compare(choice: Choice, learned_bytes: int, quick_webp: Callable[[], int]) -> bool:
    """Return whether a learned result must be compared with the classic one after all.

    Parameters
    ----------
    choice : of `choose`.
    learned_bytes : size of the learned result.
    quick_webp : returns the size of the picture as WebP at its quickest; called only where it decides.
    """
    return (
        choice.classic
        or 8 * learned_bytes > COMPARE_ABOVE_WEBP * choice.webp_bits
        or learned_bytes > COMPARE_ABOVE_QUICK_WEBP * quick_webp()
    )


def batch_is_good(batch_bytes: int, webp: Callable[[bool], int]) -> bool:
    """Return whether a batch is small enough that its pictures are not compared one by one.

    Parameters
    ----------
    batch_bytes : size of the batch.
    webp : returns the size of its pictures as WebP files; the argument asks for WebP's quickest effort.
    """
    if batch_bytes <= BATCH_GOOD_BELOW_QUICK_WEBP * webp(True):
        return True
    return batch_bytes <= BATCH_COMPARE_ABOVE_WEBP * webp(False)


def _few_colours(samples: Samples) -> bool:
    step = -(-samples.shape[0] // SAMPLED_ROWS)
    rows = samples[step // 2 :: step].astype(np.uint32)
    if rows.shape[2] == 1:
        return len(np.unique(rows)) < min(MIN_GRAYS, MIN_COLOURS_PER_PIXEL * rows.size)
    packed = rows[:, :, 0] << 16 | rows[:, :, 1] << 8 | rows[:, :, 2]
    return len(np.unique(packed)) < MIN_COLOURS_PER_PIXEL * packed.size
