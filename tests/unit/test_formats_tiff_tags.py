# SPDX-License-Identifier: Apache-2.0
"""Tags of TIFF files: each is kept, or named as left out. Files that are written, and hostile ones."""

from __future__ import annotations

import contextlib
import io
import struct
import time
import zlib
from dataclasses import replace

import numpy as np
import pytest
from PIL import ExifTags, Image, TiffImagePlugin
from tiff_files import (
    ASCII,
    BYTE,
    COMPRESSIONS,
    DOUBLE,
    GEO,
    IFD,
    LONG,
    RATIONAL,
    SHORT,
    SIGNED,
    UNDEFINED,
    Below,
    Tags,
    again,
    build,
    check_round_trips,
    layout,
    lzw,
    noted,
    packed,
    plain,
    read,
    samples,
    written,
)

from bbcodec.errors import BBCodecError, FormatError, LimitError, UnsupportedImageError
from bbcodec.picture import formats
from bbcodec.picture.files import left_out, read_image
from bbcodec.picture.formats.tiff import writer
from bbcodec.picture.metadata import Metadata, Note
from bbcodec.picture.picture import MODES, Palette, Picture

# --- tags --------------------------------------------------------------------------------------------------

MORE: Tags = {
    269: (ASCII, b"a document\0"),
    285: (ASCII, b"page one\0"),
    291: (SHORT, list(range(0, 2560, 10))),
    297: (SHORT, [0, 1]),
    316: (ASCII, b"host\0"),
    318: (RATIONAL, [3127, 10000, 3290, 10000]),
    340: (BYTE, [3]),
    33723: (UNDEFINED, b"\x1c\x02\x00\x00\x02\x00\x04"),
    34377: (BYTE, b"8BIM\x04\x04\0\0\0\0\0\0"),
    50838: (LONG, [12, 20]),
    50839: (BYTE, b"IJIJinfo"),
    65000: (SIGNED, [-1, 2]),
    65001: (8, [-300]),
}


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_all_other_tags_are_kept(order: str, big: bool) -> None:
    array = samples(4, 5, 3)
    data = build(layout(array) | GEO | MORE, order=order, big=big, strips=[[array.tobytes()]])
    picture = read(data).picture
    assert picture.metadata.notes == noted(GEO | MORE)
    check_round_trips(picture)
    stored = Image.open(io.BytesIO(written(picture))).tag_v2  # type: ignore[attr-defined]
    assert stored[33922] == GEO[33922][1] or tuple(stored[33922]) == tuple(GEO[33922][1])
    assert stored[269] == "a document"
    assert left_out(picture, "png") == [f"TIFF tag {number}" for number in sorted(GEO | MORE)]
    assert left_out(picture, "tif") == []


EXIF: Tags = {
    33434: (RATIONAL, [1, 250]),
    36864: (UNDEFINED, b"0232"),
    37500: (UNDEFINED, bytes(range(50))),
    40965: (LONG, Below({1: (ASCII, b"R98\0")})),
}
GPS: Tags = {0: (BYTE, [2, 3, 0, 0]), 1: (ASCII, b"N\0"), 2: (RATIONAL, [50, 1, 3, 1, 59, 7])}
DESCRIBED: Tags = {
    270: (ASCII, b"a picture\0"),
    271: (ASCII, b"maker\0"),
    272: (ASCII, b"m\0"),
    274: (SHORT, [3]),
    305: (ASCII, b"soft 1.0\0"),
    306: (ASCII, b"2026:01:02 03:04:05\0"),
    315: (ASCII, b"me\0"),
    33432: (ASCII, b"(c)\0"),
    34665: (LONG, Below(EXIF)),
    34853: (LONG, Below(GPS)),
}


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_and_gps(order: str) -> None:
    array = samples(4, 5, 3)
    data = build(layout(array) | DESCRIBED, order=order, strips=[[array.tobytes()]])
    picture = read(data).picture
    assert picture.metadata.notes == ()
    exif = Image.Exif()
    exif.load(picture.metadata.exif)
    assert exif[271] == "maker"
    assert exif.get_ifd(ExifTags.IFD.Exif)[33434] == 0.004
    assert exif.get_ifd(ExifTags.IFD.Exif)[37500] == bytes(range(50))
    assert exif.get_ifd(ExifTags.IFD.GPSInfo)[1] == "N"
    assert exif.get_ifd(ExifTags.IFD.Interop)[1] == "R98"
    check_round_trips(picture)
    stored = Image.open(io.BytesIO(written(picture))).getexif()
    assert stored.get_ifd(ExifTags.IFD.GPSInfo)[2] == (50.0, 3.0, 59 / 7)
    assert stored[306] == "2026:01:02 03:04:05"


