# SPDX-License-Identifier: Apache-2.0
"""Visiting a raster so that left, upper and upper-left neighbours come first, many pixels at a time.

All pixels (row, t - row) of one antidiagonal t depend on earlier antidiagonals only, so NumPy can undo a
predictor in H + W - 1 vector steps. Only the index arithmetic lives here; predictors belong to their formats.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Step", "steps"]


class Step(NamedTuple):
    """One antidiagonal: its rows, and where its pixels and their neighbours are.

    The slices index the first axis of an array of ``(H + 1) * (W + 1)`` pixels in raster order, whose first
    row and first column stand for the pixels outside of the picture.
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
