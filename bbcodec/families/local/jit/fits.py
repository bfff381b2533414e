# SPDX-License-Identifier: Apache-2.0
"""Least squares: sums that forget along rows and down columns, solved once a cell for the lanes of a chunk.

A row k of the sums of N terms has the entries (k, k) .. (k, N - 1) and the right-hand side. Cells lie one
slot further in the row below: between cells the column's sums move on by a slot.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from bbcodec.families.local.jit.layout import ROWS, TERMS, WIDTH
from bbcodec.families.local.jit.vectors import (
    any_of,
    exact_sum,
    floats,
    load,
    moved,
    select,
    store,
    to_floats,
    to_ints,
)


@njit
def _row_start(n: int, k: int) -> int:
    return k * (n + 1) - k * (k - 1) // 2


@njit
def move_columns(m: Any, g: Any) -> None:
    """Cells begin: column sums go to the next slot, where the row below has the cell that they are of."""
    entries = m.entries
    size = entries * WIDTH
    for b in range(g.blocks):
        last = g.shapes[4 * b + 2] + g.shapes[4 * b + 3] - 1
        at = last // WIDTH * size + last % WIDTH
        for e in range(entries):
            g.carried[b * entries + e] = g.column[at + e * WIDTH]
    for k in range(g.chunks - 1, -1, -1):
        for e in range(entries):
            at = k * size + e * WIDTH
            before = g.column[at - size + WIDTH - 1] if k else np.int32(0)
            store(g.column, at, moved(load(g.column, at), before))
    for b in range(g.blocks):
        first = g.shapes[4 * b + 2]
        at = first // WIDTH * size + first % WIDTH
        if g.y[first] > 0:
            for e in range(entries):
                g.column[at + e * WIDTH] = g.carried[b * entries + e]
        else:
            for e in range(entries):
                g.column[at + e * WIDTH] = m.prior[e]


@njit
def _inverse_pivot(s: Any, n: int, k: int, ridge: Any) -> None:
    p = load(s.matrix, _row_start(n, k) * WIDTH)
    store(s.pivots, k * WIDTH, floats(1) / select(p < ridge, ridge, p))


@njit
def _eliminate(s: Any, n: int, k: int, count: int, first: int, last: int) -> None:
    """Take 1 to 4 pivot rows, from k on, from rows first .. last - 1: in the order of the pivots."""
    a, r = s.matrix, s.pivots
    # Where the pivot rows would have column 0.
    p0 = (_row_start(n, k) - k) * WIDTH
    p1 = (_row_start(n, k + 1) - k - 1) * WIDTH
    p2 = (_row_start(n, k + 2) - k - 2) * WIDTH
    p3 = (_row_start(n, k + 3) - k - 3) * WIDTH
    for i in range(first, last):
        to = (_row_start(n, i) - i) * WIDTH
        columns = range(i * WIDTH, (n + 1) * WIDTH, WIDTH)
        f0 = load(a, p0 + i * WIDTH) * load(r, k * WIDTH)
        if count == 1:
            for j in columns:
                store(a, to + j, load(a, to + j) - f0 * load(a, p0 + j))
            continue
        f1 = load(a, p1 + i * WIDTH) * load(r, (k + 1) * WIDTH)
        if count == 2:
            for j in columns:
                v = load(a, to + j) - f0 * load(a, p0 + j)
                store(a, to + j, v - f1 * load(a, p1 + j))
            continue
        f2 = load(a, p2 + i * WIDTH) * load(r, (k + 2) * WIDTH)
        if count == 3:
            for j in columns:
                v = load(a, to + j) - f0 * load(a, p0 + j)
                v = v - f1 * load(a, p1 + j)
                store(a, to + j, v - f2 * load(a, p2 + j))
            continue
        f3 = load(a, p3 + i * WIDTH) * load(r, (k + 3) * WIDTH)
        for j in columns:
            v = load(a, to + j) - f0 * load(a, p0 + j)
            v = v - f1 * load(a, p1 + j)
            v = v - f2 * load(a, p2 + j)
            store(a, to + j, v - f3 * load(a, p3 + j))


@njit
def _solve(s: Any, n: int, ridge: Any, weights: Any, to: int) -> None:
    """Solve ``s.matrix`` of n rows for the weights."""
    a, r = s.matrix, s.pivots
    whole = n - n % 4
    for k in range(n):
        p = load(a, _row_start(n, k) * WIDTH)
        store(r, k * WIDTH, floats(1) / select(p < ridge, ridge, p))
        # Four pivots go together: those that are known are taken from the next row, all from the rest.
        if k < whole:
            count = k % 4 + 1
            last = n if count == 4 else k + 2
        else:
            count, last = 1, n
        _eliminate(s, n, k + 1 - count, count, k + 1, last)
    for k in range(n - 1, -1, -1):
        w = load(a, (_row_start(n, k) + n - k) * WIDTH) * load(r, k * WIDTH)
        store(weights, to + k * WIDTH, w)
        for i in range(k):
            at = _row_start(n, i)
            right = (at + n - i) * WIDTH
            store(a, right, load(a, right) - load(a, (at + k - i) * WIDTH) * w)


@njit
def fit(m: Any, g: Any, s: Any, k: int, c: int, q: int) -> None:
    """Weights of the cells that begin."""
    of = (c * 2 + q) * 5
    n, size = m.fits[of], m.fits[of + 4]
    state = (k * m.entries + m.fits[of + 3]) * WIDTH
    begins = load(g.x, k * WIDTH) == 0
    if any_of(begins):
        for e in range(state, state + size * WIDTH, WIDTH):
            store(g.row, e, select(begins, 0, load(g.row, e)))
    for e in range(0, size * WIDTH, WIDTH):
        store(s.matrix, e, to_floats(load(g.row, state + e) + load(g.column, state + e)))
    for i in range(n):
        at = _row_start(n, i) * WIDTH
        store(s.matrix, at, load(s.matrix, at) + m.ridge)
    _solve(s, n, m.ridge, g.weights, (k * 6 + of // 5) * TERMS * WIDTH)


@njit
def predicted(m: Any, g: Any, k: int, c: int, q: int, cell: int, middle: Any) -> Any:
    """``P_q``"""
    which = (c * 2 + q) * TERMS
    at = (k * 6 * TERMS + which) * WIDTH
    d, w, r = g.cell, g.weights, m.regressors
    s0 = floats(0)
    s1, s2, s3, s4, s5, s6, s7 = s0, s0, s0, s0, s0, s0, s0
    # Weights beyond the last are zeros.
    for i in range(0, m.fits[(c * 2 + q) * 5], 8):
        e, f = at + i * WIDTH, which + i
        s0 = s0 + load(w, e) * load(d, cell + r[f] * WIDTH)
        s1 = s1 + load(w, e + WIDTH) * load(d, cell + r[f + 1] * WIDTH)
        s2 = s2 + load(w, e + 2 * WIDTH) * load(d, cell + r[f + 2] * WIDTH)
        s3 = s3 + load(w, e + 3 * WIDTH) * load(d, cell + r[f + 3] * WIDTH)
        s4 = s4 + load(w, e + 4 * WIDTH) * load(d, cell + r[f + 4] * WIDTH)
        s5 = s5 + load(w, e + 5 * WIDTH) * load(d, cell + r[f + 5] * WIDTH)
        s6 = s6 + load(w, e + 6 * WIDTH) * load(d, cell + r[f + 6] * WIDTH)
        s7 = s7 + load(w, e + 7 * WIDTH) * load(d, cell + r[f + 7] * WIDTH)
    total = ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))
    v = (total + to_floats(middle)) * 64 + 0.5
    v = select(v >= 0, v, 0)
    return to_ints(select(v <= 16320, v, 16320))


@njit
def remember(m: Any, g: Any, s: Any, k: int, c: int, q: int) -> None:
    """The cell is done: the row's sums take it in, and the column's take in the row's."""
    of = (c * 2 + q) * 5
    n, along, down = m.fits[of], m.fits[of + 1], m.fits[of + 2]
    half_along, half_down = 1 << along >> 1, 1 << down >> 1
    at = (k * m.entries + m.fits[of + 3]) * WIDTH
    step = TERMS * WIDTH
    for p in range(3):
        cell = ((k * g.channels + c) * 3 + p) * ROWS * WIDTH
        for i in range(n + 1):
            which = m.regressors[(c * 2 + q) * TERMS + i] * WIDTH
            store(s.terms, p * step + i * WIDTH, load(g.cell, cell + which))
    w = (k * g.channels + c) * 3 * WIDTH
    w0, w1, w2 = load(g.cell_w, w), load(g.cell_w, w + WIDTH), load(g.cell_w, w + 2 * WIDTH)
    d = s.terms
    for j in range(0, n * WIDTH, WIDTH):
        t0, t1, t2 = load(d, j) * w0, load(d, step + j) * w1, load(d, 2 * step + j) * w2
        for i in range(j, (n + 1) * WIDTH, WIDTH):
            # Three products below 2^22 each.
            product = exact_sum(load(d, i), t0, 0)
            product = exact_sum(load(d, step + i), t1, product)
            product = exact_sum(load(d, 2 * step + i), t2, product)
            f = load(g.row, at) + to_ints(product)
            f = f - ((f + half_along) >> along)
            store(g.row, at, f)
            f = load(g.column, at) + f
            store(g.column, at, f - ((f + half_down) >> down))
            at += WIDTH
