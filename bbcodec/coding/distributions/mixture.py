# SPDX-License-Identifier: Apache-2.0
"""Codecs of mixtures of integer logistics with integer weights, in NumPy; pops are vectorised over lanes.

With weights ``w_j`` that sum to ``2**b``, the mass below a symbol is ``C = (sum_j w_j C_j) >> b``. ``C_j`` is
the mass of a single logistic, and ``cdf(k)`` follows from C as in :mod:`bbcodec.coding.logistic_tables`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bbcodec.coding import logistic_tables
from bbcodec.coding.codecs import Codec, vector_codec
from bbcodec.coding.distributions.logistic import as_parameters

MAX_WEIGHT_BITS = 16  # sum of w * C stays below 2**46


def LogisticMixture(
    weights: ArrayLike, mu: ArrayLike, e: ArrayLike, nsym: int, backend: str | None = None
) -> Codec:
    """Return a codec of symbols ``0 .. nsym - 1`` with independent mixtures of integer logistics.

    Parameters
    ----------
    weights : integers [..., J]
        Not negative. Along the last axis they sum to one power of two, at most 2**16.
    mu, e : integers [..., J], broadcast with ``weights``
        As in :func:`bbcodec.coding.distributions.logistic.Logistic`.
    nsym : int
        1..4096.
    backend : str or None
        Kernels that push; the words do not depend on them.

    Returns
    -------
    Codec
        Symbols have the broadcast shape of the parameters without its last axis.

    Raises
    ------
    TypeError
        The weights or parameters are not integers.
    ValueError
        The weights or ``nsym`` do not follow the rules above.
    """
    location, scale = as_parameters(mu, e)
    w = np.asarray(weights)
    if w.dtype.kind not in "iu":
        raise TypeError(f"weights must be integers, got {w.dtype}")
    w, location, scale = np.broadcast_arrays(w.astype(np.int64), location, scale)
    if w.ndim < 1 or not w.shape[-1]:
        raise ValueError("a mixture needs a last axis of at least one component")
    *shape, components = w.shape
    w = w.reshape(-1, components)
    total = int(w[0].sum()) if len(w) else 1
    bits = total.bit_length() - 1
    if (
        (w < 0).any()
        or total != 1 << max(bits, 0)
        or bits > MAX_WEIGHT_BITS
        or (w.sum(axis=1) != total).any()
    ):
        raise ValueError(f"weights must be >= 0 and sum to one power of two up to 2**{MAX_WEIGHT_BITS}")
    logistic_tables.check_nsym(nsym)
    centre, inverse = logistic_tables.clamp_parameters(
        location.reshape(-1, components), scale.reshape(-1, components)
    )

    def cdf(k: NDArray[np.int64], part: slice) -> NDArray[np.int64]:
        c = logistic_tables.cumulative(k[:, None], centre[part], inverse[part])
        return logistic_tables.scaled_cdf((w[part] * c).sum(axis=1) >> bits, k, nsym)

    def encode(symbols: NDArray[np.int64], part: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        if len(symbols) and not (symbols.min() >= 0 and symbols.max() < nsym):
            raise ValueError(f"symbols must be in 0..{nsym - 1}, got {symbols.min()}..{symbols.max()}")
        start = cdf(symbols, part)
        return start, cdf(symbols + 1, part) - start

    def decode(cf: NDArray[np.int64], part: slice) -> NDArray[np.int64]:
        low, high = np.zeros_like(cf), np.full_like(cf, nsym)
        for _ in range((nsym - 1).bit_length()):
            middle = (low + high) >> 1
            below = cdf(middle, part) <= cf
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return low

    return vector_codec(encode, decode, tuple(shape), logistic_tables.PRECISION, backend)
