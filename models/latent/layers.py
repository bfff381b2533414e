# SPDX-License-Identifier: Apache-2.0
"""Layers of the latent-variable networks: plain and binary convolutions, residual units, scaling.

Each layer has its float computation for training, and `emit`, which adds the same computation in exact
integers to a graph and returns the name of its result. Tensors are [N, C, H, W] here.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Recipe
from ..gradients import sign, sign_weight
from .graph_builder import STREAM_MAX, STREAM_UNIT, ChannelUnit, GraphBuilder

STREAM_LIMIT = STREAM_MAX * STREAM_UNIT  # streams are clamped to +-31

M = TypeVar("M", bound=nn.Module)


class Modules(nn.ModuleList, Generic[M]):
    """List of modules that all have one type."""

    def __iter__(self) -> Iterator[M]:
        return super().__iter__()  # type: ignore[return-value]


def saturate(h: Tensor) -> Tensor:
    """Clamp a stream to its range in the exact engine; the gradient outside is 0."""
    # A plain clamp is enough, because streams hardly ever reach the bounds.
    return F.hardtanh(h, -STREAM_LIMIT, STREAM_LIMIT)


def space_to_depth(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, 4C, H/2, W/2], depth index (dy * 2 + dx) * C + c as in the exact engine."""
    n, c, h, w = x.shape
    return x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


