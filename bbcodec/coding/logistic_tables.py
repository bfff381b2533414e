# SPDX-License-Identifier: Apache-2.0
"""The integer logistic: its constants, tables and definition in NumPy, which are part of the format.

Every number here determines coded probabilities, and files depend on it: none may change. All arithmetic is
on integers. The one table that needs an exponential uses ``decimal`` with 50 digits and rounds once. The
codecs are in :mod:`bbcodec.coding.distributions.logistic` and ``mixture``.

Symbols are ``k = 0 .. nsym - 1``. The location ``mu`` is in 1/64 symbol. The scale is ``s = 2**(e/8 - 3)``
symbols for ``e`` in 0..79. The sigmoid is a table of 32 cells per unit of its argument, linear in each cell::

    d      = 64 k - 32 - mu                              lower boundary of symbol k, in 1/64 symbol
    A      = clamp((d * INV[e]) >> 10, -2**19, 2**19)    d / 64 / s, in units of 2**-15
    u      = A + 2**19;  i = min(u >> 10, 1023);  f = u - (i << 10)
    C      = T[i] + (((T[i+1] - T[i]) * f) >> 10)        sigmoid(A / 2**15), in units of 2**-30
    cdf(k) = ((C * (2**20 - floor * nsym)) >> 30) + floor * k    for 1 <= k < nsym;  cdf(0) = 0, cdf(nsym) =
    2**20

``start = cdf(k)`` and ``freq = cdf(k + 1) - cdf(k) >= floor``: the first term is monotone, the second adds
the floor. The floor is 1 where any symbol may have to be coded (pixels, priors). It is 0 for posteriors,
whose symbols are popped first and must look like samples of the logistic. A floor of 1 would spread one
symbol in 2,000 over the whole range.
"""

from __future__ import annotations

import math
from decimal import Decimal
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding import decimals

PRECISION = 20
MAX_SYMBOLS = 4096
MU_LIMIT = 1 << 17
E_LIMIT = 79

_CELLS = 1024
_HALF_RANGE = 1 << 19


@lru_cache(maxsize=1)
def sigmoid_table() -> NDArray[np.int64]:
    """Return ``T[i] = round_half_up(2**30 * sigmoid((i - 512) / 32))``, int64 [1025].

    The ends are T[0] = 0 and T[1024] = 2**30.
    """
    context = decimals.context()
    one, scale = Decimal(1), Decimal(1 << 30)
    values = []
    exponential, step = context.exp(Decimal(16)), context.exp(context.divide(Decimal(-1), Decimal(32)))
    for _ in range(_CELLS + 1):
        value = context.divide(scale, context.add(one, exponential))
        values.append(decimals.to_int(value))
        exponential = context.multiply(exponential, step)  # the error of 50 digits stays below 10^-40
    values[0], values[_CELLS] = 0, 1 << 30
    return _frozen(values)


@lru_cache(maxsize=1)
def inverse_scale_table() -> NDArray[np.int64]:
    """Return ``INV[e] = round(2**(22 - e/8))``, int64 [80], from integer square roots."""
    return inverse_scales(E_LIMIT + 1)


def inverse_scales(count: int) -> NDArray[np.int64]:
    """Return ``round(2**(22 - e/8))`` for e below `count`, at most 185; int64 [count]."""
    eighth_roots = [math.isqrt(math.isqrt(math.isqrt(1 << (184 - e)))) for e in range(count)]
    return _frozen([(root + 1) // 2 for root in eighth_roots])  # root = floor(2 * 2**(22 - e/8))


@lru_cache(maxsize=1)
def guess_table() -> NDArray[np.int64]:
    """Return the ``A`` at which ``C`` reaches the middle of each of 1024 equal cells of probability.

    int64 [1024]. It is the first guess of a symbol search: it affects the time of the search, not its result.
    """
    table = sigmoid_table()
    target = (2 * np.arange(_CELLS, dtype=np.int64) + 1) << 19
    i = np.searchsorted(table, target, side="right") - 1
    f = ((target - table[i]) << 10) // np.maximum(table[i + 1] - table[i], 1)
    return _frozen(list((i << 10) + f - _HALF_RANGE))


def _frozen(values: list[int]) -> NDArray[np.int64]:
    table = np.array(values, np.int64)
    table.flags.writeable = False
    return table


def clamp_parameters(
    mu: NDArray[np.int32], e: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Clamp ``mu`` to +-2**17 and ``e`` to 0..79; return ``(mu, INV[e])`` as int64."""
    inverse = inverse_scale_table()[np.clip(e, 0, E_LIMIT)]
    return np.clip(mu.astype(np.int64), -MU_LIMIT, MU_LIMIT), inverse


def cumulative(k: NDArray[np.int64], mu: NDArray[np.int64], inverse: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the logistic mass below symbol ``k``, in units of 2**-30: ``C`` in the module docstring.

    Parameters
    ----------
    k, mu, inverse : int64, broadcast together
        Symbol, and the two results of :func:`clamp_parameters`.

    Returns
    -------
    int64, 0 .. 2**30
    """
    return sigmoid(((64 * k - 32 - mu) * inverse) >> 10)


def sigmoid(a: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sigmoid of ``a / 2**15`` in units of 2**-30: ``C`` above, with the clamp of ``A``."""
    table = sigmoid_table()
    u = np.clip(a, -_HALF_RANGE, _HALF_RANGE) + _HALF_RANGE
    i = np.minimum(u >> 10, _CELLS - 1)
    low = table[i]
    result: NDArray[np.int64] = low + (((table[i + 1] - low) * (u - (i << 10))) >> 10)
    return result


def scaled_cdf(c: NDArray[np.int64], k: NDArray[np.int64], nsym: int, floor: int = 1) -> NDArray[np.int64]:
    """Return ``cdf(k)`` from ``C``, for ``0 <= k <= nsym``. Its total is 2**20; ``floor`` is 0 or 1."""
    inner = ((c * ((1 << PRECISION) - floor * nsym)) >> 30) + floor * k
    return np.where(k <= 0, 0, np.where(k >= nsym, 1 << PRECISION, inner))


def logistic_cdf(
    k: NDArray[np.int64], mu: NDArray[np.int64], inverse: NDArray[np.int64], nsym: int, floor: int = 1
) -> NDArray[np.int64]:
    """Return ``cdf(k)`` of the integer logistic, as the module docstring defines it."""
    return scaled_cdf(cumulative(k, mu, inverse), k, nsym, floor)


def check_nsym(nsym: int, floor: int = 1) -> None:
    """Raise ValueError unless ``1 <= nsym <= 4096`` and the floor is 0 or 1."""
    if not 1 <= nsym <= MAX_SYMBOLS:
        raise ValueError(f"nsym must be in 1..{MAX_SYMBOLS}, got {nsym}")
    if floor not in (0, 1):
        raise ValueError(f"floor must be 0 or 1, got {floor}")
