# SPDX-License-Identifier: Apache-2.0
"""Turn pictures before they are coded: mirror, transpose, exchange first and last channel.

A *view* is a 4-bit number with one bit for each of these four changes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.picture.region import Place, Window

__all__ = [
    "MIRROR_COLUMNS",
    "MIRROR_ROWS",
    "SWAP_CHANNELS",
    "TRANSPOSE",
    "VIEWS",
    "place_back",
    "turn",
    "turn_back",
    "turned_size",
    "turned_window",
]

MIRROR_COLUMNS: Final = 1
MIRROR_ROWS: Final = 2
TRANSPOSE: Final = 4
SWAP_CHANNELS: Final = 8
VIEWS: Final = 16


def turn(image: NDArray[Any], view: int) -> NDArray[Any]:
    """Return a picture [H, W, C] in the given view: transpose first, then mirror, then exchange channels."""
    if view & TRANSPOSE:
        image = image.swapaxes(0, 1)
    return np.ascontiguousarray(_mirrored(image, view))


def turn_back(image: NDArray[Any], view: int) -> NDArray[Any]:
    """Return the picture from which `turn` made this one."""
    image = _mirrored(image, view)
    return np.ascontiguousarray(image.swapaxes(0, 1) if view & TRANSPOSE else image)


def turned_size(height: int, width: int, view: int) -> tuple[int, int]:
    """Return the height and width of a turned picture, given those of the picture."""
    return (width, height) if view & TRANSPOSE else (height, width)


def turned_window(window: Window, height: int, width: int, view: int) -> Window:
    """Return the place of a window in the turned picture, which is height x width."""
    top, left, down, across = window.top, window.left, window.height, window.width
    if view & TRANSPOSE:
        top, left, down, across = left, top, across, down
    if view & MIRROR_ROWS:
        top = height - top - down
    if view & MIRROR_COLUMNS:
        left = width - left - across
    return Window(top, left, down, across)


def place_back(place: Place, height: int, width: int, view: int) -> Place:
    """Return the rows and columns in the picture of a place in the turned one, which is height x width."""
    rows, columns = place
    if view & MIRROR_ROWS:
        rows = slice(height - rows.stop, height - rows.start)
    if view & MIRROR_COLUMNS:
        columns = slice(width - columns.stop, width - columns.start)
    return (columns, rows) if view & TRANSPOSE else (rows, columns)


def _mirrored(image: NDArray[Any], view: int) -> NDArray[Any]:
    down, across = (-1 if view & bit else 1 for bit in (MIRROR_ROWS, MIRROR_COLUMNS))
    return image[::down, ::across, :: -1 if view & SWAP_CHANNELS else 1]
