# SPDX-License-Identifier: Apache-2.0
"""The bit convention of the engine: how ±1 values become 64-bit words.

Written once, here.  Bit 1 means negative (-1), bit 0 means positive (+1); channel ``c`` is bit ``c % 64`` of
word ``c // 64``; the spare bits of the last word are 0.  ``sign(0) = +1``, and therefore zero words are +1
padding. No arithmetic of the graph lives here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WORD = 64


def words(channels: int) -> int:
    """Number of 64-bit words that hold ``channels`` bits."""
    return -(-channels // WORD)


def pack(negative: NDArray[Any]) -> NDArray[np.uint64]:
    """Pack booleans (True = negative) along the last axis.

    Parameters
    ----------
    negative : bool [..., C]

    Returns
    -------
    uint64 [..., ceil(C / 64)], C-contiguous, spare bits 0.

    Examples
    --------
    >>> pack(np.array([True, False, True]))
    array([5], dtype=uint64)
    """
    flags = np.asarray(negative, dtype=bool)
    width = words(flags.shape[-1]) * (WORD // 8)
    small = np.packbits(flags, axis=-1, bitorder="little")
    octets = np.zeros((*flags.shape[:-1], width), np.uint8)
    octets[..., : small.shape[-1]] = small
    return octets.view("<u8").astype(np.uint64, copy=False)


def pack_signs(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Pack the signs of numbers along the last axis; zero counts as +1."""
    return pack(np.asarray(values) < 0)


def unpack(packed: NDArray[np.uint64], channels: int) -> NDArray[np.bool_]:
    """Inverse of `pack`: uint64 [..., ceil(C / 64)] to bool [..., C], True = negative."""
    octets = np.ascontiguousarray(packed).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=channels, bitorder="little").astype(bool)


def unpack_signs(packed: NDArray[np.uint64], channels: int) -> NDArray[np.int8]:
    """Like `unpack`, but as ±1 in int8."""
    return (1 - 2 * unpack(packed, channels).astype(np.int8)).astype(np.int8)


def spare_mask(channels: int) -> int:
    """Mask of the bits of the last word that hold no channel (and must be 0)."""
    used = channels % WORD
    return 0 if used == 0 else ((1 << WORD) - 1) ^ ((1 << used) - 1)
