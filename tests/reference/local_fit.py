# SPDX-License-Identifier: Apache-2.0
"""The family `local`: least squares of one channel and predictor (docs/local.md, "Predictors")."""

from __future__ import annotations

from typing import Any

import numpy as np

F = np.float32


def decay(v: Any, s: int) -> Any:
    return v - ((v + (1 << (s - 1))) >> s)


# A prior that no sums of squares gave can make numbers infinite, or none. They go on as IEEE 754 says.
float_rules = np.errstate(over="ignore", invalid="ignore")


class Predictor:
    """Fits of all rows of a group. G has one entry for each cell of a block's row."""

    def __init__(self, n: int, rows: int, cells: int, prior: Any, along: int, down: int, ridge: int) -> None:
        self.n, self.along, self.down, self.ridge = n, along, down, F(ridge)
        size = n * (n + 1) // 2 + n
        self.g = np.zeros((cells, size), np.int64) + prior
        self.f = np.zeros((rows, size), np.int64)
        self.q = np.zeros((rows, size), np.int64)
        self.any = np.zeros(rows, bool)  # whether a pixel of the cell was predicted
        self.w = np.zeros((rows, n), F)
        self.lower = np.tril_indices(n)

    @float_rules
    def fit(self, rows: Any, cells: Any) -> None:
        """Solve the fits of the cells that begin."""
        n = self.n
        sums = (self.g[cells] + self.f[rows]).astype(F)
        a = np.zeros((len(rows), n, n + 1), F)
        i, j = self.lower
        a[:, i, j] = a[:, j, i] = sums[:, : len(i)]
        a[:, :, n] = sums[:, len(i) :]
        a[:, range(n), range(n)] += self.ridge
        r = np.zeros((len(rows), n), F)
        for k in range(n):
            pivot = a[:, k, k]
            r[:, k] = F(1) / np.where(pivot < self.ridge, self.ridge, pivot)
            factor = a[:, k, k + 1 : n] * r[:, k, None]
            # Entries below the diagonal are computed too, but never read.
            a[:, k + 1 :, k + 1 :] -= factor[:, :, None] * a[:, k, None, k + 1 :]
        w = np.zeros((len(rows), n), F)
        for k in reversed(range(n)):
            w[:, k] = a[:, k, n] * r[:, k]
            a[:, :k, n] -= a[:, :k, k] * w[:, k, None]
        self.w[rows] = w

    @float_rules
    def predict(self, rows: Any, d: Any, m: Any, most: int = 255) -> Any:
        """Return predictions in 1/64 of a level; d [lanes, n]: regressors, m [lanes]: base level.

        Samples are at most `most`.
        """
        terms = self.w[rows] * d.astype(F)
        s = np.zeros((len(rows), 8), F)
        for k in range(self.n):
            s[:, k % 8] += terms[:, k]
        total = ((s[:, 0] + s[:, 4]) + (s[:, 2] + s[:, 6])) + ((s[:, 1] + s[:, 5]) + (s[:, 3] + s[:, 7]))
        v = (total + m.astype(F)) * F(64) + F(0.5)
        v = np.where(v >= 0, v, F(0))
        v = np.where(v <= 64 * most, v, F(64 * most))
        return np.floor(v).astype(np.int64)

    def add(self, rows: Any, d: Any, target: Any, w: Any) -> None:
        """Add the product vectors of pixels."""
        i, j = self.lower
        weighted = d * w[:, None]
        self.q[rows] += np.concatenate([weighted[:, i] * d[:, j], (target * w)[:, None] * d], 1)
        self.any[rows] = True

    def close(self, rows: Any, cells: Any) -> None:
        """Update F and G after the last pixels of the cells."""
        rows, cells = rows[self.any[rows]], cells[self.any[rows]]
        self.any[rows] = False
        self.f[rows] = decay(self.f[rows] + self.q[rows], self.along)
        self.q[rows] = 0
        self.g[cells] = decay(self.g[cells] + self.f[rows], self.down)
