# SPDX-License-Identifier: Apache-2.0
"""Generic byte coders of the standard library, LZMA and deflate, for samples that repeat."""

from __future__ import annotations

import lzma
import zlib
from typing import Final

from bbcodec.container import Reader

LZMA_DICTIONARY_BYTES: Final = 2**22
"""Dictionary of the LZMA streams: fixed by the format, and most of the memory that decoding takes."""

_LZMA_FILTERS: Final[list[dict[str, int]]] = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": LZMA_DICTIONARY_BYTES,
        "lc": 0,
        "lp": 0,
        "pb": 0,
    }
]
# Bytes that one packed byte can hold at most: a 273-byte match takes about a quarter bit.
_MAX_LZMA_RATIO: Final = 2**14


def compress_lzma(raw: bytes) -> bytes:
    """Return a raw LZMA2 stream."""
    return lzma.compress(raw, lzma.FORMAT_RAW, filters=_LZMA_FILTERS)


def expand_lzma(reader: Reader, size: int) -> bytes:
    """Return the `size` bytes of the LZMA2 stream that is the rest of a reader.

    Raises
    ------
    FormatError
        The stream is damaged, or has another size.
    """
    packed = reader.rest()
    if size > _MAX_LZMA_RATIO * len(packed):
        raise reader.error(f"{len(packed)} bytes of LZMA cannot hold {size} bytes")
    # FORMAT_RAW accepts no memory limit: the fixed dictionary size of the filter chain is the limit.
    expand = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_LZMA_FILTERS)
    try:
        raw = expand.decompress(packed, size + 1)
        if len(raw) == size and not expand.eof:
            raw += expand.decompress(b"", 1)  # reads the end mark
    except (lzma.LZMAError, EOFError) as error:
        raise reader.error(f"LZMA stream is damaged: {error}") from error
    if len(raw) != size or not expand.eof or expand.unused_data:
        raise reader.error(f"LZMA stream does not end after {size} bytes")
    return raw


def deflate(raw: bytes) -> bytes:
    """Return a raw deflate stream."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeeze.compress(raw) + squeeze.flush()
