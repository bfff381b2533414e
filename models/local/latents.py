# SPDX-License-Identifier: Apache-2.0
"""Latents of whole pictures for the head of the family `local`, and its map of positions (docs/local.md).

The encoder reads whitened sums over the picture of errors times features. Posterior and prior are logistics,
and a linear map of the latents is added to the head's first stream. Training starts at the optimum of the
linear Gaussian model: each latent is a direction in which changing the first stream per picture saves bits,
so that no latent is unused from the start.
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

from ..gradients import clamp
from ..logistic import LATENT_LIMIT, POSTERIOR_LOG2, PRIOR_LOG2, logistic_log_density, sample_logistic

LOGISTIC_LOG2 = math.log2(math.sqrt(3) / math.pi)  # log2 scale of a logistic of variance 1
_MIN_VARIANCE = 1e-5  # smallest variance of a whitened direction, as a fraction of the largest


def statistics(features: NDArray[np.int8], facts: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the statistics [441] of a picture with features [n, 3, 48] and facts [n, 3, 3]."""
    p, ks, x = (facts[..., i].astype(np.int64) for i in range(3))
    n = np.clip(((64 * x - p) * r1_table()[ks] + (1 << 13)) >> 14, -72, 72)
    moments = np.stack([n, np.abs(n), 24 * (np.abs(n) <= 7)], axis=2).astype(np.float64)
    terms = np.concatenate([np.full((*n.shape, 1), 32.0), features], axis=2)
    return np.einsum("nca,nci->cai", moments, terms, optimize=True).astype(np.int64).ravel()


def inputs(
    sums: NDArray[np.int64], area: NDArray[np.int64], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how far sums [N, 441] exceed the mean of a pixel, over the root of the area: [N, 441]."""
    result: NDArray[np.float64] = (sums - mean * area[:, None]) / np.sqrt(area)[:, None]
    return result


class PictureLatents(nn.Module):
    """Encoder, prior and decoder of K latents of a picture.

    Parameters
    ----------
    latents, encoder, hidden : K, width of the encoder, width of the head.
    mean, scale : [441] each: mean statistics of a pixel, and factors of the excesses (`inputs`).
    whiten : [441, kept], whitening of the scaled excesses.
    control : keep z at 0, as if there were no latents.
    """

    mean: Tensor
    scale: Tensor
    whiten: Tensor

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
        """Map excesses [N, 441] to side information [N, H] and log q - log p in nats, [N, K]."""
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
        """Return the map of positions at pixels (y, x) [n] of pictures of a width: [n, H]."""
        near = (y, x, width - 1 - x)
        return sum(table[n.clamp(max=NEAR - 1)] for table, n in zip(self.positions, near, strict=True))

    @torch.no_grad()
    def start(self, excess: Tensor, scores: Tensor, fisher: Tensor, area: float) -> list[float]:
        """Start at the linear Gaussian optimum; return the share of each latent that the inputs explain.

        Parameters
        ----------
        excess : [N, 441], see `inputs`.
        scores : [N, H], gradients of a picture's cost in nats by the first stream, over the root of its area.
        fisher : [H, H], covariance that the scores would have if all pictures were alike.
        area : pixels of a typical picture.
        """
        values, vectors = torch.linalg.eigh(fisher.double())
        is_kept = values > values[-1] * 1e-4
        white = (vectors[:, is_kept] / values[is_kept].sqrt()).float()
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
        # A vector v in all pixels costs sqrt(area) s v + area v F v / 2: best is -s / sqrt(area) for white s.
        self.side.copy_((-(white @ turn) * gain / math.sqrt(area)).T)
        return (1 - rest / target.square().mean(0)).tolist()


def whitening(excess: NDArray[np.float64], keep: int) -> tuple[Tensor, Tensor]:
    """Return scale [441] and matrix [441, at most keep] that make excesses [N, 441] white."""
    scale = 1 / np.maximum(excess.std(0), 1e-3 * excess.std())
    scaled = excess * scale
    values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    top = [i for i in np.argsort(values)[::-1][:keep] if values[i] > values.max() * _MIN_VARIANCE]
    matrix = vectors[:, top] / np.sqrt(values[top])
    return torch.from_numpy(scale).float(), torch.from_numpy(matrix).float()


def integers(model: PictureLatents) -> tuple[dict[str, int], dict[str, NDArray[Any]]]:
    """Return configuration and tensors of the integer form (docs/local.md)."""
    p = {name: value.detach().double().numpy() for name, value in model.state_dict().items()}
    k = model.latents

    def int32(values: NDArray[np.float64]) -> NDArray[np.int32]:
        return np.floor(values + 0.5).astype(np.int32)

    tensors = {"positions": int32(p["positions"] * 256)}
    if model.control:
        return {"latents": 0, "encoder": 0}, tensors
    # Steps: inputs and activations 1/256, means 1/512, log2 scales 1/128; weights have 12 bits more.
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
    """Return the latents of a checkpoint's dictionary."""
    tensors, config = state["latents"], state["latents_config"]
    hidden = tensors["side"].shape[1]
    mean, scale, whiten = (tensors[name] for name in ("mean", "scale", "whiten"))
    model = PictureLatents(
        config["latents"], config["encoder"], hidden, mean, scale, whiten, config["control"]
    )
    model.load_state_dict(tensors)
    return model
