# SPDX-License-Identifier: Apache-2.0
"""Train a model for a given time; resume, validate, checkpoint.

    python -m bbcodec.models.latent.train --family rvae --data photos/train --valid photos/valid \\
        --minutes 100 --out run/rvae
    python -m bbcodec.models.latent.train --resume run/rvae/checkpoint.pt --minutes 160 \\
        --data photos/train --valid photos/valid --out run/rvae
    python -m bbcodec.models.latent.export run/rvae/checkpoint.pt models/released/rvae.bbm

The learning rate follows a cosine over the time budget (`--minutes` counts all runs of a checkpoint) or, if
that ends first, over `--steps`, so a run that is stopped early is a checkpoint of a longer one. With
`--by-steps` the learning rate, the pictures and the noise of a step depend on the seed and the step's number
alone: a training that was stopped and resumed ends with the same weights as one that was not, on the same
machine. `--ema` averages the weights over the last steps; validation and export use the average.

SIGINT and SIGTERM write a last checkpoint and end the process with exit status 128 plus the signal's number.
The log shows the KL of every latent layer: a layer that stays near zero has collapsed; give it `--free-bits`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
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
    """Network in evaluation mode and the checkpoint's dictionary (weights_only: no code is run).

    The network has the averaged weights if the checkpoint holds any (``average``), else the raw ones
    (``model``).
    """
    state = torch.load(path, map_location="cpu", weights_only=True)
    model = build(config_from_dict(state["config"]))
    model.load_state_dict(state.get("average", state["model"]))
    return model.eval(), state


def save_checkpoint(path: Path, payload: dict[str, Any]) -> None:
    """Write a checkpoint whole or not at all, also when the machine stops meanwhile."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as file:
        torch.save(payload, file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


class Average:
    """Exponential moving average of a network's weights, in a network of its own.

    Of a binary layer, the real weights behind the signs are averaged, and the network has the signs of their
    average. Buffers (statistics of batch norm) are copied: they are averages already.

    Attributes
    ----------
    network : has the averaged weights.
    decay : share of the old average that is left after a step. Less at first, (1 + t) / (10 + t) after t
        steps, so that the random weights of the beginning are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float):
        self.network = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for mine, theirs in zip(self.network.parameters(), model.parameters(), strict=True):
            mine.lerp_(theirs, 1 - decay)
        for mine, theirs in zip(self.network.buffers(), model.buffers(), strict=True):
            mine.copy_(theirs)


@torch.no_grad()
def evaluate(model: nn.Module, images: torch.Tensor, batch: int = 8) -> tuple[float, list[float]]:
    """Negative ELBO and KL of each layer, in bits per dim, on images [N, 3, S, S].

    The noise is the same each time, and the generators of random numbers are left as they were.
    """
    was_training = model.training
    model.eval()
    total, kls, count = 0.0, [0.0], 0
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(0)
        for part in images.split(batch):
            terms: Terms | FlowTerms = model(part)
            total += float(terms.bits_per_dim()) * len(part)
            layer_kls = terms.kl_bits_per_dim()
            kls = [
                a + b * len(part)
                for a, b in zip(kls * len(layer_kls) if count == 0 else kls, layer_kls, strict=True)
            ]
            count += len(part)
    model.train(was_training)
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
    p.add_argument(
        "--data", required=True, help="folder, cifar10:FOLDER or file.npz[a:b], each with @SIZE; by commas"
    )
    p.add_argument("--weights", default=None, help="share of each source of --data; default: by area")
    p.add_argument(
        "--mirror", action="store_true", help="mirror crops left-right only; default: transpose some too"
    )
    p.add_argument("--valid", required=True, help="as --data")
    p.add_argument("--valid-pictures", type=int, default=64, help="to validate on, at most")
    p.add_argument(
        "--thumbnails", type=int, default=None, metavar="SIZE", help="train on thumbnails of this size"
    )
    p.add_argument("--crop", type=int, default=64)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--ema", type=float, default=0.0, help="decay of the average of the weights; 0: none")
    p.add_argument("--minutes", type=float, default=60.0, help="with --by-steps: a limit, 0: none")
    p.add_argument("--steps", type=int, default=0, help="end after so many at the latest; 0: by time alone")
    p.add_argument("--by-steps", action="store_true", help="the schedule depends on steps alone")
    p.add_argument("--validate-every", type=float, default=3.0, metavar="MINUTES")
    p.add_argument("--validate-steps", type=int, default=0, help="validate by steps; 0: by minutes")
    p.add_argument("--save-every", type=float, default=5.0, metavar="MINUTES")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all")
    p.add_argument("--device", default="cpu", help="cpu or cuda")
    p.add_argument("--resume", default=None, help="checkpoint.pt to go on from")
    p.add_argument("--out", type=Path, required=True)
    args = p.parse_args(argv)
    if args.by_steps and args.steps <= 0:
        p.error("--by-steps needs --steps")
    if not 0 <= args.ema < 1:
        p.error(f"--ema must be at least 0 and less than 1 (got {args.ema:g})")
    return args


def optimizer_for(model: nn.Module, lr: float) -> torch.optim.Adam:
    """Adam; the real weights behind the signs take larger steps, since only their sign counts."""
    binary = [m.v for m in model.modules() if isinstance(m, BinaryConv)]
    ids = {id(v) for v in binary}
    rest = [p for p in model.parameters() if id(p) not in ids]
    return torch.optim.Adam(
        [{"params": rest, "lr": lr, "scale": 1.0}, {"params": binary, "lr": lr, "scale": 2.0}],
        betas=(0.9, 0.99),
        fused=True,  # a loop over all parameters in C++
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


def restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimizer's state; a first moment that was left out (`pack_checkpoint`) begins at zero."""
    for moments in state["state"].values():
        moments.setdefault("exp_avg", torch.zeros_like(moments["exp_avg_sq"]))
    optimizer.load_state_dict(state)


def seed_step(seed: int, step: int) -> None:
    """Seed torch's random numbers for one step, so that they do not depend on what was drawn before."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))


class Stop:
    """Turns SIGINT and SIGTERM into a clean last checkpoint.

    Attributes
    ----------
    asked : number of the signal that came, 0 before.
    """

    def __init__(self) -> None:
        self.asked = 0
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, self._ask)

    def _ask(self, number: int, _: object) -> None:
        self.asked = number


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
    average = Average(model, args.ema) if args.ema else None
    if "average" in state:
        model.load_state_dict(state["model"])  # the network came with the average
    optimizer = optimizer_for(model, args.lr)
    if "optimizer" in state:
        restore_optimizer(optimizer, state["optimizer"])
    each = data.load_each(args.data, args.thumbnails)
    chances = None
    if args.weights:
        chances = data.shares(each, [float(w) for w in args.weights.split(",")], args.crop)
    train = [picture for pictures in each for picture in pictures]
    valid = data.load(args.valid, args.thumbnails)
    valid = data.central_crops(valid, args.crop, limit=args.valid_pictures).to(args.device)
    batches = data.crops(
        train, args.crop, args.batch, args.seed if args.by_steps else args.seed + state["steps"],
        chances=chances, transpose=not args.mirror, step=state["steps"] if args.by_steps else None,
    )  # fmt: skip
    binary = [m for m in model.modules() if isinstance(m, BinaryConv)]
    parameters = sum(p.numel() for p in model.parameters())
    print(
        f"{config.family}: {parameters:,} parameters, {len(train)} pictures, {json.dumps(config.to_dict())}",
        flush=True,
    )

    stop, begun, spent = Stop(), time.monotonic(), float(state["seconds"])
    total, last_valid, last_saved = args.minutes * 60, time.monotonic(), time.monotonic()
    steps, curve = int(state["steps"]), list(state["curve"])
    running, skipped = 0.0, 0

    def validate() -> None:
        bpd, kls = evaluate(model if average is None else average.network, valid, args.batch)
        curve.append([round(elapsed / 60, 2), steps, round(bpd, 4)])
        shown = " ".join(f"{k:.3f}" for k in kls)
        line = f"{elapsed / 60:7.1f} min  step {steps:7d}  train {running:.4f}  valid {bpd:.4f} bpd"
        print(f"{line}  KL [{shown}]" + (f"  skipped {skipped}" if skipped else ""), flush=True)

    def save() -> None:
        payload = {
            "config": config.to_dict(),
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "seconds": elapsed,
            "steps": steps,
            "curve": curve,
            "arguments": vars(args) | {"out": str(args.out)},
        }
        if average is not None:
            payload["average"] = average.network.state_dict()
        save_checkpoint(args.out / "checkpoint.pt", payload)

    while True:
        elapsed = spent + time.monotonic() - begun
        done = steps / args.steps if args.steps else 0.0
        out_of_time = bool(total) and elapsed >= total
        if not args.by_steps:
            done = max(elapsed / total, done) if total else 1.0
        if done >= 1 or out_of_time or stop.asked:
            break
        rate = 0.5 * (1 + math.cos(math.pi * done)) * min(1.0, (steps + 1) / 100)
        for group in optimizer.param_groups:
            group["lr"] = args.lr * rate * group["scale"]
        if args.by_steps:
            seed_step(args.seed, steps)
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
            if average is not None:
                average.update(model, steps)
            bpd = float(terms.bits_per_dim().detach())
            running = bpd if steps == int(state["steps"]) else 0.98 * running + 0.02 * bpd
        else:
            skipped += 1
        steps += 1
        now = time.monotonic()
        if args.validate_steps:
            due = steps % args.validate_steps == 0
        else:
            due = now - last_valid > args.validate_every * 60
        if due:
            validate()
            last_valid = now
        if due or now - last_saved > args.save_every * 60:
            save()
            last_saved = now
    # A stopped run has little time left, and a validation of it would not be in the curve of a whole one.
    if not (args.by_steps and (stop.asked or (curve and curve[-1][1] == steps))):
        validate()
    save()
    if stop.asked:
        sys.exit(128 + stop.asked)


if __name__ == "__main__":
    main()
