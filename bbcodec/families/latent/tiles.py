# SPDX-License-Identifier: Apache-2.0
"""Whole pictures with a model with latents: pixels to chains of tiles and back.

A picture is cut into tiles of 64 x 64 pixels in raster order, and the tiles into chains of at most 256
consecutive ones (`bbcodec.families.latent.chains`). The cut depends only on the size of the picture. So
threads, which code one chain each, never change a byte. The payload of a chain:

====== =====================================================================
bytes  field
====== =====================================================================
2      tiles coded without latents, 1 .. tiles of the chain (little-endian)
4 n    the message, folded to one lane, little-endian uint32
====== =====================================================================
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.container import Buffer
from bbcodec.errors import BBCodecError, FormatError
from bbcodec.families.latent import chains as chain_codec
from bbcodec.families.latent.chains import EMPTY_BITS, TileCodecs, decode_chain, encode_chain, tile_bits
from bbcodec.families.stats import ChainStats, EncodedPixels, Pixels
from bbcodec.jobs import Execution, Report, parallel
from bbcodec.modelfile import Model
from bbcodec.picture.loss import GRAY, Lost
from bbcodec.picture.region import Place, Window

TILE: Final = 64
CHAIN_TILES: Final = 256


@dataclass(frozen=True, slots=True)
class _Tile:
    top: int
    left: int
    height: int
    width: int

    @property
    def place(self) -> Place:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)

    def of(self, image: NDArray[Any]) -> NDArray[Any]:
        return image[self.place]


class TileGrid:
    """Places of the tiles of a picture, and their chains. Everything is computed on demand.

    Attributes
    ----------
    tiles, chains : number of tiles and of chains.
    """

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self.rows, self.columns = -(-height // TILE), -(-width // TILE)
        self.tiles = self.rows * self.columns
        self.chains = -(-self.tiles // CHAIN_TILES)

    def span(self, chain: int) -> range:
        """Return the numbers of the tiles of a chain, in encoding order."""
        return range(chain * self.tiles // self.chains, (chain + 1) * self.tiles // self.chains)

    def tile(self, index: int) -> _Tile:
        """Return a tile by its number in raster order."""
        top, left = (n * TILE for n in divmod(index, self.columns))
        return _Tile(top, left, min(TILE, self.height - top), min(TILE, self.width - left))

    def chain(self, chain: int) -> list[_Tile]:
        """Return the tiles of a chain."""
        return [self.tile(index) for index in self.span(chain)]

    def sizes(self, span: range) -> list[tuple[int, int, int]]:
        """Return (height, width, count) for each size among the tiles of `span`; counts may be 0."""
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

    def split(self, chains: Sequence[Buffer]) -> list[tuple[int, memoryview]]:
        """Return the number of causal tiles and the message of every chain.

        Raises
        ------
        FormatError
            The number of chains does not fit the picture, or a payload is damaged.
        """
        if len(chains) != self.chains:
            raise FormatError(f"learned payload: {len(chains)} chains, expected {self.chains}")
        return [_split(chain, len(self.span(i))) for i, chain in enumerate(chains)]


def encode(image: Pixels, model: Model, execution: Execution) -> EncodedPixels:
    """Encode a picture, with one chain per thread at a time; see `bbcodec.families.family.Family`."""
    height, width, channels = image.shape
    codecs = TileCodecs(model, channels, execution.backend)
    grid = TileGrid(height, width)
    report = Report(execution.progress, grid.tiles)

    def run(chain: int) -> tuple[bytes, ChainStats]:
        first, words, stats = encode_chain([t.of(image) for t in grid.chain(chain)], codecs, report)
        return first.to_bytes(2, "little") + words.astype("<u4").tobytes(), stats

    results = parallel(run, range(grid.chains), execution.threads)
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
    """Decode a picture or a window of it: uint8 [height, width, channels].

    For a window, each chain is decoded only until all its tiles in the window are known.

    Raises
    ------
    FormatError
        The number of chains does not fit the size, or a payload is damaged.
    """
    grid = TileGrid(height, width)
    parts = grid.split(chains) if lost is None else []
    codecs = TileCodecs(model, channels, execution.backend)
    whole = window is None
    window = window or Window(0, 0, height, width)
    shape = (window.height, window.width, channels)
    image = np.empty(shape, np.uint8)  # not filled: no memory is taken before a tile is decoded
    wanted = [
        chain for chain in range(grid.chains) if whole or any(window.meet(t.place) for t in grid.chain(chain))
    ]
    report = Report(execution.progress, sum(len(grid.span(chain)) for chain in wanted))

    def decoded(chain: int) -> None:
        first, data = parts[chain] if parts else _split(chains[chain], len(grid.span(chain)))
        tiles = grid.chain(chain)
        left = sum(1 for tile in tiles if window.meet(tile.place))
        words = np.frombuffer(data, "<u4").astype(np.uint32)
        found = decode_chain(first, words, [(t.height, t.width) for t in tiles], codecs)
        # For a whole picture the loop must reach the end of the iterator, which checks the message there.
        for tile, pixels in zip(reversed(tiles), found, strict=True):
            if met := window.meet(tile.place):
                image[met[0]] = pixels[met[1]]
                left -= 1
            report.part()
            if not whole and not left:
                break

    def run(chain: int) -> None:
        try:
            if lost is None or chain not in lost:
                decoded(chain)
        except BBCodecError as error:
            if lost is None:
                raise
            lost[chain] = str(error)

    parallel(run, wanted, execution.threads)
    if lost:
        if all(chain in lost for chain in wanted):
            return np.broadcast_to(np.uint8(GRAY), shape)  # takes no memory
        for chain in lost:  # tiles decoded before an error may be wrong
            for tile in grid.chain(chain):
                if met := window.meet(tile.place):
                    image[met[0]] = GRAY
    return image


def payloads(height: int, width: int, model: Model) -> int:
    """Return the number of chains; see `Family.payloads`."""
    return TileGrid(height, width).chains


def places(height: int, width: int, model: Model) -> list[list[Place]]:
    """Return the rectangles of rows of tiles that each chain codes; see `Family.places`."""
    grid = TileGrid(height, width)
    out: list[list[Place]] = []
    for chain in range(grid.chains):
        rows: dict[int, list[_Tile]] = {}
        for tile in grid.chain(chain):
            rows.setdefault(tile.top, []).append(tile)
        out.append(
            [
                (tiles[0].place[0], slice(tiles[0].left, tiles[-1].left + tiles[-1].width))
                for tiles in rows.values()
            ]
        )
    return out


def cost_map(
    image: Pixels, chains: Sequence[Buffer], model: Model, execution: Execution
) -> NDArray[np.float32]:
    """Return the cost of each tile in bits, divided equally among its pixels; see `Family.cost_map`."""
    height, width, channels = image.shape
    grid = TileGrid(height, width)
    parts = grid.split(chains)
    codecs = TileCodecs(model, channels, execution.backend)
    report = Report(execution.progress, grid.tiles)
    bits = np.empty((height, width), np.float32)

    def run(chain: int) -> None:
        tiles = grid.chain(chain)
        costs = tile_bits(parts[chain][0], [t.of(image) for t in tiles], codecs, report)
        for tile, cost in zip(tiles, costs, strict=True):
            tile.of(bits)[...] = cost / (tile.height * tile.width)

    parallel(run, range(grid.chains), execution.threads)
    return bits


def inspect(chains: Sequence[Buffer], height: int, width: int, model: Model | None = None) -> dict[str, Any]:
    """Return facts that need no decoding: numbers of tiles and causal tiles, and initial bits not recovered.

    With the model there is also the number of latents of each layer, finest first.
    """
    grid = TileGrid(height, width)
    causal_tiles = [first for first, _ in grid.split(chains)]
    facts: dict[str, Any] = {
        "chains": grid.chains,
        "tile": TILE,
        "tiles": grid.tiles,
        "causal_tiles": sum(causal_tiles),
        "latent_tiles": grid.tiles - sum(causal_tiles),
        "initial_bits_lost": EMPTY_BITS * grid.chains,
    }
    if model is not None:
        net = chain_codec.net(model)
        latents = [0] * net.depth
        for chain, first in enumerate(causal_tiles):
            for tile_height, tile_width, count in grid.sizes(grid.span(chain)[first:]):
                if count:
                    counts = net.latent_counts(tile_height, tile_width)
                    latents = [n + count * more for n, more in zip(latents, counts, strict=True)]
        facts["latents"] = latents
    return facts


def estimate_bits(image: Pixels, model: Model, execution: Execution) -> float:
    """Return the net bits of a picture of at most 2^17 pixels as one tile with latents."""
    return chain_codec.estimate_bits(image, TileCodecs(model, image.shape[2], execution.backend))


def _split(chain: Buffer, tiles: int) -> tuple[int, memoryview]:
    """Return the number of causal tiles and the message of a chain; raise FormatError if it is damaged."""
    view = memoryview(chain)
    if len(view) < 10 or (len(view) - 2) % 4:
        raise FormatError(f"learned payload: chain of {len(view)} bytes, expected 2 + 4 n, n >= 2")
    first = int.from_bytes(view[:2], "little")
    if not 1 <= first <= tiles:
        raise FormatError(f"learned payload: {first} tiles without latents, expected 1 to {tiles}")
    return first, view[2:]
