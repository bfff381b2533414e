# SPDX-License-Identifier: Apache-2.0
"""Planes of a chain: each sample is predicted, coded and learned from."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from bbcodec.families.deep.tables import WINDOW

from .function import function
from .last_layer import add_gradients, learn
from .least_squares import end_cell, fit, predicted, remember, set_regressors, terms
from .network import FEATURES, run_network, set_features, set_mixture
from .numbers import clamp, excess, references, set_near
from .state import Chain, Coder, Heads, Network, State
from .symbols import LANES, code_symbol, code_uniform, end_section, escapes

CELL: Final = 3  # pixels of a row that share a fit
OUTSIDE: Final = 1280  # the error of a pixel that does not exist: 20 levels

_ZERO: Final = np.float32(0)
_ONE: Final = np.float32(1)
_WEIGHT: Final = np.float32(1572864)
_WEIGHT_FLOOR: Final = np.float32(24576)


@function
def before(net: Network, heads: Heads, chain: Chain, p: int, y: int, x: int, lane: int, state: State) -> None:
    """Predict a sample: from what is known to the mixture."""
    plane, errors, near = chain.planes[p], chain.errors[p], state.near
    top, slot = plane[4], y % len(state.slow_row)
    set_near(chain, y, x, near)
    if x == 0:
        state.row[:, slot] = _ZERO
        state.slow_row[slot] = 0
    guess, middle = state.guess, 0
    for q in range(2):
        n = terms(net, plane, q)
        middle = set_regressors(net, chain, p, y, x, q, state)
        w = state.weights[q, slot]
        if x % CELL == 0:
            fit(n, net.ridge, state.row[q, slot], state.column[q, x // CELL], state.a, w)
        guess[q] = predicted(n, w, state.d, middle, top)
    mean = (guess[0] + guess[1]) >> 1
    guess[2] = ((state.slow[min(x + 2, chain.width - 1)] + 4 * state.slow_row[slot]) >> 4) + 64
    inputs = state.inputs[lane]
    hidden = len(state.stream)
    f = inputs[hidden : hidden + FEATURES]
    ks = set_features(chain, p, y, x, state, f)
    run_network(net, references(plane), state, f, inputs)
    shift = excess(ks)
    center, highest = min((mean + 32) >> (6 + shift), top >> shift), top >> shift
    base = clamp(center - WINDOW // 2, 0, max(0, highest - (WINDOW - 1)))
    own = state.lane[lane]
    miss = abs(errors[near[0]]) + abs(errors[near[1]]) + abs(errors[near[2]]) + abs(errors[near[3]])
    own[0], own[1], own[2], own[3] = mean, ks - 4 * shift, shift, base
    own[4], own[5], own[6], own[7] = min(WINDOW, highest + 1), miss >> 2, middle, 0
    inside = ((mean + 32) >> shift) - 32 - 64 * base
    set_mixture(heads.used[plane[2]], inputs, inside, own[1], state, state.mixture[lane])


@function
def after(net: Network, chain: Chain, p: int, y: int, x: int, lane: int, state: State) -> None:
    """Bring the state up to date with a sample."""
    plane, slot = chain.planes[p], y % len(state.slow_row)
    own, here = state.lane[lane], y * chain.width + x
    sample = chain.samples[p, here]
    error = 64 * sample - own[0]
    chain.errors[p, here] = error
    set_near(chain, y, x, state.near)
    miss = np.float32(own[5])
    weight = max(_WEIGHT / (_WEIGHT_FLOOR + miss * miss), _ONE)
    for q in range(2):
        n = terms(net, plane, q)
        middle = set_regressors(net, chain, p, y, x, q, state)
        row = state.row[q, slot]
        remember(n, state.d, sample - middle, weight, row)
        if x % CELL == CELL - 1 or x == chain.width - 1:
            column = state.column[q, x // CELL]
            end_cell(n * (n + 1) // 2 + n, net.along[q], net.down[q], row, column)
    h = state.slow_row[slot]
    h = h + abs(error) - (h >> 4)
    state.slow_row[slot] = h
    state.slow[x] = state.slow[x] + h - (state.slow[x] >> 3)


@function
def code_time(chain: Chain, p: int, time: int, first: int, lanes: int, state: State, coder: Coder) -> bool:
    """Code the samples of all lanes of a time; return whether all of them are possible."""
    top = chain.planes[p, 4]
    for lane in range(lanes):
        y = first + lane
        own, here = state.lane[lane], y * chain.width + time - CELL * y
        shift, base, symbols = own[2], own[3], own[4]
        x = 0 if coder.decoding else clamp((chain.samples[p, here] >> shift) - base, 0, symbols - 1)
        own[7] = code_symbol(coder, lane % LANES, state.mixture[lane], symbols, x, here)
    end_section(coder, lanes)
    count = 0
    for lane in range(lanes):
        y = first + lane
        own, here = state.lane[lane], y * chain.width + time - CELL * y
        shift, value = own[2], own[3] + own[7]
        places = escapes(state, lane, top)
        if places:
            x = 0 if coder.decoding else abs((chain.samples[p, here] >> shift) - value)
            x = code_uniform(coder, count % LANES, places, x, here)
            value = value - x if own[7] == 0 else value + x
            count += 1
        if coder.decoding:
            chain.samples[p, here] = value << shift
    end_section(coder, count)
    count, possible = 0, True
    for lane in range(lanes):
        y = first + lane
        shift, here = state.lane[lane, 2], y * chain.width + time - CELL * y
        if shift:
            low = chain.samples[p, here] & ((1 << shift) - 1)
            low = code_uniform(coder, count % LANES, 1 << shift, low, here)
            count += 1
            if coder.decoding:
                chain.samples[p, here] += low
                if chain.samples[p, here] > top:
                    chain.samples[p, here] = top
                    possible = False
    end_section(coder, count)
    return possible


@function
def code_plane(
    net: Network, heads: Heads, chain: Chain, p: int, state: State, coder: Coder, slopes: Any
) -> bool:
    """Code a plane; return False where a message is damaged."""
    role = chain.planes[p, 2]
    chain.samples[p, chain.height * chain.width] = (chain.planes[p, 4] + 1) >> 1
    chain.errors[p, chain.height * chain.width] = OUTSIDE
    state.row[:] = _ZERO
    state.column[:] = _ZERO
    state.slow[:] = 0
    for time in range(chain.width + CELL * (chain.height - 1)):
        first = max(0, (time - chain.width + CELL) // CELL)
        lanes = min(chain.height - 1, time // CELL) - first + 1
        if lanes < 1:
            continue
        for lane in range(lanes):
            y = first + lane
            before(net, heads, chain, p, y, time - CELL * y, lane, state)
        if not code_time(chain, p, time, first, lanes, state, coder) or coder.at[2]:
            return False
        learns = net.rate > 0 and time % net.every == 0
        for lane in range(lanes):
            y = first + lane
            if learns:
                add_gradients(heads, state, lane, slopes)
            after(net, chain, p, y, time - CELL * y, lane, state)
        if learns:
            learn(heads, role, net.rate)
    return True
