# SPDX-License-Identifier: Apache-2.0
"""Indices as NumPy's basic ones, and which part of an array another part holds."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["indices", "meeting"]


def meeting(wanted: range, part: slice) -> tuple[slice, slice] | None:
    """Return which of the places wanted a part holds, and where in the part these are; None for none."""
    step = abs(wanted.step)
    ascending = wanted if wanted.step > 0 else wanted[::-1]
    if not ascending:
        return None
    first = max(0, -(-(part.start - ascending[0]) // step))
    last = min(len(ascending) - 1, (part.stop - 1 - ascending[0]) // step)
    if first > last:
        return None
    low, high = ascending[first] - part.start, ascending[last] - part.start
    come = slice(low, high + 1, step)
    if wanted.step > 0:
        return slice(first, last + 1), come
    end = len(wanted) - 1 - first
    return slice(end, end - (last - first) - 1 if end > last - first else None, -1), come


def indices(key: Any, shape: tuple[int, ...]) -> list[int | range]:
    """Return a place or a range of places for each axis that a key names."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if sum(one is Ellipsis for one in keys) > 1:
        raise IndexError("an index can only have a single Ellipsis")
    at = next((i for i, one in enumerate(keys) if one is Ellipsis), None)
    if at is not None:
        keys[at : at + 1] = [slice(None)] * (len(shape) - len(keys) + 1)
    if len(keys) > len(shape):
        raise IndexError(f"{len(keys)} indices for an array of {len(shape)} axes")
    found: list[int | range] = []
    for axis, (one, length) in enumerate(zip(keys, shape, strict=False)):
        if isinstance(one, slice):
            found.append(range(length)[one])
        elif hasattr(one, "__index__") and not isinstance(one, bool | np.bool_):
            place = one.__index__()
            if not -length <= place < length:
                raise IndexError(f"index {place} is out of range for axis {axis} of length {length}")
            found.append(place % length)
        else:
            raise IndexError(f"{one!r} is no basic index: an integer, a slice or Ellipsis")
    return found
