# SPDX-License-Identifier: Apache-2.0
"""Chains: tiles pushed one after the other onto one message, by a model with latents.

The first tiles that are pushed are coded without latents (`bbcodec.families.latent.causal`), as many as it
takes until their bits can pay for the latents of the next one; all others are coded with bits back. The
message starts at `CAUSAL_LANES` lanes, grows to `LATENT_LANES` (taking bits from the first tiles) before the
first tile with latents, and is folded to one lane at the end (`bbcodec.coding.codecs.flatten`).

What latents are popped from is not noise: the low bits of a head stand within the interval of the symbol that
was pushed last, a latent of another tile, which is nearer to the middle of its prior than the prior says. The
next latents are popped too near to the middle of their posteriors then, and too few bits come back, half a
percent of what small pictures take (docs/results/paper_table.md). These are the "dirty bits" of bits-back
coding (Townsend, Bird and Barber, ICLR 2019); `whitened` turns the heads into something else in between.
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
# Constants of the lanes, spread evenly by the golden ratio.
_WHITE: Final = np.arange(1, LATENT_LANES + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(
    33
)
# Bits that a message of no symbols takes: they are not got back.
EMPTY_BITS: Final = 32 * len(flatten(ans.base_message(CAUSAL_LANES)))


class TileCodecs:
    """Codecs of tiles by kind and size, for one model, channel count and backend."""

    def __init__(self, model: Model, channels: int, backend: str | None):
        self.net = net(model, backend)
        self.scales = _causal_scales(model)
        self.channels, self.backend = channels, backend_name(backend)
        self.whiten = model.config.get("whiten") is True

    def causal(self, height: int, width: int) -> Codec:
        """Codec of a tile without latents."""
        return causal.tile_codec(height, width, self.channels, self.scales, self.backend)

    def latent(self, height: int, width: int) -> Codec:
        """Codec of a tile under the model, bits back and all."""
        codec = self.net.tile_codec(height, width, self.channels)
        return whitened(codec) if self.whiten else codec


def whitened(codec: Codec) -> Codec:
    """A codec of messages of `LATENT_LANES` lanes that changes the low bits of all heads before it pushes.

    31 bits of each head, by exclusive or with a constant of the lane, so that every message is undone by the
    same step after popping: h xor W, ``W[i] = ((i + 1) 0x9E3779B97F4A7C15 mod 2^64) >> 33``.
    """

    def mask(message: Message) -> Message:
        head, tail = message
        return head ^ _WHITE, tail

    def push(message: Message, symbol: Any, *context: Any) -> tuple[Any, ...]:
        found: tuple[Any, ...] = codec.push(mask(message), symbol, *context)
        return found

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        message, symbol, *rest = codec.pop(message, *context)
        return mask(message), symbol, *rest

    return Codec(push, pop)


def net(model: Model, backend: str | None = None) -> latent.Net:
    """The model as codecs; kept for the next time."""
    return _net(model, backend_name(backend))


@lru_cache(maxsize=8)
def _net(model: Model, backend: str) -> latent.Net:
    return latent.load(model, backend)


def _causal_scales(model: Model) -> NDArray[Any]:
    table = model.tensors.get("causal_e")
    if table is None or table.shape != causal.SHAPE or int(table.min()) < 0 or int(table.max()) > 79:
        raise FormatError(f"model {model.id[:16]}: tensor 'causal_e' is missing or not sound")
    return table


def encode_chain(
    tiles: Sequence[Pixels], codecs: TileCodecs, report: Report | None = None
) -> tuple[int, Words, ChainStats]:
    """Push tiles in their order, as few of them without latents as it allows.

    Parameters
    ----------
    tiles : uint8 [h, w, C] each, at least one.
    codecs : of the model.
    report : told of every tile.

    Returns
    -------
    Number of tiles without latents, the folded message, and statistics.
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

    MessageUnderflow where the message holds too few bits to begin.
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
    """Pop what `encode_chain` pushed: the tiles, the last one first.

    Parameters
    ----------
    first : tiles without latents, 1 .. tiles of the chain.
    words : the folded message.
    shapes : (height, width) of the tiles, in the order in which they were pushed.
    codecs : of the model.

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
        raise FormatError("chain: the message does not end where it began, it is damaged")


def tile_bits(first: int, tiles: Sequence[Pixels], codecs: TileCodecs, report: Report) -> list[float]:
    """Net bits of every tile of a chain, in the order in which they are pushed.

    Tiles are pushed once more: what a tile with latents costs depends on what its latents were popped from.

    Parameters
    ----------
    first : tiles without latents.
    tiles : uint8 [h, w, C] each.
    codecs : of the model.
    report : told of every tile.
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
    """Net bits of a picture as one tile with latents, on a message that has enough to pop."""
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
    """A message with bits to pop: 64 a pixel and some."""
    rng = np.random.default_rng(0)
    head = rng.integers(ans.LOWER, ans.UPPER, LATENT_LANES, dtype=np.uint64)
    return head, (rng.integers(1 << 32, size=4 * pixels + 4096, dtype=np.uint32), ())
