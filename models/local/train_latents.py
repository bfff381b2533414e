# SPDX-License-Identifier: Apache-2.0
"""Training of a head of the family `local` together with latents of whole pictures, for small pictures.

    python -m bbcodec.models.local.train_latents --init photo/checkpoint.pt --minutes 30 --out thumb \\
        --data cifar.npz[0:3200] photos/train@64 --valid cifar.npz[3200:3500] photos/held_out@64

All pictures of a source have one size. ``--control`` trains in the same way with z = 0, which leaves the head
and its map of positions. Latents pay only if they save more bits than they cost against it. All bits are
those of a head that does not learn while coding.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bbcodec.storage.atomic import atomic_write

from .. import data
from ..signals import Stop
from .export import load_checkpoint
from .head import FEATURE_UNIT, Head, HeadConfig, bits, spreads
from .latents import PictureLatents, inputs, statistics, whitening
from .train import Prior, make_prior, observed, recorded

LOG2 = math.log(2)  # nats per bit
PRIOR_PICTURES = 300  # pictures of each source that the prior is computed from
START_PICTURES = 800  # pictures of each source that the start of the latents is computed from
START_PIXELS = 1024  # pixels of each of them
REPORT_SECONDS = 120.0  # time between reports
REPORT_PICTURES = 60  # held-out pictures of a source in a report during the training
ALL_PICTURES = 10**6
EVALUATION_PIXELS = 4096  # pixels of a batch in `evaluate`


@dataclass
class Source:
    """Pictures of one size as the codec sees them.

    Attributes
    ----------
    name : name of the source on the command line.
    height, width : size of each picture in pixels.
    features, facts : int8 [N, 3, n, 48] and int32 [N, 3, n, 3].
    sums : statistics, int64 [N, 441].
    excess : excess of the statistics over their mean, [N, 441]; empty until the mean is known.
    """

    name: str
    height: int
    width: int
    features: NDArray[np.int8]
    facts: NDArray[np.int32]
    sums: NDArray[np.int64]
    excess: Tensor

    @property
    def area(self) -> int:
        """Return the pixels of a picture."""
        return self.height * self.width

    def batch(self, index: NDArray[Any], pixel: NDArray[Any]) -> tuple[Tensor, Tensor]:
        """Return features and facts [3, pictures x pixels, ...] of some pixels of some pictures."""
        f, m = self.features[index][:, :, pixel], self.facts[index][:, :, pixel]
        f, m = f.swapaxes(0, 1).reshape(3, -1, f.shape[-1]), m.swapaxes(0, 1).reshape(3, -1, 3)
        return torch.from_numpy(f).float() / FEATURE_UNIT, torch.from_numpy(m)


def evenly(pictures: list[data.Picture], limit: int) -> list[data.Picture]:
    """Return up to `limit` evenly chosen pictures."""
    return pictures[:: max(1, len(pictures) // limit)][:limit]


def look(name: str, config: HeadConfig, start: Prior, limit: int, threads: int) -> Source:
    """Load up to `limit` evenly chosen pictures of a source.

    Raises
    ------
    ValueError
        The pictures have several sizes.
    """
    pictures = data.load(name)
    if len(sizes := {p.shape for p in pictures}) != 1:
        raise ValueError(f"{name}: pictures have {len(sizes)} sizes; make thumbnails of one size with @SIZE")
    pictures = evenly(pictures, limit)
    features, facts, sums = [], [], []
    for f, m in observed(pictures, config, start, threads):
        sums.append(statistics(f, m))
        features.append(f.swapaxes(0, 1).copy())
        facts.append(m.swapaxes(0, 1).copy())
    height, width, _ = pictures[0].shape
    return Source(
        name, height, width, np.stack(features), np.stack(facts), np.stack(sums), excess=torch.empty(0)
    )


def side_of(
    latents: PictureLatents, source: Source, index: NDArray[Any], pixel: NDArray[Any]
) -> tuple[Tensor, Tensor]:
    """Return side information [pictures x pixels, H] and log q - log p in nats, [pictures, K]."""
    side, kl = latents(source.excess[index])
    y, x = (torch.from_numpy(v) for v in np.divmod(pixel, source.width))
    side = side[:, None] + latents.places(y, x, source.width)
    return side.reshape(-1, side.shape[-1]), kl


@torch.no_grad()
def evaluate(
    head: Head, latents: PictureLatents, source: Source, spread: Tensor, limit: int = ALL_PICTURES
) -> dict[str, float]:
    """Return bits/dim of the pixels (``x``), of the latents (``kl``) and of both (``total``)."""
    torch.manual_seed(1)
    cost = kl = 0.0
    count, step = min(limit, len(source.sums)), max(1, EVALUATION_PIXELS // source.area)
    for i in range(0, count, step):
        index = np.arange(i, min(i + step, count))
        for pixel in np.array_split(np.arange(source.area), max(1, source.area // EVALUATION_PIXELS)):
            f, m = source.batch(index, pixel)
            side, terms = side_of(latents, source, index, pixel)
            cost += float(bits(head(f, side), m, spread).sum())
        kl += float(terms.sum()) / LOG2
    dims = 3 * source.area * count
    return {"x": cost / dims, "kl": kl / dims, "total": (cost + kl) / dims}


def begin(
    head: Head, latents: PictureLatents, sources: list[Source], spread: Tensor, rng: np.random.Generator
) -> list[float]:
    """Start the latents from the head's gradients; see `PictureLatents.start`."""
    scores, excess = [], []
    fisher = torch.zeros(())
    for source in sources:
        chosen = rng.permutation(len(source.sums))[:START_PICTURES]
        for i in chosen:
            f, m = source.batch(np.array([i]), rng.permutation(source.area)[:START_PIXELS])
            side = torch.zeros(3, f.shape[1], head.config.hidden, requires_grad=True)
            (bits(head(f, side), m, spread).sum() * LOG2).backward()
            g = side.grad
            assert g is not None
            # Scale to all pixels of the picture.
            scores.append(g.sum((0, 1)) / f.shape[1] * math.sqrt(source.area))
            fisher = fisher + sum(c.T @ c for c in g) / f.shape[1] / len(chosen) / len(sources)
        excess.append(source.excess[torch.from_numpy(chosen)])
    head.zero_grad()
    area = float(np.exp(np.mean([math.log(s.area) for s in sources])))
    return latents.start(torch.cat(excess), torch.stack(scores), fisher, area)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    p = argparse.ArgumentParser(
        prog="python -m bbcodec.models.local.train_latents", description=__doc__.split("\n\n")[0]
    )
    p.add_argument("--init", required=True, help="checkpoint.pt of a head to start from")
    p.add_argument(
        "--data", required=True, nargs="+", help="sources as in `local.train`, each with pictures of one size"
    )
    p.add_argument("--valid", required=True, nargs="+", help="pictures to validate on; sources as in --data")
    p.add_argument("--limit", type=int, default=3500, help="largest number of pictures of a source")
    p.add_argument("--latents", type=int, default=16, help="latents of a picture")
    p.add_argument("--encoder", type=int, default=64, help="width of the encoder")
    p.add_argument("--keep", type=int, default=96, help="whitened inputs of the encoder")
    p.add_argument("--control", action="store_true", help="train without latents")
    p.add_argument(
        "--prior", type=float, default=8.0, metavar="PIXELS", help="pixels that the prior of fits counts for"
    )
    p.add_argument("--ridge", type=int, default=16, help="ridge of the least-squares fits")
    p.add_argument("--lr", type=float, default=1.5e-3, help="largest learning rate of the latents")
    p.add_argument("--tune", type=float, default=1e-3, help="largest learning rate of the head")
    p.add_argument("--minutes", type=float, default=30.0, help="time budget")
    p.add_argument("--steps", type=int, default=0, help="number of steps, in place of --minutes")
    p.add_argument("--samples", type=int, default=4096, help="pixels per step")
    p.add_argument("--pixels", type=int, default=128, help="pixels of each picture in a step")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1, help="CPU threads")
    p.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt")
    return p.parse_args(argv)


