# SPDX-License-Identifier: Apache-2.0
"""The causal coder: a tile without latents, from already decoded neighbours alone.

It codes the first tiles of a chain, whose bits then pay for the latents of the others, so that every image is
a complete file. Pixels of one antidiagonal are coded together (a wavefront), G, then R, then B. A channel is
predicted by the median edge detector of LOCO-I (Weinberger et al. 2000) from left, upper and upper-left; R
and B are predicted as differences to G. The logistic's scale is looked up by the local activity and by how
far G missed.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.codecs import Codec, from_generator
from bbcodec.coding.distributions import Logistic
from bbcodec.coding.distributions.logistic import bits as logistic_bits
from bbcodec.picture.raster import Step, steps

ORDER = (1, 0, 2)  # G, R, B
ACTIVITIES = np.array([1, 3, 6, 10, 16, 26, 42, 70, 120])  # upper bounds of |W - NW| + |N - NW|
MISSES = np.array([0, 1, 3, 6, 11, 20])  # upper bounds of |G - prediction|
SHAPE = (3, len(ACTIVITIES) + 1, len(MISSES) + 1)  # of the scale table: channel, activity, miss of G

Samples = NDArray[np.int32]


def default_scales() -> NDArray[np.uint8]:
    """Scale indices [3, 10, 7] for a model without fitted ones: wider with activity and with G's miss."""
    activity, miss = np.arange(SHAPE[1]), np.arange(SHAPE[2])
    table = 24 + 4 * activity[None, :, None] + 2 * miss[None, None, :] - np.array([0, 6, 6])[:, None, None]
    scales: NDArray[np.uint8] = np.clip(table, 0, 79).astype(np.uint8)
    return scales


@lru_cache(maxsize=8)
def _wavefronts(height: int, width: int) -> list[Step]:
    return list(steps(height, width))


def _border(plane: Samples, t: int, height: int, width: int) -> None:
    """Fill in the pixels outside that antidiagonal t looks at: the neighbour that exists stands for both."""
    stride = width + 1
    if t == 1:  # nothing lies two to the left, or two above
        plane[1] = plane[stride] = plane[stride + 1]
    if 0 < t < width:  # above pixel (0, t) stands the value of its left neighbour
        plane[t + 1] = plane[stride + t]
    if 0 < t < height:  # left of pixel (t, 0) stands that of its upper neighbour
        plane[(t + 1) * stride] = plane[t * stride + 1]


def _predict(plane: Samples, step: Step) -> tuple[Samples, NDArray[np.intp]]:
    """Median edge detector and activity class for one wavefront."""
    left, up, corner = plane[step.left], plane[step.up], plane[step.up_left]
    low, high = np.minimum(left, up), np.maximum(left, up)
    prediction = np.clip(left + up - corner, low, high)
    return prediction, np.searchsorted(ACTIVITIES, np.abs(left - corner) + np.abs(up - corner))


def _pass(height: int, width: int, channels: int) -> Generator[tuple[int, Step, Samples, Any], Any, None]:
    """Yield (channel, wavefront, mean, context) in decoding order; is sent the symbols of the wavefront."""
    planes = np.zeros((channels, (height + 1) * (width + 1)), np.int32)  # G, R - G, B - G
    for t, step in enumerate(_wavefronts(height, width)):
        green: Any = 0
        miss: Any = 0
        for k in range(channels):
            _border(planes[k], t, height, width)
            if t == 0:
                prediction, activity = np.full(1, 0 if k else 128, np.int32), np.full(1, len(ACTIVITIES))
            else:
                prediction, activity = _predict(planes[k], step)
            mean = np.clip(prediction + green, 0, 255)
            symbols = yield k, step, mean, (k, activity, miss)
            values = np.asarray(symbols, np.int32)
            planes[k, step.pixel] = values - green
            if k == 0:
                green, miss = values, np.searchsorted(MISSES, np.abs(values - mean))


def tile_codec(
    height: int, width: int, channels: int, scales: NDArray[Any], backend: str | None = None
) -> Codec:
    """Codec of one tile without latents.

    Parameters
    ----------
    height, width : size of the tile in pixels.
    channels : 3 (R, G, B) or 1.
    scales : integers 0..79 of shape `SHAPE`: the table ``causal_e`` of the model.

    Returns
    -------
    Codec of uint8 [height, width, channels].
    """
    table = scales.astype(np.int32)
    order = ORDER if channels == 3 else (0,)
    wavefronts = _wavefronts(height, width)
    stride = width + 1
    # Raster positions of every wavefront, to cut a tile into symbols and to put it together.
    grid = np.arange((height + 1) * stride)
    places = [((p := grid[s.pixel]) // stride - 1, p % stride - 1) for s in wavefronts]

    def chain() -> Generator[Codec, Any, None]:
        walk = _pass(height, width, channels)
        symbols = None
        while True:
            try:
                _, _, mean, context = walk.send(symbols)
            except StopIteration:
                return
            symbols = yield Logistic(64 * mean, np.broadcast_to(table[context], mean.shape), 256, backend)

    inner = from_generator(chain)

    def push(message: Any, tile: NDArray[np.uint8], *context: Any) -> tuple[Any, ...]:
        cut = [tile[y, x, c] for y, x in places for c in order]
        return inner.push(message, cut, *context)

    def pop(message: Any, *context: Any) -> tuple[Any, ...]:
        message, cut, *rest = inner.pop(message, *context)
        tile = np.empty((height, width, channels), np.uint8)
        parts = iter(cut)
        for y, x in places:
            for c in order:
                tile[y, x, c] = next(parts)
        return message, tile, *rest

    return Codec(push, pop)


def fit_scales(pictures: list[NDArray[np.uint8]], crop: int = 64) -> NDArray[np.uint8]:
    """Scale table that codes the central crops of these pictures ([H, W, 3] each) in the fewest bits."""
    counts = np.zeros((*SHAPE, 511), np.int64)  # errors by context
    for picture in pictures:
        h, w = (min(crop, n) for n in picture.shape[:2])
        top, left = (picture.shape[0] - h) // 2, (picture.shape[1] - w) // 2
        tile = picture[top : top + h, left : left + w]
        padded = np.zeros((h + 1, w + 1, 3), np.uint8)
        padded[1:, 1:] = tile
        flat = padded.reshape(-1, 3)
        walk = _pass(h, w, 3)
        symbols = None
        while True:
            try:
                k, step, mean, context = walk.send(symbols)
            except StopIteration:
                break
            symbols = flat[step.pixel, ORDER[k]]
            cells = tuple(np.broadcast_to(c, mean.shape) for c in context)
            np.add.at(counts, (*cells, symbols.astype(np.int64) - mean + 255), 1)
    errors = np.arange(-255, 256)
    # Cost of every error under every scale, as if far from the ends of the range.
    costs = np.stack(
        [logistic_bits(errors + 512, np.full(511, 512 * 64), np.full(511, e), 1024) for e in range(80)]
    )
    best = (counts @ costs.T).argmin(-1)
    return np.where(counts.sum(-1) > 0, best, default_scales()).astype(np.uint8)
