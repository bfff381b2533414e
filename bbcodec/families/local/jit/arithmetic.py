# SPDX-License-Identifier: Apache-2.0
"""Small functions of vectors that several parts need (docs/local.md, "Features")."""

from __future__ import annotations

from typing import Any

from numba import njit

from bbcodec.families.local.jit.vectors import bits_of, select, to_floats


@njit
def clamp(v: Any, low: int, high: int) -> Any:
    v = select(v < low, low, v)
    return select(v > high, high, v)


@njit
def magnitude(v: Any) -> Any:
    return select(v < 0, 0 - v, v)


@njit
def qlog(v: Any) -> Any:
    # Below 2^24 a float is the number exactly, and its exponent and upper bits say it all.
    return (bits_of(to_floats(v)) >> 21) - 4 * 127


@njit
def normed(v: Any, r: Any) -> Any:
    return clamp((v * r + 8192) >> 14, -127, 127)
