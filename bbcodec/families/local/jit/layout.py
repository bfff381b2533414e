# SPDX-License-Identifier: Apache-2.0
"""What the loops of the numba backend read and write: a model, the state of a group, scratch.

A slot holds one row of a block after another; a chunk is sixteen slots, and what is kept of a slot lies
beside that of the others of its chunk. Samples and errors stand in rings of sixteen times, by time and slot.
The tuples hold NumPy arrays when they are made here; the loops see a `vectors.View` of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding import logistic_tables as logistic
from bbcodec.families.local import tables
from bbcodec.families.local.model import FEATURES, MOMENTS, PREDICTORS, LocalModel
from bbcodec.families.local.order import EARLIER, OWN, Order
from bbcodec.families.local.reference import SIDE_LIMIT

Shapes = Sequence[tuple[int, int]]
Side = Sequence[NDArray[Any]] | None

WIDTH: Final = 16
PLAN: Final = 0
DECODE: Final = 1
SURVEY: Final = 2

TIMES: Final = 16  # of the rings
POSITIONS: Final = 16  # of the own channel
NEARBY: Final = POSITIONS + 2  # with the two columns that slow activity is read at
ROWS: Final = 36  # of regressors: 16 own, 9 and 9 of earlier channels, the target, zeros
TARGET: Final = 34
TERMS: Final = 40  # regressors of a fit, at most 34, to a multiple of eight
BIAS: Final = 32  # outputs of the last layer, at most 24
FLUSH: Final = 1 << 16  # times after which sums of statistics might leave 32 bits


class Tables(NamedTuple):
    """A model in the layout that the loops read. H hidden channels, I = H + 48, J components, O = 3 J."""

    hidden: int
    layers: int
    components: int
    ridge: Any  # float32
    rate: Any  # float32
    every: int
    fits: Any  # int32 [3, 2, 5]: N, along, down, where the state begins, its size
    regressors: Any  # int32 [3, 2, TERMS]: rows of regressors; after the last the target, then zeros
    own: Any  # int32 [16, 2]: dx, dy
    as_own: Any  # int32 [9]: which own position each of X1 .. X8 is
    entries: int
    prior: Any  # int32 [E], as `Group.column`
    first_w: Any  # float32 [3, H / 8, 48, 8]
    first_m: Any  # int32 [3, H]
    first_b: Any  # int32 [3, H], with 2^13
    signs: Any  # int16 [L, H, H / 4]: where `Scratch.sums` has the inputs of negative sign of each four
    hidden_m: Any  # int32 [L, H]
    hidden_b: Any  # int32 [L, H], with 2^11
    placed: bool
    positions: Any  # int32 [3, 9, H], if placed
    r1: Any  # int32 [80], like the next four
    r2: Any
    sig: Any
    le: Any
    inverse: Any
    exp: Any  # int32 [2817]
    sigmoid: Any  # float64 [1025]
    rise: Any  # float64 [1025], differences of it
    whole_sigmoid: Any  # int64 [1025]


class Group(NamedTuple):
    """State of a group: B blocks in K chunks, C channels, E entries of least squares, P pixels."""

    chunks: int
    blocks: int
    channels: int
    pixels: int
    end: int  # times
    shapes: Any  # int64 [B, 4]: height, width, first slot, slots
    # Of each slot, int32 [K, 16]:
    y: Any
    x: Any
    active: Any  # -1 or 0
    width: Any
    height: Any
    first_slot: Any
    slots: Any
    period: Any  # times from one row to the next
    block: Any
    first_pixel: Any
    listed: Any  # where the slot is among the lanes of this time
    lanes: Any  # int64 [K 16]: slots of the lanes of this time
    busy: Any  # int64 [K]: is any lane of the chunk active in this cell?
    near: Any  # int32 [K, NEARBY, 16]: where the rings have the neighbours
    alone: Any  # int32 [K, 16]: -1 at pixel (0, 0) and in idle slots like it
    # Rings, int32 [C, TIMES, (K + 1) 16]; slot K 16 at time 0 is for neighbours that do not exist:
    samples: Any
    errors: Any
    slow: Any
    slow_row: Any  # int32 [K, C, 16]
    row: Any  # int32 [K, E, 16]: F; entries (j, j) .. (j, N - 1) and right-hand side of each j in turn
    column: Any  # int32 [K, E, 16]: G
    carried: Any  # int32 [B, E]: G that the last slot of a block left
    weights: Any  # float32 [K, 6 TERMS, 16]
    cell: Any  # float32 [K, C, 3, ROWS, 16]: regressors and targets of a cell's pixels
    cell_w: Any  # float32 [K, C, 3, 16]: their weights
    middle: Any  # int32 [K, 16], like the next four: of the channel at hand
    mean: Any
    spread: Any
    miss: Any
    symbol: Any
    inputs: Any  # int32 [K, I, 16]: of the last layer
    mix_w: Any  # int32 [K, J, 16], like the next two
    mix_mu: Any
    mix_e: Any
    told: bool
    block_side: Any  # int32 [K, H, 16], if told: what is said of the block
    side: Any  # int32 [K, H, 16], if told: of block and place
    counts: bool
    sums: Any  # int32 [K, C, 3, 49, 16], if it counts: statistics of slots
    statistics: Any  # int64 [B, C, 3, 49]
    # The last layers:
    w: Any  # float32 [C, O, I], like the next two
    w_m: Any
    w_v: Any
    bias: Any  # float32 [C, BIAS], like the next two
    bias_m: Any
    bias_v: Any
    used_w: Any  # int32 [C, O, I]: rounded
    used_bias: Any  # int32 [C, BIAS]
    gradient: Any  # int32 [C, O, I]: sums over the lanes of a time
    bias_gradient: Any  # int32 [C, BIAS]
    decays: Any  # float32 [2]: b1, b2
    planes: Any  # uint8 [C, P]: samples, given or found


class Scratch(NamedTuple):
    """What no function leaves for later."""

    around: Any  # int32 [36, 16]
    guesses: Any  # int32 [2, 16]
    features: Any  # float32 [48, 16]
    matrix: Any  # float32 [629, 16]
    pivots: Any  # float32 [TERMS, 16]
    terms: Any  # float32 [3, TERMS, 16]
    stream: Any  # int32 [H, 16]
    active: Any  # int16 [H, 16]
    sums: Any  # int16 [H / 4, 16, 16]: of all subsets of each four inputs
    outputs: Any  # int32 [O, 16]
    learned: Any  # float32 [16, I]: inputs, a lane in a row
    slopes: Any  # float32 [O, 16]: gradients
    masses: Any  # float64 [5, J, 16]


@lru_cache(maxsize=8)
def tables_of(model: LocalModel) -> Tables:
    """A model in the layout of the loops."""
    h, layers = model.hidden, model.layers
    fits, regressors, priors = _fits(model)
    first_w = model.first_w.reshape(3, FEATURES, h // 8, 8).transpose(0, 2, 1, 3)
    negative = (model.signs < 0).reshape(layers, h, h // 4, 4)
    subsets = (negative * (1 << np.arange(4))).sum(3) + 16 * np.arange(h // 4)
    as_own = [next((i for i, p in enumerate(OWN.tolist()) if p == x), -1) for x in EARLIER.tolist()]
    sigmoid = logistic.sigmoid_table()
    return Tables(
        hidden=h,
        layers=layers,
        components=model.components,
        ridge=np.float32(model.ridge),
        rate=np.float32(model.rate_q * 2.0**-20),
        every=model.every,
        fits=fits,
        regressors=regressors,
        own=_ints(OWN),
        as_own=_ints(as_own),
        entries=len(priors),
        prior=priors,
        first_w=np.ascontiguousarray(first_w, np.float32),
        first_m=_ints(model.first_m),
        first_b=_ints(model.first_b + (1 << 13)),
        signs=np.ascontiguousarray(subsets * WIDTH, np.int16),
        hidden_m=_ints(model.hidden_m),
        hidden_b=_ints(model.hidden_b + (1 << 11)),
        placed=model.positions is not None,
        positions=_ints(np.empty((0, 0, 0)) if model.positions is None else model.positions),
        r1=_ints(tables.r1_table()),
        r2=_ints(tables.r2_table()),
        sig=_ints(tables.sigma_table()),
        le=_ints(tables.log_table()),
        inverse=_ints(logistic.inverse_scale_table()),
        exp=_ints(tables.exp_table()),
        sigmoid=sigmoid.astype(np.float64),
        rise=np.diff(sigmoid, append=sigmoid[-1]).astype(np.float64),
        whole_sigmoid=np.array(sigmoid),
    )


def _fits(model: LocalModel) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Sizes and places of all fits, rows of their regressors, priors in the order of `Group.row`."""
    fits = np.zeros((3, PREDICTORS, 5), np.int32)
    regressors = np.full((3, PREDICTORS, TERMS), TARGET + 1, np.int32)
    priors: list[NDArray[np.int32]] = []
    offset = 0
    for c in range(3):
        for q in range(PREDICTORS):
            rows = list(range(model.own[q]))
            for k in range(c):
                rows += range(16 + 9 * k, 16 + 9 * k + model.earlier[q])
            n = len(rows)
            regressors[c, q, : n + 1] = [*rows, TARGET]
            size = n * (n + 3) // 2
            fits[c, q] = n, model.along[q], model.down[q], offset, size
            offset += size
            matrix = np.zeros((n, n + 1), np.int32)
            prior = model.priors[c][q]
            i, j = np.tril_indices(n)
            matrix[j, i] = prior[: len(i)]
            matrix[:, n] = prior[len(i) :]
            priors.append(matrix[np.triu_indices(n, m=n + 1)])
    return fits, regressors, np.concatenate(priors)


