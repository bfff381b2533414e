# SPDX-License-Identifier: Apache-2.0
"""The container of a damaged file: its header and sections, as far as they can be told.

A section that is sound is taken wherever its checksum says so. What lies between sound sections is taken for
one damaged section, whose type and payload are told from what is left of its first bytes. Nothing here knows
what payloads mean; `bbcodec.bbfile.salvage` makes a picture of them.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Final

from bbcodec import container
from bbcodec.bbfile.sections import TABLE
from bbcodec.container import Buffer, Header, Limits, Reader, Section
from bbcodec.errors import BBCodecError, FormatError, LimitError

__all__ = ["Damaged", "Found", "find", "renamed", "unknown"]

_KINDS: Final = tuple(TABLE)
_HEADER: Final = 34  # bytes at most
_LEAD: Final = 13  # bytes at most: type and length
_WORK: Final = 16  # times the size of the file may be checksummed in looking for sections

unknown: Final = "????"
"""Type of a damaged section whose type cannot be read."""


@dataclass(frozen=True)
class Damaged(Section):
    """A section whose checksum does not match.

    Attributes
    ----------
    sized : whether its length could be read and fits; else the payload may begin up to 8 bytes too early.
    lead : offset of the type in the file.
    """

    sized: bool = False
    lead: int = 0


@dataclass(frozen=True)
class Found:
    """What there is of a file.

    Attributes
    ----------
    header : of the picture.
    sections : sound and damaged ones, in the order of the file.
    notes : what is wrong with the bytes around payloads, in words.
    """

    header: Header
    sections: tuple[Section, ...]
    notes: tuple[str, ...]


def find(data: Buffer, limits: Limits) -> Found:
    """Return header and sections of a file that may be damaged.

    Raises
    ------
    FormatError
        The header is damaged in more than one byte, which leaves no size and mode.
    LimitError
        More pixels than `limits` allows.
    """
    view = memoryview(data).cast("B")
    header, start, notes = _header(view, limits)
    sections, more = _sections(view, start)
    return Found(header, tuple(sections), (*notes, *more))


def _header(view: memoryview, limits: Limits) -> tuple[Header, int, list[str]]:
    """Header, its size in bytes, and what was mended: its checksum finds one wrong byte."""
    try:
        return *container.parse_header(view, limits), []
    except LimitError:
        raise
    except FormatError as error:
        head = bytearray(view[:_HEADER])
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
                    return *found, [f"header: byte {at} was {kept:#04x}, its checksum wants {value:#04x}"]
            head[at] = kept
        raise FormatError(f"nothing can be saved without the header: {error}") from error


def _sections(view: memoryview, at: int) -> tuple[list[Section], list[str]]:
    sections: list[Section] = []
    notes: list[str] = []
    end = len(view)
    if end > at and view[end - 1] == container.END[0]:
        end -= 1
    else:
        notes.append("file: no end marker: cut off, or changed at its end")
    sound = _Sound(view)
    while at < end:
        section = sound.at(at)
        if section is None:
            section = _damaged(view, at, sound.behind(at, end))
            notes.append(f"section {section.kind} at byte {at} does not fit its checksum")
        sections.append(section)
        at += section.size
    return sections, notes


class _Sound:
    """Looks for sections whose checksum matches, within a bound of work."""

    def __init__(self, view: memoryview) -> None:
        self._view, self._whole = view, bytes(view)
        self._left = _WORK * (len(view) + 1024)

    def at(self, at: int) -> Section | None:
        """The sound section that begins at an offset."""
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

    def behind(self, at: int, end: int) -> int:
        """Where the first sound section of a known type begins behind an offset; `end` if there is none."""
        best = end
        for kind in _KINDS:
            raw, place = kind.encode(), at
            while (place := self._whole.find(raw, place + 1, best)) >= 0:
                if self.at(place) is not None:
                    best = place
                    break
        return best


def _lead(view: memoryview, at: int) -> tuple[str, int, int] | None:
    """Type, begin of the payload and its length, as they stand at an offset."""
    reader = Reader(view[at : at + _LEAD], "section", at)
    try:
        raw = bytes(reader.take(4, "type"))
        size = reader.varint("length")
    except FormatError:
        return None
    if not (raw.isascii() and raw.isalpha()):
        return None
    return raw.decode("ascii"), reader.offset, size


def _damaged(view: memoryview, at: int, end: int) -> Damaged:
    """What stands between two offsets, as one section."""
    raw = bytes(view[at : at + 4])
    kind = raw.decode("ascii") if raw.decode("latin-1") in _KINDS else unknown
    reader = Reader(view[at + 4 : min(end, at + _LEAD)], "section", at + 4)
    try:
        size = reader.varint("length")
        start = reader.offset
    except FormatError:
        size, start = -1, min(at + 5, end)
    if start + size + 4 == end:
        return Damaged(kind, view[start : end - 4], start, end - at, sized=True, lead=at)
    if size > end - start - 4 and end == len(view):  # cut off
        return Damaged(kind, view[start:end], start, end - at, sized=True, lead=at)
    return Damaged(kind, view[start : max(start, end - 4)], start, end - at, sized=False, lead=at)


def renamed(section: Damaged, kind: str) -> Damaged:
    """The section under the type that it must have had."""
    return replace(section, kind=kind)
