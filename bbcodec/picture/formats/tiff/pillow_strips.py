# SPDX-License-Identifier: Apache-2.0
"""What Pillow and libtiff do for TIFF files: decompress, and decode JPEG and WebP.

They get new files of the same strips or tiles with tags that ask for the bytes as they are. So they do not
interpret tags, and what they do not know cannot make them write to standard error.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, features

from bbcodec.errors import FormatError, UnsupportedImageError
from bbcodec.picture.formats.pillow_reader import picture_of
from bbcodec.picture.formats.tiff import numbers as of
from bbcodec.picture.formats.tiff.tags import LONG, SHORT, Tree, header, pack_tree, tag_of

__all__ = ["decompress", "has_libtiff", "jpeg_samples", "webp_samples"]

_SOI, _APP0, _APP14 = b"\xff\xd8", 0xE0, 0xEE
_ADOBE: Final = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"  # the last byte, the transform, follows


def decompress(pieces: Sequence[bytes | memoryview], row_bytes: int, rows: int, compression: int) -> bytes:
    """Return the bytes of strips or tiles of the same size, one behind the other; libtiff decompresses them.

    Parameters
    ----------
    pieces : compressed strips or tiles, their bits in the usual order.
    row_bytes, rows : of each.
    compression : any that works on bytes.

    Raises
    ------
    FormatError
        A strip or tile is damaged.
    UnsupportedImageError
        Pillow has been built without this compression.
    """
    if compression == of.ZSTD and not _has_zstd():
        raise UnsupportedImageError(
            "TIFF compression ZSTD: this Pillow has been built without it; use another"
        )
    sizes = [len(piece) for piece in pieces]
    starts = (8 + np.cumsum([0, *sizes[:-1]])).tolist()
    end = 8 + sum(sizes)
    tags = [
        tag_of(of.WIDTH, LONG, [row_bytes]),
        tag_of(of.HEIGHT, LONG, [rows * len(sizes)]),
        tag_of(of.BITS, SHORT, [8]),
        tag_of(of.COMPRESSION, SHORT, [compression]),
        tag_of(of.PHOTOMETRIC, SHORT, [of.MIN_IS_BLACK]),
        tag_of(of.STRIP_OFFSETS, LONG, starts),
        tag_of(of.STRIP_ROWS, LONG, [rows]),
        tag_of(of.STRIP_BYTES, LONG, sizes),
    ]
    directory = pack_tree(Tree(tuple(tags)), end + end % 2)
    file = io.BytesIO(b"".join([header(end + end % 2), *pieces, bytes(end % 2), directory]))
    return picture_of(file, "TIFF", row_bytes * rows * len(sizes)).pixels.tobytes()


@functools.cache
def has_libtiff() -> bool:
    """Return whether Pillow has been built with libtiff."""
    return bool(features.check("libtiff"))


@functools.cache
def _has_zstd() -> bool:
    """Return whether the libtiff of Pillow knows ZSTD."""
    try:
        Image.new("L", (1, 1)).save(io.BytesIO(), "TIFF", compression="zstd")
    except Exception:  # the kind of error is not documented
        return False
    return True


def jpeg_samples(
    data: bytes | memoryview, tables: bytes, shape: tuple[int, int, int], *, is_ycbcr: bool
) -> bytes:
    """Return the samples of a strip or tile that is a JPEG stream, as bytes.

    Parameters
    ----------
    data : the stream, with or without its tables.
    tables : a stream with tables alone, or nothing.
    shape : rows, columns, channels.
    is_ycbcr : whether three channels are to be converted from YCbCr to RGB.

    Raises
    ------
    FormatError
        The stream is damaged, or has another size.
    """
    data = bytes(data)
    if not data.startswith(_SOI) or (tables and not tables.startswith(_SOI)):
        raise FormatError("TIFF: a strip or tile is no JPEG stream")
    shared = tables[2:].removesuffix(b"\xff\xd9")
    whole = _SOI + _ADOBE + bytes([is_ycbcr]) + shared + _without_hints(data[2:])
    found = picture_of(io.BytesIO(whole), "JPEG", max(shape[0] * shape[1], 1)).pixels
    return _fitting(found, shape)


def _without_hints(data: bytes) -> bytes:
    """Return a JPEG stream without the segments that tell decoders of its colours: the tags do."""
    at = 0
    kept = []
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if not _APP0 <= data[at + 1] <= _APP14 + 1:
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def webp_samples(data: bytes | memoryview, shape: tuple[int, int, int]) -> tuple[bytes, bool]:
    """Return the samples of a strip or tile that is a WebP file, and whether it is compressed with loss.

    Raises
    ------
    FormatError
        It is damaged, or has another size.
    """
    found = picture_of(io.BytesIO(data), "WEBP", max(shape[0] * shape[1], 1)).pixels
    if found.ndim == 3 and found.shape[2] == 3 and shape[2] == 4:  # Pillow drops an opaque alpha
        found = np.dstack([found, np.full(found.shape[:2], 255, np.uint8)])
    return _fitting(found, shape), _is_lossy_webp(bytes(data))


def _is_lossy_webp(data: bytes) -> bool:
    at = 12
    while at + 8 <= len(data):
        if data[at : at + 4] == b"VP8 ":
            return True
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    return False


def _fitting(found: NDArray[np.generic], shape: tuple[int, int, int]) -> bytes:
    found = found.reshape(*found.shape[:2], -1)
    if found.dtype != np.uint8 or found.shape != shape:
        raise FormatError(f"TIFF: a strip or tile of {list(found.shape)} samples, expected {list(shape)}")
    return found.tobytes()
