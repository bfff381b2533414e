# SPDX-License-Identifier: Apache-2.0
"""Measure many small pictures in one batch for `speed.py`: pictures per second, encoding and decoding."""

from __future__ import annotations

import sys
import time
from itertools import islice, product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rates_peers import Pixels
from speed_codecs import Backend, RoundTripError

from bbcodec import modelfile
from bbcodec.families import batch
from bbcodec.jobs import Execution

__all__ = ["PROFILES", "pictures", "rows"]

PROFILES = ("thumb", "fast")
_TRAINING_IMAGES = 3500  # of the CIFAR-10 images in the file; the others are for rates


def pictures(data: Path, count: int) -> list[Pixels]:
    """Return pictures uint8 [32, 32, 3]: training images of CIFAR-10, then the same mirrored and transposed.

    Raises
    ------
    FileNotFoundError
        The data is missing.
    ValueError
        `count` is more than the data allows.
    """
    path = data / "cifar10_first4000.npz"
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name}")
    with np.load(path) as arrays:
        images = arrays["x"][:_TRAINING_IMAGES]
    if count > 8 * len(images):
        raise ValueError(f"{count} pictures, expected at most {8 * len(images)} (8 views of {len(images)})")
    ways = (
        np.ascontiguousarray(image[::down, ::along].swapaxes(0, 1) if turned else image[::down, ::along])
        for turned, down, along in product((False, True), (1, -1), (1, -1))
        for image in images
    )
    return list(islice(ways, count))


def rows(
    images: list[Pixels], threads: list[int], backends: list[Backend], runs: int
) -> list[dict[str, Any]]:
    """Measure every combination of model, threads and backend; their runs are interleaved.

    Raises
    ------
    RoundTripError
        A decoded picture differs.
    """
    models = [modelfile.load_named(profile) for profile in PROFILES]
    choices = [(model, n, backend) for backend in backends for n in threads for model in models]
    found: list[dict[str, Any]] = []
    for model, n, backend in choices:
        profile = PROFILES[models.index(model)]
        label = f"bbcodec {profile}, {n} thread{'s' if n > 1 else ''}, {backend.title}"
        found.append({"codec": label, "pictures": len(images), "encode_runs": [], "decode_runs": []})
        _one(images[:2], model, n, backend)  # imports, tables and compilation are not timed
    for _ in range(runs):
        for (model, n, backend), row in zip(choices, found, strict=True):
            row["bytes"], encode, decode = _one(images, model, n, backend)
            row["encode_runs"].append(encode)
            row["decode_runs"].append(decode)
            print(f"thumbs: {row['codec']}: {encode:.2f} s, {decode:.2f} s", file=sys.stderr, flush=True)
    for row in found:
        row["bits_per_dim"] = 8 * row["bytes"] / sum(image.size for image in images)
        for way in ("encode", "decode"):
            row[f"{way}_images_per_second"] = len(images) / median(row[f"{way}_runs"])
    return found


def _one(
    images: list[Pixels], model: modelfile.Model, threads: int, backend: Backend
) -> tuple[int, float, float]:
    """Return the bytes of the batch, and the seconds to encode and to decode it."""
    with backend.chosen():
        start = time.perf_counter()
        data = batch.encode(images, model, execution=Execution(threads=threads, backend=backend.name))
        middle = time.perf_counter()
        decoded = batch.decode(data, model, execution=Execution(threads=threads, backend=backend.name))
        end = time.perf_counter()
    if len(decoded) != len(images) or not all(map(np.array_equal, decoded, images)):
        raise RoundTripError(f"batch of {len(images)} pictures: the decoded pictures differ")
    return len(data), middle - start, end - middle
