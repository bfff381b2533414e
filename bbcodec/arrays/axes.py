# SPDX-License-Identifier: Apache-2.0
"""Name the axes of an array: which two make a plane, which one counts channels, which ones lead.

An axis has a letter: ``y`` and ``x`` for rows and columns, ``c`` or ``s`` for channels (``s``: samples of a
pixel, as in RGB), ``z`` for slices, ``t`` for times; any other letter counts planes too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from bbcodec.errors import OptionError

__all__ = ["MAX_AXES", "Axes", "default_axes"]

MAX_AXES: Final = 16
MAX_CHANNELS: Final = 4096
"""Channels that are coded together; an axis with more of them leads."""

_CHANNELS: Final = "sc"  # the first of these that is there counts channels
_USUAL: Final = ("", "x", "yx", "zyx", "tzyx", "tczyx")
_MORE: Final = "abdefghijkl"  # for more axes than these, in front
_MAX_COLOURS: Final = 4


def default_axes(shape: Sequence[int]) -> str:
    """Return the axes of an array whose user names none.

    Examples
    --------
    >>> default_axes((3, 512, 512)), default_axes((512, 512, 3)), default_axes((9,))
    ('zyx', 'yxs', 'x')
    """
    count = len(shape)
    if count == len("yxs") and shape[-1] <= _MAX_COLOURS:
        return "yxs"
    usual = _USUAL[min(count, len(_USUAL) - 1)]
    return _MORE[: count - len(usual)] + usual


@dataclass(frozen=True)
class Axes:
    """The axes of one array.

    Parameters
    ----------
    letters : str
        One small letter for each axis.
    shape : tuple of int

    Raises
    ------
    OptionError
        The letters are not different small letters, one for each axis.
    """

    letters: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        letters = self.letters
        if len(letters) != len(self.shape):
            raise OptionError(
                f"axes {letters!r} name {len(letters)} axes, the array has {len(self.shape)}: "
                f"{list(self.shape)}"
            )
        if len(set(letters)) != len(letters) or not all("a" <= letter <= "z" for letter in letters):
            raise OptionError(f"axes are {letters!r}, expected different letters a to z, such as 'zyx'")
        if len(letters) > MAX_AXES:
            raise OptionError(f"{len(letters)} axes, expected at most {MAX_AXES}")

    @cached_property
    def channel(self) -> int | None:
        """The axis that counts channels, or None."""
        for letter in _CHANNELS:
            at = self.letters.find(letter)
            if at >= 0 and self.shape[at] <= MAX_CHANNELS:
                return at
        return None

    @cached_property
    def plane(self) -> tuple[int, ...]:
        """The axes of rows and columns: ``y`` and ``x``, else the last two; fewer where there are fewer."""
        if "y" in self.letters and "x" in self.letters:
            return self.letters.index("y"), self.letters.index("x")
        others = [axis for axis in range(len(self.letters)) if axis != self.channel]
        return tuple(others[-2:])

    @cached_property
    def leading(self) -> tuple[int, ...]:
        """The axes that count planes, the slowest one first."""
        taken = {*self.plane, self.channel}
        return tuple(axis for axis in range(len(self.letters)) if axis not in taken)

    @property
    def order(self) -> tuple[int, ...]:
        """All axes as they are coded: leading, rows, columns, channels."""
        channel = () if self.channel is None else (self.channel,)
        return (*self.leading, *self.plane, *channel)

    def coded_shape(self, lengths: Sequence[int]) -> tuple[int, ...]:
        """Return the shape in which a part of the array is coded.

        Parameters
        ----------
        lengths : of all axes of the part.

        Returns
        -------
        tuple of int
            Leading axes longer than 1, rows, columns, and channels if the array has an axis of them.
        """
        leading = [lengths[axis] for axis in self.leading if lengths[axis] > 1]
        sides = [lengths[axis] for axis in self.plane]
        sides = [1] * (2 - len(sides)) + sides
        channels = [] if self.channel is None else [lengths[self.channel]]
        return (*leading, *sides, *channels)
