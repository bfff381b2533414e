# SPDX-License-Identifier: Apache-2.0
"""Export of a trained head: a model file of the family `local`.

python -m bbcodec.models.local.export run/photo/checkpoint.pt models/released/photo.bbm
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bbcodec import modelfile
from bbcodec.engine.graph import Graph
from bbcodec.storage.atomic import atomic_write

from .head import FEATURES, SCALE_OFFSET, Head, HeadConfig
from .latents import PictureLatents
from .latents import integers as latents_integers
from .latents import load as load_latents

RATE = 0.0008  # learning rate of the last layer while coding
MIN_LARGEST_WEIGHT = 0.05  # floor of the largest first-layer weight of an output, which sets its int8 step


def integers(
    model: Head, rate: float = RATE, every: int = 1, block: int = 1024
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return configuration and tensors of the integer network (docs/local.md).

    Raises
    ------
    ValueError
        The head has no integer form: its precision is not ``1/32``, or it has several weight bases.
    """
    c = model.config
    if c.precision != "1/32" or c.bases != 1:
        raise ValueError(
            "only heads of precision 1/32 with 1 weight basis can be exported "
            f"(got {c.precision} with {c.bases})"
        )
    p = {name: value.detach().double().numpy() for name, value in model.named_parameters()}
    largest = np.maximum(np.abs(p["w0"]).max(1, keepdims=True), MIN_LARGEST_WEIGHT)
    step = 127 / largest  # integers for a weight of 1
    out_w = np.zeros((3, c.hidden + FEATURES, 3 * c.components))
    out_w[:, : c.hidden] = p["wo"]
    out_b = p["bo"][:, 0].copy()
    out_b[:, c.components : 2 * c.components] -= SCALE_OFFSET
    config = {
        key: value
        for key, value in c.to_dict().items()
        if key in ("hidden", "layers", "components", "own", "earlier", "along", "down", "ridge")
    } | {"rate_q": round(rate * 2**20), "latents": 0, "encoder": 0}
    if every != 1:
        config["every"] = every
    if block != 1024:
        config["block"] = block

    def int32(values: NDArray[np.float64]) -> NDArray[np.int32]:
        return np.floor(values + 0.5).astype(np.int32)

    tensors: dict[str, NDArray[Any]] = {
        "first_w": np.clip(np.floor(p["w0"] * step + 0.5), -127, 127).astype(np.int8),
        "first_m": int32(8 / step[:, 0] * 2**14),
        "first_b": int32(p["b0"][:, 0] * 2**22),
        "out_w": int32(out_w * 2**20),
        "out_b": int32(out_b * 2**20),
    }
    if c.layers:
        negative = np.ascontiguousarray((p["v"] < 0).transpose(0, 2, 1))  # outputs before inputs
        words = np.packbits(negative, axis=-1, bitorder="little").view("<u8")
        tensors |= {
            "hidden_w": words.astype(np.uint64),
            "hidden_m": int32(p["g"] / math.sqrt(c.hidden) * 2**16),
            "hidden_b": int32(p["b"] * 2**20),
        }
    return config, tensors


def load_checkpoint(path: str | Path) -> tuple[Head, dict[str, Any]]:
    """Return head and dictionary of a checkpoint; read with ``weights_only``, so that it cannot run code."""
    state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    head = Head(HeadConfig.from_dict(state["config"]))
    head.load_state_dict(state["model"])
    return head, state


def export(
    model: Head,
    notes: dict[str, Any],
    rate: float = RATE,
    prior: NDArray[np.int32] | None = None,
    latents: PictureLatents | None = None,
    every: int = 1,
    block: int = 1024,
) -> bytes:
    """Return the model file of a head.

    Parameters
    ----------
    model : trained head.
    notes : JSON-able facts about the training. They are part of the file and therefore of its id.
    rate : learning rate of the last layer while coding.
    prior : tensor that the least-squares fits start from, see `prior.prior`. Default: none.
    latents : latents of whole pictures, and the map of positions. Default: none.
    every : the last layer learns at every `every`-th time.
    block : longest side of a block in pixels.

    Raises
    ------
    ValueError
        The head has no integer form, see `integers`.
    """
    config, tensors = integers(model, rate, every, block)
    if latents is not None:
        more, its_tensors = latents_integers(latents)
        config, tensors = config | more, tensors | its_tensors
    if prior is not None:
        tensors["prior"] = prior.astype(np.int32)
    return modelfile.dump("local", config, Graph({}, {}), tensors, notes=notes)


def main(argv: list[str] | None = None) -> None:
    """Export the checkpoint that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m bbcodec.models.local.export", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("checkpoint", help="checkpoint.pt of a training")
    parser.add_argument("out", type=Path, help="model file to write, FILE.bbm")
    parser.add_argument(
        "--rate", type=float, default=RATE, help="learning rate of the last layer while coding"
    )
    parser.add_argument("--every", type=int, default=1, help="the last layer learns at every N-th time")
    parser.add_argument("--block", type=int, default=1024, help="longest side of a block in pixels")
    args = parser.parse_args(argv)
    head, state = load_checkpoint(args.checkpoint)
    prior = state["prior"].numpy() if "prior" in state else None
    notes = {
        "minutes": round(state["seconds"] / 60, 1),
        "steps": state["steps"],
        "arguments": state["arguments"],
        "curve": state["curve"][-1:],
    }
    latents = load_latents(state) if "latents" in state else None
    data = export(head, notes, args.rate, prior, latents, args.every, args.block)
    with atomic_write(args.out, overwrite=True) as file:
        file.write(data)
    print(f"{args.out}: {len(data):,} bytes, id {modelfile.load(data).id[:16]}")


if __name__ == "__main__":
    main()
