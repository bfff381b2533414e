# SPDX-License-Identifier: Apache-2.0
"""Training of the network of the family `deep`, for a given time.

    python -m bbcodec.models.deep.train --data deep/train photos:photos/train@2 --valid deep/valid \
        --init models/candidates/photo.pt --minutes 60 --out run

The codec computes the samples that the network learns from. Those with a large spread are also taken as
samples of finer levels, which looks the same to the codec but for their number of bits.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from bbcodec import modelfile
from bbcodec.families.deep.model import DeepModel
from bbcodec.families.deep.native import observe
from bbcodec.families.deep.planes import kinds
from bbcodec.storage.atomic import atomic_write

from ..local.export import load_checkpoint
from ..local.head import SCALE_OFFSET, Head, HeadConfig
from ..local.train import FRESH, Samples, Schedule, recorded, train_head
from ..signals import Stop
from .export import export
from .sources import Chain, chains

KINDS: Final = 3
FACTS: Final = 4  # prediction, ks, sample, largest sample
LEAST_EXPONENT: Final = 12  # of a scale that shifts the window, see docs/deep.md
FINEST: Final = -5.0  # log2 of a component's least scale, in symbols
COARSEST: Final = 79 / 8 - 3
SCALE_FEATURES: Final = slice(23, 26)
FINER_FROM: Final = 60  # ks of samples that are also taken as finer ones
MOST_FINER: Final = 4  # bits
LARGEST_KS: Final = 88
_FLOOR: Final = 2.0**-20


def observed(chain: Chain, model: DeepModel) -> list[Samples]:
    """Return features and facts of the planes of each kind."""
    features, facts = observe(chain.samples, chain.planes, model)
    tops = np.repeat(chain.planes[:, 4].astype(np.int32), facts.shape[1]).reshape(*facts.shape[:2], 1)
    facts = np.concatenate([facts, tops], 2)
    kind = kinds(chain.planes)
    return [(features[kind == k].reshape(-1, 48), facts[kind == k].reshape(-1, FACTS)) for k in range(KINDS)]


def finer(part: Samples, rng: np.random.Generator) -> Samples:
    """Return samples with a large spread as samples of finer levels, by up to `MOST_FINER` bits."""
    features, facts = part[0].copy(), part[1].copy()
    room = np.where(facts[:, 1] >= FINER_FROM, (LARGEST_KS - facts[:, 1]) // 4, 0)
    more = rng.integers(0, np.minimum(np.maximum(room, 0), MOST_FINER) + 1).astype(np.int32)
    scaled = features[:, SCALE_FEATURES].astype(np.int32) + 12 * more[:, None]
    features[:, SCALE_FEATURES] = np.clip(scaled, -127, 127)
    facts[:, 0] <<= more
    facts[:, 1] += 4 * more
    facts[:, 2] = (facts[:, 2] << more) + (rng.random(len(more)) * (1 << more)).astype(np.int32)
    facts[:, 3] = ((facts[:, 3] + 1) << more) - 1
    return features, facts


def samples(sources: list[str], config: HeadConfig, pixels: int, seed: int) -> Samples:
    """Return features [3, n, 48] and facts [3, n, 4], from up to `pixels` random pixels of each plane.

    Kinds that have fewer samples than another have some of them several times.
    """
    blank = Head(replace(config, hidden=64, layers=0))
    model = DeepModel.from_model(modelfile.load(export(blank, {})))
    rng = np.random.default_rng(seed)
    found: list[list[Samples]] = [[] for _ in range(KINDS)]
    for source in sources:
        for chain in chains(source):
            for kind, (features, facts) in enumerate(observed(chain, model)):
                planes = int((kinds(chain.planes) == kind).sum())
                pick = rng.permutation(len(facts))[: pixels * min(planes, 4)]
                found[kind].append(finer((features[pick], facts[pick]), rng))
    parts = [[np.concatenate([part[n] for part in parts]) for n in range(2)] for parts in found]
    most = max(len(features) for features, _ in parts)
    every = [np.resize(rng.permutation(len(features)), most) for features, _ in parts]
    return tuple(  # type: ignore[return-value]
        np.stack([part[n][pick] for part, pick in zip(parts, every, strict=True)]) for n in range(2)
    )


@lru_cache(maxsize=1)
def spreads() -> Tensor:
    """Return the spread in levels of each index ks, [96] (V_k / 512)."""
    return torch.tensor([math.ldexp(1 + ((k & 3) + 0.5) / 4, k >> 2) / 512 for k in range(96)])


def bits(outputs: Tensor, facts: Tensor) -> Tensor:
    """Return the bits of samples, [3, n], given facts [3, n, 4] and outputs [3, n, 3 J]."""
    spread = spreads().to(outputs.device)
    j = outputs.shape[-1] // 3
    ks, x, top = facts[..., 1:2].long(), facts[..., 2:3], facts[..., 3:4]
    sigma = spread[ks]
    shift = ((ks >> 2) - LEAST_EXPONENT).clamp(min=0)
    width = torch.exp2(shift.float())
    first = (x >> shift) << shift  # of the symbol's levels
    distance = (64 * first - facts[..., 0:1]).float() / 64 - sigma * outputs[..., :j]
    log_scale = torch.log(sigma / width) + outputs[..., j : 2 * j] - SCALE_OFFSET
    log_scale = log_scale.clamp(FINEST * math.log(2), COARSEST * math.log(2))
    inverse = torch.exp(-log_scale) / width
    below, above = (distance - 0.5) * inverse, (distance + width - 0.5) * inverse
    is_first, is_last = first == 0, (x >> shift) == (top >> shift)
    upper = torch.where(is_last, torch.ones_like(above), torch.sigmoid(above))
    lower = torch.where(is_first, torch.zeros_like(below), torch.sigmoid(below))
    # Above the mean, use the complements: differences of small numbers are more precise.
    beyond = (distance > 0) & ~is_first & ~is_last
    mass = torch.where(beyond, torch.sigmoid(-below) - torch.sigmoid(-above), upper - lower)
    p = (torch.softmax(outputs[..., 2 * j :], -1) * mass).sum(-1)
    return shift[..., 0] - torch.log2(p * (1 - 256 * _FLOOR) + _FLOOR)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    p = argparse.ArgumentParser(
        prog="python -m bbcodec.models.deep.train", description=__doc__.split("\n\n")[0]
    )
    p.add_argument("--data", required=True, nargs="+", help="folders of .npz files, or photos:FOLDER@N")
    p.add_argument("--valid", required=True, nargs="+", help="arrays to validate on")
    p.add_argument(
        "--earlier", type=int, nargs=2, default=(9, 5), help="positions in each reference, of both predictors"
    )
    p.add_argument("--pixels", type=int, default=16384, help="pixels kept of each plane, of at most 4")
    p.add_argument("--batch", type=int, default=1536, help="pixels of each kind per step")
    p.add_argument("--lr", type=float, default=2e-3, help="largest learning rate")
    p.add_argument("--minutes", type=float, default=60.0, help="time budget of all runs of the checkpoint")
    p.add_argument("--validate-every", type=float, default=3.0, metavar="MINUTES")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--threads", type=int, default=1, help="CPU threads")
    p.add_argument("--device", default="cpu", help="cpu or cuda")
    p.add_argument("--resume", default=None, help="checkpoint.pt to go on from")
    p.add_argument("--init", default=None, help="checkpoint.pt of `local` to start from its weights")
    p.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt")
    return p.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Train as the command line says."""
    args = parse(argv)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    head, state = load_checkpoint(args.resume or args.init)
    if not args.resume:
        head.config = replace(head.config, earlier=tuple(args.earlier))
        state = dict(FRESH)
    train = samples(args.data, head.config, args.pixels, args.seed)
    valid = samples(args.valid, head.config, args.pixels, args.seed + 1)
    stop = Stop()

    def save(state: dict[str, Any]) -> None:
        payload = {
            "config": head.config.to_dict(),
            "model": head.state_dict(),
            **state,
            "arguments": recorded(args),
        }
        with atomic_write(args.out / "checkpoint.pt", overwrite=True) as file:
            torch.save(payload, file)

    names = ("minutes", "lr", "batch", "seed", "device", "validate_every")
    schedule = Schedule(**{name: getattr(args, name) for name in names})
    train_head(
        head,
        train,
        valid,
        schedule,
        state=state,
        save=save,
        stopped=lambda: stop.is_requested,
        objective=bits,
    )


if __name__ == "__main__":
    main()
