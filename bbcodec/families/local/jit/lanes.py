# SPDX-License-Identifier: Apache-2.0
"""Which slots are at work at a time, where their neighbours lie, and their samples to and fro."""

from __future__ import annotations

from typing import Any

from numba import njit

from bbcodec.families.local.jit.arithmetic import clamp
from bbcodec.families.local.jit.layout import NEARBY, POSITIONS, TIMES, WIDTH
from bbcodec.families.local.jit.vectors import any_of, gather, ints, load, numbers, select, store
from bbcodec.families.local.model import NEAR


@njit
def list_lanes(g: Any, time: int) -> int:
    """List the lanes of this time in their order; return how many there are."""
    count = 0
    for b in range(g.blocks):
        height, width = g.shapes[4 * b], g.shapes[4 * b + 1]
        first_slot, slots = g.shapes[4 * b + 2], g.shapes[4 * b + 3]
        first = 0 if time < width else (time - width) // 3 + 1
        last = min(height - 1, time // 3)
        slot = first_slot + first % slots
        for _ in range(last - first + 1):
            g.lanes[count] = slot
            g.listed[slot] = count
            count += 1
            slot += 1
            if slot == first_slot + slots:
                slot = first_slot
    return count


@njit
def advance(g: Any, time: int) -> None:
    """Bring all slots to this time."""
    for k in range(g.chunks):
        at = k * WIDTH
        x, y = load(g.x, at) + 1, load(g.y, at)
        wraps = x == load(g.period, at)
        y = select(wraps, y + load(g.slots, at), y)
        x = select(wraps, 0, x)
        store(g.x, at, x)
        store(g.y, at, y)
        active = (x >= 0) & (x < load(g.width, at)) & (y < load(g.height, at))
        store(g.active, at, select(active, ints(-1), 0))
        if time % 3 == 0:
            g.busy[k] = 1 if any_of(active) else 0


@njit
def _place(g: Any, at: int, own: Any, y: Any, yy: Any, xx: Any) -> Any:
    """Where the rings have pixels (yy, xx), whose rows are at most three above y."""
    slots = load(g.slots, at)
    s = own - (y - yy)
    for _ in range(3):
        s = select(s < 0, s + slots, s)
    stride = (g.chunks + 1) * WIDTH
    return ((xx + 3 * yy) & (TIMES - 1)) * stride + load(g.first_slot, at) + s


@njit
def _look(m: Any, g: Any, k: int) -> None:
    """Find the neighbours of a chunk's lanes."""
    at = k * WIDTH
    x, y, width = load(g.x, at), load(g.y, at), load(g.width, at)
    outside = g.chunks * WIDTH
    own = numbers() + at - load(g.first_slot, at)
    alone = (x == 0) & (y == 0)
    store(g.alone, at, select(alone, ints(-1), 0))
    near = k * NEARBY * WIDTH
    for i in range(POSITIONS):
        xx, yy = x + m.own[2 * i], y + m.own[2 * i + 1]
        over = yy < 0
        ahead = select(xx < x + 2, xx, x + 2)
        xx = select(over, select(y > 0, ahead, x - 1), xx)
        yy = select(over, 0, yy)
        left = xx < 0
        yy = select(left & (yy == y) & (x <= 0), yy - 1, yy)
        xx = select(left, 0, xx)
        xx = select(xx < width, xx, width - 1)
        store(g.near, near + i * WIDTH, select(alone, outside, _place(g, at, own, y, yy, xx)))
    xx = select(x + 2 < width, x + 2, width - 1)
    top = y <= 0
    ahead = select(top, outside, _place(g, at, own, y, y - 1, xx))
    above = select(top, outside, _place(g, at, own, y, y - 1, x))
    store(g.near, near + POSITIONS * WIDTH, ahead)
    store(g.near, near + (POSITIONS + 1) * WIDTH, above)


@njit
def _tell_place(m: Any, g: Any, k: int) -> None:
    """Side information of a chunk's lanes: said of their blocks, and of their places."""
    at, n = k * WIDTH, m.hidden * WIDTH
    if not m.placed:
        for h in range(m.hidden):
            store(g.side, k * n + h * WIDTH, load(g.block_side, k * n + h * WIDTH))
        return
    x, y = load(g.x, at), load(g.y, at)
    top = clamp(y, 0, NEAR - 1) * m.hidden
    left = (clamp(x, 0, NEAR - 1) + NEAR) * m.hidden
    right = (clamp(load(g.width, at) - 1 - x, 0, NEAR - 1) + 2 * NEAR) * m.hidden
    for h in range(m.hidden):
        p = m.positions
        here = gather(p, h, top) + gather(p, h, left) + gather(p, h, right)
        store(g.side, k * n + h * WIDTH, load(g.block_side, k * n + h * WIDTH) + here)


@njit
def enter(m: Any, g: Any, k: int) -> None:
    """Prepare a chunk for this time."""
    _look(m, g, k)
    begins = load(g.x, k * WIDTH) == 0
    for c in range(g.channels):
        at = (k * g.channels + c) * WIDTH
        store(g.slow_row, at, select(begins, 0, load(g.slow_row, at)))
    if g.told:
        _tell_place(m, g, k)


@njit
def transfer(g: Any, c: int, k: int, known: bool) -> None:
    """Read a chunk's samples from the planes, or write them there."""
    for slot in range(k * WIDTH, (k + 1) * WIDTH):
        if g.active[slot]:
            pixel = c * g.pixels + g.first_pixel[slot] + g.y[slot] * g.width[slot] + g.x[slot]
            if known:
                g.symbol[slot] = g.planes[pixel]
            else:
                g.planes[pixel] = g.symbol[slot]
