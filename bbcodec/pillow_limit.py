# SPDX-License-Identifier: Apache-2.0
"""Pillow's switch against decompression bombs, lifted where sizes are checked by our own limits.

The switch is global; pictures of several hundred megapixels are our daily work. Nothing is opened here.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from PIL import Image

__all__ = ["lifted"]

# Keeps our own threads from undoing each other's change.
_LOCK = threading.Lock()


@contextlib.contextmanager
def lifted() -> Iterator[None]:
    """Lift Pillow's limit of pixels inside the block, which only one thread at a time can be in."""
    with _LOCK:
        keep, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = keep
