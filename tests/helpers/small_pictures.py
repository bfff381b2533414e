# SPDX-License-Identifier: Apache-2.0
"""Small pictures for tests of batches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def pictures(count: int, height: int, width: int, channels: int = 3, seed: int = 0) -> list[np.ndarray]:
    """Return random gradients with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    found = []
    for _ in range(count):
        a, b, c = rng.uniform(-4, 4, 3)
        base = 128 + a * x + b * y + c * 10
        noisy = base[..., None] + rng.normal(0, 2, (height, width, channels))
        found.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return found


def same(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> bool:
    """Return whether both sequences have equal pictures in the same order."""
    return len(found) == len(expected) and all(
        a.shape == b.shape and np.array_equal(a, b) for a, b in zip(found, expected, strict=True)
    )
