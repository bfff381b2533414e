# SPDX-License-Identifier: Apache-2.0
"""Samples of 16 bits in a section ``CHNS``: a picture as an array of one frame (docs/deep.md).

The coder is imported where it is used: most files need none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.bbfile.samples_sections import deep_head, pack_chains, unpack_chains
from bbcodec.container import Buffer, Section
from bbcodec.errors import FormatError
from bbcodec.families.deep import head as deep_heads
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model
from bbcodec.picture import planes
from bbcodec.picture.loss import GRAY, OPAQUE, Lost
from bbcodec.picture.picture import Mode
from bbcodec.picture.region import Place, Window

__all__ = ["cost", "decode", "encode", "head_of", "is_deep", "places", "salvage"]

MASKS: Final = (planes.COLOUR | planes.COLOUR_LOW, 15)
"""Plane masks of whole samples of 16 bits: without alpha, and with it."""

_LARGEST: Final = 65535
_BYTES: Final = 0x0101  # a value in both bytes of a sample


def is_deep(mask: int) -> bool:
    """Return whether a section ``CHNS`` with this plane mask holds whole samples of 16 bits."""
    return mask in MASKS


def encode(pixels: NDArray[Any], mode: Mode, model: Model, execution: Execution) -> Section:
    """Return the section of a picture of 16 bits a sample."""
    from bbcodec.families.deep.family import encode_array

    head, coded = encode_array(_array(pixels), model, execution, colours=mode.colours)
    return pack_chains(planes.every(mode), coded.chains, deep_heads.pack(head))


def head_of(section: Section, mode: Mode) -> deep_heads.Head:
    """Read the head of a picture's samples.

    Raises
    ------
    FormatError
        It is damaged.
    """
    return deep_heads.unpack(deep_head(section), mode.channels, 1, 0, _LARGEST)


def decode(
    section: Section,
    mode: Mode,
    height: int,
    width: int,
    model: Model,
    execution: Execution,
    window: Window | None = None,
) -> NDArray[np.uint16]:
    """Return the samples of a picture or of a window of it: uint16 ``[H, W, C]``.

    Raises
    ------
    FormatError
        The section is damaged, or its model does not code such samples.
    """
    from bbcodec.families.deep.family import decode_array

    head = head_of(section, mode)
    wanted = None
    if window is not None:
        wanted = [i for i, place in enumerate(places(head, height, width)) if window.meet(place)]
    shape = (1, mode.channels, height, width)
    array = decode_array(unpack_chains(section), head, shape, np.uint16, model, execution, wanted=wanted)
    return _pixels(array if window is None else array[:, :, *window.place])


def places(head: deep_heads.Head, height: int, width: int) -> list[Place]:
    """Return the rectangle that each chain codes."""
    from bbcodec.families.deep import chains as deep_chains

    return [part.place for part in deep_chains.parts(head, 1, height, width)]


def salvage(
    chains: Sequence[Buffer],
    head: deep_heads.Head,
    mode: Mode,
    size: tuple[int, int],
    model: Model,
    execution: Execution,
    lost: Lost,
) -> NDArray[np.uint16]:
    """Return the samples of a picture whose damaged chains are `lost`; see `bbcodec.picture.loss.Lost`.

    Raises
    ------
    FormatError
        Every chain is damaged, or the head does not fit them.
    """
    from bbcodec.families.deep.family import decode_array

    shape = (1, mode.channels, *size)
    array = decode_array(chains, head, shape, np.uint16, model, execution, lost=lost)
    if lost and len(lost) == len(chains):
        raise FormatError(f"every chain is damaged: {next(iter(lost.values()))}")
    rectangles = places(head, *size)
    for channel in head.channels:
        value = OPAQUE if mode.alpha and channel.number == mode.channels - 1 else GRAY
        for index in lost if channel.values.top else ():
            array[0, channel.number][rectangles[index]] = value * _BYTES
    return _pixels(array)


def cost(
    section: Section, pixels: NDArray[Any], mode: Mode, model: Model, execution: Execution
) -> NDArray[Any]:
    """Return the cost of every pixel in bits: float32 ``[H, W]``."""
    from bbcodec.families.deep.family import cost_of_array

    return cost_of_array(_array(pixels), head_of(section, mode), model, execution)


def _array(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return a picture as an array ``[1, C, H, W]``."""
    return np.moveaxis(pixels.reshape(*pixels.shape[:2], -1), -1, 0)[None]


def _pixels(array: NDArray[Any]) -> NDArray[np.uint16]:
    return np.ascontiguousarray(np.moveaxis(array[0], 0, -1))
