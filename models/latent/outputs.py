# SPDX-License-Identifier: Apache-2.0
"""Outputs that ``rvae`` and ``markov`` share: pixel head, pixel likelihood and terms of the ELBO.

Pixels are symbols 0..255, and scales are powers of two, as in `bbcodec.coding.distributions.logistic`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Config
from ..gradients import clamp
from ..logistic import LN2
from . import haar
from .graph_builder import COEFFICIENT_UNIT, LOG2_UNIT, PARAMETER_MAX, PIXEL_UNIT, GraphBuilder
from .layers import PlainConv, Units, depth_to_space

PIXEL_LOG2 = (-3.0, 6.75)  # log2 scale of a pixel, in symbols


def pixel_log_likelihood(x: Tensor, params: Tensor) -> Tensor:
    """Return the discretized logistic log-likelihood, with linear conditioning of the colour channels.

    Channels are coded in the order G, R, B. The residual of G moves the mean of R; the residuals of G and R
    move that of B. This is a linear form of the channel conditioning of PixelCNN++ (Salimans 2017).

    Parameters
    ----------
    x : [N, 3, H, W] symbols 0..255 (R, G, B).
    params : [N, 9, H, W]: means of G, R, B as (mean - 128) / 16, log2 scales of G, R, B in symbols, and three
        coefficients.

    Returns
    -------
    Log probabilities in nats, [N, 3, H, W], in the order G, R, B.
    """
    mean, log2_scale, coef = params.split(3, dim=1)
    mean = 128 + 16 * mean
    x = x[:, [1, 0, 2]]
    green = x[:, 0] - mean[:, 0]
    mean_r = mean[:, 1] + coef[:, 0] * green
    mean_b = mean[:, 2] + coef[:, 1] * green + coef[:, 2] * (x[:, 1] - mean_r)
    mean = torch.stack((mean[:, 0], mean_r, mean_b), 1)
    log2_scale = clamp(log2_scale, *PIXEL_LOG2)
    inv = torch.exp2(-log2_scale)
    lower = torch.where(x < 0.5, -1e4, (x - 0.5 - mean) * inv)
    upper = torch.where(x > 254.5, 1e4, (x + 0.5 - mean) * inv)
    # Use symmetry to work in the lower half, where sigmoid differences keep their precision.
    is_above = lower + upper > 0
    a, b = torch.where(is_above, -upper, lower), torch.where(is_above, -lower, upper)
    p = torch.sigmoid(b) - torch.sigmoid(a)
    t = (x - mean) * inv
    tail = -t - 2 * F.softplus(-t) - LN2 * log2_scale  # density times width 1, far from the mean
    return torch.where(p > 1e-6, torch.log(p.clamp_min(1e-7)), tail)


@dataclass
class Terms:
    """Terms of the ELBO of a batch.

    Attributes
    ----------
    log_likelihood : [N, 3, H, W] in nats.
    kls : one [N, Z, H', W'] sample of log q - log p in nats for each latent layer, in decoding order.
    """

    log_likelihood: Tensor
    kls: list[Tensor]

    def bits_per_dim(self) -> Tensor:
        """Return the negative ELBO in bits per sub-pixel, mean over the batch."""
        total = -self.log_likelihood.sum() + sum(kl.sum() for kl in self.kls)
        return total / (LN2 * self.log_likelihood.numel())

    def kl_bits_per_dim(self) -> list[float]:
        """Return the KL of each latent layer in bits per sub-pixel of the image."""
        return [float(kl.sum() / (LN2 * self.log_likelihood.numel())) for kl in self.kls]

    def loss(self, free_bits: float) -> Tensor:
        """Return the negative ELBO with free bits (Kingma et al. 2016), in bits per sub-pixel.

        Each channel of each latent layer costs at least `free_bits` bits per position of its layer. Training
        therefore does not remove a channel before the decoder has learned to use it.
        """
        total = -self.log_likelihood.sum()
        for kl in self.kls:
            per_channel = kl.sum((0, 2, 3))
            total = total + per_channel.clamp_min(free_bits * LN2 * kl.numel() / kl.shape[1]).sum()
        return total / (LN2 * self.log_likelihood.numel())


class PixelHead(nn.Module):
    """Residual units at half resolution, then nine parameters of every pixel (see `pixel_log_likelihood`)."""

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
        """Map a stream [N, C, H/2, W/2] to parameters [N, 9, H, W]."""
        return depth_to_space(self.conv(self.units(h)))

    def emit(self, b: GraphBuilder, h: str) -> str:
        """Add the head to a graph and return the name of its output."""
        units = [PIXEL_UNIT] * 3 + [LOG2_UNIT] * 3 + [COEFFICIENT_UNIT] * 3
        unit = self.conv.bias.new_tensor(units).repeat(4)
        return b.depth_to_space(self.conv.emit(b, self.units.emit(b, h), unit=unit, limit=PARAMETER_MAX))
