# SPDX-License-Identifier: Apache-2.0
"""The samples of PNG files in NumPy: decoded at any depth, encoded with 16 bits in several channels.

Pillow reads 16-bit colours with 8 bits a sample and reports no error. For other files this is a second
reader, independent of Pillow's.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import FormatError
from bbcodec.picture.formats.png.chunks import Header
from bbcodec.picture.raster import bands, steps

__all__ = ["check_stream", "decode", "encode"]

_FEED_BYTES = 2**16  # per call of the decompressor
_DISCARD_BYTES = 2**20


def check_stream(header: Header, pieces: Sequence[memoryview]) -> int:
    """Check that pixel data have as many bytes as the picture needs; return how many lie behind their end.

    Raises
    ------
    FormatError
        The data are damaged, too short, or too long.
    """
    raw = _InflateReader(header, pieces)
    left = header.raw_bytes()
    while left:
        left -= len(raw.read(min(left, _DISCARD_BYTES)))
    return raw.finish()


def decode(header: Header, pieces: Sequence[memoryview]) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the samples, ``[H, W, C]``: uint16 at 16 bits, else uint8, not scaled.

    Parameters
    ----------
    header : of the file.
    pieces : bodies of the IDAT chunks.

    Raises
    ------
    FormatError
        The pixel data are damaged, or do not fit the size of the picture.
    """
    raw = _InflateReader(header, pieces)
    depth, size = header.depth, max(1, header.pixel_bits // 8)
    out = np.empty((header.height, header.width, header.channels), np.uint16 if depth == 16 else np.uint8)
    for x, y, dx, dy, rows, columns in header.passes():
        length = header.row_bytes(columns)
        above = np.zeros((length // size, size), np.uint8)
        for band in bands(rows, columns, deep=True):
            count = band.stop - band.start
            lines = np.frombuffer(raw.read(count * (1 + length)), np.uint8).reshape(count, -1)
            found = _unfilter(lines[:, 0], lines[:, 1:].reshape(count, -1, size), above)
            above = found[-1]
            out[y::dy, x::dx][band] = _unpacked(np.ascontiguousarray(found), depth, columns)
    raw.finish()
    return out


def _unpacked(rows: NDArray[np.uint8], depth: int, columns: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the samples ``[H, W, C]`` of rows of bytes ``[H, units, bytes of a unit]``."""
    if depth == 16:
        return rows.view(">u2").astype(np.uint16)
    if depth == 8:
        return rows
    shifts = np.array(range(8 - depth, -1, -depth), np.uint8)
    parts = (rows.reshape(len(rows), -1, 1) >> shifts) & np.uint8((1 << depth) - 1)
    samples: NDArray[np.uint8] = parts.reshape(len(rows), -1)[:, :columns, None]
    return samples


class _InflateReader:
    """Reader of the zlib stream of pixel data in several pieces, a given number of bytes at a time."""

    def __init__(self, header: Header, pieces: Sequence[memoryview]) -> None:
        length = sum(map(len, pieces))
        if header.raw_bytes() > 1032 * length:
            raise FormatError(
                f"PNG: {length} bytes of pixel data cannot hold {header.width} x {header.height} pixels"
            )
        # Small pieces: the decompressor copies input that it has not used yet.
        self._pieces = (
            piece[i : i + _FEED_BYTES] for piece in pieces for i in range(0, len(piece), _FEED_BYTES)
        )
        self._expand = zlib.decompressobj()

    def read(self, count: int) -> bytes:
        """Return the next `count` bytes; raise `FormatError` if the stream is damaged or ends before."""
        out = bytearray()
        try:
            while len(out) < count:
                found = self._expand.decompress(self._expand.unconsumed_tail, count - len(out))
                if not found:
                    if self._expand.eof:
                        raise StopIteration
                    found = self._expand.decompress(next(self._pieces), count - len(out))
                out += found
        except zlib.error as error:
            raise FormatError(f"PNG: pixel data are damaged: {error}") from error
        except StopIteration:
            raise FormatError(f"PNG: pixel data end {count - len(out)} bytes too early") from None
        return bytes(out)

    def finish(self) -> int:
        """Return how many bytes of pixel data are superfluous; raise `FormatError` if the end is missing."""
        more = b""
        try:
            while not (self._expand.eof or more):
                more = self._expand.decompress(self._expand.unconsumed_tail or next(self._pieces), 1)
        except zlib.error as error:
            raise FormatError(f"PNG: pixel data are damaged: {error}") from error
        except StopIteration:
            raise FormatError("PNG: pixel data lack their end") from None
        behind = len(self._expand.unused_data) + len(self._expand.unconsumed_tail)
        return len(more) + behind + sum(map(len, self._pieces))


def _unfilter(
    filters: NDArray[np.uint8], lines: NDArray[np.uint8], above: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Undo the five PNG filters of rows ``[H, W, bytes per pixel]``, given the row above them.

    Average and Paeth predictors need neighbours in the same row, so their pictures are done by antidiagonals.
    """
    if filters.max() > 4:
        raise FormatError(f"PNG: row filter {int(filters.max())}, expected 0 to 4")
    rows, cols, size = lines.shape
    out = np.zeros((rows + 1, cols + 1, size), np.uint8)  # column 0: the zeros outside the picture
    out[0, 1:] = above
    is_sub, is_up, is_mean, is_paeth = (filters == k for k in (1, 2, 3, 4))
    if not (is_mean.any() or is_paeth.any()):
        for row in range(rows):  # no antidiagonals needed: whole rows at once
            line = lines[row]
            if is_sub[row]:
                line = np.cumsum(line, axis=0, dtype=np.uint8)
            out[row + 1, 1:] = line + out[row, 1:] if is_up[row] else line
        return out[1:, 1:]
    flat = out.reshape(-1, size)
    sub, up, mean, paeth = (m.astype(np.int16)[:, None] for m in (is_sub, is_up, is_mean, is_paeth))
    for step in steps(rows, cols):
        a, b, c = (flat[at].astype(np.int16) for at in (step.left, step.up, step.up_left))
        p_a, p_b, p_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
        nearest = np.where((p_a <= p_b) & (p_a <= p_c), a, np.where(p_b <= p_c, b, c))
        r = slice(step.first_row, step.last_row)
        predicted = sub[r] * a + up[r] * b + mean[r] * ((a + b) >> 1) + paeth[r] * nearest
        down = np.arange(step.first_row, step.last_row)
        column = step.pixel.start % (cols + 1) - 1 - (down - step.first_row)
        flat[step.pixel] = lines[down, column] + predicted.astype(np.uint8)
    return out[1:, 1:]


def encode(pixels: NDArray[np.uint16]) -> Iterator[bytes]:
    """Yield the bodies of the IDAT chunks of uint16 ``[H, W, C]`` pixels."""
    height, width, channels = pixels.shape
    pack = zlib.compressobj(6)
    above = np.zeros(2 * channels * width, np.uint8)
    for band in bands(height, width):
        lines = np.ascontiguousarray(pixels[band].astype(">u2")).view(np.uint8).reshape(-1, len(above))
        yield pack.compress(_filter(lines, above, 2 * channels))
        above = lines[-1]
    yield pack.flush()


def _filter(lines: NDArray[np.uint8], above: NDArray[np.uint8], size: int) -> bytes:
    """Return the filtered rows of ``[H, bytes]``, given the row above them and the bytes per pixel."""
    up = lines - np.concatenate([above[None], lines[:-1]])
    sub = lines.copy()
    sub[:, size:] -= lines[:, :-size]
    # libpng's heuristic: per row, the filter with the smallest sum of absolute differences.
    cost = [np.abs(x.view(np.int8).astype(np.int16)).sum(axis=1) for x in (lines, sub, up)]
    choice = np.argmin(cost, axis=0).astype(np.uint8)
    body = np.choose(choice[:, None], (lines, sub, up))
    return np.concatenate([choice[:, None], body], axis=1).tobytes()
