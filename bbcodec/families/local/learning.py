# SPDX-License-Identifier: Apache-2.0
"""The last layer of the network, which learns while it codes (Adam; Kingma and Ba 2015).

Weights are float32, rounded to integers for use. Gradients are rounded to integers before they are summed
over the lanes, so the order of summation does not matter. All other operations are done one at a time, in the
order of docs/local.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding import logistic_tables
from bbcodec.families.local.network import Mixture
from bbcodec.families.local.tables import sigma_table

Integers = NDArray[np.int64]
Doubles = NDArray[np.float64]

_MAX_A = 1 << 19  # bound of |A| in the logistic tables
_ONE_C = 1 << 30  # the value of C that stands for probability 1


class LastLayer:
    """The last layer of one channel of a group.

    Parameters
    ----------
    weights : int32 [I, 3 J], in 2^-20.
    bias : int32 [3 J], in 2^-20.
    rate_q : learning rate in 2^-20; 0 for no learning.
    """

    def __init__(self, weights: NDArray[np.int32], bias: NDArray[np.int32], rate_q: int):
        self._rate = np.float32(rate_q * 2.0**-20)
        # The bias is the last row of W. Its rounding and its gradient have other units.
        self._w = np.concatenate([weights, bias[None]]).astype(np.float32) * np.float32(2.0**-20)
        self._m, self._v = np.zeros_like(self._w), np.zeros_like(self._w)
        self._b1 = self._b2 = np.float32(1)
        self._round()

    def _round(self) -> None:
        """Round weights and bias to integers for use."""
        half = np.float32(0.5)
        wq = np.floor(self._w[:-1] * np.float32(2.0**14) + half)
        bq = np.floor(self._w[-1] * np.float32(2.0**18) + half)
        self._wq = np.clip(wq, -32767.0, 32767.0).astype(np.float64)
        self._bq = np.clip(bq, -(2.0**28), 2.0**28).astype(np.int64)

    def outputs(self, inputs: Integers) -> Integers:
        """Return the outputs [n, 3 J], in 1/256, for inputs [n, I]."""
        # The doubles hold integers, so the product is exact: see bbcodec.families.local.network.
        z = (inputs.astype(np.float64) @ self._wq).astype(np.int64)
        outputs: Integers = (z + self._bq + (1 << 9)) >> 10
        return outputs

    def learn(self, inputs: Integers, mixture: Mixture, ks: Integers, symbols: Integers) -> None:
        """Take one gradient step towards coding these symbols [n] in fewer bits."""
        if self._rate == 0.0:
            return
        y = gradients(mixture, ks, symbols).astype(np.float64)
        # The sums are integers below 2^31, so they are exact in float64. They are rounded once, to float32.
        sums = np.concatenate([inputs.astype(np.float64).T @ y, y.sum(0)[None]]).astype(np.float32)
        one, f = np.float32(1), np.float32
        g = np.concatenate([sums[:-1] * f(2.0**-14), sums[-1:] * f(2.0**-10)])
        self._b1 = self._b1 * f(0.875)
        self._b2 = self._b2 * f(0.9921875)
        self._m = self._m + (g - self._m) * f(0.125)
        self._v = self._v + (g * g - self._v) * f(0.0078125)
        c1, c2 = one / (one - self._b1), one / (one - self._b2)
        self._w = self._w - self._rate * ((self._m * c1) / (np.sqrt(self._v * c2) + f(2.0**-20)))
        self._round()


def gradients(mixture: Mixture, ks: Integers, symbols: Integers) -> Integers:
    """Return the gradients ``y`` of the negative log likelihood with respect to the outputs.

    Returns
    -------
    int64 [n, 3 J], in 2^-10, within ±4095
    """
    mu, inverse = logistic_tables.clamp_parameters(mixture.mu, mixture.e)
    k = symbols[:, None]

    def boundary(k: Integers) -> tuple[Doubles, Doubles, Doubles]:
        """Return ``S``, ``D`` and ``a`` at the boundary below symbol k, [n, J] each."""
        a = np.clip(((64 * k - 32 - mu) * inverse) >> 10, -_MAX_A, _MAX_A)
        c = np.where(k == 0, 0, np.where(k == 256, _ONE_C, logistic_tables.cumulative(k, mu, inverse)))
        s = c.astype(np.float64) * 2.0**-30
        return s, s * (1.0 - s), a.astype(np.float64) * 2.0**-15

    s_l, d_l, a_l = boundary(k)
    s_u, d_u, a_u = boundary(k + 1)
    q = mixture.weights.astype(np.float64) * 2.0**-16
    m = s_u - s_l
    qm = q * m
    z = qm[:, 0]
    for j in range(1, qm.shape[1]):
        z = z + qm[:, j]
    z = z + 2.0**-20
    f = q / z[:, None]
    # Both factors are integers, and their product is below 2^53: exact.
    unit = (sigma_table()[ks][:, None] * inverse).astype(np.float64) * 2.0**-28
    mean = ((d_u - d_l) * f) * unit
    scale = (a_u * d_u - a_l * d_l) * f
    weight = q - f * m
    g = np.concatenate([mean, scale, weight], axis=1)
    return np.clip(np.floor(g * 2.0**10 + 0.5), -4095.0, 4095.0).astype(np.int64)
