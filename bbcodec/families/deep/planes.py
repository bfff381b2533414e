# SPDX-License-Identifier: Apache-2.0
"""What is said of each plane of a chain, and the symbols that a chain becomes."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Planes: TypeAlias = NDArray[np.int64]
"""int64 [P, 5]: two reference planes (earlier ones, -1: none), role, 1 where phases are told apart, largest
sample."""


class Symbols(NamedTuple):
    """The symbols of a chain, in decoding order.

    Attributes
    ----------
    start, freq : uint32, the interval of every symbol, in 2^-20.
    sections : int64, numbers of symbols in turn that begin at lane 0 of the message.
    pixels : int64, the pixel of every symbol, in raster order; empty unless it was asked for.
    """

    start: NDArray[np.uint32]
    freq: NDArray[np.uint32]
    sections: NDArray[np.int64]
    pixels: NDArray[np.int64]


def kinds(planes: Planes) -> NDArray[np.int64]:
    """Return the number of references of every plane."""
    return np.asarray((planes[:, :2] >= 0).sum(1), np.int64)
