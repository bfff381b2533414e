# SPDX-License-Identifier: Apache-2.0
"""Write a TIFF file whose pages are compressed as one whose pages are not, with all other bytes unchanged.

Zeros stand where compressed samples stood; tiles go there as far as they fit, strips to the end of the file.
Of the entries of pages only those change that say where samples are, and how they are compressed.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

__all__ = ["without_compression"]

_LOSSLESS: Final = (5, 8, 32773, 32946, 34925, 50000)  # LZW, deflate, PackBits, deflate, LZMA, Zstandard
_COMPRESSION, _FILL_ORDER, _PREDICTOR = 259, 266, 317
_OFFSETS, _SIZES = (273, 324), (279, 325)  # of strips and of tiles
_LONG: Final = 4
_SIZE_OF: Final = {3: "H", 4: "I", 16: "Q"}
_CLASSIC_LIMIT: Final = 2**32 - 1
_EVEN: Final = 2  # samples begin at even offsets


def without_compression(file: Any, data: bytes) -> bytes | None:
    """Return a TIFF file without compression, or None if nothing in it can be changed so.

    Parameters
    ----------
    file : tifffile.TiffFile
    data : its bytes.
    """
    writer = _Writer(file, data)
    changed = [writer.rewrite(page) for page in _pages(file)]
    return writer.finish() if any(changed) else None


def _pages(file: Any) -> Iterator[Any]:
    """Yield all pages, those below other pages too, each once."""
    seen: set[int] = set()
    groups = [list(file.pages)]
    groups += [list(level.pages) for series in file.series for level in series.levels]
    for page in (page for group in groups for page in group if page is not None):
        whole = page.aspage()
        if whole.offset not in seen:
            seen.add(whole.offset)
            yield whole


class _Writer:
    """The bytes of the file that is written, and the holes that compressed samples leave in it."""

    def __init__(self, file: Any, data: bytes) -> None:
        self._order, self._is_big = file.byteorder, bool(file.is_bigtiff)
        self._data = bytearray(data)
        self._holes: list[tuple[int, int]] = []  # offset, end
        self._pieces: list[tuple[Any, list[bytes]]] = []

    def rewrite(self, page: Any) -> bool:
        """Take the samples of a page out of the file; return whether they can be stored uncompressed."""
        plain_bits = page.dtype is not None and page.bitspersample == 8 * page.dtype.itemsize
        if page.compression not in _LOSSLESS or not plain_bits or page.is_subsampled:
            return False
        if not all(tag in page.tags for tag in (_OFFSETS[page.is_tiled], _SIZES[page.is_tiled])):
            return False
        dtype = page.dtype.newbyteorder(self._order)
        segments = []
        for segment, _, shape in page.segments(maxworkers=1, _fullsize=page.is_tiled):
            if segment is None:
                segment = np.zeros(shape, dtype)
            segments.append(np.ascontiguousarray(segment, dtype).tobytes())
        if len(segments) != len(page.dataoffsets):
            return False
        self._pieces.append((page, segments))
        for at, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            end = min(at + size, len(self._data))
            self._data[at:end] = bytes(max(0, end - at))
            self._holes.append((at, end))
        return True

    def finish(self) -> bytes | None:
        """Put all samples back, and return the file; None if it becomes too large for its kind."""
        self._merge()
        if self._holes and self._holes[-1][1] == len(self._data):
            del self._data[self._holes.pop()[0] :]
        self._data += bytes(len(self._data) % _EVEN)
        entries: list[tuple[Any, list[int]]] = []
        for page, segments in self._pieces:
            places = self._places(segments, together=not page.is_tiled)
            plain = [code for code in (_COMPRESSION, _PREDICTOR, _FILL_ORDER) if code in page.tags]
            entries += [(page.tags[code], [1]) for code in plain]
            entries.append((page.tags[_OFFSETS[page.is_tiled]], places))
            entries.append((page.tags[_SIZES[page.is_tiled]], list(map(len, segments))))
        for tag, values in entries:
            self._set(tag, values)
        if len(self._data) > _CLASSIC_LIMIT and not self._is_big:
            return None
        return bytes(self._data)

    def _merge(self) -> None:
        merged: list[tuple[int, int]] = []
        for at, end in sorted(self._holes):
            if merged and at <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((at, end))
        self._holes = merged

    def _places(self, segments: list[bytes], *, together: bool) -> list[int]:
        """Put tiles into holes, and strips one after the other behind the end; return their offsets.

        Some readers take for granted that the strips of all pages follow each other.
        """
        if not together:
            return [self._place(segment) for segment in segments]
        first = len(self._data)
        self._data += b"".join(segments)
        return list(itertools.accumulate(map(len, segments[:-1]), initial=first))

    def _place(self, segment: bytes) -> int:
        """Put bytes into the first hole that is large enough, else behind the end; return their offset."""
        for number, (at, end) in enumerate(self._holes):
            start = at + at % _EVEN
            if start + len(segment) <= end:
                self._data[start : start + len(segment)] = segment
                self._holes[number] = (start + len(segment), end)
                return start
        self._data += bytes(len(self._data) % _EVEN)
        self._data += segment
        return len(self._data) - len(segment)

    def _set(self, tag: Any, values: list[int]) -> None:
        """Give an entry other values, in its own place or, if they need a wider type, behind the end."""
        kind = int(tag.dtype)
        if max(values) >= 1 << (8 * struct.calcsize(_SIZE_OF[kind])):
            kind = _LONG
        packed = struct.pack(f"{self._order}{len(values)}{_SIZE_OF[kind]}", *values)
        inline = 8 if self._is_big else 4
        if kind == int(tag.dtype):
            self._data[tag.valueoffset : tag.valueoffset + len(packed)] = packed
            return
        self._data[tag.offset + 2 : tag.offset + 4] = struct.pack(f"{self._order}H", kind)
        value = tag.offset + (12 if self._is_big else 8)
        if len(packed) > inline:
            self._data += bytes(len(self._data) % _EVEN)
            where = len(self._data)
            self._data += packed
            packed = struct.pack(f"{self._order}{'Q' if self._is_big else 'I'}", where)
        self._data[value : value + inline] = packed.ljust(inline, b"\0")
