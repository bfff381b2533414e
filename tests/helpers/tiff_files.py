# SPDX-License-Identifier: Apache-2.0
"""TIFF files made by rule, and what the tests of TIFF files ask again and again."""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bbcodec
from bbcodec.picture import formats
from bbcodec.picture.files import write_image
from bbcodec.picture.metadata import Note
from bbcodec.picture.picture import Picture

BYTE, ASCII, SHORT, LONG, RATIONAL, SIGNED, UNDEFINED, DOUBLE, IFD, LONG8 = 1, 2, 3, 4, 5, 6, 7, 12, 13, 16
LETTERS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 6: "b", 7: "B", 8: "h", 12: "d", 13: "I", 16: "Q"}
Tags = dict[int, tuple[int, Any]]


class Below:
    """A directory that a tag points to."""

    def __init__(self, *directories: Tags) -> None:
        self.directories = directories


def build(*pages: Tags, order: str = "<", big: bool = False, strips: Sequence[Sequence[bytes]] = ()) -> bytes:
    """Return a TIFF file of directories (type and values of each tag), and of the strips of each."""
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42))
    out += struct.pack(order + "HHQ", 8, 0, 0) if big else bytes(4)
    chain = 8 if big else 4
    for at, page in enumerate(pages):
        tags = dict(page)
        places, sizes = [], []
        for strip in strips[at] if at < len(strips) else ():
            places.append(len(out))
            sizes.append(len(strip))
            out += strip + bytes(len(strip) % 2)
        if places:
            where, size = (324, 325) if 322 in tags else (273, 279)
            tags = {where: (LONG, places), size: (LONG, sizes)} | tags
        start = _directory(out, tags, order, big)
        struct.pack_into(order + ("Q" if big else "I"), out, chain, start)
        chain = start + (8 + 20 * len(tags) if big else 2 + 12 * len(tags))
    return bytes(out)


def _directory(out: bytearray, tags: Tags, order: str, big: bool) -> int:
    """Append a directory with its values and those below it; return where it begins."""
    inline = 8 if big else 4
    rows = []
    for number, (kind, values) in sorted(tags.items()):
        if isinstance(values, Below):
            values = [_directory(out, inner, order, big) for inner in values.directories]
        raw = (
            values
            if isinstance(values, bytes)
            else struct.pack(f"{order}{len(values)}{LETTERS[kind]}", *values)
        )
        items = len(raw) // struct.calcsize("=" + LETTERS[kind]) // (2 if kind == RATIONAL else 1)
        if len(raw) > inline:
            where = len(out)
            out += raw + bytes(len(raw) % 2)
            raw = struct.pack(order + ("Q" if big else "I"), where)
        rows.append(
            struct.pack(order + ("HHQ" if big else "HHI"), number, kind, items) + raw.ljust(inline, b"\0")
        )
    start = len(out)
    out += struct.pack(order + ("Q" if big else "H"), len(rows)) + b"".join(rows) + bytes(inline)
    return start


def layout(
    array: NDArray[Any], bits: int = 8, photometric: int | None = None, **more: tuple[int, Any]
) -> Tags:
    """Return the tags of the layout of samples ``[H, W, C]``; ``more`` has others as ``t338=(3, [2])``."""
    height, width, channels = array.shape
    colours = photometric if photometric is not None else 2 if channels > 2 else 1
    tags: Tags = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * channels),
        259: (SHORT, [1]),
        262: (SHORT, [colours]),
        277: (SHORT, [channels]),
        278: (LONG, [height]),
    }
    if channels in (2, 4):
        tags[338] = (SHORT, [2])
    return tags | {int(name[1:]): tag for name, tag in more.items()}


