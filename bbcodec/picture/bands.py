# SPDX-License-Identifier: Apache-2.0
"""Rows of a raster in bands: what is done to one band after the other needs little memory beside the raster.

Only the cutting is here. No result may depend on where the cuts are.
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["bands"]

_PIXELS = 2**20
_DEEP_ROWS = 256


def bands(height: int, width: int, *, deep: bool = False) -> Iterator[slice]:
    """Yield slices of rows, about 2^20 pixels each.

    Parameters
    ----------
    height, width : int
        Pixels.
    deep : bool
        At least 256 rows, for work that goes along antidiagonals (`bbcodec.picture.raster`).

    Examples
    --------
    >>> list(bands(5, 2**19))
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    step = max(_DEEP_ROWS if deep else 1, _PIXELS // max(width, 1))
    for start in range(0, height, step):
        yield slice(start, min(start + step, height))
