# SPDX-License-Identifier: Apache-2.0
"""Read GIF, BMP, TGA, WebP, QOI and PCX files: Pillow decodes the pixels; here the rest is accounted for."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

import numpy as np

from bbcodec.errors import FormatError, UnsupportedImageError
from bbcodec.picture.formats.pillow_reader import picture_of
from bbcodec.picture.formats.reading import Reading

__all__ = ["read_bmp", "read_gif", "read_pcx", "read_qoi", "read_tga", "read_webp"]

_BEHIND: Final = "bytes behind the picture"
_BMP_HEAD_BYTES: Final = 14 + 124  # the longest header


def read_gif(data: bytes, max_pixels: int) -> Reading:
    """Read a GIF file of one picture. Errors as of `bbcodec.read_image`."""
    left_out: list[str] = []
    pictures = 0
    end = len(data)
    for kind, body, block_end in _gif_blocks(data):
        name, end = None, block_end
        if kind == 0x2C:
            pictures += 1
            left, top, width, height = struct.unpack_from("<HHHH", body)
            if (left, top, width, height) != (0, 0, *struct.unpack_from("<HH", data, 6)):
                name = "the place of the picture on its screen"
        elif kind == 0xFE:
            name = "comments"
        elif kind == 0xFF:
            name = f"application data ({body[:11].decode('ascii', 'replace')})"
            name = None if body.startswith((b"NETSCAPE2.0", b"ANIMEXTS1.0")) else name
        elif kind == 0x01:
            name = "plain text"
        if name is not None and name not in left_out:
            left_out.append(name)
    if pictures > 1:
        raise UnsupportedImageError(
            f"GIF animation of {pictures} pictures is not supported; expected a single picture"
        )
    if data[12]:
        left_out.append("the shape of its pixels")
    if end < len(data):
        left_out.append(f"{len(data) - end} {_BEHIND}")
    return Reading(picture_of(io.BytesIO(data), "GIF", max_pixels), "GIF", tuple(left_out))


def _gif_blocks(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield kind, body and end of every block: 0x2C of a picture, else the label of an extension."""
    if len(data) < 13:
        raise FormatError("GIF: the file is cut off")
    at = 13 + _gif_table(data[10])
    while at < len(data) and data[at] != 0x3B:
        kind = data[at]
        if kind == 0x2C and at + 10 <= len(data):
            body, at = data[at + 1 : at + 10], at + 10 + _gif_table(data[at + 9]) + 1
            _, at = _gif_sub_blocks(data, at)
        elif kind == 0x21 and at + 2 <= len(data):
            kind = data[at + 1]
            body, at = _gif_sub_blocks(data, at + 2)
        else:
            raise FormatError(f"GIF: no block at byte {at}")
        yield kind, body, at
    if at >= len(data):
        raise FormatError("GIF: the file is cut off")
    yield 0x3B, b"", at + 1


def _gif_table(flags: int) -> int:
    """Return the bytes of a colour table."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


def _gif_sub_blocks(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the content of sub-blocks (the first 255 bytes), and where they end."""
    first = data[at + 1 : at + 1 + data[at]] if at < len(data) else b""
    while at < len(data):
        size = data[at]
        at += 1 + size
        if not size:
            return first, at
    raise FormatError("GIF: the file is cut off")


