# SPDX-License-Identifier: Apache-2.0
"""What is said of each plane of a chain: its references, its role, its phases and its largest sample."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Planes: TypeAlias = NDArray[np.int64]
"""int64 [P, 5]: two reference planes (earlier ones, -1: none), role, 1 where phases are told apart, largest
sample."""

MAX_ROLES: Final = 64


def kinds(planes: Planes) -> NDArray[np.int64]:
    """Return the number of references of every plane."""
    return np.asarray((planes[:, :2] >= 0).sum(1), np.int64)
