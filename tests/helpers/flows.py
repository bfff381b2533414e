# SPDX-License-Identifier: Apache-2.0
"""Random maps of integers and models of the family `flowpp` for tests, without torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from bbcodec import modelfile
from bbcodec.engine import Bconv, Function, Graph, Input, Mul, Op, Qconv, Requantise, Sign, Table, bits
from bbcodec.families.latent import causal, flowpp

Array = np.ndarray[Any, Any]
HIDDEN = 5
CONFIG = {"family": "flowpp", "scales": 2, "mixtures": 3, "fraction_bits": 12, "cell_bits": 9}


def random_ends(
    rng: np.random.Generator, shape: tuple[int, ...], cells_log2: int, cell_bits: int, skew: float = 3.0
) -> Array:
    """Return the cell bounds of random increasing maps of 0 .. 2**(cells_log2 + cell_bits), [..., cells + 1].

    The smallest slope is 2**-cell_bits, one step per cell. The largest takes all steps that the others leave.
    """
    cells = 1 << cells_log2
    free = (cells << cell_bits) - cells
    share = np.exp(skew * rng.normal(size=(*shape, cells)))
    share /= share.sum(-1, keepdims=True)
    inner = np.floor(np.cumsum(share, -1)[..., :-1] * free).astype(np.int64)
    ends = np.concatenate([np.zeros((*shape, 1)), inner, np.full((*shape, 1), free)], -1).astype(np.int64)
    result: Array = ends + np.arange(cells + 1)
    return result


class TableMap:
    """Maps for `bbcodec.coding.bits_back.local_bits_back`, given by their cell bounds [..., cells + 1]."""

    def __init__(self, table: Array):
        self.table = table

    def ends(self, m: Array) -> Array:
        found: Array = np.take_along_axis(self.table, m[..., None], -1)[..., 0]
        return found

    def find(self, y: Array) -> Array:
        found: Array = (self.table <= y[..., None]).sum(-1) - 1
        return found


def conditioner(
    rng: np.random.Generator, prefix: str, inputs: int, outputs: Array, strength: float
) -> tuple[Function, dict[str, Array]]:
    """Return a function from y to params with all operations of an exported network, and its tensors.

    Parameters
    ----------
    outputs : int [P], params when the network contributes nothing.
    strength : how far the network moves params, in units of 100 steps.
    """

    def named(name: str) -> str:
        return f"{prefix}.{name}"

    tensors: dict[str, Array] = {
        "stem": rng.integers(-60, 61, (HIDDEN, 3, 3, inputs)).astype(np.int8),
        "stem_mul": np.full(HIDDEN, 3000 // inputs, np.int32),
        "stem_add": np.zeros(HIDDEN, np.int64),
        "threshold": rng.integers(-200, 200, HIDDEN).astype(np.int16),
        "signs": bits.pack(rng.integers(0, 2, (HIDDEN, 3, 3, HIDDEN))),
        "signs_mul": np.full(HIDDEN, 40, np.int32),
        "signs_add": np.zeros(HIDDEN, np.int64),
        "gate": np.round(256 / (1 + np.exp(-np.arange(-99, 100) / 20))).astype(np.int16),
        "head": rng.integers(-120, 121, (len(outputs), 1, 1, HIDDEN)).astype(np.int8),
        "head_mul": np.full(len(outputs), max(1, int(2 * strength)), np.int32),
        "head_add": np.asarray(outputs, np.int64) << 9,
    }
    ops: list[Op] = [
        Qconv("y", "a0", named("stem"), 3),
        Requantise("a0", "h", named("stem_mul"), named("stem_add"), 16, -7936, 7936),
        Sign("h", "b", named("threshold")),
        Bconv("b", "a1", named("signs"), 3),
        Requantise("a1", "s", named("signs_mul"), named("signs_add"), 3, -7936, 7936),
        Table("s", "g", named("gate"), 99),
        Mul("h", "g", "m", 8, -7936, 7936),
        Qconv("m", "a2", named("head"), 1),
        Requantise("a2", "params", named("head_mul"), named("head_add"), 9, -32767, 32767),
    ]
    port = Input("y", "stream", inputs, -2048, 2047)
    function = Function((port,), tuple(ops), ("params",))
    return function, {named(name): tensor for name, tensor in tensors.items()}


def parts(
    seed: int = 0, scales: int = 2, mixtures: int = 3, strength: float = 1.0
) -> tuple[dict[str, Function], dict[str, Array]]:
    """Return the functions and tensors of a random `flowpp` model."""
    rng = np.random.default_rng(seed)
    functions: dict[str, Function] = {}
    tensors: dict[str, Array] = {"causal_e": causal.default_scales()}
    wanted = [
        (f"noise_{i}", 2 * flowpp.CHANNELS - len(t), len(t)) for i, t in enumerate(flowpp.NOISE_TARGETS)
    ]
    wanted += [
        (f"coupling_{s}_{i}", flowpp.CHANNELS - len(t), len(t))
        for s in range(scales)
        for i, t in enumerate(flowpp.TARGETS)
    ]
    for name, inputs, targets in wanted:
        # log2 of weights in 1/128, means from 128 in 1/64 level, log2 of scales in 1/128
        rest = np.stack([np.zeros(mixtures), np.linspace(-4000, 4000, mixtures), np.full(mixtures, 700)])
        outputs = np.tile(rest.reshape(-1), targets).astype(np.int64)
        functions[name], more = conditioner(rng, name, inputs, outputs, strength)
        tensors |= more
    return functions, tensors


def model(
    config: dict[str, Any] | None = None,
    functions: dict[str, Function] | None = None,
    without: tuple[str, ...] = (),
    **shape: Any,
) -> modelfile.Model:
    """Return a model loaded from a file, with changed configuration and functions, or without some."""
    made, tensors = parts(**shape)
    made = {name: f for name, f in (made | (functions or {})).items() if name not in without}
    numbers = {name: shape[name] for name in ("scales", "mixtures") if name in shape}
    tensors = {name: t for name, t in tensors.items() if name not in without}
    content = CONFIG | numbers | (config or {})
    return modelfile.load(modelfile.dump("flowpp", content, Graph(made, tensors)))
