# SPDX-License-Identifier: Apache-2.0
"""Reference implementation of the family in NumPy, vectorised over the lanes of one time.

It defines the format together with docs/local.md. `walk` yields the distributions of the next samples, and
receives the samples. `plan` (for encoders) and `decode` use it. Every implementation of the family has these
two functions, and all give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding import logistic_tables
from bbcodec.coding.ans import Head, Message, Words
from bbcodec.coding.distributions import LogisticMixture
from bbcodec.families.local.features import Activity, Earlier, error_scale, features
from bbcodec.families.local.learning import LastLayer
from bbcodec.families.local.least_squares import Predictor
from bbcodec.families.local.model import FEATURES, MOMENTS, NEAR, PREDICTORS, LocalModel
from bbcodec.families.local.network import Mixture, Network, mixture
from bbcodec.families.local.order import CHANNELS, LANES, Lanes, Order
from bbcodec.families.local.tables import r1_table

Integers = NDArray[np.int64]
Pixels = NDArray[np.uint8]
Shapes = Sequence[tuple[int, int]]
Side = Sequence[NDArray[Any]] | None
Statistics = NDArray[np.int64]

SYMBOLS = 256
SIDE_LIMIT = 1 << 18  # sums of the first layer are within 2^17, so larger values saturate the stream equally


class Step(NamedTuple):
    """The distributions of the samples of one time and channel, which `walk` yields.

    Attributes
    ----------
    lanes : the n pixels.
    channel : number of the channel in coding order.
    mixture : distributions of the n samples.
    spread : [n], ``ks``.
    predictions : [2, n], ``P_0`` and ``P_1`` in 1/64 of a level.
    features : [n, 48]
    """

    lanes: Lanes
    channel: int
    mixture: Mixture
    spread: Integers
    predictions: Integers
    features: Integers


class _Channel:
    """State of one channel. The last entry of its arrays holds the values of neighbours that do not exist."""

    def __init__(self, order: Order, model: LocalModel, channel: int):
        self.samples = np.full(order.pixels + 1, 128, np.int64)
        self.errors = np.full(order.pixels + 1, 1280, np.int64)
        self.activity = Activity(order)
        self.layer = LastLayer(model.out_w[channel], model.out_b[channel], model.rate_q)
        self.predictors = [
            Predictor(
                order,
                model.regressors(channel, q),
                (model.along[q], model.down[q]),
                model.ridge,
                model.priors[channel][q],
            )
            for q in range(PREDICTORS)
        ]


def walk(
    shapes: Shapes,
    channels: int,
    model: LocalModel,
    side: Side = None,
    begin: Callable[[Lanes], NDArray[np.bool_] | None] | None = None,
) -> Generator[Step, NDArray[Any], None]:
    """Yield the distributions of each time and channel in decoding order.

    The caller sends back the symbols, integers [n].

    Parameters
    ----------
    shapes : (height, width) of every block, in pixels.
    channels : 1 or 3
    model : LocalModel
    side : side information int32 [H] of every block, or None.
    begin : called before each time with its lanes; returns which of their pixels are known without
        prediction, bool [n], or None if no pixel is. They teach nothing.

    Raises
    ------
    ValueError
        The number of channels, the shapes or the side information are not valid.
    """
    if channels not in CHANNELS:
        raise ValueError(f"a block has 1 or 3 channels, got {channels}")
    order = Order(shapes)
    network = Network(model)
    side_information = _Side(order, model, side)
    state = [_Channel(order, model, c) for c in range(channels)]
    for lanes in order.times():
        found = begin(lanes) if begin else None
        predicted = slice(None) if found is None else ~found
        learns = lanes.time % model.every == 0 and (found is None or not found.all())
        first = (lanes.x == 0) & (lanes.y == 0)
        lane_side = side_information(lanes)
        for c, own in enumerate(state):
            samples, errors = own.samples[lanes.own], own.errors[lanes.own[:6]]
            earlier = [other.samples[lanes.earlier] for other in state[:c]]
            m = (samples[0] + samples[1]) >> 1
            relative = [x - ((x[1] + x[2]) >> 1) for x in earlier]
            regressors = [
                np.concatenate([(samples - m)[:ns], *(x[:nx] for x in relative)])
                for ns, nx in zip(model.own, model.earlier, strict=True)
            ]
            predictions = np.stack(
                [fit.predict(lanes, d, m) for fit, d in zip(own.predictors, regressors, strict=True)]
            )
            p = (predictions[0] + predictions[1]) >> 1
            ks = error_scale(errors)
            earlier_channels = [
                Earlier(
                    error=other.errors[lanes.pixel],
                    sample=x[0],
                    errors=other.errors[lanes.own[:2]],
                    samples=other.samples[lanes.own[:6]],
                )
                for other, x in zip(state[:c], earlier, strict=True)
            ]
            context = features(
                samples, errors, predictions, ks, own.activity.of(lanes), earlier_channels, first
            )
            inputs = network(c, context, lane_side)
            mixed = mixture(own.layer.outputs(inputs), p, ks)

            symbols = (yield Step(lanes, c, mixed, ks, predictions, context)).astype(np.int64)

            u = np.abs(errors[:4]).sum(0) >> 2
            w = np.maximum(1, 1572864 // (24576 + u * u))
            error = 64 * symbols - p
            if found is not None:
                w[found] = error[found] = 0
            for fit, d in zip(own.predictors, regressors, strict=True):
                fit.update(lanes, d, symbols - m, w)
            own.samples[lanes.pixel], own.errors[lanes.pixel] = symbols, error
            own.activity.update(lanes, error)
            if learns:
                known = Mixture(mixed.weights[predicted], mixed.mu[predicted], mixed.e[predicted])
                own.layer.learn(inputs[predicted], known, ks[predicted], symbols[predicted])


def plan(
    blocks: Sequence[Pixels], model: LocalModel, side: Side = None, threads: int = 1
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return the intervals of all samples of a group.

    Parameters
    ----------
    blocks : uint8 [height, width, C] each; C is 1 or 3 and the same for all.
    model : LocalModel
    side : see `walk`.
    threads : ignored here.

    Returns
    -------
    start, freq : uint32 [samples], in 2^-20 and in decoding order.

    Raises
    ------
    ValueError
        The blocks do not form a group, or the side information is not valid.
    """
    planes = to_planes(blocks)
    starts: list[Integers] = []
    freqs: list[Integers] = []
    samples = walk([block.shape[:2] for block in blocks], len(planes), model, side)
    step = next(samples)
    while True:
        symbols = planes[step.channel, step.lanes.pixel]
        start = _cdf(step.mixture, symbols)
        starts.append(start)
        freqs.append(_cdf(step.mixture, symbols + 1) - start)
        try:
            step = samples.send(symbols)
        except StopIteration:
            return np.concatenate(starts).astype(np.uint32), np.concatenate(freqs).astype(np.uint32)


