# SPDX-License-Identifier: Apache-2.0
"""A checked model of the family: a model of `local`, and the layer that corrects its probabilities."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import ModelError
from bbcodec.families.local.model import FAMILY as LOCAL
from bbcodec.families.local.model import LocalModel
from bbcodec.families.loglinear.tables import (
    CHANNEL_KINDS,
    DECISION_KINDS,
    MAX_WEIGHT,
    PIXEL_CONTEXTS,
    PIXEL_KINDS,
    PIXEL_LINES,
    TERMS,
    TERMS_OF_CONTEXT,
)
from bbcodec.modelfile import Model

FAMILY: Final = "loglinear"
CONTEXTS: Final = (8, 12, 16, 24, 32)
"""Numbers of contexts that a model may have."""

_NUMBER_RANGES: Final = {
    "contexts": (8, 32),
    "table_bits": (12, 22),
    "skip": (4, 20),
    "mix_shift": (6, 20),
    "plain": (0, 256),
}


@dataclass(frozen=True, eq=False, slots=True)
class LogLinearModel:
    """A model of the family with N contexts. Arrays are read-only.

    Attributes
    ----------
    base : the network and the predictors.
    contexts : N
    table_bits : bits of an index into the table of a context, at most.
    skip : decisions whose rarer outcome has a share below 2^-skip are coded without contexts.
    mix_shift : the mixer learns with the rate 2^-mix_shift.
    plain : for encoders alone, see `bbcodec.families.loglinear.coding`.
    terms : int32 [4, N, 4], numbers of the terms of each context, by kind of channel; 0 for none.
    direct : int8 [4, N], 1 for direct contexts, which count from their first term.
    mix : int32 [4, 8, N], weights at the start in 2^-20, by kind of channel and kind of decision.
    pixel_mix : int32 [8, 8], the same for whole pixels, by kind of decision.
    pixel_start : int8 [256, 7], log-odds in 1/16 that the first context of whole pixels starts with.
    """

    base: LocalModel
    contexts: int
    table_bits: int
    skip: int
    mix_shift: int
    plain: int
    terms: NDArray[np.int32]
    direct: NDArray[np.int8]
    mix: NDArray[np.int32]
    pixel_mix: NDArray[np.int32]
    pixel_start: NDArray[np.int8]

    @classmethod
    def from_model(cls, model: Model) -> LogLinearModel:
        """Check a model file, and return it as a model of the family.

        Raises
        ------
        ModelError
            The model has another family, or a value or tensor is missing or out of range.
        """
        if model.family != FAMILY:
            raise ModelError(f"model: the family is {model.family!r:.60}, expected {FAMILY!r}")
        numbers = _numbers(model.config)
        n = numbers["contexts"]
        config = {key: value for key, value in model.config.items() if key not in _NUMBER_RANGES}
        base = LocalModel.from_model(replace(model, family=LOCAL, config=config))
        if base.latents is not None:
            raise ModelError("model: a model of this family has no latents")
        terms = _tensor(model, "terms", (CHANNEL_KINDS, n, TERMS_OF_CONTEXT), 0, TERMS - 1)
        direct = _tensor(model, "direct", (CHANNEL_KINDS, n), 0, 1, np.int8)
        mix = _tensor(model, "mix", (CHANNEL_KINDS, DECISION_KINDS, n), -MAX_WEIGHT, MAX_WEIGHT)
        pixels = (DECISION_KINDS, PIXEL_CONTEXTS)
        pixel_mix = _tensor(model, "pixel_mix", pixels, -MAX_WEIGHT, MAX_WEIGHT)
        start = _tensor(model, "pixel_start", (PIXEL_LINES, PIXEL_KINDS), -127, 127, np.int8)
        return cls(
            base,
            **numbers,
            terms=terms,
            direct=direct,
            mix=mix,
            pixel_mix=pixel_mix,
            pixel_start=start,
        )


def _numbers(config: Any) -> dict[str, int]:
    """Return the numbers of the layer; raise ModelError if one is missing or out of range."""
    for key, (lo, hi) in _NUMBER_RANGES.items():
        value = config.get(key)
        if type(value) is not int or not lo <= value <= hi:
            raise ModelError(f"model: {key} is {value!r:.60}, expected {lo} to {hi}")
    if config["contexts"] not in CONTEXTS:
        raise ModelError(f"model: contexts is {config['contexts']}, expected one of {CONTEXTS}")
    return {key: config[key] for key in _NUMBER_RANGES}


def _tensor(
    model: Model, name: str, shape: tuple[int, ...], lo: int, hi: int, dtype: type = np.int32
) -> NDArray[Any]:
    tensor = model.tensors.get(name)
    if tensor is None:
        raise ModelError(f"model: tensor {name!r} is missing")
    if tensor.dtype != dtype or tensor.shape != shape:
        raise ModelError(
            f"model: tensor {name!r} is {tensor.dtype} {list(tensor.shape)}, "
            f"expected {np.dtype(dtype)} {list(shape)}"
        )
    if tensor.min() < lo or tensor.max() > hi:
        raise ModelError(
            f"model: tensor {name!r} has values {tensor.min()}..{tensor.max()}, expected {lo}..{hi}"
        )
    return tensor


@lru_cache(maxsize=8)
def loglinear_model(model: Model) -> LogLinearModel:
    """Return `LogLinearModel.from_model` of a model file, with the same errors; the last eight are cached."""
    return LogLinearModel.from_model(model)
