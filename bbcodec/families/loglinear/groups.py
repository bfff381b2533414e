# SPDX-License-Identifier: Apache-2.0
"""Many small pictures together: groups of `bbcodec.families.local.groups`, each as its streams.

Groups may be coded plainly: all of those share one message of the family `local`, behind the others' streams.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from bbcodec.coding import ans
from bbcodec.coding.ans import Words
from bbcodec.coding.codecs import flatten, unflatten
from bbcodec.errors import FormatError
from bbcodec.families.local.codec import group_codec
from bbcodec.families.local.groups import Shape, groups
from bbcodec.families.local.order import LANES, Order
from bbcodec.families.loglinear import codec
from bbcodec.families.loglinear.coding import PLAIN, coding_for
from bbcodec.families.loglinear.model import loglinear_model
from bbcodec.families.loglinear.reference import stream_count
from bbcodec.families.stats import Pixels
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model

_MIN_WORDS: Final = 2  # of a stream, and of the message of plain groups


def encode(images: Sequence[Pixels], model: Model, execution: Execution) -> tuple[int, Words]:
    """Encode pictures, uint8 [H, W, C] with the same C for all; return 0 and the words of the batch."""
    checked = loglinear_model(model)
    parts: list[Words] = []
    plain: list[list[Pixels]] = []
    for part in groups([(image.shape[0], image.shape[1]) for image in images]):
        blocks = [np.ascontiguousarray(image) for image in images[part]]
        coding = coding_for(blocks, checked.plain)
        if coding == PLAIN:
            plain.append(blocks)
            parts.append(np.array([coding], np.uint32))
        else:
            streams = codec.encode(blocks, checked, execution, coding - 1)
            parts += [np.array([coding, *(len(words) for words in streams)], np.uint32), *streams]
    if plain:
        message = ans.base_message(LANES)
        for blocks in reversed(plain):
            shapes = [(block.shape[0], block.shape[1]) for block in blocks]
            own = group_codec(shapes, blocks[0].shape[2], checked.base, execution)
            (message,) = own.push(message, blocks)
        parts.append(flatten(message))
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
    sizes = [shapes[part] for part in groups(shapes)]
    streams, rest = _dealt(words, [stream_count(Order(group).slots) for group in sizes])
    message = unflatten(rest, LANES) if any(own is None for own in streams) else None
    images: list[Pixels] = []
    for group, own in zip(sizes, streams, strict=True):
        if own is None:
            message, blocks = group_codec(group, channels, checked.base, execution).pop(message)
            images += blocks
        else:
            images += codec.decode(own[1], group, channels, checked, execution, own[0] - 1)
    if message is not None and not ans.message_equal(message, ans.base_message(LANES)):
        raise FormatError("batch: the message is damaged, it does not end in its initial state")
    return images


def _dealt(words: Words, counts: Sequence[int]) -> tuple[list[tuple[int, list[Words]] | None], Words]:
    """Return the coding and the streams of each group, None for those that are coded plainly; and the rest.

    Parameters
    ----------
    words : words of the batch.
    counts : number of streams of each group, if it is not coded plainly.
    """
    out: list[tuple[int, list[Words]] | None] = []
    at = 0
    for count in counts:
        coding = int(words[at]) if at < len(words) else PLAIN + 1
        at += 1
        if coding > PLAIN:
            raise FormatError(f"batch: the coding of a group is missing or unknown, expected 0 to {PLAIN}")
        if coding == PLAIN:
            out.append(None)
            continue
        sizes = words[at : at + count].astype(np.int64)
        at += count
        if len(sizes) < count or sizes.min() < _MIN_WORDS or at + sizes.sum() > len(words):
            raise FormatError("batch: the words of a group are damaged, a stream does not fit")
        ends = at + np.cumsum(sizes)
        out.append((coding, np.split(words[at : ends[-1]], ends[:-1] - at)))
        at = int(ends[-1])
    left, needed = len(words) - at, None in out
    if left < _MIN_WORDS if needed else left:
        raise FormatError(
            f"batch: {left} words behind the streams, expected {'a message' if needed else 'none'}"
        )
    return out, words[at:]
