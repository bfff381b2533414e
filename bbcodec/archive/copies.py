# SPDX-License-Identifier: Apache-2.0
"""The section ``COPY`` at the end of an archive: what all pictures depend on, once more.

It repeats the head, the models or their ids, and where the index is. Two sums of the sectors before it, in
archives of usual size, find and repair any one lost sector. Readers that do not know the section skip it.
The layout is that of docs/format.md, "Archives". Nothing here opens a file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcodec.archive import sections
from bbcodec.container import MODEL_ID_SIZE, Buffer, Reader, is_model_size, varint
from bbcodec.container.erasure import MAX_ROWS, points
from bbcodec.container.recovery import SECTOR
from bbcodec.errors import FormatError

__all__ = ["Copies", "Sums", "covered", "pack", "sum_sectors", "unpack"]

_MIN_SUMMED_BYTES: Final = 200 * SECTOR  # the two sums shall take at most a hundredth of the archive
_MAX_SECTORS: Final = MAX_ROWS - 1  # each has a number other than 0 in the field
_MIN_PARTS_OF_ARCHIVE: Final = 64  # models are repeated whole if they are at most such a part of it
_STEP_SECTORS: Final = 1 << 11

Words = NDArray[np.uint16]
Read = Callable[[int, int], bytes]


class Sums(NamedTuple):
    """Two sums of the sectors from number `first` on: plain, and times the points of their places."""

    first: int
    plain: Words
    weighted: Words

    def repair(self, read: Read, end: int) -> tuple[int, bytes] | None:
        """Return the offset and the content of the one damaged sector before `end`.

        None if no sector is damaged, or more than one.
        """
        found = sum_sectors(read, self.first, end)
        plain, weighted = found.plain ^ self.plain, found.weighted ^ self.weighted
        changed = np.flatnonzero(plain)
        if not len(changed):
            return None
        table, word = points(), changed[0]
        log = table.log[weighted[word]] - table.log[plain[word]]
        point = table.exp[log % (MAX_ROWS - 1)] if weighted[word] else 0
        place = int(np.flatnonzero(table.omega == point)[0]) - 1
        at = SECTOR * (self.first + place)
        if place < 0 or at >= end or (table.times(plain, table.log[point : point + 1]) != weighted).any():
            return None
        sector = _words(read(at, min(SECTOR, end - at)))[0] ^ plain
        return at, sector.astype("<u2").tobytes()[: end - at]


@dataclass(frozen=True)
class Copies:
    """The content of a section.

    Attributes
    ----------
    models : by offset, the payload of each section ``MODL``, or only the id that it begins with.
    index : offset of the last index.
    sums : sums of the sectors before the section, or None.
    """

    models: dict[int, bytes]
    index: int
    sums: Sums | None = None


def covered(old_end: int, end: int) -> int | None:
    """Return the number of the first sector to be summed, or None if there are too few or too many.

    Parameters
    ----------
    old_end : end of the archive that was appended to; 0 for a new one.
    end : offset of the section ``COPY``.
    """
    if end < _MIN_SUMMED_BYTES:
        return None
    for first in (0, old_end // SECTOR):
        if -(-end // SECTOR) - first <= _MAX_SECTORS:
            return first
    return None


def sum_sectors(read: Read, first: int, end: int) -> Sums:
    """Return the sums of the sectors from number `first` on, up to an offset."""
    table = points()
    plain, weighted = np.zeros(SECTOR // 2, np.uint16), np.zeros(SECTOR // 2, np.uint16)
    for at in range(SECTOR * first, end, SECTOR * _STEP_SECTORS):
        words = _words(read(at, min(SECTOR * _STEP_SECTORS, end - at)))
        plain ^= np.bitwise_xor.reduce(words)
        place = at // SECTOR - first + 1
        factors = table.log[table.omega[place : place + len(words)]][:, None]
        weighted ^= np.bitwise_xor.reduce(table.times(words, factors))
    return Sums(first, plain, weighted)


def _words(data: Buffer) -> Words:
    """Return bytes as sectors, uint16 ``[sectors, SECTOR / 2]``, the last one filled with zeros."""
    padded = bytes(data) + bytes(-len(data) % SECTOR)
    return np.frombuffer(padded, "<u2").reshape(-1, SECTOR // 2).astype(np.uint16)


def pack(models: Sequence[tuple[int, Buffer]], index: int, size: int, sums: Sums | None) -> bytes:
    """Return the payload of a section.

    Parameters
    ----------
    models : offset and payload of every section ``MODL``.
    index : offset of the last index.
    size : bytes of the archive so far.
    sums : sums of its sectors, or None.
    """
    whole = _MIN_PARTS_OF_ARCHIVE * sum(len(payload) for _, payload in models) <= size
    out: list[Buffer] = [sections.head(), varint(len(models))]
    for at, payload in models:
        kept = payload if whole else payload[:MODEL_ID_SIZE]
        out += [varint(at), varint(len(kept)), kept]
    out.append(varint(index))
    if sums is not None:
        out.append(varint(sums.first))
        out += [words.astype("<u2").tobytes() for words in (sums.plain, sums.weighted)]
    return b"".join(out)


def unpack(payload: Buffer, at: int) -> Copies:
    """Return the content of a section at an offset.

    Raises
    ------
    FormatError
        The payload breaks a rule of the format.
    """
    reader = Reader(payload, f"section {sections.COPY}", at)
    reader.take(sections.HEAD_SIZE, "head")
    models: dict[int, bytes] = {}
    for _ in range(reader.varint("number of models")):
        place, size = reader.varint("offset of a model"), reader.varint("bytes of a model")
        if place >= at or not is_model_size(size):
            raise reader.error(f"a model of {size} bytes at byte {place}")
        models[place] = bytes(reader.take(size, "model"))
    index = reader.varint("offset of the index")
    if not reader.left:
        return Copies(models, index)
    first = reader.varint("first sector")
    plain, weighted = (_words(reader.take(SECTOR, "sums"))[0] for _ in range(2))
    reader.finish()
    if not 0 <= -(-at // SECTOR) - first <= _MAX_SECTORS:
        raise FormatError(f"section {sections.COPY} at byte {at}: sums of the sectors from {first} on")
    return Copies(models, index, Sums(first, plain, weighted))
