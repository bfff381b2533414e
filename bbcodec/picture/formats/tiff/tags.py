# SPDX-License-Identifier: Apache-2.0
"""The directories and tags of a TIFF or BigTIFF file: found, checked, packed. No tag is interpreted.

Values have little-endian order here, whatever the order of the file is. EXIF blocks are TIFF files without a
picture, so that the same functions read and write them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import FormatError

__all__ = ["ITEM_BYTES", "Directory", "Entry", "Order", "Tag", "TiffFile", "Tree", "ints", "pack_tree"]

Order: TypeAlias = Literal["<", ">"]
Pointers: TypeAlias = Mapping[int, "Pointers"]
"""The numbers of tags that point to directories, each with those of that directory."""

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, IFD, LONG8, IFD8 = 1, 2, 3, 4, 5, 7, 13, 16, 18
ITEM_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
ITEM_BYTES.update({IFD: 4, LONG8: 8, 17: 8, IFD8: 8})
"""Bytes of an item of each type."""
OFFSET_TYPES: Final = (IFD, IFD8)
_WHOLE_TYPES: Final = (BYTE, SHORT, LONG, IFD, LONG8, IFD8)
_WORD_BYTES: Final = {**ITEM_BYTES, 5: 4, 10: 4}  # the bytes that change places: a rational is two numbers
_MAX_ENTRIES: Final = 4096  # of a directory; cameras write about 100
_MAX_DIRECTORIES: Final = 2**16
_MAX_CLASSIC_BYTES: Final = 2**32


class Tag(NamedTuple):
    """A tag: its number, its type, its values in little-endian order."""

    number: int
    type: int
    data: bytes


class Entry(NamedTuple):
    """An entry of a directory: a tag's number, type, number of values, and where they begin in the file."""

    number: int
    type: int
    items: int
    at: int
    is_inline: bool


@dataclass(frozen=True)
class Directory:
    """A directory (IFD): its entries by number, where the next one is (0 for none), and what was dropped.

    `dropped` names entries of unknown types, and all but the first entry of a number.
    """

    entries: Mapping[int, Entry]
    next_at: int
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tree:
    """Tags of a directory, and the directories that tags of it point to, by the numbers of these tags."""

    tags: tuple[Tag, ...] = ()
    below: Mapping[int, Tree] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.tags or self.below)


