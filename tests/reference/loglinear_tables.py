# SPDX-License-Identifier: Apache-2.0
"""The family `loglinear`: tables and mixers, which learn (docs/loglinear.md)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np

from .logistic import rounded
from .rans import Stream

K = 0x9E3779B1
SPOT, LINE = 0x85EBCA6B, 0xC2B2AE35
MASK = 0xFFFFFFFF

LG = [0, *rounded(lambda i: 2**10 * i.ln(), range(1, 2048)).tolist()]
L2 = rounded(lambda s: 2**10 * s * Decimal(2).ln(), range(11)).tolist()
T = rounded(lambda i: 2**16 / (1 + (-(8 * i - 12284) / 2**10).exp()), range(3072)).clip(1, 65535)
SQ = T.tolist()
RATE = rounded(lambda i: 2**14 / (i + 3), range(16))
RATE[15] = 819


def ln(x: int) -> int:
    """Return the logarithm of 1 ≤ x ≤ 2^20 in 2^-10."""
    s = max(0, x.bit_length() - 11)
    return int(LG[x >> s] + L2[s])


def sq(x: int) -> int:
    """Return SQ of a number: the probability of log-odds in 2^-10."""
    return int(SQ[(min(max(x, -12288), 12287) + 12288) >> 3])


def sq_each(x: Any) -> Any:
    """Return SQ of an array."""
    return T[(clamp(x, -12288, 12287) + 12288) >> 3]


def clamp(v: Any, a: int, b: int) -> Any:
    """Return np.clip of an array of int64, which is slow for a few numbers."""
    return np.minimum(np.maximum(v, a), b)


class Tables:
    """Tables and mixer of one channel or of whole pixels, and the decisions not learned yet."""

    def __init__(self, config: Mapping[str, Any], weights: Any, pixels: int) -> None:
        n, self.shift = weights.shape[1], config["mix_shift"]
        self.bits = min(config["table_bits"], max(12, 2 + (pixels - 1).bit_length()))
        self.value = np.zeros(n << self.bits, np.int16)
        self.count = np.zeros(n << self.bits, np.uint8)
        self.first = np.arange(n) << self.bits
        self.weights = weights.astype(np.int64)
        self.coded: list[tuple[int, int, int, Any]] = []
        self.learned = 0

    def corrected(self, base: int, kind: int, value: Any) -> int:
        return base + (int((value * (self.weights[kind] >> 8)).sum()) >> 10)

    def pop(self, stream: Stream, base: int, kind: int, at: Any) -> int:
        """Pop a decision of these log-odds, corrected by the entries `at`."""
        bit = stream.pop(sq(self.corrected(base, kind, self.value[at].astype(np.int64))))
        self.coded.append((kind, base, bit, at))
        return bit

    def learn(self) -> None:
        """Learn all decisions since the last time, in their order."""
        for kind, base, bit, at in self.coded:
            value, count = self.value[at].astype(np.int64), self.count[at]
            miss = 65536 * bit - sq(self.corrected(base, kind, value))
            dither = (self.learned * K & MASK) >> 12
            own = 65536 * bit - sq_each(base + 4 * value)
            self.value[at] = clamp(value + ((own * RATE[count] + dither) >> 20), -2048, 2047)
            self.count[at] = np.minimum(count + 1, 15)
            weights = self.weights[kind] + ((miss * value + (1 << (self.shift - 1))) >> self.shift)
            self.weights[kind] = clamp(weights, 1 - (1 << 22), (1 << 22) - 1)
            self.learned += 1
        self.coded.clear()
