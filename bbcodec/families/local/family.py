# SPDX-License-Identifier: Apache-2.0
"""The family ``local`` behind the protocol `bbcodec.families.family.Family`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from bbcodec.coding import ans
from bbcodec.coding.codecs import flatten, size_bits
from bbcodec.container import Buffer
from bbcodec.families.blocks import BLOCK, BlockFamily
from bbcodec.families.family import Family
from bbcodec.families.local import groups
from bbcodec.families.local.blocks import Blocks
from bbcodec.families.local.codec import group_codec
from bbcodec.families.local.fitted import Fitted, unpack
from bbcodec.families.local.model import local_model
from bbcodec.families.local.order import LANES
from bbcodec.families.stats import Pixels
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model

__all__ = ["FAMILY"]

_BYTES_PER_PIXEL: Final = 64  # memory for a block while it is decoded: intervals, words, state


class _Local(BlockFamily):
    fitter: str | None = "bbcodec.models.local.fit"

    encode_batch = staticmethod(groups.encode)
    decode_batch = staticmethod(groups.decode)

    def coder(self, model: Model) -> Blocks:
        """Return what codes blocks with a model."""
        return Blocks(local_model(model))

    def inspect(
        self, chains: Sequence[Buffer], height: int, width: int, model: Model | None = None
    ) -> dict[str, Any]:
        """Return facts that need no decoding: the number of blocks, and the bits of their base states."""
        lost = 32 * len(flatten(ans.base_message(LANES))) * len(chains)
        return super().inspect(chains, height, width, model) | {"initial_bits_lost": lost}

    def estimate_bits(self, image: Pixels, model: Model, execution: Execution) -> float:
        """Return the net bits of a small picture coded as one block, the same on every machine."""
        height, width, channels = image.shape
        codec = group_codec([(height, width)], channels, local_model(model), execution.with_threads(1))
        message = ans.base_message(LANES)
        (after,) = codec.push(message, [np.ascontiguousarray(image)])
        return float(size_bits(after) - size_bits(message))

    def prepare(self, model: Model, execution: Execution) -> None:
        """Code one pixel, which builds the tables and layers of the model."""
        groups.encode([np.zeros((1, 1, 3), np.uint8)], model, execution)

    def working_bytes(self, pixels: int, threads: int) -> int:
        """Estimate the memory for decoding, in bytes, without the samples and the model."""
        return min(pixels, threads * BLOCK**2) * _BYTES_PER_PIXEL

    def read_fit(self, payload: Buffer, offset: int = 0) -> Fitted:
        """Read a section ``FITT``; raise FormatError if it is damaged."""
        return unpack(payload, offset)


FAMILY: Final[Family] = _Local()
