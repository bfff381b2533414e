# SPDX-License-Identifier: Apache-2.0
"""One sample of a group: its mixture before it is known, and what it teaches the state afterwards.

`bbcodec.families.local.reference` has the meaning.
"""

from __future__ import annotations

from typing import Any

from bbcodec.families.local.jit.least_squares import end_cell, predict, set_regressors, set_target
from bbcodec.families.local.jit.network import features, mix, network
from bbcodec.families.local.jit.state import njit
from bbcodec.families.local.model import CELL


@njit
def before(m: Any, g: Any, c: int, lane: int, seen: Any, blind: bool) -> Any:
    """Set the features, and the mixture unless blind; return the prediction, ``ks`` and the middle."""
    b, y, x, _, slot, column = g.lanes[lane]
    width = g.blocks[b, 1]
    if x == 0:
        g.activity_row[c, slot] = 0
    ahead = g.activity_column[c, column + min(2, width - 1 - x)]
    z = ((ahead + 4 * g.activity_row[c, slot]) >> 4) + 64

    middle = set_regressors(m, g, c, lane)
    p0 = predict(m, g, c, 0, slot, x % CELL, middle)
    p1 = predict(m, g, c, 1, slot, x % CELL, middle)
    p = (p0 + p1) >> 1
    ks = features(g, c, lane, x == 0 and y == 0, p0, p1, z, seen)
    if not blind:
        network(m, g, c, lane)
        mix(g, c, p, ks)
    return p, ks, middle


@njit
def _settle(g: Any, c: int, lane: int, error: int) -> None:
    """Keep an error, and bring the activity up to date."""
    _, _, _, pixel, slot, column = g.lanes[lane]
    g.errors[c, pixel] = error
    h, v = g.activity_row[c, slot], g.activity_column[c, column]
    h += abs(error) - (h >> 4)
    g.activity_row[c, slot] = h
    g.activity_column[c, column] = v + h - (v >> 3)


@njit
def after(m: Any, g: Any, c: int, lane: int, p: int, middle: int, symbol: int) -> None:
    """Bring errors, activity and least squares up to date with a sample."""
    b, _, x, _, slot, column = g.lanes[lane]
    error = 64 * symbol - p
    set_target(m, g, c, lane, symbol - middle)
    if x % CELL == CELL - 1 or x == g.blocks[b, 1] - 1:
        end_cell(m, g, c, slot, column // CELL)
    _settle(g, c, lane, error)


@njit
def after_found(m: Any, g: Any, c: int, lane: int) -> None:
    """Do so for a sample that is known without prediction."""
    b, _, x, _, slot, column = g.lanes[lane]
    if x == 0:
        g.activity_row[c, slot] = 0
    g.importance[c, slot, x % CELL] = 0
    if x % CELL == CELL - 1 or x == g.blocks[b, 1] - 1:
        end_cell(m, g, c, slot, column // CELL)
    _settle(g, c, lane, 0)
