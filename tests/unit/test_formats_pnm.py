# SPDX-License-Identifier: Apache-2.0
"""PNM files: samples, maximum and comments are kept, and damage is refused."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from image_files import CASES, needs_cases, read, through, written

from bbcodec.errors import FormatError, LimitError
from bbcodec.picture import formats
from bbcodec.picture.files import left_out


@needs_cases
@pytest.mark.parametrize(("name", "shape"), [("p5_16.pgm", (24, 32)), ("p6_16.ppm", (24, 32, 3))])
def test_deep_pnm_cases(name: str, shape: tuple[int, ...]) -> None:
    data = (CASES / name).read_bytes()
    picture = read(data).picture
    samples = np.frombuffer(data[-2 * int(np.prod(shape)) :], ">u2").reshape(shape)
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(picture.pixels, samples)
    assert written(through(picture), "ppm").endswith(samples.tobytes())


@pytest.mark.parametrize(
    ("data", "mode", "samples"),
    [
        (b"P1\n# c\n3 2\n1 0 1\n010", "1", [[False, True, False], [True, False, True]]),
        (b"P2 2 1 9 3 9", "L", [[3, 9]]),
        (b"P3\n1 1\n255\n1 2 3\n", "RGB", [[[1, 2, 3]]]),
        (b"P4\n3 1\n\xa0", "1", [[False, True, False]]),
        (b"P5 2 1 255\n\x01\xff", "L", [[1, 255]]),
        (b"P5 1 1 4095\n\x0f\xff", "I;16", [[4095]]),
        (b"P6 1 1 65535 " + struct.pack(">3H", 1, 2, 65535), "RGB;16", [[[1, 2, 65535]]]),
    ],
)
def test_pnm_samples_are_those_stored(data: bytes, mode: str, samples: Any) -> None:
    reading = read(data)
    assert reading.left_out == ()
    assert reading.picture.mode == mode
    assert reading.picture.pixels.tolist() == samples
    again = read(written(through(reading.picture), "ppm"))
    assert again.picture.same(reading.picture)
    assert again.picture.metadata == reading.picture.metadata


def test_pnm_keeps_its_maximum_and_comments() -> None:
    data = b"P5\n# first\n#second\n2 1\n1000\n" + struct.pack(">2H", 7, 1000)
    picture = read(data).picture
    assert picture.metadata.note("pnm", "maxval") == b"1000"
    assert written(through(picture), "pgm") == data
    assert left_out(picture, "png") == ["PNM maxval", "PNM comment"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"P5 2 2 255\n\0\0\0", "end 1 bytes too early"),
        (b"P2 2 1 9 3 10", "above the maximum"),
        (b"P2 2 1 9 3", "too early"),
        (b"P2 2 1 9 3 x", "not a number"),
        (b"P5 0 1 255\n", "at least 1 x 1"),
        (b"P5 1 1 70000\n\0\0", "1 to 65535"),
        (b"P1 2 1 12", "neither 0 nor 1"),
        (b"P5 1 one 255\n", "expected a number"),
        (b"P5 " + b"#" * 2**17, "header"),
    ],
)
def test_damaged_pnm(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        read(data)


def test_pnm_limit_comes_before_the_samples() -> None:
    with pytest.raises(LimitError):
        formats.read(io.BytesIO(b"P5 100000 100000 255\n"), max_pixels=2**20)
