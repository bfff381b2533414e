# SPDX-License-Identifier: Apache-2.0
"""A least-squares predictor of a channel, fitted to the decoded pixels around each cell.

Sums of products are integers that decay exponentially: F along a row, G down the columns. Each cell of three
pixels solves its own normal equations in float32. The operations are done one at a time in the order of
docs/local.md, so that NumPy and C++ round equally. Lanes are the last axis of float matrices, and the first
axis of integer tables.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bbcodec.families.local.model import CELL
from bbcodec.families.local.order import Lanes, Order

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]

_PARTIAL_SUMS = 8  # of a prediction; the format fixes how they are added


class Predictor:
    """State of one predictor of one channel of a group.

    Parameters
    ----------
    order : coding order of the group.
    regressors : N
    forget : decay shifts along a row and down a column.
    ridge : added to the diagonal; also the smallest allowed pivot.
    prior : initial value of G, int32 [N (N + 1) / 2 + N].
    """

    def __init__(
        self, order: Order, regressors: int, forget: tuple[int, int], ridge: int, prior: NDArray[np.int32]
    ):
        self.regressors, self.ridge = regressors, np.float32(ridge)
        self.along, self.down = forget
        i, j = np.tril_indices(regressors)  # row by row: entry (i, j), j <= i
        self._i, self._j = i, j
        # Where the entries go in the matrix [N, N + 1]: its upper triangle, and column N.
        stride = regressors + 1
        self._cells = np.concatenate([j * stride + i, np.arange(regressors) * stride + regressors])
        entries = len(self._cells)
        self._g = np.tile(prior.astype(np.int64), (order.columns, 1))  # at the first column of each cell
        self._f = np.zeros((order.slots, entries), np.int64)
        self._q = np.zeros((order.slots, entries), np.int64)  # products of the current cell
        self._open = np.zeros(order.slots, bool)  # whether the current cell has a predicted pixel
        self._w = np.zeros((-(-regressors // _PARTIAL_SUMS) * _PARTIAL_SUMS, order.slots), np.float32)

    def predict(self, lanes: Lanes, d: Integers, m: Integers) -> Integers:
        """Return the prediction ``P_q`` of every lane in 1/64 of a level, 0..16320.

        Parameters
        ----------
        lanes : n lanes. Where a row begins, its slot is cleared; where a cell begins, its fit is solved.
        d : [N, n], the regressors.
        m : [n], the base level that the target is relative to.
        """
        self._f[lanes.slot[lanes.x == 0]] = 0
        if lanes.x[0] % CELL == 0:  # all lanes of a time have the same position in their cells
            self._q[lanes.slot] = 0
            self._open[lanes.slot] = False
            self._fit(lanes)
        w = self._w[:, lanes.slot]
        padded = np.zeros(w.shape, np.float32)
        padded[: self.regressors] = d
        with np.errstate(all="ignore"):
            s = np.zeros((_PARTIAL_SUMS, len(m)), np.float32)
            for part in (w * padded).reshape(-1, _PARTIAL_SUMS, len(m)):
                s = s + part
            total = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
            v = (total + m.astype(np.float32)) * np.float32(64) + np.float32(0.5)
        v = np.where(v >= 0, v, np.float32(0))
        v = np.where(v <= 16320, v, np.float32(16320))
        return np.floor(v).astype(np.int64)

    def update(self, lanes: Lanes, d: Integers, t: Integers, w: Integers) -> None:
        """Update the sums with the samples of the lanes.

        Parameters
        ----------
        lanes, d : see `predict`.
        t : [n], the targets: samples minus m.
        w : [n], weights of the pixels, 1..64; 0 where a pixel was not predicted. A cell of such pixels alone
            changes nothing.
        """
        d = d.T
        scaled = d * w[:, None]
        q = np.concatenate([scaled[:, self._i] * d[:, self._j], (t * w)[:, None] * d], axis=1)
        self._q[lanes.slot] += q
        self._open[lanes.slot] |= w > 0
        done = (lanes.x % CELL == CELL - 1) | (lanes.x == lanes.width - 1)
        done &= self._open[lanes.slot]
        slot, column = lanes.slot[done], (lanes.column - lanes.x % CELL)[done]
        f = _decay(self._f[slot] + self._q[slot], self.along)
        self._f[slot] = f
        self._g[column] = _decay(self._g[column] + f, self.down)

    def _fit(self, lanes: Lanes) -> None:
        """Solve the fits of the lanes' cells, and keep their weights."""
        sums = self._g[lanes.column] + self._f[lanes.slot]
        n = self.regressors
        a = np.zeros((n, n + 1, len(lanes.slot)), np.float32)
        a.reshape(n * (n + 1), -1)[self._cells] = sums.T
        diagonal = np.arange(n)
        a[diagonal, diagonal] += self.ridge
        with np.errstate(all="ignore"):
            self._w[:n, lanes.slot] = _solve(a, self.ridge)


def _decay(v: Integers, shift: int) -> Integers:
    """Return ``decay_shift(v)`` of docs/local.md."""
    result: Integers = v - ((v + (1 << shift >> 1)) >> shift)
    return result


def _solve(a: Floats, ridge: np.float32) -> Floats:
    """Return the weights [N, n] by Gaussian elimination in place. Nothing below the diagonal is read.

    Parameters
    ----------
    a : [N, N + 1, n], the matrix and the right-hand side.
    ridge : smallest allowed pivot.
    """
    n = len(a)
    r = np.empty((n, a.shape[2]), np.float32)
    for k in range(n):
        r[k] = np.float32(1) / np.where(a[k, k] < ridge, ridge, a[k, k])
        f = a[k, k + 1 : n] * r[k]
        a[k + 1 :, k + 1 :] -= f[:, None] * a[k, k + 1 :]
    w = np.empty_like(r)
    for k in range(n - 1, -1, -1):
        w[k] = a[k, n] * r[k]
        a[:k, n] -= a[:k, k] * w[k]
    return w
