# SPDX-License-Identifier: Apache-2.0
"""Layers of the recipe: sign functions with straight-through gradients, binary weight norm, residual units.

Each layer knows two things: its float computation for training, and how to `emit` itself as exact integer
operations into a graph (`models.latent.export.GraphBuilder`). Tensors are [N, C, H, W] here.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Recipe

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
    """1 where the real weight is at least a threshold, else -1; the gradient passes straight through."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, threshold: Tensor | float) -> Tensor:
        return torch.where(v < threshold, -1.0, 1.0)

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


_SPREAD = 0.2  # of the real weights behind the signs at first: uniform within


class BinaryConv(nn.Module):
    """Convolution of a residual unit, w = sign(v) * g / sqrt(n) with a gain g per output channel.

    `Recipe` says what else may stand for the gain, and how many such kernels are summed. `precision` 32/32
    keeps v real, with ordinary weight norm: w = v * g / |v|.
    """

    def __init__(self, config: Recipe, kernel: int = 3, gain: float = 0.03):
        super().__init__()
        self.config, self.kernel = config, kernel
        shape = (config.bases, config.width, config.width, kernel, kernel)
        self.v = nn.Parameter(torch.empty(shape).uniform_(-_SPREAD, _SPREAD))
        if config.norm == "weight" and config.precision != "32/32":
            gain *= _SPREAD / math.sqrt(3)  # |v| is that times sqrt(n): the signs begin as with `binary`
        # Later bases begin smaller: the first carries the sign, the others refine it.
        start = gain * torch.tensor([0.5**i for i in range(config.bases)]).view(-1, 1).expand(
            -1, config.width
        )
        self.g = nn.Parameter(start.clone())
        self.bias = nn.Parameter(torch.zeros(config.width))
        self.fan_in = config.width * kernel * kernel
        self.batch_norm = nn.BatchNorm2d(config.width) if config.norm == "batch" else None
        if self.batch_norm is not None:
            nn.init.constant_(self.batch_norm.weight, gain)

    def scale(self) -> Tensor:
        """What the signs of each kernel are multiplied with, [bases, C]."""
        if self.config.precision == "32/32" or self.config.norm == "weight":
            return self.g / self.v.flatten(2).norm(dim=2).clamp_min(1e-6)
        return self.g / math.sqrt(self.fan_in)

    def signs(self) -> Tensor:
        """The kernels as they are used, 1 and -1.

        Stochastic ones are drawn anew each time in training. Out of training they are one draw that belongs
        to the weights: the signs of weights that are far from 1 and -1 are a network that was never trained.
        """
        if not self.config.stochastic:
            return _SignWeight.apply(self.v, 0.0)
        generator = None
        if not self.training:
            seed = zlib.crc32(self.v.detach().cpu().numpy().tobytes())
            generator = torch.Generator().manual_seed(seed)
        drawn = torch.rand(self.v.shape, generator=generator) * 2 - 1
        return _SignWeight.apply(self.v, drawn.to(self.v))

    def weight(self) -> Tensor:
        """Effective weight [C, C, k, k], batch norm left out."""
        kernels = self.v if self.config.precision == "32/32" else self.signs()
        return (kernels * self.scale()[:, :, None, None, None]).sum(0)

    def forward(self, a: Tensor) -> Tensor:
        pad = self.kernel // 2
        bias = self.bias if self.batch_norm is None else None
        if self.config.precision == "1/1":  # padding that a +-1 kernel can express: +1, the sign of zero
            out = F.conv2d(F.pad(a, (pad, pad, pad, pad), value=1.0), self.weight(), bias)
        else:
            out = F.conv2d(a, self.weight(), bias, padding=pad)
        return out if self.batch_norm is None else self.batch_norm(out)

    @torch.no_grad()
    def clip_weights(self) -> None:
        """Keep the real weights within the clip, so that each can still change its sign."""
        if self.config.clip and self.config.precision != "32/32":
            self.v.clamp_(-self.config.clip, self.config.clip)

    @torch.no_grad()
    def folded(self) -> tuple[Tensor, Tensor]:
        """Factors [bases, C] and offsets [C] that make signs' sums the outputs, batch norm included."""
        if self.batch_norm is None:
            return self.scale(), self.bias
        norm = self.batch_norm
        factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return self.scale() * factor, norm.bias - norm.running_mean * factor

    def emit(self, b: GraphBuilder, a: str) -> list[str]:
        """Streams whose sum is the output: one a basis."""
        scale, bias = self.folded()
        if self.config.precision == "32/32":
            weight = (self.v * scale[:, :, None, None, None]).sum(0)
            return [b.qconv(a, weight, bias)]
        return [
            b.binary_conv(a, v, scale[i], bias if i == 0 else torch.zeros_like(bias))
            for i, v in enumerate(self.signs())
        ]


def activate(h: Tensor, threshold: Tensor, signs: bool) -> Tensor:
    """What a binary convolution reads: sign(h + threshold) at precision 1/1, else ELU."""
    return sign(h + threshold) if signs else F.elu(h)


class ResidualUnit(nn.Module):
    """h + conv(act(h)), the layer that is binarized: act is sign(h + t) at 1/1, else ELU."""

    def __init__(self, config: Recipe):
        super().__init__()
        self.signs = config.precision == "1/1"
        self.threshold = nn.Parameter(torch.zeros(config.width, 1, 1))
        self.conv = BinaryConv(config)

    def forward(self, h: Tensor) -> Tensor:
        return saturate(h + self.conv(activate(h, self.threshold, self.signs)))

    def emit(self, b: GraphBuilder, h: str) -> str:
        a = b.sign(h, self.threshold) if self.signs else b.elu(h)
        for part in self.conv.emit(b, a):
            h = b.add(h, part)
        return h


class GatedUnit(nn.Module):
    """Gated residual block of Flow++: h + a * sigmoid(g), a and g from a second convolution (1 x 1)."""

    def __init__(self, config: Recipe):
        super().__init__()
        self.signs = config.precision == "1/1"
        self.thresholds = nn.Parameter(torch.zeros(2, config.width, 1, 1))
        self.inner = BinaryConv(config, gain=1.0)
        self.value = BinaryConv(config, kernel=1, gain=0.1)
        self.gate = BinaryConv(config, kernel=1, gain=0.5)

    def forward(self, h: Tensor) -> Tensor:
        inner = self.inner(activate(h, self.thresholds[0], self.signs))
        a = activate(inner, self.thresholds[1], self.signs)
        return saturate(h + self.value(a) * torch.sigmoid(self.gate(a)))

    def emit(self, b: GraphBuilder, h: str) -> str:
        def total(conv: BinaryConv, a: str) -> str:
            first, *others = conv.emit(b, a)
            for part in others:
                first = b.add(first, part)
            return first

        def active(x: str, threshold: Tensor) -> str:
            return b.sign(x, threshold) if self.signs else b.elu(x)

        a = active(total(self.inner, active(h, self.thresholds[0])), self.thresholds[1])
        return b.add(h, b.mul(total(self.value, a), b.sigmoid(total(self.gate, a)), shift=8))


class Units(nn.Sequential):
    """A run of residual units (empty in the "no residual" models)."""

    def __init__(self, config: Recipe, kind: type[nn.Module] = ResidualUnit, count: int | None = None):
        super().__init__(*(kind(config) for _ in range(config.units if count is None else count)))

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
