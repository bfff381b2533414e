# SPDX-License-Identifier: Apache-2.0
"""Flow++ (Ho et al. 2019) with binarized residual blocks; without attention, so that any size can be coded.

All variables are in [0, 1): a dequantized sample is y = (x + u) / 256, and the base density is uniform. A
coupling maps some channels by distribution functions of mixtures of logistics, cut to [0, 1). A network
computes their parameters from the other channels. In logit space these are Flow++'s couplings without their
affine part. In [0, 1) they are bijections of integers, too (`bbcodec.coding.bits_back.local_bits_back`).

A scale turns 2 x 2 pixels into 12 channels. Its first four couplings map half of the pixels given the other
half (a checkerboard), and R and B given G (channels). They read values that are not mapped yet, except by the
coupling just before. The last two (channels, then a stripe) read mapped values and remove the dependence that
is left between them. One pixel in four goes on to the next scale. Dequantization is a flow of two couplings
of its own, given x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import FlowConfig
from ..gradients import clamp
from ..logistic import LN2
from .graph_builder import LOG2_UNIT, PARAMETER_MAX, PIXEL_UNIT, GraphBuilder
from .layers import GatedUnit, Modules, PlainConv, Units, saturate, space_to_depth
from .network import Network

CHANNELS = 12
# Channels that a scale's couplings map, in order; 3 p + c is colour c (R, G, B) of pixel p (dy * 2 + dx).
TARGETS = ((3, 5, 6, 8), (4, 7), (9, 11), (10,), (5, 8, 11), (6, 7, 8))
KEPT = (0, 1, 2)  # channels that go on to the next scale
# Neighbours of pixel p that its first coupling reads unmapped: blocks down, blocks right, pixel of the block.
NEIGHBOURS = {
    1: ((0, 0, 0), (0, 1, 0), (-1, 0, 3), (0, 0, 3)),
    2: ((0, 0, 0), (1, 0, 0), (0, -1, 3), (0, 0, 3)),
    3: ((0, 0, 0), (0, 1, 0), (1, 0, 0), (1, 1, 0)),
}
# Channels of the noise that its couplings map: one half of the checkerboard, then the other.
NOISE_TARGETS = ((3, 4, 5, 6, 7, 8), (0, 1, 2, 9, 10, 11))
LEVELS = 256.0  # levels of a sample
MAP_LOG2 = (-3.0, 7.875)  # log2 scale of a logistic, in levels of 1/256 of the range
WEIGHT_UNIT = 1 / 128  # output step of log2 of a mixture weight


def others(targets: tuple[int, ...]) -> list[int]:
    """Return the channels that a coupling reads: all but its targets."""
    return [c for c in range(CHANNELS) if c not in targets]


def monotone(t: Tensor, params: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """Map values by distribution functions of mixtures of logistics on [0, 1).

    Parameters
    ----------
    t : [N, T, H, W] in [0, 1).
    params : [N, T, 3, J, H, W]: log2 of the weights, means as (mean - 128) / 16, log2 of the scales. Means
        and scales are in levels of 1/256.
    floor : weight of the uniform distribution in the mixture.

    Returns
    -------
    Mapped values, and the log of the derivative in nats; both [N, T, H, W].
    """
    weight, mean, log2 = params.unbind(2)
    mean = clamp(128 + 16 * mean, 0.0, LEVELS)
    inverse = torch.exp2(-clamp(log2, *MAP_LOG2))
    weight = torch.softmax(weight * LN2, dim=2)
    low = (weight * torch.sigmoid(-mean * inverse)).sum(2)
    inside = (weight * torch.sigmoid((LEVELS - mean) * inverse)).sum(2) - low
    s = torch.sigmoid((LEVELS * t.unsqueeze(2) - mean) * inverse)
    below = weight * s
    density = LEVELS * (below * (1 - s) * inverse).sum(2) / inside
    value = (1 - floor) * (below.sum(2) - low) / inside + floor * t
    return value.clamp(0, 1 - 2**-24), torch.log((1 - floor) * density + floor)


def _pick(channels: list[Tensor], wanted: Sequence[int]) -> Tensor:
    return torch.stack([channels[c] for c in wanted], 1)


def _couple(channels: list[Tensor], targets: Sequence[int], params: Tensor, floor: float) -> Tensor:
    """Map target channels, [N, H, W] each, in place; return the log of the volume's change in nats, [N]."""
    mapped, log_slope = monotone(_pick(channels, targets), params, floor)
    for c, value in zip(targets, mapped.unbind(1), strict=True):
        channels[c] = value
    return log_slope.sum((1, 2, 3))


