# SPDX-License-Identifier: Apache-2.0
"""Prior of the family `local`: the sums that every least-squares fit starts from.

Small pictures end before their own sums are reliable. The prior is the mean product vector of training pixels
(docs/local.md, "Predictors"), times the number of pixels that it counts for.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bbcodec.families.local.model import entries
from bbcodec.families.local.order import CHANNELS, EARLIER, OWN, neighbours

from ..data import Picture
from .head import HeadConfig

Integers = NDArray[np.int64]


def prior(
    pictures: Sequence[Picture], predictions: Sequence[Integers], config: HeadConfig, pixels: float
) -> NDArray[np.int32]:
    """Return the tensor `prior` of a model.

    Parameters
    ----------
    pictures : uint8 [h, w, 3] each.
    predictions : ``p`` of every sample of each picture, [h w, 3], channels in coding order.
    config : configuration of the head.
    pixels : number of average pixels that the prior counts for.

    Returns
    -------
    int32 [sum of entries], by channel, then by predictor.
    """
    total: NDArray[np.float64] = np.zeros(())
    count = 0
    for picture, p in zip(pictures, predictions, strict=True):
        total = total + _products(picture, p, config)
        count += len(p)
    return np.floor(total / count * pixels + 0.5).astype(np.int32)


def _products(picture: Picture, p: Integers, config: HeadConfig) -> NDArray[np.float64]:
    """Return the sum of the product vectors of a picture's pixels."""
    height, width, _ = picture.shape
    y, x = (index.ravel() for index in np.indices((height, width)))
    flat = picture.reshape(-1, 3)[:, CHANNELS[3]].astype(np.int64).T
    errors = 64 * flat - p.T
    has_neighbours = (y > 0) | (x > 0)  # all but the first pixel
    own, earlier = (
        np.maximum(yy, 0) * width + xx for yy, xx in (neighbours(o, y, x, width) for o in (OWN, EARLIER))
    )
    parts = []
    for c in range(3):
        m = (flat[c][own[0]] + flat[c][own[1]]) >> 1
        other = [flat[k][earlier] - ((flat[k][earlier[1]] + flat[k][earlier[2]]) >> 1) for k in range(c)]
        u = np.abs(errors[c][own[:4]]).sum(0) >> 2
        w = np.maximum(1, 1572864 // (24576 + u * u)) * has_neighbours
        t = flat[c] - m
        for ns, nx in zip(config.own, config.earlier, strict=True):
            d = np.concatenate([flat[c][own[:ns]] - m, *(o[:nx] for o in other)])
            lower = np.tril_indices(len(d))
            part = np.concatenate([((d * w) @ d.T)[lower], (d * w) @ t])
            assert len(part) == entries(len(d))
            parts.append(part)
    return np.concatenate(parts).astype(np.float64)
