# SPDX-License-Identifier: Apache-2.0
"""Every bit of small files and archives, flipped: the right picture, or a clear error, never a wrong one."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bbcodec
from bbcodec.archive.check import verify
from bbcodec.errors import FormatError, LimitError, ModelMissingError

LIMIT = 10_000  # pixels: a flipped size must not make anybody allocate

# What a reader may say of a file that is not sound. A flipped model id is that of a model which is not there.
REFUSALS = (FormatError, LimitError, ModelMissingError)


def picture(height: int, width: int, channels: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).normal(0, 4, (height, width, channels))
    return np.clip(120 + 9 * np.sin(x + y)[..., None] + noise, 0, 255).astype(np.uint8)


def palette() -> Image.Image:
    return Image.fromarray(picture(7, 9, 3)).quantize(5)


FILES: dict[str, Callable[[], bytes]] = {
    "classic": lambda: bbcodec.compress(picture(4, 5, 3), method="classic"),
    "classic, 16 bits": lambda: bbcodec.compress(picture(4, 5, 3).astype(np.uint16) * 257),
    "palette": lambda: bbcodec.compress(palette()),
    "bits": lambda: bbcodec.compress(picture(4, 9, 1)[:, :, 0] > 120),
    "metadata": lambda: bbcodec.compress(
        picture(3, 3, 1), metadata={"icc": bytes(40), "dpi": (72, 72), "text": {"a": "b"}}
    ),
    "fast": lambda: bbcodec.compress(picture(5, 6, 3), method="learned", model="fast"),
    "photo, alpha": lambda: bbcodec.compress(picture(5, 6, 4), method="learned"),
    "rvae": lambda: bbcodec.compress(picture(4, 4, 1), method="learned", model="rvae"),
}


def check(whole: bytes, read: Callable[[bytes], Any], same: Callable[[Any], bool]) -> int:
    """Read every file that differs from a sound one by a bit; return how many could be read."""
    assert same(read(whole))
    readable = 0
    for position in range(8 * len(whole)):
        data = bytearray(whole)
        data[position // 8] ^= 1 << position % 8
        try:
            found = read(bytes(data))
        except REFUSALS:
            continue
        assert same(found), f"bit {position} gives a wrong picture"
        readable += 1
    return readable


@pytest.mark.parametrize("name", FILES)
def test_every_bit_of_a_file(name: str) -> None:
    whole = FILES[name]()
    sound = bbcodec.decompress_picture(whole)

    def same(found: bbcodec.Picture) -> bool:
        return found.same(sound) and found.metadata == sound.metadata

    readable = check(whole, lambda data: bbcodec.decompress_picture(data, limits=LIMIT, threads=1), same)
    assert readable == 0  # every bit is under a checksum


def test_every_bit_of_an_archive() -> None:
    content = {"a": picture(5, 6, 3), "b": picture(6, 5, 3), "c": picture(3, 4, 4)}
    file = io.BytesIO()
    with bbcodec.Archive(file, "w", model="fast", batch=2, threads=1) as archive:
        for name, image in content.items():
            archive[name] = image

    def read(data: bytes) -> dict[str, np.ndarray]:
        with bbcodec.Archive(io.BytesIO(data), limits=LIMIT, threads=1, preload=False) as archive:
            assert list(archive) == list(content)
            found = {}
            for name in archive:
                with contextlib.suppress(*REFUSALS):  # its batch is lost, the others are not
                    found[name] = archive[name]
            if len(found) == len(content):
                list(verify(archive.reader))  # no picture needs the copies at the end
            return found

    losses = []

    def same(found: dict[str, np.ndarray]) -> bool:
        losses.append(len(content) - len(found))
        return all(np.array_equal(image, content[name]) for name, image in found.items())

    check(file.getvalue(), read, same)
    assert set(losses[1:]) <= {1, 2, 3}  # every bit is under a checksum; a model is of all learned pictures
    assert losses[0] == 0
