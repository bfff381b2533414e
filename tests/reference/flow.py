# SPDX-License-Identifier: Apache-2.0
"""The family `flowpp`: tiles by local bits back (docs/format.md, "Latent models")."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np

from . import graph
from .logistic import INV, rounded, sigmoid
from .modelfile import Model
from .rans import Message
from .wire import demand

NOISE = ([3, 4, 5, 6, 7, 8], [0, 1, 2, 9, 10, 11])
COUPLINGS = ([3, 5, 6, 8], [4, 7], [9, 11], [10], [5, 8, 11], [6, 7, 8])
P = 27
W = rounded(lambda i: Decimal(2) ** (12 - i / 128), range(1537))


def pop_uniform(message: Message, n: Any) -> Any:
    """Pop uniform numbers below n [elements]."""

    def find(code: Any, part: slice) -> tuple[Any, Any, Any]:
        total = n[part]
        i = (((code + 1) * total) + (1 << P) - 1 >> P) - 1  # the last i with i·2^27 // n ≤ code
        start = (i << P) // total
        return i, start, ((i + 1 << P) // total) - start

    return message.pop(len(n), P, find)


def push_uniform(message: Message, values: Any, n: Any) -> None:
    """Push numbers below n [elements]."""
    start = (values << P) // n
    message.push(start, ((values + 1 << P) // n) - start, P)


class Map:
    """The maps of all targets of a step, from the `params` of a function."""

    def __init__(self, params: Any, targets: int, bits: int, cell: int) -> None:
        numbers = params.astype(np.int64).reshape(-1, 3, params.shape[2] // (3 * targets))
        logs, means, scales = numbers[:, 0], numbers[:, 1], numbers[:, 2]
        self.bits, self.cell, self.b = bits, cell, bits - cell
        self.w = W[np.minimum(logs.max(1, keepdims=True) - logs, 1536)]
        self.mean = np.clip(means + 8192, 0, 16384)
        self.inverse = INV[np.clip(((scales + 8) >> 4) + 24, 0, 87)]
        self.first = self._g(np.zeros(len(numbers), np.int64))
        self.span = self._g(np.full(len(numbers), 1 << self.b)) - self.first

    def _g(self, k: Any) -> Any:
        position = k[:, None] << (14 - self.b)
        a = np.clip(((position - self.mean) * self.inverse) >> 10, -(1 << 19), 1 << 19)
        return (self.w * sigmoid(a)).sum(1) >> 15

    def f(self, k: Any) -> Any:
        """Return F(k)."""
        return (self._g(k) - self.first) * ((1 << self.bits) - (1 << self.b)) // self.span + k

    def undo(self, message: Message, y: Any) -> Any:
        """Return the numbers that a writer mapped to y [elements]."""
        demand((self.span > 0).all(), "map without a range")
        low, high = np.zeros_like(y), np.full_like(y, 1 << self.b)  # F(low) ≤ y < F(high)
        while (high - low > 1).any():
            middle = (low + high) >> 1
            left = self.f(middle) <= y
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        start = self.f(low)
        size = self.f(low + 1) - start
        v = ((y - start) << self.cell) + pop_uniform(message, np.full(len(y), 1 << self.cell))
        push_uniform(message, v % size, size)
        return (low << self.cell) + v // size


def pop(message: Message, model: Model, size: tuple[int, int]) -> Any:
    """Pop a padded tile, uint8 [H, W, 3]."""
    scales, cell = model.config["scales"], model.config["cell_bits"]
    demand(model.config["fraction_bits"] == 12, "fraction_bits")
    kept = np.zeros((size[0] >> scales, size[1] >> scales, 0), np.int64)
    for s in reversed(range(scales)):
        height, width, known = kept.shape
        n = height * width * (12 - known)
        new = pop_uniform(message, np.full(n, 1 << 20)).reshape(height, width, 12 - known)
        y = np.concatenate([kept, new], 2)
        for i in reversed(range(6)):
            targets = COUPLINGS[i]
            others = [c for c in range(12) if c not in targets]
            (params,) = graph.run(model, f"coupling_{s}_{i}", (y[..., others] >> 8) - 2048).values()
            step = Map(params, len(targets), 20, cell)
            y[..., targets] = step.undo(message, y[..., targets].ravel()).reshape(height, width, -1)
        kept = graph.depth_to_space(y)
    y = graph.space_to_depth(kept)
    x, u = y >> 12, y & 4095
    for i in (1, 0):
        targets = NOISE[i]
        others = [c for c in range(12) if c not in targets]
        inputs = np.concatenate([16 * (x - 128), u[..., others] - 2048], 2)
        (params,) = graph.run(model, f"noise_{i}", inputs).values()
        u[..., targets] = (
            Map(params, 6, 12, 6).undo(message, u[..., targets].ravel()).reshape(*u.shape[:2], -1)
        )
    push_uniform(message, u.ravel(), np.full(u.size, 1 << 12))
    return graph.depth_to_space(x).astype(np.uint8)
