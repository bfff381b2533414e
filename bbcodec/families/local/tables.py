# SPDX-License-Identifier: Apache-2.0
"""The tables of the family, rounded once from exact values (halves up), and `qlog`, which indexes them.

Index ``k`` stands for a magnitude near ``V_k = 2^(k >> 2) (1 + ((k & 3) + 1/2) / 4)`` and is 0..79.
Magnitudes begin at 64, so entries below 24 are never read. All numbers here determine coded probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding import decimals

KS: Final = 80
EXP_LIMIT: Final = 2816  # 11 in 1/256; beyond it a weight would round to less than one part in 2^16

_HALF: Final = Fraction(1, 2)


def magnitude(k: int) -> Fraction:
    """Return ``V_k`` exactly."""
    return Fraction(2) ** (k >> 2) * (1 + ((k & 3) + _HALF) / 4)


@lru_cache(maxsize=1)
def r1_table() -> NDArray[np.int64]:
    """Return ``R1[k] = round(192 * 2^14 / V_k)``, which scales errors by their activity; int64 [80]."""
    return _frozen(_round(192 * 2**14 / magnitude(k)) for k in range(KS))


@lru_cache(maxsize=1)
def r2_table() -> NDArray[np.int64]:
    """Return ``R2[k] = round(240 * 2^14 / V_k)``, which scales differences of samples; int64 [80]."""
    return _frozen(_round(240 * 2**14 / magnitude(k)) for k in range(KS))


@lru_cache(maxsize=1)
def sigma_table() -> NDArray[np.int64]:
    """Return ``SIG[k] = round(V_k)``, int64 [80]."""
    return _frozen(_round(magnitude(k)) for k in range(KS))


@lru_cache(maxsize=1)
def log_table() -> NDArray[np.int64]:
    """Return ``LE[k] = round(128 log2 V_k) - 128 * 6``, int64 [80]."""
    context = decimals.context()
    two = context.ln(Decimal(2))

    def entry(k: int) -> int:
        v = magnitude(k)
        natural = context.ln(context.divide(Decimal(v.numerator), Decimal(v.denominator)))
        return decimals.to_int(context.divide(context.multiply(Decimal(128), natural), two)) - 128 * 6

    return _frozen(entry(k) for k in range(KS))


@lru_cache(maxsize=1)
def exp_table() -> NDArray[np.int64]:
    """Return ``EXP[u] = round(2^16 exp(-u / 256))``, int64 [2817]; the last entry is 0."""
    context = decimals.context()
    step = context.exp(context.divide(Decimal(-1), Decimal(256)))
    values, value = [], Decimal(1 << 16)
    for _ in range(EXP_LIMIT):
        values.append(decimals.to_int(value))
        value = context.multiply(value, step)  # the error of 50 digits stays below 10^-40
    return _frozen([*values, 0])


def qlog(v: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``4 b + ((v >> (b - 2)) & 3)`` with b the position of the highest set bit; 64 <= v < 2^31."""
    # Doubles hold v exactly, so their exponent is b + 1.
    b = np.frexp(v.astype(np.float64))[1].astype(np.int64) - 1
    result: NDArray[np.int64] = 4 * b + ((v >> (b - 2)) & 3)
    return result


def _round(value: Fraction) -> int:
    return math.floor(value + _HALF)


def _frozen(values: Iterable[int]) -> NDArray[np.int64]:
    table = np.array(list(values), np.int64)
    table.flags.writeable = False
    return table