@pytest.mark.parametrize(
    ("tags", "dpi", "is_noted"),
    [
        ({}, None, False),
        ({282: (RATIONAL, [300, 1]), 283: (RATIONAL, [150, 1]), 296: (SHORT, [2])}, (300.0, 150.0), False),
        (
            {282: (RATIONAL, [72009, 1000]), 283: (RATIONAL, [1, 3]), 296: (SHORT, [2])},
            (72.009, 1 / 3),
            False,
        ),
        (
            {282: (RATIONAL, [3000000, 10000]), 283: (RATIONAL, [300, 1]), 296: (SHORT, [2])},
            (300.0, 300.0),
            True,
        ),
        ({282: (RATIONAL, [300, 1]), 283: (RATIONAL, [300, 1])}, (300.0, 300.0), True),
        ({282: (RATIONAL, [118, 1]), 283: (RATIONAL, [118, 1]), 296: (SHORT, [3])}, (299.72, 299.72), True),
        ({282: (RATIONAL, [5, 2]), 283: (RATIONAL, [5, 2]), 296: (SHORT, [1])}, None, True),
        ({282: (RATIONAL, [300, 0]), 283: (RATIONAL, [300, 0]), 296: (SHORT, [2])}, None, True),
        ({282: (RATIONAL, [300, 1])}, None, True),
        ({282: (DOUBLE, [300.0]), 283: (DOUBLE, [300.0]), 296: (SHORT, [2])}, None, True),
    ],
)
def test_resolution(tags: Tags, dpi: tuple[float, float] | None, is_noted: bool) -> None:
    array = samples(4, 5, 1)
    picture = read(build(layout(array) | tags, strips=[[array.tobytes()]])).picture
    assert picture.metadata.dpi == (None if dpi is None else pytest.approx(dpi, rel=1e-12))
    assert picture.metadata.notes == (noted(tags) if is_noted else ())
    check_round_trips(picture)


def test_fields_win_over_notes() -> None:
    array = samples(4, 5, 3)
    tags: Tags = {
        **GEO,
        270: (ASCII, b"old\0"),
        282: (RATIONAL, [118, 1]),
        283: (RATIONAL, [118, 1]),
        296: (SHORT, [3]),
        700: (UNDEFINED, b"<old/>"),
        34675: (BYTE, b"profile"),
    }
    picture = read(build(layout(array) | tags, strips=[[array.tobytes()]])).picture
    m = picture.metadata
    assert (m.xmp, m.icc) == (b"<old/>", b"profile")
    assert [note for note in m.notes if note.key in ("700/7", "34675/1")] == [
        Note("tiff", "700/7", b"", 128),
        Note("tiff", "34675/1", b"", 128),
    ]
    assert not {"TIFF tag 700", "TIFF tag 34675", "TIFF tag 282"} & set(left_out(picture, "png"))
    check_round_trips(picture)
    changed = replace(m, xmp=b"<new/>", icc=b"other", dpi=(300.0, 300.0), exif=None)
    found = read(written(replace(picture, metadata=changed))).picture.metadata
    assert (found.xmp, found.icc, found.dpi, found.exif) == (b"<new/>", b"other", (300.0, 300.0), None)
    assert [note.key for note in found.notes if note.place == 0] == [note.key for note in noted(GEO)]
    bare = replace(m, xmp=None, icc=None, dpi=None, exif=None)
    found = read(written(replace(picture, metadata=bare))).picture.metadata
    assert found == Metadata(notes=noted(GEO))


