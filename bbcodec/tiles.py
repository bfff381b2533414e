# SPDX-License-Identifier: Apache-2.0
"""Models with latents on whole pictures: pixels into chains of tiles, chains into rANS messages, and back.

A picture is cut into tiles of 64 x 64, in raster order, and the tiles into chains of at most 256 neighbours;
the cut depends on the picture's size alone, so threads, which take a chain each, never change a byte. In a
chain the first tiles are coded without latents (`bbcodec.nets.causal`), as many as it takes until their bits
can pay for the latents of the next tile; all others are coded with bits back. The payload of a chain:

====== =====================================================================
bytes  field
====== =====================================================================
2      tiles coded without latents, 1 .. tiles of the chain (little-endian)
4 n    the message, folded to one lane (`bbcodec.codecs.flatten`), little-endian uint32
====== =====================================================================

The message starts at `CAUSAL_LANES` lanes, grows to `LATENT_LANES` (taking bits from the first tiles) before
the first tile with latents, and is folded to one lane at the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec import ans, nets
from bbcodec.ans import Message
from bbcodec.codecs import Codec, flatten, message_bits, reshape_head, unflatten
from bbcodec.engine.select import backend_name
from bbcodec.errors import FormatError, MessageUnderflow
from bbcodec.modelfile import Model
from bbcodec.nets import causal
from bbcodec.workers import ChainStats, EncodedPixels, Pixels, Progress, Report, parallel, size_bits

TILE: Final = 64
CHAIN_TILES: Final = 256
CAUSAL_LANES: Final = 8
LATENT_LANES: Final = 256


@dataclass(frozen=True, slots=True)
class _Tile:
    top: int
    left: int
    height: int
    width: int

    def of(self, image: Pixels) -> Pixels:
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


class TileGrid:
    """Where the tiles of a picture lie, and which chain holds which; all arithmetic, nothing is listed ahead.

    Attributes
    ----------
    tiles, chains : how many.
    """

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self.rows, self.columns = -(-height // TILE), -(-width // TILE)
        self.tiles = self.rows * self.columns
        self.chains = -(-self.tiles // CHAIN_TILES)

    def span(self, chain: int) -> range:
        """Numbers of the tiles of a chain, in the order in which they are encoded."""
        return range(chain * self.tiles // self.chains, (chain + 1) * self.tiles // self.chains)

    def tile(self, index: int) -> _Tile:
        """A tile by its number in raster order."""
        top, left = (n * TILE for n in divmod(index, self.columns))
        return _Tile(top, left, min(TILE, self.height - top), min(TILE, self.width - left))

    def chain(self, chain: int) -> list[_Tile]:
        """The tiles of a chain."""
        return [self.tile(index) for index in self.span(chain)]

    def sizes(self, span: range) -> list[tuple[int, int, int]]:
        """(height, width, how many) of the tiles numbered by `span`; zeros included."""
        edge_height, edge_width = self.height - (self.rows - 1) * TILE, self.width - (self.columns - 1) * TILE
        right = span.stop // self.columns - span.start // self.columns
        bottom = max(0, span.stop - max(span.start, self.tiles - self.columns))
        corner = int(span.start < span.stop == self.tiles)
        inner = len(span) - right - bottom + corner
        return [
            (TILE, TILE, inner),
            (TILE, edge_width, right - corner),
            (edge_height, TILE, bottom - corner),
            (edge_height, edge_width, corner),
        ]

    def split(self, chains: Sequence[bytes | memoryview]) -> list[tuple[int, memoryview]]:
        """Causal tiles and message of every chain; FormatError where they do not fit the picture."""
        if len(chains) != self.chains:
            raise FormatError(f"learned payload: {len(chains)} chains, expected {self.chains}")
        return [_split(chain, len(self.span(i))) for i, chain in enumerate(chains)]


class _TileCodecs:
    """Codecs of tiles by kind and size, for one model, channel count and backend."""

    def __init__(self, model: Model, channels: int, backend: str | None):
        self.net = _net(model, backend_name(backend))
        self.scales = _causal_scales(model)
        self.channels, self.backend = channels, backend_name(backend)

    def causal(self, tile: _Tile) -> Codec:
        return causal.tile_codec(tile.height, tile.width, self.channels, self.scales, self.backend)

    def latent(self, tile: _Tile) -> Codec:
        return self.net.tile_codec(tile.height, tile.width, self.channels)


@lru_cache(maxsize=8)
def _net(model: Model, backend: str) -> nets.Net:
    return nets.load(model, backend)


def _causal_scales(model: Model) -> NDArray[Any]:
    table = model.tensors.get("causal_e")
    if table is None or table.shape != causal.SHAPE or int(table.min()) < 0 or int(table.max()) > 79:
        raise FormatError(f"model {model.id[:16]}: tensor 'causal_e' is missing or not sound")
    return table


def encode(
    image: Pixels,
    model: Model,
    *,
    threads: int = 0,
    backend: str | None = None,
    progress: Progress | None = None,
) -> EncodedPixels:
    """Encode pixels.

    Parameters
    ----------
    image : uint8 [H, W, C], C of 1 (gray) or 3 (RGB).
    model : a loaded model file.
    threads : chains at a time; 0 for one per CPU. The bytes do not depend on it.
    backend : see `bbcodec.engine.select`; the bytes do not depend on it.
    progress : called with (tiles done, tiles) from worker threads.

    Returns
    -------
    EncodedPixels
    """
    height, width, channels = image.shape
    codecs = _TileCodecs(model, channels, backend)
    grid = TileGrid(height, width)
    report = Report(progress, grid.tiles)
    results = parallel(
        lambda chain: _encode_chain(image, grid.chain(chain), codecs, report), range(grid.chains), threads
    )
    stats = [s for _, s in results]
    total = ChainStats(
        sum(s.tiles for s in stats),
        sum(s.causal_tiles for s in stats),
        math.fsum(s.causal_bits for s in stats),
        math.fsum(s.latent_bits for s in stats),
        math.fsum(s.lost_bits for s in stats),
    )
    return EncodedPixels([payload for payload, _ in results], total)


def decode(
    chains: Sequence[bytes | memoryview],
    height: int,
    width: int,
    channels: int,
    model: Model,
    *,
    threads: int = 0,
    backend: str | None = None,
    progress: Progress | None = None,
) -> Pixels:
    """Decode what `encode` made: uint8 [height, width, channels].

    Raises
    ------
    FormatError
        The number of chains does not fit the size, or a payload is not sound.
    """
    grid = TileGrid(height, width)
    parts = grid.split(chains)
    codecs = _TileCodecs(model, channels, backend)
    image = np.empty((height, width, channels), np.uint8)
    report = Report(progress, grid.tiles)

    def run(chain: int) -> None:
        _decode_chain(image, *parts[chain], grid.chain(chain), codecs, report)

    parallel(run, range(grid.chains), threads)
    return image


def inspect(
    chains: Sequence[bytes | memoryview], height: int, width: int, model: Model | None = None
) -> dict[str, Any]:
    """What the payloads tell without decoding: tiles, causal tiles, initial bits not got back.

    With the model also the number of latents: a list, one number for each layer, from the finest.
    """
    grid = TileGrid(height, width)
    causal_tiles = [first for first, _ in grid.split(chains)]
    facts: dict[str, Any] = {
        "chains": grid.chains,
        "tile": TILE,
        "tiles": grid.tiles,
        "causal_tiles": sum(causal_tiles),
        "latent_tiles": grid.tiles - sum(causal_tiles),
        "initial_bits_lost": 32 * len(flatten(ans.base_message(CAUSAL_LANES))) * grid.chains,
    }
    if model is not None:
        net = _net(model, backend_name(None))
        latents = [0] * net.depth
        for chain, first in enumerate(causal_tiles):
            for tile_height, tile_width, count in grid.sizes(grid.span(chain)[first:]):
                if count:
                    counts = net.latent_counts(tile_height, tile_width)
                    latents = [n + count * more for n, more in zip(latents, counts, strict=True)]
        facts["latents"] = latents
    return facts


def estimate_bits(image: Pixels, model: Model, backend: str | None = None) -> float:
    """Net bits that a picture of at most 2^17 pixels takes as one tile with latents, start not counted."""
    height, width, channels = image.shape
    codecs = _TileCodecs(model, channels, backend)
    padded = [-(-side // codecs.net.multiple) * codecs.net.multiple for side in (height, width)]
    message = _random_message(padded[0] * padded[1])
    before = size_bits(message)
    try:
        (message,) = codecs.latent(_Tile(0, 0, height, width)).push(message, image)
    except MessageUnderflow:  # a model with so many latents is a poor choice in any case
        return math.inf
    return float(size_bits(message) - before)


def _random_message(pixels: int) -> Message:
    """A message with bits to pop: 64 a pixel and some."""
    rng = np.random.default_rng(0)
    head = rng.integers(ans.LOWER, ans.UPPER, LATENT_LANES, dtype=np.uint64)
    return head, (rng.integers(1 << 32, size=4 * pixels + 4096, dtype=np.uint32), ())


def _encode_chain(
    image: Pixels, tiles: list[_Tile], codecs: _TileCodecs, report: Report
) -> tuple[bytes, ChainStats]:
    """Code as few tiles without latents as the chain allows."""
    message = ans.base_message(CAUSAL_LANES)
    for first in range(1, len(tiles) + 1):
        tile = tiles[first - 1]
        (message,) = codecs.causal(tile).push(message, tile.of(image))
        report.tile()
        try:
            end, latent_bits = _encode_latent(image, tiles[first:], codecs, message, report)
        except MessageUnderflow:
            continue
        words = flatten(end)
        causal_bits = message_bits(message)
        lost_bits = 32.0 * len(words) - causal_bits - latent_bits
        stats = ChainStats(len(tiles), first, causal_bits, latent_bits, lost_bits)
        return first.to_bytes(2, "little") + words.astype("<u4").tobytes(), stats
    raise AssertionError("a chain of causal tiles alone cannot run out of bits")


def _encode_latent(
    image: Pixels, tiles: list[_Tile], codecs: _TileCodecs, message: Message, report: Report
) -> tuple[Message, float]:
    """Code tiles with latents on top of a message, and count their bits.

    MessageUnderflow where the message holds too few bits to begin.
    """
    if not tiles:
        return message, 0.0
    message = reshape_head(message, LATENT_LANES)
    before = message_bits(message)
    done = 0
    try:
        for tile in tiles:
            (message,) = codecs.latent(tile).push(message, np.ascontiguousarray(tile.of(image)))
            report.tile()
            done += 1
    except MessageUnderflow:
        report.done -= done
        raise
    return message, message_bits(message) - before


def _split(chain: bytes | memoryview, tiles: int) -> tuple[int, memoryview]:
    view = memoryview(chain)
    if len(view) < 10 or (len(view) - 2) % 4:
        raise FormatError(f"learned payload: chain of {len(view)} bytes, expected 2 + 4 n, n >= 2")
    first = int.from_bytes(view[:2], "little")
    if not 1 <= first <= tiles:
        raise FormatError(f"learned payload: {first} tiles without latents, expected 1 to {tiles}")
    return first, view[2:]


def _decode_chain(
    image: Pixels, first: int, data: memoryview, tiles: list[_Tile], codecs: _TileCodecs, report: Report
) -> None:
    words = np.frombuffer(data, "<u4").astype(np.uint32)
    message = unflatten(words, LATENT_LANES if first < len(tiles) else CAUSAL_LANES)
    for index in reversed(range(len(tiles))):
        if index == first - 1 and first < len(tiles):
            message = reshape_head(message, CAUSAL_LANES)
        tile = tiles[index]
        codec = codecs.causal(tile) if index < first else codecs.latent(tile)
        message, pixels = codec.pop(message)
        tile.of(image)[...] = pixels
        report.tile()
    if not ans.message_equal(message, ans.base_message(CAUSAL_LANES)):
        raise FormatError("learned payload: the message does not end where it began, it is damaged")
