# SPDX-License-Identifier: Apache-2.0
"""A window of a picture, and its intersections with parts of the picture. Nothing is decoded here."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from bbcodec.errors import OptionError

__all__ = ["Place", "Region", "Window"]

Region: TypeAlias = Sequence[int]
"""(x, y, width, height) in pixels."""

Place: TypeAlias = tuple[slice, slice]
"""Rows and columns."""


@dataclass(frozen=True, slots=True)
class Window:
    """Rows and columns of a picture, in pixels.

    Examples
    --------
    >>> Window(2, 3, 4, 5).meet((slice(0, 4), slice(0, 100)))
    ((slice(0, 2, None), slice(0, 5, None)), (slice(2, 4, None), slice(3, 8, None)))
    >>> Window(2, 3, 4, 5).meet((slice(6, 9), slice(0, 100))) is None
    True
    """

    top: int
    left: int
    height: int
    width: int

    @classmethod
    def of(cls, region: Region, height: int, width: int) -> Window:
        """Return the window of a region of a picture.

        Raises
        ------
        OptionError
            The region is not four integers, is empty, or is not within the picture.
        """
        try:
            x, y, across, down = map(operator.index, region)
        except (TypeError, ValueError):
            raise OptionError(f"region is {region!r}, expected four integers: x, y, width, height") from None
        if not (0 <= x < x + across <= width and 0 <= y < y + down <= height):
            raise OptionError(
                f"region {x},{y},{across},{down} (x, y, width, height) is not within {width} x {height}"
            )
        return cls(y, x, down, across)

    @property
    def place(self) -> Place:
        """Return the rows and columns of the window in the picture."""
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def meet(self, part: Place) -> tuple[Place, Place] | None:
        """Return the intersection with a part of the picture: its place in the window, and in the part.

        Return None if they do not overlap.
        """
        rows = _intersection(self.place[0], part[0])
        columns = _intersection(self.place[1], part[1])
        if rows is None or columns is None:
            return None
        return (rows[0], columns[0]), (rows[1], columns[1])


def _intersection(a: slice, b: slice) -> tuple[slice, slice] | None:
    """Return the intersection of two slices, relative to the start of each; None if it is empty."""
    start, stop = max(a.start, b.start), min(a.stop, b.stop)
    if start >= stop:
        return None
    return slice(start - a.start, stop - a.start), slice(start - b.start, stop - b.start)
