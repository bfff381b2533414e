# SPDX-License-Identifier: Apache-2.0
"""Sets of similar pictures for `own_model.py`: synthetic boards of wood, and a part of CIFAR-10."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["cifar", "wood"]

Pixels = NDArray[np.uint8]


def wood(count: int = 300, side: int = 64, seed: int = 0) -> list[Pixels]:
    """Return crops of sawn boards as a line camera records them: uint8 [side, side, 3] each.

    Growth rings are cut lengthwise: waves of the distance to a wandering pith. Fibres and pores run along the
    board, and the light falls off across it. Shot noise is added to linear light, which is then blurred
    slightly as by a lens. A gamma of 2.2 and rounding to 8 bits come last.
    """
    return [_board(np.random.default_rng([seed, i]), side) for i in range(count)]


def _board(rng: np.random.Generator, side: int) -> Pixels:
    y, x = np.mgrid[:side, :side].astype(float)
    angle = rng.normal(0, 0.06)
    along, across = y * np.cos(angle) - x * np.sin(angle), x * np.cos(angle) + y * np.sin(angle)
    wander = sum(
        rng.normal(0, 1.5) * np.sin(along / rng.uniform(12, 60) + rng.uniform(0, 6.3)) for _ in range(3)
    )
    distance = np.hypot(across - rng.uniform(-60, 120) + wander, rng.uniform(2, 30))
    rings = (distance / rng.uniform(5, 10) + rng.uniform()) % 1.0
    late = np.where(rings > 0.7, (rings - 0.7) / 0.3, 0.35 * np.exp(-rings * 6))
    fibres = _smooth(rng.normal(0, 1, (side + 24, side + 24)), 9, 0.6)[12:-12, 12:-12]
    pores = _smooth((rng.random((side + 24, side + 24)) < 0.012).astype(float), 4, 0.5)[12:-12, 12:-12]
    dark = 0.55 * late + 0.30 * fibres + 3.0 * pores + 0.002 * (across - side / 2)
    light, heart = np.array([0.52, 0.33, 0.17]), np.array([0.25, 0.115, 0.045])
    linear = light * (heart / light) ** np.clip(dark, -0.3, 1.6)[..., None] * rng.uniform(0.92, 1.08)
    noisy = rng.poisson(linear * 4000) / 4000 + rng.normal(0, 0.002, linear.shape)
    seen = np.stack([_smooth(noisy[..., c], 0.45, 0.45) for c in range(3)], axis=2)
    return np.clip(np.floor(255 * np.clip(seen, 0, 1) ** (1 / 2.2) + 0.5), 0, 255).astype(np.uint8)


def _smooth(values: NDArray[np.float64], down: float, across: float) -> NDArray[np.float64]:
    """Blur with a Gaussian of these standard deviations in pixels: down the columns, and across."""
    for axis, sigma in ((0, down), (1, across)):
        reach = max(1, int(3 * sigma + 0.5))
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        kernel /= kernel.sum()
        wide = [(reach, reach) if a == axis else (0, 0) for a in range(2)]
        padded = np.pad(values, wide, mode="edge")
        views = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=axis)
        values = views @ kernel
    return values


def cifar(path: Path, start: int = 3500, count: int = 300) -> list[Pixels]:
    """Return pictures of CIFAR-10 from an .npz file with x, uint8 [N, 32, 32, 3]."""
    with np.load(path) as arrays:
        return list(arrays["x"][start : start + count])
