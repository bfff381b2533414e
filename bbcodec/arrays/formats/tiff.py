# SPDX-License-Identifier: Apache-2.0
"""TIFF files of several pages, OME-TIFF, and those that no picture can hold: the series that tifffile finds.

Pages of packed bits and with subsampled colours are kept as bytes.
"""

from __future__ import annotations

import io
import logging
import math
from typing import Any, Final

from bbcodec.arrays.formats.parts import Parts, library
from bbcodec.arrays.formats.tiff_rewriting import without_compression
from bbcodec.errors import FormatError

__all__ = ["find"]

_UNCOMPRESSED: Final = 1
_MAX_RATIO: Final = 1100  # of deflate
_SPARE: Final = "abdefghijklmnopq"  # letters for axes whose own is taken

Piece = tuple[int, int, int]


def find(data: bytes, axes: str | None) -> Parts:
    """Return the series of a TIFF file, each with the axes that tifffile names."""
    tifffile = library("tifffile", "a TIFF file of several pages, or of samples that no picture has,")
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            plain = without_compression(file, data) if _is_plausible(file, len(data)) else None
            if plain is None:
                return _parts(file, data)
            with tifffile.TiffFile(io.BytesIO(plain)) as rewritten:
                if _same_samples(file, rewritten):
                    parts = _parts(rewritten, plain)
                    parts.rewritten = True
                    return parts
            return _parts(file, data)
    except Exception as error:
        raise FormatError(f"tifffile cannot read the TIFF file: {error}") from error


def _is_plausible(file: Any, size: int) -> bool:
    """Return whether the samples of a file may be what its bytes unfold to: damaged files claim anything."""
    pages = sum(page.nbytes for page in file.pages)
    levels = sum(level.nbytes for series in file.series for level in series.levels)
    return bool(max(pages, levels) <= _MAX_RATIO * size)


def _parts(file: Any, data: bytes) -> Parts:
    parts = Parts(data)
    for series in file.series:
        for level in series.levels:
            _add(parts, level, file.byteorder)
    return parts


def _same_samples(file: Any, other: Any) -> bool:
    """Return whether the pages of all series of two files have equal samples, bit for bit."""
    for first, second in zip(file.series, other.series, strict=True):
        for one, two in zip(first.levels, second.levels, strict=True):
            if one.asarray(maxworkers=1).tobytes() != two.asarray(maxworkers=1).tobytes():
                return False
    return True


def _add(parts: Parts, series: Any, order: str) -> None:
    """Add a series, if its samples stand in the file as they are."""
    pages = list(series.pages)
    if not pages or any(page is None for page in pages) or series.dtype is None:
        return
    dtype, shape = series.dtype.newbyteorder(order), tuple(series.shape)
    first = pages[0].keyframe
    if math.prod(shape) * dtype.itemsize > len(parts.data):
        return  # compressed, or damaged
    if len(pages) == 1 and series.dataoffset is not None and first.compression == _UNCOMPRESSED:
        parts.add(series.dataoffset, dtype, shape, _letters(series.axes))
        return
    each = math.prod(first.shape) * dtype.itemsize
    if each * len(pages) != math.prod(shape) * dtype.itemsize:
        return
    pieces: list[Piece] = []
    for number, page in enumerate(pages):
        found = _pieces(page, dtype.itemsize)
        if found is None or page.keyframe.shape != first.shape:
            return
        pieces += [(at, number * each + start, size) for at, start, size in found]
    parts.add_pieces(dtype, shape, _letters(series.axes), pieces)


def _letters(axes: str) -> str:
    """Return different small letters for the axes of a series."""
    out = ""
    for letter in axes.lower():
        free = letter if letter not in out and "a" <= letter <= "z" else None
        out += free or next(spare for spare in _SPARE if spare not in out and spare not in axes.lower())
    return out


def _pieces(page: Any, itemsize: int) -> list[Piece] | None:
    """Return where the samples of a page stand (offsets in file and page, bytes); None if they are packed."""
    frame = page.keyframe
    planes, depth, height, width, samples = frame.shaped
    is_plain = (
        frame.compression == _UNCOMPRESSED
        and frame.bitspersample == 8 * itemsize
        and frame.fillorder == 1
        and depth == 1
        and not frame.is_subsampled
    )
    if not is_plain:
        return None
    if frame.is_tiled:
        return _tiles(page, frame, itemsize)
    row = width * samples * itemsize
    rows = min(frame.rowsperstrip or height, height)
    strips = -(-height // rows)
    if len(page.dataoffsets) != planes * strips:
        return None
    out = []
    for number, (at, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        plane, strip = divmod(number, strips)
        size = row * min(rows, height - strip * rows)
        if count < size:
            return None
        out.append((at, (plane * height + strip * rows) * row, size))
    return out


def _tiles(page: Any, frame: Any, itemsize: int) -> list[Piece] | None:
    """Return the rows of all tiles of a page, without what reaches over its edges."""
    planes, _, height, width, samples = frame.shaped
    down, across = -(-height // frame.tilelength), -(-width // frame.tilewidth)
    pixel = samples * itemsize
    if len(page.dataoffsets) != planes * down * across:
        return None
    out = []
    for number, (at, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=True)):
        plane, (row, column) = number // (down * across), divmod(number % (down * across), across)
        top, left = row * frame.tilelength, column * frame.tilewidth
        if count < frame.tilelength * frame.tilewidth * pixel:
            return None
        size = min(frame.tilewidth, width - left) * pixel
        for line in range(min(frame.tilelength, height - top)):
            start = ((plane * height + top + line) * width + left) * pixel
            out.append((at + line * frame.tilewidth * pixel, start, size))
    return out
