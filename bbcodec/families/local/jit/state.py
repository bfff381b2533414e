# SPDX-License-Identifier: Apache-2.0
"""What the loops of the numba backend read and write: a model, and the state of a group.

Arrays of different predictors have one shape, that of the largest, so that plain indices lead to all of them.
"""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, Final, NamedTuple

import numba
import numpy as np

from bbcodec.families.local.model import CELL, FEATURES, MOMENTS, NEAR, PREDICTORS, LocalModel, entries
from bbcodec.families.local.order import EARLIER, OWN, Order
from bbcodec.families.local.reference import SIDE_LIMIT, Integers, Shapes, Side

# Only `walk.run` calls functions of this package: they need no wrappers for Python and C. Nothing allocates:
# references are not counted. A call that is not inlined copies all fields of the tuples, which takes longer
# than most functions do.
njit: Final = partial(
    numba.njit,
    error_model="numpy",
    forceinline=True,
    _nrt=False,
    no_cfunc_wrapper=True,
    no_cpython_wrapper=True,
)

CHUNK: Final = 32  # lanes whose fits are solved together
PARTIAL: Final = 8  # sums of a prediction


class Tables(NamedTuple):
    """A model in the layout of the loops: H hidden channels, L layers, J components, I = H + 49 inputs.

    The last input of the last layer is always 1: its weights are the biases.
    """

    own: Any  # int64 [2], like the next three: of the predictors
    earlier: Any
    along: Any
    down: Any
    ridge: Any  # float32
    rate: Any  # float32
    every: int
    first_w: Any  # int8 [3, 48, H]
    first_m: Any  # int32 [3, H]
    first_b: Any  # int32 [3, H], with 2^13
    negative: Any  # uint8 [L, H, H], inputs before outputs: 1 where the sign is -1
    hidden_m: Any  # int32 [L, H]
    hidden_b: Any  # int32 [L, H], with 2^11
    positions: Any  # int32 [3, 9, H]
    gradient_unit: Any  # float32 [I], like the next two: unit of a sum of gradients
    used_unit: Any  # reciprocal unit of a weight in use
    used_limit: Any  # largest weight in use


class Group(NamedTuple):
    """State of a group of B blocks with C channels; all of P pixels, S slots and M columns of whole cells.

    A row of a block keeps its state in a slot; rows that are not decoded together share slots. N is the
    largest number of regressors, E that of the entries of a fit, T that of its terms: regressors, and the
    target after them.
    """

    times: int
    blocks: Any  # int64 [B, 6]: height, width, slots, first pixel, first slot, first column
    lanes: Any  # int64 [S, 6]: block, y, x, pixel, slot, column of each lane of the time at hand
    own: Any  # int32 [S, 16]: pixels of the lanes' positions S, P for one that does not exist
    earlier: Any  # int32 [S, 9]: the same of the positions X
    samples: Any  # int16 [C, P + 1]: given or found; the last is for pixels that do not exist
    errors: Any  # int16 [C, P + 1]
    activity_row: Any  # int32 [C, S]: h
    activity_column: Any  # int32 [C, M]: V
    row: Any  # int32 [C, 2, S, E]: F
    column: Any  # int32 [C, 2, M / 3, E]: G
    weights: Any  # float32 [C, 2, S, T]
    terms: Any  # int32 [C, 2, S, 3, T]: of the pixels of the cell at hand
    importance: Any  # int32 [C, S, 3]: w of those pixels
    has_side: bool
    side: Any  # int32 [B, H]
    w: Any  # float32 [C, 3 J, I], like the next two: of the last layer
    w_m: Any
    w_v: Any
    used_w: Any  # int32 [C, 3 J, I]: rounded for use
    gradient: Any  # int32 [C, 3 J, I]: sums over the lanes of a time
    decays: Any  # float32 [C, 2]: b1, b2
    counts: bool
    statistics: Any  # int64 [B, C, 3, 49], if it counts
    # Room for numbers that nothing reads later:
    matrix: Any  # float32 [N, N + 1, CHUNK]
    pivots: Any  # float32 [N, CHUNK]: reciprocals
    factors: Any  # float32 [CHUNK]
    partial: Any  # float32 [PARTIAL]
    products: Any  # int32 [E]
    sums: Any  # int32 [H]
    stream: Any  # int32 [H]
    active: Any  # uint16 [H]: activations
    negative: Any  # uint16 [H]: their sums where signs are -1
    inputs: Any  # int32 [I]
    outputs: Any  # int64 [3 J]
    mixture: Any  # int64 [3, J]: weights of 2^16, mu in 1/64 of a level, reciprocal scales
    slopes: Any  # float64 [4, J]


