# SPDX-License-Identifier: Apache-2.0
"""Reproduce the table of Bird, Kingma and Barber (ICLR 2021): train all rows equally, code, and tabulate.

    python benchmarks/paper_table.py --data ../shared/data --work runs/paper > docs/results/paper_table.md
    python benchmarks/paper_table.py --cifar10 cifar-10-batches-py --work runs/cifar --steps 100000 ...

With `--cifar10`, trains on CIFAR-10 in that folder (python or binary batches), and reports on 500 of its test
images; the curves are of training images. Otherwise trains on the first 3,500 images of
`cifar10_first4000.npz` and thumbnails of `photos/train`, and reports on images 3500-3999 and thumbnails of
`photos/valid`. Rows take the same number of steps, each at most `--minutes`. Finished work is not repeated.
Rates, in bits per sub-pixel:

- bound: negative ELBO of the network in float32, mean over the pictures;
- coded: the file of all pictures as one batch, every byte counted, with a verified round trip;
- excess: cost of the pictures coded with latents, over their bound. The pictures at the end of the batch are
  coded without latents. They lend their bits to the first of the others (initial bits of one picture).

Bytes are those of the network's parameters: as float32, packed (one bit per binary weight, two bytes per
other weight), and as the model file.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bbcodec.models import data as sources
from bbcodec.models.latent.export import export, residual_sizes
from bbcodec.models.latent.train import build, load_checkpoint
from paper_plot import curves
from paper_report import page
from paper_rows import ABLATION, AVERAGE, PAPER, SIZES, train
from torch import nn

from bbcodec import modelfile
from bbcodec.coding.bits_back import initial_bits
from bbcodec.families import batch
from bbcodec.families.latent import chains
from bbcodec.families.stats import Pixels


def bounds(model: nn.Module, images: list[Pixels], seed: int = 0) -> np.ndarray:
    """Return the negative ELBO of every picture in bits per sub-pixel, from one sample each."""
    torch.manual_seed(seed)
    found = []
    with torch.no_grad():
        for image in images:
            x = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))[None]
            found.append(float(model(x).bits_per_dim()))
    return np.array(found)


def code(images: list[Pixels], model: modelfile.Model) -> dict[str, float]:
    """Return size and times of one verified batch, and the cost of its pictures with latents."""
    begun = time.perf_counter()
    file = batch.encode(images, model)
    encoded = time.perf_counter()
    back = batch.decode(file, model)
    decoded = time.perf_counter()
    if not all(np.array_equal(a, b) for a, b in zip(images, back, strict=True)):
        raise AssertionError("batch: the decoded pictures differ")
    codecs = chains.TileCodecs(model, 3, None)
    plain, _, stats = chains.encode_chain(images[::-1], codecs)
    dims, latent = images[0].size, len(images) - plain
    return {
        "coded": 8 * len(file) / (dims * len(images)),
        "bytes": len(file),
        "plain": plain,
        "dims": dims,
        "latent": stats.latent_bits / (dims * latent) if latent else float("nan"),
        "initial": initial_bits(codecs.latent(*images[0].shape[:2]), images[0]) / dims,
        "encode": len(images) / (encoded - begun),
        "decode": len(images) / (decoded - encoded),
    }


def evaluate(folder: Path, sets: dict[str, list[Pixels]], pictures: list[Pixels]) -> dict[str, Any]:
    """Return all results of a trained row, which are stored beside its checkpoint."""
    kept = folder / "figures.json"
    if kept.exists():
        return dict(json.loads(kept.read_text()))
    network, state = load_checkpoint(folder / "checkpoint.pt")
    content = export(network, pictures)
    model = modelfile.load(content)
    figures: dict[str, Any] = residual_sizes(network) | {
        "file": len(content), "steps": state["steps"], "minutes": state["seconds"] / 60,
        "curve": state["curve"], "seed": state["arguments"]["seed"], "sets": {},
    }  # fmt: skip
    for name, images in sets.items():
        each = bounds(network, images)
        found = code(images, model)
        latent = len(images) - int(found["plain"])  # the last pictures have no latents
        found["excess"] = found["latent"] - float(each[:latent].mean()) if latent else float("nan")
        figures["sets"][name] = {"bound": float(each.mean()), "each": each.tolist()} | found
    kept.write_text(json.dumps(figures))
    return figures


def main() -> None:
    """Train and measure, and print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cifar10", type=Path, help="folder of CIFAR-10's python or binary batches")
    parser.add_argument("--data", type=Path, help="folder with cifar10_first4000.npz and photos/")
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for checkpoints and results; resumes there"
    )
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--minutes", type=float, default=60.0, help="longest training of a row [%(default)s]")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rows", default=None, help="names of rows, separated by commas [all]")
    parser.add_argument("--images", type=int, default=500, help="pictures of each set to report on")
    parser.add_argument("--plot", type=Path, default=None, help="write the training curves to this .svg file")
    args = parser.parse_args()
    if args.cifar10:
        training = valid = f"cifar10:{args.cifar10}"
        sets = {"CIFAR-10 test": sources.load_cifar10(args.cifar10, train=False)[: args.images]}
    elif args.data:
        cifar, thumbnails = args.data / "cifar10_first4000.npz", args.data / "photos"
        training, valid = f"{cifar}[0:3500],{thumbnails / 'train'}@32", f"{thumbnails / 'valid'}@32"
        sets = {
            "CIFAR-10 3500-3999": sources.load(f"{cifar}[3500:4000]")[: args.images],
            "thumbnails": sources.load(f"{thumbnails / 'valid'}@32")[: args.images],
        }
    else:
        parser.error("no training pictures: give --cifar10 or --data")
    torch.set_num_threads(args.threads)
    pictures = sources.load(training)[::10]  # for the scale table of the causal coder
    chosen = args.rows.split(",") if args.rows else [row.name for row in (*PAPER, *ABLATION, *AVERAGE)]
    found: dict[str, dict[str, Any]] = {}
    for row in (*PAPER, *ABLATION, *AVERAGE):
        if row.name in chosen:
            train(row, training, valid, args.work, args.steps, args.minutes, args.threads)
            found[row.name] = evaluate(args.work / row.name, sets, pictures)
            print(row.name, {n: s["bound"] for n, s in found[row.name]["sets"].items()}, file=sys.stderr)
    shown = [Path(a).name if a.startswith(("/", "..")) else a for a in sys.argv[1:]]
    head = [
        f"`python benchmarks/paper_table.py {' '.join(shown)}`", "",
        f"- {platform.machine()}, PyTorch {torch.__version__}, {args.threads} thread(s)",
        *(f"- {name}: {len(images)} pictures, one batch" for name, images in sets.items()),
    ]  # fmt: skip
    sizes = {name: residual_sizes(build(config)) for name, config in SIZES.items()}
    print(page(head, found, sizes))
    if args.plot:
        rows = {name: [(s, bits) for _, s, bits in f["curve"]] for name, f in found.items()}
        args.plot.write_text(curves(rows, "The rows of the paper's table in training (validation)"))


if __name__ == "__main__":
    main()
