# SPDX-License-Identifier: Apache-2.0
"""The learned path: pixels into chains of tiles, chains into rANS messages, and back.

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

import itertools
import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
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

TILE: Final = 64
CHAIN_TILES: Final = 256
CAUSAL_LANES: Final = 8
LATENT_LANES: Final = 256

Pixels = NDArray[np.uint8]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ChainStats:
    """How a picture was coded, all chains together; bits are of the message, tiles are counts.

    Attributes
    ----------
    tiles, causal_tiles : all, and those coded without latents.
    causal_bits, latent_bits : net bits of either kind of tile. The causal tiles lend the latents their
        initial bits and get them back.
    lost_bits : what is not got back: the base state of the first lanes, and the folding into words.
    """

    tiles: int
    causal_tiles: int
    causal_bits: float
    latent_bits: float
    lost_bits: float


@dataclass(frozen=True, slots=True)
class EncodedPixels:
    """Payload of every chain, in order, and how they came about."""

    chains: list[bytes]
    stats: ChainStats


@dataclass(frozen=True, slots=True)
class _Tile:
    top: int
    left: int
    height: int
    width: int

    def of(self, image: Pixels) -> Pixels:
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


def chain_tiles(height: int, width: int) -> list[list[_Tile]]:
    """Tiles of every chain of a picture, in the order in which they are encoded."""
    rows, columns = -(-height // TILE), -(-width // TILE)
    tiles = [
        _Tile(y * TILE, x * TILE, min(TILE, height - y * TILE), min(TILE, width - x * TILE))
        for y in range(rows)
        for x in range(columns)
    ]
    count = -(-len(tiles) // CHAIN_TILES)
    cuts = [i * len(tiles) // count for i in range(count + 1)]
    return [tiles[a:b] for a, b in itertools.pairwise(cuts)]


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
    plan = chain_tiles(height, width)
    report = _Report(progress, sum(map(len, plan)))
    results = _parallel(lambda tiles: _encode_chain(image, tiles, codecs, report), plan, threads)
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
    plan = chain_tiles(height, width)
    if len(chains) != len(plan):
        raise FormatError(f"learned payload: {len(chains)} chains, expected {len(plan)}")
    for chain, tiles in zip(chains, plan, strict=True):
        _split(chain, len(tiles))
    codecs = _TileCodecs(model, channels, backend)
    image = np.empty((height, width, channels), np.uint8)
    report = _Report(progress, sum(map(len, plan)))

    def run(job: tuple[bytes | memoryview, list[_Tile]]) -> None:
        _decode_chain(image, *job, codecs, report)

    _parallel(run, list(zip(chains, plan, strict=True)), threads)
    return image


def inspect(
    chains: Sequence[bytes | memoryview], height: int, width: int, model: Model | None = None
) -> dict[str, Any]:
    """What the payloads tell without decoding: tiles, causal tiles, initial bits not got back.

    With the model also the number of latents: a list, one number for each layer, from the finest.
    """
    plan = chain_tiles(height, width)
    if len(chains) != len(plan):
        raise FormatError(f"learned payload: {len(chains)} chains, expected {len(plan)}")
    causal_tiles = [_split(chain, len(tiles))[0] for chain, tiles in zip(chains, plan, strict=True)]
    facts: dict[str, Any] = {
        "chains": len(plan),
        "tile": TILE,
        "tiles": sum(map(len, plan)),
        "causal_tiles": sum(causal_tiles),
        "latent_tiles": sum(map(len, plan)) - sum(causal_tiles),
        "initial_bits_lost": 32 * CAUSAL_LANES * len(plan),
    }
    if model is not None:
        net = _net(model, backend_name(None))
        coded = [t for n, tiles in zip(causal_tiles, plan, strict=True) for t in tiles[n:]]
        per_tile = [net.latent_counts(t.height, t.width) for t in coded] or [[0] * net.depth]
        facts["latents"] = [sum(counts) for counts in zip(*per_tile, strict=True)]
    return facts


def estimate_bits(image: Pixels, model: Model, backend: str | None = None) -> float:
    """Net bits that a picture of at most 2^17 pixels takes as one tile with latents, start not counted."""
    height, width, channels = image.shape
    codecs = _TileCodecs(model, channels, backend)
    padded = [-(-side // codecs.net.multiple) * codecs.net.multiple for side in (height, width)]
    message = _random_message(padded[0] * padded[1])
    before = message_bits(message)
    (message,) = codecs.latent(_Tile(0, 0, height, width)).push(message, image)
    return message_bits(message) - before


def _random_message(pixels: int) -> Message:
    """A message with bits to pop: 64 a pixel and some."""
    rng = np.random.default_rng(0)
    head = rng.integers(ans.LOWER, ans.UPPER, LATENT_LANES, dtype=np.uint64)
    return head, (rng.integers(1 << 32, size=4 * pixels + 4096, dtype=np.uint32), ())


class _Report:
    """Counts tiles for a progress callback."""

    def __init__(self, progress: Progress | None, total: int):
        self.progress, self.total, self.done = progress, total, 0

    def tile(self) -> None:
        self.done += 1
        if self.progress is not None:
            self.progress(min(self.done, self.total), self.total)


def _parallel(function: Callable[[Any], Any], jobs: Sequence[Any], threads: int) -> list[Any]:
    workers = min(threads or len(os.sched_getaffinity(0)), len(jobs))
    if workers <= 1:
        return [function(job) for job in jobs]
    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(function, job) for job in jobs]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _encode_chain(
    image: Pixels, tiles: list[_Tile], codecs: _TileCodecs, report: _Report
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
    image: Pixels, tiles: list[_Tile], codecs: _TileCodecs, message: Message, report: _Report
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
    image: Pixels, chain: bytes | memoryview, tiles: list[_Tile], codecs: _TileCodecs, report: _Report
) -> None:
    first, data = _split(chain, len(tiles))
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
