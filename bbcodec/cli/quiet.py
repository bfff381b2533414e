# SPDX-License-Identifier: Apache-2.0
"""Libraries that print on stderr by themselves are made silent: every line there is one of ours.

libtiff prints warnings and errors from C. Catching descriptor 2 while an image is read would catch the lines
of other threads too, so the library itself is told to be silent. What it complains of is an error of the
reader, or is named as left out.
"""

from __future__ import annotations

import contextlib
import functools

__all__ = ["quiet_libraries"]


@functools.cache
def quiet_libraries() -> None:
    """Make libtiff, as Pillow uses it, print nothing in this process. Without that library, do nothing.

    For the command line only: the process of a caller of the API is not ours.
    """
    import ctypes

    from PIL import _imaging

    # A symbol is looked for in the libraries that Pillow's module was linked with, too.
    with contextlib.suppress(OSError, AttributeError):
        module = ctypes.CDLL(_imaging.__file__)
        for name in ("TIFFSetWarningHandler", "TIFFSetErrorHandler"):
            setter = getattr(module, name)
            setter.argtypes, setter.restype = (ctypes.c_void_p,), ctypes.c_void_p
            setter(None)
