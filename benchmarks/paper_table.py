# SPDX-License-Identifier: Apache-2.0
"""The table of Bird, Kingma and Barber (ICLR 2021): train every row in the same way, code, tabulate.

    python benchmarks/paper_table.py --data ../shared/data --work runs/paper --train-only
    python benchmarks/paper_table.py --data ../shared/data --work runs/paper > table.md
    python benchmarks/paper_table.py --cifar10 cifar-10-batches-py --work runs/cifar --steps 100000 ...

With `--cifar10` (a folder of python or binary batches), rows train on CIFAR-10 and are measured on 500 of its
test images; curves are of training images. With `--data`, half of the crops are from images 0-3199 of
`cifar10_first4000.npz`, and the others from `photos/train`, scaled down to six sizes. Validation uses images
3200-3499. Measurements use images 3500-3999 and thumbnails of `photos/valid`. Crops are 32 x 32 and mirrored
left-right at random. Measured weights are averages over the last steps.

All rows take the same number of steps, one row after the other. A stopped row goes on from its checkpoint and
ends as if it had not been stopped. Finished work is not done again. Rates are in bits per sub-pixel:

- bound: negative ELBO of the network in float32, mean over the pictures;
- coded: the file of all pictures as one batch, every byte, after its round trip was verified;
- excess: bits of the pictures that are coded with latents, over their bound. The pictures at the end of the
  batch are coded without latents and lend their bits to the first of the others (initial bits, given for one
  picture).

Bytes are those of the network's parameters, as float32 and packed (a bit per binary weight, two bytes per
other weight), and of the model file.
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
from bbcodec.models.latent.checkpoint import build, load_checkpoint
from bbcodec.models.latent.export import export, residual_sizes
from paper_plot import curves
from paper_report import page
from paper_rows import ORDER, PAPER, ROWS, SIZES, Stopped, Training, train
from torch import nn

from bbcodec import modelfile
from bbcodec.coding.bits_back import initial_bits
from bbcodec.families import batch
from bbcodec.families.latent import chains
from bbcodec.families.stats import Pixels

# Short sides of the training photographs in pixels, and the share of each among the crops. Their content at
# 32 pixels is like that of CIFAR-10; larger sizes add smooth areas and variety.
PHOTO_SHARES = {32: 2, 48: 2, 64: 1.5, 96: 1, 128: 1, 192: 0.5}


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
    """Code one batch and verify it; return its sizes and times, and the bits of its latent pictures."""
    begun = time.perf_counter()
    file = batch.encode(images, model)
    encoded = time.perf_counter()
    back = batch.decode(file, model)
    decoded = time.perf_counter()
    if not all(np.array_equal(a, b) for a, b in zip(images, back, strict=True)):
        raise AssertionError("the round trip is not exact")
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
    """Return all figures of a trained row; store them beside its checkpoint."""
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
        latent = len(images) - int(found["plain"])  # the last pictures are coded without latents
        found["excess"] = found["latent"] - float(each[:latent].mean()) if latent else float("nan")
        figures["sets"][name] = {"bound": float(each.mean()), "each": each.tolist()} | found
    kept.write_text(json.dumps(figures))
    return figures


def main() -> None:
    """Train, measure and print the page."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--cifar10", type=Path, help="folder of CIFAR-10's python or binary batches")
    parser.add_argument("--data", type=Path, help="folder with cifar10_first4000.npz and photos/")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints and figures")
    parser.add_argument("--steps", type=int, default=10_000, help="steps of a row")
    parser.add_argument("--ema", type=float, default=0.999, help="decay of the average of the weights")
    parser.add_argument("--minutes", type=float, default=0.0, help="time limit of a row; 0: none")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--rows", default=None, help="names, by commas, or `all`; default: the paper's ten")
    parser.add_argument("--train-only", action="store_true", help="end after the trainings")
    parser.add_argument("--images", type=int, default=500, help="pictures to measure, of each set")
    parser.add_argument("--plot", type=Path, default=None, help="file for the training curves, .svg")
    args = parser.parse_args()
    if args.cifar10:
        training = valid = plain = f"cifar10:{args.cifar10}"
        weights = None
    elif args.data:
        cifar, photos = args.data / "cifar10_first4000.npz", args.data / "photos"
        scales = [f"{photos / 'train'}@{size}" for size in PHOTO_SHARES]
        training, valid = ",".join([f"{cifar}[0:3200]", *scales]), f"{cifar}[3200:3500]"
        weights = ",".join(f"{share:g}" for share in (sum(PHOTO_SHARES.values()), *PHOTO_SHARES.values()))
        plain = f"{cifar}[0:3200],{photos / 'train'}@32"
    else:
        parser.error("--cifar10 or --data is needed")
    if args.rows == "all":
        chosen = ORDER
    else:
        chosen = args.rows.split(",") if args.rows else [n for n in ORDER if ROWS[n] in PAPER]
    if unknown := sorted({*chosen} - {*ROWS}):
        parser.error(f"--rows: unknown rows {', '.join(unknown)}; known are {', '.join(ROWS)}")
    recipe = Training(training, weights, valid, args.steps, args.ema, args.minutes, args.threads)
    for name in chosen:
        try:
            train(ROWS[name], recipe, args.work)
        except Stopped as stopped:
            sys.exit(str(stopped))
        print(f"{name}: trained", file=sys.stderr, flush=True)
    if args.train_only:
        return
    if args.cifar10:
        sets = {"CIFAR-10 test": sources.load_cifar10(args.cifar10, train=False)[: args.images]}
    else:
        sets = {
            "CIFAR-10 3500-3999": sources.load(f"{cifar}[3500:4000]")[: args.images],
            "thumbnails": sources.load(f"{photos / 'valid'}@32")[: args.images],
        }
    torch.set_num_threads(args.threads)
    pictures = sources.load(plain)[::10]  # the scales of the coder without latents are fitted on them
    found: dict[str, dict[str, Any]] = {}
    for name in ROWS:
        if name in chosen:
            found[name] = evaluate(args.work / name, sets, pictures)
            print(name, {n: s["bound"] for n, s in found[name]["sets"].items()}, file=sys.stderr)
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