def test_notes_that_would_break_the_file_are_passed_over() -> None:
    picture = Picture(samples(4, 5, 1)[:, :, 0], "L")
    bad = (
        "256/4",
        "273/4",
        "279/4",
        "330/4",
        "34665/4",
        "65000/13",
        "65000/99",
        "99999/3",
        "x/3",
        "700",
        "65001/3",
    )
    notes = tuple(Note("tiff", key, b"\1\0\0") for key in bad)
    found = read(written(replace(picture, metadata=Metadata(notes=notes))))
    assert found.picture.same(picture)
    assert found.picture.metadata == Metadata()


def test_exif_of_other_formats() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "maker"
    exif[ExifTags.Base.YCbCrPositioning] = 1
    exif[ExifTags.Base.XResolution] = 72.0
    exif[ExifTags.Base.HostComputer] = "host"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] = 100
    picture = Picture(samples(4, 5, 3), "RGB", metadata=Metadata(exif=exif.tobytes()))
    found = read(written(picture)).picture.metadata
    assert found.notes == (Note("tiff", "316/2", b"host\0"),)
    back = Image.Exif()
    back.load(found.exif)
    assert dict(back) == {271: "maker", 34665: back[34665]}
    assert back.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ISOSpeedRatings] == 100
    broken = replace(picture, metadata=Metadata(exif=b"Exif\0\0not a block"))
    assert left_out(broken, "tif") == ["exif (damaged)"]
    assert read(written(broken)).picture.metadata == Metadata()


def test_what_is_left_out_is_named() -> None:
    array = samples(4, 5, 1)
    data = bytearray(
        plain(
            array,
            t400=(LONG, [8]),
            t513=(LONG, [8]),
            t514=(LONG, [1]),
            t65000=(IFD, [8]),
            t65001=(SHORT, [1]),
        )
    )
    at = data.index(struct.pack("<HHI", 65001, 3, 1))
    data[at + 2] = 99
    found = read(bytes(data))
    assert found.left_out == (
        "global parameters",
        "a thumbnail (JPEG)",
        "tag 65001, which has the unknown type 99",
        "the directory of tag 65000",
    )
    assert found.picture.metadata == Metadata()
    data[at : at + 8] = struct.pack("<HHI", 65000, 3, 1)
    assert "a second tag 65000" in read(bytes(data)).left_out


def test_undefined_sample_format_is_kept() -> None:
    picture = read(plain(samples(4, 5, 3), t339=(SHORT, [4, 4, 4]))).picture
    assert picture.metadata.notes == (Note("tiff", "339/3", b"\4\0" * 3),)
    check_round_trips(picture)


# --- the writer --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_files_that_are_written(mode: str, big: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if big:
        monkeypatch.setattr(writer, "_MAX_CLASSIC_BYTES", 1)
    monkeypatch.setattr(writer, "_STRIP_PIXELS", 60)
    rng = np.random.default_rng(7)
    info = MODES[mode]
    top = {"bool": 2, "uint8": 256, "uint16": 65536}[info.dtype]
    pixels = rng.integers(0, top, info.shape(17, 23)).astype(info.dtype)
    palette = Palette(rng.bytes(768)) if mode == "P" else None
    picture = Picture(pixels, mode, palette, Metadata(dpi=(96.0, 72.5), notes=noted(GEO)))
    data = written(picture)
    assert data[2 if mode != "I;16B" else 3] == (43 if big else 42)
    found = read(data).picture
    assert found.same(picture)
    assert found.metadata == picture.metadata
    second = again(data)
    assert second is not None
    assert second.same(picture)
    if mode in ("1", "L", "P", "LA", "RGB", "RGBA", "I;16") or (mode == "I;16B" and not big):
        image = Image.open(io.BytesIO(data))
        assert image.mode == mode
        assert np.array_equal(np.asarray(image), pixels)
        assert image.info["dpi"] == (96.0, 72.5)


@pytest.mark.parametrize("mode", MODES)
def test_tifffile_reads_what_is_written(mode: str) -> None:
    tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed")
    info = MODES[mode]
    top = {"bool": 2, "uint8": 256, "uint16": 65536}[info.dtype]
    pixels = np.random.default_rng(8).integers(0, top, info.shape(17, 23)).astype(info.dtype)
    palette = Palette(np.random.default_rng(9).bytes(768)) if mode == "P" else None
    data = written(Picture(pixels, mode, palette, Metadata(notes=noted(GEO))))
    assert np.array_equal(tifffile.imread(io.BytesIO(data)), pixels)


