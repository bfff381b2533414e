# SPDX-License-Identifier: Apache-2.0
"""The chunks of a PNG file (W3C PNG, third edition): found, checked, packed. Only IHDR is interpreted."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from bbcodec.errors import FormatError, UnsupportedImageError

__all__ = ["PALETTE", "SIGNATURE", "Chunk", "Header", "Layout", "pack_chunk", "parse"]

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
GRAY, RGB, PALETTE, GRAY_ALPHA, RGBA = 0, 2, 3, 4, 6  # colour types
_CHANNELS: Final = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGBA: 4}
_DEPTHS: Final = {GRAY: (1, 2, 4, 8, 16), PALETTE: (1, 2, 4, 8)}
_KNOWN_CRITICAL: Final = ("IHDR", "PLTE", "IDAT", "IEND")
_MAX_CHUNKS: Final = 2**20
# Adam7: first column, first row, column step, row step.
_ADAM7: Final = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)


class Chunk(NamedTuple):
    """A chunk: its type, its body, and where it stands.

    `place` is 0 before PLTE, 1 before the pixels (IDAT), 2 behind them. A file without PLTE has no place 1.
    """

    kind: str
    body: memoryview
    place: int


@dataclass(frozen=True)
class Header:
    """IHDR: width and height in pixels, bits a sample, colour type, whether rows are interlaced."""

    width: int
    height: int
    depth: int
    colour: int
    interlaced: bool

    @classmethod
    def of(cls, body: bytes | memoryview) -> Header:
        """Return the header of an IHDR chunk; raise `FormatError` if it breaks the rules of PNG."""
        if len(body) != 13:
            raise FormatError(f"PNG: IHDR has {len(body)} bytes, expected 13")
        width, height, depth, colour, method, filters, interlace = struct.unpack(">IIBBBBB", body)
        if not (0 < width < 2**31 and 0 < height < 2**31):
            raise FormatError(f"PNG: {width} x {height}, expected 1 to 2147483647")
        if depth not in (_DEPTHS.get(colour, (8, 16)) if colour in _CHANNELS else ()):
            raise FormatError(f"PNG: colour type {colour} with {depth} bits a sample does not exist")
        if method or filters or interlace > 1:
            raise FormatError(f"PNG: compression {method}, filters {filters}, interlace {interlace} unknown")
        return cls(width, height, depth, colour, bool(interlace))

    @property
    def channels(self) -> int:
        """Return the samples of a pixel."""
        return _CHANNELS[self.colour]

    @property
    def pixel_bits(self) -> int:
        """Return the bits of a pixel."""
        return self.depth * self.channels

    def passes(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        """Yield first column, first row, column step, row step, rows and columns of each pass with pixels."""
        for x, y, dx, dy in _ADAM7 if self.interlaced else ((0, 0, 1, 1),):
            rows, columns = -(-(self.height - y) // dy), -(-(self.width - x) // dx)
            if rows > 0 and columns > 0:
                yield x, y, dx, dy, rows, columns

    def row_bytes(self, columns: int) -> int:
        """Return the bytes of a row of so many pixels, without its filter."""
        return -(-columns * self.pixel_bits // 8)

    def raw_bytes(self) -> int:
        """Return the bytes of all rows, with their filters."""
        return sum(rows * (1 + self.row_bytes(columns)) for *_, rows, columns in self.passes())


@dataclass(frozen=True)
class Layout:
    """A parsed PNG file: its header, palette (if any), pixel data, all other chunks, bytes behind the end."""

    header: Header
    palette: memoryview | None
    pixels: tuple[memoryview, ...]
    others: tuple[Chunk, ...]
    trailing: int


def parse(data: bytes) -> Layout:
    """Return the layout of a PNG file.

    Raises
    ------
    FormatError
        A chunk is cut off, has a wrong checksum, is missing, or stands where it must not.
    UnsupportedImageError
        A critical chunk is unknown.
    """
    header: Header | None = None
    palette: memoryview | None = None
    pixels: list[memoryview] = []
    others: list[Chunk] = []
    last = ""
    end = len(SIGNATURE)
    for kind, body, chunk_end in _walk(data):
        end = chunk_end
        if header is None:
            if kind != "IHDR":
                raise FormatError(f"PNG: the first chunk is {kind}, expected IHDR")
            header = Header.of(body)
        elif kind == "IHDR":
            raise FormatError("PNG: a second IHDR")
        elif kind == "IDAT":
            if pixels and last != "IDAT":
                raise FormatError("PNG: pixel data in two places")
            pixels.append(body)
        elif kind == "PLTE" and header.colour in (PALETTE, RGB, RGBA) and palette is None and not pixels:
            palette = body
        elif kind[0].isupper() and kind != "IEND":
            _refuse_critical(kind)
        elif kind != "IEND":
            others.append(Chunk(kind, body, 2 if pixels else 0 if palette is None else 1))
        last = kind
    assert header is not None  # _walk ends with IEND, so there was a first chunk
    if last != "IEND" or not pixels:
        raise FormatError(f"PNG: no {'pixel data' if last == 'IEND' else 'IEND'}")
    if palette is not None and (len(palette) % 3 or not 3 <= len(palette) <= 768):
        raise FormatError(f"PNG: palette of {len(palette)} bytes, expected 1 to 256 entries of 3")
    if palette is None and header.colour == PALETTE:
        raise FormatError("PNG: palette is missing")
    return Layout(header, palette, tuple(pixels), tuple(others), len(data) - end)


def _refuse_critical(kind: str) -> None:
    if kind in _KNOWN_CRITICAL:
        raise FormatError(f"PNG: {kind} where none is allowed")
    advice = "; Apple's tools can turn it into a PNG" if kind == "CgBI" else ""
    raise UnsupportedImageError(f"PNG: unknown critical chunk {kind}: this is not a plain PNG{advice}")


def _walk(data: bytes) -> Iterator[tuple[str, memoryview, int]]:
    """Yield type, body and end of every chunk up to IEND."""
    view = memoryview(data)
    at, count = len(SIGNATURE), 0
    while at + 12 <= len(view):
        (length,) = struct.unpack_from(">I", view, at)
        end = at + 12 + length
        kind = bytes(view[at + 4 : at + 8])
        if not (kind.isalpha() and kind.isascii()):
            raise FormatError(f"PNG: type of the chunk at byte {at} is {kind!r}, expected four letters")
        if end > len(view):
            break
        name = kind.decode("ascii")
        if zlib.crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", view, end - 4)[0]:
            raise FormatError(f"PNG: checksum of chunk {name} at byte {at} is wrong")
        yield name, view[at + 8 : end - 4], end
        count += 1
        if name == "IEND":
            return
        if count > _MAX_CHUNKS:
            raise FormatError(f"PNG: more than {_MAX_CHUNKS} chunks")
        at = end
    raise FormatError(f"PNG: cut off in the chunk at byte {at}")


def pack_chunk(kind: str, body: bytes | memoryview) -> bytes:
    """Return a chunk: length, type, body, checksum."""
    name = kind.encode("ascii")
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))
