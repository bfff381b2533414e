# SPDX-License-Identifier: Apache-2.0
"""Bytes of array files against the planes of a group, which is what reading one plane decodes.

    python benchmarks/groups.py shared/data/deep/mr_stack.npz shared/data/deep/mr_volume_zyxt.npz=tzyx

Prints a table for docs/results/deep.md. Each file is decoded and compared. Behind ``=`` stand the axes.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

import bbcodec

SIZES = (1, 2, 4, 8, 16, 32, 64)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("arrays", nargs="+", metavar="FILE.npz[=AXES]")
    arguments = parser.parse_args()
    print("| bytes | " + " | ".join(f"{size}" for size in SIZES) + " | planes in all |")
    print("| --- |" + " --- |" * (len(SIZES) + 1))
    for given in arguments.arrays:
        name, _, axes = given.partition("=")
        (array,) = np.load(name).values()
        cells = []
        for size in SIZES:
            data = bbcodec.compress(array, axes=axes or None, group=size, verify=False)
            if not np.array_equal(bbcodec.decompress(data), array):
                raise SystemExit(f"{name}: the round trip differs with {size} planes a group")
            cells.append(f"{len(data):,}")
        planes = math.prod(array.shape[:-2])
        print(f"| {Path(name).stem} | {' | '.join(cells)} | {planes} |", flush=True)


if __name__ == "__main__":
    main()
