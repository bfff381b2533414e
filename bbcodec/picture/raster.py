# SPDX-License-Identifier: Apache-2.0
"""Orders of work on a raster: bands of rows, blocks, and antidiagonals.

Work in bands needs little memory beside the raster; no result may depend on the cuts. All pixels
(row, t - row) of one antidiagonal t depend on earlier antidiagonals only. NumPy can therefore undo a
predictor in H + W - 1 vector steps. Only the index arithmetic is here; predictors belong to their formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Step", "bands", "blocks_along", "cut", "steps"]

_BAND_PIXELS = 2**20
_MIN_DEEP_BAND_ROWS = 256


class Step(NamedTuple):
    """One antidiagonal: its rows, and the places of its pixels and their neighbours.

    The slices index the first axis of an array of ``(H + 1) * (W + 1)`` pixels in raster order. The first row
    and the first column of that array represent the pixels outside the picture.
    """

    first_row: int
    last_row: int
    pixel: slice
    left: slice
    up: slice
    up_left: slice


def steps(height: int, width: int) -> Iterator[Step]:
    """Yield the antidiagonals of an ``[H, W]`` raster in coding order.

    Examples
    --------
    >>> [range(9)[step.pixel] for step in steps(2, 2)]
    [range(4, 5, 2), range(5, 8, 2), range(8, 9, 2)]
    """
    stride = width + 1
    for t in range(height + width - 1):
        first, last = max(0, t - width + 1), min(height, t + 1)
        start = (first + 1) * stride + (t - first) + 1
        stop = start + (last - first - 1) * (stride - 1) + 1
        places = (slice(start - by, stop - by, stride - 1) for by in (0, 1, stride, stride + 1))
        yield Step(first, last, *places)


def bands(height: int, width: int, *, deep: bool = False) -> Iterator[slice]:
    """Yield slices of rows, about 2^20 pixels each.

    Parameters
    ----------
    height, width : int
        Pixels.
    deep : bool
        Whether a band has at least 256 rows, for work on antidiagonals (`steps`).

    Examples
    --------
    >>> list(bands(5, 2**19))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(_MIN_DEEP_BAND_ROWS if deep else 1, _BAND_PIXELS // max(width, 1))
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))


def blocks_along(height: int, width: int, side: int) -> tuple[int, int]:
    """Return the number of rows and of columns of blocks that `cut` makes, without listing them."""
    return -(-height // side), -(-width // side)


def cut(height: int, width: int, side: int) -> list[tuple[slice, slice]]:
    """Return rows and columns of blocks of nearly equal size in raster order, with sides of at most `side`.

    Examples
    --------
    >>> cut(1500, 700, 1024)
    [(slice(0, 750, None), slice(0, 700, None)), (slice(750, 1500, None), slice(0, 700, None))]
    """
    rows, columns = blocks_along(height, width, side)
    return [
        (
            slice(i * height // rows, (i + 1) * height // rows),
            slice(j * width // columns, (j + 1) * width // columns),
        )
        for i in range(rows)
        for j in range(columns)
    ]
