# SPDX-License-Identifier: Apache-2.0
"""Many small pictures of the family `local` in one message.

Pictures are coded in groups (docs/local.md): consecutive pictures with at most `GROUP_LANES` lanes together,
or a single picture. Groups are pushed in reverse, so that they are decoded in order. With a model that has
latents, the last groups, which are pushed first, have none: the latents of the others are popped from their
bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bbcodec.coding import ans
from bbcodec.coding.ans import Words
from bbcodec.coding.codecs import Codec, flatten, unflatten
from bbcodec.errors import FormatError, MessageUnderflow
from bbcodec.families.local.codec import group_codec
from bbcodec.families.local.latents import latent_codec
from bbcodec.families.local.model import LocalModel, local_model
from bbcodec.families.local.order import LANES
from bbcodec.families.stats import Pixels
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model

GROUP_LANES: Final = 512

Shape = tuple[int, int]


def groups(shapes: Sequence[Shape]) -> list[slice]:
    """Divide pictures into groups, and return the slice of each group.

    >>> groups([(32, 32)] * 50)
    [slice(0, 46, None), slice(46, 50, None)]
    """
    parts, first, lanes = [], 0, 0
    for i, (height, width) in enumerate(shapes):
        more = min(height, -(-width // 3))
        if i > first and lanes + more > GROUP_LANES:
            parts.append(slice(first, i))
            first, lanes = i, 0
        lanes += more
    return [*parts, slice(first, len(shapes))]


def encode(images: Sequence[Pixels], model: Model, execution: Execution) -> tuple[int, Words]:
    """Encode pictures, uint8 [H, W, C] with the same C for all.

    Returns
    -------
    The number of groups at the end without latents (0 if the model has none), and the folded message.
    """
    local = local_model(model)
    channels = images[0].shape[2]
    shapes = [(image.shape[0], image.shape[1]) for image in images]
    parts = groups(shapes)
    plain = 1 if _has_latents(local, channels) else 0
    while True:
        message = ans.base_message(LANES)
        try:
            for index, part in reversed(list(enumerate(parts))):
                blocks = [np.ascontiguousarray(image) for image in images[part]]
                codec = _codec(local, shapes[part], channels, index < len(parts) - plain, execution)
                (message,) = codec.push(message, blocks)
            return plain, flatten(message)
        except MessageUnderflow:  # the groups without latents have too few bits for the latents
            plain += 1


def decode(
    plain: int,
    words: Words,
    shapes: Sequence[Shape],
    channels: int,
    model: Model,
    execution: Execution,
) -> list[Pixels]:
    """Decode the pictures that `encode` coded.

    Raises
    ------
    FormatError
        The message is damaged, or the number of groups without latents is impossible.
    """
    local = local_model(model)
    parts = groups(shapes)
    low, high = (1, len(parts)) if _has_latents(local, channels) else (0, 0)
    if not low <= plain <= high:
        raise FormatError(f"batch: {plain} groups without latents, expected {low} to {high}")
    message = unflatten(words, LANES)
    images: list[Pixels] = []
    for index, part in enumerate(parts):
        codec = _codec(local, shapes[part], channels, index < len(parts) - plain, execution)
        message, blocks = codec.pop(message)
        images += blocks
    if not ans.message_equal(message, ans.base_message(LANES)):
        raise FormatError("batch: the message is damaged, it does not end in its initial state")
    return images


def _has_latents(model: LocalModel, channels: int) -> bool:
    return model.latents is not None and channels == 3


def _codec(
    model: LocalModel,
    shapes: Sequence[Shape],
    channels: int,
    latents: bool,
    execution: Execution,
) -> Codec:
    """Return the codec of a group, with latents if asked for and possible."""
    if latents and _has_latents(model, channels):
        return latent_codec(shapes, model, execution)
    return group_codec(shapes, channels, model, execution)
