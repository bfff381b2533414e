# SPDX-License-Identifier: Apache-2.0
"""Write TIFF files: strips compressed with deflate, classic or BigTIFF; the tags of the source come back.

Files are little-endian; pictures of mode ``I;16B`` give big-endian files, because readers take the mode from
the byte order.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import UnsupportedImageError
from bbcodec.picture.formats.tiff import numbers as of
from bbcodec.picture.formats.tiff.metadata import COLOUR_MAP, DEPTH, FORMAT, tags_of
from bbcodec.picture.formats.tiff.tags import LONG, LONG8, SHORT, Order, Tag, Tree, header, pack_tree, tag_of
from bbcodec.picture.picture import MODES, Picture

__all__ = ["MODES_HELD", "write"]

MODES_HELD: Final = ("1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I;16B", "LA;16", "RGB;16", "RGBA;16")
_DEPTH_NOTES: Final = ((FORMAT, DEPTH), ("png", "depth"))
_STRIP_PIXELS: Final = 2**17
_LEVEL: Final = 6  # of zlib
_MAX_CLASSIC_BYTES: Final = 2**32
_ENTRY_BYTES: Final = 32  # of a tag beside its values, at most


def write(picture: Picture) -> Iterator[bytes | memoryview]:
    """Yield the pieces of a TIFF file of a picture.

    Raises
    ------
    UnsupportedImageError
        The palette has more than 256 entries.
    """
    order: Order = ">" if picture.mode == "I;16B" else "<"
    bits = _bits(picture)
    predictor = 2 if bits >= 8 and picture.mode != "P" else 1
    strip_rows = max(1, min(picture.height, _STRIP_PIXELS // picture.width))
    strips = [
        zlib.compress(_strip(picture, slice(top, top + strip_rows), bits, order, predictor), _LEVEL)
        for top in range(0, picture.height, strip_rows)
    ]
    kept = tags_of(picture.metadata)
    size = sum(map(len, strips)) + 16 * len(strips) + _tree_bytes(kept) + 2**12
    big = size >= _MAX_CLASSIC_BYTES
    head_bytes = 16 if big else 8
    starts = (head_bytes + np.cumsum([0, *map(len, strips)])).tolist()
    end = starts.pop()
    directory_at = end + end % 2
    kind = LONG8 if big else LONG
    tags = [
        *_layout_tags(picture, bits),
        tag_of(of.COMPRESSION, SHORT, [of.DEFLATE]),
        tag_of(of.STRIP_OFFSETS, kind, starts),
        tag_of(of.STRIP_ROWS, LONG, [strip_rows]),
        tag_of(of.STRIP_BYTES, kind, map(len, strips)),
        tag_of(of.PLANAR, SHORT, [1]),
    ]
    if predictor != 1:
        tags.append(tag_of(of.PREDICTOR, SHORT, [predictor]))
    tree = Tree((*tags, *kept.tags), kept.below)
    yield header(directory_at, order=order, big=big)
    yield from strips
    yield bytes(end % 2)
    yield pack_tree(tree, directory_at, order=order, big=big)


def _tree_bytes(tree: Tree) -> int:
    """Return a bound of the bytes that a tree takes."""
    own = sum(len(tag.data) + _ENTRY_BYTES for tag in tree.tags)
    return own + sum(_tree_bytes(inner) + _ENTRY_BYTES for inner in tree.below.values())


def _bits(picture: Picture) -> int:
    """Return the bits of a sample."""
    if picture.mode == "P":
        assert picture.palette is not None
        entries = max(len(picture.palette.data) // 3, int(picture.pixels.max()) + 1)
        if entries > 256:
            raise UnsupportedImageError(
                f"TIFF cannot hold a palette of {entries} entries; expected at most 256"
            )
        return next(bits for bits in (1, 2, 4, 8) if entries <= 1 << bits)
    if picture.mode == "L":
        noted = (picture.metadata.note(*key) for key in _DEPTH_NOTES)
        bits = next((int.from_bytes(data, "little") for data in noted if data is not None), 8)
        step = 255 // ((1 << bits) - 1) if bits in (2, 4) else 1
        return bits if step > 1 and not np.any(picture.pixels % np.uint8(step)) else 8
    return 1 if picture.mode == "1" else 16 if MODES[picture.mode].dtype == "uint16" else 8


def _layout_tags(picture: Picture, bits: int) -> list[Tag]:
    """Return the tags that say what the samples are."""
    mode, m = MODES[picture.mode], picture.metadata
    photometric = (
        of.RGB if mode.colours == 3 else of.MIN_IS_WHITE if picture.white_is_zero else of.MIN_IS_BLACK
    )
    tags = [
        tag_of(of.WIDTH, LONG, [picture.width]),
        tag_of(of.HEIGHT, LONG, [picture.height]),
        tag_of(of.BITS, SHORT, [bits] * mode.channels),
        tag_of(of.PHOTOMETRIC, SHORT, [of.PALETTE if picture.mode == "P" else photometric]),
        tag_of(of.CHANNELS, SHORT, [mode.channels]),
    ]
    if picture.mode == "P":
        tags.append(_colour_map(picture, bits))
    if mode.alpha:
        kind = of.ASSOCIATED if picture.has_associated_alpha else of.UNASSOCIATED
        tags.append(tag_of(of.EXTRA_SAMPLES, SHORT, [kind]))
    undefined = tag_of(of.SAMPLE_FORMAT, SHORT, [of.UNDEFINED_FORMAT] * mode.channels)
    if m.note(FORMAT, f"{undefined.number}/{undefined.type}") == undefined.data:
        tags.append(undefined)
    return tags


def _colour_map(picture: Picture, bits: int) -> Tag:
    """Return the colour map: the 16-bit colours of the source, if they are those of the palette."""
    assert picture.palette is not None
    data = picture.palette.data.ljust(3 << bits, b"\0")
    colours = np.frombuffer(data, np.uint8).reshape(-1, 3).T
    noted = picture.metadata.note(FORMAT, COLOUR_MAP)
    if noted is not None and noted[1::2] == colours.tobytes() and len(noted) == 2 * len(data):
        return Tag(of.COLOUR_MAP, SHORT, noted)
    return Tag(of.COLOUR_MAP, SHORT, (colours.astype("<u2") * np.uint16(257)).astype("<u2").tobytes())


def _strip(picture: Picture, rows: slice, bits: int, order: Order, predictor: int) -> bytes:
    """Return the bytes of rows of the picture, before compression."""
    pixels = picture.pixels[rows]
    if bits == 1:
        return np.packbits(pixels, axis=1).tobytes()
    if bits < 8:
        each = 8 // bits
        values = pixels if picture.mode == "P" else pixels // np.uint8(255 // ((1 << bits) - 1))
        padded = np.zeros((len(values), -(-picture.width // each) * each), np.uint8)
        padded[:, : picture.width] = values
        shifts = np.arange(8 - bits, -1, -bits, dtype=np.uint8)
        parts = padded.reshape(len(values), -1, each) << shifts
        packed: NDArray[np.uint8] = np.bitwise_or.reduce(parts, axis=2)
        return packed.tobytes()
    if predictor == 2:
        moved = pixels.copy()
        moved[:, 1:] -= pixels[:, :-1]
        pixels = moved
    return pixels.astype(f"{order}u2").tobytes() if bits == 16 else np.ascontiguousarray(pixels).tobytes()
