# SPDX-License-Identifier: Apache-2.0
"""Distribution functions of mixtures of integer logistics, cut to a range of 256 levels and scaled to it.

They are the increasing maps of a flow's couplings, from integers to integers, and strictly increasing for all
parameters. The range is divided into 2^b equal cells, 6 <= b <= 14, with numbers m. K is the number of bits
of the mapped integers. Each of the J logistics has a log2 weight l (in 1/128), a mean mu (in 1/64 level) and
a scale number e (``2**(e/8 - 3)`` levels). With T and the clamps of :mod:`bbcodec.coding.logistic_tables`::

    w     = W[min(max(l) - l, 1536)]                     W[i] = round(2**(12 - i/128))
    A     = clamp(((m << (14 - b)) - mu) * INV[e] >> 10, -2**19, 2**19)
    G(m)  = (sum of w * sigmoid(A)) >> 15                sigmoid as there, in units of 2**-30
    F(m)  = ((G(m) - G(0)) * (2**K - 2**b)) // (G(2**b) - G(0)) + m

F runs from 0 to ``2**K``. Every cell has at least one step, which is a uniform part of ``2**(b - K)``. Means
are clamped to the range, and e to 0..87. At least a fifth of every logistic is then inside the range, so the
divisor is positive.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding import decimals
from bbcodec.coding.logistic_tables import inverse_scales, sigmoid, sigmoid_table

if TYPE_CHECKING:
    from bbcodec import _native

Integers = NDArray[np.int64]

MAX_COMPONENTS = 8
RANGE_LOG2 = 14  # 256 levels of 64 parts
E_LIMIT = 87
WEIGHT_LIMIT = 1536


@lru_cache(maxsize=1)
def weight_table() -> Integers:
    """Return ``W[i] = round(2**(12 - i/128))``, halves up; int64 [1537]."""
    context = decimals.context()
    step = context.divide(context.ln(Decimal(2)), Decimal(128))
    exponents = (context.multiply(step, Decimal(WEIGHT_LIMIT - i)) for i in range(WEIGHT_LIMIT + 1))
    values = [decimals.to_int(context.exp(x)) for x in exponents]
    table = np.array(values, np.int64)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=1)
def inverse_scale_table() -> Integers:
    """Return ``INV[e] = round(2**(22 - e/8))``, int64 [88], from integer square roots."""
    return inverse_scales(E_LIMIT + 1)


class CutMixture:
    """One map F for every element.

    Parameters
    ----------
    log2_weights, means, e : integers [..., J]
        In the units of the module docstring, and clamped as it says.
    bits : int
        K, at most 20.
    cells_log2 : int
        b, 6 to 14 and at most K.

    Raises
    ------
    ValueError
        The number of logistics, the bits or the cells are outside their ranges.
    """

    def __init__(self, log2_weights: Integers, means: Integers, e: Integers, bits: int, cells_log2: int):
        _check(log2_weights.shape[-1], bits, cells_log2)
        log2_weights = log2_weights.astype(np.int64)  # differences of int16 need not fit into int16
        behind = log2_weights.max(-1, keepdims=True) - log2_weights
        # Components on the first axis: a sum over them adds whole arrays.
        self._weights = np.moveaxis(weight_table()[np.minimum(behind, WEIGHT_LIMIT)], -1, 0)
        self._means = np.moveaxis(np.clip(means, 0, 1 << RANGE_LOG2), -1, 0)
        self._inverse = np.moveaxis(inverse_scale_table()[np.clip(e, 0, E_LIMIT)], -1, 0)
        self._step = RANGE_LOG2 - cells_log2
        self._cells_log2 = cells_log2
        cells = 1 << cells_log2
        self._low = self._mass(np.zeros(log2_weights.shape[:-1], np.int64))
        self._inside = self._mass(np.full(log2_weights.shape[:-1], cells)) - self._low
        self._free = (1 << bits) - cells

    def _mass(self, m: Integers) -> Integers:
        """Return G(m)."""
        sigmoids = sigmoid(((m << self._step) - self._means) * self._inverse >> 10)
        mass: Integers = (self._weights * sigmoids).sum(0) >> 15
        return mass

    def ends(self, m: Integers) -> Integers:
        """Return F of cell numbers 0 .. 2**b, int64 in the shape of the elements."""
        return ((self._mass(m) - self._low) * self._free) // self._inside + m

    def find(self, y: Integers) -> Integers:
        """Return the cells of numbers 0 .. 2**K - 1: the largest m with F(m) <= y."""
        m = np.zeros(y.shape, np.int64)
        for bit in reversed(range(self._cells_log2)):
            middle = m + (1 << bit)
            m = np.where(self.ends(middle) <= y, middle, m)
        return m


class NativeCutMixture:
    """`CutMixture` in C++ (``native/core/families/latent/cut_mixture.cpp``)."""

    def __init__(self, log2_weights: Integers, means: Integers, e: Integers, bits: int, cells_log2: int):
        _check(log2_weights.shape[-1], bits, cells_log2)
        self._shape = log2_weights.shape[:-1]
        from bbcodec import _native  # late: it may be absent

        weights, mu, scales = (
            np.ascontiguousarray(part, np.int32).reshape(-1, part.shape[-1])
            for part in (log2_weights, means, e)
        )
        self._maps = _native.CutMixtures(_native_tables(), weights, mu, scales, bits, cells_log2)

    def ends(self, m: Integers) -> Integers:
        """Return what `CutMixture.ends` returns."""
        found: Integers = self._maps.ends(np.ascontiguousarray(m, np.int64).reshape(-1))
        return found.reshape(self._shape)

    def find(self, y: Integers) -> Integers:
        """Return what `CutMixture.find` returns."""
        found: Integers = self._maps.find(np.ascontiguousarray(y, np.int64).reshape(-1))
        return found.reshape(self._shape)


def implementation(backend: str | None = None) -> type[CutMixture] | type[NativeCutMixture]:
    """Return the class of a backend; the results do not depend on it.

    Raises
    ------
    OptionError
        The backend is unknown or not available.
    """
    from bbcodec.backends import backend_name  # late: the engine lies above, and chooses for all

    return NativeCutMixture if backend_name(backend) == "native" else CutMixture


def _check(components: int, bits: int, cells_log2: int) -> None:
    if not 6 <= cells_log2 <= RANGE_LOG2 or not cells_log2 <= bits <= 20:
        raise ValueError(
            f"cells_log2 {cells_log2} and {bits} bits, expected 6 <= cells_log2 <= {RANGE_LOG2}, "
            f"cells_log2 <= bits <= 20"
        )
    if not 1 <= components <= MAX_COMPONENTS:
        raise ValueError(f"{components} logistics, expected 1 to {MAX_COMPONENTS}")


@lru_cache(maxsize=1)
def _native_tables() -> _native.CutMixtureTables:
    from bbcodec import _native  # late: it may be absent

    return _native.CutMixtureTables(sigmoid_table(), inverse_scale_table(), weight_table())
