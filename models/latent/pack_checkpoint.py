# SPDX-License-Identifier: Apache-2.0
"""Packing of checkpoints: smaller files that training can still go on from.

    python -m bbcodec.models.latent.pack_checkpoint run/rvae/checkpoint.pt models/candidates/rvae.pt
    python -m bbcodec.models.latent.train --resume models/candidates/rvae.pt --by-steps ... --out run/rvae

A network of 377,000 parameters takes 6 MB with its average and Adam's two moments, and 3 MB packed. The
parts are stored like this:

- Real weights behind signs, raw and averaged: float16. No sign changes, so that packed and original
  checkpoint export the same bytes. This does not hold for norm ``weight`` and stochastic binarization, where
  the weights count, not only their signs.
- All other weights: float32, unchanged.
- Adam's second moment: bfloat16, within 0.4 %.
- Adam's first moment: left out. It starts at zero again, so that the next ten steps are shorter.

A training that goes on from a packed checkpoint follows the same schedule, pictures and noise, but does not
end with the same bits. It loses about ten steps.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from ..config import config_from_dict
from .checkpoint import save_checkpoint

_MIN_FLOAT16 = 2.0**-24  # smallest float16 above 0


def _half(v: torch.Tensor) -> torch.Tensor:
    """Return real weights in float16. None of them becomes zero, so that all keep their sign."""
    half = v.to(torch.float16)
    is_lost = (half == 0) & (v != 0)
    return torch.where(is_lost, torch.sign(v) * _MIN_FLOAT16, half).to(torch.float16)


def pack(state: dict[str, Any]) -> dict[str, Any]:
    """Return a smaller dictionary of a checkpoint, as the module describes. Packing twice changes nothing."""
    packed = dict(state)
    is_binary = config_from_dict(state["config"]).precision != "32/32"
    for name in ("model", "average"):
        if name in state:
            packed[name] = {
                key: _half(value) if is_binary and key.rpartition(".")[2] == "v" else value
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
    """Pack the checkpoint that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m bbcodec.models.latent.pack_checkpoint", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of a training")
    parser.add_argument("output", type=Path, help="FILE.pt to write; it may be the checkpoint itself")
    args = parser.parse_args(argv)
    before = args.checkpoint.stat().st_size
    state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)
    save_checkpoint(args.output, pack(state))
    after = args.output.stat().st_size
    print(f"{args.output}: {after:,} bytes of {before:,}, after {state['steps']:,} steps")


if __name__ == "__main__":
    main()
