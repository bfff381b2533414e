# SPDX-License-Identifier: Apache-2.0
"""Custom models: a released model of the family `local`, changed to suit pictures (`bbcodec train`).

Three parts are changed, in this order: the state that every least-squares fit starts from (``prior``) and
the ridge, which help small pictures most; the network, with a map of positions; the rate of learning while
coding.
Changes are multiples of coarse units, so that they take few bytes as a difference to the released model
(`bbcodec.modelfile.delta`). Learned changes pay for their bytes by proximal Adam (`fit_head.ProximalAdam`):
the more pictures there are, the more it changes. Coding decides which changes are kept: `Trial.bytes_of`
counts the bytes of message and model.
"""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bbcodec import modelfile
from bbcodec.engine.graph import Graph
from bbcodec.errors import ModelError, OptionError
from bbcodec.families.local.groups import groups
from bbcodec.families.local.model import MAX_BIAS, MAX_OUT, MAX_POSITION, LocalModel
from bbcodec.families.local.native import observe, plan
from bbcodec.modelfile import Model, delta

from ..data import Picture
from .export import export
from .fit import STEPS
from .head import Head, HeadConfig
from .own_head import SHIFTS, OwnHead, Schedule, Seen, join, look
from .prior import prior
from .train import Schedule as FreshSchedule
from .train import train_head

TRIAL_PIXELS = 160_000  # pixels that choices are tried on
MAX_SIDE = 1024  # pixels; of larger pictures, only the middle is used
MAX_LEARNED_PIXELS = 1_500_000  # pixels that are learned from, of all pictures together
MIN_PICTURE_PIXELS = 64  # pixels that are kept of each picture, however many pictures there are
PRIOR_PIXELS = (4.0, 16.0)  # tried numbers of pixels that the mean of the data counts for
PRIOR_SHIFTS = (8, 11)  # tried units of the prior, log2
RIDGES = (16, 64)  # tried ridges
RATE_FACTORS = (0.25, 0.35, 0.5, 0.7, 1.4, 2.0)  # tried rates of learning while coding, over the parent's
FORGETTING_STEPS = [(key, step) for key, step in STEPS if key in ("along", "down")]
HELD_OUT_SHARE = 8  # one of this number of pictures is held out
LIMITS = {"first_w": 127, "out_w": MAX_OUT, "positions": MAX_POSITION}  # largest absolute integers
VALIDATIONS = 24  # validations in the whole time
PATIENCE = 8  # learning ends after this number of validations without a better one
MIN_INTERVAL_MINUTES = 0.02  # time between validations of a fresh network
FRESH_STEPS_PER_MINUTE = 2000  # estimate that sets the time between validations of a fresh network

Say = Callable[[str], None]
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Plan:
    """Budget and choices of a training.

    Attributes
    ----------
    minutes, steps : budget; the first to end counts.
    seed : seed of the order of pixels, and of a fresh network.
    what : ``all``, or ``head`` to change only the last layer, biases and gains.
    fresh : start with random weights, in the shape of the parent.
    threads : threads of PyTorch; sums depend on them in the last bits.
    """

    minutes: float = math.inf
    steps: float = math.inf
    seed: int = 0
    what: str = "all"
    fresh: bool = False
    threads: int = 1


@dataclass
class Draft:
    """Model that is being made.

    Attributes
    ----------
    config, tensors : contents of its file.
    parent : model that it changes.
    """

    config: dict[str, Any]
    tensors: dict[str, NDArray[Any]]
    parent: Model

    def file(self, notes: Mapping[str, Any] | None = None) -> bytes:
        """Return the model file."""
        return modelfile.dump("local", self.config, Graph({}, {}), self.tensors, notes=notes)

    def model(self) -> LocalModel:
        """Return the model that codes."""
        return LocalModel.from_model(modelfile.load(self.file()))

    def given(self, config: Mapping[str, Any], **tensors: NDArray[Any]) -> Draft:
        """Return a copy with other numbers and tensors."""
        return replace(self, config={**self.config, **config}, tensors={**self.tensors, **tensors})