class Trainer:
    """A training of head and latents.

    Parameters
    ----------
    args : options of the command line, see `parse`.
    """

    def __init__(self, args: argparse.Namespace):
        self.args = args
        self.rng = np.random.default_rng(args.seed)
        self.head, _ = load_checkpoint(args.init)
        self.head.config = config = replace(self.head.config, ridge=args.ridge)
        self.spread = spreads()
        some = [picture for name in args.data for picture in evenly(data.load(name), PRIOR_PICTURES)]
        self.prior = start = make_prior(some, config, args.prior, args.threads)
        self.train = [look(name, config, start, args.limit, args.threads) for name in args.data]
        self.held_out = [look(name, config, start, args.limit, args.threads) for name in args.valid]
        self.latents = self._first_latents()
        self.optimizer = torch.optim.Adam(
            [
                {"params": list(self.latents.parameters()), "base": args.lr},
                {"params": list(self.head.parameters()), "base": args.tune},
            ],
            betas=(0.9, 0.99),
        )
        self.begun, self.steps = time.monotonic(), 0
        self.curve: list[Any] = []

    def _first_latents(self) -> PictureLatents:
        """Make the latents and start them from the head's gradients."""
        args = self.args
        mean = np.mean([(s.sums / s.area).mean(0) for s in self.train], axis=0)
        for s in self.train + self.held_out:
            s.excess = torch.from_numpy(inputs(s.sums, np.full(len(s.sums), s.area), mean)).float()
        scale, whiten = whitening(np.concatenate([s.excess.double().numpy() for s in self.train]), args.keep)
        hidden = self.head.config.hidden
        latents = PictureLatents(
            args.latents, args.encoder, hidden, torch.from_numpy(mean), scale, whiten, args.control
        )
        shares = begin(self.head, latents, self.train, self.spread, self.rng)
        print("share of each latent that the inputs explain:", *(f"{s:.2f}" for s in shares), flush=True)
        return latents

    def run(self, stop: Stop) -> None:
        """Train until the budget ends or a signal arrives, with reports."""
        args, last = self.args, 0.0
        self._report(REPORT_PICTURES)
        while True:
            elapsed = time.monotonic() - self.begun
            done = self.steps / args.steps if args.steps else elapsed / (args.minutes * 60)
            if done >= 1 or stop.is_requested:
                break
            self._step(done)
            if elapsed - last > REPORT_SECONDS:
                last = elapsed
                self._report(REPORT_PICTURES)
        self._report(ALL_PICTURES)

    def _step(self, done: float) -> None:
        args, source = self.args, self.train[self.steps % len(self.train)]
        cosine, warm_up = 0.49 * (1 + math.cos(math.pi * done)) + 0.02, min(1, (self.steps + 1) / 50)
        for group in self.optimizer.param_groups:
            group["lr"] = group["base"] * cosine * warm_up
        index = self.rng.integers(0, len(source.sums), args.samples // args.pixels)
        pixel = self.rng.permutation(source.area)[: args.pixels]
        f, m = source.batch(index, pixel)
        side, kl = side_of(self.latents, source, index, pixel)
        cost = bits(self.head(f, side), m, self.spread).mean()
        loss = cost + kl.sum() / LOG2 / (3 * source.area * len(index))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.latents.parameters(), 1.0)
        nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
        self.optimizer.step()
        self.head.clip_weights()
        self.steps += 1

    def _report(self, limit: int) -> None:
        """Add a point to the curve and print it, from up to `limit` held-out pictures of each source."""
        values = [evaluate(self.head, self.latents, s, self.spread, limit) for s in self.held_out]
        self.curve.append([round((time.monotonic() - self.begun) / 60, 2), self.steps, values])
        line = " | ".join(f"x {v['x']:.4f} kl {v['kl']:.4f} total {v['total']:.4f}" for v in values)
        print(f"{self.curve[-1][0]:6.1f} min {self.steps:6d}  {line}", flush=True)

    def save(self) -> None:
        """Write the checkpoint."""
        args = self.args
        payload = {
            "config": self.head.config.to_dict(),
            "model": self.head.state_dict(),
            "latents": self.latents.state_dict(),
            "latents_config": {"latents": args.latents, "encoder": args.encoder, "control": args.control},
            "seconds": time.monotonic() - self.begun,
            "steps": self.steps,
            "curve": self.curve,
            "arguments": recorded(args),
        }
        if self.prior is not None:
            payload["prior"] = torch.from_numpy(self.prior)
        with atomic_write(args.out / "checkpoint.pt", overwrite=True) as file:
            torch.save(payload, file)


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(args)
    trainer.run(Stop())
    trainer.save()
    print(json.dumps(trainer.curve[-1]), flush=True)


if __name__ == "__main__":
    main()
