# SPDX-License-Identifier: Apache-2.0
"""The compressions of TIFF that give bytes: PackBits, LZW, deflate, LZMA, ZSTD (TIFF 6.0, sections 9, 13).

Damage is an error here. libtiff writes lines to standard error instead, and tolerates some damage.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import FormatError, UnsupportedImageError

__all__ = ["check_lzw", "deflated", "lzma_packed", "lzw", "pack_bits"]

_CLEAR, _END, _FIRST_FREE = 256, 257, 258
_TABLE_CODES: Final = 4096
# Bits of the codes behind a clear code: the table has one entry fewer than there were codes.
_CODE_BITS: Final = np.repeat([9, 10, 11, 12], [254, 512, 1024, _TABLE_CODES - 1790])
_CODE_STARTS: Final = np.concatenate([[0], np.cumsum(_CODE_BITS)[:-1]])
_LZMA_MEMORY_BYTES: Final = 2**28
_MAX_DEFLATE_RATIO: Final = 1032


def _short(found: int, wanted: int) -> FormatError:
    return FormatError(f"TIFF: a strip or tile ends {wanted - found} bytes too early")


def deflated(data: bytes | memoryview, size: int) -> bytes:
    """Return the first `size` bytes of a zlib stream; raise `FormatError` if it is damaged or shorter."""
    if size > _MAX_DEFLATE_RATIO * len(data):
        raise _short(_MAX_DEFLATE_RATIO * len(data), size)
    expand = zlib.decompressobj()
    try:
        found = expand.decompress(data, size)
        more = b"" if expand.eof else expand.decompress(expand.unconsumed_tail, 1)
    except zlib.error as error:
        raise FormatError(f"TIFF: a strip or tile is damaged: {error}") from error
    if len(found) < size:
        raise _short(len(found), size)
    if not (more or expand.eof):
        raise FormatError("TIFF: a strip or tile lacks its end")
    return found


def lzma_packed(data: bytes | memoryview, size: int) -> bytes:
    """Return the first `size` bytes of an xz stream; raise `FormatError` if it is damaged or shorter."""
    expand = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_LZMA_MEMORY_BYTES)
    found = bytearray()
    try:
        piece = expand.decompress(bytes(data), size)
        while piece or not (expand.eof or expand.needs_input):
            found += piece
            if len(found) >= size:
                break
            piece = expand.decompress(b"", size - len(found))
    except (lzma.LZMAError, EOFError) as error:
        raise FormatError(f"TIFF: a strip or tile is damaged: {error}") from error
    if len(found) < size:
        raise _short(len(found), size)
    return bytes(found)


def pack_bits(data: bytes | memoryview, size: int) -> bytes:
    """Return the first `size` bytes of a PackBits stream; raise `FormatError` if it is shorter."""
    data = bytes(data)
    out = bytearray()
    at, end = 0, len(data)
    while len(out) < size and at < end:
        head = data[at]
        if head < 128:
            out += data[at + 1 : at + 2 + head]
            at += 2 + head
        elif head > 128:
            out += data[at + 1 : at + 2] * (257 - head)
            at += 2
        else:
            at += 1
    if len(out) < size:
        raise _short(len(out), size)
    return bytes(out[:size])


def lzw(data: bytes | memoryview, size: int) -> bytes:
    """Return the first `size` bytes of an LZW stream. Errors as of `check_lzw`."""
    out: list[bytes] = []
    left = size
    for codes in _lzw_tables(data):
        left = _expanded(codes.tolist(), out, left)
        if left <= 0:
            return b"".join(out)[:size]
    raise _short(size - left, size)


def check_lzw(data: bytes | memoryview, size: int) -> None:
    """Check that an LZW stream has at least `size` bytes; this takes a tenth of the time of `lzw`.

    Raises
    ------
    FormatError
        A code has no entry in the table yet, or the stream is shorter.
    UnsupportedImageError
        The stream has the bit order of writers before TIFF 5.0.
    """
    left = size
    for codes in _lzw_tables(data):
        left -= _expanded_size(codes)
        if left <= 0:
            return
    raise _short(size - left, size)


def _lzw_tables(data: bytes | memoryview) -> Iterator[NDArray[np.uint32]]:
    """Yield the codes between two clear codes, all of which have entries in the table."""
    if data[:1] == b"\0" and len(data) > 1 and data[1] & 1:
        raise UnsupportedImageError(
            "TIFF: LZW of before 1988 is not supported; decode it to PNG or TIFF first"
        )
    padded = np.zeros(len(data) + 3, np.uint32)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    bits, at = 8 * len(data), 0
    while True:
        codes = _codes(padded, bits, at)
        stops = np.flatnonzero((codes == _CLEAR) | (codes == _END))
        stop = int(stops[0]) if len(stops) else len(codes)
        known = codes[:stop]
        if np.any(known > _END + np.arange(stop)):
            raise FormatError("TIFF: an LZW code before its entry in the table")
        yield known
        if stop == len(codes) or codes[stop] == _END:
            return
        at += int(_CODE_STARTS[stop] + _CODE_BITS[stop])


def _codes(padded: NDArray[np.uint32], bits: int, at: int) -> NDArray[np.uint32]:
    """Return the codes from a bit behind a clear code on, as many as the table can have."""
    starts, lengths = at + _CODE_STARTS, _CODE_BITS
    count = int(np.searchsorted(starts + lengths, bits, side="right"))
    starts, lengths = starts[:count], lengths[:count].astype(np.uint32)
    where = starts >> 3
    window = padded[where] << np.uint32(16) | padded[where + 1] << np.uint32(8) | padded[where + 2]
    shift = np.uint32(24) - (starts & 7).astype(np.uint32) - lengths
    return np.asarray(window >> shift & ((np.uint32(1) << lengths) - np.uint32(1)), np.uint32)


def _expanded_size(codes: NDArray[np.uint32]) -> int:
    """Return the bytes of the strings of the codes of a table: each is one longer than the one it extends."""
    count = len(codes)
    extended = np.full(count + 1, count)
    extended[:count] = np.where(codes < _CLEAR, count, codes.astype(np.int64) - _FIRST_FREE)
    sizes = np.ones(count + 1, np.int64)
    sizes[count] = 0
    while np.any(extended < count):
        sizes += sizes[extended]
        extended = extended[extended]
    return int(sizes.sum())


def _expanded(codes: list[int], out: list[bytes], left: int) -> int:
    """Append the strings of codes to `out`, until `left` bytes are there; return how many are missing."""
    table = [bytes([value]) for value in range(256)] + [b"", b""]
    last = b""
    for code in codes:
        found = table[code] if code < len(table) else last + last[:1]
        if last:
            table.append(last + found[:1])
        out.append(found)
        last = found
        left -= len(found)
        if left <= 0:
            break
    return left
