# SPDX-License-Identifier: Apache-2.0
"""The samples of a TIFF file: strips and tiles decompressed, predictors undone, put in their places."""

from __future__ import annotations

import sys
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.picture.formats.tiff import numbers as of
from bbcodec.picture.formats.tiff.codecs import check_lzw, deflated, lzma_packed, lzw, pack_bits
from bbcodec.picture.formats.tiff.fax import fax_rows
from bbcodec.picture.formats.tiff.layout import Chunk, Layout
from bbcodec.picture.formats.tiff.pillow_strips import decompress, has_libtiff, jpeg_samples, webp_samples

__all__ = ["chunk_data", "decode"]

_BIT_REVERSED: Final = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))
_MAX_PILLOW_BYTES: Final = 2**30  # the largest row
_NATIVE: Final = "<" if sys.byteorder == "little" else ">"


def _lzw(data: bytes | memoryview, size: int) -> bytes:
    """Return the first `size` bytes of an LZW stream; libtiff is fast, and silent if nothing is damaged."""
    if not has_libtiff() or size >= _MAX_PILLOW_BYTES:
        return lzw(data, size)
    check_lzw(data, size)
    return decompress([data], size, 1, of.LZW)


_BYTE_CODECS: Final = {
    of.LZW: _lzw,
    of.DEFLATE: deflated,
    of.OLD_DEFLATE: deflated,
    of.PACK_BITS: pack_bits,
    of.LZMA: lzma_packed,
}


def decode(data: bytes, layout: Layout) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], bool]:
    """Return the samples as they are stored, and whether they were compressed with loss.

    The samples are ``[H, W, C]``: uint16 at 16 bits, else uint8, not scaled.

    Parameters
    ----------
    data : the whole file.
    layout : of the picture.

    Raises
    ------
    FormatError
        A strip or tile is damaged, or too short.
    UnsupportedImageError
        A compression has a variant that has no reader here.
    """
    shape = (layout.height, layout.width, layout.channels)
    out = np.zeros(shape, np.uint16) if layout.bits == 16 else np.zeros(shape, np.uint8)
    lossy = layout.compression == of.JPEG
    for chunk in layout.chunks():
        raw, chunk_lossy = _expanded(data, layout, chunk)
        lossy |= chunk_lossy
        samples = _unpacked(raw, layout, chunk.rows)
        if layout.predictor == 2:
            np.cumsum(samples, axis=1, dtype=samples.dtype, out=samples)
        place = out[chunk.top : chunk.top + chunk.rows, chunk.left : chunk.left + layout.chunk_width]
        place = place if chunk.plane is None else place[:, :, chunk.plane : chunk.plane + 1]
        place[...] = samples[: place.shape[0], : place.shape[1]]
    return out, lossy


def chunk_data(data: bytes, layout: Layout, chunk: Chunk) -> bytes | memoryview:
    """Return the stored bytes of a strip or tile, with the first pixel in the highest bit."""
    found = memoryview(data)[chunk.start : chunk.start + chunk.size]
    reversed_bits = layout.fill_order == 2 and layout.compression not in (of.JPEG, of.WEBP)
    return bytes(found).translate(_BIT_REVERSED) if reversed_bits else found


def _expanded(data: bytes, layout: Layout, chunk: Chunk) -> tuple[bytes | memoryview, bool]:
    """Return the bytes of all rows of a strip or tile, and whether they were compressed with loss."""
    stored = chunk_data(data, layout, chunk)
    scheme = layout.compression
    size = chunk.rows * layout.row_bytes
    if scheme == of.PLAIN:
        return stored[:size], False
    if scheme in _BYTE_CODECS:
        return _BYTE_CODECS[scheme](stored, size), False
    shape = (chunk.rows, layout.chunk_width, layout.chunk_channels)
    if scheme == of.JPEG:
        is_ycbcr = layout.photometric == of.YCBCR
        return jpeg_samples(stored, layout.tables, shape, is_ycbcr=is_ycbcr), True
    if scheme == of.WEBP:
        return webp_samples(stored, shape)
    if scheme == of.ZSTD:
        return decompress([stored], layout.row_bytes, chunk.rows, scheme), False
    rows = fax_rows(stored, *shape[:2], scheme=scheme, options=layout.fax_options)
    return np.packbits(rows, axis=1).tobytes(), False


def _unpacked(raw: bytes | memoryview, layout: Layout, rows: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the samples ``[rows, columns, channels]`` of the bytes of rows."""
    channels = layout.chunk_channels
    lines = np.frombuffer(raw, np.uint8).reshape(rows, layout.row_bytes)
    bits = layout.bits
    if bits == 16:
        order = layout.order
        deep = lines.view(f"{order}u2").astype(np.uint16, copy=order != _NATIVE or layout.predictor == 2)
        return deep.reshape(rows, layout.chunk_width, channels)
    if bits == 8:
        lines = lines.copy() if layout.predictor == 2 else lines
        return lines.reshape(rows, layout.chunk_width, channels)
    if bits == 1:
        flat = np.unpackbits(lines, axis=1, count=layout.chunk_width * channels)
    else:
        shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
        parts = lines[:, :, None] >> shifts & np.uint8((1 << bits) - 1)
        flat = parts.reshape(rows, -1)[:, : layout.chunk_width * channels]
    return flat.reshape(rows, layout.chunk_width, channels)
