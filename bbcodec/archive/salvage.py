# SPDX-License-Identifier: Apache-2.0
"""An archive whose tail, index or head is lost: what its sections with pictures tell of themselves.

Sections are found by walking along them, and searched for where the walk ends in damaged bytes. What is
damaged is counted, so that the numbers of models stay what they were. Nothing here decodes a picture.
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

__all__ = ["Recovered", "recover"]

_KINDS: Final = tuple(kind.encode() for kind in (MODEL, BATCH, FILE, INDEX, TAIL))
_STEP: Final = 1 << 20  # bytes that are searched at a time
_WORK: Final = 8  # times the size of the file may be checksummed for what only looks like a section


@dataclass(frozen=True)
class Recovered:
    """What was found.

    Attributes
    ----------
    stored : sections with pictures, in the order of the file.
    models : offsets of the models.
    notes : what is damaged, in words.
    """

    stored: tuple[Stored, ...]
    models: tuple[int, ...]
    notes: tuple[str, ...]


def recover(source: Source, limits: Limits) -> Recovered:
    """Make the index of an archive again.

    Raises
    ------
    FormatError
        There is no section of an archive in the file.
    """
    notes: list[str] = []
    try:
        sections.check_head(source)
    except FormatError as error:
        notes.append(str(error))
    stored: list[Stored] = []
    models: list[int] = []
    any_section = False
    for place, sound in _found(source, notes):
        any_section |= sound
        if place.kind == MODEL:
            models.append(place.at)
        if not sound:
            notes.append(f"archive: section {place.kind} at byte {place.at} is damaged")
        elif place.kind in (BATCH, FILE):
            try:
                stored.append(_stored(source, place, limits))
            except BBCodecError as error:
                notes.append(str(error))
    if not any_section:
        raise FormatError("archive: nothing can be saved: no section of it is sound")
    return Recovered(tuple(stored), tuple(models), tuple(notes))


def _stored(source: Source, place: Mark, limits: Limits) -> Stored:
    payload = sections.payload(source, place)
    if place.kind == BATCH:
        return Stored(BATCH, place.at, tables.unpack_batch(payload, place.at, limits.max_metadata).entries)
    name, data = tables.unpack_file(payload, place.at)
    header = container.read_header(data, limits=limits)
    entry = Entry(name, mode_of(header).name, bool(header.flags & 1), header.height, header.width)
    return Stored(FILE, place.at, (entry,))


def _found(source: Source, notes: list[str]) -> Iterator[tuple[Mark, bool]]:
    """Yield sections, and whether each is sound; a damaged one only where another follows it."""
    at, budget = sections.HEAD_SIZE, _WORK * (source.size + 1024)
    while at < source.size:
        place = _mark(source, at)
        if place is not None and _sound(source, place):
            yield place, True
            at = place.end
            continue
        if place is not None and (place.end == source.size or _mark(source, place.end) is not None):
            yield place, False
            at = place.end
            continue
        found, budget = _search(source, at + 1, budget)
        end = source.size if found is None else found.at
        notes.append(f"archive: {end - at} bytes at byte {at} are no section")
        at = end


def _search(source: Source, at: int, budget: int) -> tuple[Mark | None, int]:
    """The first sound section that begins at an offset or behind it, and what is left of a bound of work."""
    while at < source.size:
        part = source.read(at, min(_STEP + len(_KINDS[0]), source.size - at))
        places = sorted({p for kind in _KINDS for p in _all(part, kind)})
        for offset in places:
            place = _mark(source, at + offset)
            if place is None or place.size > budget:
                continue
            budget -= place.size
            if _sound(source, place):
                return place, budget
        at += _STEP
    return None, budget


def _all(data: bytes, kind: bytes) -> Iterator[int]:
    at = data.find(kind)
    while at >= 0:
        yield at
        at = data.find(kind, at + 1)


def _mark(source: Source, at: int) -> Mark | None:
    """A section of a known type that fits the file at an offset."""
    try:
        place = sections.mark(source, at)
    except FormatError:
        return None
    return place if place.kind.encode() in _KINDS else None


def _sound(source: Source, place: Mark) -> bool:
    try:
        sections.payload(source, place)
    except FormatError:
        return False
    return True
