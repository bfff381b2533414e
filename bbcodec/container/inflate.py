# SPDX-License-Identifier: Apache-2.0
"""Write and read deflate streams that follow their size. Expansion never exceeds that size."""

from __future__ import annotations

import zlib

from bbcodec.container.container import Reader, varint

__all__ = ["deflate", "inflate"]

_MAX_DEFLATE_RATIO = 1032  # bytes that one byte of deflate can expand to (RFC 1951: 258 bytes from 2 bits)


def deflate(raw: bytes) -> bytes:
    """Return the size of `raw` as a varint, then its raw deflate stream."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return varint(len(raw)) + squeeze.compress(raw) + squeeze.flush()


def inflate(reader: Reader, size: int) -> bytes:
    """Return exactly `size` bytes from the raw deflate stream that fills the rest of `reader`.

    Raises
    ------
    FormatError
        The stream is damaged, has another size, or cannot hold that many bytes (checked first).
    """
    packed = reader.rest()
    if size > _MAX_DEFLATE_RATIO * len(packed):
        raise reader.error(f"{len(packed)} bytes of deflate cannot hold {size} bytes")
    expand = zlib.decompressobj(-15)
    try:
        raw = expand.decompress(packed, size + 1)
    except zlib.error as error:
        raise reader.error(f"deflate stream is damaged: {error}") from error
    if len(raw) != size or not expand.eof or expand.unused_data:
        raise reader.error(f"deflate stream does not end after {size} bytes")
    return raw
