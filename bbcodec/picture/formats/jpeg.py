# SPDX-License-Identifier: Apache-2.0
"""Read JPEG files: Pillow decodes the pixels; what the file says beside them is kept or named."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Final, NamedTuple

from bbcodec.errors import FormatError
from bbcodec.picture.formats.pillow_reader import picture_of
from bbcodec.picture.formats.reading import Reading

__all__ = ["read"]

_ALONE: Final = (0x01, *range(0xD0, 0xD9))  # markers without a length
_SOS, _EOI, _COM, _APP0 = 0xDA, 0xD9, 0xFE, 0xE0
_MPF: Final = b"MPF\0"
# Segments that Pillow hands over, or that belong to the pixels: marker, first bytes.
_KEPT: Final = (
    (0xE0, b"JFIF\0"),
    (0xE1, b"Exif\0\0"),
    (0xE1, b"http://ns.adobe.com/xap/1.0/\0"),
    (0xE2, b"ICC_PROFILE\0"),
    (0xEE, b"Adobe"),
)
_NAMES: Final = (
    (0xED, b"Photoshop 3.0\0", "Photoshop data with IPTC (APP13)"),
    (0xE1, b"http://ns.adobe.com/xmp/extension/\0", "extended XMP (APP1)"),
    (0xE2, _MPF, "further pictures (MPF)"),
    (0xE0, b"JFXX\0", "a thumbnail (JFXX)"),
    (0xE2, b"FPXR\0", "FlashPix data (APP2)"),
)
_THUMBNAIL: Final = slice(12, 14)  # of a JFIF segment: its width and height


class _Segment(NamedTuple):
    """A segment: marker, body, and where it begins and ends in the file."""

    marker: int
    body: bytes
    start: int
    end: int


def read(data: bytes, max_pixels: int) -> Reading:
    """Read the pixels of a JPEG file. Errors as of `bbcodec.read_image`."""
    left_out: list[str] = []
    drop: list[_Segment] = []
    end = len(data)
    for segment in _segments(data):
        if segment.marker == _EOI:
            end = segment.end
        name = _lost(segment)
        if name is not None and name not in left_out:
            left_out.append(name)
        if segment.marker == 0xE2 and segment.body.startswith(_MPF):
            drop.append(segment)  # Pillow would take the file for one of several pictures
    if end < len(data) and not drop:
        left_out.append(f"{len(data) - end} bytes behind the picture")
    for segment in reversed(drop):
        data = data[: segment.start] + data[segment.end :]
    return Reading(picture_of(io.BytesIO(data), "JPEG", max_pixels), "JPEG", tuple(left_out), lossy=True)


def _lost(segment: _Segment) -> str | None:
    """Return what a segment is called if no picture holds it; None if it needs no mention."""
    marker, body = segment.marker, segment.body
    if marker == _COM:
        return "comments"
    if not _APP0 <= marker <= 0xEF:
        return None
    if marker == _APP0 and body.startswith(b"JFIF\0"):
        return "a thumbnail (JFIF)" if any(body[_THUMBNAIL]) else None
    if any(marker == kind and body.startswith(start) for kind, start in _KEPT):
        return None
    named = (name for kind, start, name in _NAMES if marker == kind and body.startswith(start))
    return next(named, f"application data (APP{marker - _APP0})")


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield the segments of a file up to the end of its picture."""
    at = 2
    while True:
        at = data.find(b"\xff", at)
        if at < 0 or at + 1 >= len(data):
            raise FormatError("JPEG: the file is cut off")
        marker = data[at + 1]
        if marker in (0x00, 0xFF) or (marker in _ALONE and marker != _EOI):
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _EOI:
            yield _Segment(marker, b"", at, at + 2)
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        end = at + 2 + length
        if length < 2 or end > len(data):
            raise FormatError(f"JPEG: the segment at byte {at} is cut off")
        yield _Segment(marker, data[at + 4 : end], at, end)
        at = end
