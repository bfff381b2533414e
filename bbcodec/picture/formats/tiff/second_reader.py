# SPDX-License-Identifier: Apache-2.0
"""A second reader of TIFF files: Pillow and libtiff decode, where they keep all samples.

It shares with the first reader what the tags mean (`layout`), and nothing of the decoding.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import BBCodecError
from bbcodec.picture.formats.pillow_reader import picture_of
from bbcodec.picture.formats.tiff import numbers as of
from bbcodec.picture.formats.tiff.codecs import lzw
from bbcodec.picture.formats.tiff.layout import Chunk, Layout
from bbcodec.picture.formats.tiff.pillow_strips import decompress
from bbcodec.picture.formats.tiff.reader import Opened, opened, picture_of_samples
from bbcodec.picture.formats.tiff.samples import chunk_data
from bbcodec.picture.formats.tiff.tags import Tree, header, pack_tree
from bbcodec.picture.picture import Picture

__all__ = ["read_again"]

# Modes that Pillow reads with all their samples, if nothing else is odd.
_PILLOW_MODES: Final = ("1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I;16B")
_LOSSY: Final = (of.JPEG, of.WEBP)  # two decoders need not agree


def read_again(data: bytes, max_pixels: int) -> Picture | None:
    """Read a TIFF file in another way than `read`; None if there is no other way.

    Errors as of `read`, but for samples that only the first reader can decode.
    """
    found = opened(data, max_pixels)
    layout = found.layout
    if layout.compression in _LOSSY:
        return None
    try:
        picture = _by_pillow(data, found)
    except BBCodecError:
        picture = None
    if picture is not None or layout.bits < 8:
        return picture
    try:
        return picture_of_samples(_by_rows(data, layout), found)
    except BBCodecError:
        return None


def _by_pillow(data: bytes, found: Opened) -> Picture | None:
    """Return the picture that Pillow reads from the file with the tags of the layout alone."""
    layout, file = found.layout, found.file
    is_inverted = layout.photometric == of.MIN_IS_WHITE
    if (
        layout.mode not in _PILLOW_MODES
        or layout.is_planar
        or layout.is_associated
        or layout.is_undefined
        or (layout.fill_order != 1 and layout.mode not in ("1", "L", "P"))
        or (is_inverted and layout.mode == "I;16B")
    ):
        return None
    tags = [file.tag(entry) for number, entry in found.entries.items() if number in of.STRUCTURAL]
    at = len(data) + len(data) % 2
    head = header(at, order=file.order, big=file.big)
    directory = pack_tree(Tree(tuple(tags)), at, order=file.order, big=file.big)
    whole = b"".join([head, data[len(head) :], bytes(len(data) % 2), directory])
    picture = picture_of(io.BytesIO(whole), "TIFF", layout.width * layout.height)
    if picture.mode != layout.mode:
        return None
    pixels = picture.pixels
    if is_inverted and layout.mode in ("1", "L"):
        pixels = ~pixels
    return Picture(pixels, picture.mode, picture.palette, found.metadata)


def _by_rows(data: bytes, layout: Layout) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the samples ``[H, W, C]`` of a file with 8 or 16 bits a sample, row by row."""
    size = layout.bits // 8
    planes = layout.channels if layout.is_planar else 1
    rows: list[list[bytes]] = [[b""] * layout.height for _ in range(planes)]
    for chunk in layout.chunks():
        content = _bytes(data, layout, chunk)
        plane = rows[chunk.plane or 0]
        for row in range(min(chunk.rows, layout.height - chunk.top)):
            line = content[row * layout.row_bytes : (row + 1) * layout.row_bytes]
            plane[chunk.top + row] += b"".join(_lines(line, layout))
    width = layout.width * layout.chunk_channels * size
    parts = [
        np.frombuffer(b"".join(line[:width] for line in plane), f"{layout.order}u{size}").reshape(
            layout.height, layout.width, layout.chunk_channels
        )
        for plane in rows
    ]
    whole = np.concatenate(parts, axis=2)
    return whole.astype(np.uint16) if size == 2 else whole.astype(np.uint8)


def _bytes(data: bytes, layout: Layout, chunk: Chunk) -> bytes:
    stored = chunk_data(data, layout, chunk)
    if layout.compression == of.PLAIN:
        return bytes(stored)
    if layout.compression == of.LZW:
        return lzw(stored, chunk.rows * layout.row_bytes)
    return decompress([stored], layout.row_bytes, chunk.rows, layout.compression)


def _lines(line: bytes, layout: Layout) -> Iterator[bytes]:
    """Yield the bytes of a row of a strip or tile, without predictor."""
    if layout.predictor == 1:
        yield line
        return
    kind = np.dtype(f"{layout.order}u{layout.bits // 8}")
    samples = np.frombuffer(line, kind).astype(np.uint64).reshape(-1, layout.chunk_channels)
    yield np.add.accumulate(samples, axis=0).astype(kind).tobytes()