def test_palettes_of_other_formats() -> None:
    index = samples(5, 7, 1, 2)[:, :, 0]
    for entries, stored in ((1, 4), (3, 4), (4, 4), (5, 16), (17, 256), (256, 256)):
        palette = Palette(bytes(range(3)) * entries)
        found = read(written(Picture(index, "P", palette))).picture
        assert found.palette is not None
        assert found.palette.data == palette.data.ljust(3 * stored, b"\0")
        assert np.array_equal(found.pixels, index)


# --- hostile files -----------------------------------------------------------------------------------------


def patched(data: bytes, number: int, kind: int, items: int, value: int) -> bytes:
    """Return a little-endian file with another entry for a tag."""
    at = next(
        i for i in range(8, len(data)) if struct.unpack_from("<H", data, i)[0] == number and data[i + 3] == 0
    )
    return data[:at] + struct.pack("<HHII", number, kind, items, value) + data[at + 12 :]


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ((273, 4, 1, 10**9), "the file is cut off"),
        ((273, 4, 1, 0), "the file is cut off"),
        ((273, 4, 2**31, 8), "lie outside the file"),
        ((279, 4, 1, 3), "too few bytes"),
        ((256, 4, 1, 0), "0 x 4"),
        ((256, 5, 1, 8), "expected whole numbers"),
        ((257, 4, 1, 5000), "strips or tiles of 1 sizes, expected 1250"),
        ((277, 3, 1, 0), "0 channels"),
        ((278, 4, 1, 1), "strips or tiles of 1 sizes, expected 4"),
        ((259, 3, 0, 0), "tag 259 is missing"),
        ((258, 3, 2**30, 8), "lie outside the file"),
    ],
)
def test_damaged_entries(entry: tuple[int, int, int, int], text: str) -> None:
    array = samples(4, 5, 1)
    data = build(layout(array), strips=[[array.tobytes()]])
    with pytest.raises(FormatError, match=text):
        read(patched(data, *entry))


def test_missing_sizes_of_plain_strips() -> None:
    array = samples(4, 5, 1)
    data = build(layout(array), strips=[[array.tobytes()]])
    assert np.array_equal(read(patched(data, 279, 4, 1, 0)).picture.pixels, array[:, :, 0])
    assert np.array_equal(read(patched(data, 279, 4, 0, 0)).picture.pixels, array[:, :, 0])
    with pytest.raises(UnsupportedImageError, match="sparse"):
        read(patched(patched(data, 279, 4, 1, 0), 273, 4, 1, 0))


@pytest.mark.parametrize(
    "data",
    [
        b"II*\0",
        b"II*\0\x08\0\0\0",
        b"II*\0\0\0\0\0" + bytes(20),
        b"II*\0\xff\xff\xff\xff" + bytes(20),
        b"II*\0\x08\0\0\0\0\0" + bytes(20),  # no entries
        b"II*\0\x08\0\0\0\xff\xff" + bytes(20),  # 65535 entries
        b"II+\0\x08\0\0\0\x10" + bytes(7) + b"\xff" * 8 + bytes(50),
        b"MM\0+\0\x08\0\0"
        + bytes(7)
        + b"\x10"
        + b"\0\0\0\0\0\x0f\x42\x40"
        + bytes(20 * 10**6),  # 10^6 entries
        b"MM\0*\0\0\0\x08\0\1\1\0\0\4\0\0\0\1\0\0\0\1\0\0\0\x08",  # its own successor
    ],
)
def test_hostile_directories(data: bytes) -> None:
    start = time.perf_counter()
    with pytest.raises(FormatError, match="TIFF"):
        read(data)
    assert time.perf_counter() - start < 2


def test_many_directories() -> None:
    entry = struct.pack("<HHII", 254, 4, 1, 0)
    chain = b"".join(
        struct.pack("<H", 1) + entry + struct.pack("<I", 8 + 18 * (i + 1) if i < 69999 else 0)
        for i in range(70000)
    )
    start = time.perf_counter()
    with pytest.raises(FormatError, match="more than 65536 directories"):
        read(b"II*\0" + struct.pack("<I", 8) + chain)
    assert time.perf_counter() - start < 10


