# SPDX-License-Identifier: Apache-2.0
"""Which pixels are coded at the same time, and where their neighbours lie.

Pixel (y, x) is coded at time ``t = x + 3 y``: three columns a row let a pixel see two columns to its right in
the row above. All pixels of one time, over all blocks of a group, are the lanes of that time. Only index
arithmetic lives here; arrays are flat over the pixels of all blocks, block after block in raster order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LANES: Final = 8  # of the message
MAX_LANES: Final = 2048  # pixels of one time
CHANNELS: Final = {1: (0,), 3: (1, 0, 2)}  # channels of a block in coding order: G, R, B

OWN: Final = np.array(
    [
        *((-1, 0), (0, -1), (-1, -1), (1, -1), (-2, 0), (0, -2), (1, -2), (2, -1)),
        *((-2, -1), (-1, -2), (-3, 0), (0, -3), (2, -2), (-3, -1), (-2, -2), (3, -2)),
    ]
)
EARLIER: Final = np.array([(0, 0), (-1, 0), (0, -1), (-1, -1), (1, -1), (-2, 0), (0, -2), (2, -1), (1, -2)])

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lanes:
    """The n pixels of one time; int64.

    Attributes
    ----------
    time : t
    block : [n], index of the block.
    x, y, width : [n], position in the block, and the block's columns.
    pixel : [n], flat pixel.
    column : [n], column of the group: all blocks side by side.
    slot : [n], where the state of the pixel's row is kept; rows that are not alive together share slots.
    own, earlier : [16, n] and [9, n], flat pixels of the positions S and X; ``Order.pixels`` for one that
        does not exist.
    """

    time: int
    block: Indices
    x: Indices
    y: Indices
    width: Indices
    pixel: Indices
    column: Indices
    slot: Indices
    own: Indices
    earlier: Indices


class Order:
    """The coding order of a group.

    Parameters
    ----------
    shapes : (height, width) of every block, in pixels.

    Attributes
    ----------
    pixels, columns, slots : how many the group has.

    Raises
    ------
    ValueError
        There is no block, one is empty, or more than `MAX_LANES` rows may be alive at a time.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]]):
        if not shapes or min(min(shape) for shape in shapes) < 1:
            raise ValueError(f"a group needs blocks of at least one pixel, got {list(shapes)!r:.80}")
        self.shapes = list(shapes)
        self._height, self._width = np.array(self.shapes, np.int64).T
        # Rows of a block that may be alive together: one starts every three columns.
        self._rows = np.minimum(self._height, (self._width + 2) // 3)
        self.slots = int(self._rows.sum())
        if self.slots > MAX_LANES:
            raise ValueError(f"the group has up to {self.slots} lanes, expected at most {MAX_LANES}")
        areas = self._height * self._width
        self.pixels, self.columns = int(areas.sum()), int(self._width.sum())
        self._first_pixel, self._first_column, self._first_slot = (
            np.cumsum(counts) - counts for counts in (areas, self._width, self._rows)
        )

    def _rows_at(self, t: int) -> tuple[Indices, Indices]:
        """First row and number of rows of every block at time t."""
        first = np.maximum(0, (t - self._width + 3) // 3)  # the first with t - 3 y <= width - 1
        last = np.minimum(self._height - 1, t // 3)
        return first, np.maximum(0, last - first + 1)

    def _times(self) -> range:
        return range(int((self._width + 3 * self._height).max()) - 3)

    def counts(self) -> Indices:
        """Lanes of every time that has any, int64."""
        begin = 3 * np.concatenate([np.arange(height) for height in self._height])
        end = begin + np.repeat(self._width, self._height)
        times = int(end.max()) + 1
        alive = np.cumsum(np.bincount(begin, minlength=times) - np.bincount(end, minlength=times))
        return alive[alive > 0]

    def times(self) -> Iterator[Lanes]:
        """The lanes of every time that has any, sorted by block, then by row."""
        for t in self._times():
            first, count = self._rows_at(t)
            block = np.repeat(np.arange(len(count)), count)
            if not len(block):
                continue
            y = np.arange(len(block)) - np.repeat(np.cumsum(count) - count - first, count)
            x, width = t - 3 * y, self._width[block]
            start = self._first_pixel[block]
            yield Lanes(
                time=t,
                block=block,
                x=x,
                y=y,
                width=width,
                pixel=start + y * width + x,
                column=self._first_column[block] + x,
                slot=self._first_slot[block] + y % self._rows[block],
                own=self._places(OWN, y, x, width, start),
                earlier=self._places(EARLIER, y, x, width, start),
            )

    def _places(self, positions: Indices, y: Indices, x: Indices, width: Indices, start: Indices) -> Indices:
        """Flat pixels [p, n] of positions (dx, dy)."""
        yy, xx = neighbours(positions, y, x, width)
        return np.where(yy < 0, self.pixels, start + yy * width + xx)


def neighbours(positions: Indices, y: Indices, x: Indices, width: Indices) -> tuple[Indices, Indices]:
    """Where positions (dx, dy) are read.

    Parameters
    ----------
    positions : [p, 2]
    y, x, width : [n], the pixels, and the columns of their blocks.

    Returns
    -------
    yy, xx : [p, n], inside of the block, but for yy = -1 where there is no neighbour: at pixel (0, 0).
    """
    yy, xx = y + positions[:, 1:], x + positions[:, :1]
    above = yy < 0
    xx = np.where(above, np.where(y > 0, np.minimum(xx, x + 2), x - 1), xx)
    yy = np.where(above, 0, yy)
    left = xx < 0
    yy = np.where(left & (yy == y) & (x == 0), y - 1, yy)
    xx = np.where(left, 0, xx)
    return yy, np.minimum(xx, width - 1)
