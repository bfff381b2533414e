# SPDX-License-Identifier: Apache-2.0
"""Decide how a block is coded (docs/loglinear.md, "Payload"): with whole pixels, with contexts, or plainly.

Where colours repeat exactly, one decision in place of three samples is smaller and many times faster; where
they seldom do, it costs. Where samples carry no traces of how they were made, contexts take time and gain
nothing. A pure function of the samples decides, so that the same block is always coded in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.families.stats import Pixels

CONTEXTS: Final = 0
"""Every sample is predicted, and corrected by contexts."""
PLAIN: Final = 8
"""A payload of the family `local`.

The codings n between look for whole pixels of which n - 1 neighbours were found.
"""

CHOICES: Final = (0, 2, 3, 4, 5, 6)
MIN_FOUND: Final = 0.92
"""Share of pixels that must be found among those that are looked for."""
MIN_ASKED: Final = 0.02
"""Share of pixels that must be looked for: looking at all of them takes time."""
MIN_ASKED_QUICK: Final = 0.5
"""The same in a model that codes all other blocks plainly. Whole pixels bring contexts, which take time."""
LOOKED_AT: Final = 1 << 17  # pixels of a block, about
BAND: Final = 16  # rows

SAMPLED: Final = 1 << 16  # pixels whose values are counted, about
MIN_PIXELS: Final = 1 << 12  # smaller blocks tell too little of their values
MIN_EXPECTED: Final = 4  # of a pair of values: rarer ones are missing by chance
MAX_REPEATS: Final = {1: 0.3, 3: 0.1}
"""Share of pixels that equal their left neighbour in a block without traces, by number of channels."""
UNIT: Final = 256  # of a model's number `plain`


def coding_for(blocks: Sequence[Pixels], plain: int) -> int:
    """Return how blocks of a group are coded: `CONTEXTS`, `PLAIN`, or a number between.

    Parameters
    ----------
    blocks : uint8 [height, width, C] each
    plain : the model's number: blocks with at least so much `evenness` in 1/256 are coded plainly.
    """
    counts = np.sum([_counts(band) for block in blocks for band in _bands(block)], axis=0)
    total = counts[:, 0].sum()
    asked, found = np.cumsum(counts[::-1], axis=0)[::-1].T  # with at least so many neighbours
    least = MIN_ASKED if plain else MIN_ASKED_QUICK
    for choice in CHOICES:
        if asked[choice] > least * total and found[choice] >= MIN_FOUND * asked[choice]:
            return choice + 1
    if _is_even(blocks, plain):
        return PLAIN
    return CONTEXTS


def _bands(block: Pixels) -> list[Pixels]:
    """Return bands of rows that have about `LOOKED_AT` pixels together; all of a small block."""
    height, width = block.shape[:2]
    if height * width <= LOOKED_AT:
        return [block]
    count = max(1, LOOKED_AT // (BAND * width))
    return [block[i * height // count :][:BAND] for i in range(count)]


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


def _is_even(blocks: Sequence[Pixels], plain: int) -> bool:
    if plain == 0 or plain == UNIT:
        return plain == 0
    step = max(1, sum(block.shape[0] * block.shape[1] for block in blocks) // SAMPLED)
    rows = [block[step // 2 :: step] for block in blocks]
    pairs = sum(part[:, 1:, 0].size for part in rows)
    if pairs < MIN_PIXELS:
        return False
    equal = sum(int((part[:, 1:] == part[:, :-1]).all(axis=2).sum()) for part in rows)
    return equal <= MAX_REPEATS[blocks[0].shape[2]] * pairs and evenness(rows) * UNIT >= plain


def evenness(blocks: Sequence[Pixels]) -> float:
    """Return how few gaps the pairs of values have, 0 to 1: R - G and B - G; gray and its left neighbour.

    Each pair that its four neighbours let expect at least `MIN_EXPECTED` times counts as often as it occurs,
    but at most as often as it is expected, over all that are expected. Photographs that come straight from a
    sensor reach 0.7 to 0.95; those that were JPEG files, where one RGB triple in four occurs, 0.1 to 0.2.
    """
    counts: NDArray[np.int64] = np.zeros(1 << 16, np.int64)
    for block in blocks:
        values = block.astype(np.int32)
        if block.shape[2] == 1:
            first, second = values[:, 1:, 0], values[:, :-1, 0]
        else:
            first, second = values[:, :, 0] - values[:, :, 1] + 128, values[:, :, 2] - values[:, :, 1] + 128
        pairs = (first << 8 | second)[(first | second) >> 8 == 0]
        counts += np.bincount(pairs, minlength=1 << 16)
    counts = counts.reshape(256, 256)
    around = counts[:-2, 1:-1] + counts[2:, 1:-1] + counts[1:-1, :-2] + counts[1:-1, 2:]
    often = around >= 4 * MIN_EXPECTED
    expected = around[often] / 4
    total = expected.sum()
    return float(np.minimum(counts[1:-1, 1:-1][often], expected).sum() / total) if total else 0.0
