# SPDX-License-Identifier: Apache-2.0
"""What coders of every family hand over: samples, payloads with their statistics, ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ChainStats", "EncodedPixels", "Pixels"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ChainStats:
    """How a picture was coded, all chains together; bits are of the message, tiles are counts.

    Attributes
    ----------
    tiles, causal_tiles : all, and those coded without latents.
    causal_bits, latent_bits : net bits of either kind of tile. The causal tiles lend the latents their
        initial bits and get them back.
    lost_bits : what is not got back: the base state of the first lanes, and the folding into words.
    """

    tiles: int
    causal_tiles: int
    causal_bits: float
    latent_bits: float
    lost_bits: float


@dataclass(frozen=True, slots=True)
class EncodedPixels:
    """Payload of every chain, in order, and how they came about."""

    chains: list[bytes]
    stats: ChainStats
