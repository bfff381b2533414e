# SPDX-License-Identifier: Apache-2.0
"""The head of the family `local` in PyTorch: features to a mixture of logistics, with 1-bit hidden weights.

It trains on features that the codec itself computes (`bbcodec.families.local.native.observe`), so that
training and coding see the same numbers. docs/local.md describes the integer network that
`models/local/export.py` makes of it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..gradients import round8, sign, sign_weight

FEATURES = 48  # features of a sample
FEATURE_UNIT = 32.0  # integer features are in steps of 1/32
ACTIVATION_LIMIT = 255 / 16  # activations are multiples of 1/16 in 8 bits
SCALE_OFFSET = 0.7  # natural log; an output of 0 puts a component's scale this far below the local spread
MIN_LOG_SCALE, MAX_LOG_SCALE = -2.2, 4.6  # natural log of a component's scale in levels


@dataclass(frozen=True)
class HeadConfig:
    """Describe a head and its least-squares predictors.

    Attributes
    ----------
    hidden : width of the hidden layers.
    layers : number of hidden layers.
    components : logistics of the mixture.
    precision : bits of weights/activations of the hidden layers: ``32/32``, ``1/32`` or ``1/1``. Only
        ``1/32`` can be exported; its activations have 8 bits.
    bases : bases of the hidden weights, each with its own signs and gains. Only one can be exported.
    own, earlier, along, down, ridge : settings of the least-squares predictors, see docs/local.md.
    """

    hidden: int = 128
    layers: int = 1
    components: int = 3
    precision: str = "1/32"
    bases: int = 1
    own: tuple[int, int] = (12, 6)
    earlier: tuple[int, int] = (6, 4)
    along: tuple[int, int] = (3, 2)
    down: tuple[int, int] = (4, 2)
    ridge: int = 64

    def to_dict(self) -> dict[str, Any]:
        """Return the values as JSON types; tuples become lists."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> HeadConfig:
        """Return the configuration that `to_dict` was called on."""
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**known)


class Head(nn.Module):
    """Network from features [3, n, 48] (in units of 1) to mixture parameters [3, n, 3 J].

    Each channel has its own first and last layer, with real weights. The channels share the hidden layers,
    which are residual. Their weights are ``sign(v)`` times a gain per output, summed over the bases.
    """

    def __init__(self, config: HeadConfig):
        super().__init__()
        self.config = config
        h, layers, j, bases = config.hidden, config.layers, config.components, config.bases
        binary = config.precision != "32/32"
        self.w0 = nn.Parameter(torch.randn(3, FEATURES, h) / math.sqrt(FEATURES))
        self.b0 = nn.Parameter(torch.full((3, 1, h), 0.3))
        shape = (layers, bases * h, h)  # bases are stacked
        self.v = nn.Parameter((torch.rand(shape) * 2 - 1) * 0.3 if binary else torch.randn(shape))
        # Later bases start smaller: the first carries the sign, the others refine it.
        gains = [torch.full((layers, h), 0.5 ** (1 + basis)) for basis in range(bases)]
        self.g = nn.Parameter(torch.cat(gains, 1))
        self.b = nn.Parameter(torch.zeros(layers, h))
        self.wo = nn.Parameter(torch.randn(3, h, 3 * j) * 0.02)
        start = torch.zeros(3, 1, 3 * j)
        start[..., :j] = torch.linspace(-0.5, 0.5, j)
        start[..., j : 2 * j] = torch.linspace(-1.2, 0.2, j)
        self.bo = nn.Parameter(start)

    def activate(self, x: Tensor) -> Tensor:
        """Return the activations of the streams x at the configured precision."""
        if self.config.precision == "1/1":
            return sign(x)
        x = torch.relu(x)
        if self.config.precision == "32/32":
            return x
        return round8(x.clamp(max=ACTIVATION_LIMIT))

    def weights(self) -> Tensor:
        """Return the weights of the hidden layers, [L, H, H], inputs before outputs."""
        c = self.config
        v = self.v if c.precision == "32/32" else sign_weight(self.v)
        gains = self.g.view(c.layers, c.bases, 1, c.hidden) / math.sqrt(c.hidden)
        return (v.view(c.layers, c.bases, c.hidden, c.hidden) * gains).sum(1)

    def trunk(self, features: Tensor, side: Tensor | None = None) -> Tensor:
        """Return the inputs of the last layer, [3, n, H]; `side` [n, H] is added to the first stream."""
        x = torch.baddbmm(self.b0, features, self.w0)
        if side is not None:
            x = x + side
        n = x.shape[1]
        x = x.reshape(3 * n, -1)
        for w, b in zip(self.weights(), self.b, strict=True):
            x = x + self.activate(x) @ w + b
        x = torch.relu(x).clamp(max=ACTIVATION_LIMIT) if self.config.precision == "1/1" else self.activate(x)
        return x.reshape(3, n, -1)

    def forward(self, features: Tensor, side: Tensor | None = None) -> Tensor:
        """Return means (in local spreads), log scales (natural, to the spread), log weights: [3, n, 3 J]."""
        return torch.baddbmm(self.bo, self.trunk(features, side), self.wo)

    @torch.no_grad()
    def clip_weights(self) -> None:
        """Clip the real weights behind the signs to [-1, 1]."""
        if self.config.precision != "32/32":
            self.v.clamp_(-1, 1)


def spreads() -> Tensor:
    """Return the spread in levels of each index ks, [80] (V_k / 512)."""
    return torch.tensor([math.ldexp(1 + ((k & 3) + 0.5) / 4, k >> 2) / 512 for k in range(80)])


def bits(outputs: Tensor, facts: Tensor, spread: Tensor) -> Tensor:
    """Return the bits of samples, [3, n], given facts (p, ks, sample) [3, n, 3] and outputs [3, n, 3 J]."""
    j = outputs.shape[-1] // 3
    sigma = spread[facts[..., 1:2].long()]
    x = facts[..., 2:3].float()
    mean = facts[..., 0:1].float() / 64 + sigma * outputs[..., :j]
    log_scale = torch.log(sigma) + outputs[..., j : 2 * j] - SCALE_OFFSET
    log_scale = log_scale.clamp(MIN_LOG_SCALE, MAX_LOG_SCALE)
    inverse = torch.exp(-log_scale)
    above, below = (x - mean + 0.5) * inverse, (x - mean - 0.5) * inverse
    upper = torch.where(x >= 255, torch.ones_like(above), torch.sigmoid(above))
    lower = torch.where(x <= 0, torch.zeros_like(below), torch.sigmoid(below))
    # Above the mean, use the complements: differences of small numbers are more precise.
    is_above = (x > mean) & (x < 255) & (x > 0)
    mass = torch.where(is_above, torch.sigmoid(-below) - torch.sigmoid(-above), upper - lower)
    p = (torch.softmax(outputs[..., 2 * j :], -1) * mass).sum(-1)
    return -torch.log2(p * (1 - 256 / 2**20) + 1 / 2**20)
