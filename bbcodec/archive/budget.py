# SPDX-License-Identifier: Apache-2.0
"""What the tables of one archive may unfold to, all together: bounded by the bytes of the archive.

Tables are deflated, and a name may share thousands of bytes with the name before. A few bytes could therefore
name millions of pictures. Everything is taken from a budget before it is made.
"""

from __future__ import annotations

from typing import Final

from bbcodec.container import Limits
from bbcodec.errors import LimitError

__all__ = ["MIN_PICTURES", "Budget"]

MIN_PICTURES: Final = 1 << 16
"""Pictures that any archive may have. More must have a byte each: pictures of one pixel take about that."""

_PICTURE_BYTES: Final = 400  # memory of an entry, with its place and its share of the dictionaries
_BYTES_WHAT: Final = "bytes of names"


class Budget:
    """What is left of the limits of one archive.

    Parameters
    ----------
    limits : limits of the reader. `max_metadata` bounds the tables, or the bytes of the archive do, if they
        are more. `max_memory` bounds what entries and names take in memory.
    size : bytes of the archive.
    """

    def __init__(self, limits: Limits, size: int) -> None:
        self._memory = limits.max_memory
        self._most = {
            "pictures": max(MIN_PICTURES, size),
            "bytes of tables": max(limits.max_metadata, size),
            _BYTES_WHAT: max(limits.max_metadata, size),
        }
        self._left = dict(self._most)

    def take_table(self, count: int) -> None:
        """Take the bytes of an inflated table; raise `LimitError` if too few are left."""
        self._take("bytes of tables", count, count)

    def take_pictures(self, count: int) -> None:
        """Take pictures; raise `LimitError` if too few are left."""
        self._take("pictures", count, _PICTURE_BYTES * count)

    def take_name(self, count: int) -> None:
        """Take the bytes of a name; raise `LimitError` if too few are left."""
        self._take(_BYTES_WHAT, count, count)

    def _take(self, what: str, count: int, memory: int) -> None:
        self._left[what] -= count
        if self._left[what] < 0:
            raise LimitError(
                f"archive: more than {self._most[what]} {what}, the limit of an archive of its size"
            )
        if self._memory is not None:
            self._memory -= memory
            if self._memory < 0:
                raise LimitError("archive: its names and entries take more memory than the limit")
