# SPDX-License-Identifier: Apache-2.0
"""What is known while a chain is coded: tuples of numbers and arrays."""

from __future__ import annotations

from typing import Any, NamedTuple


class Network(NamedTuple):
    """The numbers of a model; H wide, L hidden layers, J components."""

    own: Any  # int64 [2]: positions S of each predictor
    earlier: Any  # int64 [2]: positions X of each reference
    phased: Any  # int64 [2]: positions S of each predictor where phases are told apart
    along: Any  # float32 [2]: 2^-shift
    down: Any  # float32 [2]
    ridge: Any  # float32
    rate: Any  # float32
    every: int
    components: int
    first_w: Any  # int64 [3, 48, H]
    first_m: Any  # int64 [3, H]
    first_b: Any  # int64 [3, H]
    signs: Any  # int64 [L, H, H]
    hidden_m: Any  # int64 [L, H]
    hidden_b: Any  # int64 [L, H]


class Heads(NamedTuple):
    """The last layers, which learn; one for each role. I = H + 48 inputs, K = 3 J outputs."""

    w: Any  # float32 [R, K, I + 1]: the last is the bias
    first: Any  # float32 [R, K, I + 1]: first moments
    second: Any  # float32 [R, K, I + 1]
    used: Any  # int64 [R, K, I + 1]: the rounded weights
    decays: Any  # float32 [R, 2]
    gradient: Any  # int64 [K, I + 1]


class Chain(NamedTuple):
    """P planes of H rows and W columns."""

    samples: Any  # int64 [P, H W + 1]: the last is outside
    errors: Any  # int64 [P, H W + 1]
    planes: Any  # int64 [P, 5]: see `bbcodec.families.deep.planes.Planes`
    height: int
    width: int


class State(NamedTuple):
    """What is known of a plane while it is coded; S slots."""

    row: Any  # float32 [2, S, entries]: F
    column: Any  # float32 [2, cells, entries]: G
    weights: Any  # float32 [2, S, N]
    slow_row: Any  # int64 [S]: h
    slow: Any  # int64 [W]: V
    # Of the lanes of the time at hand:
    lane: Any  # int64 [S, 8]: prediction, spread in the window, shift, base, symbols, miss, middle, symbol
    mixture: Any  # int64 [S, 3, J]: weights, means, inverse scales
    inputs: Any  # int64 [S, I + 1]
    # Room for numbers that nothing reads later:
    near: Any  # int64 [16]
    guess: Any  # int64 [3]: of both predictors, slow activity
    d: Any  # float32 [58]
    a: Any  # float32 [58, 59]
    stream: Any  # int64 [H]
    active: Any  # int64 [H]
    out: Any  # int64 [K]


class Coder(NamedTuple):
    """A message that is popped, or symbols that will be pushed."""

    decoding: bool
    heads: Any  # uint64 [8]
    words: Any  # uint32
    at: Any  # int64 [3]: words taken, or symbols; sections; 1 if there are too few words
    start: Any  # uint32 [symbols]
    freq: Any  # uint32 [symbols]
    sections: Any  # int64: numbers of symbols that begin at lane 0
    pixels: Any  # int64 [symbols], or empty: the pixel of each symbol
