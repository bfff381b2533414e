# SPDX-License-Identifier: Apache-2.0
"""What every family shares at its pixel end: the head with the likelihood's parameters, the ELBO's terms."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import Config
from . import haar
from .export import COEF_UNIT, LOG2_UNIT, PIXEL_UNIT, GraphBuilder
from .layers import PlainConv, Units, depth_to_space

LN2 = 0.6931471805599453


@dataclass
class Terms:
    """Terms of the ELBO.

    Attributes
    ----------
    log_likelihood : [N, 3, H, W] in nats.
    kls : one [N, Z, H', W'] sample of log q - log p in nats for each latent layer, in decoding order.
    """

    log_likelihood: Tensor
    kls: list[Tensor]

    def bits_per_dim(self) -> Tensor:
        """Negative ELBO in bits per sub-pixel, mean over the batch."""
        total = -self.log_likelihood.sum() + sum(kl.sum() for kl in self.kls)
        return total / (LN2 * self.log_likelihood.numel())

    def kl_bits_per_dim(self) -> list[float]:
        """KL of each latent layer in bits per sub-pixel of the image."""
        return [float(kl.sum() / (LN2 * self.log_likelihood.numel())) for kl in self.kls]

    def loss(self, free_bits: float) -> Tensor:
        """Negative ELBO with free bits (Kingma et al. 2016).

        Each channel of each latent layer costs at least `free_bits` bits per position of its layer, so that
        it is not optimised away before the decoder has learned to use it.
        """
        total = -self.log_likelihood.sum()
        for kl in self.kls:
            per_channel = kl.sum((0, 2, 3))
            total = total + per_channel.clamp_min(free_bits * LN2 * kl.numel() / kl.shape[1]).sum()
        return total / (LN2 * self.log_likelihood.numel())


class PixelHead(nn.Module):
    """Residual units at half resolution, then nine parameters for every pixel (see `logistic`)."""

    def __init__(self, config: Config):
        super().__init__()
        self.units = Units(config)
        self.conv = PlainConv(config.width, 36, kernel=3)
        haar.pixel_means(self.conv)
        with torch.no_grad():
            bias = self.conv.bias.view(4, 9)
            bias[:, 3:6] = torch.tensor([2.5, 1.5, 1.5])  # log2 scales in symbols
            bias[:, 6:9] = torch.tensor([1.0, 1.0, 0.0])

    def forward(self, h: Tensor) -> Tensor:
        """[N, C, H/2, W/2] -> [N, 9, H, W]."""
        return depth_to_space(self.conv(self.units(h)))

    def emit(self, b: GraphBuilder, h: str) -> str:
        unit = self.conv.bias.new_tensor([PIXEL_UNIT] * 3 + [LOG2_UNIT] * 3 + [COEF_UNIT] * 3).repeat(4)
        return b.depth_to_space(self.conv.emit(b, self.units.emit(b, h), unit=unit, limit=32767))
