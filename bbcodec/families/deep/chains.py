# SPDX-License-Identifier: Apache-2.0
"""Arrays of samples as chains, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcodec.container import Buffer
from bbcodec.errors import BBCodecError, FloatModeError, FormatError
from bbcodec.families.deep import codec
from bbcodec.families.deep.head import Head
from bbcodec.families.deep.model import DeepModel
from bbcodec.families.deep.planes import Planes
from bbcodec.families.stats import ChainStats, EncodedPixels
from bbcodec.jobs import Execution, Report, parallel
from bbcodec.picture.loss import Lost
from bbcodec.picture.raster import blocks_along, cut
from bbcodec.picture.region import Place

__all__ = ["Part", "cost", "count", "decode", "encode", "parts"]

Array = NDArray[Any]


class Part(NamedTuple):
    """What a chain codes: frames, and the rows and columns of a block."""

    frames: slice
    place: Place


def parts(head: Head, frames: int, height: int, width: int) -> list[Part]:
    """Return the part of an array that each chain codes."""
    if not _has_planes(head):
        return []
    places = cut(height, width, head.side)
    groups = [slice(first, min(first + head.group, frames)) for first in range(0, frames, head.group)]
    return [Part(group, place) for group in groups for place in places]


def count(head: Head, frames: int, height: int, width: int) -> int:
    """Return the number of chains, without listing them."""
    rows, columns = blocks_along(height, width, head.side)
    return -(-frames // head.group) * rows * columns * _has_planes(head)


def _has_planes(head: Head) -> bool:
    return any(channel.values.top for channel in head.channels)


def encode(array: Array, head: Head, model: DeepModel, execution: Execution) -> EncodedPixels:
    """Encode an array of integers ``[T, C, H, W]`` as the head says."""
    frames, _, height, width = array.shape
    todo = parts(head, frames, height, width)
    report = Report(execution.progress, len(todo))
    inner = _per_chain(execution, len(todo))
    coded: list[codec.Coded | None] = [None] * len(todo)

    def run(index: int) -> None:
        planes, samples = _numbers(array, head, todo[index])
        coded[index] = codec.encode(samples, planes, model, inner)
        report.part()

    parallel(run, range(len(todo)), execution.threads)
    done = [chain for chain in coded if chain is not None]
    bits, lost = sum(chain.bits for chain in done), sum(chain.overhead for chain in done)
    stats = ChainStats(len(done), len(done), bits, 0.0, lost)
    return EncodedPixels([chain.payload for chain in done], stats)


def decode(
    chains: Sequence[Buffer],
    head: Head,
    shape: tuple[int, int, int, int],
    dtype: Any,
    model: DeepModel,
    execution: Execution,
    *,
    wanted: Sequence[int] | None = None,
    lost: Lost | None = None,
) -> Array:
    """Decode an array ``[T, C, H, W]``.

    Parameters
    ----------
    chains, head : what `encode` made.
    shape : T, C, H, W
    dtype : of the samples.
    model, execution : see `encode`.
    wanted : numbers of the chains to decode; None for all. What others code is not set.
    lost : see `bbcodec.picture.loss.Lost`. The samples of lost chains are not set.

    Raises
    ------
    FormatError
        The number of chains does not fit the shape, or a chain is damaged.
    """
    frames, _, height, width = shape
    todo = parts(head, frames, height, width)
    if len(chains) != len(todo):
        raise FormatError(f"learned payload: {len(chains)} chains, expected {len(todo)}")
    chosen = range(len(todo)) if wanted is None else wanted
    for index in chosen:
        if lost is None or index not in lost:
            codec.check_size(chains[index])
    inner = _per_chain(execution, len(chosen))
    report = Report(execution.progress, len(chosen))
    array = np.empty(shape, dtype)  # not filled: no memory is taken before a chain is decoded
    values = {channel.number: channel.values for channel in head.channels}
    for number, known in values.items():
        if known.top == 0:
            array[:, number] = known.low

    def decoded(index: int) -> None:
        part = todo[index]
        planes, where = head.planes(part.frames.stop - part.frames.start)
        rows, columns = part.place
        block = rows.stop - rows.start, columns.stop - columns.start
        found = codec.decode(chains[index], block, planes, model, inner)
        own = array[part.frames]
        for (t, c), numbers in zip(where, found, strict=True):
            own[t, c][part.place] = values[c].samples(numbers)

    def run(index: int) -> None:
        try:
            if lost is None or index not in lost:
                decoded(index)
        except FloatModeError:  # says nothing of the chain
            raise
        except BBCodecError as error:
            if lost is None:
                raise
            lost[index] = str(error)
        report.part()

    parallel(run, chosen, execution.threads)
    return array


def cost(array: Array, head: Head, model: DeepModel, execution: Execution) -> NDArray[np.float32]:
    """Return the cost of every pixel, all frames and channels together, in bits: float32 [H, W]."""
    frames, _, height, width = array.shape
    todo = parts(head, frames, height, width)
    inner = _per_chain(execution, len(todo))
    bits = np.zeros((height, width), np.float32)

    def run(part: Part) -> None:
        planes, samples = _numbers(array, head, part)
        bits[part.place] += codec.cost(samples, planes, model, inner)  # groups of one block come in turn

    for group in range(0, len(todo), max(1, count(head, 1, height, width))):
        parallel(run, todo[group : group + count(head, 1, height, width)], execution.threads)
    return bits


def _numbers(array: Array, head: Head, part: Part) -> tuple[Planes, Array]:
    """Return the planes of a chain and their numbers, [P, H, W]."""
    planes, where = head.planes(part.frames.stop - part.frames.start)
    values = {channel.number: channel.values for channel in head.channels}
    own = array[part.frames]
    return planes, np.stack([values[c].numbers(own[t, c][part.place].astype(np.int64)) for t, c in where])


def _per_chain(execution: Execution, chains: int) -> Execution:
    """Return the execution of one of several chains: the threads are divided, each chain has at least one."""
    return Execution(max(1, execution.workers // max(1, chains)), execution.backend)
