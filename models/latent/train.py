# SPDX-License-Identifier: Apache-2.0
"""Train a model for a given time; resume, validate, checkpoint.

    python -m bbcodec.models.latent.train --family rvae --data photos/train --valid photos/valid \\
        --minutes 100 --out run/rvae
    python -m bbcodec.models.latent.train --resume run/rvae/checkpoint.pt --minutes 160 \\
        --data photos/train --valid photos/valid --out run/rvae
    python -m bbcodec.models.latent.export run/rvae/checkpoint.pt models/released/rvae.bbm

The learning rate follows a cosine over the time budget (`--minutes` counts all runs of a checkpoint) or, if
that ends first, over `--steps`, so a run that is stopped early is a checkpoint of a longer one. The log shows
the KL of every latent layer: a layer that stays near zero has collapsed; give it `--free-bits`.
"""

from __future__ import annotations

import argparse
import json
import math
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from .. import data
from ..config import FAMILIES, NORMS, PRECISIONS, Config, FlowConfig, Recipe, config_from_dict
from .flowpp import FlowPP, FlowTerms
from .layers import BinaryConv
from .markov import Markov
from .outputs import Terms
from .rvae import RVAE


def build(config: Recipe) -> nn.Module:
    """The network of a configuration."""
    return {"rvae": RVAE, "markov": Markov, "flowpp": FlowPP}[config.family](config)


def load_checkpoint(path: str | Path) -> tuple[nn.Module, dict[str, Any]]:
    """Network in evaluation mode and the checkpoint's dictionary (weights_only: no code is run)."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    model = build(config_from_dict(state["config"]))
    model.load_state_dict(state["model"])
    return model.eval(), state


@torch.no_grad()
def evaluate(model: nn.Module, images: torch.Tensor, batch: int = 8) -> tuple[float, list[float]]:
    """Negative ELBO and KL of each layer, in bits per dim, on images [N, 3, S, S]."""
    model.eval()
    total, kls, count = 0.0, [0.0], 0
    for part in images.split(batch):
        terms: Terms | FlowTerms = model(part)
        total += float(terms.bits_per_dim()) * len(part)
        layer_kls = terms.kl_bits_per_dim()
        kls = [
            a + b * len(part)
            for a, b in zip(kls * len(layer_kls) if count == 0 else kls, layer_kls, strict=True)
        ]
        count += len(part)
    model.train()
    return total / count, [k / count for k in kls]


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line; every switch of the recipe is one option."""
    p = argparse.ArgumentParser(
        prog="python -m bbcodec.models.latent.train", description=__doc__.split("\n\n")[0]
    )
    p.add_argument("--family", choices=FAMILIES, default="rvae")
    p.add_argument("--width", type=int, default=64)
    p.add_argument("--layers", default="2,1,1,1", help="latent layers at 1/2, 1/4, 1/8 ... resolution")
    p.add_argument("--latents", type=int, default=12, help="channels of a latent layer")
    p.add_argument(
        "--units", type=int, default=2, help="residual units a layer and direction; 0: no residual"
    )
    p.add_argument("--precision", choices=PRECISIONS, default="1/1", help="weights/activations")
    p.add_argument("--scales", type=int, default=3, help="of a flow: halvings of the resolution")
    p.add_argument("--mixtures", type=int, default=4, help="of a flow: logistics in a mixture")
    p.add_argument("--norm", choices=NORMS, default="binary", help="what binary kernels are multiplied with")
    p.add_argument("--bases", type=int, default=1, help="binary kernels that sum to one weight")
    p.add_argument("--stochastic", action="store_true", help="stochastic binarization of weights")
    p.add_argument(
        "--clip", type=float, default=1.0, help="bound of the real weights behind the signs; 0: none"
    )
    p.add_argument("--free-bits", type=float, default=0.03, help="per latent channel and position")
    p.add_argument("--data", required=True, help="folder, cifar10:FOLDER or file.npz[a:b]")
    p.add_argument("--valid", required=True, help="likewise")
    p.add_argument(
        "--thumbnails", type=int, default=None, metavar="SIZE", help="train on thumbnails of this size"
    )
    p.add_argument("--crop", type=int, default=64)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--minutes", type=float, default=60.0)
    p.add_argument("--steps", type=int, default=0, help="end after so many at the latest; 0: by time alone")
    p.add_argument("--validate-every", type=float, default=3.0, metavar="MINUTES")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all")
    p.add_argument("--device", default="cpu", help="cpu or cuda")
    p.add_argument("--resume", default=None, help="checkpoint.pt to go on from")
    p.add_argument("--out", type=Path, required=True)
    return p.parse_args(argv)


