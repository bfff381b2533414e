# SPDX-License-Identifier: Apache-2.0
"""The family ``loglinear`` behind the protocol `bbcodec.families.family.Family`."""

from __future__ import annotations

from typing import Final

import numpy as np

from bbcodec.container import Buffer
from bbcodec.errors import FormatError
from bbcodec.families.blocks import BLOCK, BlockFamily
from bbcodec.families.family import Family, Fit
from bbcodec.families.loglinear import groups
from bbcodec.families.loglinear.blocks import Blocks
from bbcodec.families.loglinear.model import loglinear_model
from bbcodec.families.loglinear.tables import MIN_TABLE_BITS
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model

__all__ = ["FAMILY"]

_BYTES_PER_PIXEL: Final = 64  # memory for a block while it is decoded: words, state of the base
_BYTES_PER_ENTRY: Final = 64  # of the tables of a released model: 8 contexts of 3 channels, 8 of whole pixels
_MAX_ENTRIES: Final = 1 << 20  # of a table of a released model


class _LogLinear(BlockFamily):
    fitter: str | None = None
    universal = True

    encode_batch = staticmethod(groups.encode)
    decode_batch = staticmethod(groups.decode)

    def coder(self, model: Model) -> Blocks:
        """Return what codes blocks with a model."""
        return Blocks(loglinear_model(model))

    def prepare(self, model: Model, execution: Execution) -> None:
        """Code one pixel, which builds the tables and layers of the model."""
        groups.encode([np.zeros((1, 1, 3), np.uint8)], model, execution)

    def working_bytes(self, pixels: int, threads: int) -> int:
        """Estimate the memory for decoding, in bytes, without the samples and the model.

        Tables are counted as those of a released model: other models may have larger ones.
        """
        block = min(pixels, BLOCK**2)
        blocks = min(threads, -(-pixels // BLOCK**2))
        entries = min(_MAX_ENTRIES, max(1 << MIN_TABLE_BITS, 8 * block))
        return blocks * (block * _BYTES_PER_PIXEL + entries * _BYTES_PER_ENTRY)

    def read_fit(self, payload: Buffer, offset: int = 0) -> Fit:
        """Raise FormatError: the family has no fits."""
        raise FormatError("section FITT: models of the family 'loglinear' have no fits")


FAMILY: Final[Family] = _LogLinear()
