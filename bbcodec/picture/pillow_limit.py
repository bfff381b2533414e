# SPDX-License-Identifier: Apache-2.0
"""Pillow's switch against decompression bombs, set to our own limits.

The switch is global; pictures of several hundred megapixels are our daily work. Nothing is opened here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from PIL import Image

__all__ = ["limited"]

# Keeps our own threads from undoing each other's change.
_LOCK = threading.Lock()


@contextlib.contextmanager
def limited(max_pixels: int | None) -> Iterator[None]:
    """Set Pillow's limit of pixels inside the block, which only one thread at a time can be in.

    Readers may allocate before they tell the size (of a GIF whose frame exceeds it, for one): so it is not
    enough to look at the size of what they opened. Pillow raises `DecompressionBombError` above twice the
    limit.

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
