# SPDX-License-Identifier: Apache-2.0
"""Fit a model of the family `local` to one picture, in changes that cost few bytes (`bbcodec.local.fitted`).

Three things are tried, in this order: how the picture is turned before it is coded; the numbers of the model
that cost a byte or two; and changes of its network, small integers of which most are 0. The network learns
by proximal Adam: every change pays ``PRICE`` bits for each unit it moves, so that those that do not pay stay
0; then those that are left learn on without it. What is kept is decided by coding with the candidates.

The work is counted in nominal seconds, so that the same options give the same bytes on a slow machine and on
a fast one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bbcodec.local import blocks
from bbcodec.local.fitted import SHARED, SIGNS, SWAP_CHANNELS, VIEWS, Delta, Fitted, turn
from bbcodec.local.model import LocalModel
from bbcodec.local.native import observe, plan
from bbcodec.modelfile import Model
from bbcodec.workers import Pixels, Progress

from .local import ACTIVATION_LIMIT, FEATURE_UNIT, SCALE_OFFSET, _Rounded, _Sign, bits, spreads

# Nominal speeds of one core of 2.5 GHz with AVX-512: pixels of three channels a second.
CODED = 100_000.0
LEARNED = 33_000.0

SEARCH = 0.4  # share of the time for turns and numbers
WHOLE = 1 << 18  # pixels up to which a picture is always taken whole
CROP = 384  # pixels of a side, of larger ones

BATCH = 1536  # pixels a step
RATE = 0.05  # units a step
PRICE = 4.0  # bits for a unit of change
SELECT = 0.6  # share of the steps that pay it
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
SPEEDS = {"out_w": 0.3, "out_b": 0.3}  # of learning, where not 1

Stop = Callable[[], bool]


class Interrupted(Exception):
    """The caller asked to stop."""


class Budget:
    """Nominal seconds, and the steps that a progress callback sees."""

    def __init__(self, seconds: float, progress: Progress | None, stop: Stop | None):
        self.total, self.spent, self._progress, self._stop = seconds, 0.0, progress, stop

    def spend(self, seconds: float) -> None:
        """Count work that was done; `Interrupted` if the caller does not want more."""
        self.spent += seconds
        if self._progress is not None:
            self._progress(
                min(round(10 * self.spent), round(10 * self.total)), max(1, round(10 * self.total))
            )
        if self._stop is not None and self._stop():
            raise Interrupted

    @property
    def left(self) -> float:
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
        self.size = sum(part.shape[0] * part.shape[1] for part in parts)
        self.factor = pixels / self.size
        self._known: dict[bytes, float] = {}

    def seconds(self) -> float:
        """Nominal time of one trial."""
        return self.size * self.parts[0].shape[2] / 3 / CODED

    def bits(self, fitted: Fitted) -> float:
        """Bits of the picture and of the fit, as far as the parts tell."""
        key = fitted.pack()
        if key not in self._known:
            model = LocalModel.from_model(fitted.apply(self.model))
            total = 0.0
            for part in self.parts:
                _, freq = plan([turn(part, fitted.view)], model)
                total += float((20 - np.log2(freq)).sum())
            self._known[key] = total * self.factor + 8 * len(key)
            self.budget.spend(self.seconds())
        return self._known[key]

    def best(self, candidates: Sequence[Fitted]) -> Fitted:
        """The candidate of fewest bits, the first of equals."""
        return min(candidates, key=self.bits)


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
    best = Fitted()
    try:
        with _one_thread():
            for best in _search(image, model, budget):
                pass
            best = _learn(image, model, best, budget, seed)
    except Interrupted:
        pass
    return best


def crops(image: Pixels, pixels: float) -> list[Pixels]:
    """The blocks of a picture, or crops of `CROP` squared spread over it, of about so many pixels in all."""
    height, width = image.shape[:2]
    if height * width <= max(pixels, WHOLE):
        return [np.ascontiguousarray(image[place]) for place in blocks.cut(height, width)]
    h, w = min(height, CROP), min(width, CROP)
    count = max(1, pixels / (h * w))
    down = max(1, min(height // h, round(math.sqrt(count * height / width * w / h))))
    across = max(1, min(width // w, round(count / down)))
    rows = [round((height - h) * (i + 0.5) / down) for i in range(down)]
    columns = [round((width - w) * (i + 0.5) / across) for i in range(across)]
    return [np.ascontiguousarray(image[y : y + h, x : x + w]) for y in rows for x in columns]


def _search(image: Pixels, model: Model, budget: Budget) -> Iterator[Fitted]:
    """Turns and numbers: better and better ones."""
    pixels, channels = image.shape[0] * image.shape[1], image.shape[2]
    allowed = SEARCH * budget.total * CODED * 3 / channels
    turns = [Fitted(view=v) for v in range(VIEWS if channels == 3 else SWAP_CHANNELS)]
    best = Fitted()
    trials = Trials(crops(image, allowed / (len(turns) + 8)), pixels, model, budget)
    config = model.config
    best = trials.best(turns)
    yield best

    def tried(key: str, values: Sequence[Any]) -> Fitted:
        options = [best]
        for value in values:
            changed = replace(best, config={**best.config, key: value})
            options += [changed] if _sound(changed, model) else []
        return trials.best(options)

    slow, fast = config["forget"]
    best = tried("forget", [[slow, f] for f in (fast - 2, fast + 2)])
    yield best
    slow, fast = best.config.get("forget", config["forget"])
    best = tried("forget", [[slow, fast + (2 if fast > config["forget"][1] else -1)], [slow + 1, fast]])
    yield best
    best = tried("rate_q", [config["rate_q"] * 5 // 8, config["rate_q"] * 3 // 2])
    yield best
    yield tried("ridge", [max(1, config["ridge"] // 4), config["ridge"] * 4])


def _sound(fitted: Fitted, model: Model) -> bool:
    from bbcodec.errors import FormatError

    try:
        fitted.apply(model)
    except (FormatError, ValueError):
        return False
    return True


def _learn(image: Pixels, model: Model, start: Fitted, budget: Budget, seed: int) -> Fitted:
    """Changes of the network."""
    pixels, channels = image.shape[0] * image.shape[1], image.shape[2]
    parts = crops(image, budget.left / 4 * CODED * 3 / channels)
    whole = sum(part.shape[0] * part.shape[1] for part in parts) == pixels
    judged = parts if whole or len(parts) < 4 else parts[::4]
    learned = parts if judged is parts else [part for i, part in enumerate(parts) if i % 4]
    trials = Trials(judged, pixels, model, budget)
    local = LocalModel.from_model(start.apply(model))
    seen = []
    for part in learned:
        seen.append(observe(turn(part, start.view), local))
        budget.spend(part.shape[0] * part.shape[1] * channels / 3 / CODED)
    samples = tuple(np.ascontiguousarray(np.concatenate(of).swapaxes(0, 1)) for of in zip(*seen, strict=True))
    time = budget.left - 3 * trials.seconds()
    steps = int(time * LEARNED * 3 / channels / BATCH)
    if steps < 20:
        return start
    head = FitHead(local)
    head.learn(samples, steps, pixels * channels, budget, seed)
    deltas = head.deltas(model)
    coarse = {name: delta for name, delta in deltas.items() if name not in ("out_w", SIGNS)}
    return trials.best([start, replace(start, deltas=deltas), replace(start, deltas=coarse)])


class FitHead:
    """The network of a model, with changes in units of their tensors' shifts, all 0 at first."""

    def __init__(self, model: LocalModel):
        self.model = model
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

    def forward(self, features: Tensor) -> Tensor:
        """Mixture parameters as of `bbcodec.models.local.Head.forward`."""
        c, channels = self.changes, len(features)
        first = self.first + (c[SHARED] + c["first_w"]) * (self.unit * 2.0 ** SHIFTS["first_w"])
        b = self.first_b + c["first_b"] * 2.0 ** (SHIFTS["first_b"] - 22)
        x = torch.baddbmm(b[:channels], features, first[:channels])
        n = x.shape[1]
        x = x.reshape(channels * n, -1)
        signs = _Sign.apply(self.signs + c[SIGNS])
        gains = self.gains + c["hidden_m"] * 2.0 ** (SHIFTS["hidden_m"] - 16)
        biases = self.hidden_b + c["hidden_b"] * 2.0 ** (SHIFTS["hidden_b"] - 20)
        for w, g, b in zip(signs, gains, biases, strict=True):
            x = x + (_activated(x) @ w) * g + b
        # The last layer sees features as well, in units of 1/16.
        last = torch.cat([_activated(x).reshape(channels, n, -1), features * (FEATURE_UNIT / 16)], 2)
        out_w = self.out_w + c["out_w"] * 2.0 ** (SHIFTS["out_w"] - 20)
        out_b = self.out_b + c["out_b"] * 2.0 ** (SHIFTS["out_b"] - 20)
        return torch.baddbmm(out_b[:channels], last, out_w[:channels])

    def learn(self, samples: Any, steps: int, count: int, budget: Budget, seed: int) -> None:
        """Take so many steps; `count` is the number of samples of the whole picture."""
        features, facts = samples
        pixels, spread = features.shape[1], spreads()
        rng = np.random.default_rng(seed)
        order, at = rng.permutation(pixels), 0
        batch = min(BATCH, pixels)
        m = {name: torch.zeros_like(change) for name, change in self.changes.items()}
        v = {name: torch.zeros_like(change) for name, change in self.changes.items()}
        kept: dict[str, Tensor] = {}
        for change in self.changes.values():
            change.requires_grad_(True)
        for step in range(steps):
            rate = RATE * min(1.0, (step + 1) / 30) * (0.5 * (1 + math.cos(math.pi * step / steps)) + 0.01)
            if step == int(SELECT * steps):
                kept = {name: (change.detach() != 0).float() for name, change in self.changes.items()}
            if at + batch > pixels:
                order, at = rng.permutation(pixels), 0
            pick = order[at : at + batch]
            at += batch
            f = torch.from_numpy(features[:, pick]).float() / FEATURE_UNIT
            loss = bits(self.forward(f), torch.from_numpy(facts[:, pick]), spread).mean()
            grads = torch.autograd.grad(loss, list(self.changes.values()))
            with torch.no_grad():
                for (name, change), g in zip(self.changes.items(), grads, strict=True):
                    m[name].mul_(0.9).add_(g, alpha=0.1)
                    v[name].mul_(0.99).addcmul_(g, g, value=0.01)
                    speed = rate * SPEEDS.get(name, 1.0)
                    pace = speed / ((v[name] / (1 - 0.99 ** (step + 1))).sqrt_() + 1e-9)
                    change.sub_(pace * m[name] / (1 - 0.9 ** (step + 1)))
                    if kept:
                        change.mul_(kept[name])
                    else:
                        change.copy_(change.sign() * torch.relu(change.abs() - pace * (PRICE / count)))
            budget.spend(batch * len(features) / 3 / LEARNED)

    def deltas(self, model: Model) -> dict[str, Delta]:
        """What is left of the changes, rounded; within what the tensors can hold."""
        found = {}
        for name, change in self.changes.items():
            value = change.detach().double().numpy()
            if name == SIGNS:
                flipped = (self.signs.numpy() >= 0) != (self.signs.numpy() + value >= 0)
                integers = flipped.transpose(0, 2, 1).astype(np.int64)
            else:
                integers = np.floor(value + 0.5).astype(np.int64)
            flat = integers.reshape(-1)
            positions = np.flatnonzero(flat)
            if len(positions):
                found[name] = Delta(SHIFTS[name], positions, flat[positions])
        return _within(found, model)


def _activated(x: Tensor) -> Tensor:
    return _Rounded.apply(torch.relu(x).clamp(max=ACTIVATION_LIMIT))


def _within(deltas: Mapping[str, Delta], model: Model) -> dict[str, Delta]:
    """Drop changes that would leave int8: of `SHARED` first, then of ``first_w``."""
    weights = model.tensors["first_w"].astype(np.int64)
    rows = weights.reshape(len(weights), -1)
    kept = dict(deltas)
    for name, target in ((SHARED, rows), ("first_w", rows.reshape(1, -1))):
        delta = kept.get(name)
        if delta is None:
            continue
        changed = target[:, delta.positions] + (delta.values << delta.shift)
        fits = ((changed >= -128) & (changed <= 127)).all(0)
        kept[name] = Delta(delta.shift, delta.positions[fits], delta.values[fits])
        target[:, kept[name].positions] += kept[name].values << delta.shift
    return {name: delta for name, delta in kept.items() if len(delta.positions)}


@contextmanager
def _one_thread() -> Any:
    """Sums of PyTorch depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
