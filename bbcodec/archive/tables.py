# SPDX-License-Identifier: Apache-2.0
"""Pack and unpack the payloads of an archive: names, sizes and modes of pictures, metadata, and the index.

The layout is that of docs/format.md, "Archives". Nothing here decodes a pixel or opens a file.
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

MAX_NAME_BYTES: Final = 4096
_MAX_SIDE: Final = 2**32 - 1
MAX_TABLE_BYTES: Final = Limits().max_metadata
"""Default limit of the size of a table, inflated."""
_MAX_DEFLATE_RATIO: Final = 1032  # one byte of deflate inflates to at most this many


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


def check_name(name: str) -> str:
    """Return the name if an archive can hold it: a relative path of parts joined by ``/``.

    Raises
    ------
    OptionError
        The name is empty, absolute, too long or not Unicode, or has an empty part, ``.``, ``..`` or a NUL.
    """
    wrong = _name_problem(name)
    if wrong:
        raise OptionError(f"name {name!r} {wrong}")
    return name


def _name_problem(name: str) -> str | None:
    """Return what is wrong with a name, as the end of a sentence, or None."""
    try:
        size = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "is not Unicode text"
    if not 0 < size <= MAX_NAME_BYTES:
        return f"has {size} bytes, expected 1 to {MAX_NAME_BYTES}"
    if "\0" in name or any(part in ("", ".", "..") for part in name.split("/")):
        return "is not a relative path: it has an empty part, '.', '..' or a NUL"
    return None


def pack_batch(batch: Batch, channels: int) -> list[bytes]:
    """Return the payload of a ``BTCH``, in parts to be joined."""
    blobs = list(dict.fromkeys(batch.blobs))
    table = [varint(len(batch.entries)), *_names(e.name for e in batch.entries), *_runs(batch.entries)]
    table += [varint(len(blobs)), *(varint(len(blob)) + blob for blob in blobs)]
    if len(blobs) > 1:
        table += [varint(blobs.index(blob)) for blob in batch.blobs]
    head = varint(batch.model) + bytes([channels]) + batch.digest + _deflated(b"".join(table))
    return [head, varint(batch.plain), bytes(batch.message)]


def unpack_batch(payload: Buffer, at: int, max_bytes: int = MAX_TABLE_BYTES) -> Batch:
    """Return the content of a ``BTCH``.

    Parameters
    ----------
    payload : payload of the section.
    at : offset of the section, for messages.
    max_bytes : limit of the inflated table.

    Raises
    ------
    FormatError
        The payload breaks a rule of the format.
    LimitError
        The table is larger than `max_bytes`.
    """
    reader = Reader(payload, f"section {BATCH}", at)
    model, channels = reader.varint("model"), reader.u8("channels")
    if channels not in (1, 3):
        raise reader.error(f"{channels} channels, expected 1 or 3")
    digest = bytes(reader.take(8, "digest"))
    table = _inflated(reader, f"table of section {BATCH}", at, max_bytes)
    count = table.varint("pictures")
    if not 0 < count <= table.left:  # a name takes a byte at least
        raise table.error(f"{count} pictures in a table with {table.left} bytes left")
    names = _read_names(table, count)
    entries = _read_runs(table, names)
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


def unpack_index(payload: Buffer, at: int, max_bytes: int = MAX_TABLE_BYTES) -> Index:
    """Return the content of an ``INDX``.

    Parameters
    ----------
    payload : payload of the section.
    at : offset of the section. Everything that the index names must lie before it.
    max_bytes : limit of the inflated table.

    Raises
    ------
    FormatError
        The payload breaks a rule of the format.
    LimitError
        The table is larger than `max_bytes`.
    """
    reader = Reader(payload, "section INDX", at)
    previous = reader.varint("previous index")
    table = _inflated(reader, "table of section INDX", at, max_bytes)
    reader.finish()
    models = [table.varint("offset of a model") for _ in range(_bounded(table, "models", table.left))]
    places: list[tuple[int, int]] = []
    before = 0
    for _ in range(_bounded(table, "sections", table.left)):
        before += table.varint("distance of a section")
        places.append((before, table.varint("pictures of a section")))
    total = sum(count or 1 for _, count in places)
    if total > table.left:
        raise table.error(f"{total} pictures do not fit in {table.left} bytes")
    if max([previous, *models, before]) >= at:
        raise table.error(f"offset {max([previous, *models, before])} is not before the index at byte {at}")
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
    """Pack names, each without the prefix that it shares with the previous name."""
    out, before = [], b""
    for name in names:
        raw = name.encode("utf-8")
        shared = takewhile(lambda pair: pair[0] == pair[1], zip(before, raw, strict=False))
        same = sum(1 for _ in shared)
        out.append(varint(same) + varint(len(raw) - same) + raw[same:])
        before = raw
    return out


def _read_names(reader: Reader, count: int) -> list[str]:
    """Return the names that `_names` packed."""
    out, before = [], b""
    for _ in range(count):
        same = reader.varint("bytes shared with the name before")
        rest = reader.varint("bytes of a name")
        if same > len(before) or same + rest > MAX_NAME_BYTES:
            raise reader.error(
                f"a name shares {same} bytes and adds {rest}, expected at most {len(before)} shared and "
                f"{MAX_NAME_BYTES} together"
            )
        before = before[:same] + bytes(reader.take(rest, "name"))
        out.append(_text(reader, before))
    return out


def _text(reader: Reader, raw: bytes) -> str:
    """Return bytes as a name that an archive can hold."""
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise reader.error(f"name {raw!r} is not UTF-8") from None
    if wrong := _name_problem(name):
        raise reader.error(f"name {name!r} {wrong}")
    return name


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


def _read_runs(reader: Reader, names: list[str]) -> tuple[Entry, ...]:
    """Return the entries of named pictures that `_runs` packed."""
    entries: list[Entry] = []
    while len(entries) < len(names):
        code, axis = reader.u8("mode"), reader.u8("flags")
        height, width, count = (reader.varint(what) for what in ("height", "width", "pictures of a run"))
        mode = BY_CODE.get(code)
        if mode is None or axis > (mode.channels == 1):
            raise reader.error(f"mode {code} with flags {axis:#04x} is not defined")
        if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
            raise reader.error(f"a picture has {width} x {height} pixels, expected sides of 1 to {_MAX_SIDE}")
        if not 0 < count <= len(names) - len(entries):
            raise reader.error(f"a run has {count} pictures, expected 1 to {len(names) - len(entries)}")
        some = names[len(entries) : len(entries) + count]
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


def _inflated(reader: Reader, name: str, at: int, max_bytes: int) -> Reader:
    """Return a reader over the table that `_deflated` wrote."""
    size = reader.varint("bytes of the table")
    small = reader.take(reader.varint("bytes of the deflated table"), name)
    if size > _MAX_DEFLATE_RATIO * len(small):
        raise reader.error(f"{name}: {len(small)} deflated bytes cannot hold {size} bytes")
    if size > max_bytes:
        raise LimitError(f"{name} has {size} bytes, the limit is {max_bytes}")
    inflater = zlib.decompressobj(-15)
    try:
        raw = inflater.decompress(small, size + 1)
    except zlib.error as error:
        raise reader.error(f"{name}: {error}") from None
    if len(raw) != size or not inflater.eof or inflater.unused_data:
        raise reader.error(f"{name} does not inflate to the {size} bytes that it declares")
    return Reader(raw, name, at)
