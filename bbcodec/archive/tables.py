# SPDX-License-Identifier: Apache-2.0
"""What the sections of an archive say: names, sizes and modes of pictures, metadata, and the index.

Payloads of ``docs/format.md``, "Archives", written and read; nothing here decodes a pixel or opens a file.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, takewhile
from typing import Final

from bbcodec.archive.sections import BATCH, FILE
from bbcodec.container import Buffer, Limits, Reader, Section, varint
from bbcodec.errors import LimitError, OptionError
from bbcodec.picture.picture import BY_CODE, MODES

MAX_NAME: Final = 4096  # bytes
_MAX_SIDE: Final = 2**32 - 1
MAX_TABLE: Final = Limits().max_metadata
"""Bytes that a table may have unless a reader is told otherwise."""
_RATIO: Final = 1032  # the most that one byte of deflate can become


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture.

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
    """The pictures of one section: several of a ``BTCH``, one of a ``FILE``."""

    kind: str
    at: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """The payload of a ``BTCH``.

    Attributes
    ----------
    model : number of the section ``MODL`` in the archive, from 0.
    digest : 8 bytes, of the digests of the pictures.
    entries : the pictures, all gray or all RGB.
    blobs : of each picture, its packed metadata.
    plain : parts at the end that are coded without latents.
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
    """The payload of an ``INDX``: what was added since the previous one.

    Attributes
    ----------
    previous : offset of the index before, 0 if there is none.
    models : offsets of all sections ``MODL``, in order.
    stored : sections with pictures, as they lie in the file.
    order : of each of their pictures, its place among them as they were added; empty if they lie so.
    """

    previous: int
    models: tuple[int, ...]
    stored: tuple[Stored, ...]
    order: tuple[int, ...] = ()

    @property
    def added(self) -> list[tuple[Stored, int]]:
        """Section, and position in it, of each picture in the order in which they were added."""
        found = [(stored, position) for stored in self.stored for position in range(len(stored.entries))]
        if not self.order:
            return found
        return [found[i] for i in sorted(range(len(found)), key=self.order.__getitem__)]


def check_name(name: str) -> str:
    """Return a name that an archive can hold: a relative path of parts joined by ``/``.

    Raises
    ------
    OptionError
        It is empty, absolute, too long, no Unicode, or has an empty part, ``.``, ``..`` or a NUL.
    """
    wrong = _name_problem(name)
    if wrong:
        raise OptionError(f"name {name!r} {wrong}")
    return name


def _name_problem(name: str) -> str | None:
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not Unicode text"
    if not 0 < size <= MAX_NAME:
        return f"has {size} bytes, expected 1 to {MAX_NAME}"
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        return "is not a relative path: it has an empty part, '.', '..' or a NUL"
    return None


def pack_batch(batch: Batch, channels: int) -> list[bytes]:
    """Return the payload of a ``BTCH`` in parts."""
    blobs = list(dict.fromkeys(batch.blobs))
    table = [varint(len(batch.entries)), *_names(e.name for e in batch.entries), *_runs(batch.entries)]
    table += [varint(len(blobs)), *(varint(len(blob)) + blob for blob in blobs)]
    if len(blobs) > 1:
        table += [varint(blobs.index(blob)) for blob in batch.blobs]
    head = varint(batch.model) + bytes([channels]) + batch.digest + _deflated(b"".join(table))
    return [head, varint(batch.plain), bytes(batch.message)]


