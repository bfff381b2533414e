# SPDX-License-Identifier: Apache-2.0
"""Array files: arrays of any shape and numeric type, and the file they came from (docs/arrays.md)."""

from __future__ import annotations

import hashlib
import itertools
import math
import re
import string
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import batches
from .wire import Reader, demand, inflate

MAGIC = b"\x89BBN\r\n\x1a\n"
MOST_CHANNELS = 4096


@dataclass
class Told:
    """What the head tells of an array."""

    dtype: np.dtype[Any]  # of the parts, if the numbers are complex
    by_column: bool
    pairs: bool  # complex numbers: the last axis holds real and imaginary part
    axes: str
    shape: list[int]
    group: list[int]
    sizes: list[int]

    def channel(self) -> int | None:
        """Return which axis counts channels."""
        for letter in "sc":
            if letter in self.axes and self.shape[self.axes.index(letter)] <= MOST_CHANNELS:
                return self.axes.index(letter)
        return None

    def planes(self) -> list[int]:
        """Return which axes are rows and columns: two, one or none."""
        if "y" in self.axes and "x" in self.axes:
            return [self.axes.index("y"), self.axes.index("x")]
        return [axis for axis in range(len(self.axes)) if axis != self.channel()][-2:]

    def lead(self) -> list[int]:
        """Return the axes that are neither rows nor columns nor channels."""
        return [a for a in range(len(self.axes)) if a not in self.planes() and a != self.channel()]

    def groups(self) -> Iterator[tuple[slice, ...]]:
        """Return the part of the array that each group holds."""
        along = [
            [slice(first, min(first + step, length)) for first in range(0, length, step)]
            for length, step in zip(self.shape, self.group, strict=True)
            if 0 not in self.shape
        ]
        return itertools.product(*along) if 0 not in self.shape else iter(())


@dataclass
class Source:
    """What the head tells of the source."""

    zipped: bool
    suffix: bytes
    size: int
    digest: bytes
    frame: int


def decode(data: bytes, installed: Mapping[bytes, bytes]) -> tuple[list[tuple[str, Any]], bytes | None]:
    """Return axes and numbers of all arrays, and the content of the source, if there is one."""
    reader = Reader(data)
    demand(reader.take(8) == MAGIC and reader.number(1) == 1, "magic or version")
    head = Reader(reader.take(reader.varint()))
    check = zlib.crc32(data[: reader.at])
    demand(reader.number(4) == check, "CRC of the head")
    told = [_array(head) for _ in range(head.varint())]
    source = _source(head)
    demand(head.ends(), "bytes behind the head")
    total = sum(sum(array.sizes) for array in told) + (source.frame if source else 0)
    demand(reader.at + total == len(data), "sizes in the head")
    found = []
    for array in told:
        parts = [reader.take(size) for size in array.sizes]
        found.append((array.axes[:-1] if array.pairs else array.axes, _numbers(parts, array, installed)))
    if source is None:
        return found, None
    return found, _content(reader.rest(), source, [array.tobytes() for _, array in found])


def _array(head: Reader) -> Told:
    """Read what the head tells of one array."""
    samples, form, count = head.number(1), head.number(1), head.varint()
    demand(samples < len(batches.TYPES) and form < 4, "samples or form of an array")
    demand(count <= 16, "number of axes")
    dtype = np.dtype(batches.TYPES[samples])
    axes = head.take(count).decode("latin-1")
    demand(len(set(axes)) == count and set(axes) <= set(string.ascii_lowercase), "letters of axes")
    shape = [head.varint() for _ in range(count)]
    demand(all(n < 1 << 32 for n in shape), "length of an axis")
    demand(math.prod(max(n, 1) for n in shape) * dtype.itemsize < 1 << 63, "size of an array")
    pairs = bool(form & 2)
    demand(not pairs or (dtype.kind == "f" and dtype.itemsize > 2 and shape[-1:] == [2]), "complex numbers")
    group = [head.varint() for _ in range(count)]
    demand(all(1 <= g <= max(n, 1) for g, n in zip(group, shape, strict=True)), "lengths of a group")
    told = Told(dtype, bool(form & 1), pairs, axes, shape, group, [])
    demand(all(group[a] == max(shape[a], 1) or a in told.lead() for a in range(count)), "parts of a plane")
    for _ in range(math.prod(-(-n // g) for g, n in zip(group, shape, strict=True))):
        told.sizes.append(head.varint())
    return told


def _source(head: Reader) -> Source | None:
    """Read what the head tells of the source."""
    kind = head.number(1)
    demand(kind <= 1, "kind of source")
    if not kind:
        return None
    form = head.number(1)
    demand(form <= 3, "form of the source")
    suffix = head.take(head.varint())
    demand(len(suffix) <= 16 and re.fullmatch(rb"(\.[a-z0-9]+)+", suffix), "suffix of the source")
    return Source(bool(form & 1), suffix, head.varint(), head.take(8), head.varint())


def _numbers(parts: list[bytes], told: Told, installed: Mapping[bytes, bytes]) -> Any:
    """Return an array from its groups."""
    places = list(told.groups())
    found = [_group(part, told, place, installed) for part, place in zip(parts, places, strict=True)]
    out = np.zeros(told.shape, told.dtype)
    for place, samples in zip(places, found, strict=True):
        out[place] = samples
    if told.pairs:
        out = out.view(f"{told.dtype.byteorder}c{2 * told.dtype.itemsize}")[..., 0]
    return np.asarray(out, order="F" if told.by_column else "C")


def _group(data: bytes, told: Told, place: tuple[slice, ...], installed: Mapping[bytes, bytes]) -> Any:
    """Return the samples of a group, with the axes of the array."""
    length = [part.stop - part.start for part in place]
    lead, planes, channel = told.lead(), told.planes(), told.channel()
    last = [] if channel is None else [channel]
    found = batches.chunk(data, installed)
    shape = [length[a] for a in lead if length[a] > 1]
    shape += [1] * (2 - len(planes)) + [length[a] for a in planes + last]
    demand(found.shape == tuple(shape), "shape of a group")
    demand(found.dtype == told.dtype.newbyteorder("<"), "type of a group")
    demand(data[11] == len(last), "axes of a group")
    order = lead + planes + last
    return found.reshape([length[a] for a in order]).transpose(np.argsort(order))


def _content(frame: bytes, source: Source, arrays: list[bytes]) -> bytes:
    """Return the bytes of the source, from its frame and the bytes of all arrays in row-major order."""
    reader = Reader(frame)
    size = reader.varint()
    reader = Reader(inflate(reader.rest(), size))
    extents = [[reader.varint() for _ in range(4)] for _ in range(reader.varint())]
    left = len(reader.data) - reader.at
    demand(left + sum(extent[3] for extent in extents) == source.size, "size of the source")
    out, last, end = [], None, 0
    for gap, number, jump, size in extents:
        demand(number < len(arrays), "array of an extent")
        first = (end if number == last else 0) + (-(jump // 2) - 1 if jump & 1 else jump // 2)
        last, end = number, first + size
        demand(first >= 0 and end <= len(arrays[number]), "extent of an array")
        out += [reader.take(gap), arrays[number][first:end]]
    content = b"".join([*out, reader.rest()])
    demand(hashlib.blake2b(content, digest_size=8).digest() == source.digest, "digest of the source")
    return content
