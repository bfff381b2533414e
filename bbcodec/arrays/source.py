# SPDX-License-Identifier: Apache-2.0
"""The frame of a source file: all of its bytes but the samples of its arrays, and where these go.

A file that holds arrays is cut into extents, which are ranges of the bytes of an array, and the bytes around
them. Put together again it is the same file, byte for byte, without any knowledge of its format
(docs/arrays.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bbcodec.arrays.head import DIGEST_BYTES
from bbcodec.container import Buffer, Reader, varint
from bbcodec.container.inflate import deflate, inflate
from bbcodec.errors import FormatError

__all__ = ["Extent", "digest", "pack", "restore"]


@dataclass(frozen=True)
class Extent:
    """A range of bytes of a file that are samples.

    Parameters
    ----------
    at : int
        Offset in the file.
    array : int
        Number of the array.
    start : int
        Offset in the bytes of the array, whose samples stand in row-major order of its axes.
    size : int
        Bytes.
    """

    at: int
    array: int
    start: int
    size: int


def digest(data: Buffer) -> bytes:
    """Return the checksum of a source file."""
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()


def pack(data: Buffer, extents: Sequence[Extent]) -> bytes:
    """Return the packed frame of a file.

    Parameters
    ----------
    data : the file.
    extents : in ascending order, without overlaps.
    """
    view = memoryview(data).cast("B")
    table, rest = [varint(len(extents))], []
    at, expected = 0, (0, 0)  # offset in the file; array and offset in it that usually come next
    for extent in extents:
        array, start = expected
        jump = extent.start - (start if extent.array == array else 0)
        table += map(
            varint,
            (extent.at - at, extent.array, 2 * jump if jump >= 0 else -2 * jump - 1, extent.size),
        )
        rest.append(view[at : extent.at])
        at, expected = extent.at + extent.size, (extent.array, extent.start + extent.size)
    return deflate(b"".join([*table, *rest, view[at:]]))


def restore(
    packed: Buffer,
    size: int,
    sums: bytes | None,
    lengths: Sequence[int],
    samples: Callable[[int], Buffer],
) -> bytes:
    """Return the file of a packed frame.

    Parameters
    ----------
    packed : what `pack` returned.
    size : bytes of the file.
    sums : its `digest`; None if it is not to be compared.
    lengths : bytes of each array.
    samples : returns the bytes of an array, by its number.

    Raises
    ------
    FormatError
        The frame does not fit the arrays, or the file has another digest.
    """
    outer = Reader(packed, "frame of the source")
    reader = Reader(inflate(outer, outer.varint("size of the frame")), "frame of the source")
    count = reader.varint("number of extents")
    if count > reader.left:
        raise reader.error(f"{count} extents do not fit in {reader.left} bytes")
    steps: list[tuple[int, int, int, int]] = []
    at, expected = 0, (0, 0)
    for _ in range(count):
        gap, array = reader.varint("gap"), reader.varint("array")
        coded, length = reader.varint("jump"), reader.varint("size of an extent")
        jump = -(coded + 1 >> 1) if coded & 1 else coded >> 1
        start = jump + (expected[1] if array == expected[0] else 0)
        if array >= len(lengths) or start < 0 or start + length > lengths[array]:
            raise reader.error(f"an extent of {length} bytes at {start} of array {array}")
        at += gap + length
        if at > size:
            raise reader.error(f"extents reach to byte {at} of a file of {size}")
        expected = (array, start + length)
        steps.append((gap, array, start, length))
    if at + reader.left - sum(gap for gap, *_ in steps) != size:
        raise reader.error(f"{reader.left} bytes of a file of {size}")
    parts: list[Buffer] = []
    for gap, array, start, length in steps:
        parts.append(reader.take(gap, "bytes before an extent"))
        parts.append(memoryview(samples(array))[start : start + length])
    parts.append(reader.rest())
    found = b"".join(parts)
    if sums is not None and digest(found) != sums:
        raise FormatError(f"the restored file has checksum {digest(found).hex()}, expected {sums.hex()}")
    return found