class Conditioner(nn.Module):
    """Network that computes the parameters of a coupling's maps from the channels that it reads."""

    def __init__(self, config: FlowConfig, inputs: int, targets: int, units: int | None = None):
        super().__init__()
        self.targets, self.mixtures = targets, config.mixtures
        self.inputs = inputs
        self.stem = PlainConv(inputs, config.width, kernel=3)
        self.units = Units(config, GatedUnit, units)
        self.head = PlainConv(config.width, targets * 3 * config.mixtures, gain=0.1)
        with torch.no_grad():  # maps start close to the identity
            bias = self.head.bias.view(targets, 3, config.mixtures)
            bias[:, 1] = torch.linspace(-4, 4, config.mixtures)
            bias[:, 2] = 7.25

    @torch.no_grad()
    def predict(self, targets: tuple[int, ...]) -> None:
        """Start with logistics around the mean of four neighbours; for R and B, of their differences to G.

        A random network needs thousands of steps to learn that neighbours are similar.
        """
        read, shape = others(targets), (len(targets), 3, self.mixtures)
        bias = self.head.bias.view(shape)
        weight = self.head.weight.view(*shape, -1)
        bias[:, 1] = torch.linspace(-0.2, 0.2, self.mixtures)[:, None].T
        bias[:, 2] = torch.linspace(2.5, 4.5, self.mixtures)
        self.stem.weight[: len(targets)] = 0
        weight[:, 1] = 0
        for row, target in enumerate(targets):
            pixel, colour = divmod(target, 3)
            for down, right, neighbour in NEIGHBOURS[pixel]:
                taps = self.stem.weight[row, :, 1 + down, 1 + right]
                taps[read.index(3 * neighbour + colour)] += 0.25
                if colour != 1:
                    taps[read.index(3 * neighbour + 1)] -= 0.25
            if colour != 1:
                self.stem.weight[row, read.index(3 * pixel + 1), 1, 1] += 1
            weight[row, 1, :, row] = 1

    def forward(self, context: Tensor) -> Tensor:
        """Map channels [N, C, H, W], in levels of 1/256, to parameters [N, T, 3, J, H, W]."""
        h = self.units(saturate(self.stem((context - 128) / 16)))
        out = self.head(h)
        return out.view(out.shape[0], self.targets, 3, self.mixtures, *out.shape[2:])

    def emit(self, b: GraphBuilder) -> str:
        """Add the network to the open function of a graph and return the name of its output."""
        h = self.units.emit(b, self.stem.emit(b, "y"))
        unit = torch.tensor([WEIGHT_UNIT, PIXEL_UNIT, LOG2_UNIT]).repeat_interleave(self.mixtures)
        return self.head.emit(b, h, unit=unit.repeat(self.targets), limit=PARAMETER_MAX)


@dataclass
class FlowTerms:
    """Terms of the variational bound of a batch.

    Attributes
    ----------
    log_density : log density of the dequantized picture in [0, 1), in nats, [N].
    log_noise : log density of the noise given the picture, in nats, [N].
    dims : sub-pixels of a picture.
    """

    log_density: Tensor
    log_noise: Tensor
    dims: int

    def bits_per_dim(self) -> Tensor:
        """Return the negative variational bound in bits per sub-pixel, mean over the batch."""
        return 8 + (self.log_noise - self.log_density).mean() / (LN2 * self.dims)

    def kl_bits_per_dim(self) -> list[float]:
        """Return the KL of the noise to uniform noise in bits per sub-pixel, as a list of one number."""
        return [float(self.log_noise.mean() / (LN2 * self.dims))]

    def loss(self, free_bits: float) -> Tensor:
        """Return the negative bound in bits per sub-pixel; a flow has no latents for `free_bits`."""
        return self.bits_per_dim()


class FlowPP(Network):
    """Flow++; `forward` returns the terms of the bound of pictures x [N, 3, H, W] in 0..255."""

    config: FlowConfig

    def __init__(self, config: FlowConfig):
        super().__init__()
        self.config = config
        self.noise: Modules[Conditioner] = Modules(
            Conditioner(config, 2 * CHANNELS - len(t), len(t)) for t in NOISE_TARGETS
        )
        self.scales: Modules[Modules[Conditioner]] = Modules(
            Modules(Conditioner(config, CHANNELS - len(t), len(t)) for t in TARGETS)
            for _ in range(config.scales)
        )
        for couplings in self.scales:
            for net, t in zip([*couplings][:4], TARGETS[:4], strict=True):
                net.predict(t)
        self.floor = 2.0**-config.cell_bits
        self.noise_floor = 2.0 ** -(config.fraction_bits // 2)
        self.multiple = 2**config.scales

    def dequantize(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        """Draw noise u in [0, 1) for x [N, 12, H, W]; return its channels [N, H, W] and log q(u | x), [N]."""
        u = list(torch.rand_like(x).unbind(1))
        log_q = x.new_zeros(x.shape[0])
        for net, targets in zip(self.noise, NOISE_TARGETS, strict=True):
            context = torch.cat([x, LEVELS * _pick(u, others(targets))], 1)
            log_q = log_q - _couple(u, targets, net(context), self.noise_floor)
        return u, log_q

    def forward(self, x: Tensor) -> FlowTerms:
        dims = x[0].numel()
        x = space_to_depth(x)
        u, log_q = self.dequantize(x)
        y = list(((x + torch.stack(u, 1)) / LEVELS).unbind(1))
        log_p = x.new_zeros(x.shape[0])
        for i, couplings in enumerate(self.scales):
            if i:
                y = list(space_to_depth(_pick(y, KEPT)).unbind(1))
            for net, targets in zip(couplings, TARGETS, strict=True):
                params = net(LEVELS * _pick(y, others(targets)))
                log_p = log_p + _couple(y, targets, params, self.floor)
        return FlowTerms(log_p, log_q, dims)

    def export(self, b: GraphBuilder) -> None:
        """Add ``noise_i`` (picture and noise to maps) and ``coupling_s_i`` to a graph; s = 0: the finest."""
        named = [(f"noise_{i}", net) for i, net in enumerate(self.noise)]
        for s, couplings in enumerate(self.scales):
            named += [(f"coupling_{s}_{i}", net) for i, net in enumerate(couplings)]
        for name, net in named:
            with b.function(name, y=net.inputs) as f:
                f.output("params", net.emit(b))
