# SPDX-License-Identifier: Apache-2.0
"""Code pictures with a model of any family, and with what a file changes in its model (section ``FITT``).

This is what a ``.bb`` file needs of `bbcodec.families`: the family does the work, a fit is applied around it.
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
    "places",
    "unpack_fit",
]

_ALL_CORES: Final = Execution()


def encode(
    image: Pixels, model: Model, execution: Execution = _ALL_CORES, *, fitted: Section | None = None
) -> EncodedPixels:
    """Encode pixels.

    Parameters
    ----------
    image : uint8 [H, W, C], C of 1 (gray) or 3 (RGB).
    model : Model
    execution : the bytes do not depend on it.
    fitted : section that changes the model and turns the picture, or None.
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
    """Decode what `encode` made: uint8 [height, width, channels], or a window of it.

    With `lost`, as many payloads as `places` tells are given; see `bbcodec.picture.loss.Lost`.

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


def places(height: int, width: int, model: Model, fitted: Section | None = None) -> list[list[Place]]:
    """Return the rectangles of the picture that each payload holds."""
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
    """Return the bits that each pixel took: float32 [H, W].

    The family ``local`` knows the cost of every pixel. Other families know the cost of a tile, which its
    pixels share equally.

    Parameters
    ----------
    image : uint8 [H, W, C], what `decode` gave of the same payloads.
    chains, model, execution, fitted : see `decode`.
    """
    model, view = _changed(model, fitted)
    bits = family_of(model).cost_map(turn.turn(image, view) if view else image, chains, model, execution)
    return turn.turn_back(bits[..., None], view)[..., 0] if view else bits


def inspect(chains: Sequence[Buffer], height: int, width: int, model: Model | None = None) -> dict[str, Any]:
    """Return what payloads tell without decoding; without the model only their number."""
    if model is None:
        return {"chains": len(chains)}
    return family_of(model).inspect(chains, height, width, model)


def estimate_bits(image: Pixels, model: Model, execution: Execution = _ALL_CORES) -> float:
    """Return the net bits of a picture of at most 2^17 pixels in one piece, without its start."""
    return family_of(model).estimate_bits(image, model, execution)


def pack_fit(fit: Fit) -> bytes:
    """Return the payload of a section ``FITT``."""
    return fit.pack()


def unpack_fit(section: Section) -> Fit:
    """Read a section ``FITT`` without its model.

    Only the family ``local`` has fits so far, so the layout of the section is its.
    """
    from bbcodec.families.local.fitted import unpack

    return unpack(section.payload, section.offset)


def _changed(model: Model, fitted: Section | None) -> tuple[Model, int]:
    """The model as a file changes it, and the view of the picture (0: as it is)."""
    if fitted is None:
        return model, 0
    change: Fit = family_of(model).read_fit(fitted.payload, fitted.offset)
    return change.apply(model), change.view
