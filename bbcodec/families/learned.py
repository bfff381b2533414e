# SPDX-License-Identifier: Apache-2.0
"""Code pictures with a model of any family and an optional fit of the model to the picture (``FITT``).

``.bb`` files use this module: it applies the fit, and the family does the coding. Families know gray and RGB:
an alpha channel is a gray picture of its own, whose payloads follow those of the colours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.container import Buffer, Section
from bbcodec.errors import FormatError
from bbcodec.families.family import Fit, family_of
from bbcodec.families.stats import ChainStats, EncodedPixels, Pixels
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model
from bbcodec.picture import turn
from bbcodec.picture.loss import GRAY, OPAQUE, Lost
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
    image : uint8 [H, W, C], where C is 1 (gray), 2 (gray and alpha), 3 (RGB) or 4 (RGB and alpha).
    model : model of any family.
    execution : threads and backend; the bytes do not depend on it.
    fitted : section that changes the model and turns the picture, or None.

    Raises
    ------
    FormatError
        The section of the fit is damaged or does not apply to the model.
    """
    model, view = _changed(model, fitted)
    coded = [
        family_of(model).encode(turn.turn(image[:, :, part], view), model, execution)
        for part in _parts(image.shape[2])
    ]
    return EncodedPixels(
        [chain for part in coded for chain in part.chains], ChainStats.sum(part.stats for part in coded)
    )


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

    With `lost`, there must be as many payloads as `payloads` says; see `bbcodec.picture.loss.Lost`.

    Raises
    ------
    FormatError
        The number of payloads does not fit the size, or a payload or the section of the fit is damaged.
    """
    shape = (window.height, window.width, channels) if window else (height, width, channels)
    model, view = _changed(model, fitted)
    height, width = turn.turned_size(height, width, view)
    window = window and turn.turned_window(window, height, width, view)
    family, out = family_of(model), []
    for part, own, known in _dealt(chains, channels, lost):
        count = part.stop - part.start
        image = family.decode(own, height, width, count, model, execution, window=window, lost=known)
        if known and part.start:  # alpha
            image = _opaque(image, known, family.places(height, width, model), window)
        if lost is not None and known:
            lost.update({index + (len(own) if part.start else 0): why for index, why in known.items()})
        out.append(image)
    if lost is not None and len(lost) == len(chains):
        return np.broadcast_to(np.uint8(GRAY), shape)  # takes no memory
    out = [turn.turn_back(image, view) for image in out] if view else out
    return out[0] if len(out) == 1 else np.concatenate(out, axis=2)


def payloads(height: int, width: int, channels: int, model: Model, fitted: Section | None = None) -> int:
    """Return the number of payloads of a picture, without listing what they code."""
    model, view = _changed(model, fitted)
    own = family_of(model).payloads(*turn.turned_size(height, width, view), model)
    return own * len(_parts(channels))


def places(height: int, width: int, model: Model, fitted: Section | None = None) -> list[list[Place]]:
    """Return the rectangles that each payload of the colours codes; those of alpha code the same again."""
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

    Families that code blocks know the cost of every pixel. Others know the cost of a tile, which is divided
    equally among its pixels.

    Parameters
    ----------
    image : uint8 [H, W, C], decoded from the same payloads.
    chains, model, execution, fitted : see `decode`.
    """
    model, view = _changed(model, fitted)
    bits = np.zeros(image.shape[:2], np.float32)
    for part, own, _ in _dealt(chains, image.shape[2], None):
        found = family_of(model).cost_map(turn.turn(image[:, :, part], view), own, model, execution)
        bits += turn.turn_back(found[..., None], view)[..., 0]
    return bits


def inspect(
    chains: Sequence[Buffer], height: int, width: int, model: Model | None = None, channels: int = 3
) -> dict[str, Any]:
    """Return facts about payloads that need no decoding; without the model only their number."""
    if model is None:
        return {"chains": len(chains)}
    _, own, _ = next(_dealt(chains, channels, None))
    return {**family_of(model).inspect(own, height, width, model), "chains": len(chains)}


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


def _parts(channels: int) -> list[slice]:
    """Return the channels that are coded together: those of the colours, and alpha."""
    colours = channels - 1 if channels in (2, 4) else channels
    return [slice(0, colours), slice(colours, channels)][: 1 + (colours < channels)]


def _dealt(
    chains: Sequence[Buffer], channels: int, lost: Lost | None
) -> Iterator[tuple[slice, Sequence[Buffer], Lost | None]]:
    """Yield the channels that are coded together, their payloads, and which of those are lost."""
    parts = _parts(channels)
    if len(chains) % len(parts):
        raise FormatError(f"learned payload: {len(chains)} chains, expected as many of alpha as of colours")
    count = len(chains) // len(parts)
    for number, part in enumerate(parts):
        first = number * count
        known = (
            None if lost is None else {i - first: why for i, why in lost.items() if 0 <= i - first < count}
        )
        yield part, chains[first : first + count], known


def _opaque(image: Pixels, lost: Lost, places: list[list[Place]], window: Window | None) -> Pixels:
    """Return alpha samples that are opaque where they are lost."""
    if len(lost) == len(places):
        return np.broadcast_to(np.uint8(OPAQUE), image.shape)  # takes no memory
    whole = window or Window(0, 0, *image.shape[:2])
    for index in lost:
        for met in filter(None, map(whole.meet, places[index])):
            image[met[0]] = OPAQUE
    return image
