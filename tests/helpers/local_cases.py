# SPDX-License-Identifier: Apache-2.0
"""Random models of the family local, pictures and messages for its tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from bbcodec import modelfile
from bbcodec.coding.ans import Message
from bbcodec.engine.graph import Graph
from bbcodec.families.local import reference
from bbcodec.families.local.model import LocalModel, entries

CONFIG: dict[str, Any] = {
    "hidden": 64,
    "layers": 2,
    "components": 3,
    "own": [8, 4],
    "earlier": [5, 2],
    "along": [3, 2],
    "down": [4, 2],
    "ridge": 64,
    "rate_q": 2097,
    "latents": 0,
    "encoder": 0,
}
GROUPS = [
    ([(1, 1)], 3),
    ([(1, 7)], 3),
    ([(7, 1)], 3),
    ([(2, 2)], 3),
    ([(3, 2)], 1),
    ([(5, 9)], 3),
    ([(17, 13)], 1),
    ([(17, 13)], 3),
    ([(6, 20), (1, 3), (11, 5)], 3),
    ([(4, 4), (9, 2), (1, 1)], 1),
]


def random_tensors(config: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Return random tensors that neither saturate nor zero the stream, and give sharp mixtures."""
    rng = np.random.default_rng(seed)
    h, layers, j = config["hidden"], config["layers"], config["components"]

    def integers(limit: int, *shape: int, dtype: Any = np.int32) -> np.ndarray:
        return rng.integers(-limit, limit, shape, endpoint=True).astype(dtype)

    sizes = [entries(config["own"][q] + c * config["earlier"][q]) for c in range(3) for q in range(2)]
    tensors = {
        "first_w": integers(127, 3, 48, h, dtype=np.int8),
        "first_m": np.abs(integers(200, 3, h)),
        "first_b": integers(1 << 22, 3, h),
        "out_w": integers(1 << 14, 3, h + 48, 3 * j),
        "out_b": integers(1 << 20, 3, 3 * j),
        "prior": np.abs(integers(1 << 10, sum(sizes))),
    }
    if layers:
        tensors["hidden_w"] = rng.integers(0, 1 << 64, (layers, h, h // 64), dtype=np.uint64)
        tensors["hidden_m"] = integers(4000, layers, h)
        tensors["hidden_b"] = integers(1 << 20, layers, h)
    return tensors


def model_file(
    config: dict[str, Any] | None = None,
    tensors: dict[str, np.ndarray | None] | None = None,
    family: str = "local",
    seed: int = 0,
) -> modelfile.Model:
    """Return a model written to the file format and loaded; tensors that are None are left out."""
    whole = CONFIG | (config or {})
    given = random_tensors(CONFIG if config is None or tensors is not None else whole, seed)
    kept = {name: tensor for name, tensor in (given | (tensors or {})).items() if tensor is not None}
    return modelfile.load(modelfile.dump(family, whole, Graph({}, {}), kept))


def local_model(seed: int = 0, **config: Any) -> LocalModel:
    return LocalModel.from_model(model_file(config, seed=seed))


def photo(height: int, width: int, channels: int, seed: int = 0) -> np.ndarray:
    """Return a picture with gradients, an edge, noise, and a few samples at the ends of the range."""
    y, x = np.mgrid[:height, :width]
    rng = np.random.default_rng(seed)
    light = 120 + 60 * np.sin(x / 5 + y / 9) + 50 * (x > y)
    image = (
        light[..., None]
        + np.array([8.0, 0.0, -12.0])[:channels]
        + rng.normal(0, 4, (height, width, channels))
    )
    image[rng.random(image.shape) < 0.02] = 300
    image[rng.random(image.shape) < 0.02] = -300
    return np.clip(image, 0, 255).astype(np.uint8)


def group(shapes: list[tuple[int, int]], channels: int, seed: int = 0) -> list[np.ndarray]:
    return [photo(*shape, channels, seed + i) for i, shape in enumerate(shapes)]


def random_side(shapes: list[tuple[int, int]], hidden: int = 64) -> list[np.ndarray]:
    rng = np.random.default_rng(5)
    return [rng.integers(-2000, 2000, hidden) for _ in shapes]


def some_message(words: int = 40, seed: int = 3) -> Message:
    rng = np.random.default_rng(seed)
    parts = [rng.integers(1 << 32, size=n, dtype=np.uint32) for n in (words // 2, words - words // 2)]
    return rng.integers(1 << 31, 1 << 63, 8, dtype=np.uint64), (parts[0], (parts[1], ()))


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return len(first) == len(second) and all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(first, second, strict=True)
    )


def steps(blocks: list[np.ndarray], model: LocalModel, side: Any = None) -> list[reference.Step]:
    """Return everything that `walk` yields for these blocks."""
    planes = reference.to_planes(blocks)
    walk = reference.walk([b.shape[:2] for b in blocks], len(planes), model, side)
    found = [next(walk)]
    while True:
        try:
            found.append(walk.send(planes[found[-1].channel, found[-1].lanes.pixel]))
        except StopIteration:
            return found


def neighbour(y: int, x: int, dx: int, dy: int, width: int) -> tuple[int, int]:
    """Return where a neighbour is read, by the rules of docs/local.md in order."""
    yy, xx = y + dy, x + dx
    if yy < 0:
        if y > 0:
            yy, xx = 0, min(xx, x + 2)
        else:
            yy, xx = 0, x - 1
    if xx < 0:
        if yy != y or x > 0:
            xx = 0
        else:
            yy, xx = y - 1, 0
    return yy, min(xx, width - 1)
