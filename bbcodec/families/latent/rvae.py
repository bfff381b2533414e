# SPDX-License-Identifier: Apache-2.0
"""The bidirectional ResNet VAE as a codec: pop all latents of a tile, then push the pixels x (BB-ANS).

Functions of the model file: ``bottom_up`` (x -> features of each layer), ``params_i`` (stream -> prior and
posterior correction of latent layer i), ``advance_i`` (stream, z_i -> next stream), ``likelihood``. Layer 0
is the finest. The tensor ``top`` is the vector that the top-down stream starts from.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.bits_back import BBANS
from bbcodec.coding.codecs import Codec, from_generator
from bbcodec.engine import Program
from bbcodec.families.latent import pixels, signature
from bbcodec.modelfile import Model


class Rvae:
    """Codecs of tiles under an ``rvae`` model.

    Attributes
    ----------
    multiple : tiles are padded to multiples of this many pixels.
    """

    def __init__(self, model: Model, backend: str | None = None):
        self.backend = backend
        self.program = Program(model.graph, backend)
        self.layers, self.latents = signature.layers_and_latents(model.config)
        self.depth = sum(self.layers)
        self.multiple = 2 ** len(self.layers)
        self.top = pixels.vector(model, "top", signature.STREAM)
        self._check()

    def _check(self) -> None:
        width, z = len(self.top), self.latents
        scales = [s for s, count in enumerate(self.layers) for _ in range(count)]
        features = {f"feature_{i}": (2 * z, -1 - s) for i, s in enumerate(scales)}
        check = partial(signature.check_function, self.program)
        check("bottom_up", {"x": 3}, features)
        for i, s in enumerate(scales):
            # The last layer of a scale, which has its lowest number, leads to the next finer scale.
            up = int(s > 0 and scales.index(s) == i)
            check(f"params_{i}", {"h": width}, {"params": (4 * z, 0)})
            check(f"advance_{i}", {"h": width, "z": z}, {"next": (width, up)})
        check("likelihood", {"h": width}, {"params": (9, 1)})
        signature.check_work(self.program)

    def latent_counts(self, height: int, width: int) -> list[int]:
        """Return the number of latents of a tile in each layer, finest first."""
        scales = [s for s, count in enumerate(self.layers) for _ in range(count)]
        return [self.latents * pixels.positions(height, width, self.multiple, s + 1) for s in scales]

    def tile_codec(self, height: int, width: int, channels: int) -> Codec:
        """Return the codec of one tile with its latents, uint8 [height, width, channels]."""
        passes = _TopDown(self, height, width)
        return BBANS(
            prior=from_generator(passes.prior),
            likelihood=lambda z: pixels.likelihood(passes.output(z), height, width, channels, self.backend),
            posterior=lambda tile: from_generator(lambda: passes.posterior(tile)),
        )


class _TopDown:
    """The top-down stream of one tile. It is computed once and shared by the prior and the posterior."""

    def __init__(self, net: Rvae, height: int, width: int):
        self.net = net
        rows, columns = (-(-n // net.multiple) for n in (height, width))
        self.start = np.ascontiguousarray(np.broadcast_to(net.top, (1, rows, columns, len(net.top))))
        self.streams = [self.start]
        self.params: list[NDArray[np.int32]] = []
        self.latents: list[NDArray[Any]] = []

    def _params(self, step: int) -> NDArray[np.int32]:
        """Return the parameters [H, W, 4Z] of the latent layer at a step; step 0 is the top."""
        if step == len(self.params):
            name = f"params_{self.net.depth - 1 - step}"
            self.params.append(
                self.net.program(name, {"h": self.streams[step]})["params"][0].astype(np.int32)
            )
        return self.params[step]

    def _advance(self, step: int, z: NDArray[np.int32]) -> None:
        """Advance the stream by the latent of a step. If the latent changed, later steps are discarded."""
        if step < len(self.latents):
            if np.array_equal(self.latents[step], z):
                return
            del self.latents[step:], self.streams[step + 1 :], self.params[step + 1 :]
        self.latents.append(np.array(z))
        name = f"advance_{self.net.depth - 1 - step}"
        inputs = {"h": self.streams[step], "z": pixels.latent_input(z)}
        self.streams.append(self.net.program(name, inputs)["next"])

    def prior(self) -> Generator[Codec, Any, None]:
        """Yield the prior of each layer's latents, from the top. The caller sends back the latents."""
        for step in range(self.net.depth):
            mean, log2, _, _ = np.split(self._params(step), 4, axis=-1)
            z = yield pixels.latent_logistic(*pixels.prior_parameters(mean, log2), self.net.backend, floor=1)
            self._advance(step, z)

    def posterior(self, tile: NDArray[np.uint8]) -> Generator[Codec, Any, None]:
        """Yield the posterior of each layer's latents, from the top. The caller sends back the latents."""
        features = self.net.program("bottom_up", {"x": pixels.network_input(tile, self.net.multiple)})
        for step in range(self.net.depth):
            mean, log2, more_mean, more_log2 = np.split(self._params(step), 4, axis=-1)
            feature = features[f"feature_{self.net.depth - 1 - step}"][0].astype(np.int32)
            feature_mean, feature_log2 = np.split(feature, 2, axis=-1)
            prior_mean = np.clip(mean, -pixels.MEAN_LIMIT, pixels.MEAN_LIMIT)
            params = pixels.posterior_parameters(
                prior_mean + more_mean + feature_mean, log2 + more_log2 + feature_log2
            )
            z = yield pixels.latent_logistic(*params, self.net.backend, floor=0)
            self._advance(step, z)

    def output(self, latents: list[NDArray[np.int32]]) -> NDArray[np.int16]:
        """Return the likelihood parameters [1, H, W, 9] given all latents."""
        for step, z in enumerate(latents):
            self._advance(step, z)
        return self.net.program("likelihood", {"h": self.streams[self.net.depth]})["params"]
