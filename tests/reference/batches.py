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
from .wire import Reader, demand, inflate, unlzma

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


TYPES = (
    *("|u1", "<u2", ">u2", "|i1", "<i2", ">i2", "<u4", ">u4", "<i4", ">i4", "<f4", ">f4", "<f2", ">f2"),
    *("<u8", ">u8", "<i8", ">i8", "<f8", ">f8", "|b1"),
)


def chunk(data: bytes, installed: Mapping[bytes, bytes]) -> Any:
    """Return the array of a chunk."""
    reader = _begin(data, CHUNK)
    way, samples, axes = reader.number(1), reader.number(1), reader.number(1)
    demand(way < 5 and samples < (21 if way > 1 else 3) and axes & ~16 < 3, "way, samples or axes")
    by_column, axes = bool(axes & 16), axes & ~16
    count = reader.varint()
    demand(count <= 32, "number of axes")
    shape = [reader.varint() for _ in range(count)]
    demand(count >= (2, 3, 3)[axes] and 0 < math.prod(shape) <= 1 << 32, "shape")
    last = shape[-3:] if axes else [*shape[-2:], 1]
    height, width, channels = (last[1], last[2], last[0]) if axes == 2 else last
    demand(channels <= 4096, "channels")
    digest = reader.take(8)
    dtype = np.dtype(TYPES[samples])
    if way == 2:
        found = _planes(reader, shape, axes, (height, width, channels), dtype, installed)
    elif way == 3:
        found = _bytes(reader, math.prod(shape), dtype)
    elif way == 4:
        count = 1 + reader.number(1)
        values = _by_place(inflate(reader.take(reader.varint()), count * dtype.itemsize), count, dtype)
        way = reader.number(1)
        demand(way < 2, "way of ranks")
        ranks = _pictures(reader.rest(), way, installed)
        demand(ranks.dtype == np.uint8 and ranks.size == math.prod(shape), "ranks")
        demand(int(ranks.max()) < count, "a rank")
        found = values[ranks]
    else:
        found = _pictures(reader.rest(), way, installed)
        demand(found.dtype == dtype.newbyteorder("=") and found.size == math.prod(shape), "samples")
    array = found.reshape(-1, height, width, channels)
    array = (array.transpose(0, 3, 1, 2) if axes == 2 else array).reshape(shape)
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    demand(hashlib.blake2b(little.tobytes(), digest_size=8).digest() == digest, "digest")
    return np.asarray(array, dtype, order="F" if by_column else "C")


def _pictures(body: bytes, way: int, installed: Mapping[bytes, bytes]) -> Any:
    """Return the samples of ways 0 and 1."""
    return np.stack(batch(body, installed)) if way else container.decode(body, installed).samples


def _by_place(raw: bytes, count: int, dtype: np.dtype[Any]) -> Any:
    """Return samples whose first bytes come first, then all second ones."""
    joined = np.ascontiguousarray(np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, count).T)
    return joined.view(dtype.newbyteorder("<")).reshape(-1).astype(dtype.newbyteorder("="))


def _bytes(reader: Reader, count: int, dtype: np.dtype[Any]) -> Any:
    """Return the samples of a chunk of bytes, in the order of pictures."""
    form = reader.number(1)
    demand(form < 4, "form of bytes")
    raw = (unlzma if form & 2 else inflate)(reader.rest(), count * dtype.itemsize)
    if form & 1:
        return _by_place(raw, count, dtype)
    return np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype.newbyteorder("="))


def _planes(
    reader: Reader,
    shape: list[int],
    axes: int,
    picture: tuple[int, int, int],
    dtype: np.dtype[Any],
    installed: Mapping[bytes, bytes],
) -> Any:
    """Return the pictures [N, H, W, C] of a chunk of planes."""
    from . import deep, learned

    height, width, channels = picture
    count = math.prod(shape) // math.prod(picture)
    frames, each = count, channels
    if channels == 1 and axes == 0 and len(shape) > 2 and count // shape[-3] <= 4096:
        frames, each = shape[-3], count // shape[-3]
    size = (frames, each, height, width)
    model = learned.family(reader.take(8), installed)
    shift, bits = reader.number(1), 8 * dtype.itemsize
    demand(shift <= min(48, bits - 1), "shift")
    low = np.zeros(size, np.int64)
    if shift:
        places = -(-shift // 8)
        raw = inflate(reader.take(reader.varint()), places * math.prod(size))
        for place, plane in enumerate(np.frombuffer(raw, np.uint8).reshape(places, *size)):
            low |= plane.astype(np.int64) << (8 * place)
        demand(not (low >> shift).any(), "low bits")
    head = reader.take(reader.varint())
    sizes = [reader.varint() for _ in range(reader.varint())]
    chains = [reader.take(n) for n in sizes]
    demand(reader.ends(), "bytes behind the last chain")
    bounds = (0, 1) if dtype.kind == "b" else (-(1 << bits - 1), (1 << bits - 1) - 1)
    if dtype.kind == "u" and bits < 64:
        bounds = (0, (1 << bits) - 1)
    high = deep.decode_array(head, chains, size, model, (bounds[0] >> shift, bounds[1] >> shift))
    whole = (high << shift) | low
    pictures = np.moveaxis(whole, 1, 0).reshape(count, height, width, 1) if each != channels else None
    if pictures is None:
        pictures = np.moveaxis(whole, 1, 3)
    if dtype.kind == "f":
        least = -(1 << bits - 1)
        bits_of = np.where(pictures < 0, least + (-1 - pictures), pictures)
        return bits_of.astype(f"i{dtype.itemsize}").view(f"f{dtype.itemsize}")
    return pictures.astype(dtype.newbyteorder("="))
