# SPDX-License-Identifier: Apache-2.0
"""The C++ implementation: arrays to `bbcodec._native` and back.

`bbcodec.families.local.reference` has the meaning.
"""

from __future__ import annotations

import atexit
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec import _native
from bbcodec.backends import obey_target
from bbcodec.coding import logistic_tables as logistic
from bbcodec.coding.ans import Head, Words
from bbcodec.errors import MessageUnderflow
from bbcodec.families.local import tables
from bbcodec.families.local.model import FEATURES, LocalModel
from bbcodec.families.local.reference import SIDE_LIMIT

Pixels = NDArray[np.uint8]
Shapes = Sequence[tuple[int, int]]
Side = Sequence[NDArray[Any]] | None
Statistics = NDArray[np.int64]


def plan(
    blocks: Sequence[Pixels], model: LocalModel, side: Side = None, threads: int = 1
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Start and frequency of every sample in decoding order; as in `bbcodec.families.local.reference`."""
    sizes = [(block.shape[0], block.shape[1]) for block in blocks]
    channels = blocks[0].shape[2]
    cut = [np.ascontiguousarray(block) for block in blocks]
    obey_target()
    start, freq = _native.local_plan(native_model(model), cut, sizes, channels, _side(side), threads)
    return start, freq


def decode(
    head: Head,
    words: Words,
    shapes: Shapes,
    channels: int,
    model: LocalModel,
    side: Side = None,
    threads: int = 1,
) -> tuple[list[Pixels], Head, int, Statistics | None]:
    """Blocks, head, how many words were taken, statistics; as in `bbcodec.families.local.reference`."""
    obey_target()
    samples, lanes, used, sums = _native.local_decode(
        native_model(model),
        np.ascontiguousarray(head),
        np.ascontiguousarray(words),
        [(int(h), int(w)) for h, w in shapes],
        channels,
        _side(side),
        threads,
    )
    if used < 0:
        raise MessageUnderflow("the message ends before the last sample")
    blocks, at = [], 0
    for height, width in shapes:
        size = height * width * channels
        blocks.append(samples[at : at + size].reshape(height, width, channels))
        at += size
    return blocks, lanes, int(used), sums.reshape(len(shapes), -1) if model.latents else None


def survey(blocks: Sequence[Pixels], model: LocalModel, threads: int = 1) -> Statistics:
    """Statistics of every block; as in `bbcodec.families.local.reference`."""
    sizes = [(block.shape[0], block.shape[1]) for block in blocks]
    cut = [np.ascontiguousarray(block) for block in blocks]
    obey_target()
    sums = _native.local_survey(native_model(model), cut, sizes, blocks[0].shape[2], threads)
    return sums.reshape(len(blocks), -1)


def observe(block: Pixels, model: LocalModel) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """What the network sees at every sample of a block, for training.

    Parameters
    ----------
    block : uint8 [h, w, C]
    model : its predictors count; its network does not.

    Returns
    -------
    features : int8 [h w, C, 48], channels in coding order.
    facts : int32 [h w, C, 3]: prediction ``p`` in 1/64 of a level, ``ks``, and the sample.
    """
    height, width, channels = block.shape
    obey_target()
    features, facts = _native.local_observe(
        native_model(model), np.ascontiguousarray(block), height, width, channels
    )
    return features.reshape(-1, channels, FEATURES), facts.reshape(-1, channels, 3)


def _side(side: Side) -> list[NDArray[np.int32]]:
    if side is None:
        return []
    return [np.ascontiguousarray(np.clip(s, -SIDE_LIMIT, SIDE_LIMIT), np.int32) for s in side]


@lru_cache(maxsize=8)
def native_model(model: LocalModel) -> _native.LocalModel:
    """Return a model, packed for the kernels; the last eight are cached."""
    return _native.LocalModel(fields_of(model))


def fields_of(model: LocalModel) -> _native.LocalModelFields:
    """Return the numbers of a model as the kernels take them."""

    def i8(values: NDArray[Any]) -> NDArray[np.int8]:
        return np.ascontiguousarray(values, np.int8)

    def i32(values: NDArray[Any]) -> NDArray[np.int32]:
        return np.ascontiguousarray(values, np.int32)

    return {
        "hidden": model.hidden,
        "layers": model.layers,
        "components": model.components,
        "own": model.own,
        "earlier": model.earlier,
        "along": model.along,
        "down": model.down,
        "ridge": model.ridge,
        "rate_q": model.rate_q,
        "every": model.every,
        "latents": model.latents is not None,
        "first_w": i8(model.first_w),
        "first_m": i32(model.first_m),
        "first_b": i32(model.first_b),
        "signs": i8(model.signs),
        "hidden_m": i32(model.hidden_m),
        "hidden_b": i32(model.hidden_b),
        "out_w": i32(model.out_w),
        "out_b": i32(model.out_b),
        "prior": i32(np.concatenate([prior for row in model.priors for prior in row])),
        "positions": i32(model.positions if model.positions is not None else np.empty(0)),
        "r1": i32(tables.r1_table()),
        "r2": i32(tables.r2_table()),
        "sig": i32(tables.sigma_table()),
        "le": i32(tables.log_table()),
        "exp": i32(tables.exp_table()),
        "sigmoid": np.ascontiguousarray(logistic.sigmoid_table(), np.int64),
        "inverse": np.ascontiguousarray(logistic.inverse_scale_table(), np.int64),
    }


# PyTorch keeps modules alive beyond the end, and C++ would call what they hold a leak.
atexit.register(native_model.cache_clear)
