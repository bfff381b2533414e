# SPDX-License-Identifier: Apache-2.0
"""Make a model of the family `loglinear`: the network of a model of `local`, and the layer on top.

python -m bbcodec.models.loglinear.build photo standard.bbm
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcodec import modelfile
from bbcodec.engine.graph import Graph
from bbcodec.families.loglinear.tables import (
    CHANNEL_KINDS,
    DECISION_KINDS,
    PIXEL_CONTEXTS,
    PIXEL_KINDS,
    PIXEL_LINES,
    TERMS_OF_CONTEXT,
)
from bbcodec.storage.atomic import atomic_write

# Terms of docs/loglinear.md.
W, N, NW, NE, _WW, NN = range(1, 7)
GAP_W, GAP_N, GAP_NW, GAP_NE, _GAP_WW, GAP_NN = range(7, 13)
A, A_W, A_N, B_A, BA_W, BA_N, B_W, B_N, COLOUR = range(13, 22)
PIXEL_W, PIXEL_N = 22, 23
PHASE, ALIKE, GRADIENT, GUESS = 26, 28, 30, 32

HASHED: Final[tuple[tuple[tuple[int, ...], ...], ...]] = (
    (  # the first channel
        *((PIXEL_W,), (PIXEL_N,), (N, NN), (W, N), (), (W,)),
        *((GRADIENT,), (N,), (W, N, PHASE)),
    ),
    (  # the second
        *((A,), (GAP_W,), (PIXEL_W, COLOUR), (GAP_W, GAP_N, PHASE), (A_N, GAP_N), (GAP_N, GAP_NN)),
        *((PIXEL_N, COLOUR), (GAP_W, GAP_N, GAP_NW), (GAP_N,)),
    ),
    (  # the third
        *((B_A,), (A,), (A_N, B_N, GAP_N), (PIXEL_W, COLOUR), (GAP_W, GAP_N, PHASE), (B_A, GAP_N, BA_N)),
        *((PIXEL_N, COLOUR), (GAP_N,), (B_A, GAP_W, BA_W)),
    ),
    (  # gray
        *((W, N, NW), (N, NE), (W, N, PHASE), (N, NN), (), (W,)),
        *((GRADIENT,), (N,), (W, ALIKE)),
    ),
)
"""Hashed contexts by kind of channel, each as its terms; a model has the first ones.

They were found on crops of photographs: those without which the rate was worst, on photographs that once
were JPEG, and on clean ones that were given the traces of PhotoCD (luma and two chromas of half the size,
rounded). Nine gain 0.2 % on six at most.
"""

DIRECT: Final = (0, GUESS, W)
"""What direct contexts count from, in every kind of channel; a model has the first ones, after the hashed."""

CONTEXTS: Final = {8: (6, 2), 12: (9, 3)}
"""Numbers of hashed and direct contexts, by the number of all contexts."""

TABLE_BITS: Final = 20
SKIP: Final = 8
MIX_SHIFT: Final = 10
PLAIN_FROM: Final = 180  # of 256
FIRST_WEIGHT: Final = 0.25
FIRST_PIXEL_WEIGHT: Final = 0.3


class Start(NamedTuple):
    """What the layer starts with; see docs/loglinear.md, "Model"."""

    mix: NDArray[np.int32]
    pixel_mix: NDArray[np.int32]
    pixel_start: NDArray[np.int8]


def equal_start(contexts: int) -> Start:
    """Return a start with equal weights and without values."""
    return Start(
        np.full((CHANNEL_KINDS, DECISION_KINDS, contexts), round(FIRST_WEIGHT * 2**20), np.int32),
        np.full((DECISION_KINDS, PIXEL_CONTEXTS), round(FIRST_PIXEL_WEIGHT * 2**20), np.int32),
        np.zeros((PIXEL_LINES, PIXEL_KINDS), np.int8),
    )


def build(
    base: modelfile.Model, start: Start | None = None, contexts: int = 8, plain: int = PLAIN_FROM
) -> bytes:
    """Return the model file: network and predictors of a model of `local` without latents, and the layer.

    contexts : how many, one of `CONTEXTS`.
    plain : how even a block is, in 1/256, that is coded plainly; 0: every block without whole pixels.
    """
    count, (hashed, others) = contexts, CONTEXTS[contexts]
    terms = np.zeros((CHANNEL_KINDS, count, TERMS_OF_CONTEXT), np.int32)
    for kind, own in enumerate(HASHED):
        for number, context in enumerate(own[:hashed]):
            terms[kind, number, : len(context)] = context
    direct = np.zeros((CHANNEL_KINDS, count), np.int8)
    direct[:, hashed:] = 1
    terms[:, hashed:, 0] = DIRECT[:others]
    begin = equal_start(count) if start is None else start
    layer: dict[str, NDArray[Any]] = {"terms": terms, "direct": direct, **begin._asdict()}
    config = dict(base.config) | {
        "contexts": count,
        "table_bits": TABLE_BITS,
        "skip": SKIP,
        "mix_shift": MIX_SHIFT,
        "plain": plain,
    }
    notes = {
        "base": base.id,
        "layer": "contexts of bbcodec.models.loglinear.build",
    }
    return modelfile.dump("loglinear", config, Graph({}, {}), dict(base.tensors) | layer, notes=notes)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the numbers of the layer to a command line."""
    parser.add_argument("--contexts", type=int, choices=CONTEXTS, default=8)
    parser.add_argument("--plain", type=int, default=PLAIN_FROM, help="evenness in 1/256 of plain blocks")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("base", help="a released model of the family local, or the path of one")
    parser.add_argument("out", type=Path)
    add_options(parser)
    args = parser.parse_args()
    data = build(modelfile.load_named(args.base), None, args.contexts, args.plain)
    with atomic_write(args.out, overwrite=True) as file:
        file.write(data)
    print(f"{args.out}: {len(data):,} bytes, {modelfile.load(data).id}")


if __name__ == "__main__":
    main()
