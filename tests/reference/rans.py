# SPDX-License-Identifier: Apache-2.0
"""rANS messages with many lanes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .wire import demand

U = np.uint64
LOW = 1 << 31
BENFORD = np.array([math.floor(2**16 * math.log2(1 + s / 16) + 0.5) for s in range(17)], np.int64)

# Finds symbols: code points [n] and their slice of the vector -> symbol, start, freq.
Find = Callable[[Any, slice], tuple[Any, Any, Any]]


class Message:
    """A head, uint64 [lanes], and a tail of words; the last word is the top of the stack."""

    def __init__(self, data: bytes, lanes: int) -> None:
        """Unfold a message that was folded to one lane."""
        demand(len(data) % 4 == 0 and len(data) >= 8, "length of a message")
        words = np.frombuffer(data, "<u4").tolist()
        demand(LOW <= words[0] << 32 | words[1] < 1 << 63, "head of a message")
        self.head = np.array([words[0] << 32 | words[1]], U)
        self.tail = words[:1:-1]
        self.grow(lanes)

    def pop(self, n: int, p: Any, find: Find) -> Any:
        """Pop n symbols of p bits, int64 [n]."""
        out = np.zeros(n, np.int64)
        for begin in range(0, n, len(self.head)):
            part = slice(begin, min(begin + len(self.head), n))
            lanes = slice(0, part.stop - begin)
            bits = np.broadcast_to(p, (n,))[part].astype(U)
            h = self.head[lanes]
            code = h & ((U(1) << bits) - U(1))
            symbol, start, freq = find(code.astype(np.int64), part)
            h = freq.astype(U) * (h >> bits) + code - start.astype(U)
            short = np.flatnonzero(h < U(LOW))
            demand(len(short) <= len(self.tail), "tail of a message is empty")
            if len(short):
                words = np.array(self.tail[: -len(short) - 1 : -1], U)
                del self.tail[-len(short) :]
                h[short] = h[short] << U(32) | words
            self.head[lanes] = h
            out[part] = symbol
        return out

    def push(self, start: Any, freq: Any, p: Any) -> None:
        """Push intervals [n] of p bits, in reverse groups of symbols, so that `pop` returns them forwards."""
        n = len(start)
        demand((freq > 0).all(), "symbol of frequency 0")
        for begin in reversed(range(0, n, len(self.head))):
            part = slice(begin, min(begin + len(self.head), n))
            lanes = slice(0, part.stop - begin)
            bits = np.broadcast_to(p, (n,))[part].astype(U)
            f, s = freq[part].astype(U), start[part].astype(U)
            h = self.head[lanes]
            full = h >= ((U(LOW) >> bits) << U(32)) * f
            self.tail += (h[full] & U(0xFFFFFFFF)).tolist()[::-1]
            h = np.where(full, h >> U(32), h)
            self.head[lanes] = ((h // f) << bits) + h % f + s

    def pop_bits(self, bits: Any) -> Any:
        """Pop n uniform numbers of `bits` [n] bits each."""
        return self.pop(len(bits), bits, lambda code, part: (code, code, np.ones_like(code)))

    def push_bits(self, values: Any, bits: Any) -> None:
        self.push(values, np.ones_like(values), bits)

    def grow(self, lanes: int) -> None:
        """Double the number of lanes until there are `lanes`."""
        while len(self.head) < lanes:
            self.head = np.concatenate([self.head, self._pop_benford(len(self.head))])

    def fold(self, lanes: int) -> None:
        """Halve the number of lanes until there are `lanes`."""
        while len(self.head) > lanes:
            half = len(self.head) // 2
            moved = self.head[half:]
            self.head = self.head[:half].copy()
            self._push_benford(moved)

    def _pop_benford(self, n: int) -> Any:
        low_bits = self.pop_bits(np.full(n, 5)) + 31 - 4
        demand((low_bits + 4 < 63).all(), "number out of range")
        x = np.zeros(n, np.int64)
        for below in (48, 32, 16, 0):
            bits = np.clip(low_bits - below, 0, 16)
            x |= self.pop_bits(bits) << below

        def find(code: Any, part: slice) -> tuple[Any, Any, Any]:
            s = np.searchsorted(BENFORD, code, "right") - 1
            return s, BENFORD[s], BENFORD[s + 1] - BENFORD[s]

        return ((self.pop(n, 16, find) + 16) << low_bits | x).astype(U)

    def _push_benford(self, values: Any) -> None:
        x = values.astype(np.int64)
        low_bits = np.array([int(v).bit_length() - 5 for v in x])
        s = (x >> low_bits) & 15
        self.push(BENFORD[s], BENFORD[s + 1] - BENFORD[s], 16)
        x &= (1 << low_bits) - 1
        for below in (0, 16, 32, 48):
            bits = np.clip(low_bits - below, 0, 16)
            self.push_bits((x >> below) & ((1 << bits) - 1), bits)
        self.push_bits(low_bits + 4 - 31, np.full(len(x), 5))

    def ends(self, lanes: int = 8) -> None:
        """Refuse the file unless the message is the empty one with `lanes` lanes."""
        empty = len(self.head) == lanes and (self.head == U(LOW)).all() and not self.tail
        demand(empty, "message is not empty at its end")


class Stream:
    """A message of one lane, whose symbols are decisions: of 16 bits, with 1 before 0."""

    def __init__(self, data: bytes) -> None:
        demand(len(data) >= 8 and len(data) % 4 == 0, "length of a stream")
        words = np.frombuffer(data, "<u4").tolist()
        self.head, self.tail = words[0] << 32 | words[1], words[:1:-1]
        demand(LOW <= self.head < 1 << 63, "head of a stream")

    def pop(self, p: int) -> int:
        """Pop a decision that is 1 with the probability p / 2^16."""
        code = self.head & 65535
        start, freq = (0, p) if code < p else (p, 65536 - p)
        self.head = freq * (self.head >> 16) + code - start
        if self.head < LOW:
            demand(self.tail, "tail of a stream is empty")
            self.head = self.head << 32 | self.tail.pop()
        return int(code < p)

    def ends(self) -> None:
        demand(self.head == LOW and not self.tail, "stream is not empty at its end")
