# SPDX-License-Identifier: Apache-2.0
"""The head of an array file: which arrays it holds, where their groups are, and the file that they come from.

docs/arrays.md defines the bytes.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from bbcodec.arrays.axes import MAX_AXES, Axes
from bbcodec.arrays.numbers import DTYPES
from bbcodec.container import Buffer, Reader, varint
from bbcodec.errors import FormatError, OptionError

__all__ = [
    "MAGIC",
    "START_BYTES",
    "Head",
    "Source",
    "Stored",
    "are_countable",
    "is_array_file",
    "pack",
    "unpack",
]

MAGIC: Final = b"\x89BBN\r\n\x1a\n"
VERSION: Final = 1
START_BYTES: Final = 18
"""Bytes at the beginning that tell how long the head is: magic, version, and a number of at most 9."""
DIGEST_BYTES: Final = 8
_CRC_BYTES: Final = 4
_BY_COLUMN, _IS_COMPLEX = 1, 2  # bits of the form of an array
MAX_SIDE: Final = 2**32 - 1
_MAX_BYTES: Final = 2**63 - 1  # of an array whose lengths of 0 count as 1
_MAX_SUFFIX: Final = 16
_GZIP, _REWRITTEN = 1, 2  # bits of the form of a source


@dataclass(frozen=True)
class Stored:
    """An array as it is stored: its groups lie one after the other.

    Parameters
    ----------
    samples : numpy.dtype
        One of `numbers.DTYPES`; of a complex array that of its parts.
    axes : str
        A letter for each axis; the last one of a complex array counts its parts, which are 2.
    shape : tuple of int
    group : tuple of int
        Lengths of a group along the axes. The last group of an axis may be shorter.
    sizes : tuple of int
        Bytes of each group, in row-major order of the groups.
    by_column : bool
        The array is to be given column by column in memory (Fortran's order).
    is_complex : bool
        The last axis holds real and imaginary parts.
    """

    samples: np.dtype[Any]
    axes: str
    shape: tuple[int, ...]
    group: tuple[int, ...]
    sizes: tuple[int, ...]
    by_column: bool = False
    is_complex: bool = False

    @cached_property
    def named(self) -> Axes:
        """The axes, and what each of them is for."""
        return Axes(self.axes, self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all samples."""
        return math.prod(self.shape) * self.samples.itemsize

    @property
    def grid(self) -> tuple[int, ...]:
        """Number of groups along each axis."""
        return tuple(-(-length // step) for length, step in zip(self.shape, self.group, strict=True))

    def places(self) -> Iterator[tuple[slice, ...]]:
        """Yield the place of each group in the array, in their order."""
        for index in itertools.product(*map(range, self.grid)):
            yield tuple(
                slice(number * step, min((number + 1) * step, length))
                for number, step, length in zip(index, self.group, self.shape, strict=True)
            )


@dataclass(frozen=True)
class Source:
    """The file that the arrays come from.

    Parameters
    ----------
    suffix : str
        Suffix of its name, such as ``.dcm``.
    size : int
        Bytes; of a gzip file those of its content.
    digest : bytes
        BLAKE2b of these bytes, 8 bytes long.
    packed : int
        Bytes of its packed frame (`bbcodec.arrays.source`), which stand at the end of the array file.
    is_gzip : bool
        The file was compressed with gzip.
    rewritten : bool
        The samples in the file were compressed, and it comes back without this compression.
    """

    suffix: str
    size: int
    digest: bytes
    packed: int
    is_gzip: bool = False
    rewritten: bool = False


@dataclass(frozen=True)
class Head:
    """What an array file holds.

    Parameters
    ----------
    arrays : tuple of Stored
    source : Source, optional
    """

    arrays: tuple[Stored, ...]
    source: Source | None = None


def is_array_file(data: Buffer) -> bool:
    """Return whether bytes begin like an array file."""
    return bytes(memoryview(data).cast("B")[: len(MAGIC)]) == MAGIC


def pack(head: Head) -> bytes:
    """Return the first bytes of an array file, up to its first group."""
    out = [varint(len(head.arrays))]
    for array in head.arrays:
        form = _BY_COLUMN * array.by_column + _IS_COMPLEX * array.is_complex
        out += [bytes([DTYPES.index(array.samples), form]), varint(len(array.axes))]
        out += [array.axes.encode("ascii"), *map(varint, array.shape), *map(varint, array.group)]
        out += map(varint, array.sizes)
    source = head.source
    out.append(bytes([source is not None]))
    if source is not None:
        suffix = source.suffix.encode("ascii")
        form = _GZIP * source.is_gzip + _REWRITTEN * source.rewritten
        out += [bytes([form]), varint(len(suffix)), suffix]
        out += [varint(source.size), source.digest, varint(source.packed)]
    body = b"".join(out)
    data = MAGIC + bytes([VERSION]) + varint(len(body)) + body
    return data + zlib.crc32(data).to_bytes(_CRC_BYTES, "little")


def head_size(start: Buffer) -> int:
    """Return the bytes of a head from its first `START_BYTES` bytes, or fewer if the file has no more.

    Raises
    ------
    FormatError
        The bytes do not begin like an array file.
    """
    reader, size = _begin(start)
    return reader.offset + size + _CRC_BYTES


def _begin(data: Buffer) -> tuple[Reader, int]:
    """Return a reader behind the size of the head, and this size."""
    reader = Reader(data, "array file")
    if bytes(reader.take(len(MAGIC), "magic")) != MAGIC:
        raise FormatError(f"not an array file: magic at byte 0, expected {MAGIC!r}")
    version = reader.u8("version")
    if version != VERSION:
        raise reader.error(f"version {version}, this reader knows version {VERSION}")
    return reader, reader.varint("size of the head")


def unpack(data: Buffer, *, total: int | None = None, salvage: bool = False) -> tuple[Head, int]:
    """Return the head of an array file and the offset of its first group.

    Parameters
    ----------
    data : the file, or its head alone.
    total : bytes of the file, if `data` are not all of it.
    salvage : whether the file may be cut off, or have bytes behind its end.

    Raises
    ------
    FormatError
        The bytes are no head of an array file, or a damaged one, or the file is cut off.
    """
    view = memoryview(data).cast("B")
    outer, size = _begin(view)
    at = outer.offset
    body = outer.take(size, "head")
    computed = zlib.crc32(view[: outer.offset])
    if outer.u32("checksum of the head") != computed:
        raise outer.error(f"checksum of the head, the bytes have {computed:08x}")
    reader = Reader(body, "head of an array file", at)
    count = reader.varint("number of arrays")
    if count > reader.left:
        raise reader.error(f"{count} arrays do not fit in {reader.left} bytes")
    arrays = tuple(_read_array(reader) for _ in range(count))
    source = _read_source(reader)
    reader.finish()
    start = outer.offset
    wanted = sum(sum(array.sizes) for array in arrays) + (source.packed if source else 0)
    total = len(view) if total is None else total
    if start + wanted != total and not salvage:
        raise FormatError(f"array file: {total} bytes, its head asks for {start + wanted}")
    return Head(arrays, source), start


def _read_array(reader: Reader) -> Stored:
    kind, form, count = reader.u8("samples"), reader.u8("form"), reader.varint("number of axes")
    if kind >= len(DTYPES) or form & ~(_BY_COLUMN | _IS_COMPLEX) or count > MAX_AXES:
        raise reader.error(f"samples {kind}, form {form} or {count} axes are not defined")
    letters = bytes(reader.take(count, "axes"))
    shape = tuple(reader.varint("length of an axis") for _ in range(count))
    group = tuple(reader.varint("length of a group") for _ in range(count))
    samples, is_complex = DTYPES[kind], bool(form & _IS_COMPLEX)
    try:
        axes = Axes(letters.decode("ascii", "replace"), shape)
    except OptionError as error:
        raise reader.error(str(error)) from error
    if is_complex and (samples.kind != "f" or samples.itemsize < 4 or shape[-1:] != (2,)):
        raise reader.error(f"complex numbers with parts of {samples} and shape {list(shape)}")
    if not are_countable(shape, samples.itemsize):
        raise reader.error(f"an array of {list(shape)} is too large")
    if not _fits(axes, group):
        raise reader.error(f"groups of {list(group)} in an array of {list(shape)}")
    steps = zip(shape, group, strict=True)
    groups = math.prod(-(-length // step) for length, step in steps)
    if groups > reader.left:
        raise reader.error(f"{groups} groups do not fit in {reader.left} bytes")
    sizes = tuple(reader.varint("size of a group") for _ in range(groups))
    return Stored(samples, axes.letters, shape, group, sizes, bool(form & _BY_COLUMN), is_complex)


def are_countable(shape: Sequence[int], itemsize: int) -> bool:
    """Return whether an array of a shape is small enough to be stored, and its bytes to be counted."""
    size = itemsize * math.prod(max(1, length) for length in shape)
    return max(shape, default=0) <= MAX_SIDE and size <= _MAX_BYTES


def _fits(axes: Axes, group: Sequence[int]) -> bool:
    """Return whether groups have a length along every axis, and whole planes with all channels."""
    whole = set(range(len(group))) - set(axes.leading)
    return all(
        1 <= length <= max(1, axes.shape[axis]) and (axis not in whole or length == max(1, axes.shape[axis]))
        for axis, length in enumerate(group)
    )


def _read_source(reader: Reader) -> Source | None:
    has = reader.u8("source")
    if has > 1:
        raise reader.error(f"source {has} is not defined")
    if not has:
        return None
    form = reader.u8("form of the source")
    length = reader.varint("length of the suffix")
    if form & ~(_GZIP | _REWRITTEN) or length > _MAX_SUFFIX:
        raise reader.error(f"form {form} of the source, or a suffix of {length} letters, is not defined")
    suffix = bytes(reader.take(length, "suffix"))
    if not _is_suffix(suffix):
        raise reader.error(f"suffix {suffix!r} of the source")
    size = reader.varint("size of the source")
    digest = bytes(reader.take(DIGEST_BYTES, "digest"))
    packed = reader.varint("size of the frame")
    return Source(suffix.decode("ascii"), size, digest, packed, bool(form & _GZIP), bool(form & _REWRITTEN))


def _is_suffix(suffix: bytes) -> bool:
    """Return whether bytes are a suffix that is safe in a name: dots, small letters and digits."""
    return suffix[:1] == b"." and all(
        part.isalnum() and part.isascii() and part == part.lower() for part in suffix[1:].split(b".")
    )
