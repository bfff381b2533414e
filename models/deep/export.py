# SPDX-License-Identifier: Apache-2.0
"""Export of a trained network: a model file of the family `deep`.

python -m bbcodec.models.deep.export run/checkpoint.pt models/released/deep.bbm
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from bbcodec import modelfile
from bbcodec.engine.graph import Graph
from bbcodec.storage.atomic import atomic_write

from ..local.export import RATE, integers, load_checkpoint
from ..local.head import Head

PHASED: Final = (10, 6)  # at most: not more than there are positions without phases


def export(
    model: Head, notes: dict[str, Any], rate: float = RATE, every: int = 1, block: int = 1024
) -> bytes:
    """Return the model file of a network; see `bbcodec.models.local.export.export`."""
    config, tensors = integers(model, rate, every, block)
    config = {key: value for key, value in config.items() if key not in ("latents", "encoder")}
    return modelfile.dump(
        "deep",
        config | {"phased": list(map(min, PHASED, config["own"]))},
        Graph({}, {}),
        tensors,
        notes=notes,
    )


def main(argv: list[str] | None = None) -> None:
    """Export the checkpoint that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m bbcodec.models.deep.export", description=__doc__.split("\n\n")[0]
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
    notes = {
        "minutes": round(state["seconds"] / 60, 1),
        "steps": state["steps"],
        "arguments": state["arguments"],
        "curve": state["curve"][-1:],
    }
    data = export(head, notes, args.rate, args.every, args.block)
    with atomic_write(args.out, overwrite=True) as file:
        file.write(data)
    print(f"{args.out}: {len(data):,} bytes, id {modelfile.load(data).id[:16]}")


if __name__ == "__main__":
    main()
