# SPDX-License-Identifier: Apache-2.0
"""Whole pictures with a model of the family: cut into blocks, each coded as its own message.

A picture of H x W pixels is cut into ``ceil(H / B)`` by ``ceil(W / B)`` blocks of nearly equal size. The
model gives B, which is at most 1,024. Block row i begins at ``i H // rows``; the same holds for columns.
Blocks are in raster order. The payload of a block is its message, folded to one lane
(`bbcodec.coding.codecs.flatten`), as little-endian uint32. The cut depends only on the model and the size, so
threads never change a byte.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding import ans
from bbcodec.coding.codecs import flatten, message_bits, size_bits, unflatten
from bbcodec.container import Buffer
from bbcodec.errors import BBCodecError, FloatModeError, FormatError
from bbcodec.families.local.codec import block_bits, group_codec
from bbcodec.families.local.model import local_model
from bbcodec.families.local.order import LANES
from bbcodec.families.stats import ChainStats, EncodedPixels, Pixels
from bbcodec.jobs import Execution, Report, parallel
from bbcodec.modelfile import Model
from bbcodec.picture.loss import GRAY, Lost
from bbcodec.picture.raster import blocks_along, cut
from bbcodec.picture.region import Place, Window

BLOCK: Final = 1024  # largest side of a block in pixels


def encode(image: Pixels, model: Model, execution: Execution) -> EncodedPixels:
    """Encode a picture; see `bbcodec.families.family.Family`."""
    height, width, channels = image.shape
    local = local_model(model)
    places = _cut(height, width, local.block)
    inner = _per_block(execution, len(places))
    report = Report(execution.progress, len(places))

    def run(place: tuple[slice, slice]) -> tuple[bytes, float, float]:
        block = np.ascontiguousarray(image[place])
        codec = group_codec([block.shape[:2]], channels, local, inner)
        message = ans.base_message(LANES)
        before = message_bits(message)
        (message,) = codec.push(message, [block])
        words = flatten(message)
        bits = message_bits(message) - before
        report.part()
        return words.astype("<u4").tobytes(), bits, 32.0 * len(words) - bits

    results = parallel(run, places, execution.threads)
    stats = ChainStats(
        len(places),
        len(places),
        math.fsum(bits for _, bits, _ in results),
        0.0,
        math.fsum(lost for _, _, lost in results),
    )
    return EncodedPixels([payload for payload, _, _ in results], stats)


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
    local = local_model(model)
    if lost is None:
        _check(chains, height, width, local.block)
    window = window or Window(0, 0, height, width)
    places = _cut(height, width, local.block)
    wanted = [index for index, place in enumerate(places) if window.meet(place)]
    inner = _per_block(execution, len(wanted))
    report = Report(execution.progress, len(wanted))
    shape = (window.height, window.width, channels)
    image = np.empty(shape, np.uint8)  # not filled: no memory is taken before a block is decoded

    def decoded(index: int) -> None:
        _check_size(chains[index])
        rows, columns = places[index]
        shape = rows.stop - rows.start, columns.stop - columns.start
        codec = group_codec([shape], channels, local, inner)
        words = np.frombuffer(chains[index], "<u4").astype(np.uint32)
        message, (block,) = codec.pop(unflatten(words, LANES))
        if not ans.message_equal(message, ans.base_message(LANES)):
            raise FormatError("learned payload: the message is damaged, it does not end in its initial state")
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


def payloads(height: int, width: int, model: Model) -> int:
    """Return the number of blocks; see `Family.payloads`."""
    return math.prod(blocks_along(height, width, min(local_model(model).block, BLOCK)))


def places(height: int, width: int, model: Model) -> list[list[tuple[slice, slice]]]:
    """Return the rows and columns that each chain codes; see `Family.places`."""
    return [[place] for place in _cut(height, width, local_model(model).block)]


def cost_map(
    image: Pixels, chains: Sequence[Buffer], model: Model, execution: Execution
) -> NDArray[np.float32]:
    """Return the exact cost of each pixel of a decoded picture in bits; see `Family.cost_map`."""
    height, width = image.shape[:2]
    local = local_model(model)
    _check(chains, height, width, local.block)
    places = _cut(height, width, local.block)
    inner = _per_block(execution, len(places))
    report = Report(execution.progress, len(places))
    bits = np.empty((height, width), np.float32)

    def run(place: tuple[slice, slice]) -> None:
        block = np.ascontiguousarray(image[place])
        bits[place] = block_bits(block, local, inner)
        report.part()

    parallel(run, places, execution.threads)
    return bits


def inspect(chains: Sequence[Buffer], height: int, width: int, model: Model | None = None) -> dict[str, Any]:
    """Return facts that need no decoding: the number of blocks, and the bits of their base states."""
    if model is not None:
        _check(chains, height, width, local_model(model).block)
    lost = 32 * len(flatten(ans.base_message(LANES))) * len(chains)
    return {"chains": len(chains), "blocks": len(chains), "initial_bits_lost": lost}


def estimate_bits(image: Pixels, model: Model, execution: Execution) -> float:
    """Return the net bits of a small picture coded as one block; see `Family.estimate_bits`."""
    height, width, channels = image.shape
    codec = group_codec([(height, width)], channels, local_model(model), execution.with_threads(1))
    message = ans.base_message(LANES)
    (after,) = codec.push(message, [np.ascontiguousarray(image)])
    return float(size_bits(after) - size_bits(message))


def _cut(height: int, width: int, side: int) -> list[Place]:
    """Return the rows and columns of the blocks of a picture, for a model with blocks of at most `side`."""
    return cut(height, width, min(side, BLOCK))


def _per_block(execution: Execution, blocks: int) -> Execution:
    """Return the execution of one of several blocks: the threads are divided, each block has at least one."""
    return Execution(max(1, execution.workers // max(1, blocks)), execution.backend)


def _check(chains: Sequence[Buffer], height: int, width: int, side: int) -> None:
    """Raise FormatError unless the number of blocks fits the size, and each payload has a possible length."""
    expected = math.prod(blocks_along(height, width, min(side, BLOCK)))
    if len(chains) != expected:
        raise FormatError(f"learned payload: {len(chains)} blocks, expected {expected}")
    for chain in chains:
        _check_size(chain)


def _check_size(chain: Buffer) -> None:
    """Raise FormatError unless a message can have this length."""
    if len(chain) < 8 or len(chain) % 4:
        raise FormatError(f"learned payload: block of {len(chain)} bytes, expected 4 n, n >= 2")
