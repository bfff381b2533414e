# SPDX-License-Identifier: Apache-2.0
"""Look for damage in an archive, and repair lost sectors where it holds what that takes.

An archive is sound if sections fill it from the head to a tail at its end, and all their checksums match.
Repaired sectors are laid over the file, which is not changed. Nothing here decodes a picture.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bbcodec.archive import copies, sections
from bbcodec.archive.sections import BATCH, COPY, FILE, INDEX, MODEL, RECOVERY, TAIL, Mark, Source
from bbcodec.container import recovery
from bbcodec.container.recovery import SECTOR, Layout
from bbcodec.errors import FormatError

__all__ = ["Scan", "first_notes", "last_recovery", "mend", "scan"]

_KINDS: Final = tuple(kind.encode() for kind in (MODEL, BATCH, FILE, INDEX, COPY, RECOVERY, TAIL))
_SEARCH_BYTES: Final = 1 << 20  # bytes searched at a time
MAX_NOTES: Final = 1000  # descriptions of damage that are kept
# Byte strings that only look like sections cost checksums. The search stops after this many times the size of
# the file.
_MAX_CHECKSUMMED_FILE_SIZES: Final = 8


@dataclass(frozen=True)
class Scan:
    """All sections of a file, by their own frames.

    Attributes
    ----------
    found : sections in file order, and whether each is intact.
    notes : descriptions of the damage.
    """

    found: tuple[tuple[Mark, bool], ...]
    notes: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is damaged."""
        return not self.notes and bool(self.found) and self.found[-1][0].kind == TAIL

    def intact(self, kind: str) -> list[Mark]:
        """Return the intact sections of a type."""
        return [place for place, is_intact in self.found if is_intact and place.kind == kind]


class _Mended(Source):
    """A file with repaired sectors laid over it."""

    def __init__(self, source: Source, sectors: Mapping[int, bytes]) -> None:
        self._below, self._sectors = source, dict(sectors)
        self.size = max(source.size, max(at + len(sector) for at, sector in sectors.items()))

    def close(self) -> None:
        self._below.close()

    def _once(self, at: int, count: int) -> bytes:
        count = max(0, min(count, self.size - at))
        out = bytearray(self._below.some(at, count).ljust(count, b"\0"))
        for place in range(at - at % SECTOR, at + count, SECTOR):
            if place in self._sectors:
                begin, end = max(place, at), min(place + len(self._sectors[place]), at + count)
                out[begin - at : max(begin, end) - at] = self._sectors[place][begin - place : end - place]
        return bytes(out)


def mend(source: Source, threads: int = 1) -> tuple[Source, Scan, tuple[str, ...]]:
    """Repair what can be repaired.

    Returns
    -------
    source : the file, with repaired sectors laid over it.
    scan : its sections after the repair.
    repairs : descriptions of the repairs; empty if there were none.
    """
    found, repairs = scan(source), list[str]()
    if found.is_sound:
        return source, found, ()
    for data in recovery.find(source.some, source.size):
        fixed = recovery.repair(source.some, data, threads)
        if fixed.sectors:
            repairs.append(str(fixed))
            source = _Mended(source, fixed.sectors)
    if repairs:
        found = scan(source)
    budget = _MAX_CHECKSUMMED_FILE_SIZES * source.size
    for place in found.intact(COPY)[::-1] if not found.is_sound else ():
        budget -= place.at
        if budget < 0:
            break
        try:
            sums = copies.unpack(sections.payload(source, place), place.at).sums
        except FormatError:
            continue
        one = sums.repair(source.some, place.at) if sums is not None else None
        if one is not None:
            repairs.append(f"the sums at the end repair the damaged sector at byte {one[0]}")
            source = _Mended(source, dict([one]))
            found = scan(source)
    return source, found, tuple(repairs)


