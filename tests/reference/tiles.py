# SPDX-License-Identifier: Apache-2.0
"""The families `rvae` and `markov`: tiles with latents (docs/format.md, "Latent models")."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import causal, flow, graph
from .logistic import Logistic
from .modelfile import Model
from .rans import Message
from .wire import Refused

PRIOR, POSTERIOR = (12, 76, 1), (16, 72, 0)  # bounds of the scale number, floor


def latent(mean: Any, scale: Any, kind: tuple[int, int, int]) -> Logistic:
    """Return the logistics of latents, given means in 1/64 step and log2 scales in 1/128."""
    mu = np.clip(mean, -15360, 15360) + 64 * 256
    return Logistic(mu, np.clip(((scale + 8) >> 4) + 48, kind[0], kind[1]), 512, kind[2])


def halves(params: Any, kind: tuple[int, int, int]) -> Logistic:
    """Return the logistics of latents, given means and then log2 scales along the last axis."""
    n = params.shape[-1] // 2
    return latent(params[..., :n], params[..., n:], kind)


class Tiles:
    """Decoder of the tiles of a model."""

    def __init__(self, model: Model) -> None:
        self.model = model
        if model.family == "flowpp":
            self.scales = model.config["scales"]
        else:
            self.scales = len(model.config["layers"])

    def pop(self, message: Message, shape: tuple[int, int, int], latents: bool) -> Any:
        """Pop a tile, uint8 [H, W, C]."""
        if not latents:
            return causal.pop(message, shape, self.model.tensors["causal_e"])
        step = 1 << self.scales
        padded = -(-shape[0] // step) * step, -(-shape[1] // step) * step
        if self.model.family in ("rvae", "markov"):
            tile = (self._rvae if self.model.family == "rvae" else self._markov)(message, shape, padded)
            if self.model.config.get("whiten") is True:
                for i in range(256):
                    message.head[i] ^= ((i + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1) >> 33
            return tile
        if self.model.family == "flowpp":
            tile = flow.pop(message, self.model, padded)[: shape[0], : shape[1]]
            return tile if shape[2] == 3 else tile[..., :1]
        raise Refused(f"unknown family {self.model.family}")

    def _run(self, name: str, *inputs: Any) -> Any:
        """Run a function with one output, and return it."""
        (out,) = graph.run(self.model, name, *inputs).values()
        return out

    def _pop(self, message: Message, codec: Logistic, shape: tuple[int, ...]) -> Any:
        return codec.pop(message).reshape(shape)

    def _rvae(self, message: Message, shape: tuple[int, int, int], padded: tuple[int, int]) -> Any:
        scale_of = [s for s, n in enumerate(self.model.config["layers"]) for _ in range(n)]
        z_channels = self.model.config["latents"]
        top = self.model.tensors["top"].astype(np.int64)
        h = np.broadcast_to(top, (padded[0] >> self.scales, padded[1] >> self.scales, len(top)))
        layers: dict[int, tuple[Any, Any, Any]] = {}
        for i in reversed(range(len(scale_of))):
            params = self._run(f"params_{i}", h)
            mean, scale, mean_step, scale_step = np.split(params, 4, axis=2)
            z = self._pop(message, latent(mean, scale, PRIOR), mean.shape)
            layers[i] = z, np.clip(mean, -15360, 15360) + mean_step, scale + scale_step
            h = self._run(f"advance_{i}", h, 32 * (z - 256))
        tile, x = self._pixels(message, self._run("likelihood", h), shape)
        features = graph.run(self.model, "bottom_up", x)
        for i in range(len(scale_of)):
            z, mean, scale = layers[i]
            feature = features[f"feature_{i}"]
            mean, scale = mean + feature[..., :z_channels], scale + feature[..., z_channels:]
            latent(mean, scale, POSTERIOR).push(message, z)
        return tile

    def _markov(self, message: Message, shape: tuple[int, int, int], padded: tuple[int, int]) -> Any:
        count, z_channels = self.scales, self.model.config["latents"]
        where = padded[0] >> count, padded[1] >> count
        prior = np.broadcast_to(self.model.tensors["prior"].astype(np.int64), (*where, 2 * z_channels))
        z = self._pop(message, halves(prior, PRIOR), (*where, z_channels))
        for i in reversed(range(1, count)):
            params = self._run(f"generate_{i - 1}", 32 * (z - 256))
            finer = self._pop(message, halves(params, PRIOR), (*params.shape[:2], z_channels))
            halves(self._run(f"infer_{i}", 32 * (finer - 256)), POSTERIOR).push(message, z)
            z = finer
        tile, x = self._pixels(message, self._run("likelihood", 32 * (z - 256)), shape)
        halves(self._run("infer_0", x), POSTERIOR).push(message, z)
        return tile

    def _pixels(self, message: Message, params: Any, shape: tuple[int, int, int]) -> tuple[Any, Any]:
        """Pop the pixels; return the tile, and the network input: padded, three channels, 16·(x - 128)."""
        height, width, channels = shape
        m = params[:height, :width].astype(np.int64)
        e = np.clip(((m[..., 3:6] + 8) >> 4) + 24, 0, 78)

        def one(mu: Any, k: int) -> Any:
            return self._pop(message, Logistic(mu, e[..., k], 256, 1), (height, width))

        mu_g = m[..., 0] + 8192
        g = one(mu_g, 0)
        if channels == 1:
            tile = g[..., None]
        else:
            d_g = 64 * g - mu_g
            mu_r = m[..., 1] + 8192 + ((m[..., 6] * d_g) >> 8)
            r = one(mu_r, 1)
            d_r = 64 * r - mu_r
            b = one(m[..., 2] + 8192 + ((m[..., 7] * d_g + m[..., 8] * d_r) >> 8), 2)
            tile = np.stack([r, g, b], -1)
        spare = ((0, params.shape[0] - height), (0, params.shape[1] - width), (0, 0))
        x = np.pad(tile, spare, mode="edge")
        return tile.astype(np.uint8), 16 * (np.repeat(x, 3, 2) if channels == 1 else x) - 16 * 128