def unpack_batch(payload: Buffer, at: int, most: int = MAX_TABLE) -> Batch:
    """Return what a ``BTCH`` says, whose table has at most so many bytes.

    Raises
    ------
    FormatError
        It breaks a rule of the format.
    LimitError
        The table is larger.
    """
    reader = Reader(payload, f"section {BATCH}", at)
    model, channels = reader.varint("model"), reader.u8("channels")
    if channels not in (1, 3):
        raise reader.error(f"{channels} channels, expected 1 or 3")
    digest = bytes(reader.take(8, "digest"))
    table = _inflated(reader, f"table of section {BATCH}", at, most)
    count = table.varint("pictures")
    if not 0 < count <= table.left:  # a name takes a byte at least
        raise table.error(f"{count} pictures")
    names = _read_names(table, count)
    entries = _read_runs(table, names)
    if any(entry.mode != ("L" if channels == 1 else "RGB") for entry in entries):
        raise table.error(f"a mode that has not {channels} channels of 8 bits")
    blobs = [
        bytes(table.take(table.varint("bytes of metadata"), "metadata"))
        for _ in range(_bounded(table, "kinds of metadata", count))
    ]
    if not blobs:
        raise table.error("no metadata, expected at least an empty one")
    numbers = [table.varint("metadata of a picture") if len(blobs) > 1 else 0 for _ in range(count)]
    if max(numbers) >= len(blobs):
        raise table.error(f"metadata {max(numbers)} of {len(blobs)}")
    table.finish()
    plain = reader.varint("parts without latents")
    return Batch(model, digest, entries, tuple(blobs[n] for n in numbers), plain, reader.rest())


def blob(kept: Iterable[Section]) -> bytes:
    """Return sections of metadata as they stand in a batch: type, length, payload."""
    return b"".join(s.kind.encode("ascii") + varint(len(s.payload)) + bytes(s.payload) for s in kept)


def split_blob(found: Buffer, at: int) -> list[Section]:
    """Return the sections of `blob`; `FormatError` where they are cut off or no metadata."""
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
    """Return the payload of a ``FILE`` in parts: name, and the ``.bb`` file."""
    raw = name.encode("utf-8")
    return [varint(len(raw)) + raw, data]


def unpack_file(payload: Buffer, at: int) -> tuple[str, memoryview]:
    """Return name and ``.bb`` file of a ``FILE``; `FormatError` where it breaks a rule of the format."""
    reader = Reader(payload, f"section {FILE}", at)
    name = _text(reader, bytes(reader.take(reader.varint("bytes of the name"), "name")))
    return name, reader.rest()


def pack_index(index: Index) -> bytes:
    """Return the payload of an ``INDX``."""
    table = [varint(len(index.models)), *map(varint, index.models), varint(len(index.stored))]
    before = 0
    for stored in index.stored:
        table += [varint(stored.at - before), varint(len(stored.entries) if stored.kind == BATCH else 0)]
        before = stored.at
    entries = [entry for stored in index.stored for entry in stored.entries]
    table += [*_names(entry.name for entry in entries), *_runs(entries), *_steps(index.order)]
    return varint(index.previous) + _deflated(b"".join(table))


def unpack_index(payload: Buffer, at: int, most: int = MAX_TABLE) -> Index:
    """Return what the ``INDX`` says that stands at an offset; everything it names lies before it.

    Its table has at most so many bytes.

    Raises
    ------
    FormatError
        It breaks a rule of the format.
    LimitError
        The table is larger.
    """
    reader = Reader(payload, "section INDX", at)
    previous = reader.varint("previous index")
    table = _inflated(reader, "table of section INDX", at, most)
    reader.finish()
    models = [table.varint("offset of a model") for _ in range(_bounded(table, "models", table.left))]
    places: list[tuple[int, int]] = []
    before = 0
    for _ in range(_bounded(table, "sections", table.left)):
        before += table.varint("distance of a section")
        places.append((before, table.varint("pictures of a section")))
    total = sum(count or 1 for _, count in places)
    if total > table.left:
        raise table.error(f"{total} pictures, which cannot stand in {table.left} bytes")
    if max([previous, *models, before]) >= at:
        raise table.error("an offset behind the index")
    entries = _read_runs(table, _read_names(table, total))
    order = _read_steps(table, total)
    table.finish()
    stored, done = [], 0
    for place, count in places:
        kind, step = (BATCH, count) if count else (FILE, 1)
        stored.append(Stored(kind, place, entries[done : done + step]))
        done += step
    return Index(previous, tuple(models), tuple(stored), order)


def _names(names: Iterable[str]) -> list[bytes]:
    """Names, each without what it shares with the one before."""
    out, before = [], b""
    for name in names:
        raw = name.encode("utf-8")
        alike = takewhile(lambda pair: pair[0] == pair[1], zip(before, raw, strict=False))
        same = sum(1 for _ in alike)
        out.append(varint(same) + varint(len(raw) - same) + raw[same:])
        before = raw
    return out


