# SPDX-License-Identifier: Apache-2.0
"""The deep head: blocks, groups, and what each channel of an array is (docs/deep.md)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .wire import Reader, demand, inflate

Shape = tuple[int, int, int, int]  # T, C, H, W
WIDEST = 65535


@dataclass
class Channel:
    """A channel in coding order."""

    number: int  # in the array
    references: list[int]  # places of earlier channels in the coding order
    before: bool  # whether the frame before is a reference
    phased: bool
    role: int
    values: Any  # samples, by their numbers

    def top(self) -> int:
        """Return the largest number; a channel with the top 0 is constant."""
        return len(self.values) - 1

    def layer(self, begins: bool) -> tuple[int, bool]:
        """Return which last layer a plane has; `begins`: in the first frame of a group."""
        return self.role, begins and self.before

    def kind(self, begins: bool) -> int:
        """Return how many references a plane has."""
        return len(self.references) + (self.before and not begins)


@dataclass
class Head:
    """A deep head."""

    side: int  # of a block, at most
    frames: int  # of a group
    channels: list[Channel]


def read(data: bytes, shape: Shape, bounds: tuple[int, int]) -> Head:
    """Read a head of an array whose samples are within the bounds."""
    demand(min(shape) >= 1, "empty array")
    reader = Reader(data)
    side, frames = reader.varint(), reader.varint()
    demand(16 <= side <= 1024, "side of blocks")
    demand(1 <= frames <= 65535, "frames of a group")
    channels: list[Channel] = []
    for _ in range(shape[1]):
        channels.append(_channel(reader, channels))
    demand(reader.ends(), "bytes behind the deep head")
    demand(sorted(c.number for c in channels) == list(range(shape[1])), "numbers of channels")
    demand(shape[0] > 1 or not any(c.before for c in channels), "frame before in an array of one frame")
    for c in channels:
        demand(bounds[0] <= c.values[0] and c.values[-1] <= bounds[1], "values beyond those of the samples")
    _check_layers(channels)
    return Head(side, frames, channels)


def _channel(reader: Reader, earlier: list[Channel]) -> Channel:
    number, flags = reader.varint(), reader.number(1)
    before = bool(flags & 4)
    demand((flags & 3) + before <= 2, "number of references")
    references = [reader.varint() for _ in range(flags & 3)]
    demand(len(set(references)) == len(references), "references are equal")
    demand(all(r < len(earlier) and earlier[r].top() for r in references), "reference that cannot be one")
    values = _values(reader, earlier)
    demand(len(values) > 1 or flags == 0, "flags of a constant channel")
    return Channel(number, references, before, bool(flags & 8), flags >> 4, values)


def _values(reader: Reader, earlier: list[Channel]) -> Any:
    """Return the values, ascending."""
    told = reader.number(1)
    how = told & ~4
    demand(how <= 2 and (how < 2 or told == 2), "kind of values")
    if how == 2:
        demand(earlier, "values of the channel before the first")
        return earlier[-1].values
    v = reader.varint()
    v = -1 - v if told & 4 else v
    top = reader.varint()
    demand(top <= WIDEST, "largest number of a value")
    if how == 0:
        demand(v + top < 1 << 63, "values beyond 64 bits")
        return np.arange(v, v + top + 1)
    size = reader.varint()
    demand(size <= 9 * top, "bytes of gaps")  # a varint has at most 9
    gaps = Reader(inflate(reader.take(reader.varint()), size))
    values = [v]
    for _ in range(top):
        values.append(values[-1] + gaps.varint() + 1)
    demand(gaps.ends(), "bytes behind the gaps")
    demand(values[-1] - v < 1 << 63 and values[-1] < 1 << 63, "values too far apart")
    return np.array(values, np.int64)


def _check_layers(channels: list[Channel]) -> None:
    """Refuse last layers whose planes have different kinds, as if each group had several frames."""
    kinds = {(c.layer(begins), c.kind(begins)) for c in channels if c.top() for begins in (True, False)}
    layers = sorted(layer for layer, _ in kinds)
    demand(all(a != b for a, b in pairwise(layers)), "kinds of a role")
