# SPDX-License-Identifier: Apache-2.0
"""A model of one's own: a released one of the family `local`, changed to suit pictures (`bbcodec train`).

Three things are changed, in this order: the state that every fit starts from (``prior``) and the ridge, which
small pictures gain most by; the network, and a map of positions beside it; the rate of learning while coding.
All changes are counted in units coarse enough that they take few bytes as a difference to the released model
(`bbcodec.modelfile.delta`), and what is learned pays for its bytes by proximal Adam (`fit.Proximal`):
the more pictures, the more it may change. What the pictures are coded with is not decided here, but measured
by coding: `bytes_of` counts message and model alike.
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
from .own_head import SHIFTS, OwnHead, Seen, join, look
from .prior import prior
from .train import fit

TRIAL = 160_000  # pixels of the pictures that a choice is tried on
SIDE = 1024  # of a picture, of which more than the middle is not looked at
KEPT = 1_500_000  # pixels that are learned from, of all pictures together
PRIORS = (4.0, 16.0)  # pixels that the mean of the data counts for
PRIOR_SHIFTS = (8, 11)  # its unit
RIDGES = (16, 64)
RATES = (0.25, 0.35, 0.5, 0.7, 1.4, 2.0)  # of learning while coding, to that of the parent
PACES = [(key, step) for key, step in STEPS if key in ("along", "down")]
HELD = 8  # of so many pictures one is held out
VALIDATIONS = 24  # in the whole time
PATIENCE = 8  # validations without a better one
LIMITS = {"first_w": 127, "out_w": MAX_OUT, "positions": MAX_POSITION}

Say = Callable[[str], None]
Stop = Callable[[], bool]


@dataclass(frozen=True)
class Plan:
    """How to train.

    Parameters
    ----------
    minutes, steps : the budget; whichever ends first.
    seed : of the order of pixels, and of a fresh network.
    what : ``all``, or ``head`` for the last layer, biases and gains alone.
    fresh : begin with random weights, in the form of the parent.
    threads : of PyTorch; sums depend on them in the last bits.
    """

    minutes: float = math.inf
    steps: float = math.inf
    seed: int = 0
    what: str = "all"
    fresh: bool = False
    threads: int = 1


@dataclass
class Draft:
    """A model that is being made.

    Attributes
    ----------
    config, tensors : as in its file.
    parent : whose changes it is.
    """

    config: dict[str, Any]
    tensors: dict[str, NDArray[Any]]
    parent: Model

    def file(self, notes: Mapping[str, Any] | None = None) -> bytes:
        """Its file."""
        return modelfile.dump("local", self.config, Graph({}, {}), self.tensors, notes=notes)

    def model(self) -> LocalModel:
        """What codes with it."""
        return LocalModel.from_model(modelfile.load(self.file()))

    def given(self, config: Mapping[str, Any], **tensors: NDArray[Any]) -> Draft:
        """The same with other numbers and tensors."""
        return replace(self, config={**self.config, **config}, tensors={**self.tensors, **tensors})


@dataclass
class Trial:
    """Some of the pictures, to try drafts on.

    Attributes
    ----------
    parts : groups of pictures, as batches have them.
    factor : pixels of all pictures to those of these.
    """

    parts: list[list[Picture]]
    factor: float
    _known: dict[bytes, float] = field(default_factory=dict)

    @classmethod
    def of(cls, pictures: Sequence[Picture], pixels: int = TRIAL) -> Trial:
        """Every n-th of them, so that they have about so many pixels."""
        total = sum(p.shape[0] * p.shape[1] for p in pictures)
        some = pictures[:: max(1, round(total / pixels))]
        parts = [list(some[part]) for part in groups([p.shape[:2] for p in some])]
        return cls(parts, total / sum(p.shape[0] * p.shape[1] for p in some))

    def bytes_of(self, draft: Draft) -> float:
        """Bytes of all pictures and of the changes, as far as these tell; infinite for what is no model."""
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
        """The one of fewest bytes."""
        return min(drafts, key=self.bytes_of)


def check(parent: Model) -> None:
    """Raise OptionError unless models can be made from this one."""
    if parent.family != "local":
        raise OptionError(f"a model of the family {parent.family!r} cannot be trained on, only 'local'")
    if parent.config["latents"]:
        raise OptionError("a model with latents (such as thumb) cannot be trained on; take photo or fast")


def train(
    pictures: Sequence[Picture],
    parent: Model,
    how: Plan,
    *,
    say: Say = print,
    stopped: Stop = lambda: False,
) -> bytes:
    """Make a model for pictures.

    Parameters
    ----------
    pictures : uint8 [h, w, 3] each.
    parent : of the family `local`, without latents.
    how : budget and choices.
    say : told how it goes, line by line.
    stopped : asked now and then; once it says true, what was found so far is returned.

    Returns
    -------
    bytes
        A model file. Where nothing was found that pays, it codes as the parent does.

    Raises
    ------
    OptionError
        There are no pictures, or the parent does not do.
    """
    check(parent)
    if not pictures:
        raise OptionError("there are no pictures to train on")
    begun = time.monotonic()
    torch.set_num_threads(how.threads)
    torch.manual_seed(how.seed)
    pictures = [_middle(p) for p in pictures]
    trial = Trial.of(pictures)
    draft = Draft(dict(parent.config), dict(parent.tensors), parent)
    draft = _start(pictures, draft, trial, say, stopped)
    seen, held = _split(pictures, draft.model(), how.seed)
    budget = replace(how, minutes=how.minutes - (time.monotonic() - begun) / 60)
    if how.fresh:
        learned, notes = _fresh(draft, seen, held, budget, say, stopped)
    else:
        count = 3 * sum(p.shape[0] * p.shape[1] for p in pictures)
        learned, notes = _changed(draft, seen, held, count, budget, say, stopped)
    best = learned if how.fresh else trial.best([draft, learned])
    rates = [best.given({"rate_q": int(best.config["rate_q"] * r)}) for r in RATES if not stopped()]
    best = trial.best([best, *rates])
    return best.file({"parent": parent.id, **notes})


def _middle(picture: Picture) -> Picture:
    """The middle of a picture that is too large to be looked at whole."""
    h, w = picture.shape[:2]
    top, left = max(0, h - SIDE) // 2, max(0, w - SIDE) // 2
    return np.ascontiguousarray(picture[top : top + SIDE, left : left + SIDE])


def _start(pictures: Sequence[Picture], draft: Draft, trial: Trial, say: Say, stopped: Stop) -> Draft:
    """Choose what the fits start from: the mean product vector of these pictures, or nothing."""
    local = draft.model()
    some = [p for part in trial.parts for p in part]
    predictions = [observe(p, local)[1][..., 0].astype(np.int64) for p in some]
    keys = ("own", "earlier")
    config = HeadConfig(**{key: tuple(draft.config[key]) for key in keys})
    mean = prior(some, predictions, config, 1 << 8).astype(np.float64) / (1 << 8)
    before = trial.bytes_of(draft)
    best = draft
    for pixels in PRIORS:
        for shift in PRIOR_SHIFTS:
            for ridge in RIDGES:
                if stopped():
                    return best
                rounded = (np.floor(mean * pixels / (1 << shift) + 0.5) * (1 << shift)).astype(np.int32)
                best = trial.best([best, draft.given({"ridge": ridge}, prior=rounded)])
    for key, step in PACES:  # how fast the fits forget
        while not stopped():
            value = step(best.config[key])
            changed = best.given({key: value}) if value is not None else best
            if trial.best([best, changed]) is best:
                break
            best = changed
    gain = 1 - trial.bytes_of(best) / before
    say(f"what the fits start from: {100 * gain:.2f} % smaller")
    return best


def _split(pictures: Sequence[Picture], local: LocalModel, seed: int) -> tuple[Seen, Seen]:
    """What the network sees of the pictures, and of those held out: every eighth, or some pixels of few."""
    total = sum(p.shape[0] * p.shape[1] for p in pictures)
    pictures = pictures[:: max(1, total // (2 * KEPT))]  # others would only be looked at
    share = max(64, KEPT // len(pictures))
    looks = [look(p, local, share, [seed, i]) for i, p in enumerate(pictures)]
    if len(looks) < HELD:
        pairs = [one.split(HELD) for one in looks]
        return join([a for a, _ in pairs]), join([b for _, b in pairs])
    held = [one for i, one in enumerate(looks) if i % HELD == HELD - 1]
    return join([one for i, one in enumerate(looks) if i % HELD != HELD - 1]), join(held)


def _changed(
    draft: Draft, seen: Seen, held: Seen, count: int, how: Plan, say: Say, stopped: Stop
) -> tuple[Draft, dict[str, Any]]:
    """The draft with what its network learned, and notes about it."""
    head = OwnHead(draft.model(), how.what)
    curve = head.train(
        seen, held, count, how.minutes, how.steps, how.seed, say, stopped, VALIDATIONS, PATIENCE
    )
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
    draft: Draft, seen: Seen, held: Seen, how: Plan, say: Say, stopped: Stop
) -> tuple[Draft, dict[str, Any]]:
    """A new network in the draft's form, and notes about it."""
    c = draft.config
    shape = {key: tuple(c[key]) for key in ("own", "earlier", "along", "down")}
    numbers = {key: c[key] for key in ("hidden", "layers", "components", "ridge")}
    head = Head(HeadConfig(**numbers, **shape))
    best: dict[str, Any] = {"cost": math.inf, "since": 0}

    def save(state: dict[str, Any]) -> None:
        minutes, steps, cost = state["curve"][-1]
        say(f"{minutes:6.2f} min  step {steps:6d}  validation {cost:.4f} bits/dim")
        best["since"] += 1
        if cost < best["cost"]:
            weights = {name: value.clone() for name, value in head.state_dict().items()}
            best.update(cost=cost, since=0, steps=steps, weights=weights)

    minutes = how.minutes if math.isfinite(how.minutes) else how.steps / 2000
    with contextlib.redirect_stdout(_Nowhere()):
        fit(
            head,
            (seen.features, seen.facts),
            (held.features, held.facts),
            minutes=how.minutes,
            steps=how.steps,
            seed=how.seed,
            validate_every=max(minutes / VALIDATIONS, 0.02),
            save=save,
            stopped=lambda: stopped() or best["since"] >= PATIENCE,
        )
    head.load_state_dict(best["weights"])
    model = modelfile.load(export(head, {}, c["rate_q"] / (1 << 20)))
    tensors = dict(model.tensors)
    tensors |= {key: draft.tensors[key] for key in ("prior",) if key in draft.tensors}
    return replace(draft, tensors=tensors), {"steps": best["steps"], "valid": [best["cost"]]}


class _Nowhere:
    """A stream that keeps nothing."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()
