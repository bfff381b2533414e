# SPDX-License-Identifier: Apache-2.0
"""Constants and tables that the family has besides those of `bbcodec.families.local.tables`."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

FINEST: Final = -16
"""The smallest scale number of a component: a scale of 2^-5 symbols."""
SCALES: Final = 96  # FINEST .. 79
WINDOW: Final = 256  # symbols around a prediction
LEAST_EXPONENT: Final = 12
"""Scales of 2^13 / 64 levels and more are shifted until they are below that."""
LARGEST: Final = (1 << 24) - 1
"""What `qlog` takes at most; a float holds it exactly."""
FARTHEST: Final = 1 << 14  # a difference that is scaled to a feature

AROUND: Final = np.array([(0, 0), (-1, 0), (0, -1), (-1, -1), (1, -1), (1, 0), (0, 1), (-1, 1), (1, 1)])
"""Positions X0 to X8 (dx, dy) of a reference plane."""


@lru_cache(maxsize=1)
def inverse_scale_table() -> NDArray[np.int64]:
    """Return ``INV[e] = round(2^(22 - e/8))`` for e = -16 .. 79, int64 [96]."""
    # The root is floor(2^(25 - i/8)), with i = e + 16.
    roots = [math.isqrt(math.isqrt(math.isqrt(1 << (200 - i)))) for i in range(SCALES)]
    table = np.array([(root + 1) // 2 for root in roots], np.int64)
    table.flags.writeable = False
    return table