@lru_cache(maxsize=8)
def tables_of(model: LocalModel) -> Tables:
    """A model in the layout of the loops."""
    weights = model.hidden + FEATURES  # of an output, before its bias
    positions = np.zeros((3, NEAR, model.hidden)) if model.positions is None else model.positions
    return Tables(
        own=np.array(model.own),
        earlier=np.array(model.earlier),
        along=np.array(model.along),
        down=np.array(model.down),
        ridge=np.float32(model.ridge),
        rate=np.float32(model.rate_q * 2.0**-20),
        every=model.every,
        first_w=np.array(model.first_w),
        first_m=np.array(model.first_m),
        first_b=model.first_b + (1 << 13),
        negative=np.ascontiguousarray(model.signs.transpose(0, 2, 1) < 0, np.uint8),
        hidden_m=np.array(model.hidden_m),
        hidden_b=model.hidden_b + (1 << 11),
        positions=np.array(positions, np.int32),
        gradient_unit=np.array([2.0**-14] * weights + [2.0**-10], np.float32),
        used_unit=np.array([2.0**14] * weights + [2.0**18], np.float32),
        used_limit=np.array([32767] * weights + [2**28], np.float32),
    )


def group_of(shapes: Shapes, samples: Integers, model: LocalModel, side: Side, counts: bool = False) -> Group:
    """The state that a group begins with.

    Parameters
    ----------
    shapes : (height, width) of every block.
    samples : [C, P], channels in coding order; zeros if they are to be found.
    model : LocalModel
    side : see `bbcodec.families.local.reference.walk`.
    counts : whether statistics are wanted.
    """
    order = Order(shapes)  # checks the shapes
    channels, hidden, j = len(samples), model.hidden, model.components
    if side is not None and [part.shape for part in side] != [(hidden,)] * len(shapes):
        raise ValueError(f"side information is one vector of {hidden} integers for each block")
    said = np.zeros((len(shapes), hidden)) if side is None else np.stack(side)
    height, width = np.array(shapes, np.int64).T
    cells = -(-width // CELL)
    slots, columns = np.minimum(height, cells), cells * CELL
    firsts = [np.cumsum(counted) - counted for counted in (height * width, slots, columns)]
    n = max(model.regressors(channels - 1, q) for q in range(PREDICTORS))
    fits, terms = (channels, PREDICTORS), -(-(n + 1) // PARTIAL) * PARTIAL
    layer = np.concatenate([model.out_w, model.out_b[:, None]], axis=1)[:channels].transpose(0, 2, 1)
    w = np.ascontiguousarray(layer, np.float32) * np.float32(2.0**-20)

    def ints(*shape: int) -> Any:
        return np.zeros(shape, np.int32)

    def floats(*shape: int) -> Any:
        return np.zeros(shape, np.float32)

    group = Group(
        times=int((width + 3 * height).max()) - 3,
        blocks=np.ascontiguousarray(np.stack([height, width, slots, *firsts], axis=1)),
        lanes=np.zeros((order.slots, 6), np.int64),
        own=ints(order.slots, len(OWN)),
        earlier=ints(order.slots, len(EARLIER)),
        samples=np.pad(samples.astype(np.int16), ((0, 0), (0, 1)), constant_values=128),
        errors=np.full((channels, order.pixels + 1), 1280, np.int16),
        activity_row=ints(channels, order.slots),
        activity_column=ints(channels, columns.sum()),
        row=ints(*fits, order.slots, entries(n)),
        column=ints(*fits, cells.sum(), entries(n)),
        weights=floats(*fits, order.slots, terms),
        terms=ints(*fits, order.slots, CELL, terms),
        importance=ints(channels, order.slots, CELL),
        has_side=side is not None or model.positions is not None,
        side=np.clip(said.astype(np.int64), -SIDE_LIMIT, SIDE_LIMIT).astype(np.int32),
        w=w,
        w_m=np.zeros_like(w),
        w_v=np.zeros_like(w),
        used_w=ints(*w.shape),
        gradient=ints(*w.shape),
        decays=np.ones((channels, 2), np.float32),
        counts=counts,
        statistics=np.zeros((len(shapes) * counts, channels, MOMENTS, 1 + FEATURES), np.int64),
        matrix=floats(n, n + 1, CHUNK),
        pivots=floats(n, CHUNK),
        factors=floats(CHUNK),
        partial=floats(PARTIAL),
        products=ints(entries(n)),
        sums=ints(hidden),
        stream=ints(hidden),
        active=np.zeros(hidden, np.uint16),
        negative=np.zeros(hidden, np.uint16),
        inputs=np.ones(hidden + FEATURES + 1, np.int32),
        outputs=np.zeros(3 * j, np.int64),
        mixture=np.zeros((3, j), np.int64),
        slopes=np.zeros((4, j)),
    )
    for c in range(channels):
        for q in range(PREDICTORS):
            prior = model.priors[c][q]
            group.column[c, q, :, : len(prior)] = prior
    return group