def optimizer_for(model: nn.Module, lr: float) -> torch.optim.Adam:
    """Adam; the real weights behind the signs take larger steps, since only their sign counts."""
    binary = [m.v for m in model.modules() if isinstance(m, BinaryConv)]
    ids = {id(v) for v in binary}
    rest = [p for p in model.parameters() if id(p) not in ids]
    return torch.optim.Adam(
        [{"params": rest, "lr": lr, "scale": 1.0}, {"params": binary, "lr": lr, "scale": 2.0}],
        betas=(0.9, 0.99),
    )


def configuration(args: argparse.Namespace) -> Recipe:
    """Configuration that the command line asks for."""
    recipe = {
        "family": args.family, "width": args.width, "units": args.units, "precision": args.precision,
        "bases": args.bases, "norm": args.norm, "stochastic": args.stochastic, "clip": args.clip,
    }  # fmt: skip
    if args.family in FlowConfig.families:
        return FlowConfig(**recipe, scales=args.scales, mixtures=args.mixtures)
    layers = tuple(int(n) for n in args.layers.split(","))
    return Config(**recipe, layers=layers, latents=args.latents)


class Stop:
    """Turns SIGINT and SIGTERM into a clean last checkpoint."""

    def __init__(self) -> None:
        self.asked = False
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says."""
    args = parse(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    state: dict[str, Any] = {"seconds": 0.0, "steps": 0, "curve": []}
    if args.resume:
        model, state = load_checkpoint(args.resume)
        config = config_from_dict(state["config"])
    else:
        config = configuration(args)
        model = build(config)
    model = model.to(args.device).train()
    optimizer = optimizer_for(model, args.lr)
    if "optimizer" in state:
        optimizer.load_state_dict(state["optimizer"])
    train = data.load(args.data, args.thumbnails)
    valid = data.central_crops(data.load(args.valid, args.thumbnails), args.crop, limit=64).to(args.device)
    batches = data.crops(train, args.crop, args.batch, args.seed + state["steps"])
    binary = [m for m in model.modules() if isinstance(m, BinaryConv)]
    parameters = sum(p.numel() for p in model.parameters())
    print(
        f"{config.family}: {parameters:,} parameters, {len(train)} pictures, {json.dumps(config.to_dict())}",
        flush=True,
    )

    stop, begun, spent = Stop(), time.monotonic(), float(state["seconds"])
    total, last_valid, running, skipped = args.minutes * 60, time.monotonic(), 0.0, 0
    steps, curve = int(state["steps"]), list(state["curve"])

    def checkpoint() -> None:
        bpd, kls = evaluate(model, valid)
        curve.append([round(elapsed / 60, 2), steps, round(bpd, 4)])
        shown = " ".join(f"{k:.3f}" for k in kls)
        line = f"{elapsed / 60:7.1f} min  step {steps:7d}  train {running:.4f}  valid {bpd:.4f} bpd"
        print(f"{line}  KL [{shown}]" + (f"  skipped {skipped}" if skipped else ""), flush=True)
        payload = {
            "config": config.to_dict(),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "seconds": elapsed,
            "steps": steps,
            "curve": curve,
            "arguments": vars(args) | {"out": str(args.out)},
        }
        torch.save(payload, args.out / "checkpoint.tmp")
        (args.out / "checkpoint.tmp").replace(args.out / "checkpoint.pt")

    while True:
        elapsed = spent + time.monotonic() - begun
        done = min(1.0, max(elapsed / total, steps / args.steps if args.steps else 0.0))
        if done >= 1 or stop.asked:
            break
        rate = 0.5 * (1 + math.cos(math.pi * done)) * min(1.0, (steps + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * rate * group["scale"]
        x = next(batches).to(args.device, memory_format=torch.channels_last)
        terms: Terms | FlowTerms = model(x)
        loss = terms.loss(args.free_bits * (1 - done))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        if torch.isfinite(norm):
            optimizer.step()
            for layer in binary:
                layer.clip_weights()
            bpd = float(terms.bits_per_dim().detach())
            running = bpd if steps == int(state["steps"]) else 0.98 * running + 0.02 * bpd
        else:
            skipped += 1
        steps += 1
        if time.monotonic() - last_valid > args.validate_every * 60:
            checkpoint()
            last_valid = time.monotonic()
    checkpoint()


if __name__ == "__main__":
    main()
