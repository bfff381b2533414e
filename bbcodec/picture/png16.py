# SPDX-License-Identifier: Apache-2.0
"""Read and write PNG files with 16-bit samples in several channels (W3C PNG, third edition), in NumPy.

Pillow reads these files with 8 bits per sample and reports no error. Pillow does everything else about PNG;
it must not be repeated here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import FormatError
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.raster import bands, steps

__all__ = ["SNIFF_BYTES", "decode", "encode", "sniff"]

SNIFF_BYTES = 29
"""Number of bytes from the start of a file that `sniff` needs."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_MODES = {2: "RGB;16", 4: "LA;16", 6: "RGBA;16"}
_COLOUR_TYPES = {2: 4, 3: 2, 4: 6}  # channels -> PNG colour type
_CHANNELS = {2: 3, 4: 2, 6: 4}
_FEED_BYTES = 2**16  # per call of the decompressor
# Adam7: first column, first row, column step, row step.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def sniff(head: bytes) -> str | None:
    """Return the mode ``"LA;16"``, ``"RGB;16"`` or ``"RGBA;16"`` of a PNG file from its first bytes.

    Return None for any other file.
    """
    if len(head) < SNIFF_BYTES or head[:8] != _SIGNATURE or head[12:16] != b"IHDR" or head[24] != 16:
        return None
    return _MODES.get(head[25])


def decode(data: bytes) -> NDArray[np.uint16]:
    """Return the pixels, uint16 ``[H, W, C]``, of a file that `sniff` accepts.

    Raises
    ------
    FormatError
        A chunk is cut off or has a wrong checksum, or the pixel data do not fit the size of the picture.
    """
    width, height = struct.unpack_from(">II", data, 16)
    colour, interlace = data[25], data[28]
    channels = _CHANNELS[colour]
    size = 2 * channels
    if interlace > 1 or not (width and height):
        raise FormatError(
            f"PNG: {width} x {height}, interlace {interlace}: expected at least 1 x 1, and 0 or 1"
        )
    passes = _ADAM7 if interlace else ((0, 0, 1, 1),)
    areas = [(-(-(height - y) // dy), -(-(width - x) // dx)) for x, y, dx, dy in passes]
    areas = [(rows, cols) if rows > 0 and cols > 0 else (0, 0) for rows, cols in areas]
    expected = sum(rows * (1 + cols * size) for rows, cols in areas)
    packed = [body for kind, body in _chunks(data) if kind == b"IDAT"]
    if expected > 1032 * (length := sum(map(len, packed))):
        raise FormatError(f"PNG: {length} bytes of pixel data cannot hold {width} x {height} pixels")
    raw = _InflateReader(packed)
    out = np.empty((height, width, channels), np.uint16)
    for (x, y, dx, dy), (rows, cols) in zip(passes, areas, strict=True):
        above = np.zeros((cols, size), np.uint8)
        for band in bands(rows, cols, deep=True):
            count = band.stop - band.start
            lines = np.frombuffer(raw.read(count * (1 + cols * size)), np.uint8).reshape(count, -1)
            pixels = _unfilter(lines[:, 0], lines[:, 1:].reshape(count, cols, size), above)
            out[y::dy, x::dx][band] = np.ascontiguousarray(pixels).view(">u2")
            above = pixels[-1]
    return out


class _InflateReader:
    """Reader of a zlib stream in several pieces, a given number of bytes at a time."""

    def __init__(self, pieces: Sequence[memoryview]):
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
                    found = self._expand.decompress(next(self._pieces), count - len(out))
                out += found
        except zlib.error as error:
            raise FormatError(f"PNG: pixel data are damaged: {error}") from error
        except StopIteration:
            raise FormatError(f"PNG: pixel data end {count - len(out)} bytes too early") from None
        return bytes(out)


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield type and body of every chunk before IEND; raise `FormatError` for a damaged one."""
    view = memoryview(data)
    at = len(_SIGNATURE)
    while at + 12 <= len(view):
        (length,) = struct.unpack_from(">I", view, at)
        end = at + 12 + length
        if end > len(view):
            break
        kind = bytes(view[at + 4 : at + 8])
        if zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", view, end - 4)[0]:
            raise FormatError(f"PNG: checksum of chunk {kind!r} at byte {at} is wrong")
        if kind == b"IEND":
            return
        yield kind, view[at + 8 : end - 4]
        at = end
    raise FormatError(f"PNG: cut off in the chunk at byte {at}")


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


def encode(pixels: NDArray[np.uint16], metadata: Metadata) -> Iterator[bytes]:
    """Yield the pieces of a PNG file of uint16 ``[H, W, 2..4]`` pixels.

    The file has the ICC profile, EXIF, XMP, DPI, text and colour key of the metadata.
    """
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    yield from (_SIGNATURE, _chunk(b"IHDR", header), *_metadata_chunks(metadata))
    pack = zlib.compressobj(6)
    above = np.zeros(2 * channels * width, np.uint8)
    for band in bands(height, width):
        lines = np.ascontiguousarray(pixels[band].astype(">u2")).view(np.uint8).reshape(-1, len(above))
        yield _chunk(b"IDAT", pack.compress(_filter(lines, above, 2 * channels)))
        above = lines[-1]
    yield _chunk(b"IDAT", pack.flush())
    yield _chunk(b"IEND", b"")


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


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _metadata_chunks(m: Metadata) -> Iterator[bytes]:
    if m.icc is not None:
        yield _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(m.icc, 9))
    if m.dpi is not None:
        x, y = (max(0, min(2**31 - 1, int(v / 0.0254 + 0.5))) for v in m.dpi)  # inches to metres
        yield _chunk(b"pHYs", struct.pack(">IIB", x, y, 1))
    if isinstance(m.colour_key, tuple):
        yield _chunk(b"tRNS", struct.pack(f">{len(m.colour_key)}H", *m.colour_key))
    if m.exif is not None:
        yield _chunk(b"eXIf", m.exif.removeprefix(b"Exif\0\0"))
    texts = [("XML:com.adobe.xmp", m.xmp.decode("utf-8", "replace"))] if m.xmp is not None else []
    for key, value in (*texts, *m.text):
        name = key.encode("latin-1")  # `Metadata.problem` has refused other keys
        try:
            plain = value.encode("latin-1")
            if key.startswith("XML:"):
                raise UnicodeError
            yield _chunk(b"tEXt", name + b"\0" + plain)
        except UnicodeError:
            yield _chunk(b"iTXt", name + b"\0\0\0\0\0" + value.encode("utf-8"))
