# SPDX-License-Identifier: Apache-2.0
"""A least-squares predictor of a channel, fitted to the pixels around each pixel as they are decoded.

Sums of products are integers and forget as they move: F along a row, G down the columns. Each pixel solves
its own normal equations, in doubles: one operation at a time in the order of docs/local.md, so that NumPy and
C++ round alike. Lanes come last in matrices of doubles, first in tables of integers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bbcodec.local.order import Lanes, Order

Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]


class Predictor:
    """State of one predictor of one channel of a group.

    Parameters
    ----------
    order : of the group.
    regressors : N
    forget : l, of 32.
    ridge : added to the diagonal; also the least pivot.
    prior : int32 [N (N + 1) / 2 + N]
    """

    def __init__(self, order: Order, regressors: int, forget: int, ridge: int, prior: NDArray[np.int32]):
        self.regressors, self.forget, self.ridge = regressors, forget, float(ridge)
        self.prior = prior.astype(np.int64)
        i, j = np.tril_indices(regressors)  # row by row: entry (i, j), j <= i
        self._i, self._j = i, j
        # Cells of the matrix [N, N + 2] that the entries go to: its upper triangle, and column N.
        stride = regressors + 2
        self._cells = np.concatenate([j * stride + i, np.arange(regressors) * stride + regressors])
        entries = len(self._cells)
        self._g = np.zeros((order.columns, entries), np.int64)
        self._f = np.zeros((order.slots, entries), np.int64)

    def predict(self, lanes: Lanes, d: Integers, m: Integers) -> Integers:
        """Prediction ``P_q`` of every lane in 1/64 of a level, 0..16320.

        Parameters
        ----------
        lanes : n of them; rows that begin forget what their slot held.
        d : [N, n], the regressors.
        m : [n], what the target is relative to.
        """
        self._f[lanes.slot[lanes.x == 0]] = 0
        sums = self._g[lanes.column] + self._f[lanes.slot] + self.prior
        n = self.regressors
        a = np.zeros((n, n + 2, len(m)))
        a.reshape(n * (n + 2), len(m))[self._cells] = sums.T
        diagonal = np.arange(n)
        a[diagonal, diagonal] += self.ridge
        a[:, n + 1] = d
        with np.errstate(all="ignore"):
            v = (_solve(a, self.ridge) + m.astype(np.float64)) * 64.0 + 0.5
        v = np.where(v >= 0.0, v, 0.0)
        v = np.where(v <= 16320.0, v, 16320.0)
        return np.floor(v).astype(np.int64)

    def update(self, lanes: Lanes, d: Integers, t: Integers, w: Integers) -> None:
        """Take in the lanes' samples.

        Parameters
        ----------
        lanes, d : as for `predict`.
        t : [n], the targets: samples less m.
        w : [n], weights of the pixels, 1..106.
        """
        d = d.T
        scaled = d * w[:, None]
        q = np.concatenate([scaled[:, self._i] * d[:, self._j], (t * w)[:, None] * d], axis=1)
        f = self._decay(self._f[lanes.slot] + q)
        self._f[lanes.slot] = f
        # The row below learns what this row knows up to two pixels ahead of it.
        self._descend(lanes.column - 2, f, lanes.x >= 2)
        end = lanes.x == lanes.width - 1
        self._descend(lanes.column - 1, f, end & (lanes.x >= 1))
        self._descend(lanes.column, f, end)

    def _descend(self, column: Integers, f: Integers, where: NDArray[np.bool_]) -> None:
        """``G = decay(G + F)`` at the columns of those lanes."""
        at = column[where]
        self._g[at] = self._decay(self._g[at] + f[where])

    def _decay(self, v: Integers) -> Integers:
        result: Integers = v - ((v * self.forget + 16) >> 5)
        return result


def _solve(a: Doubles, ridge: float) -> Doubles:
    """Eliminate in place and return ``s``, [n]; nothing below the diagonal is read.

    Parameters
    ----------
    a : [N, N + 2, n], the matrix, the right-hand side, and the regressors that the solution is applied to.
    ridge : least pivot.
    """
    n = len(a)
    s = np.zeros(a.shape[2])
    for k in range(n):
        p = np.where(a[k, k] < ridge, ridge, a[k, k])
        r = 1.0 / p
        f = a[k, k + 1 : n] * r
        a[k + 1 :, k + 1 :] -= f[:, None] * a[k, k + 1 :]
        s = s + (a[k, n] * r) * a[k, n + 1]
    return s
