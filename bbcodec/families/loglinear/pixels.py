# SPDX-License-Identifier: Apache-2.0
"""Decide for a block whether whole pixels are looked for (docs/loglinear.md, "Pixels").

Where colours repeat exactly, one decision in place of three samples is smaller and many times faster. Where
they seldom do, it costs. A pure function of the samples decides, so that the same block is always coded in
the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.families.loglinear.reference import ALL_PREDICTED
from bbcodec.families.stats import Pixels

CHOICES: Final = (0, 2, 3, 4, 5, 6)
MIN_FOUND: Final = 0.92
"""Share of pixels that must be found among those that are looked for."""
MIN_ASKED: Final = 0.02
"""Share of pixels that must be looked for: looking at all of them takes time."""


def neighbours_for(blocks: Sequence[Pixels]) -> int:
    """Return how many neighbours must have been found, for blocks of a group; or `ALL_PREDICTED`."""
    counts = np.sum([_counts(block) for block in blocks], axis=0)
    total = counts[:, 0].sum()
    if not total:
        return ALL_PREDICTED
    asked, found = np.cumsum(counts[::-1], axis=0)[::-1].T  # with at least so many neighbours
    for choice in CHOICES:
        if asked[choice] > MIN_ASKED * total and found[choice] >= MIN_FOUND * asked[choice]:
            return choice
    return ALL_PREDICTED


def _counts(block: Pixels) -> NDArray[np.int64]:
    """Return how many pixels have 0 to 6 found neighbours, and how many of them equal a neighbour: [7, 2]."""
    height, width = block.shape[:2]
    if height < 3 or width < 4:
        return np.zeros((7, 2), np.int64)
    colours: NDArray[Any] = block[:, :, 0].astype(np.uint32)
    for channel in range(1, block.shape[2]):
        colours = colours << 8 | block[:, :, channel]
    centre = colours[1:, 1:-1]
    near = (colours[1:, :-2], colours[:-1, 1:-1], colours[:-1, 2:], colours[:-1, :-2])
    found = np.zeros((height, width), bool)
    found[1:, 1:-1] = np.logical_or.reduce([centre == other for other in near])
    hits = np.zeros((height - 2, width - 3), np.uint8)
    for row, column in ((2, 1), (1, 2), (1, 1), (1, 3), (2, 0), (0, 2)):
        hits += found[row : row + height - 2, column : column + width - 3]
    asked = np.bincount(hits.ravel(), minlength=7)
    equal = np.bincount(hits[found[2:, 2:-1]].ravel(), minlength=7)
    return np.stack([asked, equal], axis=1)
