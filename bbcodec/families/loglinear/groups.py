# SPDX-License-Identifier: Apache-2.0
"""Many small pictures in one message: groups of `bbcodec.families.local.groups`, each as its streams."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bbcodec.coding.ans import Words
from bbcodec.errors import FormatError
from bbcodec.families.local.groups import Shape, groups
from bbcodec.families.local.order import Order
from bbcodec.families.loglinear import codec
from bbcodec.families.loglinear.coding import PLAIN, UNIT, coding_for
from bbcodec.families.loglinear.model import loglinear_model
from bbcodec.families.loglinear.reference import stream_count
from bbcodec.families.stats import Pixels
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model


def encode(images: Sequence[Pixels], model: Model, execution: Execution) -> tuple[int, Words]:
    """Encode pictures, uint8 [H, W, C] with the same C for all; return 0 and the words of the batch."""
    checked = loglinear_model(model)
    parts: list[Words] = []
    for part in groups([(image.shape[0], image.shape[1]) for image in images]):
        blocks = [np.ascontiguousarray(image) for image in images[part]]
        coding = coding_for(blocks, UNIT)
        streams = codec.encode(blocks, checked, execution, coding - 1)
        parts += [np.array([coding, *(len(words) for words in streams)], np.uint32), *streams]
    return 0, np.concatenate(parts)


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
        The words are damaged.
    """
    if plain:
        raise FormatError(f"batch: {plain} groups without latents, expected 0")
    checked = loglinear_model(model)
    images: list[Pixels] = []
    at = 0
    for part in groups(shapes):
        count = stream_count(Order(shapes[part]).slots)
        coding = words[at : at + 1].tolist()
        sizes = words[at + 1 : at + 1 + count].astype(np.int64)
        at += 1 + count
        if len(sizes) < count or sizes.min() < 2 or at + sizes.sum() > len(words):
            raise FormatError("batch: the words of a group are damaged, a stream does not fit")
        if coding[0] >= PLAIN:
            raise FormatError(f"batch: coding {coding[0]} is unknown, expected 0 to {PLAIN - 1}")
        ends = at + np.cumsum(sizes)
        streams = np.split(words[at : ends[-1]], ends[:-1] - at)
        at = int(ends[-1])
        images += codec.decode(streams, shapes[part], channels, checked, execution, coding[0] - 1)
    if at != len(words):
        raise FormatError(f"batch: {len(words) - at} words are left over")
    return images
