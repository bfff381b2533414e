# SPDX-License-Identifier: Apache-2.0
"""The codec of integer logistics, the distribution of all pixels, residuals and latents.

Its definition and tables are in :mod:`bbcodec.coding.logistic_tables`, its loops in
:mod:`bbcodec.coding.kernels`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bbcodec.coding import logistic_tables
from bbcodec.coding.ans import Message, tail_gather
from bbcodec.coding.codecs import Codec, as_symbols
from bbcodec.coding.kernels import kernels
from bbcodec.errors import FormatError


def as_parameters(mu: ArrayLike, e: ArrayLike) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return integer parameters as int32, broadcast together, in C order.

    Other dtypes are clamped to the limits of the parameters, which does not change the distribution.

    Raises
    ------
    TypeError
        The parameters are not integers.
    """
    location, scale = np.asarray(mu), np.asarray(e)
    if location.dtype.kind not in "iu" or scale.dtype.kind not in "iu":
        raise TypeError(f"mu and e must be integers, got {location.dtype} and {scale.dtype}")
    if location.dtype != np.int32:
        location = np.clip(location, -logistic_tables.MU_LIMIT, logistic_tables.MU_LIMIT).astype(np.int32)
    if scale.dtype != np.int32:
        scale = np.clip(scale, 0, logistic_tables.E_LIMIT).astype(np.int32)
    if location.shape != scale.shape:
        location, scale = np.broadcast_arrays(location, scale)
    return np.asarray(location, order="C"), np.asarray(scale, order="C")


def Logistic(mu: ArrayLike, e: ArrayLike, nsym: int, backend: str | None = None, *, floor: int = 1) -> Codec:
    """Return a codec of symbols ``0 .. nsym - 1`` with independent integer logistics.

    Parameters
    ----------
    mu : integers
        Locations in 1/64 symbol: the centre of symbol k is 64 k. Clamped to +-2**17.
    e : integers, broadcast with ``mu``
        Scales: ``2**(e/8 - 3)`` symbols. Clamped to 0..79.
    nsym : int
        1..4096. Mass beyond the ends belongs to the first and the last symbol.
    backend : str or None
        "numpy", "numba" or "native"; the words do not depend on it.
    floor : 1 or 0
        Smallest frequency of a symbol, out of 2**20. With 1 every symbol can be pushed. Use 0 for posteriors,
        which are popped first: a floor would make one latent in 2,000 an outlier that no model expects.

    Returns
    -------
    Codec
        Symbols have the broadcast shape of the parameters: any integer dtype for a push, int32 from a pop.
        The head may have any shape (vector rule). Pushing raises ValueError for a symbol out of range, and
        popping raises MessageUnderflow. With a floor of 0, pushing a symbol of probability 0 raises
        FormatError: only a damaged message makes a decoder push one.

    Raises
    ------
    TypeError
        The parameters are not integers.
    ValueError
        ``nsym`` or ``floor`` is out of range.

    >>> from bbcodec.coding.ans import base_message
    >>> codec = Logistic(mu=[640, 1280, 64], e=24, nsym=256, backend="numpy")
    >>> message, = codec.push(base_message(2), np.array([10, 21, 0]))
    >>> codec.pop(message)
    ((array([2147483648, 2147483648], dtype=uint64), ()), array([10, 21,  0], dtype=int32))
    """
    location, scale = as_parameters(mu, e)
    shape = location.shape
    location, scale = location.reshape(-1), scale.reshape(-1)
    logistic_tables.check_nsym(nsym, floor)

    def push(message: Message, symbols: ArrayLike, *context: Any) -> tuple[Any, ...]:
        head, tail = message
        flat = as_symbols(symbols, shape)
        kernel = kernels(backend)
        try:
            lanes, words = kernel.push_logistic(head.reshape(-1), flat, location, scale, nsym, floor)
        except ValueError as error:
            if floor:
                raise
            raise FormatError(f"damaged message: {error}") from error
        return (lanes.reshape(head.shape), (words, tail) if len(words) else tail), *context

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        head, tail = message
        tail = tail_gather(tail, len(location))
        words, rest = tail if tail else (np.empty(0, np.uint32), ())
        lanes, symbols, used = kernels(backend).pop_logistic(
            head.reshape(-1), location, scale, nsym, floor, words[: len(location)]
        )
        tail = (words[used:], rest) if len(words) > used else rest
        return (lanes.reshape(head.shape), tail), symbols.reshape(shape), *context

    return Codec(push, pop)


def bits(symbols: ArrayLike, mu: ArrayLike, e: ArrayLike, nsym: int) -> NDArray[np.float64]:
    """Return the cost of each symbol in bits, ``20 - log2(freq)``, in the shape of the parameters.

    Use it for reports only.

    Raises
    ------
    ValueError
        A symbol or ``nsym`` is out of range, or the shapes differ.
    """
    location, scale = as_parameters(mu, e)
    logistic_tables.check_nsym(nsym)
    k = as_symbols(symbols, location.shape).astype(np.int64).reshape(location.shape)
    if k.size and not (k.min() >= 0 and k.max() < nsym):
        raise ValueError(f"symbols must be in 0..{nsym - 1}, got {k.min()}..{k.max()}")
    centre, inverse = logistic_tables.clamp_parameters(location, scale)
    freq = logistic_tables.logistic_cdf(k + 1, centre, inverse, nsym) - logistic_tables.logistic_cdf(
        k, centre, inverse, nsym
    )
    cost: NDArray[np.float64] = logistic_tables.PRECISION - np.log2(freq)
    return cost
