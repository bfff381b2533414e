# SPDX-License-Identifier: Apache-2.0
"""Layers of the recipe: sign functions with straight-through gradients, binary weight norm, residual units.

Each layer knows two things: its float computation for training, and how to `emit` itself as exact integer
operations into a graph (`models.export.GraphBuilder`). Tensors are [N, C, H, W] here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .config import Config

if TYPE_CHECKING:
    from .export import GraphBuilder

STREAM_LIMIT = 31.0  # streams are int16 at 1/256 in the exact engine, clamped to +-31


class _Sign(torch.autograd.Function):
    """sign with sign(0) = +1; the gradient passes where |a| <= 1 (straight through, gated)."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:
        ctx.save_for_backward(a.abs() <= 1)
        return a.ge(0).to(a.dtype).mul_(2).sub_(1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (inside,) = ctx.saved_tensors
        return grad * inside


class _SignWeight(torch.autograd.Function):
    """sign of the real weight, deterministic or stochastic; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, stochastic: bool) -> Tensor:
        if stochastic:
            return torch.where(torch.rand_like(v) * 2 - 1 < v, 1.0, -1.0)
        return torch.where(v < 0, -1.0, 1.0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class _Clamp(torch.autograd.Function):
    """clamp whose gradient survives at the bounds when it points back inside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, lo: float, hi: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.bounds = (lo, hi)
        return x.clamp(lo, hi)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        lo, hi = ctx.bounds
        outward = ((x < lo) & (grad > 0)) | ((x > hi) & (grad < 0))
        return grad.masked_fill(outward, 0.0), None, None


def sign(a: Tensor) -> Tensor:
    """Binary activation with the gated straight-through gradient."""
    return _Sign.apply(a)


def saturate(h: Tensor) -> Tensor:
    """Range of a stream in the exact engine; plain clamp, since streams hardly ever reach it."""
    return F.hardtanh(h, -STREAM_LIMIT, STREAM_LIMIT)


def clamp(x: Tensor, lo: float, hi: float) -> Tensor:
    """Clamp that a value beyond the bound can leave again."""
    return _Clamp.apply(x, lo, hi)


def space_to_depth(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, 4C, H/2, W/2], depth index (dy * 2 + dx) * C + c as in the exact engine."""
    n, c, h, w = x.shape
    return x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


def depth_to_space(x: Tensor) -> Tensor:
    """Inverse of `space_to_depth`."""
    n, c, h, w = x.shape
    return x.view(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // 4, 2 * h, 2 * w)


class PlainConv(nn.Module):
    """Convolution outside the residual layers: float in training, two int8 planes on export."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, gain: float = 1.0):
        super().__init__()
        self.kernel = kernel
        self.weight = nn.Parameter(
            torch.randn(outputs, inputs, kernel, kernel) * gain / math.sqrt(inputs * kernel**2)
        )
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.kernel // 2)

    def emit(self, b: GraphBuilder, x: str, unit: Tensor | float = 1 / 256, limit: int = 7936) -> str:
        """Convolution and requantisation; `unit` is the value of one output step (scalar or per channel)."""
        return b.qconv(x, self.weight, self.bias, unit, limit)


class BinaryConv(nn.Module):
    """Convolution with binary weight norm: w = sign(v) * g / sqrt(n), g a gain per output channel.

    `precision` 32/32 keeps v real, with ordinary weight norm: w = v * g / |v|.
    """

    def __init__(self, config: Config, kernel: int = 3, gain: float = 0.03):
        super().__init__()
        self.config, self.kernel = config, kernel
        shape = (config.bases, config.width, config.width, kernel, kernel)
        self.v = nn.Parameter(torch.empty(shape).uniform_(-0.2, 0.2))
        # Later bases begin smaller: the first carries the sign, the others refine it.
        start = gain * torch.tensor([0.5**i for i in range(config.bases)]).view(-1, 1).expand(
            -1, config.width
        )
        self.g = nn.Parameter(start.clone())
        self.bias = nn.Parameter(torch.zeros(config.width))
        self.fan_in = config.width * kernel * kernel

    def weight(self) -> Tensor:
        """Effective weight [C, C, k, k]."""
        if self.config.precision == "32/32":
            norm = self.v.flatten(2).norm(dim=2).clamp_min(1e-6)
            return (self.v * (self.g / norm)[:, :, None, None, None]).sum(0)
        signs = _SignWeight.apply(self.v, self.config.stochastic and self.training)
        return (signs * (self.g / math.sqrt(self.fan_in))[:, :, None, None, None]).sum(0)

    def forward(self, a: Tensor) -> Tensor:
        if self.config.precision == "1/1":  # padding that a +-1 kernel can express: +1, the sign of zero
            pad = self.kernel // 2
            return F.conv2d(F.pad(a, (pad, pad, pad, pad), value=1.0), self.weight(), self.bias)
        return F.conv2d(a, self.weight(), self.bias, padding=self.kernel // 2)

    @torch.no_grad()
    def clip_weights(self) -> None:
        """Keep the real weights within the clip, so that each can still change its sign."""
        if self.config.clip and self.config.precision != "32/32":
            self.v.clamp_(-self.config.clip, self.config.clip)


class ResidualUnit(nn.Module):
    """h + conv(act(h)), the layer that is binarized: act is sign(h + t) at 1/1, else ELU."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.threshold = nn.Parameter(torch.zeros(config.width, 1, 1))
        self.conv = BinaryConv(config)

    def forward(self, h: Tensor) -> Tensor:
        a = sign(h + self.threshold) if self.config.precision == "1/1" else F.elu(h)
        return saturate(h + self.conv(a))

    def emit(self, b: GraphBuilder, h: str) -> str:
        conv = self.conv
        if self.config.precision == "32/32":
            return b.add(h, b.qconv(b.elu(h), conv.weight(), conv.bias))
        a = b.sign(h, self.threshold) if self.config.precision == "1/1" else b.elu(h)
        for i in range(self.config.bases):
            bias = conv.bias if i == 0 else torch.zeros_like(conv.bias)
            h = b.add(h, b.binary_conv(a, conv.v[i], conv.g[i] / math.sqrt(conv.fan_in), bias))
        return h


class Units(nn.Sequential):
    """A run of residual units (empty in the "no residual" models)."""

    def __init__(self, config: Config, count: int | None = None):
        super().__init__(*(ResidualUnit(config) for _ in range(config.units if count is None else count)))

    def emit(self, b: GraphBuilder, h: str) -> str:
        for unit in self:
            h = unit.emit(b, h)
        return h


class Down(nn.Module):
    """Halve the resolution: space-to-depth and a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1):
        super().__init__()
        self.conv = PlainConv(4 * inputs, outputs, kernel)

    def forward(self, x: Tensor) -> Tensor:
        return saturate(self.conv(space_to_depth(x)))

    def emit(self, b: GraphBuilder, x: str) -> str:
        return self.conv.emit(b, b.space_to_depth(x))


class Up(nn.Module):
    """Double the resolution: a 1x1 convolution and depth-to-space."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1):
        super().__init__()
        self.conv = PlainConv(inputs, 4 * outputs, kernel, gain=0.5)

    def forward(self, x: Tensor) -> Tensor:
        return depth_to_space(saturate(self.conv(x)))

    def emit(self, b: GraphBuilder, x: str) -> str:
        return b.depth_to_space(self.conv.emit(b, x))
