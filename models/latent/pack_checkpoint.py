# SPDX-License-Identifier: Apache-2.0
"""Shrink a checkpoint of `train`, so that it can be kept and training can go on from it.

    python -m bbcodec.models.latent.pack_checkpoint run/rvae/checkpoint.pt models/candidates/rvae.pt
    python -m bbcodec.models.latent.train --resume models/candidates/rvae.pt --by-steps ... --out run/rvae

A network of 377,000 parameters takes 6 MB with its average and Adam's two moments, and 3 MB packed. What is
stored, and what that loses:

- Real weights behind signs, raw and averaged: float16. No sign changes, so an export of the packed checkpoint
  is that of the whole one, byte for byte. (Not where the weights count beside their signs: norm ``weight``
  and stochastic binarization.)
- All other weights: float32, unchanged.
- Adam's second moment: bfloat16, within 0.4 %.
- Adam's first moment: left out. It starts at zero again, and the first ten steps after it are shorter.

A training that goes on from a packed checkpoint follows the same schedule, pictures and noise, but does not
end with the same bits. It loses about ten steps.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from ..config import config_from_dict
from .train import save_checkpoint

_SMALLEST = 2.0**-24  # of float16 above 0


def _half(v: torch.Tensor) -> torch.Tensor:
    """Real weights in float16, none of which becomes zero: zero has a sign of its own."""
    half = v.to(torch.float16)
    lost = (half == 0) & (v != 0)
    return torch.where(lost, torch.sign(v) * _SMALLEST, half).to(torch.float16)


def pack(state: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's dictionary with less in it; see the module. A packed one stays as it is."""
    packed = dict(state)
    signs = config_from_dict(state["config"]).precision != "32/32"
    for name in ("model", "average"):
        if name in state:
            packed[name] = {
                key: _half(value) if signs and key.rpartition(".")[2] == "v" else value
                for key, value in state[name].items()
            }
    if "optimizer" in state:
        moments = {
            number: {"step": kept["step"], "exp_avg_sq": kept["exp_avg_sq"].to(torch.bfloat16)}
            for number, kept in state["optimizer"]["state"].items()
        }
        packed["optimizer"] = state["optimizer"] | {"state": moments}
    return packed


def main(argv: list[str] | None = None) -> None:
    """Pack a checkpoint."""
    parser = argparse.ArgumentParser(
        prog="python -m bbcodec.models.latent.pack_checkpoint", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path, help="FILE.pt; it may be the checkpoint itself")
    args = parser.parse_args(argv)
    before = args.checkpoint.stat().st_size
    state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    save_checkpoint(args.output, pack(state))
    after = args.output.stat().st_size
    print(f"{args.output}: {after:,} bytes of {before:,}, after {state['steps']:,} steps")


if __name__ == "__main__":
    main()
