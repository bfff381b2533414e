# SPDX-License-Identifier: Apache-2.0
"""The lanes of a time with their neighbours, and the two predictors of a sample.

`bbcodec.families.local.order` and `bbcodec.families.local.least_squares` have the meaning. The entries of the
sums are a lower triangle, row by row: row N is the right-hand side, and its term is the target.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from bbcodec.families.local.jit.state import CHUNK, PARTIAL, njit
from bbcodec.families.local.model import CELL
from bbcodec.families.local.order import EARLIER, OWN

_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
_HALF: Final = np.float32(0.5)
_UNIT: Final = np.float32(64)
_MOST: Final = np.float32(16320)


@njit
def list_lanes(g: Any, time: int) -> int:
    """List the lanes of this time, and where their neighbours lie; return how many lanes there are."""
    count = 0
    outside = g.samples.shape[1] - 1
    for b in range(len(g.blocks)):
        height, width, slots, first_pixel, first_slot, first_column = g.blocks[b]
        first = max(0, (time - width + 3) // 3)
        for y in range(first, min(height - 1, time // 3) + 1):
            x = time - 3 * y
            lane = g.lanes[count]
            lane[0], lane[1], lane[2] = b, y, x
            lane[3], lane[4], lane[5] = first_pixel + y * width + x, first_slot + y % slots, first_column + x
            for i in range(len(OWN)):
                yy, xx = neighbour(y, x, width, OWN[i, 0], OWN[i, 1])
                g.own[count, i] = outside if yy < 0 else first_pixel + yy * width + xx
            for i in range(len(EARLIER)):
                yy, xx = neighbour(y, x, width, EARLIER[i, 0], EARLIER[i, 1])
                g.earlier[count, i] = outside if yy < 0 else first_pixel + yy * width + xx
            count += 1
    return count


@njit
def neighbour(y: int, x: int, width: int, dx: int, dy: int) -> Any:
    """Row and column that position (dx, dy) is read at; row -1 if it does not exist."""
    yy, xx = y + dy, x + dx
    if yy < 0:
        yy, xx = 0, min(xx, x + 2) if y > 0 else x - 1
    if xx < 0:
        yy, xx = y - 1 if yy == y and x == 0 else yy, 0
    return yy, min(xx, width - 1)


@njit
def set_regressors(m: Any, g: Any, c: int, lane: int) -> Any:
    """Set the regressors of both predictors, and return what the target is relative to."""
    own, earlier, samples = g.own[lane], g.earlier[lane], g.samples
    slot, part = g.lanes[lane, 4], g.lanes[lane, 2] % CELL
    middle = (samples[c, own[0]] + samples[c, own[1]]) >> 1
    for q in range(2):
        d, n = g.terms[c, q, slot, part], m.own[q]
        for i in range(n):
            d[i] = samples[c, own[i]] - middle
        for k in range(c):
            beside = (samples[k, earlier[1]] + samples[k, earlier[2]]) >> 1
            for i in range(m.earlier[q]):
                d[n + i] = samples[k, earlier[i]] - beside
            n += m.earlier[q]
    return middle


@njit
def set_target(m: Any, g: Any, c: int, lane: int, target: int) -> None:
    """Set the target of both predictors, and the weight of the pixel in its cell."""
    errors, own = g.errors[c], g.own[lane]
    slot, part = g.lanes[lane, 4], g.lanes[lane, 2] % CELL
    u = (abs(errors[own[0]]) + abs(errors[own[1]]) + abs(errors[own[2]]) + abs(errors[own[3]])) >> 2
    g.importance[c, slot, part] = max(1, 1572864 // (24576 + u * u))
    for q in range(2):
        g.terms[c, q, slot, part, m.own[q] + c * m.earlier[q]] = target


@njit
def begin_cells(m: Any, g: Any, c: int, lanes: int) -> None:
    """Solve the cells that begin at this time, those of all lanes."""
    for first in range(0, lanes, CHUNK):
        count = min(CHUNK, lanes - first)
        for q in range(2):
            n = m.own[q] + c * m.earlier[q]
            for i in range(count):
                _, _, x, _, slot, column = g.lanes[first + i]
                if x == 0:
                    g.row[c, q, slot, :] = 0
                f, above, e = g.row[c, q, slot], g.column[c, q, column // CELL], 0
                for j in range(n + 1):
                    for k in range(min(j + 1, n)):
                        g.matrix[k, j, i] = np.float32(f[e] + above[e])
                        e += 1
            _solve(g.matrix, n, m.ridge, count, g.pivots, g.factors)
            for i in range(count):
                slot = g.lanes[first + i, 4]
                for k in range(n):
                    g.weights[c, q, slot, k] = g.matrix[k, n, i]
                g.importance[c, slot, :] = 0


@njit
def _solve(a: Any, n: int, ridge: Any, count: int, r: Any, f: Any) -> None:
    """Eliminate in place; the weights take the right-hand sides' place.

    Parameters
    ----------
    a : [N, N + 1, lanes], only the upper triangle is used.
    n : regressors
    ridge : added to the diagonal; also the least pivot.
    count : lanes
    r, f : [N, lanes] and [lanes], scratch: reciprocal pivots, factors.
    """
    for k in range(n):
        for lane in range(count):
            a[k, k, lane] += ridge
    for k in range(n):
        for lane in range(count):
            p = a[k, k, lane]
            r[k, lane] = _ONE / (ridge if p < ridge else p)
        for i in range(k + 1, n):
            for lane in range(count):
                f[lane] = a[k, i, lane] * r[k, lane]
            for j in range(i, n + 1):
                for lane in range(count):
                    a[i, j, lane] -= f[lane] * a[k, j, lane]
    for k in range(n - 1, -1, -1):
        for lane in range(count):
            a[k, n, lane] *= r[k, lane]
        for i in range(k):
            for lane in range(count):
                a[i, n, lane] -= a[i, k, lane] * a[k, n, lane]


@njit
def predict(m: Any, g: Any, c: int, q: int, slot: int, part: int, middle: int) -> int:
    """Return ``P_q`` of the pixel ``part`` of a cell, whose regressors are set."""
    n = m.own[q] + c * m.earlier[q]
    w, d = g.weights[c, q, slot], g.terms[c, q, slot, part]
    s = g.partial
    s[:] = 0
    for k in range(0, n, PARTIAL):  # weights beyond the last are 0
        for i in range(PARTIAL):
            s[i] += w[k + i] * np.float32(d[k + i])
    total = ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]))
    v = (total + np.float32(middle)) * _UNIT + _HALF
    if not v >= _ZERO:
        v = _ZERO
    if not v <= _MOST:
        v = _MOST
    return int(v)


@njit
def end_cell(m: Any, g: Any, c: int, slot: int, cell: int) -> None:
    """Take the products of a finished cell into the sums of its row, and these into those of its column.

    A cell without a predicted pixel changes nothing.
    """
    w, products = g.importance[c, slot], g.products
    if w[0] + w[1] + w[2] == 0:
        return
    for q in range(2):
        n, along, down = m.own[q] + c * m.earlier[q], m.along[q], m.down[q]
        d, row, column = g.terms[c, q, slot], g.row[c, q, slot], g.column[c, q, cell]
        e = 0
        for i in range(n + 1):
            w0, w1, w2 = w[0] * d[0, i], w[1] * d[1, i], w[2] * d[2, i]
            for j in range(min(i + 1, n)):
                products[e] = w0 * d[0, j] + w1 * d[1, j] + w2 * d[2, j]
                e += 1
        for i in range(e):
            f = _decay(np.int32(row[i] + products[i]), along)
            row[i] = f
            column[i] = _decay(np.int32(column[i] + f), down)


@njit
def _decay(v: Any, shift: int) -> Any:
    # The mask changes nothing, but tells LLVM that 32 bits suffice.
    return np.int32(v - (np.int32(v + (1 << shift >> 1)) >> (shift & 31)))
