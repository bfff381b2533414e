# SPDX-License-Identifier: Apache-2.0
"""Recovery data: checksums of sectors, and lost sectors from the equations of the code."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .wire import Reader, demand

SECTOR = 512
MAGIC = b"\x89BBR\r\n\x1a\n"
SUMS = 117

EXP = [1]
for _ in range(65534):
    EXP.append(EXP[-1] << 1 ^ (0x1100B if EXP[-1] >> 15 else 0))
EXPONENTS = np.array(EXP * 2, np.uint16)
LOGARITHMS = np.zeros(65536, np.int64)
LOGARITHMS[EXP] = range(65535)


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Multiply elements of the field."""
    found = EXPONENTS[LOGARITHMS[a] + LOGARITHMS[b]]
    return np.where((np.asarray(a) == 0) | (np.asarray(b) == 0), 0, found).astype(np.uint16)


def inverse(a: int) -> np.uint16:
    return EXPONENTS[65535 - LOGARITHMS[a]]


def _basis() -> list[int]:
    """Return 1, then again and again the even y with y * y + y equal to the element before."""
    every = np.arange(0, 65536, 2).astype(np.uint16)
    images = product(every, every) ^ every
    out = [1]
    while len(out) < 16:
        out.append(int(every[list(images).index(out[-1])]))
    return out


BASIS = _basis()


def point(number: int) -> int:
    out = 0
    for bit, element in enumerate(BASIS):
        out ^= element * (number >> bit & 1)
    return out


@dataclass(frozen=True)
class Layout:
    """The numbers in a sector of the map, and the offset of the map."""

    percent: int
    start: int
    end: int
    groups: int
    parity: int
    front: int

    def sectors(self) -> int:
        return (self.end - self.start + SECTOR - 1) // SECTOR

    def maps(self) -> int:
        return (self.sectors() + self.groups * self.parity + SUMS - 1) // SUMS

    def group(self, g: int, rows: int) -> list[int]:
        """Return the number of the sector of a group in each row."""
        turns = [(r * 0x9E3779B1 % 2**32 >> 16) % self.groups for r in range(rows)]
        return [r * self.groups + (g - turn) % self.groups for r, turn in enumerate(turns)]


def find(data: bytes) -> dict[Layout, dict[int, bytes]]:
    """Return the intact sectors of all maps, by layout and number."""
    out: dict[Layout, dict[int, bytes]] = {}
    for at in range(0, len(data) - SECTOR + 1, SECTOR):
        sector = data[at : at + SECTOR]
        if not sector.startswith(MAGIC) or zlib.crc32(sector[:-4]) != int.from_bytes(sector[-4:], "little"):
            continue
        reader = Reader(sector, 8)
        demand(reader.number(1) == 1 and reader.number(1) == 0, "version of recovery data")
        percent, number = reader.number(2), reader.number(4)
        numbers = (reader.number(8), reader.number(8), reader.number(4), reader.number(4))
        layout = Layout(percent, *numbers, 0)
        before = number + (layout.groups * layout.parity if number >= layout.maps() else 0)
        layout = Layout(percent, *numbers, at - SECTOR * before)
        out.setdefault(layout, {})[number] = reader.take(4 * SUMS)
    return out


def solve(words: np.ndarray, points: list[int], unknown: list[int], equations: int) -> None:
    """Compute unknown rows: the sums of all rows times powers of their points are 0. Check all equations."""
    words[unknown] = 0
    powers = np.ones(len(points), np.uint16)
    matrix, right = [], []
    for _ in range(equations):
        matrix.append(powers[unknown])
        right.append(np.bitwise_xor.reduce(product(words, powers[:, None])))
        powers = product(powers, np.array(points, np.uint16))
    left, sums = np.array(matrix, np.uint16), np.array(right, np.uint16)
    for i in range(len(unknown)):
        pivot = next(r for r in range(i, equations) if left[r, i])
        left[[i, pivot]], sums[[i, pivot]] = left[[pivot, i]], sums[[pivot, i]]
        factor = inverse(left[i, i])
        left[i], sums[i] = product(left[i], factor), product(sums[i], factor)
        for r in range(equations):
            if r != i and left[r, i]:
                factor = left[r, i]
                left[r] ^= product(left[i], factor)
                sums[r] ^= product(sums[i], factor)
    demand(not sums[len(unknown) :].any(), "equations of recovery data")
    words[unknown] = sums[: len(unknown)]


def coded(known: list[bytes | None], parity: list[bytes | None]) -> Iterator[bytes]:
    """Return data rows of a code: those that are None are computed."""
    m, first = len(parity), 1
    while first < m:
        first *= 2
    rows = [*parity, *[None] * (first - m), *known]
    size = len(next(row for row in rows if row is not None))
    words = np.frombuffer(b"".join(row or bytes(size) for row in rows), "<u2").reshape(len(rows), -1).copy()
    solve(
        words, [point(i) for i in range(len(rows))], [i for i, row in enumerate(rows) if row is None], first
    )
    return (row.astype("<u2").tobytes() for row in words[first:])


def repaired(data: bytes) -> bytes:
    """Return a file whose covered bytes are repaired; refuse it if that cannot be done."""
    out = bytearray(data)
    for layout, maps in find(data).items():
        count, t = layout.sectors(), layout.maps()
        bodies = coded([maps.get(i) for i in range(t)], [maps.get(t + i) for i in range(t)])
        sums = np.frombuffer(b"".join(bodies), "<u4")
        covered = bytes(out[layout.start : layout.end]).ljust(SECTOR * count, b"\0")
        at = layout.front + SECTOR * t
        behind = data[at : at + SECTOR * layout.groups * layout.parity]
        sectors = [
            part[i : i + SECTOR].ljust(SECTOR, b"\0")
            for part, rows in ((covered, count), (behind, layout.groups * layout.parity))
            for i in range(0, SECTOR * rows, SECTOR)
        ]
        good = [s if zlib.crc32(s) == sums[i] else None for i, s in enumerate(sectors)]
        for g in range(layout.groups):
            members = layout.group(g, -(-count // layout.groups))
            parity = [good[count + i] for i in layout.group(g, layout.parity)]
            known = [good[i] if i < count else bytes(SECTOR) for i in members]
            for i, sector in zip(members, coded(known, parity), strict=True):
                if i < count:
                    demand(zlib.crc32(sector) == sums[i], "checksum of a sector")
                    begin = layout.start + SECTOR * i
                    end = min(begin + SECTOR, layout.end)
                    out[begin:end] = sector[: end - begin]
    return bytes(out)
