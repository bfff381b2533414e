# SPDX-License-Identifier: Apache-2.0
"""Fit a model of the family `local` to one picture, in changes that cost few bytes.

`bbcodec.families.local.fitted` writes them.

Three things are tried, in this order: how the picture is turned before it is coded; the numbers of the model
that cost a byte or two; and changes of its network, small integers of which most are 0. The network learns
by proximal Adam: every change pays ``PRICE`` bits for each unit it moves, so that those that do not pay stay
0; then those that are left learn on without it. What is kept is decided by coding with the candidates.

The work is counted in nominal seconds, so that the same options give the same bytes on a slow machine and on
a fast one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bbcodec.errors import FormatError
from bbcodec.families.local import blocks
from bbcodec.families.local.fitted import SHARED, SIGNS, Delta, Fitted
from bbcodec.families.local.model import LocalModel
from bbcodec.families.local.native import observe, plan
from bbcodec.families.stats import Pixels
from bbcodec.jobs import Progress
from bbcodec.modelfile import Model
from bbcodec.picture.raster import cut
from bbcodec.picture.turn import SWAP_CHANNELS, turn

from .head import ACTIVATION_LIMIT, FEATURE_UNIT, SCALE_OFFSET, _Rounded, _Sign, bits, spreads

# Nominal speeds of one core of 2.5 GHz with AVX-512: pixels of three channels a second.
CODED = 450_000.0
LEARNED = 33_000.0

SEARCH, SEARCH_LARGE = 0.9, 0.5  # share of the time for turns and numbers; of large pictures
LARGE = 1 << 20  # pixels of those
LEARNABLE = 300_000  # pixels, below which changes of the network do not pay
STAGES = (0.35, 0.25, 0.4)  # shares of that for all turns, for the best of them, and for the numbers
FINALISTS = 3  # turns
CROP = 320  # pixels of a side, where a picture is not tried whole
LEAST = 1 << 16  # pixels of a trial

BATCH = 1536  # pixels a step
RATE = 0.05  # units a step
PRICE = 20.0  # bits for a unit of change
SELECT = 0.6  # share of the steps that pay it
LEAST_STEPS = 50
CONFIDENCE = 4.0  # units that a sign has to move before it flips
SHIFTS = {
    SIGNS: 0,
    SHARED: 2,
    "first_w": 2,
    "first_b": 18,
    "hidden_m": 8,
    "hidden_b": 16,
    "out_w": 15,
    "out_b": 16,
}
# The last layer learns along, so that the others fit what it comes to while coding; its own changes are not
# worth their bytes, as it learns them then anyway.
UNSENT = ("out_w", "out_b")
SPEEDS = {"out_w": 0.3, "out_b": 0.3}  # of learning, where not 1

Stop = Callable[[], bool]


class Budget:
    """Nominal seconds, what a progress callback sees of them, and whether the caller wants no more."""

    def __init__(self, seconds: float, progress: Progress | None, stop: Stop | None):
        self.total, self.spent, self.stopped = seconds, 0.0, False
        self._progress, self._stop = progress, stop

    def spend(self, seconds: float) -> None:
        """Count work that was done."""
        self.spent += seconds
        if self._progress is not None:
            total = math.ceil(10 * self.total)
            self._progress(min(round(10 * self.spent), total), total)
        self.stopped = self.stopped or (self._stop is not None and self._stop())

    @property
    def left(self) -> float:
        """Seconds that are not spent."""
        return self.total - self.spent


class Trials:
    """Parts of a picture that candidates are coded on: all of it, or crops.

    Parameters
    ----------
    parts : uint8 [h, w, C]
    pixels : of the whole picture.
    """

    def __init__(self, parts: Sequence[Pixels], pixels: int, model: Model, budget: Budget):
        self.parts, self.model, self.budget = parts, model, budget
        size = sum(part.shape[0] * part.shape[1] for part in parts)
        self.factor = pixels / size
        self.seconds = size * parts[0].shape[2] / 3 / CODED  # nominal time of one trial
        self._known: dict[bytes, float] = {}

    def bits(self, fitted: Fitted) -> float:
        """Bits of the picture and of the fit, as far as the parts tell; infinite for what is no model."""
        key = fitted.pack()
        if key not in self._known:
            try:
                model = LocalModel.from_model(fitted.apply(self.model))
            except FormatError:
                return math.inf
            total = 0.0
            for part in self.parts:
                _, freq = plan([turn(part, fitted.view)], model)
                total += float((20 - np.log2(freq)).sum())
            self._known[key] = total * self.factor + 8 * len(key)
            self.budget.spend(self.seconds)
        return self._known[key]

    def ranked(self, candidates: Sequence[Fitted]) -> list[Fitted]:
        """The candidates that there was time for, by their bits; at least one."""
        tried = []
        for candidate in candidates:
            if not self.budget.stopped or not tried:
                tried.append(candidate)
                self.bits(candidate)
        return sorted(tried, key=self.bits)


def fit(
    image: Pixels,
    model: Model,
    seconds: float,
    *,
    seed: int = 0,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Fitted:
    """Fit a model to a picture.

    Parameters
    ----------
    image : uint8 [H, W, C], C of 1 or 3.
    model : of the family `local`.
    seconds : nominal, of one core; what is done depends on them alone.
    seed : of the order in which pixels are learned from.
    progress : called with (work done, work in all).
    stop : asked now and then; once it says true, the best fit so far is returned.

    Returns
    -------
    Fitted
        It may change nothing at all.
    """
    budget = Budget(seconds, progress, stop)
    with _one_thread():
        best = _numbers(image, model, _turned(image, model, budget), budget)
        return best if budget.stopped else _learn(image, model, best, budget, seed)


def crops(image: Pixels, pixels: float) -> list[Pixels]:
    """The blocks of a picture if it has at most so many pixels, or else crops spread over it."""
    height, width = image.shape[:2]
    pixels = max(pixels, LEAST)
    if height * width <= 1.5 * pixels:
        return [np.ascontiguousarray(image[place]) for place in cut(height, width, blocks.BLOCK)]
    h, w = min(height, CROP), min(width, CROP)
    count = pixels / (h * w)
    down = max(1, min(height // h, round(math.sqrt(count * height * w / (width * h)))))
    across = max(1, min(width // w, round(count / down)))
    rows = [int((height - h) * (i + 0.5) / down) for i in range(down)]
    columns = [int((width - w) * (i + 0.5) / across) for i in range(across)]
    return [np.ascontiguousarray(image[y : y + h, x : x + w]) for y in rows for x in columns]


def _search_seconds(image: Pixels, budget: Budget) -> float:
    return budget.total * (SEARCH_LARGE if image.shape[0] * image.shape[1] > LARGE else SEARCH)


def _trials(image: Pixels, model: Model, budget: Budget, seconds: float, count: int) -> Trials:
    """Trials of which so many take about so long."""
    parts = crops(image, seconds / count * CODED * 3 / image.shape[2])
    return Trials(parts, image.shape[0] * image.shape[1], model, budget)


def _turned(image: Pixels, model: Model, budget: Budget) -> Fitted:
    """The best turn: all on a small part of the picture, the best of them on more."""
    first, second, _ = (share * _search_seconds(image, budget) for share in STAGES)
    turns = [Fitted(view=view) for view in range(SWAP_CHANNELS)]
    ranked = _trials(image, model, budget, first, len(turns)).ranked(turns)
    if budget.stopped:
        return ranked[0]
    finalists = [Fitted(), *(f for f in ranked[:FINALISTS] if f.view)]
    trials = _trials(image, model, budget, second, len(finalists) + 1)
    best = trials.ranked(finalists)[0]
    if image.shape[2] == 3:
        best = trials.ranked([best, Fitted(view=best.view | SWAP_CHANNELS)])[0]
    return best


def _numbers(image: Pixels, model: Model, best: Fitted, budget: Budget) -> Fitted:
    """The best numbers, by steps from those of the model as long as there is time."""
    seconds = STAGES[2] * _search_seconds(image, budget)
    trials = _trials(image, model, budget, seconds, 12)
    end = budget.spent + seconds
    waiting = list(STEPS)
    while waiting and budget.spent + trials.seconds < end and not budget.stopped:
        key, step = waiting.pop(0)
        value = step(best.config.get(key, model.config[key]))
        changed = replace(best, config={**best.config, key: value})
        if value is not None and trials.ranked([best, changed])[0] is changed:
            best = changed
            waiting.insert(0, (key, step))
    return best


def _paced(predictor: int, more: int, most: int) -> Callable[[list[int]], list[int] | None]:
    """A step of the shift by which one predictor forgets, which is at most `most`."""

    def step(shifts: list[int]) -> list[int] | None:
        changed = list(shifts)
        changed[predictor] += more
        return changed if 1 <= changed[predictor] <= most else None

    return step


STEPS: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("down", _paced(1, 1, 4)),
    ("down", _paced(1, -1, 4)),
    ("rate_q", lambda rate: rate * 5 // 8),
    ("rate_q", lambda rate: rate * 3 // 2),
    ("along", _paced(1, 1, 3)),
    ("along", _paced(1, -1, 3)),
    ("down", _paced(0, -1, 4)),
    ("along", _paced(0, -1, 3)),
    ("ridge", lambda ridge: ridge * 4),
    ("ridge", lambda ridge: max(1, ridge // 4)),
)


def _learn(image: Pixels, model: Model, start: Fitted, budget: Budget, seed: int) -> Fitted:
    """Changes of the network."""
    pixels, channels = image.shape[0] * image.shape[1], image.shape[2]
    if pixels < LEARNABLE:
        return start
    parts = crops(image, budget.left / 4 * CODED * 3 / channels)
    whole = sum(part.shape[0] * part.shape[1] for part in parts) == pixels
    apart = not whole and len(parts) >= 4  # then what is learned is judged by what was not learned from
    trials = Trials(parts[::4] if apart else parts, pixels, model, budget)
    learned = [part for i, part in enumerate(parts) if i % 4] if apart else parts
    size = sum(part.shape[0] * part.shape[1] for part in learned)
    seconds = budget.left - 2 * trials.seconds - size * channels / 3 / CODED
    steps = int(seconds * LEARNED * 3 / channels / BATCH)
    if steps < LEAST_STEPS:
        return start
    local = LocalModel.from_model(start.apply(model))
    seen = []
    for part in learned:
        seen.append(observe(turn(part, start.view), local))
        budget.spend(part.shape[0] * part.shape[1] * channels / 3 / CODED)
    features, facts = (np.concatenate(of).swapaxes(0, 1) for of in zip(*seen, strict=True))
    head = FitHead(local)
    head.learn(features, facts, steps, pixels * channels, budget, seed)
    changed = replace(start, deltas=head.deltas())
    return min(start, changed, key=trials.bits)


class Proximal:
    """Adam with soft thresholds: a change that does not pay its price stays 0, or goes back to it.

    Parameters
    ----------
    changes : what learns, by name.
    price : of a unit of any change, in the unit of the loss; nothing after `keep_support`.
    """

    def __init__(self, changes: dict[str, Tensor], price: float):
        self.changes, self.price, self.steps = changes, price, 0
        self._m = {name: torch.zeros_like(change) for name, change in changes.items()}
        self._v = {name: torch.zeros_like(change) for name, change in changes.items()}
        self._kept: dict[str, Tensor] = {}
        for change in changes.values():
            change.requires_grad_(True)

    def keep_support(self) -> None:
        """From now on, changes that are 0 stay 0, and the others learn without paying."""
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
    """The network of a model, with changes in units of their tensors' shifts, all 0 at first.

    Parameters
    ----------
    model : with or without a map of positions and latents, which `forward` leaves to its caller.
    shifts : log2 of the unit of every tensor's changes, in the model's integers.
    """

    def __init__(self, model: LocalModel, shifts: Mapping[str, int] = SHIFTS):
        self.model, self.shifts = model, shifts
        j = model.components

        def real(values: NDArray[Any], scale: float = 1.0) -> Tensor:
            return torch.from_numpy(values.astype(np.float64) * scale).float()

        self.unit = real(model.first_m, 2.0**-17)[:, None]  # of first_w
        self.first = real(model.first_w) * self.unit
        self.first_b = real(model.first_b, 2.0**-22)[:, None]
        self.signs = real(model.signs).transpose(1, 2) * CONFIDENCE
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
        """Mixture parameters as of `bbcodec.models.local.head.Head.forward`."""
        c, shifts, channels = self.changes, self.shifts, len(features)
        first = self.first + (c[SHARED] + c["first_w"]) * (self.unit * 2.0 ** shifts["first_w"])
        b = self.first_b + c["first_b"] * 2.0 ** (shifts["first_b"] - 22)
        x = torch.baddbmm(b[:channels], features, first[:channels])
        if side is not None:
            x = x + side
        n = x.shape[1]
        x = x.reshape(channels * n, -1)
        signs = _Sign.apply(self.signs + c[SIGNS])
        gains = self.gains + c["hidden_m"] * 2.0 ** (shifts["hidden_m"] - 16)
        biases = self.hidden_b + c["hidden_b"] * 2.0 ** (shifts["hidden_b"] - 20)
        for w, g, b in zip(signs, gains, biases, strict=True):
            x = x + (_activated(x) @ w) * g + b
        # The last layer sees features as well, in units of 1/16.
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
        """Take so many steps.

        Parameters
        ----------
        features : [C, pixels, 48]
        facts : [C, pixels, 3], as of `bbcodec.families.local.native.observe`.
        count : samples of the whole picture.
        """
        pixels, spread = features.shape[1], spreads()
        rng = np.random.default_rng(seed)
        order, at = rng.permutation(pixels), 0
        batch = min(BATCH, pixels)
        optimizer = Proximal(self.changes, PRICE / count)
        for step in range(steps):
            if budget.stopped:
                break
            rate = RATE * min(1.0, (step + 1) / 30) * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01)
            if step == int(SELECT * steps):
                optimizer.keep_support()
            if at + batch > pixels:
                order, at = rng.permutation(pixels), 0
            pick = order[at : at + batch]
            at += batch
            f = torch.from_numpy(features[:, pick]).float() / FEATURE_UNIT
            loss = bits(self.forward(f), torch.from_numpy(facts[:, pick]), spread).mean()
            optimizer.step(loss, rate)
            budget.spend(batch * len(features) / 3 / LEARNED)

    def deltas(self) -> dict[str, Delta]:
        """What is left of the changes, rounded."""
        found = {}
        for name, change in self.changes.items():
            if name in UNSENT:
                continue
            value = change.detach().double().numpy()
            if name == SIGNS:
                flipped = (self.signs.numpy() >= 0) != (self.signs.numpy() + value >= 0)
                integers = flipped.transpose(0, 2, 1).astype(np.int64)
            else:
                integers = np.floor(value + 0.5).astype(np.int64)
            flat = integers.reshape(-1)
            positions = np.flatnonzero(flat)
            if len(positions):
                found[name] = Delta(self.shifts[name], positions, flat[positions])
        return found


def _activated(x: Tensor) -> Tensor:
    return _Rounded.apply(torch.relu(x).clamp(max=ACTIVATION_LIMIT))


@contextmanager
def _one_thread() -> Any:
    """Sums of PyTorch depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