def decode(
    head: Head,
    words: Words,
    shapes: Shapes,
    channels: int,
    model: LocalModel,
    side: Side = None,
    threads: int = 1,
) -> tuple[list[Pixels], Head, int, Statistics | None]:
    """Pop a group.

    Parameters
    ----------
    head : uint64 [8]
    words : uint32, the tail of the message from its front.
    shapes, channels, model, side : see `walk`.
    threads : ignored here.

    Returns
    -------
    blocks : uint8 [height, width, C] each
    head : uint64 [8]
    used : number of words taken from the front.
    statistics : see `survey`; None if the model has no latents.

    Raises
    ------
    MessageUnderflow
        The message has too few words.
    ValueError
        The head does not have 8 lanes, or an argument of `walk` is not valid.
    """
    if head.shape != (LANES,):
        raise ValueError(f"expected a head of {LANES} lanes, got shape {head.shape}")
    message: Message = (head, (words, ()) if len(words) else ())
    planes = np.zeros((channels, sum(h * w for h, w in shapes)), np.int64)
    sums = Sums(len(shapes)) if model.latents else None
    samples = walk(shapes, channels, model, side)
    step = next(samples)
    while True:
        message, symbols = LogisticMixture(*step.mixture, SYMBOLS, "numpy").pop(message)
        planes[step.channel, step.lanes.pixel] = symbols
        if sums:
            sums.add(step, symbols)
        try:
            step = samples.send(symbols)
        except StopIteration:
            break
    head, tail = message
    used = len(words) - (len(tail[0]) if tail else 0)
    return to_blocks(planes, shapes), head, used, sums.value() if sums else None


