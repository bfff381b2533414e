# SPDX-License-Identifier: Apache-2.0
"""`CLSC`: samples without a model."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from PIL import Image

from .palette import Palette
from .wire import Reader, demand, inflate, unlzma


def samples(
    reader: Reader, shape: tuple[int, int, int], wide: bool, bilevel: bool, palette: Palette | None
) -> Any:
    """Return the samples [H, W, C] of a payload after its plane mask; `wide` samples have 16 bits."""
    method = reader.number(1)
    if method == 4:
        demand(wide, "split16 is of 16-bit samples")
        return _split16(reader, shape)
    if method == 6:
        demand(palette is not None and not wide, "painted is of mode P")
        assert palette is not None
        colours = _bytes(reader, (*shape[:2], palette.channels()), painted=True)
        return palette.indices(colours)
    if method == 5:
        demand(bilevel, "lzma bits is of mode 1")
        row = -(-shape[1] // 8)
        packed = np.frombuffer(unlzma(reader.rest(), shape[0] * row), np.uint8).reshape(shape[0], row)
        bits = np.unpackbits(packed, axis=1)
        demand(not bits[:, shape[1] :].any(), "spare bits are not 0")
        return bits[:, : shape[1], None]
    demand(not wide, "method of 8-bit samples")
    reader.at -= 1
    return _bytes(reader, shape)


def _bytes(reader: Reader, shape: tuple[int, int, int], painted: bool = False) -> Any:
    """Return samples of methods 0 to 3 (only 0 and 1 if `painted`), up to the end of the data."""
    method = reader.number(1)
    demand(method < (2 if painted else 4), f"unknown method {method}")
    if method == 0:
        return _webp(reader.rest(), shape)
    if method == 1:
        return _webp_tiles(reader, shape)
    size = shape[0] * shape[1] * shape[2]
    raw = (inflate if method == 2 else unlzma)(reader.rest(), size)
    return np.frombuffer(raw, np.uint8).reshape(shape)


def _webp(stream: bytes, shape: tuple[int, int, int]) -> Any:
    """Decode a VP8L stream with Pillow, inside a WebP file."""
    height, width, channels = shape
    demand(stream[:1] == b"\x2f", "signature of VP8L")
    chunk = b"VP8L" + struct.pack("<I", len(stream)) + stream + b"\0" * (len(stream) & 1)
    file = b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    with Image.open(io.BytesIO(file)) as image:
        demand(image.size == (width, height), "VP8L stream of another size")
        pixels = np.asarray(image.convert("RGBA"))
    return pixels[..., {1: [0], 2: [0, 3], 3: [0, 1, 2], 4: [0, 1, 2, 3]}[channels]]


def _webp_tiles(reader: Reader, shape: tuple[int, int, int]) -> Any:
    height, width, channels = shape
    cols = -(-width // 16383)
    rows = -(-height // min(16383, max(1, 2**23 // -(-width // cols))))
    sizes = [reader.varint() for _ in range(rows * cols)]
    out = np.zeros(shape, np.uint8)
    for n, size in enumerate(sizes):
        i, j = divmod(n, cols)
        top, bottom = height * i // rows, height * (i + 1) // rows
        left, right = width * j // cols, width * (j + 1) // cols
        out[top:bottom, left:right] = _webp(reader.take(size), (bottom - top, right - left, channels))
    demand(reader.ends(), "bytes behind the last tile")
    return out


def _split16(reader: Reader, shape: tuple[int, int, int]) -> Any:
    transform = reader.number(1)
    demand(transform <= 4 and not (transform & 2 and shape[2] < 3), "transform of split16")
    high = _bytes(Reader(reader.take(reader.varint())), shape).astype(np.uint16)
    low = high if transform == 4 else _bytes(reader, shape).astype(np.uint16)
    demand(reader.ends(), "bytes behind the high part")
    out = (high << 8 | low).astype(np.int64)
    if transform & 1:
        out = _unpredict((out >> 1) ^ -(out & 1))
    if transform & 2:
        out[..., [0, 2]] += out[..., [1]]
    return (out & 0xFFFF).astype(np.uint16)


def _unpredict(residuals: Any) -> Any:
    """Add the median of W, N and W + N - NW to the residuals; int64 [H, W, C], mod 2^16."""
    height, width, channels = residuals.shape
    out = np.zeros((height + 1, width + 1, channels), np.int64)  # a row above and a column to the left
    for y in range(height):
        for x in range(width):
            west, north, corner = out[y + 1, x], out[y, x + 1], out[y, x]
            low, high = np.minimum(west, north), np.maximum(west, north)
            median = np.where(corner >= high, low, np.where(corner <= low, high, west + north - corner))
            out[y + 1, x + 1] = (residuals[y, x] + median) & 0xFFFF
    return out[1:, 1:]
