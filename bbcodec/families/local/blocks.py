# SPDX-License-Identifier: Apache-2.0
"""One block with a model of the family: its payload is a message of 8 lanes.

The message is folded to one lane (`bbcodec.coding.codecs.flatten`), as little-endian uint32.
`bbcodec.families.blocks` has pictures of many blocks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding import ans
from bbcodec.coding.codecs import flatten, message_bits, size_bits, unflatten
from bbcodec.container import Buffer
from bbcodec.errors import FormatError
from bbcodec.families.blocks import BLOCK, Coded, Pictures
from bbcodec.families.local.codec import block_bits, group_codec
from bbcodec.families.local.model import LocalModel, local_model
from bbcodec.families.local.order import LANES
from bbcodec.families.stats import EncodedPixels, Pixels
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model
from bbcodec.picture.loss import Lost
from bbcodec.picture.region import Place, Window


@dataclass(frozen=True)
class _Blocks:
    """Blocks with a model; see `bbcodec.families.blocks.BlockCoder`."""

    model: LocalModel

    @property
    def side(self) -> int:
        return min(self.model.block, BLOCK)

    def encode(self, block: Pixels, execution: Execution) -> Coded:
        codec = group_codec([block.shape[:2]], block.shape[2], self.model, execution)
        message = ans.base_message(LANES)
        before = message_bits(message)
        (message,) = codec.push(message, [block])
        words = flatten(message)
        bits = message_bits(message) - before
        return Coded(words.astype("<u4").tobytes(), bits, 32.0 * len(words) - bits)

    def decode(self, payload: Buffer, shape: tuple[int, int], channels: int, execution: Execution) -> Pixels:
        codec = group_codec([shape], channels, self.model, execution)
        words = np.frombuffer(payload, "<u4").astype(np.uint32)
        message, (block,) = codec.pop(unflatten(words, LANES))
        if not ans.message_equal(message, ans.base_message(LANES)):
            raise FormatError("learned payload: the message is damaged, it does not end in its initial state")
        found: Pixels = block
        return found

    def cost(self, block: Pixels, execution: Execution) -> NDArray[np.float64]:
        return block_bits(block, self.model, execution)

    def check_size(self, payload: Buffer) -> None:
        if len(payload) < 8 or len(payload) % 4:
            raise FormatError(f"learned payload: block of {len(payload)} bytes, expected 4 n, n >= 2")


def _pictures(model: Model) -> Pictures:
    return Pictures(_Blocks(local_model(model)))


def encode(image: Pixels, model: Model, execution: Execution) -> EncodedPixels:
    """Encode a picture; see `bbcodec.families.family.Family`."""
    return _pictures(model).encode(image, execution)


def decode(
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
    """Decode a picture or a window of it; see `bbcodec.families.family.Family`.

    Raises
    ------
    FormatError
        The number of payloads does not fit the size, or a payload is damaged.
    """
    return _pictures(model).decode(chains, height, width, channels, execution, window=window, lost=lost)


def payloads(height: int, width: int, model: Model) -> int:
    """Return the number of blocks; see `Family.payloads`."""
    return _pictures(model).payloads(height, width)


def places(height: int, width: int, model: Model) -> list[list[Place]]:
    """Return the rows and columns that each chain codes; see `Family.places`."""
    return _pictures(model).places(height, width)


def cost_map(
    image: Pixels, chains: Sequence[Buffer], model: Model, execution: Execution
) -> NDArray[np.float32]:
    """Return the exact cost of each pixel of a decoded picture in bits; see `Family.cost_map`."""
    return _pictures(model).cost_map(image, chains, execution)


def inspect(chains: Sequence[Buffer], height: int, width: int, model: Model | None = None) -> dict[str, Any]:
    """Return facts that need no decoding: the number of blocks, and the bits of their base states."""
    if model is not None:
        _pictures(model).check(chains, height, width)
    lost = 32 * len(flatten(ans.base_message(LANES))) * len(chains)
    return {"chains": len(chains), "blocks": len(chains), "initial_bits_lost": lost}


def estimate_bits(image: Pixels, model: Model, execution: Execution) -> float:
    """Return the net bits of a small picture coded as one block; see `Family.estimate_bits`."""
    height, width, channels = image.shape
    codec = group_codec([(height, width)], channels, local_model(model), execution.with_threads(1))
    message = ans.base_message(LANES)
    (after,) = codec.push(message, [np.ascontiguousarray(image)])
    return float(size_bits(after) - size_bits(message))
