# SPDX-License-Identifier: Apache-2.0
"""The text of `scalar` as Python runs it, and the arrays that it works on.

It takes milliseconds for a sample, and is what the other implementations are compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Head, Words
from bbcodec.errors import FormatError, MessageUnderflow
from bbcodec.families.deep.model import DeepModel
from bbcodec.families.deep.planes import Planes, Symbols
from bbcodec.families.deep.scalar import coding
from bbcodec.families.deep.scalar.coding import CELL
from bbcodec.families.deep.scalar.last_layer import round_weights
from bbcodec.families.deep.scalar.least_squares import PHASES
from bbcodec.families.deep.scalar.network import FEATURES
from bbcodec.families.deep.scalar.state import Chain, Coder, Heads, Network, State
from bbcodec.families.deep.scalar.symbols import LANES
from bbcodec.families.local.model import PREDICTORS

Samples = NDArray[Any]
CodePlane = Callable[..., bool]

_REFERENCES = 2


def plan(
    samples: Samples,
    planes: Planes,
    model: DeepModel,
    threads: int = 1,
    *,
    traced: bool = False,
    code_plane: CodePlane | None = None,
) -> Symbols:
    """Return the symbols of a chain.

    Parameters
    ----------
    samples : integers [P, H, W], 0 to the largest sample of each plane.
    planes : what is said of each plane.
    model : DeepModel
    threads : not used here.
    traced : whether the pixels of the symbols are wanted.
    code_plane : the compiled text; else Python runs it.
    """
    count, height, width = samples.shape
    chain = _chain(planes, height, width)
    chain.samples[:, :-1] = samples.reshape(count, -1)
    most, times = 3 * count * height * width, 3 * count * (width + CELL * height)
    coder = Coder(
        False,
        np.zeros(LANES, np.uint64),
        np.zeros(0, np.uint32),
        np.zeros(3, np.int64),
        np.zeros(most, np.uint32),
        np.zeros(most, np.uint32),
        np.zeros(times, np.int64),
        np.zeros(most if traced else 0, np.int64),
    )
    _run(chain, model, coder, code_plane or coding.code_plane)
    symbols, sections, _ = coder.at
    return Symbols(
        coder.start[:symbols], coder.freq[:symbols], coder.sections[:sections], coder.pixels[:symbols]
    )


def decode(
    head: Head,
    words: Words,
    shape: tuple[int, int],
    planes: Planes,
    model: DeepModel,
    threads: int = 1,
    *,
    code_plane: CodePlane | None = None,
) -> tuple[NDArray[np.uint16], Head, int]:
    """Return the samples of a chain, the head, and how many words were taken.

    Parameters
    ----------
    head : uint64 [8]
    words : uint32, taken from the front.
    shape : height and width.
    planes, model, threads, code_plane : see `plan`.

    Raises
    ------
    MessageUnderflow
        There are too few words.
    FormatError
        A sample is larger than the largest.
    """
    chain = _chain(planes, *shape)
    empty = np.zeros(0, np.uint32)
    none = np.zeros(0, np.int64)
    coder = Coder(True, head.copy(), words, np.zeros(3, np.int64), empty, empty, none, none)
    possible = _run(chain, model, coder, code_plane or coding.code_plane)
    if coder.at[2]:
        raise MessageUnderflow("the message ends before the last sample")
    if not possible:
        raise FormatError("learned payload: a sample is larger than the largest of its plane")
    samples = chain.samples[:, :-1].reshape(len(planes), *shape).astype(np.uint16)
    return samples, coder.heads, int(coder.at[0])


def _chain(planes: Planes, height: int, width: int) -> Chain:
    zeros = np.zeros((len(planes), height * width + 1), np.int64)
    return Chain(zeros, zeros.copy(), planes, height, width)


def _run(chain: Chain, model: DeepModel, coder: Coder, code_plane: CodePlane) -> bool:
    """Code all planes; return whether their samples are possible."""
    net, heads = _network(model), _heads(model, chain.planes)
    slopes = np.zeros((4, model.base.components))
    state = _state(model, chain)
    with np.errstate(all="ignore"):
        return all(code_plane(net, heads, chain, p, state, coder, slopes) for p in range(len(chain.planes)))


def _network(model: DeepModel) -> Network:
    base = model.base

    def numbers(values: Any) -> NDArray[np.int64]:
        return np.array(values, np.int64)

    def shares(shifts: tuple[int, int]) -> NDArray[np.float32]:
        return np.array([2.0**-shift for shift in shifts], np.float32)

    return Network(
        numbers(base.own),
        numbers(base.earlier),
        numbers(model.phased),
        shares(base.along),
        shares(base.down),
        np.float32(base.ridge),
        np.float32(base.rate_q * 2.0**-20),
        base.every,
        base.components,
        numbers(base.first_w),
        numbers(base.first_m),
        numbers(base.first_b),
        numbers(base.signs),
        numbers(base.hidden_m),
        numbers(base.hidden_b),
    )


def _heads(model: DeepModel, planes: Planes) -> Heads:
    """Return the last layers of all roles, as they start."""
    base = model.base
    roles = int(planes[:, 2].max()) + 1
    outputs, inputs = 3 * base.components, base.hidden + FEATURES
    w = np.zeros((roles, outputs, inputs + 1), np.float32)
    for row in planes:
        kind, role = int((row[:_REFERENCES] >= 0).sum()), row[2]
        w[role, :, :inputs] = base.out_w[kind].T * np.float32(2.0**-20)
        w[role, :, inputs] = base.out_b[kind] * np.float32(2.0**-20)
    heads = Heads(
        w,
        np.zeros_like(w),
        np.zeros_like(w),
        np.zeros(w.shape, np.int64),
        np.ones((roles, 2), np.float32),
        np.zeros((outputs, inputs + 1), np.int64),
    )
    for role in range(roles):
        round_weights(heads, role)
    return heads


def _state(model: DeepModel, chain: Chain) -> State:
    base, height, width = model.base, chain.height, chain.width
    slots, cells = min(height, -(-width // CELL)), -(-width // CELL)
    most = max(
        (PHASES * model.phased[q] if phased else base.own[q]) + _REFERENCES * base.earlier[q]
        for q in range(PREDICTORS)
        for phased in (False, True)
    )
    entries = most * (most + 1) // 2 + most
    return State(
        np.zeros((PREDICTORS, slots, entries), np.float32),
        np.zeros((PREDICTORS, cells, entries), np.float32),
        np.zeros((PREDICTORS, slots, most), np.float32),
        np.zeros(slots, np.int64),
        np.zeros(width, np.int64),
        np.zeros((slots, 8), np.int64),
        np.zeros((slots, 3, base.components), np.int64),
        _inputs(slots, base.hidden),
        np.zeros(16, np.int64),
        np.zeros(3, np.int64),
        np.zeros(most, np.float32),
        np.zeros((most, most + 1), np.float32),
        np.zeros(base.hidden, np.int64),
        np.zeros(base.hidden, np.int64),
        np.zeros(3 * base.components, np.int64),
    )


def _inputs(slots: int, hidden: int) -> NDArray[np.int64]:
    inputs = np.zeros((slots, hidden + FEATURES + 1), np.int64)
    inputs[:, -1] = 1  # of the bias
    return inputs
