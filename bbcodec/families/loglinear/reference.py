# SPDX-License-Identifier: Apache-2.0
"""Reference implementation of the family: the base of `bbcodec.families.local.reference`, and the layer.

It defines the format together with docs/loglinear.md. Every implementation of the family has the functions
`encode`, `decode` and `cost`, and all give the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding import ans, logistic_tables
from bbcodec.coding.ans import Words
from bbcodec.coding.kernels import kernels
from bbcodec.errors import FormatError
from bbcodec.families.local.order import CHANNELS, MAX_LANES, Lanes, Order
from bbcodec.families.local.order import neighbours as places_of
from bbcodec.families.local.reference import Integers, Step, to_blocks, to_planes, walk
from bbcodec.families.loglinear import scalar
from bbcodec.families.loglinear.model import LogLinearModel
from bbcodec.families.loglinear.scalar import Layer, Streams
from bbcodec.families.loglinear.scalar import Pixels as WholePixels
from bbcodec.families.loglinear.tables import (
    LANES_OF_STREAM,
    MAX_STREAMS,
    PIXEL_CONTEXTS,
    PIXEL_KINDS,
    PLACE,
    RECALL_BITS,
    START_COUNT,
    TERMS,
    table_bits,
)

Pixels = NDArray[np.uint8]
Shapes = Sequence[tuple[int, int]]

_NO_WORDS = np.empty(0, np.uint32)
_DECISIONS = 17  # that a sample takes at most: 14, and a third of those of its pixel

ALL_PREDICTED = -1
"""In place of a number of neighbours: no whole pixels are looked for."""


def encode(
    blocks: Sequence[Pixels], model: LogLinearModel, threads: int = 1, neighbours: int = ALL_PREDICTED
) -> list[Words]:
    """Return the words of every stream of a group: its head, high half first, then its tail from the front.

    Parameters
    ----------
    blocks : uint8 [height, width, C] each; C is 1 or 3 and the same for all.
    model : LogLinearModel
    threads : ignored here.
    neighbours : how many neighbours of a pixel must have been found for it to be looked for as a whole, 0
        to 6; `ALL_PREDICTED` for none.

    Raises
    ------
    ValueError
        The blocks do not form a group.
    """
    planes = to_planes(blocks)
    shapes = [(block.shape[0], block.shape[1]) for block in blocks]
    streams = recording(shapes, planes.size)
    run(shapes, planes, model, streams, neighbours)
    return pushed(streams)


def decode(
    words: Sequence[Words],
    shapes: Shapes,
    channels: int,
    model: LogLinearModel,
    threads: int = 1,
    neighbours: int = ALL_PREDICTED,
) -> list[Pixels]:
    """Return the blocks of a group, uint8 [height, width, C] each.

    Parameters
    ----------
    words : uint32, of every stream; see `encode`.
    shapes : (height, width) of every block, in pixels.
    channels : 1 or 3
    model, threads, neighbours : see `encode`.

    Raises
    ------
    FormatError
        The words do not end where the samples do, or not in the initial state.
    ValueError
        The shapes do not form a group, or the number of streams is not that of the shapes.
    """
    planes = np.zeros((channels, sum(h * w for h, w in shapes)), np.int64)
    streams = popping(words, shapes)
    run(shapes, planes, model, streams, neighbours)
    check_end(streams)
    return to_blocks(planes, shapes)


def cost(
    blocks: Sequence[Pixels], model: LogLinearModel, threads: int = 1, neighbours: int = ALL_PREDICTED
) -> list[NDArray[np.float32]]:
    """Return the cost of every pixel in bits: float32 [height, width] of every block."""
    planes = to_planes(blocks)
    shapes = [(block.shape[0], block.shape[1]) for block in blocks]
    streams = recording(shapes, planes.size)
    bits = np.zeros(planes.shape[1])
    run(shapes, planes, model, streams, neighbours, bits)
    ends = np.cumsum([h * w for h, w in shapes])[:-1]
    parts = zip(np.split(bits.astype(np.float32), ends), shapes, strict=True)
    return [part.reshape(shape) for part, shape in parts]


def stream_count(slots: int) -> int:
    """Return the number of streams of a group with that many slots."""
    return min(MAX_STREAMS, max(1, slots // LANES_OF_STREAM))


def recording(shapes: Shapes, samples: int) -> Streams:
    """Return streams that keep the decisions of a group for `pushed`."""
    count = stream_count(Order(shapes).slots)
    none = np.zeros(count, np.int64)
    return Streams(
        decoding=False,
        heads=np.zeros(count, np.uint64),
        words=_NO_WORDS,
        at=none,
        end=none,
        failed=np.zeros(1, np.int64),
        record=np.empty(_DECISIONS * samples, np.uint32),
        owner=np.empty(_DECISIONS * samples, np.uint8),
        count=np.zeros(1, np.int64),
    )


def pushed(streams: Streams, backend: str = "numpy") -> list[Words]:
    """Push the decisions of every stream, the last one first; return the words."""
    count = int(streams.count[0])
    record, owner = streams.record[:count], streams.owner[:count]
    found = []
    for stream in range(len(streams.heads)):
        own = record[owner == stream]
        p, bit = own & 0xFFFF, own >> 16
        start, size = np.where(bit, 0, p), np.where(bit, p, 65536 - p)
        head, words = kernels(backend).push_sections(
            ans.base_message(1)[0],
            start.astype(np.uint32),
            size.astype(np.uint32),
            np.ones(len(own), np.int64),
            16,
        )
        found.append(ans.flatten((head, (words, ()) if len(words) else ())))
    return found


def popping(words: Sequence[Words], shapes: Shapes) -> Streams:
    """Return streams that pop the words of a group.

    Raises
    ------
    FormatError
        A stream is too short for its head, or its head is not one.
    ValueError
        The number of streams is not that of the shapes.
    """
    count = stream_count(Order(shapes).slots)
    if len(words) != count:
        raise ValueError(f"expected {count} streams, got {len(words)}")
    heads = np.concatenate([ans.unflatten(part, 1)[0] for part in words])
    ends = np.cumsum([len(part) for part in words])
    return Streams(
        decoding=True,
        heads=heads,
        words=np.concatenate([np.asarray(part, np.uint32) for part in words]),
        at=np.concatenate([[0], ends[:-1]]) + 2,
        end=ends,
        failed=np.zeros(1, np.int64),
        record=_NO_WORDS,
        owner=np.empty(0, np.uint8),
        count=np.zeros(1, np.int64),
    )


def check_end(streams: Streams) -> None:
    """Raise FormatError unless every stream has ended with its last word, in the initial state."""
    whole = not streams.failed[0] and np.array_equal(streams.at, streams.end)
    if not whole or not np.all(streams.heads == ans.LOWER):
        raise FormatError("learned payload: a stream is damaged, it does not end in its initial state")


def layer_of(model: LogLinearModel, shapes: Shapes, channels: int) -> Layer:
    """Return the state that the layer of a group begins with."""
    if channels not in CHANNELS:
        raise ValueError(f"a block has 1 or 3 channels, got {channels}")
    slots, n = Order(shapes).slots, model.contexts
    kinds = [3] if channels == 1 else [0, 1, 2]
    bits = table_bits(sum(h * w for h, w in shapes), model.table_bits)
    return Layer(
        skip=model.skip,
        mix_shift=model.mix_shift,
        bits=bits,
        numbers=model.terms[kinds].astype(np.int64),
        direct=model.direct[kinds].astype(np.int64),
        tables=np.zeros((channels, n, 1 << bits), np.int16),
        weights=model.mix[kinds].astype(np.int64),
        visits=np.zeros(channels, np.int64),
        decisions=np.zeros((channels, slots), np.int64),
        decision=np.zeros((channels, slots, scalar.MAX_DECISIONS, 6), np.int64),
        origins=np.zeros((channels, slots, n), np.int64),
        lines=np.zeros((channels, slots), np.int64),
        line=np.zeros((channels, slots, scalar.MAX_LINES, n), np.int64),
        terms=np.zeros(TERMS, np.int64),
        hashes=np.zeros(n, np.int64),
        entries=np.zeros(n, np.int64),
    )


def pixels_of(model: LogLinearModel, shapes: Shapes, planes: Integers, neighbours: int) -> WholePixels:
    """Return what a group knows of whole pixels at first; planes [C, P], zeros if they are not known."""
    order = Order(shapes)
    slots, count = order.slots, order.pixels
    used = neighbours != ALL_PREDICTED
    bits = table_bits(count, model.table_bits)
    tables = np.zeros((1, PIXEL_CONTEXTS, 1 << bits if used else 1), np.int16)
    if used:
        lines = tables[0, 0].reshape(-1, PLACE)[: len(model.pixel_start), :PIXEL_KINDS]
        start = model.pixel_start.astype(np.int16)
        lines[:] = np.where(start != 0, 256 * start + START_COUNT, 0)
    colours = np.zeros(count + 1, np.int64)
    for plane in planes:
        colours = colours << 8 | np.append(plane, 128)
    layer = Layer(
        skip=model.skip,
        mix_shift=model.mix_shift,
        bits=bits,
        numbers=np.zeros((1, PIXEL_CONTEXTS, 4), np.int64),
        direct=np.zeros((1, PIXEL_CONTEXTS), np.int64),
        tables=tables,
        weights=model.pixel_mix[None].astype(np.int64),
        visits=np.zeros(1, np.int64),
        decisions=np.zeros((1, slots), np.int64),
        decision=np.zeros((1, slots, scalar.MAX_DECISIONS, 6), np.int64),
        origins=np.zeros((1, slots, PIXEL_CONTEXTS), np.int64),
        lines=np.zeros((1, slots), np.int64),
        line=np.zeros((1, slots, 1, PIXEL_CONTEXTS), np.int64),
        terms=np.zeros(TERMS, np.int64),
        hashes=np.zeros(PIXEL_CONTEXTS, np.int64),
        entries=np.zeros(PIXEL_CONTEXTS, np.int64),
    )
    recall_bits = min(bits, RECALL_BITS)
    return WholePixels(
        layer=layer,
        neighbours=neighbours,
        recall_bits=recall_bits,
        colours=colours,
        codes=np.zeros(count + 1, np.int64),
        recalled=np.full((scalar.RECALLS, 1 << recall_bits), -1, np.int64),
        asked=np.zeros(slots, np.int64),
        found=np.zeros(slots, np.int64),
        candidates=np.zeros(slots, np.int64),
        candidate=np.zeros((slots, PIXEL_KINDS), np.int64),
        kind=np.zeros((slots, PIXEL_KINDS), np.int64),
        recall=np.zeros((slots, scalar.RECALLS), np.int64),
        near=np.zeros(scalar.AROUND, np.int64),
        around=np.zeros(scalar.AROUND, np.int64),
        codes_near=np.zeros(scalar.NEAR, np.int64),
    )


def run(
    shapes: Shapes,
    planes: Integers,
    model: LogLinearModel,
    streams: Streams,
    neighbours: int = ALL_PREDICTED,
    bits: NDArray[np.float64] | None = None,
) -> None:
    """Code the samples of a group, or find them; add the cost of each pixel to bits [P], if wanted."""
    assert Order(shapes).slots <= MAX_LANES
    _Run(shapes, planes, model, streams, neighbours, bits)()


class _Run:
    """One pass over a group."""

    def __init__(
        self,
        shapes: Shapes,
        planes: Integers,
        model: LogLinearModel,
        streams: Streams,
        neighbours: int,
        bits: NDArray[np.float64] | None,
    ):
        self._planes, self._streams, self._bits = planes, streams, bits
        self._layer = layer_of(model, shapes, len(planes))
        self._pixels = pixels_of(model, shapes, planes, neighbours)
        self._slots = Order(shapes).slots
        self._samples = np.pad(planes, ((0, 0), (0, 1)), constant_values=128)
        self._steps = walk(shapes, len(planes), model.base, begin=self._begin)
        self._last: Lanes | None = None
        self._counted = 0  # decisions whose cost was added

    def __call__(self) -> None:
        """Code all samples."""
        step = next(self._steps)
        while True:
            for lane in range(len(step.lanes.pixel)):
                if not self._pixels.found[lane]:
                    self._code(step, lane)
            symbols = self._samples[step.channel, step.lanes.pixel]
            self._planes[step.channel, step.lanes.pixel] = symbols
            try:
                step = self._steps.send(symbols)
            except StopIteration:
                return

    def _begin(self, lanes: Lanes) -> NDArray[np.bool_] | None:
        """Learn from the time before; look for whole pixels, and return which were found."""
        if self._last is not None:
            self._learn(self._last)
        self._last = lanes
        pixels = self._pixels
        if pixels.neighbours == ALL_PREDICTED:
            return None
        y = (lanes.time - lanes.x) // 3
        yy, xx = places_of(scalar.FURTHER, y, lanes.x, lanes.width)
        further = lanes.pixel + (yy - y) * lanes.width + xx - lanes.x
        further[yy < 0] = len(pixels.colours) - 1
        near = np.concatenate([lanes.own, further])
        for lane, pixel in enumerate(lanes.pixel.tolist()):
            scalar.look(pixels, near[:, lane], lane)
            stream = self._stream(lanes, lane)
            found = scalar.code_pixel(pixels, self._streams, stream, lane, pixel)
            pixels.found[lane] = found
            if found:
                scalar.spread_colour(pixels, pixel, self._samples)
            self._add_cost(pixel)
        found_lanes: NDArray[np.bool_] = pixels.found[: len(lanes.pixel)] > 0
        return found_lanes

    def _learn(self, lanes: Lanes) -> None:
        pixels = self._pixels
        for c in range(len(self._planes)):
            for lane in range(len(lanes.pixel)):
                if not pixels.found[lane]:
                    scalar.learn(self._layer, c, lane)
        if pixels.neighbours == ALL_PREDICTED:
            return
        for lane, pixel in enumerate(lanes.pixel.tolist()):
            scalar.learn_pixel(pixels, lane, pixel, self._samples)

    def _code(self, step: Step, lane: int) -> None:
        """Code the sample of a lane."""
        lanes, c, layer = step.lanes, step.channel, self._layer
        pixel, near = int(lanes.pixel[lane]), lanes.own[:6, lane]
        mean = int(step.predictions[:, lane].sum()) >> 1
        x, y = int(lanes.x[lane]), (lanes.time - int(lanes.x[lane])) // 3
        spread = int(step.spread[lane])
        scalar.set_terms(self._samples, near, (pixel, x, y), c, mean, spread, layer.terms)
        mu, inverse = logistic_tables.clamp_parameters(step.mixture.mu[lane], step.mixture.e[lane])
        mixture = np.stack([step.mixture.weights[lane], mu, inverse])
        stream, wanted = self._stream(lanes, lane), int(self._samples[c, pixel])
        self._samples[c, pixel] = scalar.code(layer, self._streams, stream, c, lane, mixture, wanted)
        self._add_cost(pixel)

    def _stream(self, lanes: Lanes, lane: int) -> int:
        return int(lanes.slot[lane]) * len(self._streams.heads) // self._slots

    def _add_cost(self, pixel: int) -> None:
        """Add the cost of the decisions since the last time to a pixel, if wanted."""
        if self._bits is None:
            return
        own = self._streams.record[self._counted : int(self._streams.count[0])]
        p = np.where(own >> 16, own & 0xFFFF, 65536 - (own & 0xFFFF))
        self._bits[pixel] += float((16 - np.log2(p)).sum())
        self._counted = int(self._streams.count[0])


def decisions_of(streams: Streams) -> NDArray[Any]:
    """Return the decisions that were recorded so far, for tests: uint32."""
    recorded: NDArray[Any] = streams.record[: int(streams.count[0])]
    return recorded