def last_recovery(source: Source, end: int) -> Layout | None:
    """Return the layout of the recovery data right before the tail of an archive, or None."""
    at = end - sections.TAIL_SIZE - sections.CRC_BYTES - SECTOR
    return recovery.layout_of(source.some(at, SECTOR), at) if at >= 0 else None


def scan(source: Source) -> Scan:
    """Return all sections of a file and descriptions of its damage."""
    notes: list[str] = []
    try:
        sections.check_head(source)
    except FormatError as error:
        notes.append(str(error))
    found = []
    for place, is_intact in _sections(source, notes):
        found.append((place, is_intact))
        if not is_intact:
            notes.append(f"archive: section {place.kind} at byte {place.at} is damaged")
    return Scan(tuple(found), first_notes(notes))


def first_notes(notes: list[str]) -> tuple[str, ...]:
    """Return descriptions of damage: the first ones, and how many more there are."""
    more = len(notes) - MAX_NOTES
    return (*notes[:MAX_NOTES], *([f"archive: damage at {more} more places"] if more > 0 else []))


def _sections(source: Source, notes: list[str]) -> Iterator[tuple[Mark, bool]]:
    """Yield each section and whether it is intact.

    A damaged section is yielded only if it ends at the end of the file or at another section. Other damaged
    bytes are described in `notes`.
    """
    at, budget = sections.HEAD_SIZE, _MAX_CHECKSUMMED_FILE_SIZES * (source.size + 1024)
    while at < source.size:
        for place in _intact_row(source, at):
            yield place, True
            at = place.end
        one = _mark(source, at)
        if one is not None and _is_intact(source, one):
            yield one, True
            at = one.end
        elif one is not None and (one.end == source.size or _mark(source, one.end) is not None):
            yield one, False
            at = one.end
        elif at < source.size:
            found, budget = _search(source, at + 1, budget)
            end = source.size if found is None else found.at
            notes.append(f"archive: {end - at} bytes at byte {at} are not a section")
            at = end


def _intact_row(source: Source, at: int) -> Iterator[Mark]:
    """Yield the intact sections from an offset on that lie in one stretch of `_SEARCH_BYTES` bytes."""
    data = memoryview(source.some(at, _SEARCH_BYTES))
    begin = 0
    while begin + sections.FRAME_BYTES <= len(data):
        kind, size = sections.frame(data, begin)
        end = begin + sections.FRAME_BYTES + size
        if kind not in _KINDS or end > len(data):
            return
        if zlib.crc32(data[begin : end - 4]) != int.from_bytes(data[end - 4 : end], "little"):
            return
        yield Mark(kind.decode("ascii"), at + begin, size)
        begin = end


def _search(source: Source, at: int, budget: int) -> tuple[Mark | None, int]:
    """Return the first intact section at or after an offset, or None, and what is left of the budget.

    The budget is in bytes to be checksummed.
    """
    while at < source.size:
        part = source.read(at, min(_SEARCH_BYTES + len(_KINDS[0]), source.size - at))
        places = sorted({p for kind in _KINDS for p in _all(part, kind)})
        for offset in places:
            place = _mark(source, at + offset)
            if place is None or place.size > budget:
                continue
            budget -= place.size
            if _is_intact(source, place):
                return place, budget
        at += _SEARCH_BYTES
    return None, budget


def _all(data: bytes, kind: bytes) -> Iterator[int]:
    """Yield every offset at which a type occurs."""
    at = data.find(kind)
    while at >= 0:
        yield at
        at = data.find(kind, at + 1)


def _mark(source: Source, at: int) -> Mark | None:
    """Return the section at an offset if its type is known and its length fits the file, else None."""
    try:
        place = sections.mark(source, at)
    except FormatError:
        return None
    return place if place.kind.encode() in _KINDS else None


def _is_intact(source: Source, place: Mark) -> bool:
    """Return whether the checksum of a section matches."""
    try:
        sections.payload(source, place)
    except FormatError:
        return False
    return True
