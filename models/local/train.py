# SPDX-License-Identifier: Apache-2.0
"""Training of the head of the family `local` for a given time.

    python -m bbcodec.models.local.train --data photos/train --valid photos/valid --minutes 100 --out run
    python -m bbcodec.models.local.train --resume run/checkpoint.pt --minutes 160 --data ... --out run

The codec computes the samples that the head learns from, at some pixels of each picture (``--pixels``).
That takes minutes; ``--cache`` stores the samples. The learning rate follows a cosine over the time budget of
all runs of a checkpoint. The time for making samples does not count.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bbcodec import jobs, modelfile
from bbcodec.families.local.model import LocalModel
from bbcodec.families.local.native import observe
from bbcodec.storage.atomic import atomic_write

from .. import data
from ..signals import Stop
from .export import export, load_checkpoint
from .head import FEATURE_UNIT, FEATURES, Head, HeadConfig, bits, spreads
from .prior import prior

Prior = NDArray[np.int32] | None
Samples = tuple[NDArray[np.int8], NDArray[np.int32]]  # features [3, n, 48], facts [3, n, 3]
Objective = Callable[[Tensor, Tensor], Tensor]  # bits of samples, from outputs and facts
PREDICTORS = {
    "own": "positions in the channel, for",
    "earlier": "positions in each earlier channel, for",
    "along": "shift of forgetting along a row, for",
    "down": "shift of forgetting down a column, for",
}
VALID_PIXELS = 2048  # pixels kept of each picture that is validated on
FRESH: Mapping[str, Any] = {
    "seconds": 0.0,
    "steps": 0,
    "curve": [],
}  # state of a training before its first run


def pictures(sources: list[str]) -> list[data.Picture]:
    """Return the pictures of all sources."""
    return [picture for source in sources for picture in data.load(source)]


def observed(
    images: list[data.Picture], config: HeadConfig, start: Prior, threads: int
) -> Iterator[tuple[NDArray[np.int8], NDArray[np.int32]]]:
    """Yield features [pixels, 3, 48] and facts [pixels, 3, 3] of every picture, computed by the codec."""
    blank = Head(replace(config, hidden=64, layers=0, precision="1/32", bases=1))
    model = LocalModel.from_model(modelfile.load(export(blank, {}, prior=start)))
    pool = jobs.Pool(threads)
    try:
        pending = deque(pool.submit(observe, picture, model) for picture in images)
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel=True)


def samples(
    images: list[data.Picture],
    config: HeadConfig,
    pixels: int,
    seed: int,
    threads: int,
    start: Prior = None,
) -> Samples:
    """Return features and facts at up to `pixels` random pixels of each picture, channels first."""
    parts = []
    for index, (features, facts) in enumerate(observed(images, config, start, threads)):
        pick = np.random.default_rng([seed, index]).permutation(len(facts))[:pixels]
        parts.append((features[pick].swapaxes(0, 1), facts[pick].swapaxes(0, 1)))
    return np.concatenate([f for f, _ in parts], 1), np.concatenate([f for _, f in parts], 1)


def make_prior(images: list[data.Picture], config: HeadConfig, pixels: float, threads: int) -> Prior:
    """Return the prior that counts for `pixels` pixels, or None for 0."""
    if not pixels:
        return None
    predictions = [facts[..., 0].astype(np.int64) for _, facts in observed(images, config, None, threads)]
    return prior(images, predictions, config, pixels)


def cached(folder: Path | None, name: str, make: Callable[[], Samples]) -> Samples:
    """Return samples from the cache folder; make and store them there the first time."""
    if folder is None:
        return make()
    file = folder / f"{name}.npz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        features, facts = make()
        with atomic_write(file, overwrite=True) as whole:
            np.savez(whole, features=features, facts=facts)
    with np.load(file) as stored:
        return stored["features"], stored["facts"]


def tensors(part: Samples) -> tuple[Tensor, Tensor]:
    """Return features in units of 1, and facts, as tensors."""
    features, facts = part
    return torch.from_numpy(features).float() / FEATURE_UNIT, torch.from_numpy(facts)


def bits_at(spread: Tensor) -> Objective:
    """Return the objective of the family `local`."""
    return lambda outputs, facts: bits(outputs, facts, spread)


@torch.no_grad()
def evaluate(head: Head, part: Samples, cost: Objective | None = None, batch: int = 4096) -> list[float]:
    """Return bits per sample of each channel."""
    cost = cost or bits_at(spreads())
    n = part[0].shape[1]
    total = torch.zeros(3, dtype=torch.float64)
    for i in range(0, n, batch):
        f, m = tensors((part[0][:, i : i + batch], part[1][:, i : i + batch]))
        total += cost(head(f), m).double().sum(1)
    return [float(t) / n for t in total]


@dataclass(frozen=True)
class Schedule:
    """Budget and settings of a training.

    Attributes
    ----------
    minutes, steps : budget of all runs; the learning rate follows a cosine over it. The first to end counts.
    lr : largest learning rate.
    batch : pixels per step.
    seed : seed of the choice of pixels.
    device : ``cpu`` or ``cuda``.
    validate_every : minutes between validations.
    """

    minutes: float = math.inf
    steps: float = math.inf
    lr: float = 3e-3
    batch: int = 1536
    seed: int = 0
    device: str = "cpu"
    validate_every: float = 3.0

    def done(self, seconds: float, steps: int) -> float:
        """Return the share of the budget that is used, at most 1."""
        return min(1.0, max(seconds / (self.minutes * 60), steps / self.steps))

    def rate(self, done: float, steps: int) -> float:
        """Return the learning rate of a step: a warm-up of 100 steps, then a cosine down to 1 %."""
        return self.lr * ((0.495 * (1 + math.cos(math.pi * done)) + 0.01) * min(1.0, (steps + 1) / 100))


def train_head(
    head: Head,
    train: Samples,
    valid: Samples,
    schedule: Schedule,
    *,
    state: Mapping[str, Any] = FRESH,
    save: Callable[[dict[str, Any]], None] = lambda state: None,
    stopped: Callable[[], bool] = lambda: False,
    objective: Objective | None = None,
) -> dict[str, Any]:
    """Train a head in place, on random pixels of `train`.

    Parameters
    ----------
    head : head to train.
    train, valid : samples to learn from, and samples to validate on.
    schedule : budget and settings.
    state : result of an earlier run, to go on from it.
    save : called with the state at every validation.
    stopped : asked before every step whether to end.
    objective : the bits of samples; those of the family `local` if not given.

    Returns
    -------
    dict
        ``seconds``, ``steps``, ``curve`` of [minutes, steps, bits/dim of `valid`], ``optimizer``.
    """
    device = schedule.device
    head.to(device).train()
    spread = spreads().to(device)
    cost = objective or bits_at(spread)
    optimizer = torch.optim.Adam(head.parameters(), lr=schedule.lr, betas=(0.9, 0.99))
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
    taken, spent, curve = int(state["steps"]), float(state["seconds"]), list(state["curve"])
    rng = np.random.default_rng(schedule.seed + taken)
    count = train[0].shape[1]
    print(f"{sum(p.numel() for p in head.parameters()):,} parameters, {3 * count:,} samples", flush=True)
    print(json.dumps(head.config.to_dict()), flush=True)
    assert train[0].shape[2] == FEATURES
    begun = last = time.monotonic()
    running = 0.0

    def validated() -> dict[str, Any]:
        channels = evaluate(head, valid, cost)
        curve.append([round(elapsed / 60, 2), taken, round(sum(channels) / 3, 4)])
        shown = " ".join(f"{c:.3f}" for c in channels)
        line = f"{elapsed / 60:7.1f} min  step {taken:7d}  train {running:.4f}"
        print(f"{line}  valid {sum(channels) / 3:.4f} bpd  [{shown}]", flush=True)
        now = {"optimizer": optimizer.state_dict(), "seconds": elapsed, "steps": taken, "curve": curve}
        save(now)
        return now

    while True:
        elapsed = spent + time.monotonic() - begun
        done = schedule.done(elapsed, taken)
        if done >= 1 or stopped():
            return validated()
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(done, taken)
        pick = np.sort(rng.integers(0, count, schedule.batch))
        f, m = tensors((train[0][:, pick], train[1][:, pick]))
        loss = cost(head(f.to(device)), m.to(device)).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        head.clip_weights()
        paid = float(loss.detach())
        running = paid if running == 0 else 0.99 * running + 0.01 * paid
        taken += 1
        if time.monotonic() - last > schedule.validate_every * 60:
            validated()
            last = time.monotonic()


def recorded(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that a checkpoint records: those that decide the result, with shortened sources."""
    values = {k: v for k, v in vars(args).items() if k not in ("cache", "out", "resume", "init", "device")}
    for key in ("data", "valid"):
        values[key] = ["/".join(Path(source).parts[-2:]) for source in values[key]]
    return values


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    p = argparse.ArgumentParser(
        prog="python -m bbcodec.models.local.train", description=__doc__.split("\n\n")[0]
    )
    p.add_argument("--hidden", type=int, default=128, help="width of the hidden layers")
    p.add_argument("--layers", type=int, default=1, help="number of hidden layers")
    p.add_argument("--components", type=int, default=3, help="logistics of the mixture")
    p.add_argument(
        "--precision", choices=("32/32", "1/32", "1/1"), default="1/32", help="weights/activations"
    )
    for name, meaning in PREDICTORS.items():
        p.add_argument(
            f"--{name}",
            type=int,
            nargs=2,
            metavar=("FIRST", "SECOND"),
            help=f"{meaning} the two predictors {getattr(HeadConfig, name)}",
        )
    p.add_argument("--ridge", type=int, default=64, help="ridge of the least-squares fits")
    p.add_argument(
        "--prior",
        type=float,
        default=0.0,
        metavar="PIXELS",
        help="start every least-squares fit from the mean of the data, which counts for so many pixels",
    )
    p.add_argument(
        "--data",
        required=True,
        nargs="+",
        help="folders, cifar10:FOLDER or file.npz[a:b]; each with @SIZE for thumbnails of that size",
    )
    p.add_argument("--valid", required=True, nargs="+", help="pictures to validate on; sources as in --data")
    p.add_argument("--pixels", type=int, default=16384, help="pixels kept of each picture")
    p.add_argument("--cache", type=Path, default=None, help="folder for the samples")
    p.add_argument("--batch", type=int, default=1536, help="pixels per step")
    p.add_argument("--lr", type=float, default=3e-3, help="largest learning rate")
    p.add_argument("--minutes", type=float, default=60.0, help="time budget of all runs of the checkpoint")
    p.add_argument("--validate-every", type=float, default=3.0, metavar="MINUTES")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1, help="CPU threads")
    p.add_argument("--device", default="cpu", help="cpu or cuda")
    p.add_argument("--resume", default=None, help="checkpoint.pt to go on from")
    p.add_argument("--init", default=None, help="checkpoint.pt of another run, to start from its weights")
    p.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt")
    return p.parse_args(argv)


