# SPDX-License-Identifier: Apache-2.0
"""GIF, BMP, TGA and WebP files; what readers of any format leave out is named."""

from __future__ import annotations

import struct

import pytest
from image_files import CASES, needs_cases, read, saved
from PIL import Image

import bbcodec
from bbcodec.errors import FormatError, LeftOutWarning, UnsupportedImageError
from bbcodec.picture import formats


@needs_cases
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trailing_zip.png", "204 bytes behind the end"),
        ("p5_two_images.pgm", "further pictures"),
        ("bmp32_rgb.bmp", "fourth byte"),
    ],
)
def test_cases_that_leave_something_out(name: str, words: str) -> None:
    with pytest.warns(LeftOutWarning, match=words):
        bbcodec.read_image(CASES / name)
    assert any(words in item for item in formats.read(CASES / name).left_out)


def test_gif() -> None:
    plain = saved("GIF", Image.new("P", (5, 4)))
    assert read(plain).left_out == ()
    assert read(saved("GIF", Image.new("P", (5, 4)), comment=b"hello")).left_out == ("comments",)
    assert read(plain + b"tail").left_out == ("4 bytes behind the picture",)
    frames = [Image.new("RGB", (5, 4), (90 * i, 0, 0)) for i in range(3)]
    with pytest.raises(UnsupportedImageError, match="animation of 3 pictures"):
        read(saved("GIF", frames[0], save_all=True, append_images=frames[1:]))
    with pytest.raises(FormatError, match="cut off"):
        read(plain[:-1])


def bmp32(fourth: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 32, 0, 8, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 62, 0, 0, 54) + header + bytes([1, 2, 3, fourth, 4, 5, 6, 0])


def test_bmp() -> None:
    assert read(saved("BMP")).left_out == ()
    assert read(bmp32(0)).left_out == ()
    assert "fourth byte" in read(bmp32(1)).left_out[0]
    assert read(saved("BMP") + bytes(9)).left_out == ("9 bytes behind the picture",)


def test_tga() -> None:
    assert read(saved("TGA")).left_out == ()
    rgba = bytearray(saved("TGA", Image.new("RGBA", (3, 2))))
    assert read(bytes(rgba)).left_out == ()
    rgba[17] &= 0xF0
    assert "not alpha" in read(bytes(rgba)).left_out[0]
    assert read(saved("TGA", id_section=b"scan 7")).left_out == ("its identification text",)


def test_webp() -> None:
    lossless = saved("WEBP", lossless=True)
    assert (read(lossless).left_out, read(lossless).lossy) == ((), False)
    assert read(saved("WEBP")).lossy
    assert read(lossless + b"12345").left_out == ("5 bytes behind the picture",)
    frames = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in range(2)]
    with pytest.raises(UnsupportedImageError, match="2 pictures"):
        read(saved("WEBP", frames[0], save_all=True, append_images=frames[1:], lossless=True))
