# SPDX-License-Identifier: Apache-2.0
"""Types of the compiled module (``native/python``). `tests/native/test_stub.py` compares its names."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

__normal_floats__: list[str]  # all functions and methods: each sets the mode of floats that the format needs

# ---- targets: native/core/select_kernels.hpp ----

def target() -> str: ...
def targets() -> list[str]: ...
def set_target(name: str) -> None: ...

# ---- engine: maps are [n, height, width, channels]; bits are packed into words of 64 ----

def set_slices(name: str) -> None: ...

class Scale:
    def __init__(
        self, mul: NDArray[np.int32], add: NDArray[np.int64], shift: int, lo: int, hi: int
    ) -> None: ...
    def run(self, acc: NDArray[np.int32], out: NDArray[np.int16]) -> None: ...

class Threshold:
    def __init__(self, limits: NDArray[np.int32], flips: NDArray[np.uint8]) -> None: ...

class BitConv:
    def __init__(self, weight: NDArray[np.uint64], channels: int) -> None: ...
    def acc(self, x: NDArray[np.uint64], out: NDArray[np.int32]) -> None: ...
    def scale(self, x: NDArray[np.uint64], scale: Scale, out: NDArray[np.int16]) -> None: ...
    def sign(self, x: NDArray[np.uint64], threshold: Threshold, out: NDArray[np.uint64]) -> None: ...

class IntConv:
    def __init__(self, weight: NDArray[np.int8], lo: int = -32768, hi: int = 32767) -> None: ...
    def acc(self, x: NDArray[np.int16], out: NDArray[np.int32]) -> None: ...
    def scale(self, x: NDArray[np.int16], scale: Scale, out: NDArray[np.int16]) -> None: ...
    def sign(self, x: NDArray[np.int16], threshold: Threshold, out: NDArray[np.uint64]) -> None: ...

def add(x: NDArray[np.int16], y: NDArray[np.int16], lo: int, hi: int, out: NDArray[np.int16]) -> None: ...
def mul(
    x: NDArray[np.int16], y: NDArray[np.int16], shift: int, lo: int, hi: int, out: NDArray[np.int16]
) -> None: ...
def sign(x: NDArray[np.int16], threshold: NDArray[np.int16], out: NDArray[np.uint64]) -> None: ...
def look_up(x: NDArray[np.int16], table: NDArray[np.int16], offset: int, out: NDArray[np.int16]) -> None: ...
def space_to_depth(x: NDArray[np.int16], out: NDArray[np.int16]) -> None: ...
def depth_to_space(x: NDArray[np.int16], out: NDArray[np.int16]) -> None: ...

# ---- coding: vectors of one element a symbol; a head has one element a lane ----

class LogisticTables:
    def __init__(
        self, sigmoid: NDArray[np.int64], inverse_scale: NDArray[np.int64], guesses: NDArray[np.int64]
    ) -> None: ...

def push_logistic(
    tables: LogisticTables,
    head: NDArray[np.uint64],
    symbols: NDArray[np.int32],
    mu: NDArray[np.int32],
    e: NDArray[np.int32],
    nsym: int,
    floor: int,
) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]: ...
def pop_logistic(
    tables: LogisticTables,
    head: NDArray[np.uint64],
    mu: NDArray[np.int32],
    e: NDArray[np.int32],
    nsym: int,
    floor: int,
    words: NDArray[np.uint32],
) -> tuple[NDArray[np.uint64], NDArray[np.int32], int]: ...
def push_freqs(
    head: NDArray[np.uint64], starts: NDArray[np.uint64], freqs: NDArray[np.uint64], precision: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]: ...
def push_sections(
    head: NDArray[np.uint64],
    starts: NDArray[np.uint32],
    freqs: NDArray[np.uint32],
    sections: NDArray[np.int64],
    precision: int,
) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]: ...

# ---- families/latent ----

class CutMixtureTables:
    def __init__(
        self, sigmoid: NDArray[np.int64], inverse: NDArray[np.int64], weight: NDArray[np.int64]
    ) -> None: ...

class CutMixtures:
    def __init__(
        self,
        tables: CutMixtureTables,
        log2_weights: NDArray[np.int32],
        means: NDArray[np.int32],
        scales: NDArray[np.int32],
        bits: int,
        cells_log2: int,
    ) -> None: ...
    def ends(self, cells: NDArray[np.int64]) -> NDArray[np.int64]: ...
    def find(self, values: NDArray[np.int64]) -> NDArray[np.int64]: ...

# ---- families/local ----

class LocalModelFields(TypedDict):
    """What `LocalModel` reads; ``ModelFields`` in native/core/families/local/model.hpp has shapes and units.

    It is no part of the compiled module: import it under ``TYPE_CHECKING`` alone.
    """

    hidden: int
    layers: int
    components: int
    own: tuple[int, int]
    earlier: tuple[int, int]
    along: tuple[int, int]
    down: tuple[int, int]
    ridge: int
    rate_q: int
    every: int
    latents: bool
    first_w: NDArray[np.int8]
    first_m: NDArray[np.int32]
    first_b: NDArray[np.int32]
    signs: NDArray[np.int8]
    hidden_m: NDArray[np.int32]
    hidden_b: NDArray[np.int32]
    out_w: NDArray[np.int32]
    out_b: NDArray[np.int32]
    prior: NDArray[np.int32]
    positions: NDArray[np.int32]
    r1: NDArray[np.int32]
    r2: NDArray[np.int32]
    sig: NDArray[np.int32]
    le: NDArray[np.int32]
    exp: NDArray[np.int32]
    sigmoid: NDArray[np.int64]
    inverse: NDArray[np.int64]

class LocalModel:
    def __init__(self, fields: LocalModelFields) -> None: ...

class DeepModelFields(LocalModelFields):
    """What `DeepModel` reads; ``ModelFields`` in native/core/families/deep/model.hpp has shapes and units."""

    phased: tuple[int, int]
    scales: NDArray[np.int64]

class DeepModel:
    def __init__(self, fields: DeepModelFields) -> None: ...

class LogLinearLayerFields(TypedDict):
    """What `LogLinearLayer` reads; ``LayerFields`` in native/core/families/loglinear/model.hpp has shapes.

    It is no part of the compiled module: import it under ``TYPE_CHECKING`` alone.
    """

    contexts: int
    table_bits: int
    skip: int
    mix_shift: int
    terms: NDArray[np.int32]
    direct: NDArray[np.int8]
    weights: NDArray[np.int32]
    pixel_weights: NDArray[np.int32]
    pixel_start: NDArray[np.int8]
    log: NDArray[np.int32]
    squash: NDArray[np.int32]
    rate: NDArray[np.int32]

class LogLinearLayer:
    def __init__(self, fields: LogLinearLayerFields) -> None: ...

def local_plan(
    model: LocalModel,
    blocks: Sequence[NDArray[np.uint8]],
    sizes: Sequence[tuple[int, int]],
    channels: int,
    sides: Sequence[NDArray[np.int32]],
    threads: int,
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]: ...
def local_observe(
    model: LocalModel, block: NDArray[np.uint8], height: int, width: int, channels: int
) -> tuple[NDArray[np.int8], NDArray[np.int32]]: ...
def local_survey(
    model: LocalModel,
    blocks: Sequence[NDArray[np.uint8]],
    sizes: Sequence[tuple[int, int]],
    channels: int,
    threads: int,
) -> NDArray[np.int64]: ...
def local_decode(
    model: LocalModel,
    head: NDArray[np.uint64],
    words: NDArray[np.uint32],
    sizes: Sequence[tuple[int, int]],
    channels: int,
    sides: Sequence[NDArray[np.int32]],
    threads: int,
) -> tuple[NDArray[np.uint8], NDArray[np.uint64], int, NDArray[np.int64]]: ...
def loglinear_encode(
    model: LocalModel,
    layer: LogLinearLayer,
    blocks: Sequence[NDArray[np.uint8]],
    sizes: Sequence[tuple[int, int]],
    channels: int,
    threads: int,
    neighbours: int,
) -> list[NDArray[np.uint32]]: ...
def loglinear_cost(
    model: LocalModel,
    layer: LogLinearLayer,
    blocks: Sequence[NDArray[np.uint8]],
    sizes: Sequence[tuple[int, int]],
    channels: int,
    threads: int,
    neighbours: int,
) -> NDArray[np.float32]: ...
def loglinear_decode(
    model: LocalModel,
    layer: LogLinearLayer,
    streams: Sequence[NDArray[np.uint32]],
    sizes: Sequence[tuple[int, int]],
    channels: int,
    threads: int,
    neighbours: int,
) -> tuple[NDArray[np.uint8], bool]: ...
def deep_plan(
    model: DeepModel,
    samples: NDArray[np.uint16],
    planes: NDArray[np.int64],
    height: int,
    width: int,
    threads: int,
    traced: bool,
) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]: ...
def deep_observe(
    model: DeepModel, samples: NDArray[np.uint16], planes: NDArray[np.int64], height: int, width: int
) -> tuple[NDArray[np.int8], NDArray[np.int32]]: ...
def deep_decode(
    model: DeepModel,
    head: NDArray[np.uint64],
    words: NDArray[np.uint32],
    planes: NDArray[np.int64],
    height: int,
    width: int,
    threads: int,
) -> tuple[NDArray[np.uint16], NDArray[np.uint64], int, bool, bool]: ...
