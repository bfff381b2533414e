# SPDX-License-Identifier: Apache-2.0
"""Training images: folders of photographs, CIFAR-10 in its published forms, and .npz arrays.

Pictures stay uint8 in memory ([H, W, 3], RGB); batches are float tensors [N, 3, S, S] in 0..255.
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
    """All pictures under `folder`, in the order of their names, as RGB."""
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"{folder}: no pictures")
    return [np.asarray(Image.open(p).convert("RGB")) for p in paths]


def load_npz(path: Path, start: int = 0, stop: int | None = None) -> list[Picture]:
    """Pictures ``x[start:stop]`` of an .npz with x uint8 [N, H, W, 3]."""
    with np.load(path) as file:
        return list(file["x"][start:stop])


class _ArraysOnly(pickle.Unpickler):
    """Reads the pickles that CIFAR-10's python version consists of, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> object:
        allowed = {("numpy", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")}
        if (module.split(".")[0], name) in allowed:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"unexpected {module}.{name} in a CIFAR-10 batch")


def load_cifar10(folder: Path, train: bool = True) -> list[Picture]:
    """CIFAR-10 from its published python or binary batches.

    Python: ``data_batch_1`` ... with a ``data`` array uint8 [10000, 3072]. Binary: ``data_batch_1.bin`` ...
    of records of 3073 bytes, the first of which is the label. Both hold channels first.
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
        raise FileNotFoundError(f"{folder}: no CIFAR-10 batches ({names[0]} or {names[0]}.bin)")
    return list(np.concatenate(parts))


def thumbnails(pictures: list[Picture], size: int) -> list[Picture]:
    """Whole pictures scaled to `size` x `size` from their central square."""
    out = []
    for picture in pictures:
        h, w = picture.shape[:2]
        side = min(h, w)
        top, left = (h - side) // 2, (w - side) // 2
        square = Image.fromarray(picture[top : top + side, left : left + side])
        out.append(np.asarray(square.resize((size, size), Image.Resampling.LANCZOS)))
    return out


def load_each(source: str, size: int | None = None) -> list[list[Picture]]:
    """Pictures of each name in a list separated by commas; see `load`. Each file is read once."""
    found: list[list[Picture]] = []
    read: dict[str, list[Picture]] = {}
    for part in source.split(","):
        name, at, behind = part.rpartition("@")
        name, side = (name, int(behind)) if at and behind.isdigit() else (part, size)
        if name not in read:
            read[name] = _load_whole(name)
        found.append(thumbnails(read[name], side) if side else read[name])
    return found


def _load_whole(source: str) -> list[Picture]:
    """Pictures of one name, at their own size."""
    if source.startswith("cifar10:"):
        return load_cifar10(Path(source.removeprefix("cifar10:")))
    if ".npz" in source:
        name, _, part = source.partition("[")
        start, _, stop = part.rstrip("]").partition(":")
        return load_npz(Path(name), int(start or 0), int(stop) if stop else None)
    return load_folder(Path(source))


def load(source: str, size: int | None = None) -> list[Picture]:
    """Pictures named by a command line: a folder, ``cifar10:FOLDER``, or ``file.npz[start:stop]``.

    `size` makes thumbnails of them, and so does ``@SIZE`` behind the name. Several names are separated by
    commas.
    """
    return [picture for part in load_each(source, size) for picture in part]


def shares(sources: list[list[Picture]], weights: list[float], size: int) -> NDArray[np.float64]:
    """Chance of each picture to be drawn for a crop, over all sources in order.

    Parameters
    ----------
    sources : pictures of each source.
    weights : share of each source among the crops, in any unit. Within a source, pictures are drawn by their
        area.
    size : of a crop, pixels. Smaller pictures are never drawn.

    Raises
    ------
    ValueError
        The number of weights is not that of the sources, a weight is negative, no weight is positive, or a
        source with a weight has no picture that is large enough.
    """
    if len(weights) != len(sources):
        raise ValueError(f"{len(weights)} weights for {len(sources)} sources: give one for each")
    if min(weights) < 0 or not max(weights) > 0:
        raise ValueError(f"weights are {weights}, expected none below 0 and one above")
    parts = []
    for number, (pictures, weight) in enumerate(zip(sources, weights, strict=True), 1):
        areas = np.array([p.shape[0] * p.shape[1] * (min(p.shape[:2]) >= size) for p in pictures], float)
        if weight and not areas.any():
            raise ValueError(f"source {number}: no picture is at least {size} pixels wide and high")
        parts.append(weight * areas / max(areas.sum(), 1.0))
    every = np.concatenate(parts)
    return every / every.sum()


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
    """Endless batches of random crops [batch, 3, size, size], mirrored left-right at random.

    Parameters
    ----------
    chances : of each picture to be drawn, see `shares`. Default: by area.
    transpose : one crop in four is transposed too.
    step : number of the first batch. Batches then depend on the seed and their number alone, so that a
        training goes on with the batches that it would have had without a pause. Default: one sequence of
        random numbers from the seed.

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
    """One fixed crop from the middle of up to `limit` pictures, for validation: [N, 3, size, size]."""
    pictures = [p for p in pictures if min(p.shape[:2]) >= size]
    chosen = pictures[:: max(1, len(pictures) // limit)][:limit]
    tops = [((p.shape[0] - size) // 2, (p.shape[1] - size) // 2) for p in chosen]
    cut = [p[y : y + size, x : x + size].transpose(2, 0, 1) for p, (y, x) in zip(chosen, tops, strict=True)]
    return torch.from_numpy(np.stack(cut).astype(np.float32))
