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
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model

__all__ = ["FAMILY"]

_BYTES_PER_PIXEL: Final = 64  # memory for a block while it is decoded: words, state of the base


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

        The tables of the layer count as the model's: it says how many there are, and how large.
        """
        return min(pixels, threads * BLOCK**2) * _BYTES_PER_PIXEL

    def read_fit(self, payload: Buffer, offset: int = 0) -> Fit:
        """Raise FormatError: the family has no fits."""
        raise FormatError("section FITT: models of the family 'loglinear' have no fits")


FAMILY: Final[Family] = _LogLinear()
