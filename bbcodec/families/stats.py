# SPDX-License-Identifier: Apache-2.0
"""Types that the coders of every family share: samples, payloads and their statistics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ChainStats", "EncodedPixels", "Pixels"]

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ChainStats:
    """Statistics of a coded picture, summed over all chains. Tiles are counts; bits are bits of the message.

    Attributes
    ----------
    tiles : number of all tiles.
    causal_tiles : number of tiles coded without latents.
    causal_bits, latent_bits : net bits of the tiles without and with latents. The causal tiles lend the
        latents their initial bits and get them back.
    lost_bits : bits that are not recovered: the base state of the first lanes, and the folding into words.
    """

    tiles: int
    causal_tiles: int
    causal_bits: float
    latent_bits: float
    lost_bits: float

    @classmethod
    def sum(cls, parts: Iterable[ChainStats]) -> ChainStats:
        """Return the statistics of pictures that are coded one after the other."""
        return cls(*map(sum, zip(*map(astuple, parts), strict=True)))


@dataclass(frozen=True, slots=True)
class EncodedPixels:
    """The payload of every chain, in order, and the statistics of their coding."""

    chains: list[bytes]
    stats: ChainStats
