# SPDX-License-Identifier: Apache-2.0
"""Many small pictures in one message, so that the first words and the folding are paid once.

Provisional: archives will be built on this. The layout, little-endian, nothing behind it:

====== =====================================================================
bytes  field
====== =====================================================================
8      magic ``89 42 42 47 0D 0A 1A 0A``
1      version, 0
32     id of the model
1      channels of every picture, 1 or 3
...    varint: number of runs; for each run of pictures of one size, varints: pictures, height, width
...    varint: groups at the end that are coded without latents; 0 if the model has none
4 n    the message of all groups, folded to one lane
4      CRC-32 of all before it
====== =====================================================================

Pictures are coded in groups (docs/local.md): as many neighbours together as have at most `GROUP_LANES` lanes,
at least one. Groups are pushed in reverse, so that they are decoded in order. With a model that has latents,
the last groups (the first to be pushed) do without: their bits are what the others' latents are popped from.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import groupby
from typing import Final

import numpy as np

from bbcodec import ans
from bbcodec.codecs import Codec, flatten, unflatten
from bbcodec.container import Limits, Reader, varint
from bbcodec.errors import FormatError, LimitError, MessageUnderflow, ModelError
from bbcodec.local.codec import group_codec
from bbcodec.local.latents import latent_codec
from bbcodec.local.model import LocalModel
from bbcodec.local.order import LANES
from bbcodec.modelfile import Model
from bbcodec.workers import Pixels

MAGIC: Final = b"\x89BBG\r\n\x1a\n"
VERSION: Final = 0
GROUP_LANES: Final = 512
MAX_PICTURES: Final = 1 << 20
MAX_SIDE: Final = 1024  # pixels of a picture's side: larger ones are coded alone

Shape = tuple[int, int]


def groups(shapes: Sequence[Shape]) -> list[slice]:
    """Neighbouring pictures that are coded together.

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


def encode(images: Sequence[Pixels], model: Model, *, threads: int = 1, backend: str | None = None) -> bytes:
    """Encode pictures as one batch.

    Parameters
    ----------
    images : uint8 [H, W, C] each, C of 1 (gray) or 3 (RGB) and the same for all, sides of at most 1024.
    model : of the family `local`.
    threads : that share the work on a group; the bytes do not depend on it.
    backend : see `bbcodec.engine.select`; the bytes do not depend on it.

    Raises
    ------
    ModelError
        The model is of another family.
    ValueError
        The pictures are none, or not such as said above.
    """
    local = LocalModel.from_model(model)
    channels = images[0].shape[2] if images and images[0].ndim == 3 else 0
    for image in images:
        sides = image.shape[:2]
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels or channels not in (1, 3):
            raise ValueError(f"expected uint8 [H, W, 1 or 3], alike for all, got {image.dtype} {image.shape}")
        if min(sides) < 1 or max(sides) > MAX_SIDE:
            raise ValueError(f"expected sides of 1 to {MAX_SIDE}, got {sides}")
    if not images:
        raise ValueError("a batch needs at least one picture")
    shapes = [(image.shape[0], image.shape[1]) for image in images]
    parts = groups(shapes)
    plain = 1 if _with_latents(local, channels) else 0
    while True:
        message = ans.base_message(LANES)
        try:
            for index, part in reversed(list(enumerate(parts))):
                blocks = [np.ascontiguousarray(image) for image in images[part]]
                codec = _codec(local, shapes[part], channels, index < len(parts) - plain, backend, threads)
                (message,) = codec.push(message, blocks)
            break
        except MessageUnderflow:  # too few bits yet for the latents
            plain += 1
    runs = [(shape, len(list(same))) for shape, same in groupby(shapes)]
    sizes = b"".join(varint(count) + varint(h) + varint(w) for (h, w), count in runs)
    head = MAGIC + bytes([VERSION]) + bytes.fromhex(model.id) + bytes([channels])
    body = head + varint(len(runs)) + sizes + varint(plain) + flatten(message).astype("<u4").tobytes()
    return body + zlib.crc32(body).to_bytes(4, "little")


def decode(
    data: bytes,
    model: Model,
    *,
    threads: int = 1,
    backend: str | None = None,
    limits: Limits | int | None = None,
) -> list[Pixels]:
    """Decode what `encode` made: the pictures in their order.

    Raises
    ------
    FormatError
        The bytes are no sound batch.
    ModelError
        The batch was made with another model.
    LimitError
        It holds more pixels than `limits` allow.
    """
    if len(data) < 4 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise FormatError("batch: the checksum does not match")
    reader = Reader(data[:-4], "batch", 0)
    if bytes(reader.take(len(MAGIC), "magic")) != MAGIC or reader.u8("version") != VERSION:
        raise FormatError("batch: magic or version is not that of a batch of this release")
    wanted = bytes(reader.take(32, "model id")).hex()
    channels = reader.u8("channels")
    if wanted != model.id:
        raise ModelError(f"batch: made with model {wanted}, given {model.id}")
    if channels not in (1, 3):
        raise FormatError(f"batch: {channels} channels, expected 1 or 3")
    shapes: list[Shape] = []
    pixels, allowed = 0, Limits.of(limits).max_pixels
    for _ in range(reader.varint("number of runs")):
        count, height, width = (reader.varint(what) for what in ("pictures", "height", "width"))
        fits = 1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE
        if not fits or not 1 <= count <= MAX_PICTURES - len(shapes):
            raise FormatError(f"batch: a run of {count} pictures of {height} x {width}")
        pixels += count * height * width
        if pixels > allowed:
            raise LimitError(f"batch: more than {allowed} pixels")
        shapes += [(height, width)] * count
    plain = reader.varint("groups without latents")
    rest = reader.take(reader.left, "message")
    if not shapes or len(rest) < 8 or len(rest) % 4:
        raise FormatError(f"batch: {len(shapes)} pictures in a message of {len(rest)} bytes")
    message = unflatten(np.frombuffer(rest, "<u4").astype(np.uint32), LANES)
    local = LocalModel.from_model(model)
    parts = groups(shapes)
    least, most = (1, len(parts)) if _with_latents(local, channels) else (0, 0)
    if not least <= plain <= most:
        raise FormatError(f"batch: {plain} groups without latents, expected {least} to {most}")
    images: list[Pixels] = []
    for index, part in enumerate(parts):
        codec = _codec(local, shapes[part], channels, index < len(parts) - plain, backend, threads)
        message, blocks = codec.pop(message)
        images += blocks
    if not ans.message_equal(message, ans.base_message(LANES)):
        raise FormatError("batch: the message does not end where it began, it is damaged")
    return images


def _with_latents(model: LocalModel, channels: int) -> bool:
    return model.latents is not None and channels == 3


def _codec(
    model: LocalModel, shapes: list[Shape], channels: int, latents: bool, backend: str | None, threads: int
) -> Codec:
    """Codec of a group."""
    if latents and _with_latents(model, channels):
        return latent_codec(shapes, model, backend, threads)
    return group_codec(shapes, channels, model, backend, threads=threads)
