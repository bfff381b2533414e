# SPDX-License-Identifier: Apache-2.0
"""Does a model of one's own pay? Trains on sets of 300 alike pictures and counts every byte.

    python benchmarks/own_model.py --minutes 2.5 > docs/results/own_model.md

Pictures are packed into archives of the default batches, with the released models and with the trained ones,
which are put into the archive; every archive is read again and compared. Names, index and checksums count.
Training sees the pictures that are coded, as `bbcodec train` does, but for those held out for validation.
Needs the extra `train`.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
from bbcodec.models.local.own import Plan, train
from numpy.typing import NDArray
from own_model_sets import cifar, wood

from bbcodec import Archive, modelfile
from bbcodec.modelfile import delta

Pixels = NDArray[np.uint8]
RELEASED = ("fast", "photo", "thumb")
TRAINED = (("photo", "all"), ("photo", "head"))
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def packed(pictures: list[Pixels], model: modelfile.Model) -> tuple[int, int]:
    """Bytes of an archive, whose pictures were read again and compared, and of the model in it."""
    file = io.BytesIO()
    with Archive(file, "w", model=model) as archive:
        for number, picture in enumerate(pictures):
            archive[f"{number:03}.png"] = picture
    with Archive(file) as found:
        for picture, again in zip(pictures, found.values(), strict=True):
            if not np.array_equal(picture, again):
                raise SystemExit("a picture did not come back")
    return len(file.getvalue()), archive.embedded


def table(title: str, pictures: list[Pixels], minutes: float, seed: int) -> None:
    """Print the rows of one set."""
    h, w, _ = pictures[0].shape
    print(
        f"\n## {title}\n\n{len(pictures)} pictures of {w} × {h}, {sum(p.size for p in pictures):,} samples\n"
    )
    print("| packed with | archive | of it the model | to the best released |\n|---|---|---|---|")
    sizes = {name: packed(pictures, modelfile.load_named(name))[0] for name in RELEASED}
    best = min(sizes.values())
    for name, size in sizes.items():
        print(f"| `{name}` | {size:,} | 0 | {100 * (size / best - 1):+.1f} % |", flush=True)
    notes = []
    for start, what in TRAINED:
        parent = modelfile.load_named(start)
        begun = time.monotonic()
        plan = Plan(minutes=minutes, seed=seed, what=what)
        data = train(pictures, parent, plan, say=lambda line: print(line, file=sys.stderr, flush=True))
        spent = (time.monotonic() - begun) / 60
        model = modelfile.load(data)
        size, short = packed(pictures, model)
        name = f"own, from `{start}`" + ("" if what == "all" else ", last layer, biases, gains")
        print(f"| {name} | **{size:,}** | {short:,} | {100 * (size / best - 1):+.1f} % |", flush=True)
        before, after = model.notes["valid"]
        notes.append(
            f"- {name}: {spent:.1f} minutes, {model.notes['steps']:,} steps; validation {before:.4f} to "
            f"{after:.4f} bits/dim. Its file has {len(data):,} bytes, {len(delta.make(data)):,} "
            f"compressed by itself, {short:,} as changes of `{start}`."
        )
    print("\n" + "\n".join(notes), flush=True)


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=2.5, help="of each training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of cifar10_first4000.npz")
    args = parser.parse_args()
    print("# Models of one's own\n")
    command = f"python benchmarks/own_model.py --minutes {args.minutes:g}"
    print(f"`{command}`, one thread of {os.cpu_count()} crowded cores ({platform.machine()}).")
    table("Boards of wood, made by rule", wood(), args.minutes, args.seed)
    if (path := args.data / "cifar10_first4000.npz").is_file():
        table("CIFAR-10, images 3500 to 3799", cifar(path), args.minutes, args.seed)


if __name__ == "__main__":
    main()
