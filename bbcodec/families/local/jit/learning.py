# SPDX-License-Identifier: Apache-2.0
"""The step of the last layer, one rounded operation after another.

`bbcodec.families.local.learning` has the meaning.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from bbcodec.families.local.jit.state import njit

_HALF: Final = np.float32(0.5)
_ONE: Final = np.float32(1)
_EIGHTH: Final = np.float32(0.125)
_128TH: Final = np.float32(0.0078125)
_B1: Final = np.float32(0.875)
_B2: Final = np.float32(0.9921875)
_EPSILON: Final = np.float32(2.0**-20)


@njit
def round_weights(m: Any, g: Any, c: int) -> None:
    """Set the weights in use of a channel."""
    for k in range(g.w.shape[1]):
        w, used = g.w[c, k], g.used_w[c, k]
        for i in range(len(w)):
            v = np.floor(w[i] * m.used_unit[i] + _HALF)
            used[i] = np.int32(min(max(v, -m.used_limit[i]), m.used_limit[i]))


@njit
def learn(m: Any, g: Any, c: int) -> None:
    """Take one step of a channel from the sums of its gradients, and begin new sums."""
    b1, b2 = g.decays[c, 0] * _B1, g.decays[c, 1] * _B2
    g.decays[c, 0], g.decays[c, 1] = b1, b2
    c1, c2 = _ONE / (_ONE - b1), _ONE / (_ONE - b2)
    for k in range(g.w.shape[1]):
        w, first, second, gradient = g.w[c, k], g.w_m[c, k], g.w_v[c, k], g.gradient[c, k]
        for i in range(len(w)):
            y = np.float32(gradient[i]) * m.gradient_unit[i]
            first[i] += (y - first[i]) * _EIGHTH
            second[i] += (y * y - second[i]) * _128TH
            w[i] -= m.rate * ((first[i] * c1) / (np.sqrt(second[i] * c2) + _EPSILON))
            gradient[i] = 0
    round_weights(m, g, c)
