# SPDX-License-Identifier: Apache-2.0
"""Where the bits of a ``.bb`` file went: the cost of every pixel, and a picture of it.

The costs come from the coder's own frequencies (`bbcodec.families.learned.cost_map`); here the file around
them is opened, and the costs get colours. No file is written.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec import container
from bbcodec.bbfile.decoder import decode
from bbcodec.bbfile.parts import chains_of, mode_of
from bbcodec.container import Buffer, Limits
from bbcodec.errors import OptionError
from bbcodec.families import learned
from bbcodec.jobs import Execution, Progress
from bbcodec.modelfile.registry import ModelLike, model_for
from bbcodec.picture import planes
from bbcodec.picture.raster import bands

__all__ = ["ANCHORS", "CHAIN_OVERHEAD", "colours", "cost_map"]

CHAIN_OVERHEAD: Final = 512
"""Bits of a chain, at most, that no pixel cost: the start of its message, and what rounding to words adds."""

ANCHORS: Final = (
    *((0, 0, 8), (24, 14, 62), (66, 16, 104), (110, 28, 108), (152, 44, 96)),
    *((194, 64, 74), (228, 96, 44), (246, 144, 22), (248, 200, 56), (252, 252, 200)),
)
"""Red, green, blue at equal steps from the cheapest to the dearest: lightness grows evenly all the way."""


def cost_map(
    data: Buffer,
    *,
    threads: int = 0,
    backend: str | None = None,
    limits: Limits | int | None = None,
    model: ModelLike | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return how many bits each pixel of a ``.bb`` file cost: float32 ``[H, W]``, its colours together.

    Models of the family ``local`` (photo, fast, thumb) know it of every pixel. Those with latents know what a
    tile of 64 x 64 cost, and its pixels share that equally. The sum of the map is the size of the file's
    chains, in bits, to within `CHAIN_OVERHEAD` bits a chain: the start of each message belongs to no pixel.
    Alpha and the low bytes of 16-bit samples, which no model codes, are not in the map.

    Parameters
    ----------
    data : bytes-like
        A whole file.
    threads, backend, limits, model
        As for `bbcodec.decompress`. The map does not depend on threads and backend.
    progress : callable, optional
        Called with (tiles done, tiles in all): the file is decoded first, then its costs are counted.

    Raises
    ------
    OptionError
        No model codes this picture: its method is classic, whose coders do not tell what a pixel costs.
    FormatError, LimitError, ModelMissingError
        As for `bbcodec.decompress`.

    Examples
    --------
    >>> import numpy as np
    >>> from bbcodec import compress
    >>> data = compress(np.zeros((8, 12, 3), np.uint8), method="learned", model="fast")
    >>> cost_map(data).shape
    (8, 12)
    """
    bounds = Limits.of(limits)
    parsed = container.read(data, limits=bounds)
    section = parsed.one(container.CHAINS)
    if section is None:
        raise OptionError("no map: no model codes this picture (method classic)")
    execution = Execution(threads, backend, progress)
    at_hand = model_for(parsed, model)
    picture = decode(data, execution, limits=bounds, model=at_hand)
    return learned.cost_map(
        planes.select(picture.pixels, planes.COLOUR, mode_of(parsed.header)),
        chains_of(section),
        at_hand,
        execution,
        fitted=parsed.one(container.FITTED),
    )


bit_map = cost_map
"""The former name of `cost_map`; it goes with the next version."""


def colours(bits: NDArray[np.floating[Any]], most: float) -> NDArray[np.uint8]:
    """Return a map in colours, uint8 ``[H, W, 3]``: `ANCHORS` from 0 to `most` bits, more is the last."""
    anchors = np.array(ANCHORS, np.float64)
    steps = len(anchors) - 1
    ramp = np.stack([np.interp(np.arange(256) * steps / 255, np.arange(steps + 1), c) for c in anchors.T], 1)
    table = np.rint(ramp).astype(np.uint8)
    image = np.empty((*bits.shape, 3), np.uint8)
    for rows in bands(*bits.shape):
        level = np.clip(bits[rows] * (255 / most if most > 0 else 0), 0, 255)
        image[rows] = table[np.rint(level).astype(np.intp)]
    return image
