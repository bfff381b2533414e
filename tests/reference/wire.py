# SPDX-License-Identifier: Apache-2.0
"""Readers of numbers, checked sections and compressed bytes, for all other modules."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator


class Refused(Exception):
    """The file breaks a rule of the format."""


def demand(holds: object, rule: str) -> None:
    """Refuse the file unless `holds`."""
    if not holds:
        raise Refused(rule)


class Reader:
    """Reads bytes from the front."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, size: int) -> bytes:
        demand(size >= 0 and self.at + size <= len(self.data), "data end too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def ends(self) -> bool:
        return self.at == len(self.data)

    def number(self, width: int) -> int:
        """Read a little-endian number of `width` bytes."""
        return int.from_bytes(self.take(width), "little")

    def varint(self) -> int:
        value = 0
        for i in range(9):
            byte = self.number(1)
            value |= (byte & 127) << (7 * i)
            if byte < 128:
                demand(byte or not i, "varint is not in its shortest form")
                return value
        raise Refused("varint has more than 9 bytes")


def sections(data: bytes, at: int) -> Iterator[tuple[str, bytes]]:
    """Yield types and payloads of a picture's sections, from offset `at` to the end marker."""
    reader = Reader(data, at)
    while reader.data[reader.at : reader.at + 1] != b"\0":
        begin = reader.at
        kind = reader.take(4)
        demand(kind.isalpha() and kind.isascii(), "section type is not four letters")
        payload = reader.take(reader.varint())
        check = zlib.crc32(data[begin : reader.at])
        demand(reader.number(4) == check, f"CRC of section {kind!r}")
        yield kind.decode(), payload
    reader.take(1)
    demand(reader.ends(), "bytes behind the end marker")


def inflate(data: bytes, size: int) -> bytes:
    """Decompress a raw Deflate stream, which must give `size` bytes and end with the data."""
    engine = zlib.decompressobj(-15)
    try:
        raw = engine.decompress(data, min(size + 1, 1 << 62))
    except zlib.error as error:
        raise Refused("deflate stream") from error
    demand(engine.eof and not engine.unused_data and len(raw) == size, "deflate stream of another size")
    return raw


def unlzma(data: bytes, size: int) -> bytes:
    """Decompress a raw LZMA2 stream, which must give `size` bytes and end with the data."""
    engine = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 22}])
    try:
        raw = engine.decompress(data, size + 1)
    except lzma.LZMAError as error:
        raise Refused("LZMA stream") from error
    demand(engine.eof and not engine.unused_data and len(raw) == size, "LZMA stream of another size")
    return raw