def samples(height: int, width: int, channels: int, bits: int = 8, seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    steps = rng.integers(-3, 4, (height, width, channels))
    kind = np.uint16 if bits > 8 else np.uint8
    return (np.cumsum(np.cumsum(steps, axis=0), axis=1) % (1 << bits)).astype(kind)


def packed(rows: NDArray[Any], bits: int, order: str = "<") -> bytes:
    """Return the bytes of samples ``[H, W, C]``, written bit by bit."""
    flat = rows.reshape(len(rows), -1)
    if bits in (8, 16):
        return flat.astype(f"{order}u{bits // 8}").tobytes()
    lines = ["".join(f"{value:0{bits}b}" for value in row) for row in flat.tolist()]
    padded = [line.ljust(-(-len(line) // 8) * 8, "0") for line in lines]
    return b"".join(int(line, 2).to_bytes(len(line) // 8, "big") for line in padded)


def plain(
    array: NDArray[Any], bits: int = 8, photometric: int | None = None, **more: tuple[int, Any]
) -> bytes:
    """Return a little-endian file of one strip without compression."""
    return build(layout(array, bits, photometric, **more), strips=[[packed(array, bits)]])


def lzw(data: bytes) -> bytes:
    """Return an LZW stream as TIFF 6.0 describes it, with a new table when it is full."""
    bits: list[str] = []
    table: dict[bytes, int] = {}
    size = 9

    def emit(code: int) -> None:
        bits.append(f"{code:0{size}b}")

    emit(256)
    table = {bytes([v]): v for v in range(256)}
    following, word = 258, b""
    for value in data:
        longer = word + bytes([value])
        if longer in table:
            word = longer
            continue
        emit(table[word])
        table[longer] = following
        following += 1
        size = 9 if following < 512 else 10 if following < 1024 else 11 if following < 2048 else 12
        if following == 4095:
            emit(256)
            table, following, size = {bytes([v]): v for v in range(256)}, 258, 9
        word = bytes([value])
    emit(table[word])
    following += 1
    size = 9 if following < 512 else 10 if following < 1024 else 11 if following < 2048 else 12
    emit(257)
    text = "".join(bits)
    text = text.ljust(-(-len(text) // 8) * 8, "0")
    return int(text, 2).to_bytes(len(text) // 8, "big")


def pack_bits(data: bytes) -> bytes:
    out = bytearray()
    at = 0
    while at < len(data):
        run = 1
        while run < 128 and data[at : at + 1] * (run + 1) == data[at : at + run + 1]:
            run += 1
        if run > 2:
            out += bytes([257 - run]) + data[at : at + 1]
        else:
            run = min(100, len(data) - at)
            out += bytes([run - 1]) + data[at : at + run]
        at += run
    return bytes(out)


COMPRESSIONS: dict[int, Callable[[bytes], bytes]] = {
    1: bytes,
    5: lzw,
    8: zlib.compress,
    32946: zlib.compress,
    32773: pack_bits,
    34925: lambda data: lzma.compress(data, check=lzma.CHECK_NONE),
}


GEO: Tags = {
    33550: (DOUBLE, [0.5, 0.5, 0.0]),
    33922: (DOUBLE, [0.0, 0.0, 0.0, 440720.0, 100000.0, 0.0]),
    34735: (SHORT, [1, 1, 0, 1, 1024, 0, 1, 1]),
    34736: (DOUBLE, [6378137.0]),
    34737: (ASCII, b"WGS 84|\0"),
    42112: (ASCII, b"<GDALMetadata/>\0"),
    42113: (ASCII, b"-9999\0"),
}


def noted(tags: Tags) -> tuple[Note, ...]:
    """Return the notes of tags: values in little-endian order."""
    found = []
    for number, (kind, values) in sorted(tags.items()):
        data = values if isinstance(values, bytes) else struct.pack(f"<{len(values)}{LETTERS[kind]}", *values)
        found.append(Note("tiff", f"{number}/{kind}", data))
    return tuple(found)


def read(data: bytes) -> formats.Reading:
    return formats.read(io.BytesIO(data))


def again(data: bytes) -> Picture | None:
    return formats.read_again(io.BytesIO(data))


def written(picture: Picture, format: str = "tif") -> bytes:
    out = io.BytesIO()
    write_image(out, picture, format=format)
    return out.getvalue()


def check_round_trips(picture: Picture, *, with_bb: bool = True) -> None:
    """Check that picture and metadata come back from a TIFF file, and from a `.bb` file."""
    found = read(written(picture))
    assert found.left_out == ()
    assert found.picture.same(picture)
    assert found.picture.metadata == picture.metadata
    if not with_bb:
        return
    kept = bbcodec.decompress_picture(bbcodec.compress(picture, method="classic"))
    assert kept.same(picture)
    assert kept.metadata == picture.metadata
