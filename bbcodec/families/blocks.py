# SPDX-License-Identifier: Apache-2.0
"""Whole pictures of families that code blocks: cut into blocks, each coded as its own payload.

A picture of H x W pixels is cut into ``ceil(H / B)`` by ``ceil(W / B)`` blocks of nearly equal size. The
model gives B, which is at most 1,024. Block row i begins at ``i H // rows``; the same holds for columns.
Blocks are in raster order. The cut depends only on the model and the size, so threads never change a byte.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bbcodec.container import Buffer
from bbcodec.errors import BBCodecError, FloatModeError, FormatError
from bbcodec.families.stats import ChainStats, EncodedPixels, Pixels
from bbcodec.jobs import Execution, Report, parallel
from bbcodec.modelfile import Model
from bbcodec.picture.loss import GRAY, Lost
from bbcodec.picture.raster import blocks_along, cut
from bbcodec.picture.region import Place, Window

__all__ = ["BLOCK", "BlockCoder", "BlockFamily", "Coded"]

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


class BlockFamily(ABC):
    """Pictures as blocks: what families share that code blocks; see `bbcodec.families.family.Family`."""

    max_side = 1024  # larger pictures are coded alone
    cost_unit = "pixel"
    universal = False
    deep = False

    @abstractmethod
    def coder(self, model: Model) -> BlockCoder:
        """Return what codes blocks with a model."""

    def encode(self, image: Pixels, model: Model, execution: Execution) -> EncodedPixels:
        """Encode a picture."""
        coder = self.coder(model)
        places = _cut(coder, *image.shape[:2])
        inner = _per_block(execution, len(places))
        report = Report(execution.progress, len(places))

        def run(place: Place) -> Coded:
            coded = coder.encode(np.ascontiguousarray(image[place]), inner)
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
        model: Model,
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
        coder = self.coder(model)
        if lost is None:
            _check(coder, chains, height, width)
        window = window or Window(0, 0, height, width)
        places = _cut(coder, height, width)
        wanted = [index for index, place in enumerate(places) if window.meet(place)]
        inner = _per_block(execution, len(wanted))
        report = Report(execution.progress, len(wanted))
        shape = (window.height, window.width, channels)
        image = np.empty(shape, np.uint8)  # not filled: no memory is taken before a block is decoded

        def decoded(index: int) -> None:
            coder.check_size(chains[index])
            rows, columns = places[index]
            shape = rows.stop - rows.start, columns.stop - columns.start
            block = coder.decode(chains[index], shape, channels, inner)
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

    def payloads(self, height: int, width: int, model: Model) -> int:
        """Return the number of blocks."""
        return _count(self.coder(model), height, width)

    def places(self, height: int, width: int, model: Model) -> list[list[Place]]:
        """Return the rows and columns that each chain codes."""
        return [[place] for place in _cut(self.coder(model), height, width)]

    def cost_map(
        self, image: Pixels, chains: Sequence[Buffer], model: Model, execution: Execution
    ) -> NDArray[np.float32]:
        """Return the exact cost of each pixel of a decoded picture in bits."""
        coder, (height, width) = self.coder(model), image.shape[:2]
        _check(coder, chains, height, width)
        places = _cut(coder, height, width)
        inner = _per_block(execution, len(places))
        report = Report(execution.progress, len(places))
        bits = np.empty((height, width), np.float32)

        def run(place: Place) -> None:
            bits[place] = coder.cost(np.ascontiguousarray(image[place]), inner)
            report.part()

        parallel(run, places, execution.threads)
        return bits

    def inspect(
        self, chains: Sequence[Buffer], height: int, width: int, model: Model | None = None
    ) -> dict[str, Any]:
        """Return facts that need no decoding: the number of blocks."""
        if model is not None:
            _check(self.coder(model), chains, height, width)
        return {"chains": len(chains), "blocks": len(chains)}

    def estimate_bits(self, image: Pixels, model: Model, execution: Execution) -> float:
        """Return the net bits of a small picture coded as one block."""
        return self.coder(model).encode(np.ascontiguousarray(image), execution.with_threads(1)).bits

    def parameters(self, model: Model) -> tuple[int, int]:
        """Return the number of 1-bit weights, and the number of all other integers."""
        hidden = model.tensors.get("hidden_w")
        others = sum(tensor.size for tensor in model.tensors.values() if tensor.dtype != np.uint64)
        return (0 if hidden is None else 64 * hidden.size), others


def _cut(coder: BlockCoder, height: int, width: int) -> list[Place]:
    """Return the rows and columns of the blocks of a picture."""
    return cut(height, width, coder.side)


def _count(coder: BlockCoder, height: int, width: int) -> int:
    return math.prod(blocks_along(height, width, coder.side))


def _check(coder: BlockCoder, chains: Sequence[Buffer], height: int, width: int) -> None:
    """Raise FormatError unless the number of blocks fits the size, and all payloads may be as long."""
    if len(chains) != (expected := _count(coder, height, width)):
        raise FormatError(f"learned payload: {len(chains)} blocks, expected {expected}")
    for chain in chains:
        coder.check_size(chain)


def _per_block(execution: Execution, blocks: int) -> Execution:
    """Return the execution of one of several blocks: the threads are divided, each block has at least one."""
    return Execution(max(1, execution.workers // max(1, blocks)), execution.backend)
