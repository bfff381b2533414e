# SPDX-License-Identifier: Apache-2.0
"""Float forms, for training, of the distributions that the coder has as integers.

Units match `bbcodec.coding.distributions.logistic`: latents live on a grid of step 1/8, pixels are symbols
0..255, scales are powers of two (the networks put out log2 of the scale).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .layers import clamp

LATENT_STEP = 1 / 8  # one latent symbol
LATENT_LIMIT = 30.0  # |mean| of a latent; its 512 symbols span +-32
POSTERIOR_LOG2 = (-4.0, 3.0)  # log2 scale of a posterior: never below half a step, so the grid costs nothing
PRIOR_LOG2 = (-4.5, 3.5)
PIXEL_LOG2 = (-3.0, 6.75)  # log2 scale of a pixel, in symbols
LN2 = math.log(2.0)


def sample_logistic(mean: Tensor, log2_scale: Tensor) -> Tensor:
    """Reparametrised sample."""
    u = torch.rand_like(mean).clamp_(1e-5, 1 - 1e-5)
    return mean + torch.exp2(log2_scale) * torch.logit(u)


def logistic_log_density(z: Tensor, mean: Tensor, log2_scale: Tensor) -> Tensor:
    """log of the logistic density, in nats."""
    t = (z - mean) * torch.exp2(-log2_scale)
    return -t - 2 * F.softplus(-t) - LN2 * log2_scale


def pixel_log_likelihood(x: Tensor, params: Tensor) -> Tensor:
    """Discretized logistic likelihood with linear conditioning of the colour channels.

    Parameters
    ----------
    x : [N, 3, H, W] symbols 0..255 (R, G, B).
    params : [N, 9, H, W]: means of G, R, B (as (mean - 128) / 16), log2 scales of G, R, B in symbols, and
        three coefficients. Channels are coded in the order G, R, B; the mean of R is moved by G's residual,
        that of B by G's and R's (a linear form of the channel conditioning of PixelCNN++, Salimans 2017).

    Returns
    -------
    [N, 3, H, W] log probabilities in nats, order G, R, B.
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
    # Work in the lower half by symmetry: sigmoid differences keep their precision there.
    flip = lower + upper > 0
    a, b = torch.where(flip, -upper, lower), torch.where(flip, -lower, upper)
    p = torch.sigmoid(b) - torch.sigmoid(a)
    t = (x - mean) * inv
    tail = -t - 2 * F.softplus(-t) - LN2 * log2_scale  # density times width 1, for far misses
    return torch.where(p > 1e-6, torch.log(p.clamp_min(1e-7)), tail)
