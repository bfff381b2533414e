# SPDX-License-Identifier: Apache-2.0
"""Fit of a model of the family `local` to one picture: changes of the model that cost few bytes.

It tries three things, in this order: turns of the picture before coding; numbers of the model, which cost a
byte or two; and changes of its network, small integers of which most are 0 (`fit_head`). Coding with each
candidate decides what is kept. `bbcodec.families.local.fitted` writes the result.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from bbcodec.errors import FormatError
from bbcodec.families.blocks import BLOCK
from bbcodec.families.local.fitted import Fitted
from bbcodec.families.local.model import LocalModel
from bbcodec.families.local.native import observe, plan
from bbcodec.families.stats import Pixels
from bbcodec.jobs import Progress
from bbcodec.modelfile import Model
from bbcodec.picture.raster import cut
from bbcodec.picture.turn import SWAP_CHANNELS, turn

from .budget import CODED_PER_SECOND, LEARNED_PER_SECOND, Budget, Stop, coding_seconds
from .fit_head import BATCH, FitHead

LARGE_PIXELS = 1 << 20  # a picture with more pixels is large
SEARCH_SHARE = 0.9  # share of the time for turns and numbers
SEARCH_SHARE_LARGE = 0.5  # the same for large pictures
STAGE_SHARES = (0.35, 0.25, 0.4)  # shares of the search for all turns, for the best turns and for the numbers
FINALISTS = 3  # turns that are tried on more of the picture
NUMBER_TRIALS = 12  # trials of numbers that the time is divided by
CROP_SIDE = 320  # side of a crop in pixels, where a picture is not tried whole
MIN_TRIAL_PIXELS = 1 << 16
MIN_LEARNABLE_PIXELS = 300_000  # in smaller pictures, changes of the network do not pay
MIN_STEPS = 50  # with fewer steps of learning, changes of the network do not pay


class Trials:
    """Parts of a picture that candidates are coded on: the whole picture, or crops.

    Parameters
    ----------
    parts : uint8 [h, w, C] each.
    pixels : pixels of the whole picture.
    model : model that candidates change.
    budget : counts the work.
    """

    def __init__(self, parts: Sequence[Pixels], pixels: int, model: Model, budget: Budget):
        self.parts, self.model, self.budget = parts, model, budget
        size = sum(part.shape[0] * part.shape[1] for part in parts)
        self.factor = pixels / size
        self.seconds = coding_seconds(size, parts[0].shape[2])  # nominal time of one trial
        self._known: dict[bytes, float] = {}

    def bits(self, fitted: Fitted) -> float:
        """Return the estimated bits of picture and fit; infinite if the fit gives no valid model."""
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
        """Return the candidates that there was time for, at least one, sorted by their bits."""
        tried: list[Fitted] = []
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
    """Return the best fit of a model to a picture.

    Parameters
    ----------
    image : uint8 [H, W, C], C of 1 or 3.
    model : model of the family `local`.
    seconds : nominal seconds of one core. The result depends only on them, not on the real time.
    seed : seed of the order in which pixels are learned from.
    progress : called with (work done, work in all).
    stop : asked at intervals. Once it returns true, the best fit so far is returned.

    Returns
    -------
    Fitted
        It changes nothing if no change pays.
    """
    budget = Budget(seconds, progress, stop)
    with _one_thread():
        best = _numbers(image, model, _turned(image, model, budget), budget)
        return best if budget.stopped else _learn(image, model, best, budget, seed)


def crops(image: Pixels, pixels: float) -> list[Pixels]:
    """Return the blocks of a picture if it has at most about `pixels` pixels, else crops spread over it."""
    height, width = image.shape[:2]
    pixels = max(pixels, MIN_TRIAL_PIXELS)
    if height * width <= 1.5 * pixels:
        return [np.ascontiguousarray(image[place]) for place in cut(height, width, BLOCK)]
    h, w = min(height, CROP_SIDE), min(width, CROP_SIDE)
    count = pixels / (h * w)
    down = max(1, min(height // h, round(math.sqrt(count * height * w / (width * h)))))
    across = max(1, min(width // w, round(count / down)))
    rows = [int((height - h) * (i + 0.5) / down) for i in range(down)]
    columns = [int((width - w) * (i + 0.5) / across) for i in range(across)]
    return [np.ascontiguousarray(image[y : y + h, x : x + w]) for y in rows for x in columns]


def _search_seconds(image: Pixels, budget: Budget) -> float:
    """Return the nominal time for turns and numbers."""
    is_large = image.shape[0] * image.shape[1] > LARGE_PIXELS
    return budget.total * (SEARCH_SHARE_LARGE if is_large else SEARCH_SHARE)


def _trials(image: Pixels, model: Model, budget: Budget, seconds: float, count: int) -> Trials:
    """Return trials on crops of a size that lets `count` of them take about `seconds`."""
    parts = crops(image, seconds / count * CODED_PER_SECOND * 3 / image.shape[2])
    return Trials(parts, image.shape[0] * image.shape[1], model, budget)


def _turned(image: Pixels, model: Model, budget: Budget) -> Fitted:
    """Return the best turn: try all on a small part of the picture, then the best of them on more."""
    first, second, _ = (share * _search_seconds(image, budget) for share in STAGE_SHARES)
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
    """Return the best numbers, by steps from those of the model while there is time."""
    seconds = STAGE_SHARES[2] * _search_seconds(image, budget)
    trials = _trials(image, model, budget, seconds, NUMBER_TRIALS)
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


def _paced(predictor: int, change: int, max_shift: int) -> Callable[[list[int]], list[int] | None]:
    """Return a step that changes the shift of forgetting of one predictor, within 1 to `max_shift`."""

    def step(shifts: list[int]) -> list[int] | None:
        changed = list(shifts)
        changed[predictor] += change
        return changed if 1 <= changed[predictor] <= max_shift else None

    return step


# Numbers of the model, and a step of each. A step returns None where the number cannot change further.
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
    """Return the fit with changes of the network, if these pay."""
    pixels, channels = image.shape[0] * image.shape[1], image.shape[2]
    if pixels < MIN_LEARNABLE_PIXELS:
        return start
    parts = crops(image, budget.left / 4 * CODED_PER_SECOND * 3 / channels)
    is_whole = sum(part.shape[0] * part.shape[1] for part in parts) == pixels
    is_held_out = not is_whole and len(parts) >= 4  # every fourth part is only for the trials
    trials = Trials(parts[::4] if is_held_out else parts, pixels, model, budget)
    learned = [part for i, part in enumerate(parts) if i % 4] if is_held_out else parts
    size = sum(part.shape[0] * part.shape[1] for part in learned)
    seconds = budget.left - 2 * trials.seconds - coding_seconds(size, channels)
    steps = int(seconds * LEARNED_PER_SECOND * 3 / channels / BATCH)
    if steps < MIN_STEPS:
        return start
    local = LocalModel.from_model(start.apply(model))
    seen = []
    for part in learned:
        seen.append(observe(turn(part, start.view), local))
        budget.spend(coding_seconds(part.shape[0] * part.shape[1], channels))
    features, facts = (np.concatenate(of).swapaxes(0, 1) for of in zip(*seen, strict=True))
    head = FitHead(local)
    head.learn(features, facts, steps, pixels * channels, budget, seed)
    changed = replace(start, deltas=head.deltas())
    return min(start, changed, key=trials.bits)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread of PyTorch, because its sums depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
