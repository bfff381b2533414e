# SPDX-License-Identifier: Apache-2.0
"""The C++ implementation: arrays to `bbcodec._native` and back.

`bbcodec.families.loglinear.reference` has the meaning.
"""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bbcodec import _native
from bbcodec.backends import obey_target
from bbcodec.coding.ans import Words
from bbcodec.errors import FormatError
from bbcodec.families.local.native import native_model
from bbcodec.families.loglinear import tables
from bbcodec.families.loglinear.model import LogLinearModel
from bbcodec.families.loglinear.reference import ALL_PREDICTED, Pixels, Shapes


def encode(
    blocks: Sequence[Pixels], model: LogLinearModel, threads: int = 1, neighbours: int = ALL_PREDICTED
) -> list[Words]:
    """Words of every stream; as in `bbcodec.families.loglinear.reference`."""
    obey_target()
    cut, sizes, channels = _cut(blocks)
    return _native.loglinear_encode(*_models(model), cut, sizes, channels, threads, neighbours)


def decode(
    words: Sequence[Words],
    shapes: Shapes,
    channels: int,
    model: LogLinearModel,
    threads: int = 1,
    neighbours: int = ALL_PREDICTED,
) -> list[Pixels]:
    """Blocks of a group; as in `bbcodec.families.loglinear.reference`."""
    obey_target()
    streams = [np.ascontiguousarray(part, np.uint32) for part in words]
    sizes = [(int(h), int(w)) for h, w in shapes]
    samples, whole = _native.loglinear_decode(*_models(model), streams, sizes, channels, threads, neighbours)
    if not whole:
        raise FormatError("learned payload: a stream is damaged, it does not end in its initial state")
    ends = np.cumsum([h * w * channels for h, w in sizes])[:-1]
    parts = zip(np.split(samples, ends), sizes, strict=True)
    return [part.reshape(h, w, channels) for part, (h, w) in parts]


def cost(
    blocks: Sequence[Pixels], model: LogLinearModel, threads: int = 1, neighbours: int = ALL_PREDICTED
) -> list[NDArray[np.float32]]:
    """Cost of every pixel; as in `bbcodec.families.loglinear.reference`."""
    obey_target()
    cut, sizes, channels = _cut(blocks)
    bits = _native.loglinear_cost(*_models(model), cut, sizes, channels, threads, neighbours)
    ends = np.cumsum([h * w for h, w in sizes])[:-1]
    return [part.reshape(size) for part, size in zip(np.split(bits, ends), sizes, strict=True)]


def _cut(blocks: Sequence[Pixels]) -> tuple[list[Pixels], list[tuple[int, int]], int]:
    sizes = [(block.shape[0], block.shape[1]) for block in blocks]
    return [np.ascontiguousarray(block) for block in blocks], sizes, blocks[0].shape[2]


def _models(model: LogLinearModel) -> tuple[_native.LocalModel, _native.LogLinearLayer]:
    return native_model(model.base), _layer(model)


@lru_cache(maxsize=8)
def _layer(model: LogLinearModel) -> _native.LogLinearLayer:
    return _native.LogLinearLayer(
        {
            "contexts": model.contexts,
            "table_bits": model.table_bits,
            "skip": model.skip,
            "mix_shift": model.mix_shift,
            "terms": np.ascontiguousarray(model.terms, np.int32),
            "direct": np.ascontiguousarray(model.direct, np.int8),
            "weights": np.ascontiguousarray(model.mix, np.int32),
            "pixel_weights": np.ascontiguousarray(model.pixel_mix, np.int32),
            "pixel_start": np.ascontiguousarray(model.pixel_start, np.int8),
            "log": np.array(tables.log_table()),
            "squash": np.array(tables.squash_table()),
            "rate": np.array(tables.rate_table()),
        }
    )


# PyTorch keeps modules alive beyond the end, and C++ would call what they hold a leak.
atexit.register(_layer.cache_clear)
