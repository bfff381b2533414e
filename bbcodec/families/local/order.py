# SPDX-License-Identifier: Apache-2.0
"""The coding order (wavefronts) of a group, and the positions of the causal neighbours.

Pixel (y, x) is coded at time ``t = x + 3 y``. Because each row starts three columns later, a pixel can use
two columns to its right in the row above. All pixels of one time, over all blocks of a group, are the lanes
of that time. This module has only index arithmetic. Arrays are flat over the pixels of all blocks, block
after block in raster order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

LANES: Final = 8  # lanes of the message
MAX_LANES: Final = 2048  # pixels coded at one time
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
    """The n pixels of one time; all arrays are int64.

    Attributes
    ----------
    time : t
    block : [n], index of the block.
    x, y, width : [n], position in the block, and the number of columns of the block.
    pixel : [n], index of the pixel in flat arrays.
    column : [n], column of the group, with all blocks side by side.
    slot : [n], index of the state of the pixel's row. Rows that are not active at the same time share slots.
    own, earlier : [16, n] and [9, n], flat indices of the neighbours S and X; ``Order.pixels`` for a
        neighbour that does not exist.
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
    pixels, columns, slots : numbers of pixels, columns and slots of the group.

    Raises
    ------
    ValueError
        There is no block, a block is empty, or more than `MAX_LANES` rows can be active at a time.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]]):
        if not shapes or min(min(shape) for shape in shapes) < 1:
            raise ValueError(f"a group needs blocks of at least one pixel, got {list(shapes)!r:.80}")
        self.shapes = list(shapes)
        self._height, self._width = np.array(self.shapes, np.int64).T
        # Rows of a block that can be active at the same time: one starts every three columns.
        self._rows = np.minimum(self._height, (self._width + 2) // 3)
        self.slots = int(self._rows.sum())
        if self.slots > MAX_LANES:
            raise ValueError(
                f"the group has up to {self.slots} lanes at a time, expected at most {MAX_LANES}"
            )
        areas = self._height * self._width
        self.pixels, self.columns = int(areas.sum()), int(self._width.sum())
        self._first_pixel, self._first_column, self._first_slot = (
            np.cumsum(counts) - counts for counts in (areas, self._width, self._rows)
        )

    def _rows_at(self, t: int) -> tuple[Indices, Indices]:
        """Return the first active row and the number of active rows of every block at time t."""
        first = np.maximum(0, (t - self._width + 3) // 3)  # the first y with t - 3 y <= width - 1
        last = np.minimum(self._height - 1, t // 3)
        return first, np.maximum(0, last - first + 1)

    def _times(self) -> range:
        """Return all times, including those without lanes."""
        return range(int((self._width + 3 * self._height).max()) - 3)

    def counts(self) -> Indices:
        """Return the number of lanes of every time that has any, int64."""
        begin = 3 * np.concatenate([np.arange(height) for height in self._height])
        end = begin + np.repeat(self._width, self._height)
        times = int(end.max()) + 1
        active = np.cumsum(np.bincount(begin, minlength=times) - np.bincount(end, minlength=times))
        return active[active > 0]

    def times(self) -> Iterator[Lanes]:
        """Yield the lanes of every time that has any, sorted by block, then by row."""
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
        """Return the flat indices [p, n] of the neighbours at positions (dx, dy)."""
        yy, xx = neighbours(positions, y, x, width)
        return np.where(yy < 0, self.pixels, start + yy * width + xx)


def neighbours(positions: Indices, y: Indices, x: Indices, width: Indices) -> tuple[Indices, Indices]:
    """Return where the neighbours at relative positions (dx, dy) are read.

    Parameters
    ----------
    positions : [p, 2]
    y, x, width : [n], the pixels, and the number of columns of their blocks.

    Returns
    -------
    yy, xx : [p, n], inside the block. Only pixel (0, 0) has neighbours that do not exist; there yy is -1.
    """
    yy, xx = y + positions[:, 1:], x + positions[:, :1]
    above = yy < 0
    xx = np.where(above, np.where(y > 0, np.minimum(xx, x + 2), x - 1), xx)
    yy = np.where(above, 0, yy)
    left = xx < 0
    yy = np.where(left & (yy == y) & (x == 0), y - 1, yy)
    xx = np.where(left, 0, xx)
    return yy, np.minimum(xx, width - 1)