def read_bmp(file: BinaryIO, max_pixels: int) -> Reading:
    """Read a BMP file that can seek: as large as its pixels, it is not held. Errors as of `read_gif`."""
    total = file.seek(0, os.SEEK_END)
    file.seek(0)
    data = file.read(_BMP_HEAD_BYTES)
    if total < 26:
        raise FormatError("BMP: the file is cut off")
    left_out: list[str] = []
    offset, size = struct.unpack_from("<II", data, 10)
    if size >= 40 and min(total, _BMP_HEAD_BYTES) >= 14 + size:
        width, height, _, bits, packing, stored = struct.unpack_from("<iiHHII", data, 18)
        width, height = abs(width), abs(height)
        (used,) = struct.unpack_from("<I", data, 46)
        colours = (used or 2**bits) if bits <= 8 else 0
        if offset < 14 + size + 4 * min(colours, 256):
            raise FormatError(f"BMP: the pixels begin at byte {offset}, inside the header or the palette")
        pixel_end = offset + (stored or (width * bits + 31) // 32 * 4 * height)
        if size >= 108 and struct.unpack_from("<I", data, 70)[0] == 0 and any(data[74:122]):
            left_out.append("its colour space")
        if size >= 124:
            profile, length = struct.unpack_from("<II", data, 126)
            if profile and length:
                left_out.append("its ICC profile")
                pixel_end = max(pixel_end, 14 + profile + length)
    file.seek(0)
    picture = picture_of(file, "BMP", max_pixels)
    if size >= 40 and min(total, _BMP_HEAD_BYTES) >= 14 + size:
        if bits == 32 and picture.mode == "RGB" and packing in (0, 3):
            masks = struct.unpack_from("<III", data, 54) if packing == 3 else (0xFF0000, 0xFF00, 0xFF)
            unused = next(i for i in range(4) if not (masks[0] | masks[1] | masks[2]) >> (8 * i) & 0xFF)
            file.seek(offset)
            rows = (np.frombuffer(file.read(4 * width), np.uint8) for _ in range(height))
            if any(row[unused::4].any() for row in rows):
                left_out.append("the fourth byte of its pixels, which the file does not call alpha")
        if total > pixel_end + 3:
            left_out.append(f"{total - pixel_end} {_BEHIND}")
    return Reading(picture, "BMP", tuple(left_out))


def read_tga(data: bytes, max_pixels: int) -> Reading:
    """Read a TGA file. Errors as of `bbcodec.read_image`."""
    left_out: list[str] = []
    if data[0]:
        left_out.append("its identification text")
    if data[-18:-2] == b"TRUEVISION-XFILE":
        extension, developer = struct.unpack_from("<II", data, len(data) - 26)
        left_out += ["its extension area"] * bool(extension) + ["its developer area"] * bool(developer)
    picture = picture_of(io.BytesIO(data), "TGA", max_pixels)
    if picture.mode == "RGBA" and not data[17] & 15:
        left_out.append("that the fourth byte of its pixels is not alpha (it is kept as alpha)")
    return Reading(picture, "TGA", tuple(left_out))


def read_webp(data: bytes, max_pixels: int) -> Reading:
    """Read a WebP file of one picture. Errors as of `bbcodec.read_image`."""
    left_out: list[str] = []
    lossy = False
    end = 8 + int.from_bytes(data[4:8], "little")
    at = 12
    while at + 8 <= min(end, len(data)):
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
        if at > len(data) + 1:
            raise FormatError("WebP: the file is cut off")
        lossy |= kind == b"VP8 "
        if kind not in (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ICCP", b"EXIF", b"XMP ", b"ANIM", b"ANMF"):
            left_out.append(f"chunk {kind.decode('ascii', 'replace').strip()}")
    if end > len(data):
        raise FormatError("WebP: the file is cut off")
    if end + end % 2 < len(data):
        left_out.append(f"{len(data) - end} {_BEHIND}")
    return Reading(picture_of(io.BytesIO(data), "WEBP", max_pixels), "WEBP", tuple(left_out), lossy)


def read_qoi(data: bytes, max_pixels: int) -> Reading:
    """Read a QOI file. Errors as of `bbcodec.read_image`."""
    picture = picture_of(io.BytesIO(data), "QOI", max_pixels)
    left_out = ["that its colours are linear"] if data[13] == 1 else []
    end = data.rfind(b"\0\0\0\0\0\0\0\1")
    if end < 0:
        raise FormatError("QOI: the end marker is missing")
    if end + 8 < len(data):
        left_out.append(f"{len(data) - end - 8} {_BEHIND}")
    return Reading(picture, "QOI", tuple(left_out))


def read_pcx(data: bytes, max_pixels: int) -> Reading:
    """Read a PCX file. Errors as of `bbcodec.read_image`."""
    return Reading(picture_of(io.BytesIO(data), "PCX", max_pixels), "PCX")
