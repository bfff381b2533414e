# SPDX-License-Identifier: Apache-2.0
"""`PLTE`: palettes, and painted pictures, whose colours are coded instead of indices."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .wire import Reader, Refused, demand, inflate


@dataclass
class Palette:
    """A palette. With codings 4 and 5, `entries` is None until the colours of the picture are known."""

    width: int  # bytes of an entry, 3 or 4
    transparency: int
    index: int
    alphas: bytes
    count: int  # of alphas
    coding: int
    entries: bytes | None
    order: bytes  # payload of codings 4 and 5

    def channels(self) -> int:
        """Return the number of channels of a painted picture."""
        return 4 if self.width == 4 or self.transparency else 3

    def digest_part(self) -> bytes:
        """Return the bytes of the palette in the picture digest."""
        assert self.entries is not None
        head = bytes([self.width, self.transparency]) + len(self.entries).to_bytes(4, "little") + self.entries
        tail = self.index.to_bytes(4, "little") if self.transparency == 1 else self.alphas
        return head + (tail if self.transparency else b"")

    def indices(self, colours: Any) -> Any:
        """Return the indices [H, W, 1] of colours [H, W, 3 or 4]: of a painted picture, or without alpha."""
        demand(self.width == 3 or not self.transparency, "RGBA entries with transparency")
        places = (1 << 24, 1 << 16, 1 << 8, 1) if colours.shape[2] == 4 else (1 << 16, 1 << 8, 1)
        numbers = colours.astype(np.int64) @ np.array(places)
        if self.entries is None:
            demand(colours.shape[2] == self.channels(), "order of colours without their alpha")
            self._arrange(numbers, colours.shape[2])
        assert self.entries is not None
        demand(self.entries and len(self.entries) % self.width == 0, "palette of a painted picture")
        entries = np.frombuffer(self.entries, np.uint8).reshape(-1, self.width).astype(np.int64)
        if self.transparency:
            alpha = np.full(len(entries), 255)
            if self.transparency == 1:
                alpha[self.index : self.index + 1] = 0
            else:
                known = np.frombuffer(self.alphas, np.uint8)[: len(entries)]
                alpha[: len(known)] = known
            entries = np.concatenate([entries, alpha[:, None]], 1)
        first: dict[int, int] = {}
        for i, number in enumerate((entries[:, : len(places)] @ np.array(places)).tolist()):
            first.setdefault(number, i)
        try:
            flat = [first[number] for number in numbers.ravel().tolist()]
        except KeyError:
            raise Refused("a colour that no entry has") from None
        return np.array(flat, np.uint8).reshape(*colours.shape[:2], 1)

    def _arrange(self, numbers: Any, channels: int) -> None:
        """Set the entries of codings 4 and 5, from the colours of the picture and their order."""
        flat = numbers.ravel().tolist()
        colours = sorted(set(flat)) if self.coding == 4 else list(dict.fromkeys(flat))
        reader = Reader(self.order)
        unused = reader.varint()
        total = len(colours) + unused
        demand(self.count <= total <= 256, "number of entries")
        marks = np.zeros(total, np.uint8)
        if unused:
            bits = np.unpackbits(np.frombuffer(reader.take(-(-total // 8)), np.uint8))
            marks = bits[:total]
            demand(not bits[total:].any() and marks.sum() == unused, "map of unused entries")
        size = 4 if self.width == 4 or self.transparency == 2 else 3
        others = [reader.take(size) for _ in range(unused)]
        data = reader.rest()
        demand(not data or data[-1], "order has zeros at its end")
        number = int.from_bytes(data, "little")
        n = len(colours)
        demand(number < math.factorial(n), "order is too large")
        digits = []
        for radix in range(1, n + 1):
            number, digit = divmod(number, radix)
            digits.append(digit)
        used = iter([colours.pop(digit) for digit in reversed(digits)])
        spare = iter(others)
        full = [next(spare) if mark else next(used).to_bytes(channels, "big") for mark in marks]
        self.entries = b"".join(entry[: self.width] for entry in full)
        if self.transparency == 2:
            self.alphas = bytes(entry[3] for entry in full[: self.count])


def read(payload: bytes) -> Palette:
    """Read the palette of a `PLTE` section."""
    reader = Reader(payload)
    form = reader.number(1)
    width, transparency, coding = 3 + (form & 1), form >> 1 & 3, form >> 4
    demand(not form & 8 and transparency < 3 and coding < 6, "form of the palette")
    index = reader.number(1) if transparency == 1 else 0
    count = reader.varint() if transparency == 2 else 0
    demand(count <= 256, "more than 256 alphas")
    palette = Palette(width, transparency, index, b"", count, coding, None, b"")
    if coding >= 4:
        palette.order = reader.rest()
        return palette
    if coding == 0:
        palette.alphas, palette.entries = reader.take(count), reader.rest()
        return palette
    size = reader.varint()
    demand(size <= 256 * width, "more than 256 entries")
    if coding == 3:
        palette.alphas = reader.take(count)
        demand(reader.ends(), "bytes behind the alphas")
        i = np.arange(216)
        web = 51 * np.stack([i % 6, i // 6 % 6, i // 36], 1)
        web = np.concatenate([np.zeros((10, 3)), web]).astype(np.uint8)
        palette.entries = web.tobytes()[:size].ljust(size, b"\0")
        return palette
    raw = inflate(reader.rest(), count + size)
    if coding == 2:
        demand(size % width == 0, "entries are not whole")
        alphas = np.cumsum(np.frombuffer(raw[:count], np.uint8), dtype=np.uint8)
        planes = np.frombuffer(raw[count:], np.uint8).reshape(width, -1)
        entries = np.cumsum(planes, axis=1, dtype=np.uint8).T
        raw = alphas.tobytes() + entries.tobytes()
    palette.alphas, palette.entries = raw[:count], raw[count:]
    return palette
