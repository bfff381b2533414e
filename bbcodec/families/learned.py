# SPDX-License-Identifier: Apache-2.0
"""Code pictures with a model of any family and an optional fit of the model to the picture (``FITT``).

``.bb`` files use this module: it applies the fit, and the family does the coding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.container import Buffer, Section
from bbcodec.families.family import Fit, family_of
from bbcodec.families.stats import ChainStats, EncodedPixels, Pixels
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model
from bbcodec.picture import turn
from bbcodec.picture.loss import Lost
from bbcodec.picture.region import Place, Window

__all__ = [
    "ChainStats",
    "EncodedPixels",
    "cost_map",
    "decode",
    "encode",
    "estimate_bits",
    "inspect",
    "pack_fit",
    "payloads",
    "places",
    "unpack_fit",
]

_ALL_CORES: Final = Execution()


def encode(
    image: Pixels, model: Model, execution: Execution = _ALL_CORES, *, fitted: Section | None = None
) -> EncodedPixels:
    """Encode a picture.

    Parameters
    ----------
    image : uint8 [H, W, C], where C is 1 (gray) or 3 (RGB).
    model : model of any family.
    execution : threads and backend; the bytes do not depend on it.
    fitted : section that changes the model and turns the picture, or None.

    Raises
    ------
    FormatError
        The section of the fit is damaged or does not apply to the model.
    """
    model, view = _changed(model, fitted)
    return family_of(model).encode(turn.turn(image, view) if view else image, model, execution)


def decode(
    chains: Sequence[Buffer],
    height: int,
    width: int,
    channels: int,
    model: Model,
    execution: Execution = _ALL_CORES,
    *,
    fitted: Section | None = None,
    window: Window | None = None,
    lost: Lost | None = None,
) -> Pixels:
    """Decode a picture or a window of it: uint8 [height, width, channels].

    With `lost`, there must be as many payloads as `places` returns; see `bbcodec.picture.loss.Lost`.

    Raises
    ------
    FormatError
        The number of payloads does not fit the size, or a payload or the section of the fit is damaged.
    """
    model, view = _changed(model, fitted)
    height, width = turn.turned_size(height, width, view)
    window = window and turn.turned_window(window, height, width, view)
    image = family_of(model).decode(
        chains, height, width, channels, model, execution, window=window, lost=lost
    )
    return turn.turn_back(image, view) if view else image


def payloads(height: int, width: int, model: Model, fitted: Section | None = None) -> int:
    """Return the number of payloads of a picture, without listing what they code."""
    model, view = _changed(model, fitted)
    return family_of(model).payloads(*turn.turned_size(height, width, view), model)


def places(height: int, width: int, model: Model, fitted: Section | None = None) -> list[list[Place]]:
    """Return the rectangles of the picture that each payload codes."""
    model, view = _changed(model, fitted)
    turned = turn.turned_size(height, width, view)
    found = family_of(model).places(*turned, model)
    return [[turn.place_back(place, *turned, view) for place in chain] for chain in found]


def cost_map(
    image: Pixels,
    chains: Sequence[Buffer],
    model: Model,
    execution: Execution = _ALL_CORES,
    *,
    fitted: Section | None = None,
) -> NDArray[np.float32]:
    """Return the cost of each pixel in bits: float32 [H, W].

    The family ``local`` knows the cost of every pixel. Other families know the cost of a tile, which is
    divided equally among its pixels.

    Parameters
    ----------
    image : uint8 [H, W, C], decoded from the same payloads.
    chains, model, execution, fitted : see `decode`.
    """
    model, view = _changed(model, fitted)
    bits = family_of(model).cost_map(turn.turn(image, view) if view else image, chains, model, execution)
    return turn.turn_back(bits[..., None], view)[..., 0] if view else bits


def inspect(chains: Sequence[Buffer], height: int, width: int, model: Model | None = None) -> dict[str, Any]:
    """Return facts about payloads that need no decoding; without the model only their number."""
    if model is None:
        return {"chains": len(chains)}
    return family_of(model).inspect(chains, height, width, model)


def estimate_bits(image: Pixels, model: Model, execution: Execution = _ALL_CORES) -> float:
    """Return the net bits of a picture of at most 2^17 pixels in one piece, without its base state."""
    return family_of(model).estimate_bits(image, model, execution)


def pack_fit(fit: Fit) -> bytes:
    """Return the payload of a section ``FITT``."""
    return fit.pack()


def unpack_fit(section: Section) -> Fit:
    """Read a section ``FITT`` without its model.

    The section has the layout of the family ``local``, the only family with fits so far.

    Raises
    ------
    FormatError
        The section is damaged.
    """
    from bbcodec.families.local.fitted import unpack

    return unpack(section.payload, section.offset)


def _changed(model: Model, fitted: Section | None) -> tuple[Model, int]:
    """Return the model after the fit, and the view of the picture (0: not turned)."""
    if fitted is None:
        return model, 0
    change: Fit = family_of(model).read_fit(fitted.payload, fitted.offset)
    return change.apply(model), change.view
