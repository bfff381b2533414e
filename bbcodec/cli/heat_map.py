# SPDX-License-Identifier: Apache-2.0
"""`bbcodec info --map`: the picture of what every pixel cost. `bbcodec.bbfile.cost_map` counts them."""

from __future__ import annotations

import math
import os
from typing import Any, BinaryIO

from bbcodec.cli.report import STREAM, refuse, shown

__all__ = ["check", "paint", "scale"]

_USUAL = 0.995
"""Part of the pixels that the scale covers by default: a few dear ones would leave all others dark."""


def check(inputs: list[str], target: str | None, most: float | None) -> None:
    """Refuse what cannot be meant."""
    if target is None:
        if most is not None:
            refuse("--map-max needs --map")
        return
    if len(inputs) > 1:
        refuse("one map cannot show several files")
    if target == STREAM:
        refuse("--map needs a file: standard output has the description")
    if most is not None and not 0 < most < math.inf:
        refuse("--map-max is a number of bits, more than 0")
    from bbcodec.picture.files import suffixes

    suffix = os.path.splitext(target)[1]
    if suffix.lower() not in suffixes():
        refuse(f"cannot write {shown(suffix) or 'a map without a suffix'}, expected {', '.join(suffixes())}")


def paint(file: BinaryIO, target: str, data: bytes, most: float | None, **how: Any) -> dict[str, Any]:
    """Write the map of a file.

    Parameters
    ----------
    file, target
        Where to, and its name, whose suffix is the format.
    data
        The whole ``.bb`` file.
    most
        Bits per pixel of the lightest colour, or None.
    how
        Options of `bbcodec.bit_map`.

    Returns
    -------
    The scale: ``min``, ``mean``, ``max`` and ``scale_max`` in bits per pixel; ``bits`` of the map and
    ``chain_bits`` of the file in all; ``per``, the smallest thing whose cost is known: pixel or tile.
    """
    import numpy as np

    from bbcodec import container
    from bbcodec.bbfile import cost_map
    from bbcodec.bbfile.samples_sections import unpack_chains
    from bbcodec.families.family import family_of
    from bbcodec.modelfile.registry import model_for
    from bbcodec.picture.files import write_image

    bits = cost_map.cost_map(data, **how)
    if most is None:
        most = float(np.quantile(bits, _USUAL))
    write_image(file, cost_map.colours(bits, most), format=os.path.splitext(target)[1][1:])
    parsed = container.read(data)
    section = parsed.one(container.CHAINS)
    assert section is not None  # else there were no bits
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


def scale(found: dict[str, Any]) -> str:
    """Return in words what a map shows."""
    return (
        f"bits per pixel, {found['per']} by {found['per']}: "
        f"min {found['min']:.2f}, mean {found['mean']:.2f}, max {found['max']:.2f}; "
        f"black is 0, pale yellow {found['scale_max']:.2f} and more"
    )
