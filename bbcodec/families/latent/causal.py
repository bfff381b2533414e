# SPDX-License-Identifier: Apache-2.0
"""The causal coder: codes a tile without latents, from already decoded neighbours alone.

It codes the first tiles of a chain. Their bits pay for the latents of the other tiles, so that every file is
complete in itself. The pixels of one antidiagonal (a wavefront) are coded together: G, then R, then B. The
median edge detector of LOCO-I (Weinberger et al. 2000) predicts a channel from the left, upper and upper-left
neighbours; R and B are predicted as differences to G. A table gives the scale of the logistic for the local
activity and the prediction error of G.
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
ACTIVITY_BOUNDS = np.array([1, 3, 6, 10, 16, 26, 42, 70, 120])  # upper bounds of |W - NW| + |N - NW|
ERROR_BOUNDS = np.array([0, 1, 3, 6, 11, 20])  # upper bounds of |G - prediction|
SHAPE = (3, len(ACTIVITY_BOUNDS) + 1, len(ERROR_BOUNDS) + 1)  # scale table: channel, activity, error of G

Samples = NDArray[np.int32]


def default_scales() -> NDArray[np.uint8]:
    """Return the default scale table [3, 10, 7]; scales grow with the activity and with the error of G."""
    activity, error = np.arange(SHAPE[1]), np.arange(SHAPE[2])
    table = 24 + 4 * activity[None, :, None] + 2 * error[None, None, :] - np.array([0, 6, 6])[:, None, None]
    scales: NDArray[np.uint8] = np.clip(table, 0, 79).astype(np.uint8)
    return scales


@lru_cache(maxsize=8)
def _wavefronts(height: int, width: int) -> list[Step]:
    return list(steps(height, width))


def _border(plane: Samples, t: int, height: int, width: int) -> None:
    """Fill in the neighbours of antidiagonal t that lie outside the tile with the neighbour that exists."""
    stride = width + 1
    if t == 1:  # the upper-left neighbours of both pixels lie outside
        plane[1] = plane[stride] = plane[stride + 1]
    if 0 < t < width:  # above pixel (0, t): the value of its left neighbour
        plane[t + 1] = plane[stride + t]
    if 0 < t < height:  # left of pixel (t, 0): the value of its upper neighbour
        plane[(t + 1) * stride] = plane[t * stride + 1]


def _predict(plane: Samples, step: Step) -> tuple[Samples, NDArray[np.intp]]:
    """Return the prediction of the median edge detector and the activity class, for one wavefront."""
    left, up, corner = plane[step.left], plane[step.up], plane[step.up_left]
    low, high = np.minimum(left, up), np.maximum(left, up)
    prediction = np.clip(left + up - corner, low, high)
    return prediction, np.searchsorted(ACTIVITY_BOUNDS, np.abs(left - corner) + np.abs(up - corner))


def _scan(height: int, width: int, channels: int) -> Generator[tuple[int, Step, Samples, Any], Any, None]:
    """Yield (channel, wavefront, mean, context) in decoding order. The caller sends back the symbols."""
    planes = np.zeros((channels, (height + 1) * (width + 1)), np.int32)  # G, R - G, B - G
    for t, step in enumerate(_wavefronts(height, width)):
        green: Any = 0
        error: Any = 0
        for k in range(channels):
            _border(planes[k], t, height, width)
            if t == 0:
                prediction = np.full(1, 0 if k else 128, np.int32)
                activity = np.full(1, len(ACTIVITY_BOUNDS))
            else:
                prediction, activity = _predict(planes[k], step)
            mean = np.clip(prediction + green, 0, 255)
            symbols = yield k, step, mean, (k, activity, error)
            values = np.asarray(symbols, np.int32)
            planes[k, step.pixel] = values - green
            if k == 0:
                green, error = values, np.searchsorted(ERROR_BOUNDS, np.abs(values - mean))


def tile_codec(
    height: int, width: int, channels: int, scales: NDArray[Any], backend: str | None = None
) -> Codec:
    """Return the codec of one tile without latents.

    Parameters
    ----------
    height, width : size of the tile in pixels.
    channels : 3 (R, G, B) or 1.
    scales : integers 0..79 of shape `SHAPE`: the table ``causal_e`` of the model.
    backend : see `bbcodec.backends`.

    Returns
    -------
    Codec of uint8 [height, width, channels].
    """
    table = scales.astype(np.int32)
    order = ORDER if channels == 3 else (0,)
    wavefronts = _wavefronts(height, width)
    stride = width + 1
    # Rows and columns of the pixels of every wavefront, to cut a tile into symbols and to reassemble it.
    grid = np.arange((height + 1) * stride)
    places = [((p := grid[s.pixel]) // stride - 1, p % stride - 1) for s in wavefronts]

    def chain() -> Generator[Codec, Any, None]:
        scan = _scan(height, width, channels)
        symbols = None
        while True:
            try:
                _, _, mean, context = scan.send(symbols)
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
    """Return the scale table that codes the central crops of these pictures in the fewest bits.

    Parameters
    ----------
    pictures : uint8 [H, W, 3] each.
    crop : largest side of a crop, in pixels.
    """
    counts = np.zeros((*SHAPE, 511), np.int64)  # errors by context
    for picture in pictures:
        h, w = (min(crop, n) for n in picture.shape[:2])
        top, left = (picture.shape[0] - h) // 2, (picture.shape[1] - w) // 2
        tile = picture[top : top + h, left : left + w]
        padded = np.zeros((h + 1, w + 1, 3), np.uint8)
        padded[1:, 1:] = tile
        flat = padded.reshape(-1, 3)
        scan = _scan(h, w, 3)
        symbols = None
        while True:
            try:
                k, step, mean, context = scan.send(symbols)
            except StopIteration:
                break
            symbols = flat[step.pixel, ORDER[k]]
            cells = tuple(np.broadcast_to(c, mean.shape) for c in context)
            np.add.at(counts, (*cells, symbols.astype(np.int64) - mean + 255), 1)
    errors = np.arange(-255, 256)
    # Cost of every error under every scale, ignoring the ends of the sample range.
    costs = np.stack(
        [logistic_bits(errors + 512, np.full(511, 512 * 64), np.full(511, e), 1024) for e in range(80)]
    )
    best = (counts @ costs.T).argmin(-1)
    return np.where(counts.sum(-1) > 0, best, default_scales()).astype(np.uint8)