class TiffFile:
    """Reader of directories and tags.

    All directories and values together may have as many bytes as the file. So the work for a file whose
    parts overlap is bounded too.

    Parameters
    ----------
    data : the whole file.

    Raises
    ------
    FormatError
        The header is none of TIFF, or the file is cut off in it. All methods raise it for directories and
        values that are damaged or lie outside the file.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.order: Order = ">" if data[:2] == b"MM" else "<"
        if data[:2] not in (b"II", b"MM") or len(data) < 8:
            raise FormatError("TIFF: the file is cut off in its header, or has none")
        (version,) = self._unpack("H", 2)
        self.big = version == 43
        if version not in (42, 43):
            raise FormatError(f"TIFF: version {version}, expected 42 or 43")
        if self.big and self._unpack("HH", 4) != (8, 0):
            raise FormatError("TIFF: the header of a BigTIFF file is damaged")
        (self.first_at,) = self._unpack("Q", 8) if self.big else self._unpack("I", 4)
        self.header_bytes = 16 if self.big else 8
        self._left = len(data)
        self._tags: dict[Entry, Tag] = {}

    def _unpack(self, form: str, at: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self.order + form, self.data, at)
        except struct.error:
            raise FormatError(f"TIFF: cut off at byte {at}") from None

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise FormatError("TIFF: directories or values overlap, or are cut off")

    def directory(self, at: int) -> Directory:
        """Return the directory at a byte of the file."""
        if not self.header_bytes <= at < len(self.data):
            raise FormatError(f"TIFF: directory at byte {at}, the file has {len(self.data)} bytes")
        (count,) = self._unpack("Q" if self.big else "H", at)
        head, size, inline = (8, 20, 8) if self.big else (2, 12, 4)
        if not 0 < count <= _MAX_ENTRIES:
            raise FormatError(f"TIFF: {count} entries in a directory, expected 1 to {_MAX_ENTRIES}")
        self._spend(head + count * size)
        entries: dict[int, Entry] = {}
        dropped = []
        for start in range(at + head, at + head + count * size, size):
            number, kind, items = self._unpack("HHQ" if self.big else "HHI", start)
            place = start + size - inline
            if number in entries:
                dropped.append(f"a second tag {number}")
            elif kind not in ITEM_BYTES:
                dropped.append(f"tag {number}, which has the unknown type {kind}")
            else:
                is_inline = items * ITEM_BYTES[kind] <= inline
                where = place if is_inline else self._unpack("Q" if self.big else "I", place)[0]
                entries[number] = Entry(number, kind, items, where, is_inline)
        (next_at,) = self._unpack("Q" if self.big else "I", at + head + count * size)
        return Directory(entries, next_at, tuple(dropped))

    def chain(self) -> list[Directory]:
        """Return the directory that the header names, and those that follow it."""
        found: list[Directory] = []
        seen: set[int] = set()
        at = self.first_at
        while at or not found:
            if at in seen:
                raise FormatError("TIFF: the directories form a loop")
            if len(found) == _MAX_DIRECTORIES:
                raise FormatError(f"TIFF: more than {_MAX_DIRECTORIES} directories")
            seen.add(at)
            found.append(self.directory(at))
            at = found[-1].next_at
        return found

    def tag(self, entry: Entry) -> Tag:
        """Return the tag of an entry."""
        if entry not in self._tags:
            self._tags[entry] = self._tag(entry)
        return self._tags[entry]

    def _tag(self, entry: Entry) -> Tag:
        size = entry.items * ITEM_BYTES[entry.type]
        if entry.at + size > len(self.data):
            raise FormatError(f"TIFF: the values of tag {entry.number} lie outside the file")
        if not entry.is_inline:
            self._spend(size)
        raw = self.data[entry.at : entry.at + size]
        return Tag(entry.number, entry.type, _swapped(raw, entry.type) if self.order == ">" else raw)

    def tree(self, directory: Directory, pointers: Pointers) -> tuple[Tree, list[str]]:
        """Return all tags of a directory and of the directories below it, and the names of what was dropped.

        Parameters
        ----------
        directory : of this file.
        pointers : which of its tags are followed.
        """
        tags, dropped = [], list(directory.dropped)
        below: dict[int, Tree] = {}
        for entry in sorted(directory.entries.values()):
            if entry.number in pointers:
                at = self.pointer(entry)
                if at:
                    found, more = self.tree(self.directory(at), pointers[entry.number])
                    dropped += more
                    if found:
                        below[entry.number] = found
            elif entry.type in OFFSET_TYPES:
                dropped.append(f"the directory of tag {entry.number}")
            else:
                tags.append(self.tag(entry))
        return Tree(tuple(tags), below), dropped

    def pointer(self, entry: Entry) -> int:
        """Return the one offset that a tag holds."""
        values = ints(self.tag(entry))
        if len(values) != 1:
            raise FormatError(f"TIFF: tag {entry.number} has {len(values)} values, expected one")
        return int(values[0])


def ints(tag: Tag) -> NDArray[np.uint64]:
    """Return the values of a tag of whole numbers; raise `FormatError` if it has another type."""
    if tag.type not in _WHOLE_TYPES:
        raise FormatError(f"TIFF: tag {tag.number} has type {tag.type}, expected whole numbers")
    return np.frombuffer(tag.data, f"<u{ITEM_BYTES[tag.type]}").astype(np.uint64)


def _swapped(data: bytes, kind: int) -> bytes:
    """Return values in the other byte order."""
    size = _WORD_BYTES[kind]
    return data if size == 1 else np.frombuffer(data, f"u{size}").byteswap().tobytes()


def pack_tree(tree: Tree, at: int, *, order: Order = "<", big: bool = False) -> bytes:
    """Return a directory that begins at a byte of a file, with its values and the directories below it.

    Raises
    ------
    FormatError
        A classic TIFF file cannot hold it.
    """
    inline = 8 if big else 4
    pointer = LONG8 if big else LONG
    places = [Tag(number, pointer, bytes(inline)) for number in tree.below]
    tags = sorted((*tree.tags, *places), key=lambda tag: tag.number)
    head = struct.pack(order + ("Q" if big else "H"), len(tags))
    size = len(head) + len(tags) * (20 if big else 12) + inline
    rows: list[bytes] = []
    values = bytearray()
    for tag in tags:
        data = tag.data
        if tag.number in tree.below:
            where = at + size + len(values)
            values += pack_tree(tree.below[tag.number], where, order=order, big=big)
            data = where.to_bytes(inline, "little")
        data = data if order == "<" else _swapped(data, tag.type)
        if len(data) > inline:
            where = at + size + len(values)
            values += data
            data = where.to_bytes(inline, "little" if order == "<" else "big")
        values += bytes(len(values) % 2)
        count = len(tag.data) // ITEM_BYTES[tag.type]
        rows.append(
            struct.pack(order + ("HHQ" if big else "HHI"), tag.number, tag.type, count)
            + data.ljust(inline, b"\0")
        )
    whole = head + b"".join(rows) + bytes(inline) + bytes(values)
    if not big and at + len(whole) > _MAX_CLASSIC_BYTES:
        raise FormatError("TIFF: more than 4 GiB need a BigTIFF file")
    return whole


def header(directory_at: int, *, order: Order = "<", big: bool = False) -> bytes:
    """Return the header of a file whose first directory begins at a byte."""
    letters = b"II" if order == "<" else b"MM"
    if big:
        return letters + struct.pack(order + "HHHQ", 43, 8, 0, directory_at)
    return letters + struct.pack(order + "HI", 42, directory_at)


def tag_of(number: int, kind: int, values: Iterable[int]) -> Tag:
    """Return a tag of whole numbers of a type."""
    size = ITEM_BYTES[kind]
    return Tag(number, kind, b"".join(value.to_bytes(size, "little") for value in values))
