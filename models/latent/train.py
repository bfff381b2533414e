# SPDX-License-Identifier: Apache-2.0
"""Training of a latent-variable network for a given time or number of steps.

    python -m bbcodec.models.latent.train --family rvae --data photos/train --valid photos/valid \\
        --minutes 100 --out run/rvae
    python -m bbcodec.models.latent.train --resume run/rvae/checkpoint.pt --minutes 160 \\
        --data photos/train --valid photos/valid --out run/rvae
    python -m bbcodec.models.latent.export run/rvae/checkpoint.pt models/released/rvae.bbm

The learning rate follows a cosine over the time budget or, if that ends first, over `--steps`. `--minutes`
counts all runs of a checkpoint, so that a run that is stopped early is a checkpoint of a longer one. With
`--by-steps`, the learning rate, pictures and noise of a step depend only on the seed and the step's number.
A resumed training then ends with the same weights as an uninterrupted one, on the same machine. `--ema`
averages the weights over the last steps; validation and export use the average.

SIGINT and SIGTERM write a last checkpoint and end the process with exit status 128 plus the signal's number.
The log shows the KL of every latent layer. A layer that stays near zero has collapsed and needs
`--free-bits`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .. import data
from ..config import FAMILIES, NORMS, PRECISIONS, Config, FlowConfig, Recipe, config_from_dict
from ..signals import Stop
from .checkpoint import build, load_checkpoint, restore_optimizer, save_checkpoint
from .layers import BinaryConv
from .network import Bound, Network


class Average:
    """Exponential moving average of a network's weights, in a copy of the network.

    Binary layers average the real weights behind the signs and use the signs of the average. Buffers
    (statistics of batch norm) are copied, because they are averages already.

    Attributes
    ----------
    network : network with the averaged weights.
    decay : share of the old average that is left after a step. It is smaller at first, (1 + t) / (10 + t)
        after t steps, so that the random initial weights soon lose their influence.
    """

    def __init__(self, model: Network, decay: float):
        self.network = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: Network, step: int) -> None:
        """Include the weights after step `step`, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for averaged, new in zip(self.network.parameters(), model.parameters(), strict=True):
            averaged.lerp_(new, 1 - decay)
        for kept, new_buffer in zip(self.network.buffers(), model.buffers(), strict=True):
            kept.copy_(new_buffer)


@torch.no_grad()
def evaluate(model: Network, images: Tensor, batch: int = 8) -> tuple[float, list[float]]:
    """Return the negative ELBO and the KL of each layer in bits/dim, on images [N, 3, S, S].

    The noise is the same at every call, and the state of torch's random number generators does not change.
    """
    was_training = model.training
    model.eval()
    total, kls = 0.0, np.zeros(0)
    with torch.random.fork_rng(devices=[images.device] if images.is_cuda else []):
        torch.manual_seed(0)
        for part in images.split(batch):
            terms: Bound = model(part)
            total += float(terms.bits_per_dim()) * len(part)
            layer_kls = np.array(terms.kl_bits_per_dim()) * len(part)
            kls = kls + layer_kls if kls.size else layer_kls
    model.train(was_training)
    return total / len(images), (kls / len(images)).tolist()


def _add_network_options(p: argparse.ArgumentParser) -> None:
    p.add_argument("--family", choices=FAMILIES, default="rvae")
    p.add_argument("--width", type=int, default=64, help="channels of the residual streams")
    p.add_argument("--layers", default="2,1,1,1", help="latent layers at 1/2, 1/4, 1/8 ... resolution")
    p.add_argument("--latents", type=int, default=12, help="channels of a latent layer")
    p.add_argument(
        "--units", type=int, default=2, help="residual units per layer and direction; 0: no residual"
    )
    p.add_argument("--precision", choices=PRECISIONS, default="1/1", help="weights/activations")
    p.add_argument("--scales", type=int, default=3, help="flowpp: halvings of the resolution")
    p.add_argument("--mixtures", type=int, default=4, help="flowpp: logistics in a mixture")
    p.add_argument("--norm", choices=NORMS, default="binary", help="factor of the binary kernels")
    p.add_argument("--bases", type=int, default=1, help="binary kernels that sum to one weight")
    p.add_argument("--stochastic", action="store_true", help="stochastic binarization of weights")
    p.add_argument(
        "--clip", type=float, default=1.0, help="bound of the real weights behind the signs; 0: none"
    )


