# SPDX-License-Identifier: Apache-2.0
"""Compare batch sizes of archives: bytes of the archive, and time to read one picture.

    python benchmarks/archive_batches.py --data ../shared/data > docs/results/archive_batches.md

Packs 2,000 pictures of 32 x 32 pixels, cut from photos/valid, and verifies all of them. Then reads single
pictures by name, each from a newly opened archive. The time to open is reported separately.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from bbcodec import Archive

SIDE = 32  # pixels
MAX_READ_SECONDS = 5  # for single pictures


def pictures(folder: Path, count: int) -> dict[str, np.ndarray]:
    """Cut small pictures from random places of large ones, a few from each."""
    paths = sorted(folder.glob("*.webp"))
    each = -(-count // len(paths))
    found: dict[str, np.ndarray] = {}
    for path in paths:
        image = np.asarray(Image.open(path).convert("RGB"))
        places = random.Random(path.name)
        for i in range(each):
            y, x = (places.randrange(size - SIDE + 1) for size in image.shape[:2])
            found[f"{path.stem}/{i:02}.png"] = image[y : y + SIDE, x : x + SIDE].copy()
    return dict(list(found.items())[:count])


def row(content: dict[str, np.ndarray], folder: Path, model: str, batch: int | None, threads: int) -> dict:
    """Pack and verify an archive, read single pictures, and return the results."""
    path = folder / f"{model}-{batch}.bb"
    begun = time.perf_counter()
    with Archive(path, "x", model=model, batch=batch, threads=threads) as archive:
        for name, image in content.items():
            archive[name] = image
    packed = time.perf_counter() - begun
    with Archive(path, threads=threads) as archive:
        for name, image in content.items():
            if not np.array_equal(archive[name], image):
                raise AssertionError(f"{name} differs")
        batches = len(archive.reader.stored)
    opening, reading = [], []
    for name in random.Random(0).sample(list(content), 25):
        begun = time.perf_counter()
        with Archive(path, threads=threads) as archive:
            opened = time.perf_counter()
            archive[name]
            reading.append(time.perf_counter() - opened)
        opening.append(opened - begun)
        if sum(reading) > MAX_READ_SECONDS and len(reading) > 2:
            break
    return {
        "bytes": path.stat().st_size,
        "batches": batches,
        "packed": len(content) / packed,
        "open": 1000 * median(opening),
        "read": 1000 * median(reading),
        "slowest": 1000 * max(reading),
    }


def main() -> None:
    """Measure, and print a report in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with photos/valid")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--models", default="photo,thumb,fast")
    parser.add_argument("--batches", default="0,64,auto,8")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    content = pictures(args.data / "photos/valid", args.count)
    dims = sum(image.size for image in content.values())
    print("# Batches of an archive\n")
    shown = [Path(a).name if a.startswith(("/", "..")) else a for a in sys.argv[1:]]
    print(f"`python benchmarks/archive_batches.py {' '.join(shown)}`\n")
    print(f"- {platform.machine()}, {args.threads} threads; {len(content)} pictures of {SIDE} x {SIDE}")
    print("- names, index and checksums counted; medians of up to 25 pictures read by name\n")
    columns = ["model", "batch", "batches", "bytes", "bits/dim", "to one message", "packed a second"]
    columns += ["open, ms", "read one, ms", "slowest"]
    print(f"| {' | '.join(columns)} |\n| --- | {' | '.join(['---:'] * (len(columns) - 1))} |")
    with tempfile.TemporaryDirectory() as folder:
        for model in args.models.split(","):
            whole = 0
            for batch in args.batches.split(","):
                number = None if batch == "auto" else int(batch)
                found = row(content, Path(folder), model, number, args.threads)
                whole = whole or found["bytes"]
                label = {"auto": "default (16)", "0": "all (`--batch 0`)"}.get(batch, batch)
                cells = [
                    f"`{model}`", label, found["batches"], f"{found['bytes']:,}",
                    f"{8 * found['bytes'] / dims:.3f}", f"{100 * (found['bytes'] / whole - 1):+.2f} %",
                    f"{found['packed']:.0f}", f"{found['open']:.1f}", f"{found['read']:.0f}",
                    f"{found['slowest']:.0f}",
                ]  # fmt: skip
                print(f"| {' | '.join(map(str, cells))} |", flush=True)


if __name__ == "__main__":
    main()
