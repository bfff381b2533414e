# SPDX-License-Identifier: Apache-2.0
"""The family ``local`` behind the protocol `bbcodec.families.family.Family`."""

from __future__ import annotations

from typing import Final

import numpy as np

from bbcodec.container import Buffer
from bbcodec.families.blocks import BLOCK
from bbcodec.families.family import Family
from bbcodec.families.local import blocks, groups
from bbcodec.families.local.fitted import Fitted, unpack
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model

__all__ = ["FAMILY"]

_BLOCK_PIXELS: Final = BLOCK**2
_BYTES_PER_PIXEL: Final = 64  # memory for a block while it is decoded: intervals, words, state


class _Local:
    max_side = 1024  # larger pictures are coded alone
    cost_unit = "pixel"
    fitter: str | None = "bbcodec.models.local.fit"

    encode = staticmethod(blocks.encode)
    decode = staticmethod(blocks.decode)
    payloads = staticmethod(blocks.payloads)
    places = staticmethod(blocks.places)
    cost_map = staticmethod(blocks.cost_map)
    inspect = staticmethod(blocks.inspect)
    estimate_bits = staticmethod(blocks.estimate_bits)
    encode_batch = staticmethod(groups.encode)
    decode_batch = staticmethod(groups.decode)

    def prepare(self, model: Model, execution: Execution) -> None:
        """Code one pixel, which builds the tables and layers of the model."""
        groups.encode([np.zeros((1, 1, 3), np.uint8)], model, execution)

    def parameters(self, model: Model) -> tuple[int, int]:
        """Return the number of 1-bit weights, and the number of all other integers."""
        hidden = model.tensors.get("hidden_w")
        others = sum(tensor.size for tensor in model.tensors.values() if tensor.dtype != np.uint64)
        return (0 if hidden is None else 64 * hidden.size), others

    def working_bytes(self, pixels: int, threads: int) -> int:
        """Estimate the memory for decoding, in bytes, without the samples and the model."""
        return min(pixels, threads * _BLOCK_PIXELS) * _BYTES_PER_PIXEL

    def read_fit(self, payload: Buffer, offset: int = 0) -> Fitted:
        """Read a section ``FITT``; raise FormatError if it is damaged."""
        return unpack(payload, offset)


FAMILY: Final[Family] = _Local()
