# SPDX-License-Identifier: Apache-2.0
"""One block with a model of the family: its payload is a message of 8 lanes.

The message is folded to one lane (`bbcodec.coding.codecs.flatten`), as little-endian uint32.
`bbcodec.families.blocks` has pictures of many blocks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding import ans
from bbcodec.coding.codecs import flatten, message_bits, unflatten
from bbcodec.container import Buffer
from bbcodec.errors import FormatError
from bbcodec.families.blocks import BLOCK, Coded
from bbcodec.families.local.codec import block_bits, group_codec
from bbcodec.families.local.model import LocalModel
from bbcodec.families.local.order import LANES
from bbcodec.families.stats import Pixels
from bbcodec.jobs import Execution


@dataclass(frozen=True)
class Blocks:
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
