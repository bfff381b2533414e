# SPDX-License-Identifier: Apache-2.0
"""The network of a released model of the family `local`, with small integer changes that are learned.

A change costs bytes. Proximal Adam therefore charges a price for every unit, so that changes that do not pay
stay 0. `fit` uses it for one picture, `own_head` for a custom model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bbcodec.families.local.fitted import SHARED, SIGNS, Delta
from bbcodec.families.local.model import LocalModel

from ..gradients import round8, sign_weight
from .budget import LEARNED_PER_SECOND, Budget
from .head import ACTIVATION_LIMIT, FEATURE_UNIT, SCALE_OFFSET, bits, spreads

BATCH = 1536  # pixels per step
RATE = 0.05  # largest step of a change, in units
PRICE_BITS = 20.0  # price of one unit of change
PRICED_SHARE = 0.6  # share of the steps in which changes pay the price
WARM_UP_STEPS = 30
SIGN_UNITS = 4.0  # units that a sign has to move before it flips
SHIFTS = {  # log2 of the unit of changes, in the integers of each tensor
    SIGNS: 0,
    SHARED: 2,
    "first_w": 2,
    "first_b": 18,
    "hidden_m": 8,
    "hidden_b": 16,
    "out_w": 15,
    "out_b": 16,
}
# The last layer learns along, so that the other layers fit its state while coding. Its own changes are not
# worth their bytes, because the codec learns them anyway.
UNSENT = ("out_w", "out_b")
SPEEDS = {"out_w": 0.3, "out_b": 0.3}  # factor of the learning rate, where it is not 1


def shuffled(size: int, batch: int, rng: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Yield endless batches of indices below `size`, in a new random order for each pass."""
    order, at = rng.permutation(size), 0
    while True:
        if at + batch > size:
            order, at = rng.permutation(size), 0
        yield order[at : at + batch]
        at += batch


def learning_rate(phase: float, step: int) -> float:
    """Return the learning rate in units: a warm-up, then a cosine to 1 % as `phase` goes from 0 to pi."""
    return RATE * min(1.0, (step + 1) / WARM_UP_STEPS) * (0.5 * (1 + math.cos(phase)) + 0.01)


class ProximalAdam:
    """Adam with soft thresholds: a change that does not pay its price stays 0 or returns to 0.

    Parameters
    ----------
    changes : tensors that learn, by name.
    price : price of a unit of any change, in the unit of the loss; nothing after `keep_support`.
    """

    def __init__(self, changes: dict[str, Tensor], price: float):
        self.changes, self.price, self.steps = changes, price, 0
        self._m = {name: torch.zeros_like(change) for name, change in changes.items()}
        self._v = {name: torch.zeros_like(change) for name, change in changes.items()}
        self._kept: dict[str, Tensor] = {}
        for change in changes.values():
            change.requires_grad_(True)

    def keep_support(self) -> None:
        """From now on, keep changes at 0 that are 0, and let the others learn without a price."""
        self._kept = {name: (change.detach() != 0).float() for name, change in self.changes.items()}

    def step(self, loss: Tensor, rate: float) -> None:
        """Take one step of at most about `rate` units."""
        grads = torch.autograd.grad(loss, list(self.changes.values()))
        self.steps += 1
        with torch.no_grad():
            for (name, change), g in zip(self.changes.items(), grads, strict=True):
                m, v = self._m[name], self._v[name]
                m.mul_(0.9).add_(g, alpha=0.1)
                v.mul_(0.99).addcmul_(g, g, value=0.01)
                speed = rate * SPEEDS.get(name, 1.0)
                pace = speed / ((v / (1 - 0.99**self.steps)).sqrt_() + 1e-9)
                change.sub_(pace * m / (1 - 0.9**self.steps))
                if self._kept:
                    change.mul_(self._kept[name])
                else:
                    change.copy_(change.sign() * torch.relu(change.abs() - pace * self.price))


