# SPDX-License-Identifier: Apache-2.0
"""A checked model of the family.

A model is untrusted input. `LocalModel.from_model` ensures that every sum in the other modules stays within
the integer ranges of docs/local.md. Computing with the model does not belong here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import ModelError
from bbcodec.modelfile import Model

FAMILY: Final = "local"
FEATURES: Final = 48
PREDICTORS: Final = 2
CELL: Final = 3  # pixels of a row that share a fit
MAX_WEIGHT: Final = 1572864 // 24576  # largest weight of a pixel in a fit
MAX_PRIOR: Final = 1 << 24
MAX_RIDGE: Final = 1 << 40  # with it the weights of a fit are nearly 0
MAX_FIRST_M: Final = 1 << 20
MAX_FIRST_SUM: Final = 2**31 - 1 - 2**28 - 2**13  # of first_m times the largest sum with first_w
MAX_HIDDEN_M: Final = 1 << 14  # 192 * 255 * 2^14 + 2^28 + 2^11 < 2^31
MAX_BIAS: Final = 1 << 28
MAX_POSITION: Final = 1 << 15
NEAR: Final = 9  # number of distances from a border that the tensor `positions` distinguishes
MOMENTS: Final = 3  # of the errors, in the statistics of a block
STATISTICS: Final = 3 * MOMENTS * (FEATURES + 1)
MAX_OUT: Final = 1 << 22  # clamped to 2^21 when rounded for use

_PAIR_RANGES: Final = {"own": (2, 16), "earlier": (0, 9), "along": (1, 3), "down": (1, 4)}
_DEFAULTS: Final = {"every": 1, "block": 1024}
_NUMBER_RANGES: Final = {
    "hidden": (32, 192),
    "layers": (0, 8),
    "components": (1, 8),
    "ridge": (1, MAX_RIDGE),
    "rate_q": (0, 1 << 16),
    "every": (1, 64),
    "block": (64, 1024),
    "latents": (0, 64),
    "encoder": (0, 256),
}


@dataclass(frozen=True, eq=False, slots=True)
class LatentTensors:
    """Additional tensors of a model with K latents per block and an encoder of width D. See docs/local.md.

    Attributes
    ----------
    mean, scale : int32 [441], which the encoder subtracts from the statistics, and multiplies them by.
    encoder_w, encoder_b : int32 [441, D] and [D]
    posterior_w, posterior_b : int32 [441 + D, 2 K] and [2 K]
    prior : int32 [2 K], means in 1/64 step, then log2 scales in 1/128.
    side_w : int32 [K, H]
    """

    mean: NDArray[np.int32]
    scale: NDArray[np.int32]
    encoder_w: NDArray[np.int32]
    encoder_b: NDArray[np.int32]
    posterior_w: NDArray[np.int32]
    posterior_b: NDArray[np.int32]
    prior: NDArray[np.int32]
    side_w: NDArray[np.int32]


@dataclass(frozen=True, eq=False, slots=True)
class LocalModel:
    """A model of the family with hidden width H, L hidden layers and J components. Arrays are read-only.

    Attributes
    ----------
    hidden, layers, components : H, L, J
    own, earlier : for each predictor, the number of positions S, and of positions X of each earlier channel.
    along, down : for each predictor, the decay shifts along a row and down a column.
    ridge : added to the diagonal of every fit.
    rate_q : learning rate in 2^-20; 0 for no learning.
    every : number of times between two steps of learning.
    block : largest side of a block in pixels.
    first_w : int8 [3, 48, H]
    first_m, first_b : int32 [3, H]
    signs : int8 [L, H, H], ±1, outputs before inputs.
    hidden_m, hidden_b : int32 [L, H]
    out_w : int32 [3, H + 48, 3 J], in 2^-20.
    out_b : int32 [3, 3 J], in 2^-20.
    priors : for every channel and predictor, int32 [`entries` of its N].
    positions : int32 [3, 9, H] or None: added to the first stream, by the distances from the top, the left
        and the right border.
    latents : tensors of the latents, or None.
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
    block: int
    first_w: NDArray[np.int8]
    first_m: NDArray[np.int32]
    first_b: NDArray[np.int32]
    signs: NDArray[np.int8]
    hidden_m: NDArray[np.int32]
    hidden_b: NDArray[np.int32]
    out_w: NDArray[np.int32]
    out_b: NDArray[np.int32]
    priors: tuple[tuple[NDArray[np.int32], ...], ...]
    positions: NDArray[np.int32] | None
    latents: LatentTensors | None

    def regressors(self, channel: int, predictor: int) -> int:
        """Return the number of regressors N of a predictor of a channel, numbered in coding order."""
        return self.own[predictor] + channel * self.earlier[predictor]

    @classmethod
    def from_model(cls, model: Model) -> LocalModel:
        """Check a model file, and return it as a model of the family.

        Raises
        ------
        ModelError
            The model has another family, or a value or tensor is missing or out of range.
        """
        if model.family != FAMILY:
            raise ModelError(f"model: the family is {model.family!r:.60}, expected {FAMILY!r}")
        numbers, pairs = _config(model.config)
        h, layers, j = numbers["hidden"], numbers["layers"], numbers["components"]
        take = _Tensors(model.tensors)
        sizes = [
            [entries(pairs["own"][q] + c * pairs["earlier"][q]) for q in range(PREDICTORS)] for c in range(3)
        ]
        first_w = take("first_w", np.int8, (3, FEATURES, h), -128, 127)
        first_m = take("first_m", np.int32, (3, h), 0, MAX_FIRST_M)
        largest = 127 * np.abs(first_w.astype(np.int64)).sum(1)  # features are within ±127
        if np.any(largest * first_m > MAX_FIRST_SUM):
            raise ModelError(
                "model: tensor 'first_m' is too large: a sum could need more than 32 bits, "
                f"expected at most {MAX_FIRST_SUM} with 'first_w'"
            )
        first_b = take("first_b", np.int32, (3, h), -MAX_BIAS, MAX_BIAS)
        out_w = take("out_w", np.int32, (3, h + FEATURES, 3 * j), -MAX_OUT, MAX_OUT)
        out_b = take("out_b", np.int32, (3, 3 * j), -MAX_BIAS, MAX_BIAS)
        if layers:
            words = take("hidden_w", np.uint64, (layers, h, h // 64), 0, (1 << 64) - 1)
            hidden_m = take("hidden_m", np.int32, (layers, h), -MAX_HIDDEN_M, MAX_HIDDEN_M)
            hidden_b = take("hidden_b", np.int32, (layers, h), -MAX_BIAS, MAX_BIAS)
        else:
            for name in ("hidden_w", "hidden_m", "hidden_b"):
                if name in model.tensors:
                    raise ModelError(f"model: tensor {name!r} is present, but the model has no hidden layers")
            words = np.zeros((0, h, (h + 63) // 64), np.uint64)
            hidden_m = hidden_b = _read_only(np.zeros((0, h), np.int32))
        total = sum(map(sum, sizes))
        if "prior" in model.tensors:
            prior = take("prior", np.int32, (total,), -MAX_PRIOR, MAX_PRIOR)
        else:
            prior = _read_only(np.zeros(total, np.int32))
        positions = None
        if "positions" in model.tensors:
            positions = take("positions", np.int32, (3, NEAR, h), -MAX_POSITION, MAX_POSITION)
        k, d = numbers.pop("latents"), numbers.pop("encoder")
        parts = iter(np.split(prior, np.cumsum([n for row in sizes for n in row])[:-1]))
        return cls(
            **numbers,
            **pairs,
            first_w=first_w,
            first_m=first_m,
            first_b=first_b,
            signs=_signs(words),
            hidden_m=hidden_m,
            hidden_b=hidden_b,
            out_w=out_w,
            out_b=out_b,
            priors=tuple(tuple(next(parts) for _ in row) for row in sizes),
            positions=positions,
            latents=_latents(take, h, k, d) if k else None,
        )


def entries(n: int) -> int:
    """Return the number of entries of a fit with n regressors: lower triangle, then right-hand side."""
    return n * (n + 1) // 2 + n


def largest_sum(along: int, down: int) -> Fraction:
    """Return a bound on every integer sum of a fit with these decay shifts, including the prior.

    ``|decay(v)| <= r |v| + 1/2`` with ``r = 1 - 2^-shift``. So a sum ``v = decay(v + q)`` that grows by at
    most q at a time stays within ``(r q + 1/2) / (1 - r)``. F grows by products, and G grows by F.
    """
    half = Fraction(1, 2)
    product = Fraction(CELL * 255 * 255 * MAX_WEIGHT)
    row = ((1 - half**along) * product + half) / half**along
    column = ((1 - half**down) * row + half) / half**down
    return max(row + product, column + row + MAX_PRIOR)


class _Tensors:
    """Returns tensors of a model after checking them."""

    def __init__(self, tensors: Mapping[str, NDArray[Any]]):
        self.tensors = tensors

    def __call__(self, name: str, dtype: Any, shape: tuple[int, ...], lo: int, hi: int) -> NDArray[Any]:
        """Return a tensor; raise ModelError unless it has this type and shape, with values within lo..hi."""
        tensor = self.tensors.get(name)
        if tensor is None:
            raise ModelError(f"model: tensor {name!r} is missing")
        if tensor.dtype != dtype or tensor.shape != shape:
            raise ModelError(
                f"model: tensor {name!r} is {tensor.dtype} {list(tensor.shape)}, "
                f"expected {np.dtype(dtype)} {list(shape)}"
            )
        low, high = int(tensor.min()), int(tensor.max())
        if low < lo or high > hi:
            raise ModelError(f"model: tensor {name!r} has values {low}..{high}, expected {lo}..{hi}")
        return tensor


def _latents(take: _Tensors, h: int, k: int, d: int) -> LatentTensors:
    """Return the tensors of K latents, checked; h is the hidden width and d the width of the encoder."""
    n, weight = STATISTICS, 1 << 20
    return LatentTensors(
        mean=take("statistics_mean", np.int32, (n,), -(1 << 24), 1 << 24),
        scale=take("statistics_scale", np.int32, (n,), 0, 1 << 24),
        encoder_w=take("encoder_w", np.int32, (n, d), -weight, weight),
        encoder_b=take("encoder_b", np.int32, (d,), -MAX_BIAS, MAX_BIAS),
        posterior_w=take("posterior_w", np.int32, (n + d, 2 * k), -weight, weight),
        posterior_b=take("posterior_b", np.int32, (2 * k,), -MAX_BIAS, MAX_BIAS),
        prior=take("latent_prior", np.int32, (2 * k,), -(1 << 15), 1 << 15),
        side_w=take("side_w", np.int32, (k, h), -weight, weight),
    )


def _config(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the numbers and the pairs of the configuration.

    Raises
    ------
    ModelError
        A value is missing, out of range or unknown.
    """
    config = _DEFAULTS | dict(config)
    expected = {*_NUMBER_RANGES, *_PAIR_RANGES}
    if set(config) != expected:
        raise ModelError(f"model: config has {sorted(config)!r:.200}, expected {sorted(expected)}")
    for key, (lo, hi) in _NUMBER_RANGES.items():
        if type(config[key]) is not int or not lo <= config[key] <= hi:
            raise ModelError(f"model: {key} is {config[key]!r:.60}, expected {lo} to {hi}")
    if config["hidden"] % (step := 64 if config["layers"] else 32):
        raise ModelError(f"model: hidden is {config['hidden']}, expected a multiple of {step}")
    for key, (lo, hi) in _PAIR_RANGES.items():
        pair = config[key]
        if (
            not isinstance(pair, list)
            or len(pair) != PREDICTORS
            or not all(type(n) is int and lo <= n <= hi for n in pair)
        ):
            raise ModelError(f"model: {key} is {pair!r:.60}, expected two numbers in {lo}..{hi}")
    numbers = {key: config[key] for key in _NUMBER_RANGES}
    return numbers, {key: tuple(config[key]) for key in _PAIR_RANGES}


def _signs(words: NDArray[np.uint64]) -> NDArray[np.int8]:
    """Unpack [L, H, H / 64] words to ±1 [L, H, H]; bit h % 64 of word h / 64 is 1 for -1."""
    ones = (words[..., None] >> np.arange(64, dtype=np.uint64)) & np.uint64(1)
    signs = np.where(ones.reshape(*words.shape[:2], words.shape[2] * 64) == 1, -1, 1)
    return _read_only(signs.astype(np.int8))


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


@lru_cache(maxsize=8)
def local_model(model: Model) -> LocalModel:
    """Return `LocalModel.from_model` of a model file, with the same errors; the last eight are cached."""
    return LocalModel.from_model(model)
