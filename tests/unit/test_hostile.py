# SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile files: a clear error or the right picture, quickly and in little memory."""

from __future__ import annotations

import contextlib
import lzma
import resource
import struct
import sys
import time
import tracemalloc
import zlib
from collections.abc import Iterator

import numpy as np
import pytest

import bbcodec
from bbcodec import classic, container
from bbcodec.classic import codes, generic
from bbcodec.container import Section, varint
from bbcodec.errors import BBCodecError, FormatError, LimitError
from bbcodec.picture.picture import MODES, Palette, Picture

METADATA = {"icc": b"icc" * 30, "exif": b"Exif\0\0", "xmp": b"<x/>", "dpi": (72, 72), "text": {"k": "v" * 40}}


def small_files() -> dict[str, bytes]:
    """Return a small file of every kind."""
    rng = np.random.default_rng(0)
    out = {}
    for mode, info in MODES.items():
        array = rng.integers(0, 2 if info.dtype == "bool" else 200, info.shape(5, 6)).astype(info.dtype)
        palette = Palette(rng.bytes(24), transparency=b"\0\7") if mode == "P" else None
        out[mode] = bbcodec.compress(Picture(array, mode, palette), metadata=METADATA)
    y, x = np.indices((40, 50))
    # Every entry is used once, and in disorder: held as colours, and an order of them.
    shuffled = Picture(
        rng.permutation(30).reshape(5, 6).astype(np.uint8), "P", Palette(bytes(range(90, 240)[: 3 * 32]))
    )
    out["painted"] = bbcodec.compress(shuffled, metadata=METADATA)
    out["webp"] = bbcodec.compress(np.stack([y * x, y + x, y ^ x], axis=2).astype(np.uint8))
    out["tiles"] = bbcodec.compress(np.random.default_rng(1).integers(0, 9, (2, 16500, 3)).astype(np.uint8))
    return out


FILES = small_files()


