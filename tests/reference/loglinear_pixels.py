# SPDX-License-Identifier: Apache-2.0
"""The family `loglinear`: whole pixels that equal others (docs/loglinear.md, "Pixels")."""

from __future__ import annotations

from typing import Any

import numpy as np

from .local import Group
from .loglinear_tables import LINE, MASK, K, Tables
from .rans import Stream

NONE = 7  # the code of a pixel that equals no candidate
EQUAL = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3), (4, 0), (5, 1)]
EQUAL_FAR = [(6, 3), (7, 3), (8, 2), (9, 2), (10, 4), (11, 5)]


def fold(h: int, *values: int) -> int:
    """Return a hash with these numbers folded in."""
    for value in values:
        h = (h + value) * K & MASK
        h ^= h >> 15
    return h


def equal(v: list[int], pairs: list[tuple[int, int]]) -> int:
    """Return a bit for each pair of neighbours, from the lowest: whether their colours are equal."""
    return sum((v[i] == v[j]) << bit for bit, (i, j) in enumerate(pairs))


class Pixels:
    """Finds the whole pixels of a group."""

    def __init__(self, group: Group, pixels: int, q: int, of_row: list[Stream]) -> None:
        tensors = group.model.tensors
        self.group, self.q, self.of_row = group, q, of_row
        self.further = [(-4, 0), (-4, -1), (-3, -2), (-1, -3), (1, -3), (4, -2)]
        self.codes = np.zeros(pixels + 1, np.int64)  # the last: no neighbour
        self.tables = Tables(group.model.config, tensors["pixel_mix"], pixels)
        start = tensors["pixel_start"].astype(np.int16)
        value, count = (a[:4096].reshape(256, 16) for a in (self.tables.value, self.tables.count))
        value[:, :7], count[:, :7] = 16 * start, 8 * (start != 0)
        self.memory_bits = min(self.tables.bits, 16)
        self.memories: list[dict[int, int]] = [{}, {}, {}]
        self.open: list[tuple[int, list[int], list[int]]] = []  # of this time: pixel, candidates, places

    def find(self, lanes: Any, pixel: Any, near: Any) -> Any:
        """Look for the pixels of all lanes; set the samples of those that are found."""
        samples = self.group.samples
        found = np.zeros(len(lanes), bool)
        for i, (row, at) in enumerate(zip(lanes.tolist(), pixel.tolist(), strict=True)):
            v = [self._colour(n) for n in near[i].tolist()]
            k = self.codes[near[i, :6]].tolist()
            near_bits, h = self._hashes(v, k)
            places = [h[n] * LINE % 2**32 >> (32 - self.memory_bits) for n in (3, 2, 1)]
            candidates: dict[int, int] = {}  # the kind of each colour, in order
            for kind, colour in enumerate(v[:4]):
                candidates.setdefault(colour, kind)
            for kind, (memory, place) in enumerate(zip(self.memories, places, strict=True), 4):
                if place in memory:
                    candidates.setdefault(memory[place], kind)
            self.open.append((at, list(candidates), places))
            if sum(code != NONE for code in k) < self.q - 1:
                continue
            lines = [16 * near_bits, *(16 * (hn * LINE % 2**32 >> (36 - self.tables.bits)) for hn in h[1:])]
            for colour, kind in candidates.items():
                entries = self.tables.first + np.array(lines) + kind
                if self.tables.pop(self.of_row[row], 0, kind, entries):
                    samples[:, at] = [colour >> 8 * n & 255 for n in reversed(range(len(samples)))]
                    found[i] = True
                    break
        return found

    def learn(self) -> None:
        """Learn the decisions of this time, then the colours of its pixels."""
        self.tables.learn()
        for at, candidates, places in self.open:
            colour = self._colour(at)
            self.codes[at] = min(candidates.index(colour), 5) if colour in candidates else NONE
            for memory, place in zip(self.memories, places, strict=True):
                memory[place] = colour
        self.open.clear()

    def _colour(self, pixel: int) -> int:
        colour = 0
        for sample in self.group.samples[:, pixel].tolist():
            colour = 256 * colour + sample
        return colour

    @staticmethod
    def _hashes(v: list[int], k: list[int]) -> tuple[int, list[int]]:
        """Return `near`, and h_0 (0) to h_7."""
        near, far = equal(v, EQUAL), equal(v, EQUAL_FAR)
        h = [0, fold(0, *v[:2]), fold(0, *v[:4]), fold(0, *v[:12]), fold(0, *v)]
        codes = sum(code << 3 * n for n, code in enumerate(k[:4]))
        h.append(fold(0, near + (far << 8), codes))
        h.append(fold(0, v[0], near))
        h.append(fold(0, codes + (k[4] << 12) + (k[5] << 15), 0))
        return near, h
