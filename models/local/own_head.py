# SPDX-License-Identifier: Apache-2.0
"""The network of a custom model while it learns: integers of a released model, and changes of them.

Its samples are the codec's own (`bbcodec.families.local.native.observe`). `own` chooses the pictures and
turns the changes into a model file.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bbcodec.families.local.fitted import SHARED, SIGNS
from bbcodec.families.local.model import NEAR, LocalModel
from bbcodec.families.local.native import observe

from ..data import Picture
from .fit_head import BATCH, PRICED_SHARE, FitHead, ProximalAdam, learning_rate, shuffled
from .fit_head import SHIFTS as FIT_SHIFTS
from .head import FEATURE_UNIT, bits, spreads

PRICE_BITS = 5.0  # price of one unit of change
MIN_STEPS_BETWEEN = 20  # steps between two validations
SHIFTS = FIT_SHIFTS | {"first_w": 1, "out_w": 14, "positions": 5}  # log2 of the unit of changes
HEAD = ("first_b", "hidden_m", "hidden_b", "out_w", "out_b")  # tensors that learn with ``head``
POSITION_UNIT = 256.0  # integers of the map of positions are in steps of 1/256
EVALUATION_PIXELS = 4096  # pixels of a batch in `OwnHead.evaluate`


@dataclass
class Seen:
    """Pixels as the network sees them.

    Attributes
    ----------
    features, facts : int8 [3, n, 48] and int32 [3, n, 3].
    near : uint8 [3, n], distances from the top, the left and the right in pixels, limited to the map.
    """

    features: NDArray[np.int8]
    facts: NDArray[np.int32]
    near: NDArray[np.uint8]

    def __getitem__(self, pick: NDArray[np.int64] | slice) -> Seen:
        return Seen(self.features[:, pick], self.facts[:, pick], self.near[:, pick])

    def __len__(self) -> int:
        return int(self.features.shape[1])

    def split(self, share: int) -> tuple[Seen, Seen]:
        """Split off the last of every `share` pixels: return the others, and these."""
        cut = len(self) - max(1, len(self) // share)
        return self[:cut], self[cut:]


def look(picture: Picture, local: LocalModel, pixels: int, seed: Sequence[int]) -> Seen:
    """Return up to `pixels` random pixels of a picture."""
    width = picture.shape[1]
    features, facts = observe(picture, local)
    pick = np.random.default_rng(list(seed)).permutation(len(facts))[:pixels]
    y, x = np.divmod(pick, width)
    near = np.minimum(np.stack([y, x, width - 1 - x]), NEAR - 1).astype(np.uint8)
    return Seen(features[pick].swapaxes(0, 1).copy(), facts[pick].swapaxes(0, 1).copy(), near)


def join(parts: Sequence[Seen]) -> Seen:
    """Return the pixels of all parts."""
    return Seen(
        np.concatenate([p.features for p in parts], 1),
        np.concatenate([p.facts for p in parts], 1),
        np.concatenate([p.near for p in parts], 1),
    )


@dataclass(frozen=True)
class Schedule:
    """Budget and settings of the learning.

    Attributes
    ----------
    count : samples that will be coded. The more there are, the less a change costs per sample.
    minutes, steps : budget, over which the learning rate falls. The first to end counts.
    seed : seed of the order of the pixels.
    validations : number of validations in the whole time.
    patience : learning ends after this number of validations without a better one.
    """

    count: int
    minutes: float
    steps: float
    seed: int
    validations: int
    patience: int

    def done(self, minutes: float, steps: int) -> float:
        """Return the share of the budget that is used; at least 1 at its end."""
        return max(minutes / self.minutes if self.minutes > 0 else 1.0, steps / self.steps)


@dataclass
class _Best:
    """Changes of the best validation, their cost in bits/dim, and the number of validations since."""

    state: dict[str, Tensor]
    cost: float
    age: int = 0

    def update(self, cost: float, state: Callable[[], dict[str, Tensor]]) -> None:
        """Count a validation, and keep the state if it is better."""
        self.age += 1
        if cost < self.cost:
            self.state, self.cost, self.age = state(), cost, 0


class OwnHead(FitHead):
    """Network of a model with changes of its tensors and of a map of positions.

    Parameters
    ----------
    model : model without latents.
    what : ``all``, or ``head`` to change only the tensors in `HEAD`.
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
        """Return the bits of every sample, [3, n]."""
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
        """Return the bits per sample with the changes rounded as in a model file."""
        exact = {name: change.detach().clone() for name, change in self.learning.items()}
        for name, change in self.learning.items():
            if name != SIGNS:
                change.copy_(torch.floor(change + 0.5))
        starts = range(0, len(part), EVALUATION_PIXELS)
        total = sum(float(self.cost(part[i : i + EVALUATION_PIXELS]).double().sum()) for i in starts)
        for name, change in self.learning.items():
            change.copy_(exact[name])
        return total / (3 * len(part))

    def train(
        self,
        seen: Seen,
        held_out: Seen,
        schedule: Schedule,
        say: Callable[[str], None],
        stopped: Callable[[], bool],
    ) -> list[list[float]]:
        """Learn, and keep the changes of the best validation.

        Parameters
        ----------
        seen, held_out : pixels to learn from, and pixels to validate on.
        schedule : budget and settings.
        say : called with a line of text at every validation.
        stopped : asked before every step whether to end.

        Returns
        -------
        list
            [steps, bits/dim of `held_out`] of each validation.
        """
        picks = shuffled(len(seen), BATCH, np.random.default_rng(schedule.seed))
        optimizer = ProximalAdam(self.learning, PRICE_BITS / schedule.count)
        begun, due, is_priced, taken = time.monotonic(), 1, True, 0
        best = _Best(self._state(), self.evaluate(held_out))
        curve: list[list[float]] = [[0, round(best.cost, 4)]]
        say(f"  0.00 min  step      0  validation {best.cost:.4f} bits/dim")
        while True:
            minutes = (time.monotonic() - begun) / 60
            done = schedule.done(minutes, taken)
            ends = done >= 1 or stopped()
            if ends and taken == curve[-1][0]:
                break
            is_due = done * schedule.validations >= due and taken >= curve[-1][0] + MIN_STEPS_BETWEEN
            if ends or is_due:
                due = math.floor(done * schedule.validations) + 1
                cost = self.evaluate(held_out)
                curve.append([taken, round(cost, 4)])
                say(f"{minutes:6.2f} min  step {taken:6d}  validation {cost:.4f} bits/dim")
                best.update(cost, self._state)
                if ends or best.age >= schedule.patience:
                    break
            if done >= PRICED_SHARE and is_priced:
                optimizer.keep_support()
                is_priced = False
            loss = self.cost(seen[next(picks)]).mean()
            optimizer.step(loss, learning_rate(math.pi * done, taken))
            taken += 1
        self._restore(best.state)
        return curve

    def rounded(self) -> dict[str, NDArray[Any]]:
        """Return the changes in units, int64; for the signs, words of flips as in ``hidden_w``, uint64."""
        found: dict[str, NDArray[Any]] = {}
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
