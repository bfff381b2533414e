# SPDX-License-Identifier: Apache-2.0
"""The bidirectional ResNet VAE (Kingma et al. 2016; Bird et al. 2021) with binarized residual layers.

A bottom-up stream reads the image. A top-down stream passes the latent layers from coarse to fine. The
posterior of a layer corrects its prior, from the top-down stream and the bottom-up features. It depends on
all latents above: the chain is not Markov, and all latents are popped before x is pushed. The network is
fully convolutional: the top of the stream is one learned vector, repeated over the tile.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import Config
from ..gradients import clamp
from ..logistic import LATENT_LIMIT, POSTERIOR_LOG2, PRIOR_LOG2, logistic_log_density, sample_logistic
from . import haar
from .graph_builder import LATENT_UNIT, LOG2_UNIT, PARAMETER_MAX, STREAM_MAX, STREAM_UNIT, GraphBuilder
from .layers import Down, Modules, PlainConv, Units, Up, saturate
from .network import Network
from .outputs import PixelHead, Terms, pixel_log_likelihood


class LatentLayer(nn.Module):
    """One latent layer: its prior, the correction to the posterior, and the stream after it."""

    def __init__(self, config: Config, up: bool):
        super().__init__()
        z = config.latents
        self.params = PlainConv(config.width, 4 * z, gain=0.1)  # prior mean, prior log2 scale, corrections
        self.inject = PlainConv(z, config.width, kernel=3)
        self.units = Units(config)
        self.up = Up(config.width, config.width) if up else None
        self.feature = PlainConv(config.width, 2 * z)  # of the bottom-up stream
        haar.silence(self.params, 0, 4 * z)
        haar.copy(self.params, 2 * z, sign=-1.0)  # a latent is what the stream above does not predict
        haar.silence(self.feature, 0, 2 * z)
        haar.copy(self.feature, 0)
        haar.copy(self.inject, 0)
        with torch.no_grad():
            self.params.bias[z : 2 * z] = -1.5
            self.params.bias[3 * z :] = -1.5  # posteriors start sharper than priors
            if self.up is not None:
                haar.synthesis(self.up.conv)

    def forward(self, h: Tensor, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Sample the posterior; return the next stream and log q - log p in nats, [N, Z, H, W]."""
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
        """Return the stream after this latent layer."""
        h = self.units(saturate(h + self.inject(z)))
        return self.up(h) if self.up is not None else h

    def unit(self, like: Tensor, pairs: int) -> Tensor:
        """Return the output units of `pairs` (mean, log2 scale) pairs, with the device of `like`."""
        z = self.feature.bias.numel() // 2
        return torch.cat([like.new_tensor([LATENT_UNIT] * z + [LOG2_UNIT] * z)] * pairs)


class Reading(nn.ModuleList):
    """Bottom-up step before one latent layer: half the resolution or nothing, then residual units."""

    def __init__(self, config: Config, is_down: bool):
        down = Down(config.width, config.width) if is_down else None
        if down is not None:
            haar.analysis(down.conv, pixels=False)
        super().__init__([nn.Identity() if down is None else down, Units(config)])

    def forward(self, h: Tensor) -> Tensor:
        for module in self:
            h = module(h)
        return h

    def emit(self, b: GraphBuilder, h: str) -> str:
        for module in self:
            h = module.emit(b, h) if isinstance(module, Down | Units) else h
        return h


class RVAE(Network):
    """ResNet VAE; `forward` returns the terms of the ELBO of images x [N, 3, H, W] in 0..255."""

    config: Config

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        width, scales = config.width, len(config.layers)
        self.stem = Down(3, width, kernel=3)
        haar.analysis(self.stem.conv, pixels=True)
        self.bottom_up: Modules[Reading] = Modules()  # fine to coarse
        self.latent_layers: Modules[LatentLayer] = Modules()  # same order
        for scale, count in enumerate(config.layers):
            for j in range(count):
                is_first = j == 0 and scale > 0
                self.bottom_up.append(Reading(config, is_down=is_first))
                self.latent_layers.append(LatentLayer(config, up=is_first))
        self.top = nn.Parameter(torch.zeros(width, 1, 1))
        self.head = PixelHead(config)
        self.multiple = 2**scales

    def features(self, x: Tensor) -> list[Tensor]:
        """Return the bottom-up features of each latent layer, fine to coarse."""
        h = self.stem((x - 128) / 16)
        out = []
        for read, layer in zip(self.bottom_up, self.latent_layers, strict=True):
            h = read(h)
            out.append(layer.feature(h))
        return out

    def forward(self, x: Tensor) -> Terms:
        features = self.features(x)
        n, _, height, width = x.shape
        h = self.top.expand(n, -1, height // self.multiple, width // self.multiple)
        kls = []
        for layer, feature in zip([*self.latent_layers][::-1], features[::-1], strict=True):
            h, kl = layer(h, feature)
            kls.append(kl)
        return Terms(pixel_log_likelihood(x, self.head(h)), kls)

    def export(self, b: GraphBuilder) -> None:
        """Add ``bottom_up``, ``params_i``, ``advance_i`` (i = 0 is the finest), ``likelihood`` to a graph."""
        with b.function("bottom_up", x=3) as f:
            h = self.stem.emit(b, "x")
            for i, (read, layer) in enumerate(zip(self.bottom_up, self.latent_layers, strict=True)):
                h = read.emit(b, h)
                unit = layer.unit(layer.feature.bias, 1)
                f.output(f"feature_{i}", layer.feature.emit(b, h, unit=unit, limit=PARAMETER_MAX))
        for i, layer in enumerate(self.latent_layers):
            with b.function(f"params_{i}", h=self.config.width) as f:
                unit = layer.unit(layer.params.bias, 2)
                f.output("params", layer.params.emit(b, "h", unit=unit, limit=PARAMETER_MAX))
            with b.function(f"advance_{i}", h=self.config.width, z=self.config.latents) as f:
                h = layer.units.emit(b, b.add("h", layer.inject.emit(b, "z")))
                f.output("next", layer.up.emit(b, h) if layer.up is not None else h)
        with b.function("likelihood", h=self.config.width) as f:
            f.output("params", self.head.emit(b, "h"))
        top = (self.top.detach().flatten() / STREAM_UNIT).round()
        b.tensor("top", top.clamp(-STREAM_MAX, STREAM_MAX), "int16")
