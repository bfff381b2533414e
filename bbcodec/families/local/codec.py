# SPDX-License-Identifier: Apache-2.0
"""The codec of a group of blocks, and the only place that chooses its implementation.

An implementation plans (computes the intervals of all samples, given the pixels) and decodes. Pushing is the
same for all. The samples of each time and channel use the lanes of the message in turn, beginning with lane
0, and everything is pushed in reverse. The words equal those of
`bbcodec.coding.distributions.LogisticMixture` over each time and channel.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from bbcodec.backends import backend_name
from bbcodec.coding import logistic_tables
from bbcodec.coding.ans import Head, Message, Words, tail_gather
from bbcodec.coding.codecs import Codec
from bbcodec.coding.kernels import kernels
from bbcodec.families.local import float_mode
from bbcodec.families.local.model import LocalModel
from bbcodec.families.local.order import LANES, Order
from bbcodec.jobs import SERIAL, Execution

_MODULES: Final = {"native": "native", "numba": "jit"}  # every other backend uses `reference`

Pixels = NDArray[np.uint8]
Shapes = Sequence[tuple[int, int]]
Side = Sequence[NDArray[Any]] | None
Statistics = NDArray[np.int64]


class Implementation(Protocol):
    """Functions of every implementation; see `bbcodec.families.local.reference`."""

    def plan(
        self, blocks: Sequence[Pixels], model: LocalModel, side: Side = None, threads: int = 1
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Return start and frequency of every sample, in 2^-20 and in decoding order."""
        ...

    def decode(
        self,
        head: Head,
        words: Words,
        shapes: Shapes,
        channels: int,
        model: LocalModel,
        side: Side = None,
        threads: int = 1,
    ) -> tuple[list[Pixels], Head, int, Statistics | None]:
        """Return the blocks, the head, the number of words used, and the statistics or None.

        Words are taken from the front. Statistics are computed only for a model with latents.
        """
        ...

    def survey(self, blocks: Sequence[Pixels], model: LocalModel, threads: int = 1) -> Statistics:
        """Return the statistics of every block, int64 [blocks, 441]."""
        ...


def implementation(backend: str | None = None) -> Implementation:
    """Return the implementation for a backend; see `bbcodec.backends.backend_name`.

    The functions of implementations in Python raise `FloatModeError` on a thread that computes with floats in
    another way than the format asks for.
    """
    name = backend_name(backend)
    module = importlib.import_module(f"bbcodec.families.local.{_MODULES.get(name, 'reference')}")
    found = cast(Implementation, module)
    return found if name == "native" else _Checked(found)


class _Checked:
    """An implementation in Python, which runs only if floats are computed as the format asks for.

    What the caller wants to hear of underflow and the like (`numpy.seterr`) does not concern it.
    """

    def __init__(self, found: Implementation):
        self._found = found

    def plan(
        self, blocks: Sequence[Pixels], model: LocalModel, side: Side = None, threads: int = 1
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        float_mode.check()
        with np.errstate(all="ignore"):
            return self._found.plan(blocks, model, side, threads)

    def decode(
        self,
        head: Head,
        words: Words,
        shapes: Shapes,
        channels: int,
        model: LocalModel,
        side: Side = None,
        threads: int = 1,
    ) -> tuple[list[Pixels], Head, int, Statistics | None]:
        float_mode.check()
        with np.errstate(all="ignore"):
            return self._found.decode(head, words, shapes, channels, model, side, threads)

    def survey(self, blocks: Sequence[Pixels], model: LocalModel, threads: int = 1) -> Statistics:
        float_mode.check()
        with np.errstate(all="ignore"):
            return self._found.survey(blocks, model, threads)


def group_codec(
    shapes: Shapes,
    channels: int,
    model: LocalModel,
    execution: Execution = SERIAL,
    *,
    side: Side = None,
    on_statistics: Callable[[Statistics | None], None] | None = None,
) -> Codec:
    """Return the codec of a group of blocks, for messages with a head of 8 lanes.

    Parameters
    ----------
    shapes : (height, width) of every block, in pixels.
    channels : 1 (gray) or 3 (RGB).
    model : LocalModel
    execution : threads and backend. Threads share the lanes of a time; the words do not depend on it.
    side : side information of every block, integers [H], or None.
    on_statistics : called with the statistics of the blocks after each pop.

    Returns
    -------
    Codec
        Its symbols are lists of uint8 [height, width, channels].

    Raises
    ------
    ValueError
        The shapes do not form a group. When pushing or popping: blocks or a head of another shape.
    """
    order = Order(shapes)
    compute, threads = implementation(execution.backend), execution.workers
    expected = [(*shape, channels) for shape in order.shapes]

    def check(head: Head) -> None:
        if head.shape != (LANES,):
            raise ValueError(f"expected a head of {LANES} lanes, got shape {head.shape}")

    def push(message: Message, blocks: Sequence[Pixels], *context: Any) -> tuple[Any, ...]:
        head, tail = message
        check(head)
        if [block.shape for block in blocks] != expected:
            raise ValueError(
                f"the blocks have shapes {[block.shape for block in blocks]!r:.120}, "
                f"expected shapes {expected!r:.120}"
            )
        start, freq = compute.plan(blocks, model, side, threads)
        sections = np.repeat(order.counts(), channels)  # each time and channel begins at lane 0
        lanes, words = kernels(execution.backend).push_sections(
            head, start, freq, sections, logistic_tables.PRECISION
        )
        return (lanes, (words, tail) if len(words) else tail), *context

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        head, tail = message
        check(head)
        # Each sample takes at most one word.
        tail = tail_gather(tail, sum(h * w for h, w in order.shapes) * channels)
        words, rest = tail if tail else (np.empty(0, np.uint32), ())
        blocks, lanes, used, statistics = compute.decode(
            head, words, order.shapes, channels, model, side, threads
        )
        if on_statistics:
            on_statistics(statistics)
        return (lanes, (words[used:], rest) if len(words) > used else rest), blocks, *context

    return Codec(push, pop)


def block_bits(block: Pixels, model: LocalModel, execution: Execution = SERIAL) -> NDArray[np.float64]:
    """Return the cost of every pixel of a block: the sum of ``20 - log2(freq)`` over its channels.

    Parameters
    ----------
    block : uint8 [H, W, C]
    model : LocalModel
    execution : see `group_codec`.

    Returns
    -------
    float64 [H, W], in bits
    """
    height, width, channels = block.shape
    _, freq = implementation(execution.backend).plan([block], model, None, execution.workers)
    bits = logistic_tables.PRECISION - np.log2(freq)
    # The order of samples is: by time, then by channel, then by lane.
    pixels = [np.tile(lanes.pixel, channels) for lanes in Order([(height, width)]).times()]
    total = np.zeros(height * width)
    np.add.at(total, np.concatenate(pixels), bits)
    return total.reshape(height, width)
