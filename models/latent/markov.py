# SPDX-License-Identifier: Apache-2.0
"""A Markov chain of latents x - z_1 - z_2 ... z_L with bottom-up inference, as Bit-Swap needs it.

The factors are q(z_1|x), q(z_2|z_1) ... and p(z_L), p(z_{L-1}|z_L) ... p(x|z_1). Each depends only on its
neighbour, so that coding can interleave (Kingma, Abbeel and Ho, ICML 2019). Layer i has 1/2^i of the image's
resolution. The residual layers are binarized like those of `rvae`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..config import Config
from ..gradients import clamp
from ..logistic import LATENT_LIMIT, POSTERIOR_LOG2, PRIOR_LOG2, logistic_log_density, sample_logistic
from . import haar
from .graph_builder import LATENT_UNIT, LOG2_UNIT, PARAMETER_MAX, GraphBuilder
from .layers import Down, Modules, PlainConv, Units, Up, saturate
from .network import Network
from .outputs import PixelHead, Terms, pixel_log_likelihood


class Inference(nn.Module):
    """Network of q(z_{i+1} | z_i): half the resolution, residual units, mean and log2 scale."""

    def __init__(self, config: Config, inputs: int):
        super().__init__()
        self.down = Down(inputs, config.width, kernel=3)
        self.units = Units(config)
        self.params = PlainConv(config.width, 2 * config.latents)
        haar.analysis(self.down.conv, pixels=inputs == 3)
        haar.silence(self.params, 0, 2 * config.latents)
        haar.copy(self.params, 0)
        with torch.no_grad():
            self.params.bias[config.latents :] = -3.0  # posteriors start sharp, as in `rvae`

    def forward(self, x: Tensor) -> Tensor:
        return self.params(self.units(self.down(x)))


class Generation(nn.Module):
    """Network of p(z_{i-1} | z_i): residual units before and after doubling the resolution."""

    def __init__(self, config: Config):
        super().__init__()
        self.inject = PlainConv(config.latents, config.width, kernel=3)
        self.units = Units(config)
        self.up = Up(config.width, config.width)
        self.fine_units = Units(config)
        self.params = PlainConv(config.width, 2 * config.latents)
        haar.copy(self.inject, 0)
        haar.synthesis(self.up.conv)
        haar.silence(self.params, 0, 2 * config.latents)
        haar.copy(self.params, 0)
        with torch.no_grad():
            self.params.bias[config.latents :] = -1.0

    def forward(self, z: Tensor) -> Tensor:
        h = self.units(saturate(self.inject(z)))
        return self.params(self.fine_units(self.up(h)))


class Markov(Network):
    """Markov VAE; `forward` returns the terms of the ELBO of images x [N, 3, H, W] in 0..255."""

    config: Config

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        z, depth = config.latents, len(config.layers)
        self.inference: Modules[Inference] = Modules(
            Inference(config, 3 if i == 0 else z) for i in range(depth)
        )
        # Network i maps z_{i+2} to z_{i+1}.
        self.generation: Modules[Generation] = Modules(Generation(config) for _ in range(depth - 1))
        self.inject = PlainConv(z, config.width, kernel=3)
        haar.copy(self.inject, 0)
        self.decoder = Units(config)
        self.head = PixelHead(config)
        self.prior = nn.Parameter(torch.zeros(2 * z, 1, 1))
        self.multiple = 2**depth

    def forward(self, x: Tensor) -> Terms:
        samples: list[Tensor] = []
        log_q: list[Tensor] = []
        below = (x - 128) / 16
        for net in self.inference:
            mean, log2 = net(below).chunk(2, dim=1)
            mean, log2 = clamp(mean, -LATENT_LIMIT, LATENT_LIMIT), clamp(log2, *POSTERIOR_LOG2)
            below = sample_logistic(mean, log2)
            samples.append(below)
            log_q.append(logistic_log_density(below, mean, log2))
        kls = []
        for i in reversed(range(len(samples))):
            params = self.prior.expand(x.shape[0], -1, *samples[i].shape[2:])
            if i + 1 < len(samples):
                params = self.generation[i](samples[i + 1])
            mean, log2 = params.chunk(2, dim=1)
            mean, log2 = clamp(mean, -LATENT_LIMIT, LATENT_LIMIT), clamp(log2, *PRIOR_LOG2)
            kls.append(log_q[i] - logistic_log_density(samples[i], mean, log2))
        return Terms(pixel_log_likelihood(x, self.head(self.decode(samples[0]))), kls)

    def decode(self, z: Tensor) -> Tensor:
        """Return the stream at half resolution that z_1 gives."""
        return self.decoder(saturate(self.inject(z)))

    def export(self, b: GraphBuilder) -> None:
        """Add ``infer_i`` (z_i to z_{i+1}), ``generate_i`` (z_{i+2} to z_{i+1}) and ``likelihood``."""
        z = self.config.latents
        unit = self.prior.new_tensor([LATENT_UNIT] * z + [LOG2_UNIT] * z)
        for i, net in enumerate(self.inference):
            with b.function(f"infer_{i}", **({"x": 3} if i == 0 else {"z": z})) as f:
                h = net.units.emit(b, net.down.emit(b, "x" if i == 0 else "z"))
                f.output("params", net.params.emit(b, h, unit=unit, limit=PARAMETER_MAX))
        for i, generate in enumerate(self.generation):
            with b.function(f"generate_{i}", z=z) as f:
                h = generate.up.emit(b, generate.units.emit(b, generate.inject.emit(b, "z")))
                h = generate.fine_units.emit(b, h)
                f.output("params", generate.params.emit(b, h, unit=unit, limit=PARAMETER_MAX))
        with b.function("likelihood", z=z) as f:
            h = self.decoder.emit(b, self.inject.emit(b, "z"))
            f.output("params", self.head.emit(b, h))
        prior = (self.prior.detach().flatten() / unit).round()
        b.tensor("prior", prior.clamp(-PARAMETER_MAX, PARAMETER_MAX), "int16")
