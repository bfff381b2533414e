# SPDX-License-Identifier: Apache-2.0
"""`bbcodec info --map`: the cost map, an image of the bits that each pixel costs.

`bbcodec.bbfile.cost_map` counts the bits.
"""

from __future__ import annotations

import math
import os
from typing import Any, BinaryIO, Final

from bbcodec.cli.images import check_suffix
from bbcodec.cli.report import STREAM, refuse

__all__ = ["check", "in_words", "write"]

SCALE_QUANTILE: Final = 0.995
"""Part of the pixels below the lightest colour by default. A few expensive pixels would darken all others."""


def check(inputs: list[str], target: str | None, most: float | None) -> None:
    """Refuse options that contradict each other."""
    if target is None:
        if most is not None:
            refuse("--map-max needs --map")
        return
    if len(inputs) > 1:
        refuse("one cost map cannot show several files; give one input")
    if target == STREAM:
        refuse("--map needs a file: standard output has the description")
    if most is not None and not 0 < most < math.inf:
        refuse(f"--map-max must be more than 0 bits (got {most:g})")
    check_suffix(target)


def write(file: BinaryIO, target: str, data: bytes, most: float | None, **how: Any) -> dict[str, Any]:
    """Write the cost map of a file.

    Parameters
    ----------
    file, target
        The open output, and its name, whose suffix gives the format.
    data
        The whole ``.bb`` file.
    most
        Bits per pixel of the lightest colour, or None.
    how
        Options of `bbcodec.cost_map`.

    Returns
    -------
    dict
        The scale: ``min``, ``mean``, ``max`` and ``scale_max`` in bits per pixel; ``bits`` of the map and
        ``chain_bits`` of the file; ``per``, the smallest area whose cost is known: pixel or tile.
    """
    import numpy as np

    from bbcodec import api, container
    from bbcodec.bbfile.cost_map import colours
    from bbcodec.bbfile.samples_sections import unpack_chains
    from bbcodec.families.family import family_of
    from bbcodec.modelfile.registry import model_for
    from bbcodec.picture.files import write_image

    bits = api.cost_map(data, **how)
    if most is None:
        most = float(np.quantile(bits, SCALE_QUANTILE))
    write_image(file, colours(bits, most), format=os.path.splitext(target)[1][1:])
    parsed = container.read(data)
    section = parsed.one(container.CHAINS)
    assert section is not None  # otherwise there were no bits to count
    return {
        "output": target,
        "per": family_of(model_for(parsed, how.get("model"))).cost_unit,
        "min": float(bits.min()),
        "mean": float(bits.mean(dtype=np.float64)),
        "max": float(bits.max()),
        "scale_max": most,
        "bits": float(bits.sum(dtype=np.float64)),
        "chain_bits": 8 * sum(map(len, unpack_chains(section))),
    }


def in_words(scale: dict[str, Any]) -> str:
    """Return a sentence that describes the scale of a cost map."""
    return (
        f"bits per pixel, {scale['per']} by {scale['per']}: "
        f"min {scale['min']:.2f}, mean {scale['mean']:.2f}, max {scale['max']:.2f}; "
        f"black is 0, pale yellow {scale['scale_max']:.2f} and more"
    )
