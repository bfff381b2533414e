# SPDX-License-Identifier: Apache-2.0
"""The family ``loglinear`` behind the protocol `bbcodec.families.family.Family`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Words
from bbcodec.container import Buffer
from bbcodec.errors import FormatError
from bbcodec.families.blocks import BLOCK, Pictures
from bbcodec.families.family import Family, Fit
from bbcodec.families.loglinear import groups
from bbcodec.families.loglinear.blocks import Blocks
from bbcodec.families.loglinear.model import loglinear_model
from bbcodec.families.stats import EncodedPixels, Pixels
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model
from bbcodec.picture.loss import Lost
from bbcodec.picture.region import Place, Window

__all__ = ["FAMILY"]

_BYTES_PER_PIXEL: Final = 64  # memory for a block while it is decoded: words, state of the base


class _LogLinear:
    max_side = 1024  # larger pictures are coded alone
    cost_unit = "pixel"
    fitter: str | None = None

    def encode(self, image: Pixels, model: Model, execution: Execution) -> EncodedPixels:
        return _pictures(model).encode(image, execution)

    def decode(
        self,
        chains: Sequence[Buffer],
        height: int,
        width: int,
        channels: int,
        model: Model,
        execution: Execution,
        *,
        window: Window | None = None,
        lost: Lost | None = None,
    ) -> Pixels:
        return _pictures(model).decode(chains, height, width, channels, execution, window=window, lost=lost)

    def payloads(self, height: int, width: int, model: Model) -> int:
        return _pictures(model).payloads(height, width)

    def places(self, height: int, width: int, model: Model) -> list[list[Place]]:
        return _pictures(model).places(height, width)

    def cost_map(
        self, image: Pixels, chains: Sequence[Buffer], model: Model, execution: Execution
    ) -> NDArray[np.float32]:
        return _pictures(model).cost_map(image, chains, execution)

    def inspect(
        self, chains: Sequence[Buffer], height: int, width: int, model: Model | None = None
    ) -> dict[str, Any]:
        if model is not None:
            _pictures(model).check(chains, height, width)
        return {"chains": len(chains), "blocks": len(chains)}

    def estimate_bits(self, image: Pixels, model: Model, execution: Execution) -> float:
        return (
            Blocks(loglinear_model(model)).encode(np.ascontiguousarray(image), execution.with_threads(1)).bits
        )

    def encode_batch(self, images: Sequence[Pixels], model: Model, execution: Execution) -> tuple[int, Words]:
        return groups.encode(images, loglinear_model(model), execution)

    def decode_batch(
        self,
        plain: int,
        words: Words,
        shapes: Sequence[tuple[int, int]],
        channels: int,
        model: Model,
        execution: Execution,
    ) -> list[Pixels]:
        return groups.decode(plain, words, shapes, channels, loglinear_model(model), execution)

    def prepare(self, model: Model, execution: Execution) -> None:
        """Code one pixel, which builds the tables and layers of the model."""
        groups.encode([np.zeros((1, 1, 3), np.uint8)], loglinear_model(model), execution)

    def parameters(self, model: Model) -> tuple[int, int]:
        """Return the number of 1-bit weights, and the number of all other integers."""
        hidden = model.tensors.get("hidden_w")
        others = sum(tensor.size for tensor in model.tensors.values() if tensor.dtype != np.uint64)
        return (0 if hidden is None else 64 * hidden.size), others

    def working_bytes(self, pixels: int, threads: int) -> int:
        """Estimate the memory for decoding, in bytes, without the samples and the model.

        The tables of the layer count as the model's: it says how many there are, and how large.
        """
        return min(pixels, threads * BLOCK**2) * _BYTES_PER_PIXEL

    def read_fit(self, payload: Buffer, offset: int = 0) -> Fit:
        """Raise FormatError: the family has no fits."""
        raise FormatError("section FITT: models of the family 'loglinear' have no fits")


def _pictures(model: Model) -> Pictures:
    return Pictures(Blocks(loglinear_model(model)))


FAMILY: Final[Family] = _LogLinear()