def _read_names(reader: Reader, count: int) -> list[str]:
    out, before = [], b""
    for _ in range(count):
        same = reader.varint("bytes shared with the name before")
        rest = reader.varint("bytes of a name")
        if same > len(before) or same + rest > MAX_NAME:
            raise reader.error(f"a name of {same} + {rest} bytes")
        before = before[:same] + bytes(reader.take(rest, "name"))
        out.append(_text(reader, before))
    return out


def _text(reader: Reader, raw: bytes) -> str:
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise reader.error(f"name {raw!r} is not UTF-8") from None
    if wrong := _name_problem(name):
        raise reader.error(f"name {name!r} {wrong}")
    return name


def _runs(entries: Sequence[Entry]) -> list[bytes]:
    """Runs of pictures of one mode and size."""
    runs = [
        (key, len(list(same)))
        for key, same in groupby(entries, lambda e: (MODES[e.mode].code, e.axis, e.height, e.width))
    ]
    return [
        bytes([code, axis]) + varint(height) + varint(width) + varint(count)
        for (code, axis, height, width), count in runs
    ]


def _read_runs(reader: Reader, names: list[str]) -> tuple[Entry, ...]:
    entries: list[Entry] = []
    while len(entries) < len(names):
        code, axis = reader.u8("mode"), reader.u8("flags")
        height, width, count = (reader.varint(what) for what in ("height", "width", "pictures of a run"))
        mode = BY_CODE.get(code)
        if mode is None or axis > (mode.channels == 1):
            raise reader.error(f"mode {code} with flags {axis:#04x}")
        if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
            raise reader.error(f"a picture of {width} x {height}")
        if not 0 < count <= len(names) - len(entries):
            raise reader.error(f"a run of {count} pictures of {len(names) - len(entries)}")
        some = names[len(entries) : len(entries) + count]
        entries += [Entry(name, mode.name, bool(axis), height, width) for name in some]
    return tuple(entries)


def _steps(order: Sequence[int]) -> list[bytes]:
    """A permutation as differences to the next number, each folded to a number that is not negative."""
    if all(rank == i for i, rank in enumerate(order)):
        return [b"\0"]
    steps = [rank - before - 1 for before, rank in zip([-1, *order], order, strict=False)]
    return [b"\1", *(varint(2 * step if step >= 0 else -2 * step - 1) for step in steps)]


def _read_steps(reader: Reader, count: int) -> tuple[int, ...]:
    form = reader.u8("form of the order")
    if form > 1:
        raise reader.error(f"form of the order is {form}, expected 0 or 1")
    order, rank = [], -1
    for _ in range(count if form else 0):
        folded = reader.varint("step of the order")
        rank += 1 + (folded // 2 if folded % 2 == 0 else -(folded + 1) // 2)
        order.append(rank)
    if form and sorted(order) != list(range(count)):
        raise reader.error("the order is no permutation")
    return tuple(order)


def _bounded(reader: Reader, what: str, most: int) -> int:
    count = reader.varint(what)
    if count > most:
        raise reader.error(f"{count} {what}, which cannot be")
    return count


def _deflated(raw: bytes) -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    small = deflater.compress(raw) + deflater.flush()
    return varint(len(raw)) + varint(len(small)) + small


def _inflated(reader: Reader, name: str, at: int, most: int) -> Reader:
    """A reader over what is deflated here."""
    size = reader.varint("bytes of the table")
    small = reader.take(reader.varint("bytes of the deflated table"), name)
    if size > _RATIO * len(small):
        raise reader.error(f"{name} cannot have {size} bytes")
    if size > most:
        raise LimitError(f"{name} has {size} bytes, the limit is {most}")
    inflater = zlib.decompressobj(-15)
    try:
        raw = inflater.decompress(small, size + 1)
    except zlib.error as error:
        raise reader.error(f"{name}: {error}") from None
    if len(raw) != size or not inflater.eof or inflater.unused_data:
        raise reader.error(f"{name} has not the {size} bytes that it says")
    return Reader(raw, name, at)
