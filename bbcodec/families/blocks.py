# SPDX-License-Identifier: Apache-2.0
"""Whole pictures of families that code blocks: cut into blocks, each coded as its own payload.

A picture of H x W pixels is cut into ``ceil(H / B)`` by ``ceil(W / B)`` blocks of nearly equal size. The
model gives B, which is at most 1,024. Block row i begins at ``i H // rows``; the same holds for columns.
Blocks are in raster order. The cut depends only on the model and the size, so threads never change a byte.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bbcodec.container import Buffer
from bbcodec.errors import BBCodecError, FloatModeError, FormatError
from bbcodec.families.stats import ChainStats, EncodedPixels, Pixels
from bbcodec.jobs import Execution, Report, parallel
from bbcodec.picture.loss import GRAY, Lost
from bbcodec.picture.raster import blocks_along, cut
from bbcodec.picture.region import Place, Window

__all__ = ["BLOCK", "BlockCoder", "Coded", "Pictures"]

BLOCK: Final = 1024  # largest side of a block in pixels


class Coded(NamedTuple):
    """A coded block: its payload, the bits of its samples, and the bits of what every payload has."""

    payload: bytes
    bits: float
    overhead: float


class BlockCoder(Protocol):
    """How a family codes one block with one model."""

    @property
    def side(self) -> int:
        """Return the largest side of a block in pixels."""
        ...

    def encode(self, block: Pixels, execution: Execution) -> Coded:
        """Encode a block, uint8 [h, w, C], contiguous."""
        ...

    def decode(self, payload: Buffer, shape: tuple[int, int], channels: int, execution: Execution) -> Pixels:
        """Decode a block, uint8 [h, w, C]; raise FormatError if the payload is damaged."""
        ...

    def cost(self, block: Pixels, execution: Execution) -> NDArray[Any]:
        """Return the cost of each pixel of a block in bits, [h, w]."""
        ...

    def check_size(self, payload: Buffer) -> None:
        """Raise FormatError unless a payload can have this length."""
        ...


class Pictures:
    """Pictures as blocks, coded with one model; the methods are those of `bbcodec.families.family.Family`."""

    def __init__(self, coder: BlockCoder):
        self._coder = coder

    def encode(self, image: Pixels, execution: Execution) -> EncodedPixels:
        """Encode a picture."""
        places = self._cut(*image.shape[:2])
        inner = _per_block(execution, len(places))
        report = Report(execution.progress, len(places))

        def run(place: Place) -> Coded:
            coded = self._coder.encode(np.ascontiguousarray(image[place]), inner)
            report.part()
            return coded

        results = parallel(run, places, execution.threads)
        bits, overhead = (
            math.fsum(part.bits for part in results),
            math.fsum(part.overhead for part in results),
        )
        stats = ChainStats(len(places), len(places), bits, 0.0, overhead)
        return EncodedPixels([part.payload for part in results], stats)

    def decode(
        self,
        chains: Sequence[Buffer],
        height: int,
        width: int,
        channels: int,
        execution: Execution,
        *,
        window: Window | None = None,
        lost: Lost | None = None,
    ) -> Pixels:
        """Decode a picture or a window of it.

        Raises
        ------
        FormatError
            The number of payloads does not fit the size, or a payload is damaged.
        """
        if lost is None:
            self.check(chains, height, width)
        window = window or Window(0, 0, height, width)
        places = self._cut(height, width)
        wanted = [index for index, place in enumerate(places) if window.meet(place)]
        inner = _per_block(execution, len(wanted))
        report = Report(execution.progress, len(wanted))
        shape = (window.height, window.width, channels)
        image = np.empty(shape, np.uint8)  # not filled: no memory is taken before a block is decoded

        def decoded(index: int) -> None:
            self._coder.check_size(chains[index])
            rows, columns = places[index]
            shape = rows.stop - rows.start, columns.stop - columns.start
            block = self._coder.decode(chains[index], shape, channels, inner)
            met = window.meet(places[index])
            assert met is not None  # only blocks that meet the window are decoded
            image[met[0]] = block[met[1]]

        def run(index: int) -> None:
            try:
                if lost is None or index not in lost:
                    decoded(index)
            except FloatModeError:  # says nothing of the block
                raise
            except BBCodecError as error:
                if lost is None:
                    raise
                lost[index] = str(error)
            report.part()

        parallel(run, wanted, execution.threads)
        if lost:
            if all(index in lost for index in wanted):
                return np.broadcast_to(np.uint8(GRAY), shape)  # takes no memory
            for index in lost:
                if met := window.meet(places[index]):
                    image[met[0]] = GRAY
        return image

    def payloads(self, height: int, width: int) -> int:
        """Return the number of blocks."""
        return math.prod(blocks_along(height, width, self._coder.side))

    def places(self, height: int, width: int) -> list[list[Place]]:
        """Return the rows and columns that each chain codes."""
        return [[place] for place in self._cut(height, width)]

    def cost_map(self, image: Pixels, chains: Sequence[Buffer], execution: Execution) -> NDArray[np.float32]:
        """Return the exact cost of each pixel of a decoded picture in bits."""
        height, width = image.shape[:2]
        self.check(chains, height, width)
        places = self._cut(height, width)
        inner = _per_block(execution, len(places))
        report = Report(execution.progress, len(places))
        bits = np.empty((height, width), np.float32)

        def run(place: Place) -> None:
            bits[place] = self._coder.cost(np.ascontiguousarray(image[place]), inner)
            report.part()

        parallel(run, places, execution.threads)
        return bits

    def check(self, chains: Sequence[Buffer], height: int, width: int) -> None:
        """Raise FormatError unless the number of blocks fits the size, and all payloads may be as long."""
        expected = self.payloads(height, width)
        if len(chains) != expected:
            raise FormatError(f"learned payload: {len(chains)} blocks, expected {expected}")
        for chain in chains:
            self._coder.check_size(chain)

    def _cut(self, height: int, width: int) -> list[Place]:
        return cut(height, width, self._coder.side)


def _per_block(execution: Execution, blocks: int) -> Execution:
    """Return the execution of one of several blocks: the threads are divided, each block has at least one."""
    return Execution(max(1, execution.workers // max(1, blocks)), execution.backend)