def depth_to_space(x: Tensor) -> Tensor:
    """Invert `space_to_depth`."""
    n, c, h, w = x.shape
    return x.view(n, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // 4, 2 * h, 2 * w)


class PlainConv(nn.Module):
    """Convolution outside of the residual layers: float in training, two int8 planes on export."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, gain: float = 1.0):
        super().__init__()
        self.kernel = kernel
        self.weight = nn.Parameter(
            torch.randn(outputs, inputs, kernel, kernel) * gain / math.sqrt(inputs * kernel**2)
        )
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=self.kernel // 2)

    def emit(self, b: GraphBuilder, x: str, unit: ChannelUnit = STREAM_UNIT, limit: int = STREAM_MAX) -> str:
        """Add convolution and requantisation; `unit` is the value of an output step, also per channel."""
        return b.qconv(x, self.weight, self.bias, unit, limit)


_INITIAL_RANGE = 0.2  # real weights behind the signs start uniform in +-0.2


class BinaryConv(nn.Module):
    """Convolution of a residual unit, w = sign(v) * g / sqrt(n) with a gain g per output channel.

    `Recipe` lists the alternatives to this gain, and the number of kernels that are summed. Precision 32/32
    keeps v real, with ordinary weight norm: w = v * g / |v|.
    """

    def __init__(self, config: Recipe, kernel: int = 3, gain: float = 0.03):
        super().__init__()
        self.config, self.kernel = config, kernel
        shape = (config.bases, config.width, config.width, kernel, kernel)
        self.v = nn.Parameter(torch.empty(shape).uniform_(-_INITIAL_RANGE, _INITIAL_RANGE))
        if config.norm == "weight" and config.precision != "32/32":
            # |v| is this factor times sqrt(n), so that the signs start with the same gain as with `binary`.
            gain *= _INITIAL_RANGE / math.sqrt(3)
        # Later bases start smaller: the first carries the sign, the others refine it.
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
        """Return the factors of each kernel's signs, [bases, C]."""
        if self.config.precision == "32/32" or self.config.norm == "weight":
            return self.g / self.v.flatten(2).norm(dim=2).clamp_min(1e-6)
        return self.g / math.sqrt(self.fan_in)

    def signs(self) -> Tensor:
        """Return the binary kernels, 1 and -1.

        Stochastic kernels are drawn anew at every call in training. In evaluation they are one draw that
        depends only on the weights. Plain signs would not do there: those of weights far from 1 and -1 are a
        network that was never trained.
        """
        if not self.config.stochastic:
            return sign_weight(self.v)
        generator = None
        if not self.training:
            seed = zlib.crc32(self.v.detach().cpu().numpy().tobytes())
            generator = torch.Generator().manual_seed(seed)
        thresholds = torch.rand(self.v.shape, generator=generator) * 2 - 1
        return sign_weight(self.v, thresholds.to(self.v))

    def weight(self) -> Tensor:
        """Return the effective weight [C, C, k, k], without batch norm."""
        kernels = self.v if self.config.precision == "32/32" else self.signs()
        return (kernels * self.scale()[:, :, None, None, None]).sum(0)

    def forward(self, a: Tensor) -> Tensor:
        pad = self.kernel // 2
        bias = self.bias if self.batch_norm is None else None
        if self.config.precision == "1/1":  # a +-1 kernel needs a padding that bits can express: +1
            out = F.conv2d(F.pad(a, (pad, pad, pad, pad), value=1.0), self.weight(), bias)
        else:
            out = F.conv2d(a, self.weight(), bias, padding=pad)
        return out if self.batch_norm is None else self.batch_norm(out)

    @torch.no_grad()
    def clip_weights(self) -> None:
        """Clip the real weights behind the signs, so that each of them can still change its sign."""
        if self.config.clip and self.config.precision != "32/32":
            self.v.clamp_(-self.config.clip, self.config.clip)

    @torch.no_grad()
    def folded(self) -> tuple[Tensor, Tensor]:
        """Return factors [bases, C] and offsets [C] that include the running statistics of batch norm."""
        norm = self.batch_norm
        if norm is None:
            return self.scale(), self.bias
        assert norm.running_mean is not None
        assert norm.running_var is not None
        factor = norm.weight * (norm.running_var + norm.eps).rsqrt()
        return self.scale() * factor, norm.bias - norm.running_mean * factor

    def emit(self, b: GraphBuilder, a: str) -> list[str]:
        """Add one convolution per basis to a graph; the sum of the returned streams is the output."""
        scale, bias = self.folded()
        if self.config.precision == "32/32":
            weight = (self.v * scale[:, :, None, None, None]).sum(0)
            return [b.qconv(a, weight, bias)]
        return [
            b.binary_conv(a, v, scale[i], bias if i == 0 else torch.zeros_like(bias))
            for i, v in enumerate(self.signs())
        ]


def activate(h: Tensor, threshold: Tensor, is_binary: bool) -> Tensor:
    """Return the input of a binary convolution: sign(h + threshold) if `is_binary`, else ELU."""
    return sign(h + threshold) if is_binary else F.elu(h)


class ResidualUnit(nn.Module):
    """Binarized residual layer, h + conv(act(h)): act is sign(h + t) at precision 1/1, else ELU."""

    def __init__(self, config: Recipe):
        super().__init__()
        self.is_binary = config.precision == "1/1"
        self.threshold = nn.Parameter(torch.zeros(config.width, 1, 1))
        self.conv = BinaryConv(config)

    def forward(self, h: Tensor) -> Tensor:
        return saturate(h + self.conv(activate(h, self.threshold, self.is_binary)))

    def emit(self, b: GraphBuilder, h: str) -> str:
        a = b.sign(h, self.threshold) if self.is_binary else b.elu(h)
        for part in self.conv.emit(b, a):
            h = b.add(h, part)
        return h


class GatedUnit(nn.Module):
    """Gated residual block of Flow++: h + a * sigmoid(g), with a and g from 1 x 1 convolutions."""

    def __init__(self, config: Recipe):
        super().__init__()
        self.is_binary = config.precision == "1/1"
        self.thresholds = nn.Parameter(torch.zeros(2, config.width, 1, 1))
        self.inner = BinaryConv(config, gain=1.0)
        self.value = BinaryConv(config, kernel=1, gain=0.1)
        self.gate = BinaryConv(config, kernel=1, gain=0.5)

    def forward(self, h: Tensor) -> Tensor:
        inner = self.inner(activate(h, self.thresholds[0], self.is_binary))
        a = activate(inner, self.thresholds[1], self.is_binary)
        return saturate(h + self.value(a) * torch.sigmoid(self.gate(a)))

    def emit(self, b: GraphBuilder, h: str) -> str:
        def total(conv: BinaryConv, a: str) -> str:
            first, *others = conv.emit(b, a)
            for part in others:
                first = b.add(first, part)
            return first

        def active(x: str, threshold: Tensor) -> str:
            return b.sign(x, threshold) if self.is_binary else b.elu(x)

        a = active(total(self.inner, active(h, self.thresholds[0])), self.thresholds[1])
        return b.add(h, b.mul(total(self.value, a), b.sigmoid(total(self.gate, a))))


class Units(nn.Sequential):
    """Run of residual units, empty in the "no residual" models."""

    def __init__(
        self, config: Recipe, kind: type[ResidualUnit | GatedUnit] = ResidualUnit, count: int | None = None
    ):
        super().__init__(*(kind(config) for _ in range(config.units if count is None else count)))

    def emit(self, b: GraphBuilder, h: str) -> str:
        for unit in self:
            assert isinstance(unit, ResidualUnit | GatedUnit)
            h = unit.emit(b, h)
        return h


class Down(nn.Module):
    """Space-to-depth and a convolution: half the resolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1):
        super().__init__()
        self.conv = PlainConv(4 * inputs, outputs, kernel)

    def forward(self, x: Tensor) -> Tensor:
        return saturate(self.conv(space_to_depth(x)))

    def emit(self, b: GraphBuilder, x: str) -> str:
        return self.conv.emit(b, b.space_to_depth(x))


class Up(nn.Module):
    """Convolution and depth-to-space: twice the resolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1):
        super().__init__()
        self.conv = PlainConv(inputs, 4 * outputs, kernel, gain=0.5)

    def forward(self, x: Tensor) -> Tensor:
        return depth_to_space(saturate(self.conv(x)))

    def emit(self, b: GraphBuilder, x: str) -> str:
        return b.depth_to_space(self.conv.emit(b, x))
