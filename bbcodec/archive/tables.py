# SPDX-License-Identifier: Apache-2.0
"""Pack and unpack the payloads of an archive: names, sizes and modes of pictures, metadata, and the index.

The layout is that of docs/format.md, "Archives". Nothing here decodes a pixel or opens a file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, NamedTuple

from bbcodec.archive import names
from bbcodec.archive.budget import Budget
from bbcodec.archive.sections import BATCH, FILE, FRAME_BYTES
from bbcodec.container import Buffer, Limits, Reader, Section, varint
from bbcodec.errors import LimitError
from bbcodec.picture.picture import BY_CODE, MODES

_MAX_SIDE: Final = 2**32 - 1
MAX_TABLE_BYTES: Final = Limits().max_metadata
"""Default limit of the size of a table, inflated."""
_MAX_DEFLATE_RATIO: Final = 1032  # one byte of deflate inflates to at most this many


class Entry(NamedTuple):
    """One picture. There may be millions: a tuple is made twice as fast as another object.

    Attributes
    ----------
    name : path with ``/``, relative.
    mode : key of `bbcodec.picture.picture.MODES`.
    axis : whether a gray array had a last axis of length 1.
    height, width : pixels.
    """

    name: str
    mode: str
    axis: bool
    height: int
    width: int

    @property
    def samples(self) -> int:
        """Samples of all channels."""
        return self.height * self.width * MODES[self.mode].channels


@dataclass(frozen=True, slots=True)
class Stored:
    """The pictures of one section at offset `at`: several in a ``BTCH``, one in a ``FILE``."""

    kind: str
    at: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """The payload of a ``BTCH``.

    Attributes
    ----------
    model : number of the section ``MODL`` in the archive, from 0.
    digest : 8 bytes, the digest of the pictures' digests.
    entries : the pictures, all gray or all RGB.
    blobs : packed metadata of each picture.
    plain : number of parts at the end that are coded without latents.
    message : words of the message, as bytes.
    """

    model: int
    digest: bytes
    entries: tuple[Entry, ...]
    blobs: tuple[bytes, ...]
    plain: int
    message: Buffer


@dataclass(frozen=True, slots=True)
class Index:
    """The payload of an ``INDX``: the pictures added since the previous index.

    Attributes
    ----------
    previous : offset of the previous index, 0 if there is none.
    models : offsets of all sections ``MODL``, in order.
    stored : sections with pictures, in file order.
    order : for each of their pictures, its rank in the order of addition; empty if that is the file order.
    """

    previous: int
    models: tuple[int, ...]
    stored: tuple[Stored, ...]
    order: tuple[int, ...] = ()

    @property
    def added(self) -> list[tuple[Stored, int]]:
        """Section and position in it of each picture, in the order of addition."""
        found = [(stored, position) for stored in self.stored for position in range(len(stored.entries))]
        if not self.order:
            return found
        return [found[i] for i in sorted(range(len(found)), key=self.order.__getitem__)]


def pack_batch(batch: Batch, channels: int) -> list[bytes]:
    """Return the payload of a ``BTCH``, in parts to be joined."""
    blobs = list(dict.fromkeys(batch.blobs))
    table = [varint(len(batch.entries)), *names.pack(e.name for e in batch.entries), *_runs(batch.entries)]
    table += [varint(len(blobs)), *(varint(len(blob)) + blob for blob in blobs)]
    if len(blobs) > 1:
        table += [varint(blobs.index(blob)) for blob in batch.blobs]
    head = varint(batch.model) + bytes([channels]) + batch.digest + _deflated(b"".join(table))
    return [head, varint(batch.plain), bytes(batch.message)]


def unpack_batch(
    payload: Buffer, at: int, max_bytes: int = MAX_TABLE_BYTES, budget: Budget | None = None
) -> Batch:
    """Return the content of a ``BTCH``.

    Parameters
    ----------
    payload : payload of the section.
    at : offset of the section, for messages.
    max_bytes : limit of the inflated table.
    budget : what all tables of the archive may take. Default: that of an archive of this table.

    Raises
    ------
    FormatError
        The payload breaks a rule of the format.
    LimitError
        The table is larger than `max_bytes`, or the budget is spent.
    """
    reader = Reader(payload, f"section {BATCH}", at)
    model, channels = reader.varint("model"), reader.u8("channels")
    if channels not in (1, 3):
        raise reader.error(f"{channels} channels, expected 1 or 3")
    digest = bytes(reader.take(8, "digest"))
    budget = budget or Budget(Limits(max_metadata=max_bytes), at + len(payload))
    table = _inflated(reader, f"table of section {BATCH}", at, max_bytes, budget)
    count = table.varint("pictures")
    if not 0 < count <= table.left:  # a name takes a byte at least
        raise table.error(f"{count} pictures in a table with {table.left} bytes left")
    budget.take_pictures(count)
    entries = _read_runs(table, names.unpack(table, count, budget))
    if any(entry.mode != ("L" if channels == 1 else "RGB") for entry in entries):
        raise table.error(f"a picture does not have {channels} channels of 8 bits")
    blobs = [
        bytes(table.take(table.varint("bytes of metadata"), "metadata"))
        for _ in range(_bounded(table, "kinds of metadata", count))
    ]
    if not blobs:
        raise table.error("no metadata, expected at least one empty entry")
    numbers = [table.varint("metadata of a picture") if len(blobs) > 1 else 0 for _ in range(count)]
    if max(numbers) >= len(blobs):
        raise table.error(f"metadata number {max(numbers)}, expected less than {len(blobs)}")
    table.finish()
    plain = reader.varint("parts without latents")
    return Batch(model, digest, entries, tuple(blobs[n] for n in numbers), plain, reader.rest())


def blob(kept: Iterable[Section]) -> bytes:
    """Return sections of metadata as a batch stores them: type, length, payload."""
    return b"".join(s.kind.encode("ascii") + varint(len(s.payload)) + bytes(s.payload) for s in kept)


def split_blob(found: Buffer, at: int) -> list[Section]:
    """Return the sections of a `blob`.

    Raises
    ------
    FormatError
        A section is cut off, comes twice, or is not metadata.
    """
    reader, out = Reader(found, "metadata", at), []
    while reader.left:
        raw = bytes(reader.take(4, "type"))
        if not (raw.isascii() and raw.isalpha() and raw[:1].islower()):
            raise reader.error(f"type {raw!r}, expected four letters, the first one lower case")
        kind = raw.decode("ascii")
        out.append(Section(kind, reader.take(reader.varint("length"), kind), at))
        if kind in {other.kind for other in out[:-1]}:
            raise reader.error(f"a second section {kind}")
    return out


def pack_file(name: str, data: Buffer) -> list[Buffer]:
    """Return the payload of a ``FILE``, in parts to be joined: the name and the ``.bb`` file."""
    raw = name.encode("utf-8")
    return [varint(len(raw)) + raw, data]


def unpack_file(payload: Buffer, at: int) -> tuple[str, memoryview]:
    """Return the name and the ``.bb`` file of a ``FILE``.

    Raises
    ------
    FormatError
        The name breaks a rule of the format. The file itself is not checked.
    """
    reader = Reader(payload, f"section {FILE}", at)
    name = names.read(reader, bytes(reader.take(reader.varint("bytes of the name"), "name")))
    return name, reader.rest()


def pack_index(index: Index) -> bytes:
    """Return the payload of an ``INDX``."""
    table = [varint(len(index.models)), *map(varint, index.models), varint(len(index.stored))]
    before = 0
    for stored in index.stored:
        table += [varint(stored.at - before), varint(len(stored.entries) if stored.kind == BATCH else 0)]
        before = stored.at
    entries = [entry for stored in index.stored for entry in stored.entries]
    table += [*names.pack(entry.name for entry in entries), *_runs(entries), *_steps(index.order)]
    return varint(index.previous) + _deflated(b"".join(table))


def unpack_index(
    payload: Buffer, at: int, max_bytes: int = MAX_TABLE_BYTES, budget: Budget | None = None
) -> Index:
    """Return the content of an ``INDX``.

    Parameters
    ----------
    payload : payload of the section.
    at : offset of the section. Everything that the index names must lie before it.
    max_bytes : limit of the inflated table.
    budget : what all tables of the archive may take. Default: that of an archive of this table.

    Raises
    ------
    FormatError
        The payload breaks a rule of the format.
    LimitError
        The table is larger than `max_bytes`, or the budget is spent.
    """
    reader = Reader(payload, "section INDX", at)
    previous = reader.varint("previous index")
    budget = budget or Budget(Limits(max_metadata=max_bytes), at)
    table = _inflated(reader, "table of section INDX", at, max_bytes, budget)
    reader.finish()
    room = at // FRAME_BYTES  # sections that fit before the index
    count = _bounded(table, "models", min(table.left, room))
    models = [table.varint("offset of a model") for _ in range(count)]
    if sorted(set(models)) != models:
        raise table.error("the models are not in the order of the file")
    places: list[tuple[int, int]] = []
    before = previous
    for number in range(_bounded(table, "sections", min(table.left, room))):
        place = table.varint("distance of a section") + (places[-1][0] if places else 0)
        if place < before + (FRAME_BYTES if number or previous else 0):
            raise table.error(f"a section at byte {place}, expected behind the one at byte {before}")
        places.append((place, table.varint("pictures of a section")))
        before = place
    total = sum(count or 1 for _, count in places)
    if total > table.left:
        raise table.error(f"{total} pictures do not fit in {table.left} bytes")
    if max([previous, *models, before]) >= at:
        raise table.error(f"offset {max([previous, *models, before])} is not before the index at byte {at}")
    budget.take_pictures(total)
    entries = _read_runs(table, names.unpack(table, total, budget))
    order = _read_steps(table, total)
    table.finish()
    stored, done = [], 0
    for place, count in places:
        kind, step = (BATCH, count) if count else (FILE, 1)
        stored.append(Stored(kind, place, entries[done : done + step]))
        done += step
    return Index(previous, tuple(models), tuple(stored), order)


def _runs(entries: Sequence[Entry]) -> list[bytes]:
    """Pack modes and sizes, one record for each run of pictures with equal mode and size."""
    runs = [
        (key, len(list(same)))
        for key, same in groupby(entries, lambda e: (MODES[e.mode].code, e.axis, e.height, e.width))
    ]
    return [
        bytes([code, axis]) + varint(height) + varint(width) + varint(count)
        for (code, axis, height, width), count in runs
    ]


def _read_runs(reader: Reader, known: list[str]) -> tuple[Entry, ...]:
    """Return the entries of named pictures that `_runs` packed."""
    entries: list[Entry] = []
    while len(entries) < len(known):
        code, axis = reader.u8("mode"), reader.u8("flags")
        height, width, count = (reader.varint(what) for what in ("height", "width", "pictures of a run"))
        mode = BY_CODE.get(code)
        if mode is None or axis > (mode.channels == 1):
            raise reader.error(f"mode {code} with flags {axis:#04x} is not defined")
        if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
            raise reader.error(f"a picture has {width} x {height} pixels, expected sides of 1 to {_MAX_SIDE}")
        if not 0 < count <= len(known) - len(entries):
            raise reader.error(f"a run has {count} pictures, expected 1 to {len(known) - len(entries)}")
        some = known[len(entries) : len(entries) + count]
        entries += [Entry(name, mode.name, bool(axis), height, width) for name in some]
    return tuple(entries)


def _steps(order: Sequence[int]) -> list[bytes]:
    """Pack a permutation as differences from the next number, each folded to a non-negative number."""
    if all(rank == i for i, rank in enumerate(order)):
        return [b"\0"]
    steps = [rank - before - 1 for before, rank in zip([-1, *order], order, strict=False)]
    return [b"\1", *(varint(2 * step if step >= 0 else -2 * step - 1) for step in steps)]


def _read_steps(reader: Reader, count: int) -> tuple[int, ...]:
    """Return the permutation that `_steps` packed; empty for the identity."""
    form = reader.u8("form of the order")
    if form > 1:
        raise reader.error(f"form of the order is {form}, expected 0 or 1")
    order, rank = [], -1
    for _ in range(count if form else 0):
        folded = reader.varint("step of the order")
        rank += 1 + (folded // 2 if folded % 2 == 0 else -(folded + 1) // 2)
        order.append(rank)
    if form and sorted(order) != list(range(count)):
        raise reader.error("the order is not a permutation")
    return tuple(order)


def _bounded(reader: Reader, what: str, most: int) -> int:
    """Read a count; raise `FormatError` if it is more than `most`."""
    count = reader.varint(what)
    if count > most:
        raise reader.error(f"{count} {what}, expected at most {most}")
    return count


def _deflated(raw: bytes) -> bytes:
    """Return the size of a table, the size of its deflate stream, and the stream."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    small = deflater.compress(raw) + deflater.flush()
    return varint(len(raw)) + varint(len(small)) + small


def _inflated(reader: Reader, name: str, at: int, max_bytes: int, budget: Budget) -> Reader:
    """Return a reader over the table that `_deflated` wrote."""
    size = reader.varint("bytes of the table")
    small = reader.take(reader.varint("bytes of the deflated table"), name)
    if size > _MAX_DEFLATE_RATIO * len(small):
        raise reader.error(f"{name}: {len(small)} deflated bytes cannot hold {size} bytes")
    if size > max_bytes:
        raise LimitError(f"{name} has {size} bytes, the limit is {max_bytes}")
    budget.take_table(size)
    inflater = zlib.decompressobj(-15)
    try:
        raw = inflater.decompress(small, size + 1)
    except zlib.error as error:
        raise reader.error(f"{name}: {error}") from None
    if len(raw) != size or not inflater.eof or inflater.unused_data:
        raise reader.error(f"{name} does not inflate to the {size} bytes that it declares")
    return Reader(raw, name, at)
