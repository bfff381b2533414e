# SPDX-License-Identifier: Apache-2.0
"""Train a head of the family `local` together with latents of whole pictures, for small pictures.

    python -m bbcodec.models.local.train_latents --init photo/checkpoint.pt --minutes 30 --out thumb \\
        --data cifar.npz[0:3200] photos/train@64 --valid cifar.npz[3200:3500] photos/held_out@64

Pictures of a source are of one size. ``--control`` trains the same with z = 0: what is left is the head and
its map of positions, which the latents must beat by more than they cost. The bits are those of a head that
does not learn while coding.
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

from .. import data
from ..latent.train import Stop
from .export import load_checkpoint
from .head import FEATURE_UNIT, Head, HeadConfig, bits, spreads
from .latents import PictureLatents, inputs, statistics, whitening
from .train import Prior, make_prior, observed, recorded


@dataclass
class Source:
    """Pictures of one size as the codec sees them.

    Attributes
    ----------
    name, height, width
    features, facts : int8 [N, 3, n, 48] and int32 [N, 3, n, 3]
    sums : int64 [N, 441]
    excess : [N, 441], once the mean is known.
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
        return self.height * self.width

    def batch(self, index: NDArray[Any], pixel: NDArray[Any]) -> tuple[Tensor, Tensor]:
        """Features and facts [3, pictures x pixels, ...] of some pixels of some pictures."""
        f, m = self.features[index][:, :, pixel], self.facts[index][:, :, pixel]
        f, m = f.swapaxes(0, 1).reshape(3, -1, f.shape[-1]), m.swapaxes(0, 1).reshape(3, -1, 3)
        return torch.from_numpy(f).float() / FEATURE_UNIT, torch.from_numpy(m)


