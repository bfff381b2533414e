# SPDX-License-Identifier: Apache-2.0
"""Train the head of the family `local` for a given time; resume, validate, checkpoint.

    python -m bbcodec.models.local.train --data photos/train --valid photos/valid --minutes 100 --out run
    python -m bbcodec.models.local.train --resume run/checkpoint.pt --minutes 160 --data ... --out run

The codec itself computes what the head sees; of each picture some pixels are kept (``--pixels``). That takes
minutes, so it can be stored (``--cache``). The learning rate follows a cosine over the time budget, that of
all runs of a checkpoint; making the samples does not count.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bbcodec import modelfile
from bbcodec.families.local.model import LocalModel
from bbcodec.families.local.native import observe

from .. import data
from ..latent.train import Stop
from .export import export, load_checkpoint
from .head import FEATURE_UNIT, FEATURES, Head, HeadConfig, bits, spreads
from .prior import prior

Prior = NDArray[np.int32] | None
Samples = tuple[NDArray[np.int8], NDArray[np.int32]]  # features [3, n, 48], facts [3, n, 3]
PREDICTORS = {
    "own": "positions in the channel that are used by",
    "earlier": "positions in each channel before that are used by",
    "along": "shift by which, along a row, forgets",
    "down": "shift by which, down a column, forgets",
}
FRESH: Mapping[str, Any] = {"seconds": 0.0, "steps": 0, "curve": []}  # the state of a run that begins


def pictures(sources: list[str]) -> list[data.Picture]:
    """Pictures of all sources."""
    return [picture for source in sources for picture in data.load(source)]


def observed(
    images: list[data.Picture], config: HeadConfig, start: Prior, threads: int
) -> Iterator[tuple[NDArray[np.int8], NDArray[np.int32]]]:
    """Features [pixels, 3, 48] and facts [pixels, 3, 3] of every picture, from the codec itself."""
    blank = Head(replace(config, hidden=64, layers=0, precision="1/32", bases=1))
    model = LocalModel.from_model(modelfile.load(export(blank, {}, prior=start)))
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda picture: observe(picture, model), images)


def samples(
    images: list[data.Picture],
    config: HeadConfig,
    pixels: int,
    seed: int,
    threads: int,
    start: Prior = None,
) -> Samples:
    """What the head sees at random pixels of each picture: features and facts, channels first."""
    parts = []
    for index, (features, facts) in enumerate(observed(images, config, start, threads)):
        pick = np.random.default_rng([seed, index]).permutation(len(facts))[:pixels]
        parts.append((features[pick].swapaxes(0, 1), facts[pick].swapaxes(0, 1)))
    return np.concatenate([f for f, _ in parts], 1), np.concatenate([f for _, f in parts], 1)


def make_prior(images: list[data.Picture], config: HeadConfig, pixels: float, threads: int) -> Prior:
    """The prior that counts for so many pixels; None for 0."""
    if not pixels:
        return None
    predictions = [facts[..., 0].astype(np.int64) for _, facts in observed(images, config, None, threads)]
    return prior(images, predictions, config, pixels)


def cached(path: Path | None, name: str, make: Any) -> Samples:
    """Samples from the cache folder, made and stored there the first time."""
    if path is None:
        return make()  # type: ignore[no-any-return]
    file = path / f"{name}.npz"
    if not file.exists():
        path.mkdir(parents=True, exist_ok=True)
        features, facts = make()
        part = path / f"{name}.part.npz"
        np.savez(part, features=features, facts=facts)
        part.replace(file)  # it appears whole or not at all
    with np.load(file) as stored:
        return stored["features"], stored["facts"]


def tensors(part: Samples) -> tuple[torch.Tensor, torch.Tensor]:
    """Features in units of 1, and facts."""
    features, facts = part
    return torch.from_numpy(features).float() / FEATURE_UNIT, torch.from_numpy(facts)


@torch.no_grad()
def evaluate(head: Head, part: Samples, spread: torch.Tensor, batch: int = 4096) -> list[float]:
    """Bits per sample of G, R and B."""
    n = part[0].shape[1]
    total = torch.zeros(3, dtype=torch.float64)
    for i in range(0, n, batch):
        f, m = tensors((part[0][:, i : i + batch], part[1][:, i : i + batch]))
        total += bits(head(f), m, spread).double().sum(1)
    return [float(t) / n for t in total]


def fit(
    head: Head,
    train: Samples,
    valid: Samples,
    *,
    minutes: float = math.inf,
    steps: float = math.inf,
    lr: float = 3e-3,
    batch: int = 1536,
    seed: int = 0,
    device: str = "cpu",
    validate_every: float = 3.0,
    state: Mapping[str, Any] = FRESH,
    save: Callable[[dict[str, Any]], None] = lambda state: None,
    stopped: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Train a head in place, on random pixels of `train`.

    Parameters
    ----------
    head, train, valid : the head, and the samples that it learns from and is measured on.
    minutes, steps : the budget, that of all runs of `state`; the learning rate follows a cosine over it.
    lr, batch, seed, device : largest learning rate, pixels a step, of the pixels' choice, cpu or cuda.
    validate_every : minutes from one validation to the next.
    state : what an earlier run gave back, to go on from it.
    save : called with the state at every validation.
    stopped : asked before every step whether to end.

    Returns
    -------
    dict
        ``seconds``, ``steps``, ``curve`` of [minutes, steps, bits/dim of `valid`], ``optimizer``.
    """
    head.to(device).train()
    spread = spreads().to(device)
    optimizer = torch.optim.Adam(head.parameters(), lr=lr, betas=(0.9, 0.99))
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
    taken, spent, curve = int(state["steps"]), float(state["seconds"]), list(state["curve"])
    rng = np.random.default_rng(seed + taken)
    count = train[0].shape[1]
    print(f"{sum(p.numel() for p in head.parameters()):,} parameters, {3 * count:,} samples", flush=True)
    print(json.dumps(head.config.to_dict()), flush=True)
    assert train[0].shape[2] == FEATURES
    begun, last, running = time.monotonic(), time.monotonic(), 0.0

    def validated() -> dict[str, Any]:
        channels = evaluate(head, valid, spread)
        curve.append([round(elapsed / 60, 2), taken, round(sum(channels) / 3, 4)])
        shown = " ".join(f"{c:.3f}" for c in channels)
        line = f"{elapsed / 60:7.1f} min  step {taken:7d}  train {running:.4f}"
        print(f"{line}  valid {sum(channels) / 3:.4f} bpd  [{shown}]", flush=True)
        now = {"optimizer": optimizer.state_dict(), "seconds": elapsed, "steps": taken, "curve": curve}
        save(now)
        return now

    while True:
        elapsed = spent + time.monotonic() - begun
        done = min(1.0, max(elapsed / (minutes * 60), taken / steps))
        if done >= 1 or stopped():
            return validated()
        rate = (0.495 * (1 + math.cos(math.pi * done)) + 0.01) * min(1.0, (taken + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = lr * rate
        pick = np.sort(rng.integers(0, count, batch))
        f, m = tensors((train[0][:, pick], train[1][:, pick]))
        loss = bits(head(f.to(device)), m.to(device), spread).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        head.clip_weights()
        cost = float(loss.detach())
        running = cost if running == 0 else 0.99 * running + 0.01 * cost
        taken += 1
        if time.monotonic() - last > validate_every * 60:
            validated()
            last = time.monotonic()


def recorded(args: argparse.Namespace) -> dict[str, Any]:
    """The command line for a checkpoint: what decides the result, and of sources no more than their ends."""
    values = {k: v for k, v in vars(args).items() if k not in ("cache", "out", "resume", "init", "device")}
    for key in ("data", "valid"):
        values[key] = ["/".join(Path(source).parts[-2:]) for source in values[key]]
    return values


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    p = argparse.ArgumentParser(
        prog="python -m bbcodec.models.local.train", description=__doc__.split("\n\n")[0]
    )
    p.add_argument("--hidden", type=int, default=128)
    p.add_argument("--layers", type=int, default=1)
    p.add_argument("--components", type=int, default=3)
    p.add_argument(
        "--precision", choices=("32/32", "1/32", "1/1"), default="1/32", help="weights/activations"
    )
    for name, what in PREDICTORS.items():
        p.add_argument(
            f"--{name}",
            type=int,
            nargs=2,
            metavar=("FIRST", "SECOND"),
            help=f"{what} either predictor {getattr(HeadConfig, name)}",
        )
    p.add_argument("--ridge", type=int, default=64, help="of the least-squares fits")
    p.add_argument(
        "--prior",
        type=float,
        default=0.0,
        metavar="PIXELS",
        help="that the mean of the data counts for in every fit",
    )
    p.add_argument(
        "--data",
        required=True,
        nargs="+",
        help="folders, cifar10:FOLDER or file.npz[a:b]; each with @SIZE for thumbnails of that size",
    )
    p.add_argument("--valid", required=True, nargs="+", help="likewise")
    p.add_argument("--pixels", type=int, default=16384, help="pixels kept of each picture")
    p.add_argument("--cache", type=Path, default=None, help="folder for the samples")
    p.add_argument("--batch", type=int, default=1536, help="pixels a step")
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--minutes", type=float, default=60.0)
    p.add_argument("--validate-every", type=float, default=3.0, metavar="MINUTES")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1, help="CPU threads")
    p.add_argument("--device", default="cpu", help="cpu or cuda")
    p.add_argument("--resume", default=None, help="checkpoint.pt to go on from")
    p.add_argument("--init", default=None, help="checkpoint.pt of another run, whose weights are the start")
    p.add_argument("--out", type=Path, required=True)
    return p.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    state = FRESH
    predictors: dict[str, Any] = {
        name: tuple(getattr(args, name)) for name in PREDICTORS if getattr(args, name)
    }
    if args.resume:
        head, state = load_checkpoint(args.resume)
    elif args.init:
        head, _ = load_checkpoint(args.init)
        head.config = replace(head.config, ridge=args.ridge, **predictors)
    else:
        head = Head(
            HeadConfig(
                hidden=args.hidden,
                layers=args.layers,
                components=args.components,
                precision=args.precision,
                ridge=args.ridge,
                **predictors,
            )
        )

    start: Prior = state["prior"].numpy() if "prior" in state else None
    if args.prior and not args.resume:
        start = make_prior(pictures(args.data), head.config, args.prior, args.threads)

    def load(sources: list[str], pixels: int) -> Samples:
        return samples(pictures(sources), head.config, pixels, args.seed, args.threads, start)

    train = cached(args.cache, "train", lambda: load(args.data, args.pixels))
    valid = cached(args.cache, "valid", lambda: load(args.valid, 2048))
    stop = Stop()

    def save(state: dict[str, Any]) -> None:
        arguments = recorded(args)
        payload = {
            "config": head.config.to_dict(),
            "model": head.state_dict(),
            **state,
            "arguments": arguments,
        }
        if start is not None:
            payload["prior"] = torch.from_numpy(start)
        torch.save(payload, args.out / "checkpoint.tmp")
        (args.out / "checkpoint.tmp").replace(args.out / "checkpoint.pt")

    fit(
        head,
        train,
        valid,
        minutes=args.minutes,
        lr=args.lr,
        batch=args.batch,
        seed=args.seed,
        device=args.device,
        validate_every=args.validate_every,
        state=state,
        save=save,
        stopped=lambda: stop.asked,
    )


if __name__ == "__main__":
    main()
