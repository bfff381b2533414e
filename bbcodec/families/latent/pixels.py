# SPDX-License-Identifier: Apache-2.0
"""What the families with latents share: network input, likelihood of the pixels, latents as symbols.

All numbers are integers in the units of `bbcodec.coding.distributions.logistic`: means in 1/64 symbol, scale
index e. A local autoregressive likelihood would belong here, as a codec of the same tile with the same
parameters.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.coding.codecs import Codec, from_generator
from bbcodec.coding.distributions import Logistic
from bbcodec.errors import ModelError
from bbcodec.modelfile import Model

LATENT_SYMBOLS = 512
LATENT_CENTRE = 256
POSTERIOR_E = (16, 72)  # log2 scales -4..3 in steps of 1/8
PRIOR_E = (12, 76)
PIXEL_E = (0, 78)
MEAN_LIMIT = 30 * 512  # |mean| of a latent, in 1/64 step

Params = NDArray[np.int32]


def vector(model: Model, name: str, limit: int, size: int | None = None) -> NDArray[np.int16]:
    """Return an int16 tensor [size] of a model.

    Raises
    ------
    ModelError
        The tensor is missing, has another type or size, or leaves ±limit.
    """
    tensor = model.tensors.get(name)
    if tensor is None or tensor.dtype != np.int16 or tensor.ndim != 1 or size not in (None, len(tensor)):
        wanted = "any number of" if size is None else size
        raise ModelError(f"model: tensor {name!r} is missing, or not a vector of {wanted} int16 numbers")
    if int(tensor.min()) < -limit or int(tensor.max()) > limit:
        raise ModelError(f"model: tensor {name!r} has values outside ±{limit}")
    return tensor


def network_input(tile: NDArray[np.uint8], multiple: int) -> NDArray[np.int16]:
    """Convert a tile uint8 [h, w, C] to network input int16 [1, H, W, 3].

    Edges are repeated up to multiples of `multiple`. A gray channel is used three times.
    """
    h, w = tile.shape[:2]
    padded = np.pad(tile, ((0, -h % multiple), (0, -w % multiple), (0, 0)), mode="edge")
    rgb = np.broadcast_to(padded, (*padded.shape[:2], 3))
    return np.ascontiguousarray((rgb.astype(np.int16) - 128) * 16)[None]


def positions(height: int, width: int, multiple: int, halvings: int) -> int:
    """Return the number of positions of a padded tile's map at 1 / 2^halvings of its resolution."""
    rows, columns = (-(-n // multiple) * multiple >> halvings for n in (height, width))
    return rows * columns


def scale_index(log2: Params, bounds: tuple[int, int], bias: int) -> Params:
    """Convert log2 scales in 1/128 to scale indices e in 1/8 octave, rounded; `bias` is e at log2 scale 0."""
    e: Params = np.clip(((log2 + 8) >> 4) + bias, *bounds)
    return e


def latent_logistic(mean: Params, e: Params, backend: str | None, floor: int) -> Codec:
    """Return the codec of latent symbols 0..511, centred at 256.

    Parameters
    ----------
    mean : in 1/64 step, relative to the centre.
    e : scale indices.
    backend : see `bbcodec.backends`.
    floor : 1 for priors, 0 for posteriors.
    """
    return Logistic(mean + 64 * LATENT_CENTRE, e, LATENT_SYMBOLS, backend, floor=floor)


def posterior_parameters(mean: Params, log2: Params) -> tuple[Params, Params]:
    """Return the clamped means and the scale indices of a posterior."""
    return np.clip(mean, -MEAN_LIMIT, MEAN_LIMIT), scale_index(log2, POSTERIOR_E, 48)


def prior_parameters(mean: Params, log2: Params) -> tuple[Params, Params]:
    """Return the clamped means and the scale indices of a prior."""
    return np.clip(mean, -MEAN_LIMIT, MEAN_LIMIT), scale_index(log2, PRIOR_E, 48)


def latent_input(symbols: NDArray[np.int32]) -> NDArray[np.int16]:
    """Convert latent symbols [H, W, Z] to a stream [1, H, W, Z] in steps of 1/256."""
    return ((symbols - LATENT_CENTRE) * 32).astype(np.int16)[None]


def likelihood(
    params: NDArray[np.int16], height: int, width: int, channels: int, backend: str | None
) -> Codec:
    """Return the codec of a tile, uint8 [height, width, channels], given the output of the network.

    Parameters
    ----------
    params : int16 [1, H, W, 9] with H >= height, W >= width. Three means (G, R, B, relative to 128, in 1/64
        level); three log2 scales in 1/128; three coefficients in 1/256, which carry the error of G to R, of G
        to B, and of R to B.
    height, width, channels : shape of the tile.
    backend : see `bbcodec.backends`.
    """
    wide = params[0, :height, :width].astype(np.int64)  # products of hostile parameters exceed 2^31
    mean = wide[..., :3] + 64 * 128
    e = scale_index(wide[..., 3:6].astype(np.int32), PIXEL_E, 24)
    coef = wide[..., 6:]

    def chain() -> Generator[Codec, Any, None]:
        green = yield Logistic(mean[..., 0], e[..., 0], 256, backend)
        if channels == 1:
            return
        error_g = 64 * np.asarray(green, np.int64) - mean[..., 0]
        mean_r = mean[..., 1] + (coef[..., 0] * error_g >> 8)
        red = yield Logistic(mean_r, e[..., 1], 256, backend)
        error_r = 64 * np.asarray(red, np.int64) - mean_r
        mean_b = mean[..., 2] + (coef[..., 1] * error_g + coef[..., 2] * error_r >> 8)
        yield Logistic(mean_b, e[..., 2], 256, backend)

    inner = from_generator(chain)
    order = [1, 0, 2] if channels == 3 else [0]

    def push(message: Any, tile: NDArray[np.uint8], *context: Any) -> tuple[Any, ...]:
        return inner.push(message, [tile[..., c] for c in order], *context)

    def pop(message: Any, *context: Any) -> tuple[Any, ...]:
        message, planes, *rest = inner.pop(message, *context)
        tile = np.empty((height, width, channels), np.uint8)
        for c, plane in zip(order, planes, strict=True):
            tile[..., c] = plane
        return message, tile, *rest

    return Codec(push, pop)
