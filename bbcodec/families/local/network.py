# SPDX-License-Identifier: Apache-2.0
"""The hidden layers with 1-bit weights, and the mixture of logistics given the outputs of the last layer.

Integer sums are computed by float64 matrix products. Every partial sum is an integer far below 2^53, so the
sums are exact in any order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcodec.families.local.model import LocalModel
from bbcodec.families.local.tables import EXP_LIMIT, exp_table, log_table, sigma_table

Integers = NDArray[np.int64]

STREAM_LIMIT = 32767  # bound of the stream, in 1/256


class Mixture(NamedTuple):
    """Mixtures of J logistics for n samples: arguments of `bbcodec.coding.distributions.LogisticMixture`.

    Attributes
    ----------
    weights : int64 [n, J], in 2^-16.
    mu : int32 [n, J], in 1/64 of a level.
    e : int32 [n, J], scales 0..79.
    """

    weights: Integers
    mu: NDArray[np.int32]
    e: NDArray[np.int32]


class Network:
    """First and hidden layers of a model."""

    def __init__(self, model: LocalModel):
        self._first_w = model.first_w.astype(np.float64)
        self._first_m, self._first_b = model.first_m.astype(np.int64), model.first_b.astype(np.int64)
        self._signs = [signs.T.astype(np.float64) for signs in model.signs]
        self._hidden_m, self._hidden_b = model.hidden_m.astype(np.int64), model.hidden_b.astype(np.int64)

    def __call__(self, channel: int, features: Integers, side: Integers | None = None) -> Integers:
        """Return the inputs of the last layer.

        Parameters
        ----------
        channel : number of the channel in coding order.
        features : [n, 48]
        side : side information [n, H], or None.

        Returns
        -------
        int64 [n, H + 48]
        """
        z = _product(features, self._first_w[channel])
        s: Integers = (z * self._first_m[channel] + self._first_b[channel] + (1 << 13)) >> 14
        if side is not None:
            s = s + side
        s = np.clip(s, -STREAM_LIMIT, STREAM_LIMIT)
        for signs, m, b in zip(self._signs, self._hidden_m, self._hidden_b, strict=True):
            z = _product(_activation(s), signs)
            s = np.clip(s + ((z * m + b + (1 << 11)) >> 12), -STREAM_LIMIT, STREAM_LIMIT)
        return np.concatenate([_activation(s), features], axis=1)


def mixture(outputs: Integers, p: Integers, ks: Integers) -> Mixture:
    """Return the mixtures given the outputs of the last layer.

    Parameters
    ----------
    outputs : [n, 3 J]: J means, J scales, J weights, in 1/256.
    p : [n], prediction of the channel in 1/64 of a level.
    ks : [n], index of the scale of the errors.
    """
    mean, scale, weight = np.split(outputs, 3, axis=1)
    sigma, log_sigma = sigma_table()[ks][:, None], log_table()[ks][:, None]
    mu = p[:, None] + ((np.clip(mean, -4096, 4096) * sigma + (1 << 10)) >> 11)
    e = (log_sigma + ((np.clip(scale, -8192, 8192) * 185 + 128) >> 8) + 8) >> 4
    x = exp_table()[np.minimum(weight.max(axis=1, keepdims=True) - weight, EXP_LIMIT)]
    weights = (x << 16) // x.sum(axis=1, keepdims=True)
    weights[:, 0] = (1 << 16) - weights[:, 1:].sum(axis=1)
    return Mixture(weights, mu.astype(np.int32), np.clip(e, 0, 79).astype(np.int32))


def _activation(s: Integers) -> Integers:
    """Return the activations ``A(s)``, 0..255."""
    a: Integers = np.clip((s + 8) >> 4, 0, 255)
    return a


def _product(a: Integers, b: NDArray[np.float64]) -> Integers:
    """Return the exact matrix product of integers."""
    result: Integers = (a.astype(np.float64) @ b).astype(np.int64)
    return result