def first_head(args: argparse.Namespace) -> tuple[Head, Mapping[str, Any]]:
    """Return head and state that the training starts from: a checkpoint to resume, other weights, or new."""
    if args.resume:
        return load_checkpoint(args.resume)
    predictors: dict[str, Any] = {
        name: tuple(getattr(args, name)) for name in PREDICTORS if getattr(args, name)
    }
    if args.init:
        head, _ = load_checkpoint(args.init)
        head.config = replace(head.config, ridge=args.ridge, **predictors)
        return head, FRESH
    sizes = {name: getattr(args, name) for name in ("hidden", "layers", "components", "precision", "ridge")}
    return Head(HeadConfig(**sizes, **predictors)), FRESH


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    head, state = first_head(args)
    start: Prior = state["prior"].numpy() if "prior" in state else None
    if args.prior and not args.resume:
        start = make_prior(pictures(args.data), head.config, args.prior, args.threads)

    def load(sources: list[str], pixels: int) -> Samples:
        return samples(pictures(sources), head.config, pixels, args.seed, args.threads, start)

    train = cached(args.cache, "train", lambda: load(args.data, args.pixels))
    valid = cached(args.cache, "valid", lambda: load(args.valid, VALID_PIXELS))
    stop = Stop()

    def save(state: dict[str, Any]) -> None:
        payload = {
            "config": head.config.to_dict(),
            "model": head.state_dict(),
            **state,
            "arguments": recorded(args),
        }
        if start is not None:
            payload["prior"] = torch.from_numpy(start)
        with atomic_write(args.out / "checkpoint.pt", overwrite=True) as file:
            torch.save(payload, file)

    names = ("minutes", "lr", "batch", "seed", "device", "validate_every")
    schedule = Schedule(**{name: getattr(args, name) for name in names})
    train_head(head, train, valid, schedule, state=state, save=save, stopped=lambda: stop.is_requested)


if __name__ == "__main__":
    main()
