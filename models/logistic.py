# SPDX-License-Identifier: Apache-2.0
"""Logistic distributions of latents in float, for training; the coder has them as integers.

Units match `bbcodec.coding.distributions.logistic`: latents have a grid of step 1/8, and scales are powers of
two. Networks return log2 of the scale.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LATENT_LIMIT = 30.0  # largest |mean| of a latent; its 512 symbols span +-32
POSTERIOR_LOG2 = (-4.0, 3.0)  # log2 scale of a posterior: never below half a step, so the grid costs nothing
PRIOR_LOG2 = (-4.5, 3.5)  # log2 scale of a prior
LN2 = math.log(2.0)


def sample_logistic(mean: Tensor, log2_scale: Tensor) -> Tensor:
    """Draw a reparametrised sample."""
    u = torch.rand_like(mean).clamp_(1e-5, 1 - 1e-5)
    return mean + torch.exp2(log2_scale) * torch.logit(u)


def logistic_log_density(z: Tensor, mean: Tensor, log2_scale: Tensor) -> Tensor:
    """Return the log of the logistic density at z, in nats."""
    t = (z - mean) * torch.exp2(-log2_scale)
    return -t - 2 * F.softplus(-t) - LN2 * log2_scale
