# SPDX-License-Identifier: Apache-2.0
"""Find the header and the sections of a damaged file.

A section is intact if its checksum matches, wherever it lies. The bytes between intact sections count as one
damaged section; its type and payload are read from its first bytes as far as possible. Payloads have no
meaning here: `bbcodec.bbfile.salvage` makes a picture of them.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_right
from dataclasses import dataclass, replace
from typing import Final

from bbcodec import container
from bbcodec.bbfile.sections import TABLE
from bbcodec.container import Buffer, Header, Limits, Reader, Section
from bbcodec.errors import BBCodecError, FormatError, LimitError

__all__ = ["UNKNOWN", "Damaged", "Found", "find", "with_kind"]

_KINDS: Final = tuple(TABLE)
_ANY_KIND: Final = re.compile("|".join(_KINDS).encode())  # no type overlaps another one, or itself
_MAX_HEADER_BYTES: Final = 34
_MAX_LEAD_BYTES: Final = 13  # type and length
# The search for intact sections stops after checksumming this many times the size of the file.
_MAX_CHECKSUMMED_FILE_SIZES: Final = 16

UNKNOWN: Final = "????"
"""Type of a damaged section whose type cannot be read."""


@dataclass(frozen=True)
class Damaged(Section):
    """A section whose checksum does not match.

    Attributes
    ----------
    has_length : true if the length could be read and fits; else the payload may begin up to 8 bytes early.
    section_offset : offset of the section (of its type) in the file.
    """

    has_length: bool = False
    section_offset: int = 0


@dataclass(frozen=True)
class Found:
    """The header and sections found in a file.

    Attributes
    ----------
    header : header of the picture.
    sections : intact and damaged sections, in file order.
    notes : descriptions of the damage outside of payloads.
    """

    header: Header
    sections: tuple[Section, ...]
    notes: tuple[str, ...]


def find(data: Buffer, limits: Limits) -> Found:
    """Return the header and the sections of a file that may be damaged.

    Raises
    ------
    FormatError
        The header is damaged in more than one byte, so that size and mode are unknown; or the file has more
        sections than a file can have.
    LimitError
        More pixels than `limits` allows.
    """
    view = memoryview(data).cast("B")
    header, start, notes = _header(view, limits)
    sections, more = _sections(view, start)
    return Found(header, tuple(sections), (*notes, *more))


def _header(view: memoryview, limits: Limits) -> tuple[Header, int, list[str]]:
    """Return the header, its size in bytes, and notes. One wrong byte is corrected by the checksum."""
    try:
        return *container.parse_header(view, limits), []
    except LimitError:
        raise
    except FormatError as error:
        head = bytearray(view[:_MAX_HEADER_BYTES])
        for at in range(len(head)):
            kept = head[at]
            for value in range(256):
                head[at] = value
                try:
                    found = container.parse_header(memoryview(head), limits)
                except LimitError:
                    raise
                except BBCodecError:
                    continue
                if at < found[1]:
                    return *found, [
                        f"header: byte {at} was {kept:#04x}, corrected by the checksum to {value:#04x}"
                    ]
            head[at] = kept
        raise FormatError(f"nothing can be saved without the header: {error}") from error


def _sections(view: memoryview, at: int) -> tuple[list[Section], list[str]]:
    """Return the sections from an offset on, and notes about the damage."""
    sections: list[Section] = []
    notes: list[str] = []
    end = len(view)
    if end > at and view[end - 1] == container.END[0]:
        end -= 1
    else:
        notes.append("file: no end marker: the file is cut off, or its last byte is changed")
    intact = _IntactSections(view)
    while at < end:
        section = intact.at(at)
        if section is None:
            section = _damaged(view, at, intact.next_after(at, end))
            notes.append(f"section {section.kind} at byte {at}: the checksum does not match")
        if len(sections) == container.MAX_SECTIONS:
            raise FormatError(f"file: more than {container.MAX_SECTIONS} sections")
        sections.append(section)
        at += section.size
    return sections, notes


class _IntactSections:
    """Search for sections whose checksum matches, within a limit of checksummed bytes."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._candidates = [found.start() for found in _ANY_KIND.finditer(view)]
        self._left = _MAX_CHECKSUMMED_FILE_SIZES * (len(view) + 1024)  # bytes

    def at(self, at: int) -> Section | None:
        """Return the intact section that begins at an offset, or None."""
        lead = _lead(self._view, at)
        if lead is None:
            return None
        kind, start, size = lead
        end = start + size
        if end + 4 > len(self._view) or end - at > self._left:
            return None
        self._left -= end - at
        stored = int.from_bytes(self._view[end : end + 4], "little")
        if zlib.crc32(self._view[at:end]) != stored:
            return None
        return Section(kind, self._view[start:end], start, end + 4 - at)

    def next_after(self, at: int, end: int) -> int:
        """Return the offset of the first intact section of a known type after `at`; `end` without one."""
        for place in self._candidates[bisect_right(self._candidates, at) :]:
            if place >= end:
                break
            if self.at(place) is not None:
                return place
        return end


def _lead(view: memoryview, at: int) -> tuple[str, int, int] | None:
    """Return the type, payload offset and payload length of a section at an offset; None if not readable."""
    reader = Reader(view[at : at + _MAX_LEAD_BYTES], "section", at)
    try:
        raw = bytes(reader.take(4, "type"))
        size = reader.varint("length")
    except FormatError:
        return None
    if not (raw.isascii() and raw.isalpha()):
        return None
    return raw.decode("ascii"), reader.offset, size


def _damaged(view: memoryview, at: int, end: int) -> Damaged:
    """Return the bytes between two offsets as one damaged section."""
    raw = bytes(view[at : at + 4])
    kind = raw.decode("ascii") if raw.decode("latin-1") in _KINDS else UNKNOWN
    reader = Reader(view[at + 4 : min(end, at + _MAX_LEAD_BYTES)], "section", at + 4)
    try:
        size = reader.varint("length")
        start = reader.offset
    except FormatError:
        size, start = -1, min(at + 5, end)
    if start + size + 4 == end:
        return Damaged(kind, view[start : end - 4], start, end - at, has_length=True, section_offset=at)
    if size > end - start - 4 and end == len(view):  # cut off
        return Damaged(kind, view[start:end], start, end - at, has_length=True, section_offset=at)
    payload = view[start : max(start, end - 4)]
    return Damaged(kind, payload, start, end - at, has_length=False, section_offset=at)


def with_kind(section: Damaged, kind: str) -> Damaged:
    """Return the section with another type."""
    return replace(section, kind=kind)