@dataclass
class Trial:
    """Some of the pictures, to try drafts on.

    Attributes
    ----------
    parts : groups of pictures, as batches have them.
    factor : pixels of all pictures, divided by the pixels of these.
    """

    parts: list[list[Picture]]
    factor: float
    _known: dict[bytes, float] = field(default_factory=dict)

    @classmethod
    def of(cls, pictures: Sequence[Picture], pixels: int = TRIAL_PIXELS) -> Trial:
        """Return a trial on every n-th picture, with about `pixels` pixels in all."""
        total = sum(p.shape[0] * p.shape[1] for p in pictures)
        some = pictures[:: max(1, round(total / pixels))]
        parts = [list(some[part]) for part in groups([p.shape[:2] for p in some])]
        return cls(parts, total / sum(p.shape[0] * p.shape[1] for p in some))

    def bytes_of(self, draft: Draft) -> float:
        """Return the estimated bytes of all pictures and of the changes; infinite for an invalid model."""
        data = draft.file()
        if data not in self._known:
            try:
                local = LocalModel.from_model(modelfile.load(data))
            except ModelError:
                return math.inf
            bits = 0.0
            for part in self.parts:
                _, freq = plan(part, local)
                bits += float((20 - np.log2(freq)).sum())
            self._known[data] = bits / 8 * self.factor + len(delta.make(data, draft.parent))
        return self._known[data]

    def best(self, drafts: Sequence[Draft]) -> Draft:
        """Return the draft of fewest bytes."""
        return min(drafts, key=self.bytes_of)


def check(parent: Model) -> None:
    """Raise OptionError unless custom models can be made from this model."""
    if parent.family != "local":
        raise OptionError(
            f"a model of the family {parent.family!r} cannot be changed; use one of the family 'local'"
        )
    if parent.config["latents"]:
        raise OptionError("a model with latents (such as thumb) cannot be changed; use photo or fast")


def train(
    pictures: Sequence[Picture],
    parent: Model,
    how: Plan,
    *,
    say: Say = print,
    stopped: Stop = lambda: False,
) -> bytes:
    """Return a model file made for pictures.

    Parameters
    ----------
    pictures : uint8 [h, w, 3] each.
    parent : model of the family `local`, without latents.
    how : budget and choices.
    say : called with lines of text about the progress.
    stopped : asked at intervals. Once it returns true, the best model so far is returned.

    Returns
    -------
    bytes
        The model file. If no change pays, it codes as the parent does.

    Raises
    ------
    OptionError
        There are no pictures, or the parent is no model of this kind.
    """
    check(parent)
    if not pictures:
        raise OptionError("no pictures to train on")
    begun = time.monotonic()
    torch.set_num_threads(how.threads)
    torch.manual_seed(how.seed)
    pictures = [_middle(p) for p in pictures]
    trial = Trial.of(pictures)
    draft = Draft(dict(parent.config), dict(parent.tensors), parent)
    draft = _start(pictures, draft, trial, say, stopped)
    seen, held_out = _split(pictures, draft.model(), how.seed)
    budget = replace(how, minutes=how.minutes - (time.monotonic() - begun) / 60)
    if how.fresh:
        learned, notes = _fresh(draft, seen, held_out, budget, say, stopped)
    else:
        count = 3 * sum(p.shape[0] * p.shape[1] for p in pictures)
        learned, notes = _changed(draft, seen, held_out, count, budget, say, stopped)
    best = learned if how.fresh else trial.best([draft, learned])
    rates = [best.given({"rate_q": int(best.config["rate_q"] * r)}) for r in RATE_FACTORS if not stopped()]
    best = trial.best([best, *rates])
    return best.file({"parent": parent.id, **notes})


def _middle(picture: Picture) -> Picture:
    """Return the middle of a picture, at most `MAX_SIDE` pixels wide and high."""
    h, w = picture.shape[:2]
    top, left = max(0, h - MAX_SIDE) // 2, max(0, w - MAX_SIDE) // 2
    return np.ascontiguousarray(picture[top : top + MAX_SIDE, left : left + MAX_SIDE])


def _start(pictures: Sequence[Picture], draft: Draft, trial: Trial, say: Say, stopped: Stop) -> Draft:
    """Choose the start of the least-squares fits, the mean product vector of these pictures or none."""
    local = draft.model()
    some = [p for part in trial.parts for p in part]
    predictions = [observe(p, local)[1][..., 0].astype(np.int64) for p in some]
    config = HeadConfig(own=tuple(draft.config["own"]), earlier=tuple(draft.config["earlier"]))
    mean = prior(some, predictions, config, 1 << 8).astype(np.float64) / (1 << 8)
    before = trial.bytes_of(draft)
    best = draft
    for pixels in PRIOR_PIXELS:
        for shift in PRIOR_SHIFTS:
            for ridge in RIDGES:
                if stopped():
                    return best
                rounded = (np.floor(mean * pixels / (1 << shift) + 0.5) * (1 << shift)).astype(np.int32)
                best = trial.best([best, draft.given({"ridge": ridge}, prior=rounded)])
    for key, step in FORGETTING_STEPS:
        while not stopped():
            value = step(best.config[key])
            changed = best.given({key: value}) if value is not None else best
            if trial.best([best, changed]) is best:
                break
            best = changed
    gain = 1 - trial.bytes_of(best) / before
    say(f"start of the least-squares fits: {100 * gain:.2f} % smaller")
    return best


