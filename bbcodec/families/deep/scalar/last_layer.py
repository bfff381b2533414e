# SPDX-License-Identifier: Apache-2.0
"""Learning while coding: the last layer takes steps along the gradients of the samples."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from .function import function
from .network import SIG
from .state import Heads, State
from .symbols import boundary

_ONE: Final = 1 << 30  # of C
_HALF: Final = np.float32(0.5)
_ONE32: Final = np.float32(1)
_EIGHTH: Final = np.float32(0.125)
_128TH: Final = np.float32(0.0078125)
_B1: Final = np.float32(0.875)
_B2: Final = np.float32(0.9921875)
_EPSILON: Final = np.float32(2.0**-20)
_USED_UNIT: Final = np.float32(16384)
_USED_LIMIT: Final = np.float32(32767)
_BIAS_UNIT: Final = np.float32(262144)
_BIAS_LIMIT: Final = np.float32(268435456)
_GRADIENT_UNIT: Final = np.float32(2.0**-14)
_BIAS_GRADIENT_UNIT: Final = np.float32(2.0**-10)


@function
def add_gradients(heads: Heads, state: State, lane: int, slopes: Any) -> None:
    """Add the gradient of a sample's likelihood to the sums of the last layer's step."""
    weight, mu, inverse = state.mixture[lane]
    own = state.lane[lane]
    k, symbols, components = own[7], own[4], len(mu)
    z = 0.0
    for j in range(components):
        a_l, c_l = boundary(k, mu[j], inverse[j])
        a_u, c_u = boundary(k + 1, mu[j], inverse[j])
        if k == 0:
            c_l = 0
        if k == symbols - 1:
            c_u = _ONE
        s_l, s_u = c_l * 2.0**-30, c_u * 2.0**-30
        d_l, d_u = s_l * (1.0 - s_l), s_u * (1.0 - s_u)
        slopes[0, j] = weight[j] * 2.0**-16
        slopes[1, j] = s_u - s_l
        slopes[2, j] = d_u - d_l
        slopes[3, j] = (a_u * 2.0**-15) * d_u - (a_l * 2.0**-15) * d_l
        z += slopes[0, j] * slopes[1, j]
    z += 2.0**-20
    inputs = state.inputs[lane]
    for j in range(components):
        f = slopes[0, j] / z
        unit = (SIG[own[1]] * inverse[j]) * 2.0**-28
        add_slope(heads.gradient[j], (slopes[2, j] * f) * unit, inputs)
        add_slope(heads.gradient[components + j], slopes[3, j] * f, inputs)
        add_slope(heads.gradient[2 * components + j], slopes[0, j] - f * slopes[1, j], inputs)


@function
def add_slope(sums: Any, slope: float, inputs: Any) -> None:
    y = int(min(max(np.floor(slope * 1024.0 + 0.5), -4095.0), 4095.0))
    if y != 0:
        for i in range(len(sums)):
            sums[i] += y * inputs[i]


@function
def round_weights(heads: Heads, role: int) -> None:
    """Set the weights in use of a role."""
    inputs = heads.w.shape[2] - 1
    for k in range(heads.w.shape[1]):
        w, used = heads.w[role, k], heads.used[role, k]
        for i in range(inputs):
            used[i] = int(min(max(np.floor(w[i] * _USED_UNIT + _HALF), -_USED_LIMIT), _USED_LIMIT))
        used[inputs] = int(min(max(np.floor(w[inputs] * _BIAS_UNIT + _HALF), -_BIAS_LIMIT), _BIAS_LIMIT))


@function
def learn(heads: Heads, role: int, rate: Any) -> None:
    """Take one step from the sums of the gradients, and begin new sums."""
    b1, b2 = heads.decays[role, 0] * _B1, heads.decays[role, 1] * _B2
    heads.decays[role, 0], heads.decays[role, 1] = b1, b2
    c1, c2 = _ONE32 / (_ONE32 - b1), _ONE32 / (_ONE32 - b2)
    inputs = heads.w.shape[2] - 1
    for k in range(heads.w.shape[1]):
        w, first, second = heads.w[role, k], heads.first[role, k], heads.second[role, k]
        gradient = heads.gradient[k]
        for i in range(inputs + 1):
            y = np.float32(gradient[i]) * (_GRADIENT_UNIT if i < inputs else _BIAS_GRADIENT_UNIT)
            first[i] = first[i] + (y - first[i]) * _EIGHTH
            second[i] = second[i] + (y * y - second[i]) * _128TH
            w[i] = w[i] - rate * ((first[i] * c1) / (np.sqrt(second[i] * c2) + _EPSILON))
            gradient[i] = 0
    round_weights(heads, role)
