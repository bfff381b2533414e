# SPDX-License-Identifier: Apache-2.0
"""Logistic tables: logistics and mixtures of logistics on integers, as intervals of 2^20."""

from __future__ import annotations

from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import Any

import numpy as np

from .rans import Message

P = 20


def rounded(exact: Any, numbers: range) -> Any:
    """Return `exact` of every number, rounded with halves up, computed in Decimal of 40 digits."""
    with localcontext() as context:
        context.prec = 40
        half = Decimal("0.5")
        values = [int((exact(Decimal(i)) + half).to_integral_value(ROUND_FLOOR)) for i in numbers]
    return np.array(values, np.int64)


TWO = Decimal(2)
T = rounded(lambda i: 2**30 / (1 + (-(i - 512) / 32).exp()), range(1025))
T[0], T[1024] = 0, 2**30
# Only the family `deep` has e of -16 to -1. Their numbers stand at the end, where Python looks for them.
INV = rounded(lambda e: TWO ** (22 - e / 8), range(88))
INV = np.concatenate([INV, rounded(lambda e: TWO ** (22 - e / 8), range(-16, 0))])


def sigmoid(a: Any) -> Any:
    """Return C of A, where A is clamped to ±2^19."""
    u = np.clip(a, -(1 << 19), 1 << 19) + (1 << 19)
    i = np.minimum(u >> 10, 1023)
    return T[i] + (((T[i + 1] - T[i]) * (u - (i << 10))) >> 10)


def argument(k: Any, mu: Any, e: Any) -> Any:
    """Return A of the boundary below k, clamped to ±2^19; mu is clamped before, e is clamped already."""
    mu = np.clip(mu, -(1 << 17), 1 << 17)
    return np.clip(((64 * k - 32 - mu) * INV[e]) >> 10, -(1 << 19), 1 << 19)


class Logistic:
    """Logistics of n elements on 0 ... N - 1."""

    def __init__(self, mu: Any, e: Any, symbols: int, floor: int) -> None:
        self.mu, self.e = mu.ravel().astype(np.int64), np.clip(e.ravel(), 0, 79)
        self.symbols, self.floor = symbols, floor

    def cdf(self, k: Any, part: slice = slice(None)) -> Any:
        """Return cdf(k) of the elements of `part`, int64."""
        return self.scaled(self.share(k, part), k)

    def share(self, k: Any, part: slice) -> Any:
        """Return the probability below k in 2^-30, for 1 ≤ k ≤ N - 1."""
        return sigmoid(argument(k, self.mu[part], self.e[part]))

    def scaled(self, c: Any, k: Any) -> Any:
        out = ((c * ((1 << P) - self.floor * self.symbols)) >> 30) + self.floor * k
        return np.where(k <= 0, 0, np.where(k >= self.symbols, 1 << P, out))

    def find(self, code: Any, part: slice) -> tuple[Any, Any, Any]:
        low, high = np.zeros_like(code), np.full_like(code, self.symbols)  # cdf(low) ≤ code < cdf(high)
        while (high - low > 1).any():
            middle = (low + high) >> 1
            left = self.cdf(middle, part) <= code
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        start = self.cdf(low, part)
        return low, start, self.cdf(low + 1, part) - start

    def pop(self, message: Message) -> Any:
        """Pop a symbol for every element."""
        return message.pop(len(self.mu), P, self.find)

    def push(self, message: Message, symbols: Any) -> None:
        """Push a symbol for every element."""
        k = symbols.ravel()
        start = self.cdf(k)
        message.push(start, self.cdf(k + 1) - start, P)


class Mixture(Logistic):
    """Mixtures of J logistics for n elements: weights [n, J] of sum 2^16, mu and e [n, J]; the floor is 1."""

    def __init__(self, weights: Any, mu: Any, e: Any, symbols: int) -> None:
        self.weights, self.means, self.scales = weights, mu, e
        self.mu, self.symbols, self.floor = mu[:, 0], symbols, 1

    def share(self, k: Any, part: slice) -> Any:
        c = sigmoid(argument(k[:, None], self.means[part], self.scales[part]))
        return (self.weights[part] * c).sum(1) >> 16

    def table(self) -> Any:
        """Return cdf(0) to cdf(N) of all elements, [n, N + 1]."""
        k = np.arange(self.symbols + 1)
        weights, mu, e = (np.repeat(part, len(k), 0) for part in (self.weights, self.means, self.scales))
        return Mixture(weights, mu, e, self.symbols).cdf(np.tile(k, len(self.mu))).reshape(-1, len(k))
