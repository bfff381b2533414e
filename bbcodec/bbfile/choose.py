# SPDX-License-Identifier: Apache-2.0
"""Decide for ``method="auto"`` which coders are tried, and which result is taken.

Files, archives and chunks of arrays use the same rules. Everything here is a pure function of pixels and of
sizes in bytes, so that the same picture is always coded in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.classic import webp_size

__all__ = [
    "Choice",
    "batch_is_good",
    "choose",
    "classic_may_win",
    "crops",
    "deep_classic_may_win",
    "flat_share",
    "is_flat",
    "must_compare",
]

Samples = NDArray[np.uint8]

# --- pictures: cheap statistics -----------------------------------------------------------------------------

CROP_SIDE: Final = 128  # pixels: large enough that WebP's tables do not matter, small enough to be quick
CROPS: Final = (2, 3)  # crops along the short and the long side
SAMPLED_ROWS: Final = 256  # rows used for statistics
# Share of pixels equal to their left neighbour: photographs are below 0.2, charts and most screens above 0.8.
# Between them, also for photographs on plain ground, the crops decide.
MAX_FLAT_SHARE: Final = 0.8
MIN_LEARNED_SIDE: Final = 16  # pixels of the shorter side; a model does not pay for thinner pictures
# A photograph has hundreds of times more distinct colours than a drawing.
MIN_COLOURS_PER_PIXEL: Final = 1 / 64
MIN_GRAYS: Final = 24  # of 256: dull photographs have more, drawings with smooth edges often less
# If the picture's flat share exceeds that of its crops by more than this, the crops do not represent it.
MAX_FLAT_SHARE_EXCESS: Final = 0.05

# --- sizes: learned bits or bytes divided by those of lossless WebP -----------------------------------------

# Of the crops. Below the first only the model is tried, above the second only the classic method.
LEARNED_ONLY_BELOW: Final = 0.92
CLASSIC_ONLY_ABOVE: Final = 1.03
# Of a whole picture. Above either limit the classic method is tried too. The first divides by WebP's size
# extrapolated from the crops, the second by WebP's quick size, which finds repeats that the crops miss.
COMPARE_ABOVE_WEBP: Final = 0.97
COMPARE_ABOVE_QUICK_WEBP: Final = 0.8
# Of a picture that a universal model has coded. Above this, divided by WebP's quick size, the classic method
# is tried too. Of 400 icons it would be smaller for 17, and for three of those the ratio was below this.
CLASSIC_ABOVE_QUICK_WEBP: Final = 0.8
# A picture with more pixels and a smaller flat share is a photograph. WebP is not tried on it, not even
# quickly: that takes longer than a quick model.
SMALL_PIXELS: Final = 1 << 16
MIN_FLAT_SHARE: Final = 0.1
# A picture of a batch with a larger share of flat pixels may be smaller alone, with the classic method.
DOUBTFUL_FLAT_SHARE: Final = 0.5
# Of a batch in an archive. Up to the first, divided by quick WebP, no picture is compared: WebP's default
# effort is ten times as slow and at most a sixth smaller on photographs. Above the second, divided by WebP,
# pictures are compared one by one.
BATCH_GOOD_BELOW_QUICK_WEBP: Final = 0.85
BATCH_COMPARE_ABOVE_WEBP: Final = 0.9
# Of a stack of arrays coded as one batch. Above this, divided by quick WebP, the classic method is tried too.
STACK_COMPARE_ABOVE_QUICK_WEBP: Final = 0.8

# --- samples of 16 bits -------------------------------------------------------------------------------------

# The classic method is tried too on pictures with fewer samples than this, and on those that are flatter.
DEEP_SMALL_SAMPLES: Final = 1 << 12
DEEP_FLAT_SHARE: Final = 0.5

# --- bytes --------------------------------------------------------------------------------------------------

# Above this size of the coded colours the palette is not coded as their order: the palette (at most 1 KiB)
# hardly matters then, and finding the colours of a large picture takes time.
ORDER_PALETTE_BELOW_BYTES: Final = 2**17
# Bytes of a section besides its payload: type, length and CRC-32, and possible growth of other lengths.
SECTION_OVERHEAD_BYTES: Final = 12
# Bytes of a separate file in an archive besides its samples: name, header, and frames of sections.
ALONE_OVERHEAD_BYTES: Final = 60


@dataclass(frozen=True)
class Choice:
    """The methods to try.

    Parameters
    ----------
    learned, classic : bool
        At least one is true. If both are, the smaller result is taken.
    webp_bits : float
        Size of the picture as WebP in bits, extrapolated from the crops; 0 if no crop was coded. A learned
        result that is not clearly smaller is compared with the classic one too.
    """

    learned: bool
    classic: bool
    webp_bits: float = 0.0


def flat_share(samples: NDArray[Any]) -> float:
    """Return the share of pixels that equal their left neighbour, in at most 256 rows; 1 for one column."""
    step = -(-samples.shape[0] // SAMPLED_ROWS)
    rows = samples[step // 2 :: step]
    if rows.shape[1] < 2:
        return 1.0
    return float((rows[:, 1:] == rows[:, :-1]).all(axis=2).mean())


def crops(height: int, width: int) -> list[tuple[slice, slice]]:
    """Return the places of the crops: all of a small picture, else 6 crops of 128 x 128 in a grid.

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
    """Return a crop of a side, centred in part `index` of `count` equal parts."""
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
        Returns the bits that the learned method needs for a crop.
    """
    height, width = samples.shape[:2]
    share = flat_share(samples)
    if min(height, width) < MIN_LEARNED_SIDE or share > MAX_FLAT_SHARE or _has_few_colours(samples):
        return Choice(learned=False, classic=True)
    places = [np.ascontiguousarray(samples[place]) for place in crops(height, width)]
    webp = 8.0 * sum(webp_size(crop) for crop in places)
    ratio = sum(learned_bits(crop) for crop in places) / webp
    total = webp * (height * width) / sum(crop.shape[0] * crop.shape[1] for crop in places)
    if ratio > CLASSIC_ONLY_ABOVE:
        return Choice(learned=False, classic=True, webp_bits=total)
    crops_are_typical = share <= float(np.mean([flat_share(crop) for crop in places])) + MAX_FLAT_SHARE_EXCESS
    learned_only = crops_are_typical and ratio < LEARNED_ONLY_BELOW
    return Choice(learned=True, classic=not learned_only, webp_bits=total)


def must_compare(choice: Choice, learned_bytes: int, quick_webp: Callable[[], int]) -> bool:
    """Return whether a learned result must be compared with the classic one.

    Parameters
    ----------
    choice : result of `choose`.
    learned_bytes : size of the learned result.
    quick_webp : returns the bytes of the picture as WebP at its quickest effort; called only if needed.
    """
    return (
        choice.classic
        or 8 * learned_bytes > COMPARE_ABOVE_WEBP * choice.webp_bits
        or learned_bytes > COMPARE_ABOVE_QUICK_WEBP * quick_webp()
    )


def is_flat(samples: NDArray[Any]) -> bool:
    """Return whether all pixels of a picture are the same: no model is needed to say that."""
    return bool((samples == samples[0, 0]).all())


def classic_may_win(samples: Samples, learned_bytes: int, quick_webp: Callable[[], int]) -> bool:
    """Return whether the classic method may be smaller than a universal model.

    Parameters
    ----------
    samples : uint8 ``[H, W, C]``
    learned_bytes : size of the learned result.
    quick_webp : returns the bytes of the picture as WebP at its quickest effort; called only if needed.
    """
    if samples.shape[0] * samples.shape[1] > SMALL_PIXELS and flat_share(samples) < MIN_FLAT_SHARE:
        return False
    return learned_bytes > CLASSIC_ABOVE_QUICK_WEBP * quick_webp()


def deep_classic_may_win(pixels: NDArray[np.uint16]) -> bool:
    """Return whether the classic method may be smaller for samples of 16 bits: in small or flat pictures."""
    samples = pixels.reshape(*pixels.shape[:2], -1)
    return samples.size < DEEP_SMALL_SAMPLES or flat_share(samples) > DEEP_FLAT_SHARE


def batch_is_good(batch_bytes: int, webp: Callable[[bool], int]) -> bool:
    """Return whether a batch is so small that its pictures need not be compared one by one.

    Parameters
    ----------
    batch_bytes : size of the batch.
    webp : returns the bytes of its pictures as WebP files; the argument True asks for WebP's quickest effort.
    """
    if batch_bytes <= BATCH_GOOD_BELOW_QUICK_WEBP * webp(True):
        return True
    return batch_bytes <= BATCH_COMPARE_ABOVE_WEBP * webp(False)


def _has_few_colours(samples: Samples) -> bool:
    """Return whether a picture has too few distinct colours for a photograph."""
    step = -(-samples.shape[0] // SAMPLED_ROWS)
    rows = samples[step // 2 :: step].astype(np.uint32)
    if rows.shape[2] == 1:
        return len(np.unique(rows)) < min(MIN_GRAYS, MIN_COLOURS_PER_PIXEL * rows.size)
    packed = rows[:, :, 0] << 16 | rows[:, :, 1] << 8 | rows[:, :, 2]
    return len(np.unique(packed)) < MIN_COLOURS_PER_PIXEL * packed.size
