# SPDX-License-Identifier: Apache-2.0
"""The bidirectional ResNet VAE (Kingma et al. 2016; Bird et al. 2021) with binarized residual layers.

A bottom-up stream reads the image; a top-down stream, coarse to fine, meets one latent layer after the other.
The posterior of a layer adds a correction to its prior, from the top-down stream and from the bottom-up
features, so it knows all latents above: the chain is not Markov, and all latents are popped before x is
pushed. The network is fully convolutional: the top of the stream is one learned vector, repeated over the
tile.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import Config
from . import haar
from .export import LATENT_UNIT, LOG2_UNIT, GraphBuilder
from .layers import Down, PlainConv, Units, Up, clamp, saturate
from .logistic import (
    LATENT_LIMIT,
    POSTERIOR_LOG2,
    PRIOR_LOG2,
    logistic_log_density,
    pixel_log_likelihood,
    sample_logistic,
)
from .outputs import PixelHead, Terms


class LatentLayer(nn.Module):
    """Prior, posterior correction, and the way back into the stream of one latent layer."""

    def __init__(self, config: Config, up: bool):
        super().__init__()
        z = config.latents
        self.params = PlainConv(config.width, 4 * z, gain=0.1)  # prior mean, prior log2 scale, corrections
        self.inject = PlainConv(z, config.width, kernel=3)
        self.units = Units(config)
        self.up = Up(config.width, config.width) if up else None
        self.feature = PlainConv(config.width, 2 * z)  # of the bottom-up stream
        haar.silence(self.params, 0, 4 * z)
        haar.copy(self.params, 2 * z, sign=-1.0)  # a latent is what the stream above does not know yet
        haar.silence(self.feature, 0, 2 * z)
        haar.copy(self.feature, 0)
        haar.copy(self.inject, 0)
        with torch.no_grad():
            self.params.bias[z : 2 * z] = -1.5
            self.params.bias[3 * z :] = -1.5  # posteriors start sharper than priors
            if self.up is not None:
                haar.synthesis(self.up.conv)

    def forward(self, h: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Sample the posterior; returns the next stream and log q - log p, [N, Z, H, W]."""
        prior_mean, prior_log2, mean, log2 = self.params(h).chunk(4, dim=1)
        feature_mean, feature_log2 = feature.chunk(2, dim=1)
        prior_mean = clamp(prior_mean, -LATENT_LIMIT, LATENT_LIMIT)
        mean = clamp(prior_mean + mean + feature_mean, -LATENT_LIMIT, LATENT_LIMIT)
        log2 = clamp(prior_log2 + log2 + feature_log2, *POSTERIOR_LOG2)
        prior_log2 = clamp(prior_log2, *PRIOR_LOG2)
        z = sample_logistic(mean, log2)
        kl = logistic_log_density(z, mean, log2) - logistic_log_density(z, prior_mean, prior_log2)
        return self.advance(h, z), kl

    def advance(self, h: Tensor, z: Tensor) -> Tensor:
        """Stream after this latent layer."""
        h = self.units(saturate(h + self.inject(z)))
        return self.up(h) if self.up is not None else h

    def unit(self, like: Tensor, pairs: int) -> Tensor:
        """Output units of `pairs` (mean, log2 scale) pairs."""
        z = self.feature.bias.numel() // 2
        return torch.cat([like.new_tensor([LATENT_UNIT] * z + [LOG2_UNIT] * z)] * pairs)


class RVAE(nn.Module):
    """ResNet VAE; `forward` gives the terms of the ELBO for images x [N, 3, H, W] in 0..255."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        width, scales = config.width, len(config.layers)
        self.stem = Down(3, width, kernel=3)
        haar.analysis(self.stem.conv, pixels=True)
        self.bottom_up = nn.ModuleList()  # fine to coarse
        self.latent_layers = nn.ModuleList()  # same order
        for scale, count in enumerate(config.layers):
            for j in range(count):
                down = Down(width, width) if j == 0 and scale > 0 else nn.Identity()
                if isinstance(down, Down):
                    haar.analysis(down.conv, pixels=False)
                self.bottom_up.append(nn.ModuleList([down, Units(config)]))
                self.latent_layers.append(LatentLayer(config, up=j == 0 and scale > 0))
        self.top = nn.Parameter(torch.zeros(width, 1, 1))
        self.head = PixelHead(config)
        self.multiple = 2**scales

    def features(self, x: Tensor) -> list[Tensor]:
        """Bottom-up features of each latent layer, fine to coarse."""
        h = self.stem((x - 128) / 16)
        out = []
        for (down, units), layer in zip(self.bottom_up, self.latent_layers, strict=True):
            h = units(down(h))
            out.append(layer.feature(h))
        return out

    def forward(self, x: Tensor) -> Terms:
        features = self.features(x)
        n, _, height, width = x.shape
        h = self.top.expand(n, -1, height // self.multiple, width // self.multiple)
        kls = []
        for layer, feature in zip(reversed(self.latent_layers), reversed(features), strict=True):
            h, kl = layer(h, feature)
            kls.append(kl)
        return Terms(pixel_log_likelihood(x, self.head(h)), kls)

    def export(self, b: GraphBuilder) -> None:
        """Emit ``bottom_up``, ``params_i`` and ``advance_i`` (i from fine to coarse), and ``likelihood``."""
        with b.function("bottom_up", x=3) as f:
            h = self.stem.emit(b, "x")
            for i, ((down, units), layer) in enumerate(zip(self.bottom_up, self.latent_layers, strict=True)):
                h = units.emit(b, down.emit(b, h) if isinstance(down, Down) else h)
                feature = layer.feature.emit(b, h, unit=layer.unit(layer.feature.bias, 1), limit=32767)
                f.output(f"feature_{i}", feature)
        for i, layer in enumerate(self.latent_layers):
            with b.function(f"params_{i}", h=self.config.width) as f:
                f.output(
                    "params", layer.params.emit(b, "h", unit=layer.unit(layer.params.bias, 2), limit=32767)
                )
            with b.function(f"advance_{i}", h=self.config.width, z=self.config.latents) as f:
                h = layer.units.emit(b, b.add("h", layer.inject.emit(b, "z")))
                f.output("next", layer.up.emit(b, h) if layer.up is not None else h)
        with b.function("likelihood", h=self.config.width) as f:
            f.output("params", self.head.emit(b, "h"))
        b.tensor("top", (self.top.detach().flatten() * 256).round().clamp(-7936, 7936), "int16")
