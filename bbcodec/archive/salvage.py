# SPDX-License-Identifier: Apache-2.0
"""Rebuild the index of an archive whose tail, index or head is damaged, from its intact sections.

Sections are walked in order. After damaged bytes, the next intact section is searched for.
Damaged model sections are counted too, so that models keep their numbers. Nothing here decodes a picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bbcodec import container
from bbcodec.archive import sections, tables
from bbcodec.archive.sections import BATCH, FILE, INDEX, MODEL, TAIL, Mark, Source
from bbcodec.archive.tables import Entry, Stored
from bbcodec.bbfile.parts import mode_of
from bbcodec.container import Limits
from bbcodec.errors import BBCodecError, FormatError

__all__ = ["SalvagedIndex", "salvage_index"]

_KINDS: Final = tuple(kind.encode() for kind in (MODEL, BATCH, FILE, INDEX, TAIL))
_SEARCH_BYTES: Final = 1 << 20  # bytes searched at a time
# Byte strings that only look like sections cost checksums. The search stops after this many times the size of
# the file.
_MAX_CHECKSUMMED_FILE_SIZES: Final = 8


@dataclass(frozen=True)
class SalvagedIndex:
    """An index rebuilt from sections.

    Attributes
    ----------
    stored : intact sections with pictures, in file order.
    models : offsets of the models, damaged ones included.
    notes : descriptions of the damage.
    """

    stored: tuple[Stored, ...]
    models: tuple[int, ...]
    notes: tuple[str, ...]


def salvage_index(source: Source, limits: Limits) -> SalvagedIndex:
    """Rebuild the index of a damaged archive.

    Raises
    ------
    FormatError
        The file has no intact section of an archive.
    """
    notes: list[str] = []
    try:
        sections.check_head(source)
    except FormatError as error:
        notes.append(str(error))
    stored: list[Stored] = []
    models: list[int] = []
    found_intact = False
    for place, is_intact in _sections(source, notes):
        found_intact |= is_intact
        if place.kind == MODEL:
            models.append(place.at)
        if not is_intact:
            notes.append(f"archive: section {place.kind} at byte {place.at} is damaged")
        elif place.kind in (BATCH, FILE):
            try:
                stored.append(_stored(source, place, limits))
            except BBCodecError as error:
                notes.append(str(error))
    if not found_intact:
        raise FormatError("archive: nothing can be saved: no section is intact")
    return SalvagedIndex(tuple(stored), tuple(models), tuple(notes))


def _stored(source: Source, place: Mark, limits: Limits) -> Stored:
    """Return the index entry of an intact section with pictures; raise `BBCodecError` if it is invalid."""
    payload = sections.payload(source, place)
    if place.kind == BATCH:
        return Stored(BATCH, place.at, tables.unpack_batch(payload, place.at, limits.max_metadata).entries)
    name, data = tables.unpack_file(payload, place.at)
    header = container.read_header(data, limits=limits)
    entry = Entry(name, mode_of(header).name, bool(header.flags & 1), header.height, header.width)
    return Stored(FILE, place.at, (entry,))


def _sections(source: Source, notes: list[str]) -> Iterator[tuple[Mark, bool]]:
    """Yield each section and whether it is intact.

    A damaged section is yielded only if it ends at the end of the file or at another section. Other damaged
    bytes are described in `notes`.
    """
    at, budget = sections.HEAD_SIZE, _MAX_CHECKSUMMED_FILE_SIZES * (source.size + 1024)
    while at < source.size:
        place = _mark(source, at)
        if place is not None and _is_intact(source, place):
            yield place, True
            at = place.end
            continue
        if place is not None and (place.end == source.size or _mark(source, place.end) is not None):
            yield place, False
            at = place.end
            continue
        found, budget = _search(source, at + 1, budget)
        end = source.size if found is None else found.at
        notes.append(f"archive: {end - at} bytes at byte {at} are not a section")
        at = end


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
