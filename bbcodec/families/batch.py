# SPDX-License-Identifier: Apache-2.0
"""Batches: many small pictures in one message, which then pays initial bits, first words and folding once.

Archives (`bbcodec.archive`) store such messages in their own sections. `encode` writes a batch that stands
alone, in the layout of docs/format.md ("Batches").

A part is either a group of the family `local` (`bbcodec.families.local.groups`) or one picture coded as one
tile (`bbcodec.families.latent.chains`). Parts are pushed in reverse, so that they are decoded in order.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import groupby
from typing import Final

import numpy as np

from bbcodec.backends import backend_name
from bbcodec.coding.ans import Words
from bbcodec.container import Buffer, Limits, Reader, varint
from bbcodec.errors import FormatError, LimitError, ModelError
from bbcodec.families.family import family_of
from bbcodec.families.stats import Pixels
from bbcodec.jobs import SERIAL, Execution
from bbcodec.modelfile import Model

MAGIC: Final = b"\x89BBG\r\n\x1a\n"
VERSION: Final = 1
MAX_PICTURES: Final = 1 << 20
Shape = tuple[int, int]


def encode(images: Sequence[Pixels], model: Model, execution: Execution = SERIAL) -> bytes:
    """Encode pictures as one batch.

    Parameters
    ----------
    images : pictures, uint8 [H, W, C] each. C is 1 (gray) or 3 (RGB) and the same for all. A side has at
        most `Family.max_side` pixels.
    model : model of any family.
    execution : threads and backend. Threads share the work where the family can; the bytes do not depend
        on it.

    Raises
    ------
    ValueError
        There are no pictures, or a picture has another type, shape or size.
    """
    side = family_of(model).max_side
    channels = images[0].shape[2] if images and images[0].ndim == 3 else 0
    for image in images:
        sides = image.shape[:2]
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != channels or channels not in (1, 3):
            raise ValueError(
                f"batch: a picture is {image.dtype} {image.shape}, "
                "expected uint8 [H, W, 1 or 3] with the same number of channels for all"
            )
        if min(sides) < 1 or max(sides) > side:
            raise ValueError(f"batch: a picture has sides {sides}, expected sides of 1 to {side} pixels")
    if not images:
        raise ValueError("batch: no pictures; a batch needs at least one")
    runs = [(shape, len(list(same))) for shape, same in groupby(image.shape[:2] for image in images)]
    sizes = b"".join(varint(count) + varint(h) + varint(w) for (h, w), count in runs)
    head = MAGIC + bytes([VERSION]) + bytes.fromhex(model.id) + bytes([channels])
    plain, words = encode_message(images, model, execution)
    body = head + varint(len(runs)) + sizes + varint(plain) + words.astype("<u4").tobytes()
    return body + zlib.crc32(body).to_bytes(4, "little")


def prepare(model: Model, execution: Execution = SERIAL) -> None:
    """Prepare a model, so that its first batch takes no longer than the others.

    Do nothing for the backend numba, which may have to compile.
    """
    if backend_name(execution.backend) != "numba":
        family_of(model).prepare(model, execution)


def encode_message(
    images: Sequence[Pixels], model: Model, execution: Execution = SERIAL
) -> tuple[int, Words]:
    """Push pictures onto one message; see `encode` for what they must be.

    Returns
    -------
    The number of parts without latents, and the words of the message.
    """
    return family_of(model).encode_batch(images, model, execution)


def decode_message(
    plain: int,
    message: Buffer,
    shapes: Sequence[Shape],
    channels: int,
    model: Model,
    execution: Execution = SERIAL,
) -> list[Pixels]:
    """Pop pictures off the message that `encode_message` made.

    Parameters
    ----------
    plain : number of parts without latents.
    message : words of the message, little-endian uint32 as bytes.
    shapes : (height, width) of each picture, in pixels.
    channels : 1 (gray) or 3 (RGB).
    model, execution : see `encode`.

    Raises
    ------
    FormatError
        The message is damaged, or `plain` is impossible for these pictures.
    """
    if not shapes or len(message) < 8 or len(message) % 4:
        raise FormatError(
            f"batch: {len(shapes)} pictures in a message of {len(message)} bytes, "
            "expected at least one picture and 4 n bytes, n >= 2"
        )
    words = np.frombuffer(message, "<u4").astype(np.uint32)
    return family_of(model).decode_batch(plain, words, shapes, channels, model, execution)


def decode(
    data: bytes, model: Model, execution: Execution = SERIAL, *, limits: Limits | int | None = None
) -> list[Pixels]:
    """Decode a batch that `encode` made, and return its pictures in order.

    Raises
    ------
    FormatError
        The bytes are damaged or not a batch.
    ModelError
        The batch was made with another model.
    LimitError
        The batch holds more pixels than `limits` allow.
    """
    if len(data) < 4 or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        raise FormatError("batch: the checksum does not match")
    reader = Reader(data[:-4], "batch", 0)
    if bytes(reader.take(len(MAGIC), "magic")) != MAGIC or reader.u8("version") != VERSION:
        raise FormatError(f"batch: the magic or the version is wrong, expected version {VERSION}")
    wanted = bytes(reader.take(32, "model id")).hex()
    channels = reader.u8("channels")
    if wanted != model.id:
        raise ModelError(f"batch: made with model {wanted}, but the given model is {model.id}")
    if channels not in (1, 3):
        raise FormatError(f"batch: {channels} channels, expected 1 or 3")
    shapes = _read_shapes(reader, family_of(model).max_side, Limits.of(limits).max_pixels)
    plain = reader.varint("parts without latents")
    message = reader.rest()
    return decode_message(plain, message, shapes, channels, model, execution)


def _read_shapes(reader: Reader, side: int, allowed: int) -> list[Shape]:
    """Read the runs, and return (height, width) of every picture."""
    shapes: list[Shape] = []
    pixels = 0
    for _ in range(reader.varint("number of runs")):
        count, height, width = (reader.varint(what) for what in ("pictures", "height", "width"))
        fits = 1 <= height <= side and 1 <= width <= side
        if not fits or not 1 <= count <= MAX_PICTURES - len(shapes):
            raise FormatError(
                f"batch: a run of {count} pictures of {height} x {width}, "
                f"expected 1 to {MAX_PICTURES - len(shapes)} pictures with sides of 1 to {side}"
            )
        pixels += count * height * width
        if pixels > allowed:
            raise LimitError(f"batch: at least {pixels} pixels, the limit is {allowed}")
        shapes += [(height, width)] * count
    return shapes