class FitHead:
    """The network of a model, with changes of its tensors that are 0 at first.

    Parameters
    ----------
    model : model to change. A map of positions and latents are left to the caller of `forward`.
    shifts : log2 of the unit of each tensor's changes, in the model's integers.
    """

    def __init__(self, model: LocalModel, shifts: Mapping[str, int] = SHIFTS):
        self.model, self.shifts = model, shifts
        j = model.components

        def real(values: NDArray[Any], scale: float = 1.0) -> Tensor:
            return torch.from_numpy(values.astype(np.float64) * scale).float()

        self.unit = real(model.first_m, 2.0**-17)[:, None]  # of first_w
        self.first = real(model.first_w) * self.unit
        self.first_b = real(model.first_b, 2.0**-22)[:, None]
        self.signs = real(model.signs).transpose(1, 2) * SIGN_UNITS
        self.gains = real(model.hidden_m, 2.0**-16)
        self.hidden_b = real(model.hidden_b, 2.0**-20)
        self.out_w = real(model.out_w, 2.0**-20)
        bias = model.out_b * 2.0**-20
        bias[:, j : 2 * j] += SCALE_OFFSET
        self.out_b = real(bias)[:, None]
        self.changes = {
            name: torch.zeros(shape)
            for name, shape in {
                SIGNS: self.signs.shape,
                SHARED: self.first.shape[1:],
                "first_w": self.first.shape,
                "first_b": self.first_b.shape,
                "hidden_m": self.gains.shape,
                "hidden_b": self.hidden_b.shape,
                "out_w": self.out_w.shape,
                "out_b": self.out_b.shape,
            }.items()
        }

    def forward(self, features: Tensor, side: Tensor | None = None) -> Tensor:
        """Return mixture parameters, like `bbcodec.models.local.head.Head.forward`."""
        c, shifts, channels = self.changes, self.shifts, len(features)
        first = self.first + (c[SHARED] + c["first_w"]) * (self.unit * 2.0 ** shifts["first_w"])
        b = self.first_b + c["first_b"] * 2.0 ** (shifts["first_b"] - 22)
        x = torch.baddbmm(b[:channels], features, first[:channels])
        if side is not None:
            x = x + side
        n = x.shape[1]
        x = x.reshape(channels * n, -1)
        signs = sign_weight(self.signs + c[SIGNS])
        gains = self.gains + c["hidden_m"] * 2.0 ** (shifts["hidden_m"] - 16)
        biases = self.hidden_b + c["hidden_b"] * 2.0 ** (shifts["hidden_b"] - 20)
        for w, g, bias in zip(signs, gains, biases, strict=True):
            x = x + (_activated(x) @ w) * g + bias
        # The last layer reads the features, too, in units of 1/16.
        last = torch.cat([_activated(x).reshape(channels, n, -1), features * (FEATURE_UNIT / 16)], 2)
        out_w = self.out_w + c["out_w"] * 2.0 ** (shifts["out_w"] - 20)
        out_b = self.out_b + c["out_b"] * 2.0 ** (shifts["out_b"] - 20)
        return torch.baddbmm(out_b[:channels], last, out_w[:channels])

    def learn(
        self,
        features: NDArray[np.int8],
        facts: NDArray[np.int32],
        steps: int,
        count: int,
        budget: Budget,
        seed: int,
    ) -> None:
        """Take `steps` steps, or fewer if the budget is stopped.

        Parameters
        ----------
        features, facts : [C, pixels, 48] and [C, pixels, 3], see `bbcodec.families.local.native.observe`.
        steps : number of steps.
        count : samples of the whole picture. The more there are, the less a change costs per sample.
        budget : counts the work.
        seed : seed of the order of the pixels.
        """
        pixels, spread = features.shape[1], spreads()
        batch = min(BATCH, pixels)
        picks = shuffled(pixels, batch, np.random.default_rng(seed))
        optimizer = ProximalAdam(self.changes, PRICE_BITS / count)
        for step in range(steps):
            if budget.stopped:
                break
            if step == int(PRICED_SHARE * steps):
                optimizer.keep_support()
            pick = next(picks)
            f = torch.from_numpy(features[:, pick]).float() / FEATURE_UNIT
            loss = bits(self.forward(f), torch.from_numpy(facts[:, pick]), spread).mean()
            optimizer.step(loss, learning_rate(math.pi * step / steps, step))
            budget.spend(batch * len(features) / 3 / LEARNED_PER_SECOND)

    def deltas(self) -> dict[str, Delta]:
        """Return the changes that are not 0 after rounding."""
        found = {}
        for name, change in self.changes.items():
            if name in UNSENT:
                continue
            value = change.detach().double().numpy()
            if name == SIGNS:
                is_flipped = (self.signs.numpy() >= 0) != (self.signs.numpy() + value >= 0)
                integers = is_flipped.transpose(0, 2, 1).astype(np.int64)
            else:
                integers = np.floor(value + 0.5).astype(np.int64)
            flat = integers.reshape(-1)
            positions = np.flatnonzero(flat)
            if len(positions):
                found[name] = Delta(self.shifts[name], positions, flat[positions])
        return found


def _activated(x: Tensor) -> Tensor:
    return round8(torch.relu(x).clamp(max=ACTIVATION_LIMIT))
