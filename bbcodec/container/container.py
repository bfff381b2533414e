# SPDX-License-Identifier: Apache-2.0
"""The ``.bb`` container: header, typed sections with lengths and checksums, end marker.

This module reads and writes the bytes around the payloads (``docs/format.md``). It has the bounded reader
that every parser of untrusted bytes in this package uses. It must not know what the payloads mean (pixels,
models, metadata): `bbcodec.api` puts them together.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from bbcodec.errors import FormatError, LimitError

Buffer: TypeAlias = bytes | bytearray | memoryview

MAGIC = b"\x89BBC\r\n\x1a\n"
"""First bytes of every file: a non-ASCII byte, a name, and line ends that text-mode transfers would break."""

_ARRAYS_MAGIC = b"\x89BBN\r\n\x1a\n"  # of `bbcodec.arrays`
_ARCHIVE_MAGIC = b"\x89BBA\r\n\x1a\n"  # of `bbcodec.archive`: users may pass an archive as a picture

VERSION = (1, 0)
"""Format version of written files. Readers refuse another major version. They read every minor version,
because it adds only sections that readers may skip."""

VERSION_RECOVERY = (1, 2)
"""Format version of files with a section `RECOVERY`; older readers skip that section."""

VERSION_SUMS = (1, 1)
"""Format version of files with a section `SUMS`; readers of version 1.0 skip that section."""

MAX_PIXELS = 2**30
"""Default limit of a reader, in pixels (width * height)."""

_U32 = struct.Struct("<I")
_DIGEST_BYTES = 8
_MAX_SIDE_PIXELS = 2**32 - 1
_MAX_VARINT_BYTES = 9  # 63 bits: enough for any length, and still a signed 64-bit number
_KNOWN_FLAGS = 0x01

PALETTE = "PLTE"
MODEL = "MODL"
FITTED = "FITT"
CHAINS = "CHNS"
CLASSIC = "CLSC"
SUMS = "sums"
RECOVERY = "rcvr"
CRITICAL = frozenset({PALETTE, MODEL, FITTED, CHAINS, CLASSIC})
END = b"\0"
"""End marker, in the place of the type of another section. It is not a letter, so a damaged marker does not
look like a section. No bytes follow it, so a damaged section type does not look like the end."""
_REPEATABLE = frozenset({CLASSIC})
MAX_SECTIONS = 1000
"""Sections of a file. Known types make at most twenty; the others are left to newer versions."""


@dataclass(frozen=True)
class Limits:
    """Limits on what a reader allocates.

    Parameters
    ----------
    max_pixels : int
        Largest width * height, in pixels.
    max_metadata : int
        Largest total size of all decompressed metadata sections, in bytes.
    max_memory : int, optional
        Largest memory for decoding, in bytes: the estimate of `bbcodec.bbfile.memory`, without the
        interpreter.
    """

    max_pixels: int = MAX_PIXELS
    max_metadata: int = 64 * 2**20
    max_memory: int | None = None

    @classmethod
    def of(cls, limits: Limits | int | None) -> Limits:
        """Return `Limits` from limits, from a number of pixels, or from None for the default."""
        return cls(max_pixels=limits) if isinstance(limits, int) else limits or cls()


@dataclass(frozen=True)
class Header:
    """Header of a file: mode, size and digest of the picture.

    Parameters
    ----------
    mode : int
        Mode code (`bbcodec.picture.picture.MODES`).
    flags : int
        Bit 0: a gray array had an explicit last axis of length 1. All other bits are 0.
    width, height : int
        Pixels, 1 to 2**32 - 1.
    digest : bytes
        8 bytes: BLAKE2b of the decoded picture (`bbcodec.picture.picture.digest`).
    version : tuple of int
        Format version (major, minor).
    """

    mode: int
    flags: int
    width: int
    height: int
    digest: bytes
    version: tuple[int, int] = VERSION


@dataclass(frozen=True)
class Section:
    """One typed section.

    Parameters
    ----------
    kind : str
        Four ASCII letters; the first one is upper case when a reader must understand the section.
    payload : bytes-like
    offset : int
        Offset of the payload in the file, for error messages (0 when not read from a file).
    size : int
        Bytes of the whole section in the file, with type, length and checksum (0 when not read).
    """

    kind: str
    payload: Buffer
    offset: int = 0
    size: int = 0

    @property
    def critical(self) -> bool:
        """Return whether a reader that does not know this type must refuse the file."""
        return self.kind[0].isupper()

    def reader(self) -> Reader:
        """Return a bounded reader over the payload."""
        return Reader(self.payload, f"section {self.kind}", self.offset)


@dataclass(frozen=True)
class Container:
    """A parsed file: header, and sections in file order without the end marker."""

    header: Header
    sections: tuple[Section, ...]

    def all(self, kind: str) -> list[Section]:
        """Return all sections of a type."""
        return [section for section in self.sections if section.kind == kind]

    def one(self, kind: str) -> Section | None:
        """Return the section of a type that occurs at most once, or None."""
        found = self.all(kind)
        return found[0] if found else None


class Reader:
    """Bounded reader of fields in untrusted bytes.

    Every method that reads raises `FormatError` with field and offset if the bytes do not fit.

    Parameters
    ----------
    data : bytes-like
    name : str
        Name of the data, for error messages.
    base : int
        Offset of `data` in the file, for error messages.
    """

    def __init__(self, data: Buffer, name: str, base: int = 0) -> None:
        self._data = memoryview(data).cast("B")
        self._at = 0
        self._name = name
        self._base = base

    @property
    def left(self) -> int:
        """Return the number of bytes that are not read yet."""
        return len(self._data) - self._at

    @property
    def offset(self) -> int:
        """Return the offset of the next byte in the file."""
        return self._base + self._at

    def error(self, text: str) -> FormatError:
        """Return (not raise) a `FormatError` with the offset of the next byte."""
        return FormatError(f"{self._name}: {text} (at byte {self.offset})")

    def take(self, count: int, what: str) -> memoryview:
        """Return the next `count` bytes as a view; raise `FormatError` if fewer are left."""
        if count > self.left:
            raise self.error(f"{what} needs {count} bytes, found {self.left}: file cut off or corrupt")
        self._at += count
        return self._data[self._at - count : self._at]

    def u8(self, what: str) -> int:
        """Return the next byte."""
        return self.take(1, what)[0]

    def u32(self, what: str) -> int:
        """Return the next four bytes as a little-endian number."""
        return int(_U32.unpack(self.take(4, what))[0])

    def varint(self, what: str) -> int:
        """Return a LEB128 number of at most 9 bytes; raise `FormatError` unless it has its shortest form."""
        if self._at < len(self._data) and (byte := self._data[self._at]) < 0x80:  # most are this short
            self._at += 1
            return byte
        value = 0
        for i in range(_MAX_VARINT_BYTES):
            byte = self.u8(what)
            value |= (byte & 0x7F) << (7 * i)
            if byte < 0x80:
                if i and not byte:
                    raise self.error(f"{what} is not written in its shortest form")
                return value
        raise self.error(f"{what} is longer than {_MAX_VARINT_BYTES} bytes")

    def peek(self) -> memoryview:
        """Return all remaining bytes as a view, and leave them unread."""
        return self._data[self._at :]

    def rest(self) -> memoryview:
        """Return all remaining bytes as a view."""
        return self.take(self.left, "rest")

    def finish(self) -> None:
        """Raise `FormatError` unless all bytes are read."""
        if self.left:
            raise self.error(f"{self.left} bytes too many")


def varint(value: int) -> bytes:
    """Return a number as little-endian base 128 (LEB128).

    Raises
    ------
    ValueError
        The number is negative, or has more than 63 bits.

    Examples
    --------
    >>> varint(5), varint(300)
    (b'\\x05', b'\\xac\\x02')
    """
    if not 0 <= value < 1 << (7 * _MAX_VARINT_BYTES):
        raise ValueError(f"varint out of range: {value}")
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write(header: Header, sections: Iterable[Section]) -> bytes:
    """Return the bytes of a file: header, sections in the given order, end marker."""
    kind = bytes([*header.version, header.mode, header.flags])
    head = MAGIC + kind + varint(header.width) + varint(header.height) + header.digest
    out: list[Buffer] = [head, _U32.pack(zlib.crc32(head))]
    for section in sections:
        lead = section.kind.encode("ascii") + varint(len(section.payload))
        out += [lead, section.payload, _U32.pack(zlib.crc32(section.payload, zlib.crc32(lead)))]
    return b"".join([*out, END])


def read_header(data: Buffer, *, limits: Limits | None = None) -> Header:
    """Return the header of a file, reading no other bytes.

    Raises
    ------
    FormatError
        The bytes are not a ``.bb`` file, are cut off, have a wrong checksum, or an unknown format version.
    LimitError
        The picture has more pixels than `limits` allows.
    """
    return parse_header(memoryview(data).cast("B"), limits or Limits())[0]


def parse_header(view: memoryview, limits: Limits) -> tuple[Header, int]:
    """Return the header and its size in bytes. Raise the errors of `read_header`."""
    found = bytes(view[: len(MAGIC)])
    if found == _ARCHIVE_MAGIC:
        raise FormatError(
            "the file is an archive of pictures; read it with bbcodec.Archive or `bbcodec unpack`"
        )
    if found == _ARRAYS_MAGIC:
        raise FormatError("the file holds arrays; read it with bbcodec.ArrayFile or bbcodec.decompress")
    if found != MAGIC[: len(found)]:
        raise FormatError(f"not a .bb file: magic at byte 0 is {found!r}, expected {MAGIC!r}")
    reader = Reader(view, "header")
    reader.take(len(MAGIC), "magic")
    major, minor = reader.u8("major version"), reader.u8("minor version")
    if major != VERSION[0]:  # another major version may have another header layout
        raise FormatError(f"header: format version is {major}.{minor}, this reader knows {VERSION[0]}.x")
    mode, flags = reader.u8("mode"), reader.u8("flags")
    width, height = reader.varint("width"), reader.varint("height")
    digest = bytes(reader.take(_DIGEST_BYTES, "digest"))
    computed = zlib.crc32(view[: reader.offset])
    stored = reader.u32("header checksum")
    if stored != computed:
        raise reader.error(f"checksum is {stored:08x}, the bytes have {computed:08x}")
    if flags & ~_KNOWN_FLAGS:
        raise FormatError(f"header: unknown flags {flags:#04x}, expected none beyond {_KNOWN_FLAGS:#04x}")
    if not (0 < width <= _MAX_SIDE_PIXELS and 0 < height <= _MAX_SIDE_PIXELS):
        raise FormatError(f"header: size is {width} x {height}, expected sides of 1 to {_MAX_SIDE_PIXELS}")
    if width * height > limits.max_pixels:
        raise LimitError(
            f"header: {width} x {height} is {width * height} pixels, the limit is {limits.max_pixels}"
        )
    return Header(mode, flags, width, height, digest, (major, minor)), reader.offset


def read(data: Buffer, *, limits: Limits | None = None) -> Container:
    """Parse a whole file and check every length and checksum. Payloads are views; no bytes are copied.

    Raises
    ------
    FormatError
        Bytes are missing or left over, a checksum is wrong, a critical section is unknown, a section occurs
        twice that may occur once, or there are more than `MAX_SECTIONS`.
    LimitError
        The picture has more pixels than `limits` allows.
    """
    view = memoryview(data).cast("B")
    header, size = parse_header(view, limits or Limits())
    reader = Reader(view[size:], "file", size)
    sections: list[Section] = []
    seen: set[str] = set()
    while True:
        start = reader.offset
        raw = bytes(reader.take(1, "section type or end marker"))
        if raw == END:
            reader.finish()
            return Container(header, tuple(sections))
        raw += reader.take(3, "section type")
        if not (raw.isascii() and raw.isalpha()):
            raise reader.error(f"section type is {raw!r}, expected four ASCII letters")
        kind = raw.decode("ascii")
        length = reader.varint(f"length of section {kind}")
        at = reader.offset
        payload = reader.take(length, f"section {kind}")
        computed = zlib.crc32(view[start : reader.offset])
        stored = reader.u32(f"checksum of section {kind}")
        if stored != computed:
            raise reader.error(f"checksum of section {kind} is {stored:08x}, the bytes have {computed:08x}")
        section = Section(kind, payload, at, reader.offset - start)
        if section.critical and kind not in CRITICAL:
            raise FormatError(
                f"file: unknown critical section {kind!r} at byte {start}: written by a newer version"
            )
        if kind in seen and kind not in _REPEATABLE:
            raise FormatError(f"file: second section {kind!r} at byte {start}, expected at most one")
        if len(sections) == MAX_SECTIONS:
            raise FormatError(f"file: more than {MAX_SECTIONS} sections")
        seen.add(kind)
        sections.append(section)
