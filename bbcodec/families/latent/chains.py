# SPDX-License-Identifier: Apache-2.0
"""Chains: a model with latents pushes tiles one after the other onto one message.

The first tiles are coded without latents (`bbcodec.families.latent.causal`), until their bits can pay for the
latents of the next tile. All other tiles are coded with bits back. The message starts with `CAUSAL_LANES`
lanes. Before the first tile with latents it grows to `LATENT_LANES` lanes, taking bits from the first tiles.
At the end it is folded to one lane (`bbcodec.coding.codecs.flatten`).

The bits that latents are popped from are not random. The low bits of a head lie in the interval of the last
pushed symbol: a latent of another tile, which is nearer to the centre of its prior than the prior says. So
the next latents are popped too near to the centres of their posteriors, and too few bits come back: half a
percent of the size of small pictures (docs/results/paper_table.md). These are the "dirty bits" of bits-back
coding (Townsend, Bird and Barber, ICLR 2019). `whitened` changes the heads in between to avoid them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.backends import backend_name
from bbcodec.coding import ans
from bbcodec.coding.ans import Message, Words
from bbcodec.coding.codecs import Codec, flatten, message_bits, reshape_head, size_bits, unflatten
from bbcodec.errors import FormatError, MessageUnderflow
from bbcodec.families import latent
from bbcodec.families.latent import causal
from bbcodec.families.stats import ChainStats, Pixels
from bbcodec.jobs import Report
from bbcodec.modelfile import Model

CAUSAL_LANES: Final = 8
LATENT_LANES: Final = 256
# A constant for each lane, spread evenly by the golden ratio.
_GOLDEN_RATIO: Final = np.uint64(0x9E3779B97F4A7C15)  # its fraction, in 2^-64
_LANE_MASKS: Final = np.arange(1, LATENT_LANES + 1, dtype=np.uint64) * _GOLDEN_RATIO >> np.uint64(33)
# Bits of a message without symbols. They are not recovered.
EMPTY_BITS: Final = 32 * len(flatten(ans.base_message(CAUSAL_LANES)))


class TileCodecs:
    """Codecs of tiles with and without latents, for one model, number of channels and backend."""

    def __init__(self, model: Model, channels: int, backend: str | None):
        self.net = net(model, backend)
        self.scales = _causal_scales(model)
        self.channels, self.backend = channels, backend_name(backend)
        self.whiten = model.config.get("whiten") is True

    def causal(self, height: int, width: int) -> Codec:
        """Return the codec of a tile without latents."""
        return causal.tile_codec(height, width, self.channels, self.scales, self.backend)

    def latent(self, height: int, width: int) -> Codec:
        """Return the codec of a tile with latents, by bits back."""
        codec = self.net.tile_codec(height, width, self.channels)
        return whitened(codec) if self.whiten else codec


def whitened(codec: Codec) -> Codec:
    """Return a codec that changes the low 31 bits of each head before pushing, and restores them after pops.

    Head h of lane i becomes h xor W[i]: ``W[i] = ((i + 1) 0x9E3779B97F4A7C15 mod 2^64) >> 33``.
    Messages have `LATENT_LANES` lanes.
    """

    def mask(message: Message) -> Message:
        head, tail = message
        return head ^ _LANE_MASKS, tail

    def push(message: Message, symbol: Any, *context: Any) -> tuple[Any, ...]:
        found: tuple[Any, ...] = codec.push(mask(message), symbol, *context)
        return found

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        message, symbol, *rest = codec.pop(message, *context)
        return mask(message), symbol, *rest

    return Codec(push, pop)


def net(model: Model, backend: str | None = None) -> latent.Net:
    """Return the codecs of a model; the last eight are cached."""
    return _net(model, backend_name(backend))


@lru_cache(maxsize=8)
def _net(model: Model, backend: str) -> latent.Net:
    return latent.load(model, backend)


def _causal_scales(model: Model) -> NDArray[Any]:
    table = model.tensors.get("causal_e")
    if table is None or table.shape != causal.SHAPE or int(table.min()) < 0 or int(table.max()) > 79:
        raise FormatError(
            f"model {model.id[:16]}: tensor 'causal_e' is missing or not valid, "
            f"expected {list(causal.SHAPE)} of 0..79"
        )
    return table


def encode_chain(
    tiles: Sequence[Pixels], codecs: TileCodecs, report: Report | None = None
) -> tuple[int, Words, ChainStats]:
    """Push tiles in order, as few of them without latents as possible.

    Parameters
    ----------
    tiles : uint8 [h, w, C] each, at least one.
    codecs : codecs of the model.
    report : progress, counted in tiles.

    Returns
    -------
    The number of tiles without latents, the folded message, and the statistics.
    """
    report = report or Report(None, len(tiles))
    message = ans.base_message(CAUSAL_LANES)
    for first, tile in enumerate(tiles, 1):
        (message,) = codecs.causal(*tile.shape[:2]).push(message, tile)
        report.part()
        try:
            end, latent_bits = _push_latent(tiles[first:], codecs, message, report)
        except MessageUnderflow:
            continue
        words = flatten(end)
        causal_bits = message_bits(message)
        lost_bits = 32.0 * len(words) - causal_bits - latent_bits
        return first, words, ChainStats(len(tiles), first, causal_bits, latent_bits, lost_bits)
    raise AssertionError("a chain of causal tiles alone cannot run out of bits")


def _push_latent(
    tiles: Sequence[Pixels], codecs: TileCodecs, message: Message, report: Report
) -> tuple[Message, float]:
    """Push tiles with latents, and count their bits.

    Raises
    ------
    MessageUnderflow
        The message holds too few bits for the first latents.
    """
    if not tiles:
        return message, 0.0
    message = reshape_head(message, LATENT_LANES)
    before = message_bits(message)
    done = 0
    try:
        for tile in tiles:
            (message,) = codecs.latent(*tile.shape[:2]).push(message, np.ascontiguousarray(tile))
            report.part()
            done += 1
    except MessageUnderflow:
        report.done -= done
        raise
    return message, message_bits(message) - before


def decode_chain(
    first: int, words: Words, shapes: Sequence[tuple[int, int]], codecs: TileCodecs
) -> Iterator[Pixels]:
    """Pop the tiles that `encode_chain` pushed, and yield them, last tile first.

    Parameters
    ----------
    first : number of tiles without latents, 1 .. tiles of the chain.
    words : the folded message.
    shapes : (height, width) of the tiles, in the order in which they were pushed.
    codecs : codecs of the model.

    Raises
    ------
    FormatError
        The message is damaged.
    """
    message = unflatten(words, LATENT_LANES if first < len(shapes) else CAUSAL_LANES)
    for index in reversed(range(len(shapes))):
        if index == first - 1 and first < len(shapes):
            message = reshape_head(message, CAUSAL_LANES)
        codec = (codecs.causal if index < first else codecs.latent)(*shapes[index])
        message, pixels = codec.pop(message)
        yield pixels
    if not ans.message_equal(message, ans.base_message(CAUSAL_LANES)):
        raise FormatError("chain: the message is damaged, it does not end in its initial state")


def tile_bits(first: int, tiles: Sequence[Pixels], codecs: TileCodecs, report: Report) -> list[float]:
    """Return the net bits of every tile of a chain, in the order in which they are pushed.

    The tiles are pushed again, because the cost of a tile with latents depends on the message that its
    latents are popped from.

    Parameters
    ----------
    first : number of tiles without latents.
    tiles : uint8 [h, w, C] each.
    codecs : codecs of the model.
    report : progress, counted in tiles.
    """
    message = ans.base_message(CAUSAL_LANES)
    bits = []
    for index, tile in enumerate(tiles):
        if index == first:
            message = reshape_head(message, LATENT_LANES)
        codec = (codecs.causal if index < first else codecs.latent)(*tile.shape[:2])
        before = message_bits(message)
        (message,) = codec.push(message, np.ascontiguousarray(tile))
        bits.append(message_bits(message) - before)
        report.part()
    return bits


def estimate_bits(image: Pixels, codecs: TileCodecs) -> float:
    """Return the net bits of a picture as one tile with latents, pushed onto a message with enough bits."""
    height, width, _ = image.shape
    multiple = codecs.net.multiple
    message = random_message(-(-height // multiple) * -(-width // multiple) * multiple**2)
    before = size_bits(message)
    try:
        (message,) = codecs.latent(height, width).push(message, image)
    except MessageUnderflow:  # a model with so many latents is a poor choice in any case
        return math.inf
    return float(size_bits(message) - before)


def random_message(pixels: int) -> Message:
    """Return a message of random bits for popping: 128 bits a pixel, and 2^17 more."""
    rng = np.random.default_rng(0)
    head = rng.integers(ans.LOWER, ans.UPPER, LATENT_LANES, dtype=np.uint64)
    return head, (rng.integers(1 << 32, size=4 * pixels + 4096, dtype=np.uint32), ())
