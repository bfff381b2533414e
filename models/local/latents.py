# SPDX-License-Identifier: Apache-2.0
"""Latents of a whole picture beside the head of the family `local`, and its map of positions (docs/local.md).

The encoder reads sums over the picture of errors times features, whitened; posterior and prior are logistics,
and a linear map of the latents is added to the head's first stream. It starts at the optimum of the linear
Gaussian model: a latent begins as a direction in which the head's first stream would gain from picture to
picture, so that none is idle from the outset.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bbcodec.families.local.model import NEAR, STATISTICS
from bbcodec.families.local.tables import r1_table

from ..latent.layers import clamp
from ..latent.logistic import LATENT_LIMIT, POSTERIOR_LOG2, PRIOR_LOG2, logistic_log_density, sample_logistic

LOGISTIC_LOG2 = math.log2(math.sqrt(3) / math.pi)  # log2 scale of a logistic of variance 1
_KEEP = 1e-5  # least variance of a whitened direction, of the greatest


def statistics(features: NDArray[np.int8], facts: NDArray[np.int32]) -> NDArray[np.int64]:
    """Statistics [441] of a picture from its features [n, 3, 48] and facts [n, 3, 3]."""
    p, ks, x = (facts[..., i].astype(np.int64) for i in range(3))
    n = np.clip(((64 * x - p) * r1_table()[ks] + (1 << 13)) >> 14, -72, 72)
    moments = np.stack([n, np.abs(n), 24 * (np.abs(n) <= 7)], axis=2).astype(np.float64)
    terms = np.concatenate([np.full((*n.shape, 1), 32.0), features], axis=2)
    return np.einsum("nca,nci->cai", moments, terms, optimize=True).astype(np.int64).ravel()


def inputs(
    sums: NDArray[np.int64], area: NDArray[np.int64], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What exceeds the mean of a pixel, over the root of the area: [N, 441] of sums [N, 441]."""
    result: NDArray[np.float64] = (sums - mean * area[:, None]) / np.sqrt(area)[:, None]
    return result


class PictureLatents(nn.Module):
    """K latents of a picture.

    Parameters
    ----------
    latents, encoder, hidden : K, D, H
    mean, scale : [441], of the statistics: mean of a pixel, and what excesses (`inputs`) are multiplied by.
    whiten : [441, kept]
    control : z is 0, as if there were no latents.
    """

    def __init__(
        self,
        latents: int,
        encoder: int,
        hidden: int,
        mean: Tensor,
        scale: Tensor,
        whiten: Tensor,
        control: bool = False,
    ):
        super().__init__()
        self.latents, self.encoder, self.control = latents, encoder, control
        for name, buffer in (("mean", mean), ("scale", scale), ("whiten", whiten)):
            self.register_buffer(name, buffer)
        kept = whiten.shape[1]
        self.linear = nn.Linear(kept, 2 * latents)
        self.first = nn.Linear(kept, encoder)
        self.last = nn.Linear(encoder, 2 * latents, bias=False)
        self.side = nn.Parameter(torch.randn(latents, hidden) * 0.02)
        self.prior = nn.Parameter(torch.zeros(2 * latents))
        self.positions = nn.Parameter(torch.zeros(3, NEAR, hidden))
        nn.init.zeros_(self.last.weight)

    def forward(self, excess: Tensor) -> tuple[Tensor, Tensor]:
        """Excesses [N, 441] to side information [N, H] and log q - log p in nats, [N, K]."""
        y = (excess * self.scale).clamp(-128, 128) @ self.whiten
        mean, log2 = (self.linear(y) + self.last(torch.relu(self.first(y)))).chunk(2, 1)
        p_mean, p_log2 = self.prior.chunk(2)
        p_mean, p_log2 = p_mean.expand_as(mean), clamp(p_log2.expand_as(mean), *PRIOR_LOG2)
        mean, log2 = clamp(mean, -LATENT_LIMIT, LATENT_LIMIT), clamp(log2, *POSTERIOR_LOG2)
        z = sample_logistic(mean, log2)
        kl = logistic_log_density(z, mean, log2) - logistic_log_density(z, p_mean, p_log2)
        if self.control:
            z, kl = torch.zeros_like(z), torch.zeros_like(kl)
        return z @ self.side, kl

    def places(self, y: Tensor, x: Tensor, width: int) -> Tensor:
        """What the map of positions says of pixels (y, x) [n] of pictures so wide: [n, H]."""
        near = (y, x, width - 1 - x)
        return sum(table[n.clamp(max=NEAR - 1)] for table, n in zip(self.positions, near, strict=True))  # type: ignore[return-value]

    @torch.no_grad()
    def start(self, excess: Tensor, scores: Tensor, fisher: Tensor, area: float) -> list[float]:
        """Begin at the linear Gaussian optimum; returns the shares of the latents that the inputs explain.

        Parameters
        ----------
        excess : [N, 441]
        scores : [N, H], gradients of a picture's cost (nats) by the first stream, over the root of its area.
        fisher : [H, H], their covariance were all pictures alike.
        area : pixels of a typical picture.
        """
        values, vectors = torch.linalg.eigh(fisher.double())
        keep = values > values[-1] * 1e-4
        white = (vectors[:, keep] / values[keep].sqrt()).float()
        y = (excess * self.scale).clamp(-128, 128) @ self.whiten
        s = scores @ white
        s = s - s.mean(0)
        power, turn = torch.linalg.eigh((s.T @ s / len(s)).double())
        power, turn = power.flip(0)[: self.latents].float(), turn.flip(1)[:, : self.latents].float()
        gain = (power - 1).clamp_min(0.05).sqrt()
        target = (s @ turn) * gain / power
        gram = y.double().T @ y.double() + 1e-2 * len(y) * torch.eye(y.shape[1], dtype=torch.double)
        weight = torch.linalg.solve(gram, y.double().T @ target.double()).float()
        rest = (target - y @ weight).square().mean(0)
        k = self.latents
        self.linear.weight.zero_()
        self.linear.bias.zero_()
        self.linear.weight[:k] = weight.T
        self.linear.bias[k:] = 0.5 * torch.log2((1 / power + rest).clamp(max=1.0)) + LOGISTIC_LOG2
        self.prior[k:] = LOGISTIC_LOG2
        # A vector v in all pixels costs sqrt(area) s v + area v F v / 2: -s / sqrt(area) is best for white s.
        self.side.copy_((-(white @ turn) * gain / math.sqrt(area)).T)
        return (1 - rest / target.square().mean(0)).tolist()


