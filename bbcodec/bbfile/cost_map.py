# SPDX-License-Identifier: Apache-2.0
"""Count the bits that each pixel of a ``.bb`` file costs, and paint them.

The costs come from the coder's own frequencies (`bbcodec.families.learned.cost_map`). Here the file is
opened, and the costs get colours. No file is written.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec import container
from bbcodec.bbfile import deep_samples
from bbcodec.bbfile.decoder import decode
from bbcodec.bbfile.learned_samples import samples_of
from bbcodec.bbfile.parts import mode_of
from bbcodec.bbfile.samples_sections import unpack_chains
from bbcodec.container import Buffer, Limits
from bbcodec.errors import OptionError
from bbcodec.families import learned
from bbcodec.jobs import Execution
from bbcodec.modelfile.registry import ModelLike, model_for
from bbcodec.picture.raster import bands

__all__ = ["ANCHORS", "CHAIN_OVERHEAD", "colours", "cost_map"]

CHAIN_OVERHEAD: Final = 512
"""Most bits of a chain that belong to no pixel: the start of its message, and rounding to words."""

ANCHORS: Final = (
    *((0, 0, 8), (24, 14, 62), (66, 16, 104), (110, 28, 108), (152, 44, 96)),
    *((194, 64, 74), (228, 96, 44), (246, 144, 22), (248, 200, 56), (252, 252, 200)),
)
"""Red, green, blue at equal steps from the lowest to the highest cost; lightness grows evenly."""


def cost_map(
    data: Buffer,
    execution: Execution,
    *,
    limits: Limits | int | None = None,
    model: ModelLike | None = None,
) -> NDArray[np.float32]:
    """Return the cost of each pixel in bits: float32 ``[H, W]``; see `bbcodec.cost_map`.

    Raises
    ------
    OptionError
        No model codes this picture (method classic).
    FormatError, LimitError, ModelMissingError
        As for `bbcodec.decompress`.
    """
    bounds = Limits.of(limits)
    parsed = container.read(data, limits=bounds)
    section = parsed.one(container.CHAINS)
    if section is None:
        raise OptionError("no map: no model codes this picture (method classic)")
    found = model_for(parsed, model)
    picture = decode(data, execution, limits=bounds, model=found)
    if deep_samples.is_deep(section.payload[0]):
        return deep_samples.cost(section, picture.pixels, mode_of(parsed.header), found, execution)
    samples = samples_of(picture, section.payload[0], mode_of(parsed.header))
    assert samples is not None  # they have just been decoded
    return learned.cost_map(
        samples,
        unpack_chains(section),
        found,
        execution,
        fitted=parsed.one(container.FITTED),
    )


def colours(bits: NDArray[np.floating[Any]], most: float) -> NDArray[np.uint8]:
    """Return a cost map in colours, uint8 ``[H, W, 3]``: `ANCHORS` from 0 to `most` bits, clipped above."""
    anchors = np.array(ANCHORS, np.float64)
    steps = len(anchors) - 1
    ramp = np.stack([np.interp(np.arange(256) * steps / 255, np.arange(steps + 1), c) for c in anchors.T], 1)
    table = np.rint(ramp).astype(np.uint8)
    image = np.empty((*bits.shape, 3), np.uint8)
    for rows in bands(*bits.shape):
        level = np.clip(bits[rows] * (255 / most if most > 0 else 0), 0, 255)
        image[rows] = table[np.rint(level).astype(np.intp)]
    return image
