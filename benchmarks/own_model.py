# SPDX-License-Identifier: Apache-2.0
"""Compare custom models with the released ones on sets of 300 similar pictures, every byte counted.

    python benchmarks/own_model.py --minutes 2.5 > docs/results/own_model.md

Pictures are packed into archives with default batches: with the released models, and with trained models,
which are embedded in the archive. Every archive is read again and compared. Names, index and checksums count.
Like `bbcodec train`, training uses the coded pictures themselves, except those held out for validation. Needs
the extra `train`.
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
    """Return the bytes of a verified archive, and the bytes of the model in it."""
    file = io.BytesIO()
    with Archive(file, "w", model=model) as archive:
        for number, picture in enumerate(pictures):
            archive[f"{number:03}.png"] = picture
    with Archive(file) as found:
        for picture, again in zip(pictures, found.values(), strict=True):
            if not np.array_equal(picture, again):
                raise SystemExit("archive: a decoded picture differs")
    return len(file.getvalue()), archive.embedded


def table(title: str, pictures: list[Pixels], minutes: float, seed: int) -> None:
    """Measure one set of pictures, and print its table."""
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
    """Measure, and print a report in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=2.5, help="minutes of each training [%(default)s]")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--data", type=Path, default=DATA, help="folder with cifar10_first4000.npz [%(default)s]"
    )
    args = parser.parse_args()
    print("# Models of one's own\n")
    command = f"python benchmarks/own_model.py --minutes {args.minutes:g}"
    print(f"`{command}`, one thread of {os.cpu_count()} crowded cores ({platform.machine()}).")
    table("Boards of wood, made by rule", wood(), args.minutes, args.seed)
    if (path := args.data / "cifar10_first4000.npz").is_file():
        table("CIFAR-10, images 3500 to 3799", cifar(path), args.minutes, args.seed)


if __name__ == "__main__":
    main()
