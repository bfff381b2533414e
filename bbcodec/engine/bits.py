# SPDX-License-Identifier: Apache-2.0
"""The bit convention of the engine: pack ±1 values into 64-bit words, and unpack them.

This is the only place that defines it. Bit 1 means negative (-1), bit 0 means positive (+1). Channel ``c`` is
bit ``c % 64`` of word ``c // 64``. The spare bits of the last word are 0. Because ``sign(0) = +1``, zero
words are +1 padding. The arithmetic of the graph is not here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

WORD = 64


def words(channels: int) -> int:
    """Return the number of 64-bit words that hold ``channels`` bits."""
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
    """Pack the signs of numbers along the last axis; the sign of zero is +1."""
    return pack(np.asarray(values) < 0)


def unpack(packed: NDArray[np.uint64], channels: int) -> NDArray[np.bool_]:
    """Undo `pack`: return bool [..., C] (True = negative) from uint64 [..., ceil(C / 64)]."""
    octets = np.ascontiguousarray(packed).astype("<u8", copy=False).view(np.uint8)
    return np.unpackbits(octets, axis=-1, count=channels, bitorder="little").astype(bool)


def unpack_signs(packed: NDArray[np.uint64], channels: int) -> NDArray[np.int8]:
    """Undo `pack_signs`: return int8 [..., C] of ±1 from uint64 [..., ceil(C / 64)]."""
    return (1 - 2 * unpack(packed, channels).astype(np.int8)).astype(np.int8)


def spare_mask(channels: int) -> int:
    """Return the mask of the bits of the last word that hold no channel and must be 0."""
    used = channels % WORD
    return 0 if used == 0 else ((1 << WORD) - 1) ^ ((1 << used) - 1)
