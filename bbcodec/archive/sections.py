# SPDX-License-Identifier: Apache-2.0
"""The frame of an archive: a head, then appended sections, each with its own checksum.

Here sections are written, read at an offset, and walked in order, and the last complete tail is found
(docs/format.md, "Archives"). `bbcodec.archive.tables` defines the payloads.
"""

from __future__ import annotations

import io
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from bbcodec.container import Buffer
from bbcodec.errors import FormatError

MAGIC: Final = b"\x89BBA\r\n\x1a\n"
VERSION: Final = (1, 0)
MODEL: Final = "MODL"
BATCH: Final = "BTCH"
FILE: Final = "FILE"
INDEX: Final = "INDX"
COPY: Final = "COPY"
RECOVERY: Final = "RCVR"
TAIL: Final = "TAIL"

_HEAD = struct.Struct("<8sBBHI")
_FRAME = struct.Struct("<4sQ")
_CRC = struct.Struct("<I")
_ENDS = struct.Struct("<QQ")
HEAD_SIZE: Final = _HEAD.size  # bytes
LEAD_BYTES: Final = _FRAME.size  # bytes of a section before its payload
CRC_BYTES: Final = _CRC.size  # bytes of a section after its payload
FRAME_BYTES: Final = LEAD_BYTES + CRC_BYTES  # bytes of a section besides its payload
_WALK_BYTES: Final = 4096
TAIL_SIZE: Final = FRAME_BYTES + _ENDS.size  # bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """The place of a section in the file.

    Attributes
    ----------
    kind : type, four letters.
    at : offset of the section, bytes.
    size : bytes of the payload.
    """

    kind: str
    at: int
    size: int

    @property
    def end(self) -> int:
        """Offset of the first byte after the section."""
        return self.at + self.size + FRAME_BYTES


def _descriptor(file: BinaryIO) -> int | None:
    """Return the descriptor of a plain file on a disk, or None for other file objects."""
    raw = getattr(file, "raw", file) if isinstance(file, io.BufferedReader | io.BufferedRandom) else file
    if not isinstance(raw, io.FileIO) or not hasattr(os, "pread"):
        return None
    if isinstance(file, io.BufferedRandom):
        file.flush()  # reads by descriptor do not see what is in the buffer
    return raw.fileno()


class Source:
    """A file with random access from several threads and forked processes. Reading past its end is an error.

    A forked process shares the position of an open file with its parent. Plain files are therefore read
    without moving the position. Other file objects should not be shared with a forked process.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._lock = threading.Lock()
        self.size = file.seek(0, 2)
        self._descriptor = _descriptor(file)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def read(self, at: int, count: int) -> bytes:
        """Return `count` bytes from offset `at`.

        Raises
        ------
        FormatError
            The file ends earlier.
        """
        if at + count > self.size:
            raise FormatError(f"archive: {count} bytes at byte {at} reach beyond the end, byte {self.size}")
        found = self.some(at, count)
        if len(found) < count:
            raise FormatError(f"archive: the file became shorter than {at + count} bytes")
        return found

    def some(self, at: int, count: int) -> bytes:
        """Return `count` bytes from offset `at`; fewer where the file ends."""
        parts: list[bytes] = []
        while count > 0 and (part := self._once(at, count)):
            parts.append(part)
            at += len(part)
            count -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _once(self, at: int, count: int) -> bytes:
        """Return at least one and at most `count` bytes from offset `at`; none at the end of the file."""
        if self._descriptor is not None:
            if self._file.closed:
                raise ValueError("read of a closed file")
            return os.pread(self._descriptor, count, at)
        with self._lock:
            self._file.seek(at)
            return self._file.read(count)


def head() -> bytes:
    """Return the first bytes of an archive."""
    found = _HEAD.pack(MAGIC, *VERSION, 0, 0)[: -_CRC.size]
    return found + _CRC.pack(zlib.crc32(found))


