# SPDX-License-Identifier: Apache-2.0
"""The causal coder of tiles without latents."""

from __future__ import annotations

from typing import Any

import numpy as np

from .logistic import Logistic
from .rans import Message

ACTIVITY = np.array([1, 3, 6, 10, 16, 26, 42, 70, 120])
MISS = np.array([0, 1, 3, 6, 11, 20])


def pop(message: Message, shape: tuple[int, int, int], table: Any) -> Any:
    """Pop a tile, uint8 [H, W, C]; `table` is the tensor `causal_e`."""
    height, width, channels = shape
    order = [1, 0, 2] if channels == 3 else [0]
    values = np.zeros((channels, height, width), np.int64)  # by place in the coding order
    out = np.zeros(shape, np.uint8)
    for diagonal in range(height + width - 1):
        i = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        j = diagonal - i
        green = miss = np.zeros(len(i), np.int64)
        for k, channel in enumerate(order):
            v = values[k]
            if diagonal == 0:
                prediction = np.array([0 if k else 128])
                activity = np.array([9])
            else:
                prediction, difference = _predict(v, i, j)
                activity = np.searchsorted(ACTIVITY, difference)
            mean = np.clip(prediction + green, 0, 255)
            x = Logistic(64 * mean, table[k, activity, miss].astype(np.int64), 256, 1).pop(message)
            v[i, j] = x - green
            out[i, j, channel] = x
            if k == 0 and channels == 3:
                green, miss = x, np.searchsorted(MISS, np.abs(x - mean))
    return out


def _predict(v: Any, i: Any, j: Any) -> tuple[Any, Any]:
    """Return the predictions and activities of the samples (i, j), none of which is (0, 0)."""
    west, north, corner = v[i, j - 1], v[i - 1, j], v[i - 1, j - 1]
    top, left = i == 0, j == 0
    north = np.where(top, west, north)
    west = np.where(left, north, west)
    corner = np.where(top, v[0, np.maximum(j - 2, 0)], corner)
    corner = np.where(left, v[np.maximum(i - 2, 0), 0], corner)
    low, high = np.minimum(west, north), np.maximum(west, north)
    return np.clip(west + north - corner, low, high), np.abs(west - corner) + np.abs(north - corner)
