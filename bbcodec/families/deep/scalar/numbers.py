# SPDX-License-Identifier: Apache-2.0
"""Small functions of integers, and where neighbours lie."""

from __future__ import annotations

from typing import Any

from bbcodec.families.deep.tables import AROUND, FARTHEST, LARGEST, LEAST_EXPONENT
from bbcodec.families.local.order import OWN

from .function import function
from .state import Chain

_OWN: Any = OWN
_AROUND: Any = AROUND


@function
def clamp(v: int, low: int, high: int) -> int:
    return min(max(v, low), high)


@function
def references(plane: Any) -> int:
    """Return the number of references of a plane."""
    return int(plane[0] >= 0) + int(plane[1] >= 0)


@function
def qlog(v: int) -> int:
    v = min(v, LARGEST)
    b = 6
    while v >> b > 1:
        b += 1
    return 4 * b + ((v >> (b - 2)) & 3)


@function
def excess(k: int) -> int:
    """By how many bits a scale with this logarithm is larger than those of the tables."""
    return max(0, (k >> 2) - LEAST_EXPONENT)


@function
def norm(v: int, shift: int, r: int) -> int:
    """Return a difference as a feature."""
    return clamp((clamp(v >> shift, -FARTHEST, FARTHEST) * r + 8192) >> 14, -127, 127)


@function
def c8(v: int) -> int:
    return clamp(v, -127, 127)


@function
def place(y: int, x: int, dx: int, dy: int, height: int, width: int) -> int:
    """Return where a neighbour in the own plane is read; docs/local.md has the rules."""
    yy, xx = y + dy, x + dx
    if yy < 0:
        yy = 0
        xx = min(xx, x + 2) if y > 0 else x - 1
    if xx < 0:
        if yy == y and x == 0:
            yy -= 1
        xx = 0
    if yy < 0:
        return height * width
    return yy * width + min(xx, width - 1)


@function
def place_around(y: int, x: int, position: int, height: int, width: int) -> int:
    """Return where a neighbour in a reference plane is read."""
    yy: int = clamp(y + _AROUND[position, 1], 0, height - 1)
    return yy * width + clamp(x + _AROUND[position, 0], 0, width - 1)


@function
def set_near(chain: Chain, y: int, x: int, near: Any) -> None:
    for i in range(len(near)):
        near[i] = place(y, x, _OWN[i, 0], _OWN[i, 1], chain.height, chain.width)