def check_head(source: Source) -> None:
    """Raise `FormatError` unless the file begins with the head of an archive of a known version."""
    found = source.read(0, min(HEAD_SIZE, source.size))
    if found[: len(MAGIC)] != MAGIC:
        raise FormatError(f"not an archive: magic at byte 0 is {found[:8]!r}, expected {MAGIC!r}")
    if len(found) < HEAD_SIZE:
        raise FormatError(f"archive: the head is cut off after {len(found)} bytes")
    _, major, minor, flags, crc = _HEAD.unpack(found)
    if major != VERSION[0]:
        raise FormatError(f"archive: format version is {major}.{minor}, this reader knows {VERSION[0]}.x")
    if crc != zlib.crc32(found[: -_CRC.size]):
        raise FormatError("archive: the checksum of the head does not match")
    if flags:
        raise FormatError(f"archive: unknown flags {flags:#06x}")


def section(kind: str, *parts: Buffer) -> bytes:
    """Return a complete section: type, length, payload, checksum."""
    body = b"".join([_FRAME.pack(kind.encode("ascii"), sum(map(len, parts))), *parts])
    return body + _CRC.pack(zlib.crc32(body))


def tail(index: int, at: int) -> bytes:
    """Return the section that ends an archive. It holds the offset of the last index and its own offset."""
    return section(TAIL, _ENDS.pack(index, at))


def frame(data: Buffer, at: int) -> tuple[bytes, int]:
    """Return type and bytes of the payload of a section that begins at an index of some bytes."""
    kind, size = _FRAME.unpack_from(data, at)
    return kind, size


def mark(source: Source, at: int) -> Mark:
    """Return the place of the section at an offset. Its checksum is not verified.

    Raises
    ------
    FormatError
        No complete section begins there.
    """
    raw, size = _FRAME.unpack(source.read(at, _FRAME.size))
    if not (raw.isascii() and raw.isalpha()):
        raise FormatError(f"archive: type of the section at byte {at} is {raw!r}, expected four letters")
    found = Mark(raw.decode("ascii"), at, size)
    if found.end > source.size:
        raise FormatError(f"archive: section {found.kind} at byte {at} is cut off")
    return found


def payload(source: Source, place: Mark) -> memoryview:
    """Verify the checksum of a section and return its payload.

    Raises
    ------
    FormatError
        The checksum does not match.
    """
    whole = source.read(place.at, place.size + FRAME_BYTES)
    (stored,) = _CRC.unpack(whole[-_CRC.size :])
    if stored != zlib.crc32(memoryview(whole)[: -_CRC.size]):
        raise FormatError(f"archive: checksum of section {place.kind} at byte {place.at} does not match")
    return memoryview(whole)[_FRAME.size : -_CRC.size]


def walk(source: Source, at: int = HEAD_SIZE) -> Iterator[Mark]:
    """Yield sections in order, until the file ends or no complete section follows."""
    ahead, begin = b"", at  # bytes from offset `begin` on: sections may be many and small
    while at < source.size:
        if at + LEAD_BYTES > begin + len(ahead):
            # Large sections are passed over. So little is read for each that a remote file does not notice.
            ahead, begin = source.some(at, _WALK_BYTES), at
        if at + LEAD_BYTES > begin + len(ahead):
            return
        raw, size = _FRAME.unpack_from(ahead, at - begin)
        if not (raw.isascii() and raw.isalpha()) or at + size + FRAME_BYTES > source.size:
            return
        found = Mark(raw.decode("ascii"), at, size)
        yield found
        at = found.end


def _tail_at(source: Source, at: int) -> int | None:
    """Return the offset of the index that the tail at an offset names; None without an intact tail there."""
    try:
        place = mark(source, at)
        if place.kind != TAIL or place.size != _ENDS.size:
            return None
        index, own = _ENDS.unpack(payload(source, place))
    except FormatError:
        return None
    return int(index) if own == at and HEAD_SIZE <= index < at else None


def ends_with_tail(source: Source) -> bool:
    """Return whether a file ends like an archive, whatever its head is."""
    at = source.size - TAIL_SIZE
    return at >= HEAD_SIZE and _tail_at(source, at) is not None


def find_tail(source: Source) -> tuple[int, int] | None:
    """Return the offset of the last index and of the end of the archive; None if there is no tail.

    Bytes after the end were left by an interrupted append.
    """
    last = source.size - TAIL_SIZE
    if last >= HEAD_SIZE and (index := _tail_at(source, last)) is not None:
        return index, source.size
    found = None
    for place in walk(source):
        if place.kind == TAIL and (index := _tail_at(source, place.at)) is not None:
            found = index, place.end
    return found
