# SPDX-License-Identifier: Apache-2.0
"""The Markov chain of latents as a codec: Bit-Swap interleaves pops and pushes, layer by layer.

Functions of the model file: ``infer_i`` (z_i -> posterior of z_{i+1}, where z_0 = x), ``generate_i`` (z_{i+2}
-> prior of z_{i+1}), ``likelihood`` (z_1 -> pixel parameters). The tensor ``prior`` holds means and log2
scales of the top latents.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.bits_back import BitSwap, MarkovBBANS
from bbcodec.coding.codecs import Codec
from bbcodec.engine import Program
from bbcodec.families.latent import pixels, signature
from bbcodec.modelfile import Model


class Markov:
    """Codecs of tiles under a ``markov`` model.

    Attributes
    ----------
    multiple : tiles are padded to multiples of this many pixels.
    """

    def __init__(self, model: Model, backend: str | None = None):
        self.backend = backend
        self.program = Program(model.graph, backend)
        layers, self.latents = signature.layers_and_latents(model.config)
        self.depth = len(layers)
        self.multiple = 2**self.depth
        self.top = pixels.vector(model, "prior", 32767, 2 * self.latents).astype(np.int32)
        check, z = partial(signature.check_function, self.program), self.latents
        for i in range(self.depth):
            check(f"infer_{i}", {"z": z} if i else {"x": 3}, {"params": (2 * z, -1)})
        for i in range(self.depth - 1):
            check(f"generate_{i}", {"z": z}, {"params": (2 * z, 1)})
        check("likelihood", {"z": z}, {"params": (9, 1)})
        signature.check_work(self.program)

    def latent_counts(self, height: int, width: int) -> list[int]:
        """Return the number of latents of a tile in each layer, finest first."""
        return [
            self.latents * pixels.positions(height, width, self.multiple, s + 1) for s in range(self.depth)
        ]

    def tile_codec(self, height: int, width: int, channels: int, *, interleave: bool = True) -> Codec:
        """Return the codec of one tile with its latents, uint8 [height, width, channels].

        With `interleave` false it is plain BB-ANS over the same chain, to compare the initial bits.
        """
        scheme = BitSwap if interleave else MarkovBBANS
        first: list[Callable[[Any], Codec]] = [
            lambda z: pixels.likelihood(self._run("likelihood", z), height, width, channels, self.backend)
        ]
        likelihoods = first + [self._layer(f"generate_{i}", prior=True) for i in range(self.depth - 1)]
        posteriors = [self._bottom] + [self._layer(f"infer_{i}", prior=False) for i in range(1, self.depth)]
        rows, columns = (-(-n // self.multiple) for n in (height, width))
        top = np.broadcast_to(self.top, (rows, columns, 2 * self.latents))
        prior = pixels.latent_logistic(
            *pixels.prior_parameters(*np.split(top, 2, axis=-1)), self.backend, floor=1
        )
        return scheme(prior, likelihoods, posteriors)

    def _run(self, name: str, z: NDArray[np.int32]) -> NDArray[np.int16]:
        return self.program(name, {"z": pixels.latent_input(z)})["params"]

    def _bottom(self, tile: NDArray[np.uint8]) -> Codec:
        params = self.program("infer_0", {"x": pixels.network_input(tile, self.multiple)})["params"]
        return self._codec(params, prior=False)

    def _layer(self, name: str, prior: bool) -> Callable[[Any], Codec]:
        return lambda z: self._codec(self._run(name, z), prior)

    def _codec(self, params: NDArray[np.int16], prior: bool) -> Codec:
        mean, log2 = np.split(params[0].astype(np.int32), 2, axis=-1)
        parameters = pixels.prior_parameters if prior else pixels.posterior_parameters
        return pixels.latent_logistic(*parameters(mean, log2), self.backend, floor=int(prior))
