# SPDX-License-Identifier: Apache-2.0
"""JPEG files: ICC and EXIF are kept, and all else is named as left out."""

from __future__ import annotations

import struct

import pytest
from image_files import read, saved
from PIL import Image

from bbcodec.errors import FormatError


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (segment(0xED, b"Photoshop 3.0\0" + bytes(9)), "IPTC"),
        (segment(0xFE, b"words"), "comments"),
        (segment(0xE2, b"MPF\0" + bytes(20)), "further pictures"),
        (segment(0xE5, b"maker"), "APP5"),
        (segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(40)), "extended XMP"),
    ],
)
def test_jpeg_names_what_it_leaves_out(extra: bytes, words: str) -> None:
    plain = saved("JPEG")
    assert read(plain).left_out == ()
    assert read(plain).lossy
    reading = read(plain[:2] + extra + plain[2:])
    assert len(reading.left_out) == 1
    assert words in reading.left_out[0]
    assert reading.picture.same(read(plain).picture)


def test_jpeg_trailing_bytes_and_damage() -> None:
    plain = saved("JPEG")
    assert read(plain + b"PK12").left_out == ("4 bytes behind the picture",)
    with pytest.raises(FormatError, match="cut off"):
        read(plain[:-2])


def test_jpeg_keeps_icc_and_exif() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    reading = read(saved("JPEG", icc_profile=b"p" * 200, exif=exif))
    assert reading.left_out == ()
    assert reading.picture.metadata.icc == b"p" * 200
    assert reading.picture.metadata.exif is not None
