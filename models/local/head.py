# SPDX-License-Identifier: Apache-2.0
"""The head of the family `local` in PyTorch: features to a mixture of logistics, hidden weights of 1 bit.

It trains on features that the codec itself computes (`bbcodec.families.local.native.observe`), so that
training and coding see the same numbers. docs/local.md has the integer network that `models/local/export.py`
makes of it.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

FEATURES = 48
FEATURE_UNIT = 32.0  # integer features count 1/32
ACTIVATION_LIMIT = 255 / 16  # activations are multiples of 1/16 in 8 bits
SCALE_OFFSET = 0.7  # natural log; where an output of 0 puts a component's scale below the local spread


@dataclass(frozen=True)
class HeadConfig:
    """Architecture and predictors.

    Parameters
    ----------
    hidden, layers, components : width, hidden layers, logistics of the mixture.
    precision : weights/activations of the hidden layers: ``32/32``, ``1/32`` or ``1/1``; exported is
        ``1/32``, whose activations are 8 bits wide.
    bases : of the hidden weights, each with signs and gains of its own; exported is one.
    own, earlier, along, down, ridge : of the least-squares predictors, see docs/local.md.
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
        """Plain JSON-able form."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> HeadConfig:
        """Inverse of `to_dict`."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


class _Sign(torch.autograd.Function):
    """Sign with sign(0) = +1; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, v: Tensor) -> Tensor:
        return torch.where(v >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


class _GatedSign(torch.autograd.Function):
    """Sign of an activation; the gradient passes where |x| <= 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (x,) = ctx.saved_tensors
        return grads[0] * (x.abs() <= 1)


class _Rounded(torch.autograd.Function):
    """Multiples of 1/16 within 8 bits; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x * 16).clamp(0, 255) / 16

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


class Head(nn.Module):
    """Features [3, n, 48] (in units of 1) to mixture parameters [3, n, 3 J].

    The first and the last layer are each channel's own and real; the hidden layers are shared, residual, and
    have the weights ``sign(v)`` times a gain per output, added up over the bases.
    """

    def __init__(self, config: HeadConfig):
        super().__init__()
        self.config = config
        h, layers, j, bases = config.hidden, config.layers, config.components, config.bases
        binary = config.precision != "32/32"
        self.w0 = nn.Parameter(torch.randn(3, FEATURES, h) / math.sqrt(FEATURES))
        self.b0 = nn.Parameter(torch.full((3, 1, h), 0.3))
        shape = (layers, bases * h, h)  # the bases one below the other
        self.v = nn.Parameter((torch.rand(shape) * 2 - 1) * 0.3 if binary else torch.randn(shape))
        # Later bases begin smaller: the first carries the sign, the others refine it.
        gains = [torch.full((layers, h), 0.5 ** (1 + basis)) for basis in range(bases)]
        self.g = nn.Parameter(torch.cat(gains, 1))
        self.b = nn.Parameter(torch.zeros(layers, h))
        self.wo = nn.Parameter(torch.randn(3, h, 3 * j) * 0.02)
        start = torch.zeros(3, 1, 3 * j)
        start[..., :j] = torch.linspace(-0.5, 0.5, j)
        start[..., j : 2 * j] = torch.linspace(-1.2, 0.2, j)
        self.bo = nn.Parameter(start)

    def activate(self, x: Tensor) -> Tensor:
        """Activation of the streams x, at the configured precision."""
        if self.config.precision == "1/1":
            return _GatedSign.apply(x)  # type: ignore[no-any-return,no-untyped-call]
        x = torch.relu(x)
        if self.config.precision == "32/32":
            return x
        return _Rounded.apply(x.clamp(max=ACTIVATION_LIMIT))  # type: ignore[no-any-return,no-untyped-call]

    def weights(self) -> Tensor:
        """Weights of the hidden layers, inputs before outputs: [L, H, H]."""
        c = self.config
        v = self.v if c.precision == "32/32" else _Sign.apply(self.v)  # type: ignore[no-untyped-call]
        gains = self.g.view(c.layers, c.bases, 1, c.hidden) / math.sqrt(c.hidden)
        return (v.view(c.layers, c.bases, c.hidden, c.hidden) * gains).sum(1)

    def trunk(self, features: Tensor, side: Tensor | None = None) -> Tensor:
        """Inputs of the last layer: [3, n, H]; `side` [n, H] is added to the first stream."""
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
        """Means (in local spreads), log scales (natural, to the spread) and log weights: [3, n, 3 J]."""
        return torch.baddbmm(self.bo, self.trunk(features, side), self.wo)

    @torch.no_grad()
    def clip_weights(self) -> None:
        """Keep the real weights behind the signs within [-1, 1]."""
        if self.config.precision != "32/32":
            self.v.clamp_(-1, 1)


def spreads() -> Tensor:
    """Spread in levels that index ks stands for, [80] (V_k / 512)."""
    return torch.tensor([math.ldexp(1 + ((k & 3) + 0.5) / 4, k >> 2) / 512 for k in range(80)])


def bits(outputs: Tensor, facts: Tensor, spread: Tensor) -> Tensor:
    """Cost in bits of the samples of `facts` [3, n, 3] (p, ks, sample) under outputs [3, n, 3 J]: [3, n]."""
    j = outputs.shape[-1] // 3
    sigma = spread[facts[..., 1:2].long()]
    x = facts[..., 2:3].float()
    mean = facts[..., 0:1].float() / 64 + sigma * outputs[..., :j]
    log_scale = (torch.log(sigma) + outputs[..., j : 2 * j] - SCALE_OFFSET).clamp(-2.2, 4.6)
    inverse = torch.exp(-log_scale)
    above, below = (x - mean + 0.5) * inverse, (x - mean - 0.5) * inverse
    upper = torch.where(x >= 255, torch.ones_like(above), torch.sigmoid(above))
    lower = torch.where(x <= 0, torch.zeros_like(below), torch.sigmoid(below))
    # Beyond the mean the difference of small numbers is taken on the other side.
    far = (x > mean) & (x < 255) & (x > 0)
    mass = torch.where(far, torch.sigmoid(-below) - torch.sigmoid(-above), upper - lower)
    p = (torch.softmax(outputs[..., 2 * j :], -1) * mass).sum(-1)
    return -torch.log2(p * (1 - 256 / 2**20) + 1 / 2**20)
