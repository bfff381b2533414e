# SPDX-License-Identifier: Apache-2.0
"""Pictures turned before they are coded: mirrored, transposed, first and last channel exchanged.

A *view* is a number of 4 bits, one for each of these.
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
    """The picture [H, W, C] as it is coded: transposed, rows and columns mirrored, first and last channel
    exchanged, as the view says."""
    if view & TRANSPOSE:
        image = image.swapaxes(0, 1)
    return np.ascontiguousarray(_mirrored(image, view))


def turn_back(image: NDArray[Any], view: int) -> NDArray[Any]:
    """Undo `turn`."""
    image = _mirrored(image, view)
    return np.ascontiguousarray(image.swapaxes(0, 1) if view & TRANSPOSE else image)


def turned_size(height: int, width: int, view: int) -> tuple[int, int]:
    """Height and width of a picture that is turned."""
    return (width, height) if view & TRANSPOSE else (height, width)


def turned_window(window: Window, height: int, width: int, view: int) -> Window:
    """Where a window of a picture lies once the picture is turned, to height x width."""
    top, left, down, across = window.top, window.left, window.height, window.width
    if view & TRANSPOSE:
        top, left, down, across = left, top, across, down
    if view & MIRROR_ROWS:
        top = height - top - down
    if view & MIRROR_COLUMNS:
        left = width - left - across
    return Window(top, left, down, across)


def place_back(place: Place, height: int, width: int, view: int) -> Place:
    """Rows and columns in the picture of a place in the turned one, which is height x width."""
    rows, columns = place
    if view & MIRROR_ROWS:
        rows = slice(height - rows.stop, height - rows.start)
    if view & MIRROR_COLUMNS:
        columns = slice(width - columns.stop, width - columns.start)
    return (columns, rows) if view & TRANSPOSE else (rows, columns)


def _mirrored(image: NDArray[Any], view: int) -> NDArray[Any]:
    down, across = (-1 if view & bit else 1 for bit in (MIRROR_ROWS, MIRROR_COLUMNS))
    return image[::down, ::across, :: -1 if view & SWAP_CHANNELS else 1]
