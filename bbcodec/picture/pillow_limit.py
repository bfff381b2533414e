# SPDX-License-Identifier: Apache-2.0
"""Set Pillow's limit against decompression bombs to the limit of the caller.

Pillow's limit is global, and too low for pictures of several hundred megapixels. Nothing is opened here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from PIL import Image

__all__ = ["limited"]

# Threads of this package must not undo each other's change.
_LOCK = threading.Lock()


@contextlib.contextmanager
def limited(max_pixels: int | None) -> Iterator[None]:
    """Set Pillow's pixel limit inside the block. Only one thread at a time can be in the block.

    Checking the size of an opened image is not enough: readers may allocate before they report the size (for
    example, for a GIF whose frame exceeds it). Pillow raises `DecompressionBombError` above twice the limit.

    Parameters
    ----------
    max_pixels : int or None
        None lifts the limit.
    """
    with _LOCK:
        keep, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = keep
