# SPDX-License-Identifier: Apache-2.0
"""The network of a model of one's own while it learns: integers of a released model, and changes of them.

What it sees of pictures is the codec's own (`bbcodec.families.local.native.observe`); which pictures, and
what becomes of the changes, is the business of `own`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bbcodec.families.local.fitted import SHARED, SIGNS
from bbcodec.families.local.model import NEAR, LocalModel
from bbcodec.families.local.native import observe

from ..data import Picture
from .fit import SHIFTS as FIT_SHIFTS
from .fit import FitHead, Proximal
from .head import FEATURE_UNIT, bits, spreads

BATCH = 1536  # pixels a step
RATE = 0.05  # units a step, at most
PRICE = 5.0  # bits for a unit of change
APART = 20  # steps at least from one validation to the next
SELECT = 0.6  # share of the time in which changes pay it
SHIFTS = FIT_SHIFTS | {"first_w": 1, "out_w": 14, "positions": 5}
HEAD = ("first_b", "hidden_m", "hidden_b", "out_w", "out_b")
POSITION_UNIT = 256.0


@dataclass
class Seen:
    """Pixels as the network sees them.

    Attributes
    ----------
    features, facts : int8 [3, n, 48] and int32 [3, n, 3]
    near : uint8 [3, n], rows from the top, columns from the left and from the right, at most 8.
    """

    features: NDArray[np.int8]
    facts: NDArray[np.int32]
    near: NDArray[np.uint8]

    def __getitem__(self, pick: NDArray[np.int64] | slice) -> Seen:
        return Seen(self.features[:, pick], self.facts[:, pick], self.near[:, pick])

    def __len__(self) -> int:
        return self.features.shape[1]

    def split(self, share: int) -> tuple[Seen, Seen]:
        """All but one of so many pixels, and those that are left."""
        cut = len(self) - max(1, len(self) // share)
        return self[:cut], self[cut:]


def look(picture: Picture, local: LocalModel, pixels: int, seed: Sequence[int]) -> Seen:
    """Up to so many pixels of a picture, at random."""
    width = picture.shape[1]
    features, facts = observe(picture, local)
    pick = np.random.default_rng(list(seed)).permutation(len(facts))[:pixels]
    y, x = np.divmod(pick, width)
    near = np.minimum(np.stack([y, x, width - 1 - x]), NEAR - 1).astype(np.uint8)
    return Seen(features[pick].swapaxes(0, 1).copy(), facts[pick].swapaxes(0, 1).copy(), near)


def join(parts: Sequence[Seen]) -> Seen:
    """All of them."""
    return Seen(
        np.concatenate([p.features for p in parts], 1),
        np.concatenate([p.facts for p in parts], 1),
        np.concatenate([p.near for p in parts], 1),
    )


class OwnHead(FitHead):
    """Changes of all tensors, or of those that `HEAD` names, and of a map of positions.

    Parameters
    ----------
    model : without latents.
    what : ``all`` or ``head``.
    """

    def __init__(self, model: LocalModel, what: str = "all"):
        super().__init__(model, SHIFTS)
        shape = (3, NEAR, model.hidden)
        base = np.zeros(shape) if model.positions is None else model.positions
        self.positions = torch.from_numpy(base / POSITION_UNIT).float()
        names = HEAD if what == "head" else tuple(name for name in self.changes if name != SHARED)
        names = tuple(name for name in names if self.changes[name].numel())
        self.learning = {name: self.changes[name] for name in names}
        if what == "all":
            self.learning["positions"] = self.changes["positions"] = torch.zeros(shape)

    def cost(self, part: Seen) -> Tensor:
        """Bits of every sample, [3, n]."""
        side = None
        if self.model.positions is not None or "positions" in self.changes:
            table = self.positions
            if "positions" in self.changes:
                table = table + self.changes["positions"] * (2.0 ** SHIFTS["positions"] / POSITION_UNIT)
            side = sum(t[torch.from_numpy(n.astype(np.int64))] for t, n in zip(table, part.near, strict=True))
        f = torch.from_numpy(part.features).float() / FEATURE_UNIT
        return bits(self.forward(f, side), torch.from_numpy(part.facts), spreads())

    @torch.no_grad()
    def evaluate(self, part: Seen) -> float:
        """Bits per sample with the changes as they would be stored."""
        exact = {name: change.detach().clone() for name, change in self.learning.items()}
        for name, change in self.learning.items():
            if name != SIGNS:
                change.copy_(torch.floor(change + 0.5))
        total = sum(float(self.cost(part[i : i + 4096]).double().sum()) for i in range(0, len(part), 4096))
        for name, change in self.learning.items():
            change.copy_(exact[name])
        return total / (3 * len(part))

    def train(
        self,
        seen: Seen,
        held: Seen,
        count: int,
        minutes: float,
        steps: float,
        seed: int,
        say: Callable[[str], None],
        stopped: Callable[[], bool],
        validations: int,
        patience: int,
    ) -> list[list[float]]:
        """Learn; what is kept are the changes of the best validation.

        Parameters
        ----------
        seen, held : what is learned from, and what is validated on.
        count : samples that are to be coded: the more, the less a change costs each.
        minutes, steps : the budget, over which the rate falls.
        seed, say, stopped : as of `own.train`.
        validations, patience : how many there are, and after how many that were no better it ends.

        Returns
        -------
        list
            [steps, bits/dim of `held`] of each validation.
        """
        rng, size = np.random.default_rng(seed), len(seen)
        optimizer = Proximal(self.learning, PRICE / count)
        best, since, begun, due = self._state(), 0, time.monotonic(), 1
        lowest = self.evaluate(held)
        curve = [[0, round(lowest, 4)]]
        say(f"  0.00 min  step      0  validation {lowest:.4f} bits/dim")
        order, at, selected, taken = rng.permutation(size), 0, False, 0
        while True:
            elapsed = (time.monotonic() - begun) / 60
            done = max(elapsed / minutes if minutes > 0 else 1.0, taken / steps)
            ends = done >= 1 or stopped()
            if ends and taken == curve[-1][0]:
                self._restore(best)
                return curve
            if ends or (done * validations >= due and taken >= curve[-1][0] + APART):
                due = math.floor(done * validations) + 1
                value = self.evaluate(held)
                curve.append([taken, round(value, 4)])
                say(f"{elapsed:6.2f} min  step {taken:6d}  validation {value:.4f} bits/dim")
                since += 1
                if value < lowest:
                    best, lowest, since = self._state(), value, 0
                if ends or since >= patience:
                    self._restore(best)
                    return curve
            if done >= SELECT and not selected:
                optimizer.keep_support()
                selected = True
            if at + BATCH > size:
                order, at = rng.permutation(size), 0
            pick = order[at : at + BATCH]
            at += BATCH
            rate = RATE * min(1.0, (taken + 1) / 30) * (0.5 * (1 + math.cos(math.pi * done)) + 0.01)
            optimizer.step(self.cost(seen[pick]).mean(), rate)
            taken += 1

    def rounded(self) -> dict[str, NDArray[np.int64]]:
        """Changes in units; of the signs, words of flips as in ``hidden_w`` (uint64)."""
        found = {}
        for name, change in self.learning.items():
            value = change.detach().double().numpy()
            if name == SIGNS:
                old = self.signs.numpy()
                flips = ((old >= 0) != (old + value >= 0)).transpose(0, 2, 1)
                words = np.packbits(np.ascontiguousarray(flips), axis=-1, bitorder="little").view("<u8")
                found[name] = words.astype(np.uint64)
            else:
                units = np.floor(value + 0.5).astype(np.int64)
                found[name] = units[:, 0] if name in ("first_b", "out_b") else units
        return found

    def _state(self) -> dict[str, Tensor]:
        return {name: change.detach().clone() for name, change in self.learning.items()}

    @torch.no_grad()
    def _restore(self, state: dict[str, Tensor]) -> None:
        for name, change in self.learning.items():
            change.copy_(state[name])
