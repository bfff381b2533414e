# SPDX-License-Identifier: Apache-2.0
"""Training images: folders of photographs, CIFAR-10 in its published forms, and .npz arrays.

Pictures stay uint8 in memory ([H, W, 3], RGB). Batches are float tensors [N, 3, S, S] in 0..255.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

SUFFIXES = {".png", ".webp", ".jpg", ".jpeg", ".bmp", ".ppm", ".tif", ".tiff"}
Picture = NDArray[np.uint8]


def load_folder(folder: Path) -> list[Picture]:
    """Return all pictures in `folder` and below as RGB, sorted by path.

    Raises
    ------
    FileNotFoundError
        There are no pictures.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"{folder}: no pictures found; expected files {', '.join(sorted(SUFFIXES))}")
    return [np.asarray(Image.open(p).convert("RGB")) for p in paths]


def load_npz(path: Path, start: int = 0, stop: int | None = None) -> list[Picture]:
    """Return pictures ``x[start:stop]`` of an .npz file with an array x, uint8 [N, H, W, 3]."""
    with np.load(path) as file:
        return list(file["x"][start:stop])


class _ArraysOnly(pickle.Unpickler):
    """Read the pickles of CIFAR-10's python version and refuse everything that could run code."""

    def find_class(self, module: str, name: str) -> object:
        allowed = {("numpy", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
        if (module.split(".")[0], name) in allowed:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"unexpected {module}.{name} in a CIFAR-10 batch; only arrays are read")


def load_cifar10(folder: Path, train: bool = True) -> list[Picture]:
    """Return the pictures of CIFAR-10's published python or binary batches.

    Python batches (``data_batch_1`` ...) hold an array ``data``, uint8 [10000, 3072]. Binary batches
    (``data_batch_1.bin`` ...) are records of 3073 bytes, whose first byte is the label. Both hold channels
    first.

    Raises
    ------
    FileNotFoundError
        The folder has no such batch.
    pickle.UnpicklingError
        A python batch holds something else than arrays.
    """
    names = [f"data_batch_{i}" for i in range(1, 6)] if train else ["test_batch"]
    parts = []
    for name in names:
        if (path := folder / f"{name}.bin").exists():
            records = np.frombuffer(path.read_bytes(), np.uint8).reshape(-1, 3073)[:, 1:]
        elif (path := folder / name).exists():
            with path.open("rb") as file:
                records = np.asarray(_ArraysOnly(file, encoding="bytes").load()[b"data"], np.uint8)
        else:
            continue
        parts.append(records.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    if not parts:
        raise FileNotFoundError(f"{folder}: no CIFAR-10 batches found; expected {names[0]} or {names[0]}.bin")
    return list(np.concatenate(parts))


def thumbnails(pictures: list[Picture], size: int) -> list[Picture]:
    """Return the central square of each picture, scaled to `size` x `size` pixels."""
    out = []
    for picture in pictures:
        h, w = picture.shape[:2]
        side = min(h, w)
        top, left = (h - side) // 2, (w - side) // 2
        square = Image.fromarray(picture[top : top + side, left : left + side])
        out.append(np.asarray(square.resize((size, size), Image.Resampling.LANCZOS)))
    return out


def load(source: str, size: int | None = None) -> list[Picture]:
    """Return the pictures of a source on a command line.

    Parameters
    ----------
    source : a folder, ``cifar10:FOLDER`` or ``file.npz[start:stop]``. Commas separate several of them.
        ``@SIZE`` after a name makes thumbnails of that size.
    size : make thumbnails of this size where a name has no ``@SIZE``.

    Raises
    ------
    FileNotFoundError
        A source does not exist or holds no pictures.
    """
    return [picture for part in load_each(source, size) for picture in part]


def load_each(source: str, size: int | None = None) -> list[list[Picture]]:
    """Return the pictures of each name in a source as separate lists; see `load`. Read each file once."""
    found: list[list[Picture]] = []
    read: dict[str, list[Picture]] = {}
    for part in source.split(","):
        name, at, suffix = part.rpartition("@")
        name, side = (name, int(suffix)) if at and suffix.isdigit() else (part, size)
        if name not in read:
            read[name] = _load_name(name)
        found.append(thumbnails(read[name], side) if side else read[name])
    return found


def _load_name(name: str) -> list[Picture]:
    """Return the pictures of one name at their own size."""
    if name.startswith("cifar10:"):
        return load_cifar10(Path(name.removeprefix("cifar10:")))
    if ".npz" in name:
        path, _, part = name.partition("[")
        start, _, stop = part.rstrip("]").partition(":")
        return load_npz(Path(path), int(start or 0), int(stop) if stop else None)
    return load_folder(Path(name))


def shares(sources: list[list[Picture]], weights: list[float], size: int) -> NDArray[np.float64]:
    """Return the probability of each picture to be drawn for a crop, over all sources in order.

    Parameters
    ----------
    sources : pictures of each source.
    weights : share of each source among the crops, in any unit. Within a source, pictures are drawn in
        proportion to their area.
    size : side of a crop in pixels. Smaller pictures are never drawn.

    Raises
    ------
    ValueError
        The number of weights is not that of the sources, a weight is negative, no weight is positive, or a
        source with a weight has no picture that is large enough.
    """
    if len(weights) != len(sources):
        raise ValueError(f"{len(weights)} weights for {len(sources)} sources: give one weight per source")
    if min(weights) < 0 or not max(weights) > 0:
        raise ValueError(f"weights must be at least 0, and one of them greater than 0 (got {weights})")
    parts = []
    for number, (pictures, weight) in enumerate(zip(sources, weights, strict=True), 1):
        areas = np.array([p.shape[0] * p.shape[1] * (min(p.shape[:2]) >= size) for p in pictures], float)
        if weight and not areas.any():
            raise ValueError(f"source {number}: no picture is at least {size} pixels wide and high")
        parts.append(weight * areas / max(areas.sum(), 1.0))
    chances: NDArray[np.float64] = np.concatenate(parts)
    return chances / chances.sum()


def crops(
    pictures: list[Picture],
    size: int,
    batch: int,
    seed: int,
    *,
    chances: NDArray[np.float64] | None = None,
    transpose: bool = True,
    step: int | None = None,
) -> Iterator[torch.Tensor]:
    """Yield endless batches of random crops [batch, 3, size, size], mirrored left-right at random.

    Parameters
    ----------
    pictures : pictures to cut from.
    size : side of a crop in pixels.
    batch : crops in a batch.
    seed : seed of all random choices.
    chances : probability of each picture to be drawn, see `shares`. Default: in proportion to its area.
    transpose : transpose one crop in four, too.
    step : number of the first batch. Each batch then depends only on the seed and its number, so that a
        resumed training gets the batches of an uninterrupted one. Default: one sequence of random numbers
        from the seed.

    Raises
    ------
    ValueError
        No picture is large enough.
    """
    if chances is None:
        pictures = [p for p in pictures if min(p.shape[:2]) >= size]
        if not pictures:
            raise ValueError(f"no picture is at least {size} pixels wide and high")
        chances = np.array([p.shape[0] * p.shape[1] for p in pictures], float)
        chances /= chances.sum()
    rng = np.random.default_rng(seed)
    while True:
        if step is not None:
            rng = np.random.default_rng([seed, step])
            step += 1
        out = np.empty((batch, 3, size, size), np.float32)
        for n, i in enumerate(rng.choice(len(pictures), batch, p=chances)):
            h, w = pictures[i].shape[:2]
            y, x = rng.integers(h - size + 1), rng.integers(w - size + 1)
            crop = pictures[i][y : y + size, x : x + size].transpose(2, 0, 1)
            crop = crop[:, :, ::-1] if rng.integers(2) else crop
            out[n] = crop.transpose(0, 2, 1) if transpose and rng.integers(4) == 0 else crop
        yield torch.from_numpy(out)


def central_crops(pictures: list[Picture], size: int, limit: int) -> torch.Tensor:
    """Return central crops [N, 3, size, size] of up to `limit` evenly chosen pictures, for validation."""
    pictures = [p for p in pictures if min(p.shape[:2]) >= size]
    chosen = pictures[:: max(1, len(pictures) // limit)][:limit]
    cut = []
    for picture in chosen:
        y, x = (picture.shape[0] - size) // 2, (picture.shape[1] - size) // 2
        cut.append(picture[y : y + size, x : x + size].transpose(2, 0, 1))
    return torch.from_numpy(np.stack(cut).astype(np.float32))
