# SPDX-License-Identifier: Apache-2.0
"""The families ``rvae``, ``markov`` and ``flowpp`` behind the protocol `bbcodec.families.family.Family`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bbcodec.coding.ans import Words
from bbcodec.container import Buffer
from bbcodec.engine.bits import words as words_of
from bbcodec.engine.bounds import check_graph
from bbcodec.engine.graph import Bconv, Wconv
from bbcodec.errors import FormatError
from bbcodec.families.family import Family, Fit
from bbcodec.families.latent import tiles
from bbcodec.families.latent.chains import TileCodecs, decode_chain, encode_chain
from bbcodec.families.stats import Pixels
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model

__all__ = ["FAMILY"]

_CHAIN_PIXELS: Final = tiles.CHAIN_TILES * tiles.TILE**2
_BYTES_PER_PIXEL: Final = 64  # memory for a chain while it is decoded: message and maps of latents


class _Latent:
    max_side = 128  # in a batch, a picture is one tile
    cost_unit = "tile"
    universal = False
    deep = False
    fitter: str | None = None

    encode = staticmethod(tiles.encode)
    decode = staticmethod(tiles.decode)
    payloads = staticmethod(tiles.payloads)
    places = staticmethod(tiles.places)
    cost_map = staticmethod(tiles.cost_map)
    inspect = staticmethod(tiles.inspect)
    estimate_bits = staticmethod(tiles.estimate_bits)

    def encode_batch(self, images: Sequence[Pixels], model: Model, execution: Execution) -> tuple[int, Words]:
        """Push pictures in reverse, each as one tile. They are decoded in order then."""
        codecs = TileCodecs(model, images[0].shape[2], execution.backend)
        plain, words, _ = encode_chain(images[::-1], codecs)
        return plain, words

    def decode_batch(
        self,
        plain: int,
        words: Words,
        shapes: Sequence[tuple[int, int]],
        channels: int,
        model: Model,
        execution: Execution,
    ) -> list[Pixels]:
        """Pop the pictures that `encode_batch` pushed.

        Raises
        ------
        FormatError
            The message is damaged, or `plain` is impossible for these pictures.
        """
        if not 1 <= plain <= len(shapes):
            raise FormatError(f"batch: {plain} pictures without latents, expected 1 to {len(shapes)}")
        codecs = TileCodecs(model, channels, execution.backend)
        return list(decode_chain(plain, words, shapes[::-1], codecs))

    def prepare(self, model: Model, execution: Execution) -> None:
        """Build the codecs of the model, which are cached."""
        TileCodecs(model, 3, execution.backend)

    def parameters(self, model: Model) -> tuple[int, int]:
        """Return the number of 1-bit weights, and the number of all other integers."""
        others = sum(tensor.size for tensor in model.tensors.values() if tensor.dtype != np.uint64)
        binary: dict[str, int] = {}
        for name, analysis in check_graph(model.graph).items():
            for op in model.graph.functions[name].ops:
                if isinstance(op, Bconv | Wconv):
                    channels = analysis.values[op.x].channels  # the last word of a row may be partly filled
                    binary[op.weight] = model.tensors[op.weight].size // words_of(channels) * channels
        return sum(binary.values()), others

    def working_bytes(self, pixels: int, threads: int) -> int:
        """Estimate the memory for decoding, in bytes, without the samples and the model."""
        return min(pixels, threads * _CHAIN_PIXELS) * _BYTES_PER_PIXEL

    def read_fit(self, payload: Buffer, offset: int = 0) -> Fit:
        """Raise FormatError: models of these families cannot be fitted to a picture."""
        raise FormatError(
            f"section FITT at byte {offset}: models of the families rvae, markov and flowpp have no fits"
        )


FAMILY: Final[Family] = _Latent()
