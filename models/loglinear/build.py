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

CONTEXTS: Final[tuple[tuple[tuple[int, ...], ...], ...]] = (
    (  # the first channel
        *((W, N), (), (N,), (W,), (PIXEL_W,), (GRADIENT,), (W, N, PHASE), (PIXEL_N,)),
        *((N, NN), (W, ALIKE), (W, NE), (W, NW)),
    ),
    (  # the second
        *((GAP_W, GAP_N, GAP_NW), (A,), (GAP_N,), (GAP_W,), (PIXEL_W, COLOUR), (A_N, GAP_N)),
        *((GAP_W, GAP_N, PHASE), (PIXEL_N, COLOUR), (GAP_N, GAP_NN), (W, ALIKE)),
        *((GAP_W, GAP_NE), (GAP_W, GAP_NW)),
    ),
    (  # the third
        *((B_A,), (A,), (GAP_N,), (GAP_W,), (PIXEL_W, COLOUR), (A_N, B_N, GAP_N)),
        *((GAP_W, GAP_N, PHASE), (PIXEL_N, COLOUR), (B_A, GAP_N, BA_N), (W, ALIKE)),
        *((B_A, GAP_W, BA_W), (B_A, GAP_W)),
    ),
    (  # gray
        *((W, N), (), (N,), (W,), (W, N, NW), (GRADIENT,), (W, N, PHASE), (N, NE)),
        *((N, NN), (W, ALIKE), (W, NE), (W, NW)),
    ),
)
"""Contexts by kind of channel, each as its terms. Found on crops of photographs and graphics."""

DIRECT: Final = (0, W, GUESS)
"""What direct contexts count from, in every kind of channel; they replace the last of `CONTEXTS`."""

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


def build(base: modelfile.Model, start: Start | None = None) -> bytes:
    """Return the model file: network and predictors of a model of `local` without latents, and the layer."""
    count = len(CONTEXTS[0])
    terms = np.zeros((CHANNEL_KINDS, count, TERMS_OF_CONTEXT), np.int32)
    for kind, contexts in enumerate(CONTEXTS):
        for number, context in enumerate(contexts):
            terms[kind, number, : len(context)] = context
    direct = np.zeros((CHANNEL_KINDS, count), np.int8)
    direct[:, -len(DIRECT) :] = 1
    terms[:, -len(DIRECT) :, 0] = DIRECT
    begin = equal_start(count) if start is None else start
    layer: dict[str, NDArray[Any]] = {"terms": terms, "direct": direct, **begin._asdict()}
    config = dict(base.config) | {
        "contexts": count,
        "table_bits": TABLE_BITS,
        "skip": SKIP,
        "mix_shift": MIX_SHIFT,
        "plain": PLAIN_FROM,
    }
    notes = {
        "base": base.id,
        "layer": "contexts of bbcodec.models.loglinear.build",
    }
    return modelfile.dump("loglinear", config, Graph({}, {}), dict(base.tensors) | layer, notes=notes)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("base", help="a released model of the family local, or the path of one")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    data = build(modelfile.load_named(args.base))
    with atomic_write(args.out, overwrite=True) as file:
        file.write(data)
    print(f"{args.out}: {len(data):,} bytes, {modelfile.load(data).id}")


if __name__ == "__main__":
    main()