def test_values_and_strips_that_overlap() -> None:
    array = samples(4, 5, 1)
    tags = {number: (BYTE, bytes(4000)) for number in range(65000, 65400)}
    data = bytearray(build(layout(array) | tags, strips=[[array.tobytes()]]))
    first = data.index(struct.pack("<HH", 65000, 1)) + 8
    for number in range(65001, 65400):
        at = data.index(struct.pack("<HH", number, 1)) + 8
        data[at : at + 4] = data[first : first + 4]
    short = bytes(data)
    assert len(read(short).picture.metadata.notes) == 400
    with pytest.raises(FormatError, match="overlap"):
        read(short.replace(struct.pack("<I", 4000), struct.pack("<I", 400000)) + bytes(400000))
    rows = samples(100, 1000, 1)
    strips = [rows.tobytes()[:1000]] * 100
    data = bytearray(build(layout(rows, t278=(LONG, [1])), strips=[strips]))
    assert read(bytes(data)).picture.pixels.shape == (100, 1000)
    starts = struct.unpack_from("<I", data, data.index(struct.pack("<HHI", 273, 4, 100)) + 8)[0]
    struct.pack_into("<100I", data, starts, *([8] * 100))  # the same strip for all rows
    assert np.array_equal(read(bytes(data)).picture.pixels, np.repeat(rows[:1, :, 0], 100, axis=0))


def test_limits() -> None:
    array = samples(40, 50, 1)
    with pytest.raises(LimitError, match="50 x 40"):
        formats.read(io.BytesIO(plain(array)), max_pixels=1999)
    tags = layout(array) | {256: (LONG, [60000]), 257: (LONG, [60000]), 278: (LONG, [60000])}
    for number, strip in ((8, zlib.compress(bytes(100))), (5, lzw(bytes(100))), (32773, b"\x81\0" * 50)):
        with pytest.raises(FormatError, match="cannot hold 60000 x 60000"):
            formats.read(
                io.BytesIO(build(tags | {259: (SHORT, [number])}, strips=[[strip]])), max_pixels=2**33
            )
    tiles = layout(array) | {322: (LONG, [1]), 323: (LONG, [1])}
    with pytest.raises(FormatError, match="tiles of 1 x 1"):
        read(build(tiles, strips=[[b"\0"] * 2000]))
    tiles = layout(array) | {322: (LONG, [2**20]), 323: (LONG, [2**20])}
    with pytest.raises(LimitError, match="tiles of 1048576 x 1048576"):
        read(build(tiles, strips=[[bytes(2000)]]))


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.filterwarnings("ignore::bbcodec.LeftOutWarning")
def test_damage_is_found_in_silence(compression: int, capfd: pytest.CaptureFixture[str]) -> None:
    array = samples(8, 9, 3)
    strips = [COMPRESSIONS[compression](packed(array[y : y + 3], 8)) for y in (0, 3, 6)]
    tags = layout(array, t259=(SHORT, [compression]), t278=(LONG, [3])) | {
        270: (ASCII, b"text\0"),
        34665: (LONG, Below({36864: (UNDEFINED, b"0232")})),
    }
    data = build(tags, strips=[strips])
    for size in range(len(data)):
        with pytest.raises(BBCodecError):
            read(data[:size])
    for at in range(len(data)):
        for bit in (1, 0x40):
            with contextlib.suppress(BBCodecError):
                read_image(io.BytesIO(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :]), max_pixels=2**20)
    assert capfd.readouterr() == ("", "")


def test_files_of_pillow() -> None:
    """What Pillow writes is read as before."""
    info = TiffImagePlugin.ImageFileDirectory_v2()
    info[305] = "soft"
    for mode in ("1", "L", "LA", "RGB", "RGBA", "P", "I;16"):
        image = Image.effect_mandelbrot((30, 20), (-2, -1, 1, 1), 40).convert(mode)
        out = io.BytesIO()
        image.save(out, "TIFF", dpi=(300, 300), tiffinfo=info)
        picture = read(out.getvalue()).picture
        assert np.array_equal(picture.pixels, np.asarray(image))
        assert picture.metadata.dpi == (300.0, 300.0)
        check_round_trips(picture)