def _split(pictures: Sequence[Picture], local: LocalModel, seed: int) -> tuple[Seen, Seen]:
    """Return pixels to learn from and pixels held out: every eighth picture, or an eighth of few pictures."""
    total = sum(p.shape[0] * p.shape[1] for p in pictures)
    pictures = pictures[:: max(1, total // (2 * MAX_LEARNED_PIXELS))]  # observing more would only take time
    share = max(MIN_PICTURE_PIXELS, MAX_LEARNED_PIXELS // len(pictures))
    looks = [look(p, local, share, [seed, i]) for i, p in enumerate(pictures)]
    if len(looks) < HELD_OUT_SHARE:
        pairs = [one.split(HELD_OUT_SHARE) for one in looks]
        return join([a for a, _ in pairs]), join([b for _, b in pairs])
    last = HELD_OUT_SHARE - 1
    held_out = [one for i, one in enumerate(looks) if i % HELD_OUT_SHARE == last]
    return join([one for i, one in enumerate(looks) if i % HELD_OUT_SHARE != last]), join(held_out)


def _changed(
    draft: Draft, seen: Seen, held_out: Seen, count: int, how: Plan, say: Say, stopped: Stop
) -> tuple[Draft, dict[str, Any]]:
    """Return the draft with the learned changes of its network, and notes about the learning."""
    head = OwnHead(draft.model(), how.what)
    schedule = Schedule(count, how.minutes, how.steps, how.seed, VALIDATIONS, PATIENCE)
    curve = head.train(seen, held_out, schedule, say, stopped)
    tensors: dict[str, NDArray[Any]] = {}
    for name, change in head.rounded().items():
        if name == "hidden_w":
            tensors[name] = draft.tensors[name] ^ change
            continue
        base = draft.tensors.get(name)
        base = np.zeros(change.shape, np.int32) if base is None else base
        limit = LIMITS.get(name, MAX_BIAS)
        moved = base.astype(np.int64) + (change << SHIFTS[name])
        tensors[name] = moved.clip(-limit, limit).astype(base.dtype)
        if name == "positions" and not tensors[name].any():
            del tensors[name]
    return draft.given({}, **tensors), {
        "steps": curve[-1][0],
        "valid": [curve[0][1], min(value for _, value in curve)],
    }


def _fresh(
    draft: Draft, seen: Seen, held_out: Seen, how: Plan, say: Say, stopped: Stop
) -> tuple[Draft, dict[str, Any]]:
    """Return a draft with a new network of the same shape, and notes about the learning."""
    c = draft.config
    shape: dict[str, Any] = {key: tuple(c[key]) for key in ("own", "earlier", "along", "down")}
    numbers = {key: c[key] for key in ("hidden", "layers", "components", "ridge")}
    head = Head(HeadConfig(**numbers, **shape))
    best: dict[str, Any] = {"cost": math.inf, "age": 0}

    def save(state: dict[str, Any]) -> None:
        minutes, steps, cost = state["curve"][-1]
        say(f"{minutes:6.2f} min  step {steps:6d}  validation {cost:.4f} bits/dim")
        best["age"] += 1
        if cost < best["cost"]:
            weights = {name: value.clone() for name, value in head.state_dict().items()}
            best.update(cost=cost, age=0, steps=steps, weights=weights)

    minutes = how.minutes if math.isfinite(how.minutes) else how.steps / FRESH_STEPS_PER_MINUTE
    interval = max(minutes / VALIDATIONS, MIN_INTERVAL_MINUTES)
    with contextlib.redirect_stdout(_Nowhere()):
        train_head(
            head,
            (seen.features, seen.facts),
            (held_out.features, held_out.facts),
            FreshSchedule(minutes=how.minutes, steps=how.steps, seed=how.seed, validate_every=interval),
            save=save,
            stopped=lambda: stopped() or best["age"] >= PATIENCE,
        )
    head.load_state_dict(best["weights"])
    model = modelfile.load(export(head, {}, c["rate_q"] / (1 << 20)))
    tensors = dict(model.tensors)
    tensors |= {key: draft.tensors[key] for key in ("prior",) if key in draft.tensors}
    return replace(draft, tensors=tensors), {"steps": best["steps"], "valid": [best["cost"]]}


class _Nowhere:
    """Text stream that discards its input."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()
