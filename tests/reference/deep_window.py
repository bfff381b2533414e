# SPDX-License-Identifier: Apache-2.0
"""The family `deep`: windows of 256 symbols, and what is coded plainly (docs/deep.md)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .logistic import Mixture, P
from .rans import Message


def pop_numbers(message: Message, r: Any) -> Any:
    """Pop numbers, each one of r; r [n]."""

    def find(code: Any, part: slice) -> tuple[Any, Any, Any]:
        radix = r[part]
        i = ((code + 1) * radix - 1) >> P
        start = (i << P) // radix
        return i, start, ((i + 1) << P) // radix - start

    return message.pop(len(r), P, find)


class Symbols(Mixture):
    """Mixtures on 256 symbols, of which each element has its first n; n [elements]."""

    def __init__(self, weights: Any, mu: Any, e: Any, n: Any) -> None:
        super().__init__(weights, mu, e, 256)
        self.n = n

    def cdf(self, k: Any, part: slice = slice(None)) -> Any:
        return np.where(k >= self.n[part], 1 << P, super().cdf(k, part))


class Window:
    """The windows of the samples of one time, given their predictions and widths 2^h of symbols."""

    def __init__(self, top: int, p: Any, h: Any) -> None:
        self.top = top >> h
        centre = np.minimum((p + 32) >> (6 + h), self.top)
        self.base = np.clip(centre - 128, 0, np.maximum(0, self.top - 255))
        self.n = np.minimum(256, self.top + 1)
        self.mean = ((p + 32) >> h) - 32 - 64 * self.base

    def pop(self, message: Message, weights: Any, mu: Any, e: Any) -> Any:
        """Pop the symbols."""
        return Symbols(weights, mu, e, self.n).pop(message)

    def levels(self, message: Message, symbols: Any) -> Any:
        """Return the samples above their low bits, given the symbols; pop the distances of far ones."""
        above = self.top - (self.base + self.n - 1)
        down = (symbols == 0) & (self.base > 0)
        up = (symbols == self.n - 1) & (above > 0)
        far = np.flatnonzero(down | up)
        distance = np.zeros_like(symbols)
        distance[far] = pop_numbers(message, np.where(down, self.base, above)[far] + 1)
        return self.base + symbols + np.where(down, -distance, distance)
