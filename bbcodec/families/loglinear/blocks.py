# SPDX-License-Identifier: Apache-2.0
"""One block with a model of the family: its payload is the words of its streams (docs/loglinear.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.ans import Words
from bbcodec.container import Buffer, Reader, varint
from bbcodec.errors import FormatError
from bbcodec.families.blocks import BLOCK, Coded
from bbcodec.families.local.blocks import Blocks as Plain
from bbcodec.families.local.order import Order
from bbcodec.families.loglinear import codec
from bbcodec.families.loglinear.coding import PLAIN, coding_for
from bbcodec.families.loglinear.model import LogLinearModel
from bbcodec.families.loglinear.reference import stream_count
from bbcodec.families.stats import Pixels
from bbcodec.jobs import Execution

_HEAD_BITS: Final = 64  # of a stream, before its first decision


@dataclass(frozen=True)
class Blocks:
    """Blocks with a model; see `bbcodec.families.blocks.BlockCoder`."""

    model: LogLinearModel

    @property
    def side(self) -> int:
        return min(self.model.base.block, BLOCK)

    def encode(self, block: Pixels, execution: Execution) -> Coded:
        coding = coding_for([block], self.model.plain)
        head = bytes([coding])
        if coding == PLAIN:
            plain = Plain(self.model.base).encode(block, execution)
            return Coded(head + plain.payload, plain.bits, plain.overhead + 8.0)
        streams = codec.encode([block], self.model, execution, coding - 1)
        sizes = b"".join(varint(len(words)) for words in streams[:-1])
        payload = head + sizes + b"".join(words.astype("<u4").tobytes() for words in streams)
        overhead = 8 + 8 * len(sizes) + _HEAD_BITS * len(streams)
        return Coded(payload, 8.0 * len(payload) - overhead, float(overhead))

    def decode(self, payload: Buffer, shape: tuple[int, int], channels: int, execution: Execution) -> Pixels:
        data = bytes(payload)
        if data[0] > PLAIN:
            raise FormatError(f"learned payload: coding {data[0]} is unknown, expected 0 to {PLAIN}")
        if data[0] == PLAIN:
            plain = Plain(self.model.base)
            plain.check_size(data[1:])
            return plain.decode(data[1:], shape, channels, execution)
        words = self._streams(Reader(data[1:], "learned payload"), stream_count(Order([shape]).slots))
        (found,) = codec.decode(words, [shape], channels, self.model, execution, data[0] - 1)
        return found

    def _streams(self, reader: Reader, count: int) -> list[Words]:
        sizes = [reader.varint("number of words") for _ in range(count - 1)]
        words = np.frombuffer(reader.rest(), np.uint8)
        last = len(words) // 4 - sum(sizes)
        if len(words) % 4 or last < 0:
            raise FormatError(
                f"learned payload: {len(words)} bytes of words, expected 4 n for streams of {sizes}"
            )
        parts = np.split(words.view("<u4").astype(np.uint32), np.cumsum(sizes))
        if any(len(part) < 2 for part in parts):
            raise FormatError("learned payload: a stream has less than two words")
        return parts

    def cost(self, block: Pixels, execution: Execution) -> NDArray[Any]:
        coding = coding_for([block], self.model.plain)
        if coding == PLAIN:
            return Plain(self.model.base).cost(block, execution)
        (bits,) = codec.cost([block], self.model, execution, coding - 1)
        return bits

    def check_size(self, payload: Buffer) -> None:
        if len(payload) < 9:
            raise FormatError(f"learned payload: block of {len(payload)} bytes, expected at least 9")