def survey(blocks: Sequence[Pixels], model: LocalModel, threads: int = 1) -> Statistics:
    """Return the statistics of every block (docs/local.md, "Latents"): int64 [blocks, 441]."""
    planes = to_planes(blocks)
    sums = Sums(len(blocks))
    samples = walk([block.shape[:2] for block in blocks], len(planes), model)
    step = next(samples)
    while True:
        symbols = planes[step.channel, step.lanes.pixel]
        sums.add(step, symbols)
        try:
            step = samples.send(symbols)
        except StopIteration:
            return sums.value()


class Sums:
    """Statistics while they are summed: moments of the errors times features, by block and channel."""

    def __init__(self, blocks: int):
        self._sums = np.zeros((blocks, 3, MOMENTS, 1 + FEATURES), np.int64)

    def add(self, step: Step, symbols: Integers) -> None:
        """Add the samples [n] of a time and channel."""
        error = 64 * symbols - (step.predictions.sum(0) >> 1)
        n = np.clip((error * r1_table()[step.spread] + (1 << 13)) >> 14, -72, 72)
        moments = np.stack([n, np.abs(n), 24 * (np.abs(n) <= 7)], axis=1)
        terms = np.concatenate([np.full((len(n), 1), 32), step.features], axis=1)
        np.add.at(self._sums[:, step.channel], step.lanes.block, moments[:, :, None] * terms[:, None])

    def value(self) -> Statistics:
        """Return the sums, int64 [blocks, 441]."""
        return self._sums.reshape(len(self._sums), -1)


def to_planes(blocks: Sequence[Pixels]) -> Integers:
    """Return the samples [C, pixels] of a group, channels in coding order.

    Raises
    ------
    ValueError
        There are no blocks, or a block has another type or number of channels.
    """
    if not blocks:
        raise ValueError("a group has no blocks, expected at least one")
    channels = blocks[0].shape[-1]
    for block in blocks:
        if (
            block.dtype != np.uint8
            or block.ndim != 3
            or block.shape[2] != channels
            or channels not in CHANNELS
        ):
            raise ValueError(
                f"blocks must be uint8 [h, w, 1 or 3] with equal numbers of channels; "
                f"got {block.dtype} {block.shape}"
            )
    flat = np.concatenate([block.reshape(-1, channels) for block in blocks])
    return np.ascontiguousarray(flat[:, CHANNELS[channels]].T, np.int64)


def to_blocks(planes: Integers, shapes: Shapes) -> list[Pixels]:
    """Return the blocks of the given shapes; the inverse of `to_planes`."""
    flat = np.empty(planes.shape[::-1], np.uint8)
    flat[:, CHANNELS[len(planes)]] = planes.T
    ends = np.cumsum([h * w for h, w in shapes])[:-1]
    return [part.reshape(*shape, -1) for part, shape in zip(np.split(flat, ends), shapes, strict=True)]


class _Side:
    """Side information of a pixel: that of its block, and that of its position in the block."""

    def __init__(self, order: Order, model: LocalModel, side: Side):
        self._positions = model.positions
        self._blocks: Integers | None = None
        if side is not None:
            if [part.shape for part in side] != [(model.hidden,)] * len(order.shapes):
                raise ValueError(
                    f"side information has shapes {[part.shape for part in side]!r:.80}, "
                    f"expected one vector of {model.hidden} integers for each of {len(order.shapes)} blocks"
                )
            self._blocks = np.clip(np.stack(side).astype(np.int64), -SIDE_LIMIT, SIDE_LIMIT)

    def __call__(self, lanes: Lanes) -> Integers | None:
        """Return the side information [n, H] of the lanes, or None."""
        parts: list[Integers] = [] if self._blocks is None else [self._blocks[lanes.block]]
        if self._positions is not None:
            from_borders = (lanes.y, lanes.x, lanes.width - 1 - lanes.x)
            for table, n in zip(self._positions.astype(np.int64), from_borders, strict=True):
                parts.append(table[np.minimum(n, NEAR - 1)])
        return np.sum(parts, axis=0, dtype=np.int64) if parts else None


def _cdf(mixed: Mixture, k: Integers) -> Integers:
    """Return ``cdf(k)`` of n mixtures for ``0 <= k <= 256``, equal to that of `LogisticMixture`."""
    centre, inverse = logistic_tables.clamp_parameters(mixed.mu, mixed.e)
    c = (mixed.weights * logistic_tables.cumulative(k[:, None], centre, inverse)).sum(1) >> 16
    return logistic_tables.scaled_cdf(c, k, SYMBOLS)