def _add_training_options(p: argparse.ArgumentParser) -> None:
    p.add_argument(
        "--free-bits", type=float, default=0.03, help="bits per latent channel and position without cost"
    )
    p.add_argument(
        "--data",
        required=True,
        help="folder, cifar10:FOLDER or file.npz[a:b], each with @SIZE for thumbnails; separated by commas",
    )
    p.add_argument(
        "--weights", default=None, help="share of each source of --data in the crops; default: by area"
    )
    p.add_argument(
        "--mirror", action="store_true", help="mirror crops left-right only; default: transpose some too"
    )
    p.add_argument("--valid", required=True, help="pictures to validate on; sources as in --data")
    p.add_argument("--valid-pictures", type=int, default=64, help="largest number of pictures to validate on")
    p.add_argument(
        "--thumbnails", type=int, default=None, metavar="SIZE", help="train on thumbnails of this size"
    )
    p.add_argument("--crop", type=int, default=64, help="side of a crop in pixels")
    p.add_argument("--batch", type=int, default=8, help="crops per step")
    p.add_argument("--lr", type=float, default=2e-3, help="largest learning rate")
    p.add_argument("--ema", type=float, default=0.0, help="decay of the average of the weights; 0: none")
    p.add_argument(
        "--minutes", type=float, default=60.0, help="time budget; with --by-steps a limit, 0: none"
    )
    p.add_argument("--steps", type=int, default=0, help="largest number of steps; 0: by time only")
    p.add_argument("--by-steps", action="store_true", help="make the schedule depend on steps only")
    p.add_argument("--validate-every", type=float, default=3.0, metavar="MINUTES")
    p.add_argument(
        "--validate-steps", type=int, default=0, help="steps between validations; 0: by --validate-every"
    )
    p.add_argument("--save-every", type=float, default=5.0, metavar="MINUTES")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all")
    p.add_argument("--device", default="cpu", help="cpu or cuda")
    p.add_argument("--resume", default=None, help="checkpoint.pt to go on from")
    p.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line; each switch of the recipe is one option."""
    p = argparse.ArgumentParser(
        prog="python -m bbcodec.models.latent.train", description=__doc__.split("\n\n")[0]
    )
    _add_network_options(p)
    _add_training_options(p)
    args = p.parse_args(argv)
    if args.by_steps and args.steps <= 0:
        p.error("--by-steps needs --steps N with N greater than 0")
    if not 0 <= args.ema < 1:
        p.error(f"--ema must be at least 0 and less than 1 (got {args.ema:g})")
    return args


def optimizer_for(model: nn.Module, lr: float) -> torch.optim.Adam:
    """Return Adam; the real weights behind signs take larger steps, because only their sign counts."""
    binary = [m.v for m in model.modules() if isinstance(m, BinaryConv)]
    ids = {id(v) for v in binary}
    rest = [p for p in model.parameters() if id(p) not in ids]
    return torch.optim.Adam(
        [{"params": rest, "lr": lr, "scale": 1.0}, {"params": binary, "lr": lr, "scale": 2.0}],
        betas=(0.9, 0.99),
        fused=True,  # one C++ loop over all parameters
    )


def configuration(args: argparse.Namespace) -> Recipe:
    """Return the configuration that the command line asks for."""
    recipe: dict[str, Any] = {
        "family": args.family, "width": args.width, "units": args.units, "precision": args.precision,
        "bases": args.bases, "norm": args.norm, "stochastic": args.stochastic, "clip": args.clip,
    }  # fmt: skip
    if args.family in FlowConfig.families:
        return FlowConfig(**recipe, scales=args.scales, mixtures=args.mixtures)
    layers = tuple(int(n) for n in args.layers.split(","))
    return Config(**recipe, layers=layers, latents=args.latents)


def seed_step(seed: int, step: int) -> None:
    """Seed torch's random numbers for one step, so that they do not depend on earlier draws."""
    torch.manual_seed(int(np.random.SeedSequence([seed, step]).generate_state(1)[0]))


@dataclass(frozen=True)
class Images:
    """Images of a training.

    Attributes
    ----------
    batches : endless batches of crops [batch, 3, S, S].
    valid : crops to validate on, [N, 3, S, S].
    count : pictures that the crops are cut from.
    """

    batches: Iterator[Tensor]
    valid: Tensor
    count: int


def load_images(args: argparse.Namespace, step: int) -> Images:
    """Load the pictures of the command line; the first batch is that of step `step`."""
    sources = data.load_each(args.data, args.thumbnails)
    chances = None
    if args.weights:
        chances = data.shares(sources, [float(w) for w in args.weights.split(",")], args.crop)
    pictures = [picture for source in sources for picture in source]
    valid = data.central_crops(data.load(args.valid, args.thumbnails), args.crop, limit=args.valid_pictures)
    batches = data.crops(
        pictures, args.crop, args.batch, args.seed if args.by_steps else args.seed + step,
        chances=chances, transpose=not args.mirror, step=step if args.by_steps else None,
    )  # fmt: skip
    return Images(batches, valid.to(args.device), len(pictures))


