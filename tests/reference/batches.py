# SPDX-License-Identifier: Apache-2.0
"""Batches (pictures in one message) and chunks (arrays of pictures)."""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from . import container
from .wire import Reader, demand

BATCH = b"\x89BBG\r\n\x1a\n"
CHUNK = b"\x89BBK\r\n\x1a\n"


def _begin(data: bytes, magic: bytes) -> Reader:
    """Check the checksum at the end, and return a reader positioned after magic and version."""
    demand(
        len(data) > 12 and zlib.crc32(data[:-4]) == Reader(data, len(data) - 4).number(4), "CRC at the end"
    )
    reader = Reader(data[:-4])
    demand(reader.take(8) == magic and reader.number(1) == 1, "magic or version")
    return reader


def batch(data: bytes, installed: Mapping[bytes, bytes]) -> list[Any]:
    """Return the pictures [H, W, C] of a batch."""
    from . import learned

    reader = _begin(data, BATCH)
    model = learned.family(reader.take(32), installed)
    channels = reader.number(1)
    demand(channels in (1, 3), "channels")
    most = 1024 if model.family in ("local", "loglinear") else 128
    shapes: list[tuple[int, int, int]] = []
    for _ in range(reader.varint()):
        count, height, width = reader.varint(), reader.varint(), reader.varint()
        demand(count and 1 <= height <= most and 1 <= width <= most, "run")
        demand(len(shapes) + count <= 1 << 20, "number of pictures")
        shapes += [(height, width, channels)] * count
    demand(shapes, "no pictures")
    plain = reader.varint()
    return learned.batch(reader.rest(), model, shapes, plain)


def chunk(data: bytes, installed: Mapping[bytes, bytes]) -> Any:
    """Return the array of a chunk."""
    reader = _begin(data, CHUNK)
    way, samples, axes = reader.number(1), reader.number(1), reader.number(1)
    demand(way < 2 and samples < 3 and axes & ~16 < 3, "way, samples or axes")
    by_column, axes = bool(axes & 16), axes & ~16
    count = reader.varint()
    demand(count <= 32, "number of axes")
    shape = [reader.varint() for _ in range(count)]
    demand(count >= (2, 3, 3)[axes] and 0 < math.prod(shape) <= 1 << 32, "shape")
    last = shape[-3:] if axes else [*shape[-2:], 1]
    height, width, channels = (last[1], last[2], last[0]) if axes == 2 else last
    demand(channels <= 4, "channels")
    digest = reader.take(8)
    body = reader.rest()
    found = np.stack(batch(body, installed)) if way else container.decode(body, installed).samples
    demand(found.dtype == (np.uint16 if samples else np.uint8) and found.size == math.prod(shape), "samples")
    array = found.reshape(-1, height, width, channels)
    array = (array.transpose(0, 3, 1, 2) if axes == 2 else array).reshape(shape)
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    demand(hashlib.blake2b(little.tobytes(), digest_size=8).digest() == digest, "digest")
    return np.asarray(array, (">u2" if samples == 2 else array.dtype), order="F" if by_column else "C")
