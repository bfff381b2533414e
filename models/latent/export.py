# SPDX-License-Identifier: Apache-2.0
"""Export of a trained network: an exact integer graph with packed 1-bit weights, in a model file.

    python -m bbcodec.models.latent.export run/rvae/checkpoint.pt models/released/rvae.bbm --data photos/train

Streams become int16 in steps of 1/256. Plain convolutions get two int8 planes of weights; binary ones keep
one bit per weight and basis. Gains, scales and biases become one integer multiplication, addition and shift
per channel. The file is written only after a check that no accumulator can overflow.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from torch import nn

from bbcodec import modelfile
from bbcodec.engine import graph
from bbcodec.families.latent import causal
from bbcodec.storage.atomic import atomic_write

from .. import data
from .checkpoint import load_checkpoint
from .graph_builder import GraphBuilder
from .layers import BinaryConv, PlainConv
from .network import Network


def export(
    model: Network, pictures: list[data.Picture] | None = None, notes: dict[str, Any] | None = None
) -> bytes:
    """Return the model file of a network.

    Parameters
    ----------
    model : trained network; it is put into evaluation mode.
    pictures : uint8 [H, W, 3] each. The scale tables of the causal coder for first tiles are fitted on them.
        Default: the tables that the coder has.
    notes : JSON-able facts about the training. They are part of the file and therefore of its id.

    Raises
    ------
    ModelError
        An accumulator of the graph could overflow.
    """
    builder = GraphBuilder()
    model.eval()
    model.export(builder)
    used = {name for f in builder.functions.values() for op in f.ops for name in graph.uses(op)}
    graph_tensors = {name: t for name, t in builder.tensors.items() if name in used}
    family_tensors = {name: t for name, t in builder.tensors.items() if name not in used}
    family_tensors["causal_e"] = causal.fit_scales(pictures) if pictures else causal.default_scales()
    exported = graph.Graph(builder.functions, graph_tensors)
    config = model.config
    return modelfile.dump(config.family, config.to_dict(), exported, family_tensors, notes=notes)


def residual_sizes(model: nn.Module) -> dict[str, int]:
    """Return numbers of parameters, in all and binary, and bytes in all, as float32 and as exported."""
    binary = sum(m.v.numel() for m in model.modules() if isinstance(m, BinaryConv))
    plain = sum(m.weight.numel() for m in model.modules() if isinstance(m, PlainConv))
    total = sum(p.numel() for p in model.parameters())
    return {
        "parameters": total,
        "binary": binary,
        "float32_bytes": 4 * total,
        "packed_bytes": binary // 8 + 2 * plain + 4 * (total - binary - plain),
    }


def main(argv: list[str] | None = None) -> None:
    """Export the checkpoint that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m bbcodec.models.latent.export", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("checkpoint", type=Path, help="checkpoint.pt of a training")
    parser.add_argument("output", type=Path, help="model file to write, FILE.bbm")
    parser.add_argument("--data", default=None, help="pictures to fit the causal coder's scale tables on")
    args = parser.parse_args(argv)
    model, state = load_checkpoint(args.checkpoint)
    pictures = data.load(args.data) if args.data else None
    notes = {
        "minutes": round(state["seconds"] / 60, 1),
        "steps": state["steps"],
        "valid_bpd": state["curve"][-1][2],
    }
    content = export(model, pictures, notes)
    with atomic_write(args.output, overwrite=True) as file:
        file.write(content)
    loaded = modelfile.load(content)
    print(f"{args.output}: {len(content):,} bytes, id {loaded.id[:16]}, {residual_sizes(model)}")


if __name__ == "__main__":
    main()