class Trainer:
    """One run of a training: network, optimizer and average, at a step of the schedule.

    Parameters
    ----------
    args : options of the command line, see `parse`.

    Attributes
    ----------
    steps : steps of all runs of the checkpoint.
    seconds : time of the earlier runs.
    elapsed : time of all runs in seconds, at the beginning of the current step.
    curve : [minutes, steps, bits/dim] of each validation.
    """

    def __init__(self, args: argparse.Namespace):
        self.args = args
        state: dict[str, Any] = {"seconds": 0.0, "steps": 0, "curve": []}
        if args.resume:
            model, state = load_checkpoint(args.resume)
            self.config = config_from_dict(state["config"])
        else:
            self.config = configuration(args)
            model = build(self.config)
        self.model = model.to(args.device).train()
        self.average = Average(self.model, args.ema) if args.ema else None
        if "average" in state:  # the network was loaded with the average
            self.model.load_state_dict(state["model"])
        self.optimizer = optimizer_for(self.model, args.lr)
        if "optimizer" in state:
            restore_optimizer(self.optimizer, state["optimizer"])
        self.binary_layers = [m for m in self.model.modules() if isinstance(m, BinaryConv)]
        self.steps, self.curve = int(state["steps"]), list(state["curve"])
        self.seconds = self.elapsed = float(state["seconds"])
        self._first_step = self.steps
        self._running = 0.0  # moving average of the bits/dim in training
        self._skipped = 0  # steps with a gradient that is not finite

    def run(self, images: Images, stop: Stop) -> None:
        """Step until the schedule ends or a signal arrives; validate and save at intervals and at the end."""
        args = self.args
        begun = last_valid = last_saved = time.monotonic()
        while True:
            self.elapsed = self.seconds + time.monotonic() - begun
            done = self._done()
            if done >= 1 or stop.is_requested:
                break
            self._step(images.batches, done)
            now = time.monotonic()
            if args.validate_steps:
                is_due = self.steps % args.validate_steps == 0
            else:
                is_due = now - last_valid > args.validate_every * 60
            if is_due:
                self._validate(images.valid)
                last_valid = now
            if is_due or now - last_saved > args.save_every * 60:
                self._save()
                last_saved = now
        # A stopped run has little time left, and an uninterrupted one would not have validated at this step.
        is_validated = bool(self.curve) and self.curve[-1][1] == self.steps
        if not (args.by_steps and (stop.is_requested or is_validated)):
            self._validate(images.valid)
        self._save()

    def _done(self) -> float:
        """Return the share of the schedule that is done; at least 1 once the training has to end."""
        args = self.args
        share_of_steps = self.steps / args.steps if args.steps else 0.0
        if args.minutes and self.elapsed >= args.minutes * 60:
            return 1.0
        if args.by_steps:
            return share_of_steps
        return max(self.elapsed / (args.minutes * 60), share_of_steps) if args.minutes else 1.0

    def _step(self, batches: Iterator[Tensor], done: float) -> None:
        """Take one step; skip it where the gradient is not finite."""
        args, model = self.args, self.model
        rate = 0.5 * (1 + math.cos(math.pi * done)) * min(1.0, (self.steps + 1) / 100)
        for group in self.optimizer.param_groups:
            group["lr"] = args.lr * rate * group["scale"]
        if args.by_steps:
            seed_step(args.seed, self.steps)
        x = next(batches).to(args.device, memory_format=torch.channels_last)
        terms: Bound = model(x)
        loss = terms.loss(args.free_bits * (1 - done))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        if torch.isfinite(norm):
            self.optimizer.step()
            for layer in self.binary_layers:
                layer.clip_weights()
            if self.average is not None:
                self.average.update(model, self.steps)
            bits = float(terms.bits_per_dim().detach())
            is_first = self.steps == self._first_step
            self._running = bits if is_first else 0.98 * self._running + 0.02 * bits
        else:
            self._skipped += 1
        self.steps += 1

    def _validate(self, valid: Tensor) -> None:
        """Add a point to the curve and print it."""
        model = self.model if self.average is None else self.average.network
        bits, kls = evaluate(model, valid, self.args.batch)
        minutes = self.elapsed / 60
        self.curve.append([round(minutes, 2), self.steps, round(bits, 4)])
        line = f"{minutes:7.1f} min  step {self.steps:7d}  train {self._running:.4f}  valid {bits:.4f} bpd"
        line += f"  KL [{' '.join(f'{k:.3f}' for k in kls)}]"
        print(line + (f"  skipped {self._skipped}" if self._skipped else ""), flush=True)

    def _save(self) -> None:
        payload = {
            "config": self.config.to_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "seconds": self.elapsed,
            "steps": self.steps,
            "curve": self.curve,
            "arguments": vars(self.args) | {"out": str(self.args.out)},
        }
        if self.average is not None:
            payload["average"] = self.average.network.state_dict()
        save_checkpoint(self.args.out / "checkpoint.pt", payload)


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says."""
    args = parse(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(args)
    images = load_images(args, trainer.steps)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    print(
        f"{trainer.config.family}: {parameters:,} parameters, {images.count} pictures, "
        f"{json.dumps(trainer.config.to_dict())}",
        flush=True,
    )
    stop = Stop()
    trainer.run(images, stop)
    if stop.is_requested:
        sys.exit(128 + stop.signal_number)


if __name__ == "__main__":
    main()