def peak_memory() -> int:
    """Return the most memory this process has ever had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextlib.contextmanager
def bounded() -> Iterator[None]:
    """Check that the block does little: memory of Python and of libraries, and processor time.

    The time is a hundred times what is needed, and far below what it takes to fill such pictures.
    """
    before, started = peak_memory(), time.process_time()
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6
    assert peak_memory() - before < 200e6
    assert time.process_time() - started < 20


def outcome(data: bytes, expected: Picture) -> None:
    """Decode damaged bytes: a BBCodecError with a message, or exactly the right picture."""
    for decode in (bbcodec.decompress_picture, bbcodec.info):
        with contextlib.suppress(BBCodecError):
            found = decode(data)
            assert not isinstance(found, Picture) or found.same(expected)


@pytest.mark.parametrize("name", [name for name in FILES if name != "tiles"])
def test_truncated_at_every_length(name: str) -> None:
    data = FILES[name]
    for size in range(len(data)):
        with pytest.raises(FormatError):
            bbcodec.decompress(data[:size])
        with pytest.raises(FormatError):
            bbcodec.info(data[:size])


@pytest.mark.parametrize("name", [name for name in FILES if name != "tiles"])
def test_every_byte_changed(name: str) -> None:
    data = FILES[name]
    for at in range(len(data)):
        with pytest.raises(FormatError):
            bbcodec.decompress(data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :])


def header_size(data: bytes) -> int:
    header = container.read_header(data)
    return 24 + len(varint(header.width)) + len(varint(header.height))


def reseal(data: bytes, at: int, value: int) -> bytes:
    """Return a file with one byte of a payload or of the header changed, and all checksums made right."""
    raw = bytearray(data)
    raw[at] = value
    end = header_size(data)
    raw[end - 4 : end] = struct.pack("<I", zlib.crc32(raw[: end - 4]))
    for section in container.read(data).sections:
        end = section.offset + len(section.payload)
        start = section.offset - len(varint(len(section.payload))) - 4
        raw[end : end + 4] = struct.pack("<I", zlib.crc32(raw[start:end]))
    return bytes(raw)


@pytest.mark.parametrize("name", [name for name in FILES if name != "tiles"])
def test_every_byte_changed_by_someone_who_knows_the_checksums(name: str) -> None:
    data = FILES[name]
    expected = bbcodec.decompress_picture(data)
    places = [*range(8, header_size(data) - 4)]
    for section in container.read(data).sections:
        places += range(section.offset, section.offset + len(section.payload))
    for at in places:
        for value in {data[at] ^ 0x01, data[at] ^ 0x80, 0xFF} - {data[at]}:
            outcome(reseal(data, at, value), expected)


def test_tiles_changed() -> None:
    data = FILES["tiles"]
    expected = bbcodec.decompress_picture(data)
    section = container.read(data).sections[0]
    for at in [
        *range(section.offset, section.offset + 30),
        *range(section.offset + 30, section.offset + 9000, 997),
    ]:
        outcome(reseal(data, at, data[at] ^ 0x10), expected)


def resized(data: bytes, width: int, height: int) -> bytes:
    end = header_size(data)
    head = data[:12] + varint(width) + varint(height) + data[end - 12 : end - 4]
    return head + struct.pack("<I", zlib.crc32(head)) + data[end:]


@pytest.mark.parametrize(
    "size", [(2**32 - 1, 2**32 - 1), (30000, 30000), (16383, 16383), (2**30, 1), (1, 2**30)]
)
@pytest.mark.parametrize("name", FILES)
def test_huge_declared_size(name: str, size: tuple[int, int]) -> None:
    data = resized(FILES[name], *size)
    with bounded(), pytest.raises((FormatError, LimitError)):
        bbcodec.decompress(data)


@pytest.mark.parametrize("size", [(2**32 - 1, 2**32 - 1), (30000, 30000), (2**30, 1), (1, 2**30)])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_huge_declared_size_of_a_learned_picture(mode: str, size: tuple[int, int]) -> None:
    small = np.zeros(MODES[mode].shape(9, 9), np.uint8)
    data = bbcodec.compress(small, method="learned", verify=False, threads=1)
    bbcodec.decompress(data)  # the model is not to be measured
    with bounded(), pytest.raises((FormatError, LimitError)):
        bbcodec.decompress(resized(data, *size))


def hostile(mode: str, payload: bytes, width: int = 30000, height: int = 30000) -> bytes:
    header = container.Header(MODES[mode].code, 0, width, height, bytes(8))
    mask = {"L": 1, "I;16": 5}[mode]
    return container.write(header, [Section("CLSC", bytes([mask]) + payload)])


@pytest.mark.parametrize(
    "payload",
    [
        bytes([codes.DEFLATE]) + zlib.compress(bytes(100000), wbits=-15),
        bytes([codes.LZMA]) + lzma.compress(bytes(100000), lzma.FORMAT_RAW, filters=generic._LZMA_FILTERS),
        bytes([classic.TILED]) + varint(2**60) * 200,
        bytes([classic.TILED]) + varint(0) * 500,
        bytes([codes.WEBP]) + b"\x2f" + b"\xff" * 60,
    ],
)
def test_small_payload_of_a_huge_picture(payload: bytes) -> None:
    with bounded(), pytest.raises(FormatError):
        bbcodec.decompress(hostile("L", payload))
    with bounded(), pytest.raises(FormatError):
        bbcodec.decompress(hostile("I;16", bytes([codes.SPLIT16, 0]) + varint(len(payload)) + payload * 2))


def test_metadata_bomb() -> None:
    good = container.read(bbcodec.compress(np.zeros((2, 2), np.uint8)))
    squeezed = zlib.compress(bytes(10**7), 9, wbits=-15)
    for size, error in ((10**12, LimitError), (10**7 - 1, FormatError), (6 * 10**7, FormatError)):
        bomb = Section("iccp", b"\1" + varint(size) + squeezed)
        with pytest.raises(error):
            bbcodec.decompress(container.write(good.header, [*good.sections, bomb]))
    for kind, payload in (
        ("text", b"\0{"),
        ("text", b'\0["a"]'),
        ("text", b"\0" + b"[" * 100000),
        ("dens", b"\0abc"),
        ("trns", b"\0\7"),
        ("trns", b"\0\0"),
        ("iccp", b""),
        ("iccp", b"\7abc"),
    ):
        with pytest.raises(FormatError):
            bbcodec.decompress(container.write(good.header, [*good.sections, Section(kind, payload)]))


def with_sections(*sections: Section, mode: str = "L") -> bytes:
    good = container.read(bbcodec.compress(np.zeros(MODES[mode].shape(2, 2), MODES[mode].dtype)))
    return container.write(good.header, [*good.sections, *sections])


@pytest.mark.parametrize(
    ("mode", "kind", "payload", "error"),
    [
        ("L", "dens", struct.pack("<dd", np.inf, 72), FormatError),
        ("L", "dens", struct.pack("<dd", 72, np.nan), FormatError),
        ("L", "dens", struct.pack("<dd", -1, 72), FormatError),
        ("L", "dens", struct.pack("<dd", 0, 72), FormatError),
        ("L", "text", b'[["","v"]]', FormatError),
        ("L", "text", b'[["\\u4e2d","v"]]', FormatError),
        ("L", "text", b'[["a\\u0000b","v"]]', FormatError),
        ("L", "text", b'[["k","\\ud800"]]', FormatError),
        ("L", "text", b'[["k","' + b"v" * 2**20 + b'"]]', LimitError),
        ("L", "text", b"[" + b'["k","v"],' * 10000 + b'["k","v"]]', LimitError),
        ("L", "trns", b"\3\1\1\1", FormatError),
        ("L", "trns", b"\1\1", FormatError),
        ("L", "trns", b"\0" + varint(2**16), FormatError),
        ("RGB", "trns", b"\0\1", FormatError),
        ("RGB", "trns", b"\2\1\1", FormatError),
        ("LA", "trns", b"\0\1", FormatError),
        ("RGBA", "trns", b"\3\1\1\1", FormatError),
        ("L", "orig", b"\3png\4gAMA\5abc", FormatError),
        ("L", "orig", b"\0\1x\0\0", FormatError),
        ("L", "orig", b"\1\xff\1x\0\0", FormatError),
        ("L", "orig", b"\1a\1b\0\0" * 10_001, LimitError),
    ],
)
def test_metadata_that_could_not_be_written(
    mode: str, kind: str, payload: bytes, error: type[BBCodecError]
) -> None:
    data = with_sections(Section(kind, b"\0" + payload), mode=mode)
    for read in (bbcodec.decompress, bbcodec.info):
        with pytest.raises(error):
            read(data)


def test_no_colour_key_with_a_palette() -> None:
    good = container.read(FILES["P"])
    with pytest.raises(FormatError, match="colour_key in mode P"):
        bbcodec.decompress(container.write(good.header, [*good.sections, Section("trns", b"\0\0\1")]))


def test_metadata_have_one_limit_together() -> None:
    blocks = [Section(kind, b"\0" + bytes(1000)) for kind in ("iccp", "exif", "xmpd")]
    data = with_sections(*blocks)
    bbcodec.decompress(data, limits=container.Limits(max_metadata=3000))
    with pytest.raises(LimitError):
        bbcodec.decompress(data, limits=container.Limits(max_metadata=2999))


def test_too_many_alphas() -> None:
    good = container.read(FILES["P"])
    for form in range(6):
        payload = bytes([form << 4 | 4]) + varint(2**24) + zlib.compress(bytes(2**24), wbits=-15)
        with bounded(), pytest.raises(FormatError, match=r"alphas|order of colours"):
            bbcodec.decompress(container.write(good.header, [Section("PLTE", payload), *good.sections[1:]]))


def test_unknown_ancillary_section_is_skipped() -> None:
    array = np.arange(6, dtype=np.uint8).reshape(2, 3)
    good = container.read(bbcodec.compress(array))
    more = container.write(good.header, [Section("zzzz", b"future"), *good.sections])
    assert np.array_equal(bbcodec.decompress(more), array)


def test_palette_only_where_it_belongs() -> None:
    palette = container.read(FILES["P"])
    gray = container.read(FILES["L"])
    with pytest.raises(FormatError, match="section PLTE is missing"):
        bbcodec.decompress(container.write(palette.header, palette.sections[1:]))
    with pytest.raises(FormatError, match="section PLTE in a picture of mode L, expected P"):
        bbcodec.decompress(container.write(gray.header, [palette.sections[0], *gray.sections]))


def test_mode_that_does_not_exist() -> None:
    with pytest.raises(FormatError, match="mode 99"):
        bbcodec.decompress(reseal(FILES["L"], 10, 99))


def test_no_pixels_at_all() -> None:
    header = container.read_header(FILES["L"])
    for sections in ([], [Section("CLSC", b"")], [Section("CLSC", b"\1")], [Section("CLSC", b"\2\0")]):
        with pytest.raises(FormatError):
            bbcodec.decompress(container.write(header, sections))
