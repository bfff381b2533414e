# SPDX-License-Identifier: Apache-2.0
"""Recovery data: parity of the sectors of a file, from which lost sectors are computed.

The covered bytes are cut into sectors of 512 bytes, counted from the beginning of the file. A payload holds a
*map* (checksums of all sectors, in sectors that describe themselves), the parity, and parity of the map. It
lies on sector boundaries itself and is found without any other byte of the file. The layout is that of
docs/format.md, "Recovery". Nothing here knows sections; `bbcodec.container.erasure` is the code.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.container.erasure import MAX_ROWS, Code
from bbcodec.errors import OptionError

__all__ = [
    "SECTOR",
    "Found",
    "Layout",
    "Repair",
    "check_percent",
    "find",
    "layout_of",
    "make",
    "plan",
    "repair",
]

SECTOR: Final = 512  # bytes; the unit in which disks lose data
MAGIC: Final = b"\x89BBR\r\n\x1a\n"
VERSION: Final = 1
MAX_PERCENT: Final = 50

_HEAD: Final = struct.Struct("<8sBBHIQQII")
_SUM_BYTES: Final = 4  # CRC-32 of a sector
_SUMS: Final = (SECTOR - _HEAD.size - 4) // _SUM_BYTES  # checksums in a sector of the map
_MAX_MAP_ROWS: Final = MAX_ROWS // 2  # sectors of the map that are coded together
_MAX_LEAD_BYTES: Final = 13  # between the covered bytes and a payload: type and length of a section
_MIN_PARITY: Final = 2  # sectors of a group; damage of 512 bytes may touch two
_READ_BYTES: Final = 1 << 20
_TURN: Final = 0x9E3779B1  # odd, near 2^32 times the golden ratio: turns of neighbouring rows differ
_DEVIATIONS: Final = 6  # standard deviations by which scattered damage may hit one group more than others

Read = Callable[[int, int], bytes]
"""``read(at, count)`` returns the bytes of a file from an offset on; fewer at its end."""


@dataclass(frozen=True)
class Layout:
    """Where recovery data lie, and what they cover.

    Attributes
    ----------
    start, end : offsets of the covered bytes; `start` is a multiple of `SECTOR`.
    percent : hundredths of a percent that the writer was asked for.
    groups : sectors are dealt out to so many groups, each with a code of its own.
    parity : sectors of parity of each group.
    """

    start: int
    end: int
    percent: int
    groups: int
    parity: int

    @property
    def sectors(self) -> int:
        """Number of covered sectors; the last one may be short and counts as filled with zeros."""
        return -(-(self.end - self.start) // SECTOR)

    @property
    def rows(self) -> int:
        """Sectors of a group; those of some groups end with a row of zeros."""
        return -(-self.sectors // self.groups)

    @property
    def code(self) -> Code:
        """The code of a group."""
        return Code(self.rows, self.parity)

    @property
    def maps(self) -> int:
        """Sectors of the map; its parity has as many."""
        return -(-(self.sectors + self.groups * self.parity) // _SUMS)

    @property
    def size(self) -> int:
        """Bytes of map, parity, and parity of the map."""
        return SECTOR * (2 * self.maps + self.groups * self.parity)

    def front(self, lead: int) -> int:
        """Return the offset of the map if the payload begins `lead` bytes behind the covered bytes."""
        return -(-(self.end + lead) // SECTOR) * SECTOR

    def members(self, group: int, rows: int) -> NDArray[np.int64]:
        """Return the number of the sector of a group in each of the first rows.

        A row has a sector of every group. Their order changes from row to row, so that damage at regular
        distances does not hit one group alone.
        """
        row = np.arange(rows)
        turn = (row * _TURN % 2**32 >> 16) % self.groups
        return row * self.groups + (group - turn) % self.groups

    def head(self, number: int) -> bytes:
        """Return the first bytes of a sector of the map, or of the parity of the map."""
        return _HEAD.pack(
            MAGIC, VERSION, 0, self.percent, number, self.start, self.end, self.groups, self.parity
        )


@dataclass
class Found:
    """Recovery data found in a file.

    Attributes
    ----------
    layout : what they cover.
    front : offset of the map.
    maps : bodies of the intact sectors of the map and of its parity, by number.
    """

    layout: Layout
    front: int
    maps: dict[int, bytes] = field(default_factory=dict)

    @property
    def parity_at(self) -> int:
        """Offset of the parity."""
        return self.front + SECTOR * self.layout.maps

    @property
    def end(self) -> int:
        """Offset of the first byte behind the parity of the map."""
        return self.front + self.layout.size


@dataclass(frozen=True)
class Repair:
    """The result of a repair.

    Attributes
    ----------
    layout : the covered bytes.
    sectors : content of damaged sectors by offset in the file; the last covered one may be short.
    lost : offsets of damaged sectors that cannot be computed.
    """

    layout: Layout
    sectors: dict[int, bytes]
    lost: tuple[int, ...]

    def __str__(self) -> str:
        """Return what was repaired, as a sentence without an end."""
        found = f"recovery data repair {len(self.sectors)} damaged sectors of {SECTOR} bytes"
        return found + (f"; {len(self.lost)} more cannot be repaired" if self.lost else "")


def check_percent(percent: float) -> int:
    """Return a share in hundredths of a percent.

    Raises
    ------
    OptionError
        It is not between 0.01 and `MAX_PERCENT`.
    """
    if not 0.01 <= percent <= MAX_PERCENT:  # also refuses what is not a number
        raise OptionError(f"recovery is {percent:g} percent, expected 0.01 to {MAX_PERCENT}")
    return round(percent * 100)


def plan(start: int, end: int, percent: int) -> Layout:
    """Return a layout with which a file comes back if a share of all its sectors is lost.

    One group comes back exactly up to the share. Several groups, of files over some 26 MB, get some more,
    because scattered damage does not hit all groups alike.

    Parameters
    ----------
    start, end : offsets of the bytes to cover, not none.
    percent : hundredths of a percent, as of `check_percent`.
    """
    groups = 1
    while True:
        layout = Layout(start, end, percent, groups, 1)
        for _ in range(64):  # the parity counts among the sectors, and so does the map
            whole = layout.sectors + groups * layout.parity + 2 * layout.maps + 2
            share = -(-whole * percent // (10_000 * groups))
            spread = 0 if groups == 1 else 2 + math.isqrt(_DEVIATIONS**2 * share)
            parity = max(_MIN_PARITY, share + spread)
            if parity <= layout.parity:
                break
            layout = Layout(start, end, percent, groups, parity)
        if (1 << (layout.parity - 1).bit_length()) + layout.rows <= MAX_ROWS:
            return layout
        groups += 1


def make(read: Read, layout: Layout, lead: int, threads: int = 1) -> bytes:
    """Return a payload that repairs the covered bytes.

    Parameters
    ----------
    read : reads the file.
    layout : as of `plan`.
    lead : bytes between the covered bytes and the payload.
    threads : number of threads; the bytes do not depend on it.
    """
    sums = np.zeros(layout.maps * _SUMS, "<u4")
    for at, sector in _covered(read, layout):
        sums[(at - layout.start) // SECTOR] = zlib.crc32(sector)
    parity = np.empty((layout.parity * layout.groups, SECTOR), np.uint8)
    for group in range(layout.groups):
        made = layout.code.encode(_rows(read, layout, group), threads)
        parity[layout.members(group, layout.parity)] = made.astype("<u2", copy=False).view(np.uint8)
    for number, row in enumerate(parity):
        sums[layout.sectors + number] = zlib.crc32(row.tobytes())
    bodies = sums.view("<u2").reshape(layout.maps, -1)
    more = np.empty_like(bodies)
    for some in _map_groups(layout):
        more[some] = Code(len(bodies[some]), len(bodies[some])).encode(bodies[some].astype(np.uint16))
    pad = layout.front(lead) - layout.end - lead
    front = [_map_sector(layout, i, body.tobytes()) for i, body in enumerate(bodies)]
    rear = [_map_sector(layout, layout.maps + i, body.tobytes()) for i, body in enumerate(more)]
    return b"".join([bytes(pad), *front, parity.tobytes(), *rear])


def find(read: Read, size: int) -> list[Found]:
    """Return the recovery data in a file of `size` bytes, by what they cover.

    Only data with at least half of map and map parity are returned, and none that cover the same bytes.
    """
    found: dict[tuple[Layout, int], Found] = {}
    for at in range(0, size, _READ_BYTES):
        part = read(at, min(_READ_BYTES, size - at))
        place = part.find(MAGIC)
        while place >= 0:
            if place % SECTOR == 0 and (one := _read_map_sector(part[place : place + SECTOR], at + place)):
                layout, front, number, body = one
                if SECTOR * layout.groups * layout.parity <= size:
                    found.setdefault((layout, front), Found(layout, front)).maps[number] = body
            place = part.find(MAGIC, place + 1)
    out: list[Found] = []
    for data in sorted(found.values(), key=lambda data: (data.layout.start, -data.layout.end)):
        if len(data.maps) >= data.layout.maps and (not out or data.layout.start >= out[-1].layout.end):
            out.append(data)
    return out


def layout_of(sector: bytes, at: int) -> Layout | None:
    """Return the layout that a sector of a map at an offset describes, or None if it is none."""
    found = _read_map_sector(sector, at)
    return None if found is None else found[0]


def repair(read: Read, found: Found, threads: int = 1) -> Repair:
    """Find damaged sectors by their checksums, and compute them from the others.

    Parameters
    ----------
    read : reads the file.
    found : recovery data, as of `find`.
    threads : number of threads.
    """
    layout = found.layout
    sums, known = _checksums(found)
    count = layout.sectors
    damaged = ~known
    for at, sector in _covered(read, layout):
        number = (at - layout.start) // SECTOR
        damaged[number] |= zlib.crc32(sector) != sums[number]
    for number in range(count, count + layout.groups * layout.parity):
        sector = read(found.parity_at + SECTOR * (number - count), SECTOR)
        damaged[number] |= zlib.crc32(sector) != sums[number]
    sectors: dict[int, bytes] = {}
    lost: list[int] = []
    for group in range(layout.groups):
        members = layout.members(group, layout.rows)
        members[members >= count] = count  # rows of zeros
        inside = np.flatnonzero(members < count)
        wrong = inside[damaged[members[inside]]]  # rows of the group
        if not len(wrong):
            continue
        places = layout.members(group, layout.parity)
        flags = np.zeros(layout.parity + layout.rows, bool)
        flags[: layout.parity] = damaged[count + places]
        flags[layout.parity + wrong] = True
        numbers = members[wrong]
        if flags.sum() > layout.parity:
            lost += (layout.start + SECTOR * numbers[known[numbers]]).tolist()
            continue
        parity = b"".join(_padded(read(found.parity_at + SECTOR * int(place), SECTOR)) for place in places)
        rows = np.concatenate([_words(parity), _rows(read, layout, group)])
        layout.code.recover(rows, flags, threads)
        for row, number in zip(wrong.tolist(), numbers.tolist(), strict=True):
            sector = rows[layout.parity + row].astype("<u2").tobytes()
            at = layout.start + SECTOR * number
            if known[number] and zlib.crc32(sector) != sums[number]:
                lost.append(at)
            elif sector != _padded(read(at, min(SECTOR, layout.end - at))):
                sectors[at] = sector[: layout.end - at]
    return Repair(layout, sectors, tuple(sorted(lost)))


def _words(sectors: bytes) -> NDArray[np.uint16]:
    """Return sectors as rows of a code."""
    return np.frombuffer(sectors, "<u2").reshape(-1, SECTOR // 2).astype(np.uint16)


def _padded(sector: bytes) -> bytes:
    return sector.ljust(SECTOR, b"\0")


def _covered(read: Read, layout: Layout) -> Iterator[tuple[int, bytes]]:
    """Yield the offset and the bytes of every covered sector, filled with zeros."""
    for at in range(layout.start, layout.end, _READ_BYTES):
        part = read(at, min(_READ_BYTES, layout.end - at))
        for place in range(0, min(_READ_BYTES, layout.end - at), SECTOR):
            yield at + place, _padded(part[place : place + SECTOR])


def _rows(read: Read, layout: Layout, group: int) -> NDArray[np.uint16]:
    """Return the sectors of a group, uint16 ``[rows, SECTOR / 2]``."""
    out = []
    for number in layout.members(group, layout.rows).tolist():
        at = layout.start + SECTOR * number
        out.append(_padded(read(at, min(SECTOR, layout.end - at)) if at < layout.end else b""))
    return _words(b"".join(out))


def _map_groups(layout: Layout) -> list[slice]:
    """Return which sectors of the map are coded together."""
    groups = -(-layout.maps // _MAX_MAP_ROWS)
    return [slice(group, None, groups) for group in range(groups)]


def _map_sector(layout: Layout, number: int, body: bytes) -> bytes:
    """Return a sector of the map, or of its parity."""
    found = layout.head(number) + body
    return found + zlib.crc32(found).to_bytes(4, "little")


def _read_map_sector(sector: bytes, at: int) -> tuple[Layout, int, int, bytes] | None:
    """Return layout, offset of the map, own number and body of a sector of a map; None if it is none."""
    if len(sector) < SECTOR or zlib.crc32(sector[:-4]) != int.from_bytes(sector[-4:], "little"):
        return None
    _, version, zero, percent, number, start, end, groups, parity = _HEAD.unpack_from(sector)
    layout = Layout(start, end, percent, groups, parity)
    if version != VERSION or zero or start % SECTOR or not start < end <= at or not groups or not parity:
        return None
    if (1 << (parity - 1).bit_length()) + layout.rows > MAX_ROWS or number >= 2 * layout.maps:
        return None
    front = at - SECTOR * (number + (groups * parity if number >= layout.maps else 0))
    if not 0 <= front - end < SECTOR + _MAX_LEAD_BYTES:
        return None
    return layout, front, number, sector[_HEAD.size : -4]


def _checksums(found: Found) -> tuple[NDArray[np.uint32], NDArray[np.bool_]]:
    """Return the checksums of all covered sectors and of the parity, and which of them are known."""
    layout = found.layout
    bodies = np.zeros((2, layout.maps, 2 * _SUMS), np.uint16)
    present = np.zeros((2, layout.maps), bool)
    for number, body in found.maps.items():
        bodies[divmod(number, layout.maps)] = np.frombuffer(body, "<u2")
        present[divmod(number, layout.maps)] = True
    for some in _map_groups(layout):
        flags = ~np.concatenate([present[1, some], present[0, some]])
        rows = np.concatenate([bodies[1, some], bodies[0, some]])
        if not present[0, some].all() and flags.sum() <= len(flags) // 2:
            Code(len(flags) // 2, len(flags) // 2).recover(rows, flags)
            bodies[0, some] = rows[len(flags) // 2 :]
            present[0, some] = True
    count = layout.sectors + layout.groups * layout.parity
    sums = bodies[0].astype("<u2").reshape(-1).view("<u4")[:count].astype(np.uint32)
    return sums, np.repeat(present[0], _SUMS)[:count]
