# SPDX-License-Identifier: Apache-2.0
"""The trained rows of `ablation.py`: heads of the family `local` that differ in one thing, trained equally.

Every head starts from the same seed and is trained on the same pixels in the same order. Heads with other
least squares get the predictions of their own predictors for these pixels. Nothing is coded here.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from bbcodec.models.local.export import load_checkpoint
from bbcodec.models.local.head import Head, HeadConfig
from bbcodec.models.local.train import Samples, Schedule, cached, pictures, samples, train_head
from torch import Tensor

from bbcodec.families.local.model import MAX_RIDGE

_FIRST_EARLIER_FEATURE = 27  # from here on, features depend on channels coded before
VALID_PIXELS = 2048  # validation pixels of each picture


class OwnChannel(Head):
    """A head without the features of the channels coded before."""

    def trunk(self, features: Tensor, side: Tensor | None = None) -> Tensor:
        kept = torch.zeros_like(features)
        kept[..., :_FIRST_EARLIER_FEATURE] = features[..., :_FIRST_EARLIER_FEATURE]
        return super().trunk(kept, side)


@dataclass(frozen=True)
class Variant:
    """The configuration of one row; `head` is the class of its head."""

    name: str
    title: str
    config: HeadConfig
    head: type[Head] = Head

    @property
    def exported(self) -> bool:
        """Return whether the head has an integer form, so that it can code."""
        return self.config.precision == "1/32" and self.config.bases == 1 and self.head is Head


@dataclass(frozen=True)
class Course:
    """The training of all heads.

    Attributes
    ----------
    minutes, steps : budget of the first head; the others take the same number of steps.
    root, train, valid : folder, and sources of pictures below it, see `bbcodec.models.data.load`.
    limit : number of pictures used of each source, or None for all.
    pixels, batch, lr, seed : pixels of each picture, pixels per step, largest learning rate, random seed.
    """

    minutes: float | None
    steps: int | None
    root: Path
    train: tuple[str, ...]
    valid: tuple[str, ...]
    limit: int | None = None
    pixels: int = 4096
    batch: int = 1536
    lr: float = 3e-3
    seed: int = 0


@dataclass(frozen=True)
class Trained:
    """A trained head; `rate` is its cost on the validation pixels in bits/dim."""

    variant: Variant
    head: Head
    rate: float
    steps: int
    seconds: float

    @property
    def parameters(self) -> int:
        """Return the number of real parameters."""
        return sum(p.numel() for p in self.head.parameters())

    @property
    def hidden_bytes(self) -> int:
        """Return the bytes of the hidden layers' weights without gains: 1 or 32 bits each."""
        return self.head.v.numel() * (32 if self.variant.config.precision == "32/32" else 1) // 8


def variants() -> list[Variant]:
    """Return the rows. The others are compared with the first; those with other least squares come last."""
    return [
        Variant("full", "1-bit weights, 8-bit activations (`1/32`)", HeadConfig()),
        Variant("real", "real weights and activations (`32/32`)", HeadConfig(precision="32/32")),
        Variant("binary", "1-bit weights and activations (`1/1`)", HeadConfig(precision="1/1")),
        Variant("bases", "`1/32`, two weight bases", HeadConfig(bases=2)),
        Variant("shallow", "`1/32`, no hidden layers", HeadConfig(layers=0)),
        Variant("deep", "`1/32`, three hidden layers", HeadConfig(layers=3)),
        Variant("narrow", "`1/32`, half the width", HeadConfig(hidden=64)),
        Variant("own", "`1/32`, features of the own channel alone", HeadConfig(), OwnChannel),
        Variant("neighbours", "`1/32`, no least squares", HeadConfig(ridge=MAX_RIDGE)),
    ]


def train_all(
    wanted: Sequence[Variant], course: Course, cache: Path | None, threads: int = 1
) -> Iterator[Trained]:
    """Train the heads in turn, or load those that an earlier run stored in the folder `cache`."""

    @lru_cache(maxsize=1)  # samples are large: keep those of one kind of least squares only
    def samples_of(ridge: int) -> tuple[Samples, Samples]:
        return (
            _samples(course.train, course.pixels, ridge, course, cache, threads),
            _samples(course.valid, VALID_PIXELS, ridge, course, cache, threads),
        )

    torch.set_num_threads(threads)
    minutes, steps = course.minutes, course.steps
    for variant in wanted:
        torch.manual_seed(course.seed)
        head = variant.head(variant.config)
        budget = {name: n for name, n in (("minutes", minutes), ("steps", steps)) if n is not None}
        conditions = asdict(course) | {"minutes": None, "steps": None, "root": str(course.root)} | budget
        key = _digest(variant.config.to_dict(), variant.head.__name__, conditions)
        file = None if cache is None else cache / f"{variant.name}-{key}.pt"
        if file is not None and file.is_file():
            stored, state = load_checkpoint(file)
            head.load_state_dict(stored.state_dict())
        else:
            print(f"training: {variant.title}", file=sys.stderr, flush=True)
            with redirect_stdout(sys.stderr):  # stdout is reserved for the table
                schedule = Schedule(lr=course.lr, batch=course.batch, seed=course.seed, **budget)
                state = train_head(head, *samples_of(variant.config.ridge), schedule)
            if file is not None:
                _store(file, head, state)
        head.eval()
        yield Trained(variant, head, state["curve"][-1][2], state["steps"], state["seconds"])
        minutes, steps = None, int(state["steps"])


def _samples(
    sources: tuple[str, ...], pixels: int, ridge: int, course: Course, cache: Path | None, threads: int
) -> Samples:
    """Return samples of the first pictures of the sources, predicted by least squares with this ridge."""
    config = HeadConfig(ridge=ridge)
    places = [str(course.root / source) for source in sources]
    key = _digest(config.to_dict(), places, pixels, course.limit, course.seed)
    return cached(
        cache,
        f"samples-{key}",
        lambda: samples(pictures(places)[: course.limit], config, pixels, course.seed, threads),
    )


def _digest(*what: Any) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def _store(file: Path, head: Head, state: dict[str, Any]) -> None:
    """Write a checkpoint without the optimizer, atomically."""
    kept = {name: value for name, value in state.items() if name != "optimizer"}
    part = file.with_suffix(".part")
    torch.save({"config": head.config.to_dict(), "model": head.state_dict(), **kept}, part)
    part.replace(file)
