# SPDX-License-Identifier: Apache-2.0
"""Compare sizes of 500 small pictures as a Zarr v3 array and as numcodecs chunks with Zstd and Blosc.

    python benchmarks/zarr_sizes.py >docs/results/zarr_sizes.md

The pictures are images 3500-3999 of CIFAR-10. A new process reads every array back and compares it. It
imports Zarr (or numcodecs) and NumPy, but not bbcodec, which is found by its entry points. Sizes are all
bytes of the chunks, without metadata (about 1 KB).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numcodecs
import numpy as np
import zarr
from numcodecs import Blosc
from rates_sets import SETS

MODELS = ("photo", "thumb", "fast")
CHUNKS = (10, 50, 100, 500)  # pictures per chunk
LEVEL = 22  # the highest level of Zstd; Blosc's is 9
# Samples of one colour are three bytes apart: with items of 3 bytes, the shuffle groups the colours.
TYPE_SIZES = (1, 3)

READ_ZARR = """
import sys, numpy as np, zarr
assert not any(name.split(".")[0] == "bbcodec" for name in sys.modules)
found = zarr.open_array(sys.argv[1], mode="r")[:]
assert found.dtype == np.uint8 and np.array_equal(found, np.load(sys.argv[2]))
"""
READ_NUMCODECS = """
import json, sys, numpy as np, numcodecs
from pathlib import Path
assert not any(name.split(".")[0] == "bbcodec" for name in sys.modules)
folder = Path(sys.argv[1])
codec = numcodecs.get_codec(json.loads((folder / "codec.json").read_text()))
images = np.load(sys.argv[2])
parts = [codec.decode(path.read_bytes()) for path in sorted(folder.glob("*.chunk"))]
found = np.concatenate([np.frombuffer(part, np.uint8) for part in parts]).reshape(images.shape)
assert np.array_equal(found, images)
"""

Row = dict[int, int]  # bytes by the number of pictures per chunk


def zarr_peers() -> dict[str, dict[str, Any]]:
    """Return the options of `zarr.create_array` for each peer, by name."""
    found: dict[str, dict[str, Any]] = {
        f"Zstd, level {LEVEL}": {"name": "zstd", "configuration": {"level": LEVEL}}
    }
    for shuffle in ("noshuffle", "shuffle", "bitshuffle"):
        for size in TYPE_SIZES:
            codec = zarr.codecs.BloscCodec(cname="zstd", clevel=9, shuffle=shuffle, typesize=size)
            found[f"Blosc, Zstd 9, {shuffle}, items of {size}"] = codec.to_dict()
    return {name: {"compressors": codec} for name, codec in found.items()}


def fresh(code: str, *arguments: Path) -> None:
    """Run Python code in a new process, which must succeed."""
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], check=True)


def write_zarr(images: np.ndarray, saved: Path, path: Path, count: int, options: dict[str, Any]) -> int:
    """Write an array, check it in a new process, and return the bytes of its chunks."""
    array = zarr.create_array(
        path, shape=images.shape, chunks=(count, *images.shape[1:]), dtype="uint8", fill_value=0, **options
    )
    array[:] = images
    fresh(READ_ZARR, path, saved)
    return sum(file.stat().st_size for file in (path / "c").rglob("*") if file.is_file())


def write_numcodecs(images: np.ndarray, saved: Path, path: Path, count: int, codec: Any) -> int:
    """Write chunks as files, check them in a new process, and return their bytes."""
    path.mkdir()
    (path / "codec.json").write_text(json.dumps(codec.get_config()))
    for first in range(0, len(images), count):
        (path / f"{first:06}.chunk").write_bytes(codec.encode(images[first : first + count]))
    fresh(READ_NUMCODECS, path, saved)
    return sum(file.stat().st_size for file in path.glob("*.chunk"))


def numcodecs_peers() -> dict[str, Any]:
    """Return the best settings of numcodecs' own codecs, by name."""
    return {
        f"Zstd, level {LEVEL}": numcodecs.Zstd(level=LEVEL),
        "Blosc, Zstd 9, shuffle": Blosc(cname="zstd", clevel=9, shuffle=Blosc.SHUFFLE),
        "Blosc, Zstd 9, bitshuffle": Blosc(cname="zstd", clevel=9, shuffle=Blosc.BITSHUFFLE),
    }


def table(title: str, ours: dict[str, Row], peers: dict[str, Row], raw: int, chunks: list[int]) -> None:
    """Print the sizes for each chunk length, and the ratios of the best peers to each model."""
    print(f"## {title}\n")
    print("| bytes, all chunks | " + " | ".join(f"{count} a chunk" for count in chunks) + " |")
    print("|---" * (len(chunks) + 1) + "|")
    print(f"| as they are | {' | '.join([f'{raw:,}'] * len(chunks))} |")
    for name, row in {**peers, **ours}.items():
        print(f"| {name} | " + " | ".join(f"{row[count]:,}" for count in chunks) + " |")
    for kind in ("Zstd", "Blosc"):
        best = {
            count: min(row[count] for name, row in peers.items() if name.startswith(kind)) for count in chunks
        }
        for name, row in ours.items():
            factors = (f"{best[count] / row[count]:.2f}" for count in chunks)
            print(f"| best {kind} ÷ {name} | " + " | ".join(factors) + " |")
    print(flush=True)


def main() -> None:
    """Measure, and print a report in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared/data")
    parser.add_argument("--limit", type=int, help="use only the first N pictures", metavar="N")
    parser.add_argument("--chunks", type=int, nargs="+", default=CHUNKS, help="pictures per chunk")
    arguments = parser.parse_args()
    pictures = SETS["cifar"](arguments.data, arguments.limit)
    images, chunks = np.stack(pictures.images), list(arguments.chunks)
    versions = ", ".join(f"{name} {version(name)}" for name in ("bbcodec", "zarr", "numcodecs"))
    print(f"# Chunks of small pictures: {pictures.title}\n")
    print(f"`python benchmarks/zarr_sizes.py`: {len(images)} pictures of 32 × 32, RGB8. Every array was read")
    print(f"back and compared by a fresh process that finds the codec by its entry point ({versions}).\n")
    with tempfile.TemporaryDirectory() as folder:
        saved, ways = Path(folder, "images.npy"), []
        np.save(saved, images)
        peers = {name: (write_zarr, options) for name, options in zarr_peers().items()}
        ours: dict[str, Any] = {}
        for model in MODELS:
            serializer = {"name": "bbcodec", "configuration": {"model": model}}
            ours[f"**bbcodec `{model}`**"] = (write_zarr, {"serializer": serializer, "compressors": None})
        ways.append(("Zarr v3", ours, peers))
        ours = {
            f"**bbcodec `{model}`**": (
                write_numcodecs,
                numcodecs.get_codec({"id": "bbcodec", "model": model}),
            )
            for model in MODELS
        }
        ways.append(("numcodecs", ours, {n: (write_numcodecs, c) for n, c in numcodecs_peers().items()}))
        for title, *groups in ways:
            rows: list[dict[str, Row]] = []
            for group in groups:
                rows.append({})
                for name, (write, how) in group.items():
                    for count in chunks:
                        path = Path(folder, f"{len(os.listdir(folder))}")
                        size = write(images, saved, path, count, how)
                        rows[-1].setdefault(name, {})[count] = size
            table(title, *rows, images.nbytes, chunks)


if __name__ == "__main__":
    main()
