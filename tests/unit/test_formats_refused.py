# SPDX-License-Identifier: Apache-2.0
"""Files that have no reader are refused by name, after their first bytes."""

from __future__ import annotations

import io
import struct

import pytest

import bbcodec
from bbcodec.errors import FormatError, UnsupportedImageError
from bbcodec.picture import formats


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (bytes(128) + b"DICM", "DICOM"),
        (b"SIMPLE  =                    T", "FITS"),
        (b"\x93NUMPY\x01\0", "NumPy"),
        (struct.pack("<i", 348) + bytes(340) + b"n+1\0", "NIfTI"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a\x7f", "JPEG XL"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypavif", "AVIF"),
        (b"%PDF-1.7", "PDF"),
        (b"II*\0\x10\0\0\0CR\x02\0", "CR2"),
        (b"FUJIFILMCCD-RAW ", "RAF"),
        (b"\0\0\0\x18ftypcrx ", "CR3"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"\x89BBA\r\n\x1a\n", "bbcodec archive"),
        (b"PK\x03\x04", "ZIP"),
        (b"PF\n2 2\n", "PFM"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
    ],
)
def test_files_of_other_kinds_are_named_with_a_way_out(head: bytes, name: str) -> None:
    data = head.ljust(600, b"\0")
    with pytest.raises(UnsupportedImageError, match=f"{name}.*;"):
        bbcodec.read_image(io.BytesIO(data))
    assert formats.sniff(data) is None


class Endless(io.RawIOBase):
    """A stream of no image that never ends, and counts what was read of it."""

    taken = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "asked for all of an endless stream"
        self.taken += size
        return b"x" * size


def test_no_picture_is_refused_after_its_first_bytes() -> None:
    stream = Endless()
    with pytest.raises(FormatError, match="not an image"):
        formats.read(stream)  # type: ignore[arg-type]
    assert stream.taken < 10_000
