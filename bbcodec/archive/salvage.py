# SPDX-License-Identifier: Apache-2.0
"""Rebuild the index of an archive whose tail, index or head is damaged, from its intact sections.

`bbcodec.archive.mend` has found the sections. Damaged model sections are counted too, so that models keep
their numbers. Nothing here decodes a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bbcodec import container
from bbcodec.archive import copies, sections, tables
from bbcodec.archive.budget import Budget
from bbcodec.archive.copies import Copies
from bbcodec.archive.mend import Scan, first_notes
from bbcodec.archive.sections import BATCH, COPY, FILE, INDEX, MODEL, Mark, Source
from bbcodec.archive.tables import Entry, Stored
from bbcodec.bbfile.parts import mode_of
from bbcodec.container import Limits
from bbcodec.errors import BBCodecError, FormatError, LimitError

__all__ = ["SalvagedIndex", "last_copies", "last_index", "salvage_index"]


_MAX_TRIED_COPIES: Final = 16  # sections that are intact but break a rule were not written by a writer
_MIN_PAYLOAD_BYTES: Final = 20  # a name and a header, or a digest, a table and a message, take more
_ANY_PIXELS: Final = 1 << 64  # a picture over the limit is refused when it is read


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


def last_copies(source: Source, scan: Scan) -> Copies:
    """Return the content of the last intact section ``COPY``; one without models if there is none."""
    for place in scan.intact(COPY)[: -_MAX_TRIED_COPIES - 1 : -1]:
        try:
            return copies.unpack(sections.payload(source, place), place.at)
        except FormatError:
            continue
    return Copies({}, 0)


def last_index(scan: Scan) -> Mark | None:
    """Return the last index if it is intact and no pictures stand behind it, else None."""
    for place, is_intact in reversed(scan.found):
        if place.kind in (BATCH, FILE, MODEL):
            return None
        if place.kind == INDEX:
            return place if is_intact else None
    return None


def salvage_index(source: Source, scan: Scan, known: Copies, limits: Limits, budget: Budget) -> SalvagedIndex:
    """Rebuild the index of a damaged archive.

    Parameters
    ----------
    source, scan : the file and its sections.
    known : the copies at its end; they know models whose sections cannot be found.
    limits : limits of metadata and pixels.
    budget : what all tables together may take.

    Raises
    ------
    FormatError
        The file has no intact section of an archive.
    LimitError
        The budget is spent.
    """
    if not any(is_intact for _, is_intact in scan.found):
        raise FormatError("archive: nothing can be saved: no section is intact")
    notes = list(scan.notes)
    stored: list[Stored] = []
    for place, is_intact in scan.found:
        if is_intact and place.kind in (BATCH, FILE):
            if place.size < _MIN_PAYLOAD_BYTES:
                notes.append(f"archive: section {place.kind} at byte {place.at} holds no picture")
                continue
            try:
                stored.append(_stored(source, place, limits, budget))
            except LimitError:
                raise
            except BBCodecError as error:
                notes.append(str(error))
    models = {place.at for place, _ in scan.found if place.kind == MODEL} | known.models.keys()
    return SalvagedIndex(tuple(stored), tuple(sorted(models)), first_notes(notes))


def _stored(source: Source, place: Mark, limits: Limits, budget: Budget) -> Stored:
    """Return the index entry of an intact section with pictures; raise `BBCodecError` if it is invalid."""
    payload = sections.payload(source, place)
    if place.kind == BATCH:
        found = tables.unpack_batch(payload, place.at, limits.max_metadata, budget)
        return Stored(BATCH, place.at, found.entries)
    name, data = tables.unpack_file(payload, place.at)
    budget.take_pictures(1)
    header = container.read_header(data, limits=Limits(max_pixels=_ANY_PIXELS))
    entry = Entry(name, mode_of(header).name, bool(header.flags & 1), header.height, header.width)
    return Stored(FILE, place.at, (entry,))
