# SPDX-License-Identifier: Apache-2.0
"""The C++ implementation: arrays to `bbcodec._native` and back.

`bbcodec.families.deep.reference` has the meaning.
"""

from __future__ import annotations

import atexit
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec import _native
from bbcodec.backends import obey_target
from bbcodec.coding.ans import Head, Words
from bbcodec.errors import FormatError, MessageUnderflow
from bbcodec.families.deep.model import DeepModel
from bbcodec.families.deep.planes import Planes, Symbols
from bbcodec.families.deep.tables import inverse_scale_table
from bbcodec.families.local.model import FEATURES
from bbcodec.families.local.native import fields_of


def plan(
    samples: NDArray[Any], planes: Planes, model: DeepModel, threads: int = 1, *, traced: bool = False
) -> Symbols:
    """Return the symbols of a chain; as in `bbcodec.families.deep.reference`."""
    height, width = samples.shape[1:]
    obey_target()
    return Symbols(
        *_native.deep_plan(
            native_model(model),
            np.ascontiguousarray(samples, np.uint16),
            np.ascontiguousarray(planes),
            height,
            width,
            threads,
            traced,
        )
    )


def decode(
    head: Head, words: Words, shape: tuple[int, int], planes: Planes, model: DeepModel, threads: int = 1
) -> tuple[NDArray[np.uint16], Head, int]:
    """Return samples, head, and number of words taken; as in `bbcodec.families.deep.reference`."""
    obey_target()
    samples, lanes, used, enough, possible = _native.deep_decode(
        native_model(model),
        np.ascontiguousarray(head),
        np.ascontiguousarray(words),
        np.ascontiguousarray(planes),
        *shape,
        threads,
    )
    if not enough:
        raise MessageUnderflow("the message ends before the last sample")
    if not possible:
        raise FormatError("learned payload: a sample is larger than the largest of its plane")
    return samples.reshape(len(planes), *shape), lanes, int(used)


def observe(
    samples: NDArray[Any], planes: Planes, model: DeepModel
) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """What the network sees at every sample of a chain, for training.

    Parameters
    ----------
    samples : integers [P, h, w], 0 to the largest sample of each plane.
    planes : see `bbcodec.families.deep.planes`.
    model : its predictors count; its network does not.

    Returns
    -------
    features : int8 [P, h w, 48]
    facts : int32 [P, h w, 3]: prediction ``p`` in 1/64 of a level, ``ks``, and the sample.
    """
    count, height, width = samples.shape
    obey_target()
    features, facts = _native.deep_observe(
        native_model(model),
        np.ascontiguousarray(samples, np.uint16),
        np.ascontiguousarray(planes),
        height,
        width,
    )
    return features.reshape(count, -1, FEATURES), facts.reshape(count, -1, 3)


@lru_cache(maxsize=8)
def native_model(model: DeepModel) -> _native.DeepModel:
    """Return a model, packed for the kernels; the last eight are cached."""
    return _native.DeepModel(
        {
            **fields_of(model.base),
            "phased": model.phased,
            "scales": np.ascontiguousarray(inverse_scale_table(), np.int64),
        }
    )


# PyTorch keeps modules alive beyond the end, and C++ would call what they hold a leak.
atexit.register(native_model.cache_clear)