def whitening(excess: NDArray[np.float64], keep: int) -> tuple[Tensor, Tensor]:
    """Scale [441] and matrix [441, keep] that make excesses [N, 441] white."""
    scale = 1 / np.maximum(excess.std(0), 1e-3 * excess.std())
    scaled = excess * scale
    values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    top = [i for i in np.argsort(values)[::-1][:keep] if values[i] > values.max() * _KEEP]
    matrix = vectors[:, top] / np.sqrt(values[top])
    return torch.from_numpy(scale).float(), torch.from_numpy(matrix).float()


def integers(model: PictureLatents) -> tuple[dict[str, int], dict[str, NDArray[Any]]]:
    """Configuration and tensors of the integer form (docs/local.md)."""
    p = {name: value.detach().double().numpy() for name, value in model.state_dict().items()}
    k = model.latents

    def int32(values: NDArray[np.float64]) -> NDArray[np.int32]:
        return np.floor(values + 0.5).astype(np.int32)

    tensors = {"positions": int32(p["positions"] * 256)}
    if model.control:
        return {"latents": 0, "encoder": 0}, tensors
    # Inputs and activations count 1/256, means 1/512, log2 scales 1/128; weights have 12 bits more.
    units = np.repeat([512.0, 128.0], k)
    direct, last = p["whiten"] @ p["linear.weight"].T, p["last.weight"].T
    tensors |= {
        "statistics_mean": int32(p["mean"] * 256),
        "statistics_scale": int32(p["scale"] * 2**20),
        "encoder_w": int32(p["whiten"] @ p["first.weight"].T * 4096),
        "encoder_b": int32(p["first.bias"] * 256 * 4096),
        "posterior_w": int32(np.concatenate([direct, last]) * units / 256 * 4096),
        "posterior_b": int32(p["linear.bias"] * units * 4096),
        "latent_prior": int32(p["prior"] * units),
        "side_w": int32(p["side"] * 8192),
    }
    assert tensors["posterior_w"].shape == (STATISTICS + model.encoder, 2 * k)
    return {"latents": k, "encoder": model.encoder}, tensors


def load(state: dict[str, Any]) -> PictureLatents:
    """The latents of a checkpoint."""
    tensors, config = state["latents"], state["latents_config"]
    hidden = tensors["side"].shape[1]
    kept = [tensors[name] for name in ("mean", "scale", "whiten")]
    model = PictureLatents(config["latents"], config["encoder"], hidden, *kept, control=config["control"])
    model.load_state_dict(tensors)
    return model