def evenly(pictures: list[data.Picture], limit: int) -> list[data.Picture]:
    """Up to `limit` of them."""
    return pictures[:: max(1, len(pictures) // limit)][:limit]


def look(name: str, config: HeadConfig, start: Prior, limit: int, threads: int) -> Source:
    """Up to `limit` pictures of a source, evenly chosen."""
    pictures = data.load(name)
    if len({p.shape for p in pictures}) != 1:
        raise ValueError(f"{name}: pictures of several sizes; make thumbnails of them with @SIZE")
    pictures = evenly(pictures, limit)
    features, facts, sums = [], [], []
    for f, m in observed(pictures, config, start, threads):
        sums.append(statistics(f, m))
        features.append(f.swapaxes(0, 1).copy())
        facts.append(m.swapaxes(0, 1).copy())
    height, width, _ = pictures[0].shape
    none = torch.empty(0)
    return Source(name, height, width, np.stack(features), np.stack(facts), np.stack(sums), none)


def side_of(latents: PictureLatents, source: Source, index: NDArray[Any], pixel: NDArray[Any]) -> Any:
    """Side information [pictures x pixels, H] and log q - log p [pictures, K]."""
    side, kl = latents(source.excess[index])
    y, x = (torch.from_numpy(v) for v in np.divmod(pixel, source.width))
    side = side[:, None] + latents.places(y, x, source.width)
    return side.reshape(-1, side.shape[-1]), kl


@torch.no_grad()
def evaluate(
    head: Head, latents: PictureLatents, source: Source, spread: Tensor, limit: int = 10**6
) -> dict[str, float]:
    """Bits/dim of the pixels, of the latents (KL), and of both."""
    torch.manual_seed(1)
    cost = kl = 0.0
    count, step = min(limit, len(source.sums)), max(1, 4096 // source.area)
    for i in range(0, count, step):
        index = np.arange(i, min(i + step, count))
        for pixel in np.array_split(np.arange(source.area), max(1, source.area // 4096)):
            f, m = source.batch(index, pixel)
            side, terms = side_of(latents, source, index, pixel)
            cost += float(bits(head(f, side), m, spread).sum())
        kl += float(terms.sum()) / math.log(2)
    dims = 3 * source.area * count
    return {"x": cost / dims, "kl": kl / dims, "total": (cost + kl) / dims}


def begin(
    head: Head, latents: PictureLatents, sources: list[Source], spread: Tensor, rng: np.random.Generator
) -> list[float]:
    """Start the latents from the head's gradients; see `PictureLatents.start`."""
    scores, fisher, excess = [], 0.0, []
    for source in sources:
        chosen = rng.permutation(len(source.sums))[:800]
        for i in chosen:
            f, m = source.batch(np.array([i]), rng.permutation(source.area)[:1024])
            side = torch.zeros(3, f.shape[1], head.config.hidden, requires_grad=True)
            (bits(head(f, side), m, spread).sum() * math.log(2)).backward()
            g = side.grad
            assert g is not None
            # As if all of the picture's pixels had been asked.
            scores.append(g.sum((0, 1)) / f.shape[1] * math.sqrt(source.area))
            fisher = fisher + sum(c.T @ c for c in g) / f.shape[1] / len(chosen) / len(sources)
        excess.append(source.excess[torch.from_numpy(chosen)])
    head.zero_grad()
    area = float(np.exp(np.mean([math.log(s.area) for s in sources])))
    return latents.start(torch.cat(excess), torch.stack(scores), torch.as_tensor(fisher), area)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line."""
    p = argparse.ArgumentParser(
        prog="python -m bbcodec.models.local.train_latents", description=__doc__.split("\n\n")[0]
    )
    p.add_argument("--init", required=True, help="checkpoint.pt of a head to start from")
    p.add_argument("--data", required=True, nargs="+", help="as of `local.train`, each of one size")
    p.add_argument("--valid", required=True, nargs="+")
    p.add_argument("--limit", type=int, default=3500, help="pictures of a source")
    p.add_argument("--latents", type=int, default=16)
    p.add_argument("--encoder", type=int, default=64, help="width of the encoder")
    p.add_argument("--keep", type=int, default=96, help="whitened inputs of the encoder")
    p.add_argument("--control", action="store_true", help="without latents")
    p.add_argument("--prior", type=float, default=8.0, metavar="PIXELS", help="that start every fit")
    p.add_argument("--ridge", type=int, default=16)
    p.add_argument("--lr", type=float, default=1.5e-3)
    p.add_argument("--tune", type=float, default=1e-3, help="learning rate of the head")
    p.add_argument("--minutes", type=float, default=30.0)
    p.add_argument("--steps", type=int, default=0, help="instead of minutes")
    p.add_argument("--samples", type=int, default=4096, help="pixels a step")
    p.add_argument("--pixels", type=int, default=128, help="of a picture in a step")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--out", type=Path, required=True)
    return p.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    rng = np.random.default_rng(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    head, _ = load_checkpoint(args.init)
    head.config = replace(head.config, ridge=args.ridge)
    spread = spreads()
    some = [picture for name in args.data for picture in evenly(data.load(name), 300)]
    start = make_prior(some, head.config, args.prior, args.threads)
    train = [look(name, head.config, start, args.limit, args.threads) for name in args.data]
    held = [look(name, head.config, start, args.limit, args.threads) for name in args.valid]
    mean = np.mean([(s.sums / s.area).mean(0) for s in train], axis=0)
    for s in train + held:
        s.excess = torch.from_numpy(inputs(s.sums, np.full(len(s.sums), s.area), mean)).float()
    scale, whiten = whitening(np.concatenate([s.excess.double().numpy() for s in train]), args.keep)
    latents = PictureLatents(
        args.latents, args.encoder, head.config.hidden, torch.from_numpy(mean), scale, whiten, args.control
    )
    shares = begin(head, latents, train, spread, rng)
    print("share of each latent that the inputs explain:", *(f"{s:.2f}" for s in shares), flush=True)
    optimizer = torch.optim.Adam(
        [
            {"params": list(latents.parameters()), "base": args.lr},
            {"params": list(head.parameters()), "base": args.tune},
        ],
        betas=(0.9, 0.99),
    )
    stop, begun, last, steps = Stop(), time.monotonic(), 0.0, 0
    curve: list[Any] = []

    def report(limit: int) -> None:
        values = [evaluate(head, latents, s, spread, limit) for s in held]
        curve.append([round((time.monotonic() - begun) / 60, 2), steps, values])
        line = " | ".join(f"x {v['x']:.4f} kl {v['kl']:.4f} total {v['total']:.4f}" for v in values)
        print(f"{curve[-1][0]:6.1f} min {steps:6d}  {line}", flush=True)

    report(60)
    while True:
        elapsed = time.monotonic() - begun
        done = steps / args.steps if args.steps else elapsed / (args.minutes * 60)
        if done >= 1 or stop.asked:
            break
        for group in optimizer.param_groups:
            group["lr"] = (
                group["base"] * (0.49 * (1 + math.cos(math.pi * done)) + 0.02) * min(1, (steps + 1) / 50)
            )
        source = train[steps % len(train)]
        index = rng.integers(0, len(source.sums), args.samples // args.pixels)
        pixel = rng.permutation(source.area)[: args.pixels]
        f, m = source.batch(index, pixel)
        side, kl = side_of(latents, source, index, pixel)
        loss = bits(head(f, side), m, spread).mean() + kl.sum() / math.log(2) / (3 * source.area * len(index))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(latents.parameters(), 1.0)
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
        head.clip_weights()
        steps += 1
        if elapsed - last > 120:
            last = elapsed
            report(60)
    report(10**6)
    payload = {
        "config": head.config.to_dict(),
        "model": head.state_dict(),
        "latents": latents.state_dict(),
        "latents_config": {"latents": args.latents, "encoder": args.encoder, "control": args.control},
        "seconds": time.monotonic() - begun,
        "steps": steps,
        "curve": curve,
        "arguments": recorded(args),
    }
    if start is not None:
        payload["prior"] = torch.from_numpy(start)
    torch.save(payload, args.out / "checkpoint.pt")
    print(json.dumps(curve[-1]), flush=True)


if __name__ == "__main__":
    main()