def group_of(
    shapes: Shapes, planes: NDArray[np.uint8], model: LocalModel, side: Side, counts: bool = False
) -> Group:
    """The state that a group begins with; ``counts``: statistics are wanted."""
    order = Order(shapes)  # checks the shapes
    h, j, channels = model.hidden, model.components, len(planes)
    if side is not None and [part.shape for part in side] != [(h,)] * len(shapes):
        raise ValueError(f"side information is one vector of {h} integers for each block")
    height, width = np.array(shapes, np.int64).T
    slots = np.minimum(height, (width + 2) // 3)
    first_slot, first_pixel = np.cumsum(slots) - slots, np.cumsum(height * width) - height * width
    chunks = -(-order.slots // WIDTH)
    lanes = (chunks, WIDTH)

    def of_slots(values: NDArray[np.int64], idle: int) -> NDArray[np.int32]:
        """Of the block of each slot; ``idle`` for slots beyond the last."""
        found = np.full(chunks * WIDTH, idle, np.int32)
        found[: order.slots] = np.repeat(values, slots)
        return found.reshape(lanes)

    def zeros(*shape: int, dtype: Any = np.int32) -> NDArray[Any]:
        return np.zeros(shape, dtype)

    def ring(outside: int) -> NDArray[np.int32]:
        return np.full((channels, TIMES, (chunks + 1) * WIDTH), outside, np.int32)

    numbers = np.arange(chunks * WIDTH, dtype=np.int32).reshape(lanes)
    slot_of_block = of_slots(first_slot, 0)
    slot_of_block[numbers >= order.slots] = numbers[numbers >= order.slots]
    y = numbers - slot_of_block
    block = of_slots(np.arange(len(shapes)), 0)
    told = side is not None or model.positions is not None
    block_side = zeros(chunks if told else 0, h, WIDTH)
    if side is not None:
        values = np.clip(np.stack(side).astype(np.int64), -SIDE_LIMIT, SIDE_LIMIT).astype(np.int32)
        block_side[:] = values[block].transpose(0, 2, 1)
    prior = tables_of(model).prior
    inputs, outputs = h + FEATURES, 3 * j
    bias = zeros(channels, BIAS, dtype=np.float32)
    unit = np.float32(2.0**-20)
    bias[:, :outputs] = model.out_b[:channels].astype(np.float32) * unit
    w = np.ascontiguousarray(model.out_w[:channels].transpose(0, 2, 1)).astype(np.float32) * unit
    sums = (channels, MOMENTS, FEATURES + 1)
    return Group(
        chunks=chunks,
        blocks=len(shapes),
        channels=channels,
        pixels=order.pixels,
        end=int((width + 3 * height).max()) - 3,
        shapes=np.ascontiguousarray(np.stack([height, width, first_slot, slots], axis=1)),
        y=y,
        x=-3 * y - 1,
        active=zeros(*lanes),
        width=of_slots(width, 0),
        height=of_slots(height, 0),
        first_slot=slot_of_block,
        slots=of_slots(slots, 1),
        period=of_slots(-(-width // 3) * 3, 3),
        block=block,
        first_pixel=of_slots(first_pixel, 0),
        listed=zeros(chunks * WIDTH),
        lanes=zeros(chunks * WIDTH, dtype=np.int64),
        busy=zeros(chunks, dtype=np.int64),
        near=zeros(chunks, NEARBY, WIDTH),
        alone=zeros(*lanes),
        samples=ring(128),
        errors=ring(1280),
        slow=ring(0),
        slow_row=zeros(chunks, channels, WIDTH),
        row=zeros(chunks, len(prior), WIDTH),
        column=np.ascontiguousarray(np.broadcast_to(prior[:, None], (chunks, len(prior), WIDTH))),
        carried=zeros(len(shapes), len(prior)),
        weights=zeros(chunks, 3 * PREDICTORS * TERMS, WIDTH, dtype=np.float32),
        cell=zeros(chunks, channels, 3, ROWS, WIDTH, dtype=np.float32),
        cell_w=zeros(chunks, channels, 3, WIDTH, dtype=np.float32),
        middle=zeros(*lanes),
        mean=zeros(*lanes),
        spread=zeros(*lanes),
        miss=zeros(*lanes),
        symbol=zeros(*lanes),
        inputs=zeros(chunks, inputs, WIDTH),
        mix_w=zeros(chunks, j, WIDTH),
        mix_mu=zeros(chunks, j, WIDTH),
        mix_e=zeros(chunks, j, WIDTH),
        told=told,
        block_side=block_side,
        side=zeros(*block_side.shape),
        counts=counts,
        sums=zeros(chunks if counts else 0, *sums, WIDTH),
        statistics=zeros(len(shapes), int(np.prod(sums)), dtype=np.int64),
        w=w,
        w_m=np.zeros_like(w),
        w_v=np.zeros_like(w),
        bias=bias,
        bias_m=np.zeros_like(bias),
        bias_v=np.zeros_like(bias),
        used_w=zeros(*w.shape),
        used_bias=zeros(*bias.shape),
        gradient=zeros(*w.shape),
        bias_gradient=zeros(*bias.shape),
        decays=np.ones(2, np.float32),
        planes=planes,
    )


def scratch_of(model: LocalModel) -> Scratch:
    h, outputs = model.hidden, 3 * model.components

    def empty(*shape: int, dtype: Any = np.float32) -> NDArray[Any]:
        return np.empty((*shape, WIDTH), dtype)

    return Scratch(
        around=empty(ROWS, dtype=np.int32),
        guesses=empty(PREDICTORS, dtype=np.int32),
        features=empty(FEATURES),
        matrix=empty(34 * 37 // 2),
        pivots=empty(TERMS),
        terms=empty(3, TERMS),
        stream=empty(h, dtype=np.int32),
        active=empty(h, dtype=np.int16),
        sums=empty(h // 4, 16, dtype=np.int16),
        outputs=empty(outputs, dtype=np.int32),
        learned=np.empty((WIDTH, h + FEATURES), np.float32),
        slopes=empty(outputs),
        masses=empty(5, model.components, dtype=np.float64),
    )


def _ints(values: Any) -> NDArray[np.int32]:
    return np.array(values, np.int32)
