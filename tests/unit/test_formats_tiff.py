# SPDX-License-Identifier: Apache-2.0
"""Samples of TIFF files: every one is kept, or the file is refused by name."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from image_files import CASES, needs_cases
from PIL import ExifTags, Image, features
from tiff_files import (
    ASCII,
    BYTE,
    COMPRESSIONS,
    IFD,
    LONG,
    SHORT,
    Below,
    Tags,
    again,
    build,
    check_round_trips,
    layout,
    lzw,
    packed,
    plain,
    read,
    samples,
    written,
)

from bbcodec.errors import FormatError, LeftOutWarning, UnsupportedImageError
from bbcodec.picture import formats
from bbcodec.picture.files import left_out, read_image
from bbcodec.picture.formats.tiff import codecs
from bbcodec.picture.formats.tiff import samples as samples_of_tiff
from bbcodec.picture.formats.tiff.fax import fax_rows
from bbcodec.picture.metadata import Metadata, Note
from bbcodec.picture.picture import Palette, Picture

needs_libtiff = pytest.mark.skipif(not features.check("libtiff"), reason="this Pillow has no libtiff")

# --- the files of the issue --------------------------------------------------------------------------------


@needs_cases
@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("assoc_legit.tif", "RGBA"),
        ("t_miniswhite16.tif", "I;16"),
        ("t_orient6.tif", "RGB"),
        ("t_rgb16.tif", "RGB;16"),
        ("t_imagej.tif", "I;16"),
    ],
)
def test_cases_that_are_kept(name: str, mode: str) -> None:
    data = (CASES / name).read_bytes()
    found = read(data)
    picture = found.picture
    assert (picture.mode, found.left_out, found.lossy) == (mode, (), False)
    start, size = struct.unpack_from("<I", data, data.index(struct.pack("<HHI", 273, 4, 1)) + 8)[0], 0
    size = picture.pixels.nbytes
    stored = np.frombuffer(
        data, picture.pixels.dtype.newbyteorder("<"), size // picture.pixels.itemsize, start
    )
    assert np.array_equal(picture.pixels, stored.reshape(picture.pixels.shape))
    second = again(data)
    assert second is not None
    assert second.same(picture)
    check_round_trips(picture)
    assert picture.has_associated_alpha == (name == "assoc_legit.tif")
    assert picture.white_is_zero == (name == "t_miniswhite16.tif")
    expected = "tif" if picture.has_associated_alpha or picture.white_is_zero else "png"
    assert formats.default_format(picture.mode, picture.metadata) == expected


@needs_cases
def test_orientation_of_the_case() -> None:
    picture = read_image(CASES / "t_orient6.tif")
    exif = Image.Exif()
    exif.load(picture.metadata.exif)
    assert picture.size == (32, 24)
    assert exif[ExifTags.Base.Orientation] == 6
    assert Image.open(io.BytesIO(written(picture))).tag_v2[274] == 6  # type: ignore[attr-defined]


@needs_cases
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t_rgbx_unspec.tif", "the last is not called alpha"),
        ("t_int8.tif", "8-bit signed integer samples"),
        ("t_5band.tif", "5 channels are not supported; load it with tifffile"),
        ("t_float32.tif", "32-bit float samples"),
        ("t_multipage.tif", "multi-page file of 2 pictures is not supported; split it"),
    ],
)
def test_cases_that_are_refused(name: str, text: str) -> None:
    with pytest.raises(UnsupportedImageError, match=text):
        read_image(CASES / name)


# --- samples -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", ["strips", "tiles", "planes", "planar tiles"])
@pytest.mark.parametrize("compression", [1, 5, 8, 32946, 32773, 34925])
def test_samples(compression: int, shape: str, channels: int, bits: int, order: str) -> None:
    array = samples(37, 45, channels, bits)
    predictor = 2 if compression in (5, 8, 34925) else 1
    tags = layout(array, bits) | {259: (SHORT, [compression]), 317: (SHORT, [predictor])}
    planes = [array[:, :, [c]] for c in range(channels)] if "plan" in shape else [array]
    parts = []
    for plane in planes:
        if "tiles" in shape:
            padded = np.pad(plane, ((0, 11), (0, 3), (0, 0)), mode="edge")
            parts += [padded[y : y + 16, x : x + 16] for y in range(0, 48, 16) for x in range(0, 48, 16)]
        else:
            parts += [plane[y : y + 11] for y in range(0, 37, 11)]
    tags |= {284: (SHORT, [2 if "plan" in shape else 1])}
    tags |= {322: (LONG, [16]), 323: (LONG, [16])} if "tiles" in shape else {278: (LONG, [11])}
    strips = []
    for part in parts:
        moved = part.copy()
        if predictor == 2:
            moved[:, 1:] -= part[:, :-1]
        strips.append(COMPRESSIONS[compression](packed(moved, bits, order)))
    for big in (False, True):
        data = build(tags, order=order, big=big, strips=[strips])
        found = read(data)
        assert np.array_equal(found.picture.pixels.reshape(array.shape), array)
        second = again(data)
        assert second is not None
        assert second.same(found.picture)
    check_round_trips(found.picture, with_bb=False)


@pytest.mark.parametrize("tiled", [False, True])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("fill_order", [1, 2])
def test_few_bits(bits: int, photometric: int, tiled: bool, fill_order: int) -> None:
    array = samples(19, 23, 1, bits)
    tags = layout(array, bits, photometric, t266=(SHORT, [fill_order]))
    parts = [array]
    if tiled:
        tags |= {322: (LONG, [16]), 323: (LONG, [16])}
        padded = np.pad(array, ((0, 13), (0, 9), (0, 0)))
        parts = [padded[y : y + 16, x : x + 16] for y in (0, 16) for x in (0, 16)]
    strips = [packed(part, bits) for part in parts]
    if fill_order == 2:
        strips = [bytes(int(f"{b:08b}"[::-1], 2) for b in strip) for strip in strips]
    data = build(tags, strips=[strips])
    picture = read(data).picture
    flat = array[:, :, 0]
    assert np.array_equal(picture.pixels, flat != 0 if bits == 1 else flat * (255 // ((1 << bits) - 1)))
    assert picture.mode == ("1" if bits == 1 else "L")
    assert picture.metadata.note("tiff", "258/3") == (None if bits == 1 else struct.pack("<H", bits))
    assert picture.white_is_zero == (photometric == 0)
    second = again(data)
    assert second is None or second.same(picture)
    assert second is not None or tiled or fill_order == 2
    check_round_trips(picture)
    stored = Image.open(io.BytesIO(written(picture)))
    assert stored.tag_v2[258] == (bits,)  # type: ignore[attr-defined]


def test_the_depth_of_a_png_goes_into_a_tiff() -> None:
    picture = Picture(
        samples(5, 7, 1, 4)[:, :, 0] * 17, "L", metadata=Metadata(notes=(Note("png", "depth", b"\4"),))
    )
    assert read(written(picture)).picture.metadata.note("tiff", "258/3") == b"\4\0"
    assert left_out(read(written(picture)).picture, "bmp") == ["bits a sample"]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("exact", [True, False])
def test_palettes(bits: int, exact: bool) -> None:
    array = samples(9, 13, 1, bits)
    high = np.random.default_rng(bits).integers(0, 256, (3, 1 << bits))
    colours = high * 257 if exact else high * 256 + (255 - high // 2)
    data = plain(array, bits, 3, t320=(SHORT, colours.reshape(-1).tolist()))
    picture = read(data).picture
    assert (picture.mode, np.array_equal(picture.pixels, array[:, :, 0])) == ("P", True)
    assert picture.palette == Palette(high.T.astype(np.uint8).tobytes())
    assert (picture.metadata.note("tiff", "320/3") is None) == exact
    assert formats.default_format(picture.mode, picture.metadata) == ("png" if exact else "tif")
    second = again(data)
    assert second is not None
    assert second.same(picture)
    check_round_trips(picture)
    stored = Image.open(io.BytesIO(written(picture))).tag_v2[320]  # type: ignore[attr-defined]
    assert stored == tuple(colours.reshape(-1).tolist())
    other = replace(picture, palette=Palette(bytes(3 << bits)))
    assert read(written(other)).picture.palette == other.palette


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("bits", [8, 16])
def test_associated_alpha(channels: int, bits: int) -> None:
    array = samples(6, 5, channels, bits)
    picture = read(plain(array, bits, t338=(SHORT, [1]))).picture
    assert np.array_equal(picture.pixels, array)
    assert picture.has_associated_alpha
    assert formats.default_format(picture.mode, picture.metadata) == "tif"
    check_round_trips(picture)
    with pytest.raises(UnsupportedImageError, match="PNG has straight alpha only; write a TIFF"):
        written(picture, "png")
    straight = read(plain(array, bits)).picture
    assert not straight.has_associated_alpha
    assert formats.default_format(straight.mode, straight.metadata) == "png"


@pytest.mark.parametrize(("bits", "mode"), [(1, "1"), (8, "L"), (16, "I;16")])
def test_white_is_zero(bits: int, mode: str) -> None:
    array = samples(6, 5, 1, bits)
    picture = read(plain(array, bits, 0)).picture
    assert picture.mode == mode
    assert np.array_equal(picture.pixels, array[:, :, 0] != 0 if bits == 1 else array[:, :, 0])
    assert picture.metadata.notes[0] == Note("tiff", "262/3", b"\0\0")
    check_round_trips(picture)
    for format in ("png", "bmp", "ppm") if bits < 16 else ("png", "ppm"):
        with pytest.raises(
            UnsupportedImageError, match=r"cannot say that 0 is white; write a TIFF \(\.tif\)"
        ):
            written(picture, format)
    shown = np.asarray(picture.to_pil())
    assert np.array_equal(shown, picture.pixels if bits == 16 else ~picture.pixels)


@pytest.mark.parametrize("value", range(1, 9))
def test_orientation_stays_a_tag(value: int) -> None:
    array = samples(6, 5, 3)
    data = plain(array, t274=(SHORT, [value]))
    picture = read(data).picture
    assert np.array_equal(picture.pixels, array)
    exif = Image.Exif()
    exif.load(picture.metadata.exif)
    assert exif[ExifTags.Base.Orientation] == value
    second = again(data)
    assert second is not None
    assert second.same(picture)
    check_round_trips(picture)


@needs_libtiff
@pytest.mark.parametrize("name", ["group3", "group4", "tiff_ccitt"])
@pytest.mark.parametrize("info", [{}, {292: 1}, {266: 2}])
@pytest.mark.parametrize("density", [0.0, 0.01, 0.3, 1.0])
def test_facsimile(name: str, info: dict[int, int], density: float) -> None:
    for width in (1, 31, 200, 2700, 5300):
        bits = np.random.default_rng(width).random((9, width)) < density
        out = io.BytesIO()
        Image.fromarray(bits).save(out, "TIFF", compression=name, tiffinfo={262: 0, **info})
        data = out.getvalue()
        picture = read(data).picture
        assert picture.white_is_zero
        assert np.array_equal(picture.pixels, ~bits)
        second = again(data)
        assert second is not None
        assert second.same(picture)


def test_damaged_facsimile() -> None:
    for scheme, options in ((2, 0), (3, 0), (3, 1), (4, 0)):
        for data in (b"", b"\0" * 9, bytes(range(40)), bytes(range(200, 240))):
            with pytest.raises(FormatError, match="facsimile data are damaged"):
                fax_rows(data, 8, 3000, scheme=scheme, options=options)
    with pytest.raises(UnsupportedImageError, match="uncompressed mode"):
        fax_rows(b"\x03\xc0", 1, 8, scheme=4)


def test_lzw_without_libtiff(monkeypatch: pytest.MonkeyPatch) -> None:
    data = samples(90, 100, 3).tobytes() + bytes(5000)
    stream = lzw(data)
    assert codecs.lzw(stream, len(data)) == data
    codecs.check_lzw(stream, len(data))
    for size in (len(data) + 1, 10 * len(data)):
        for call in (codecs.lzw, codecs.check_lzw):
            with pytest.raises(FormatError, match="too early"):
                call(stream, size)
    for call in (codecs.lzw, codecs.check_lzw):
        with pytest.raises(FormatError, match="before its entry"):
            call(int(f"{256:09b}{65:09b}{300:09b}00000", 2).to_bytes(4, "big"), 9)
        with pytest.raises(UnsupportedImageError, match="1988"):
            call(b"\0\x01\x04", 9)
    monkeypatch.setattr(samples_of_tiff, "has_libtiff", lambda: False)
    array = samples(8, 9, 3)
    tags = layout(array, t259=(SHORT, [5]))
    assert np.array_equal(read(build(tags, strips=[[lzw(array.tobytes())]])).picture.pixels, array)


@needs_libtiff
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_strips(channels: int) -> None:
    array = samples(40, 50, channels)
    image = Image.fromarray(array[:, :, 0] if channels == 1 else array)
    out = io.BytesIO()
    image.save(out, "TIFF", compression="jpeg", quality=90)
    found = read(out.getvalue())
    assert found.lossy
    assert found.picture.mode == image.mode
    assert np.array_equal(found.picture.pixels, np.asarray(Image.open(io.BytesIO(out.getvalue()))))
    assert again(out.getvalue()) is None
    check_round_trips(found.picture)


@needs_libtiff
def test_zstd_strips() -> None:
    out = io.BytesIO()
    array = samples(40, 50, 3)
    try:
        Image.fromarray(array).save(out, "TIFF", compression="zstd")
    except OSError:
        pytest.skip("this Pillow has no ZSTD")
    assert np.array_equal(read(out.getvalue()).picture.pixels, array)
    at = out.getvalue().index(b"\x28\xb5\x2f\xfd")
    with pytest.raises(FormatError):
        read(out.getvalue()[:at] + bytes(30) + out.getvalue()[at + 30 :])


@pytest.mark.skipif(not features.check("webp"), reason="this Pillow has no WebP")
@pytest.mark.parametrize("lossless", [True, False])
def test_webp_tiles(lossless: bool) -> None:
    array = samples(16, 16, 4)
    array[..., 3] = 255
    out = io.BytesIO()
    Image.fromarray(array).save(out, "WEBP", lossless=lossless, exact=True)
    tags = layout(array, t259=(SHORT, [50001]), t322=(LONG, [16]), t323=(LONG, [16]))
    found = read(build(tags, strips=[[out.getvalue()]]))
    assert found.lossy == (not lossless)
    assert np.array_equal(found.picture.pixels, array) == lossless


# --- what is refused ---------------------------------------------------------------------------------------


def _with(channels: int = 1, bits: int = 8, photometric: int | None = None, **more: tuple[int, Any]) -> bytes:
    return plain(
        samples(4, 5, channels, min(bits, 16)), bits if bits in (1, 2, 4, 8, 16) else 8, photometric, **more
    )


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (_with(4, t338=(SHORT, [0])), "4 channels are not supported where the last is not called alpha"),
        (_with(2, t338=(SHORT, [0])), "2 channels are not supported where"),
        (_with(5, t338=(SHORT, [2, 0])), "5 channels are not supported; load it with tifffile"),
        (_with(t339=(SHORT, [2])), "8-bit signed integer samples"),
        (_with(1, 16, t339=(SHORT, [2])), "16-bit signed integer samples"),
        (_with(1, 16, t339=(SHORT, [3])), "16-bit float samples"),
        (_with(1, 16, t339=(SHORT, [5])), "16-bit complex integer samples"),
        (_with(t258=(SHORT, [12])), "12-bit samples of 1 channel are not supported"),
        (_with(t258=(SHORT, [32])), "32-bit samples of 1 channel"),
        (_with(3, t258=(SHORT, [5, 6, 5])), r"bits a sample of \[5, 6, 5\]"),
        (_with(3, t258=(SHORT, [4, 4, 4])), "4-bit samples of 3 channels"),
        (_with(4, 8, 5), "CMYK"),
        (_with(3, 8, 8), "CIELab"),
        (_with(3, 8, 6), "YCbCr"),
        (_with(3, 8, 32845), "LogLuv"),
        (_with(1, 1, 4), "transparency mask"),
        (_with(1, 8, 77), "photometric interpretation 77"),
        (_with(1, 8, 32803), "raw camera file"),
        (_with(3, 8, 34892), "raw camera file"),
        (_with(t50706=(BYTE, [1, 4, 0, 0])), "raw camera file"),
        (_with(t33422=(BYTE, [0, 1, 1, 2])), "raw camera file"),
        (_with(t259=(SHORT, [6])), "old JPEG"),
        (_with(t259=(SHORT, [34712])), "JPEG 2000"),
        (_with(t259=(SHORT, [9999])), "of number 9999"),
        (_with(t317=(SHORT, [2])), "predictor 2 with compression 1"),
        (_with(t259=(SHORT, [8]), t317=(SHORT, [7])), "predictor 7"),
        (_with(t32997=(LONG, [4])), "a volume of 4 planes"),
        (_with(t270=(ASCII, b"ImageJ=1.53\nimages=7\nslices=7\n\0")), "stack of several pictures"),
        (_with(t270=(ASCII, b'{"shape": [5, 4, 5], "truncated": true}\0')), "stack of several pictures"),
    ],
)
def test_refused_by_name(data: bytes, text: str) -> None:
    with pytest.raises(UnsupportedImageError, match=text):
        read(data)


def test_predictor_of_floats() -> None:
    with pytest.raises(FormatError, match=r"predictor 3 \(floats\) for whole numbers"):
        read(_with(t259=(SHORT, [8]), t317=(SHORT, [3])))
    with pytest.raises(UnsupportedImageError, match="16-bit float"):
        read(_with(1, 16, t259=(SHORT, [8]), t317=(SHORT, [3]), t339=(SHORT, [3])))


def test_a_single_picture_of_imagej_is_read() -> None:
    text = b"ImageJ=1.53\nimages=1\n\0"
    picture = read(_with(t270=(ASCII, text))).picture
    check_round_trips(picture)
    assert Image.open(io.BytesIO(written(picture))).tag_v2[270].encode() + b"\0" == text  # type: ignore[attr-defined]


def test_several_pages() -> None:
    page = layout(samples(4, 5, 1))
    strips = [[bytes(20)]] * 3
    with pytest.raises(UnsupportedImageError, match=r"multi-page file of 3 pictures.*split it"):
        read(build(page, page, page, strips=strips))
    reduced, mask = page | {254: (LONG, [1])}, page | {254: (LONG, [4])}
    found = read(build(page, reduced, mask, strips=strips))
    assert found.left_out == ("a reduced copy", "a transparency mask")
    assert found.picture.metadata.notes == ()
    assert read(build(page, reduced, reduced, strips=strips)).left_out == ("2 reduced copies",)
    old = page | {255: (SHORT, [2])}
    assert read(build(old, page, strips=strips)).left_out == ("a reduced copy",)
    with pytest.raises(UnsupportedImageError, match="multi-page file of 2"):
        read(build(page, reduced, page, strips=strips))
    assert read(build(reduced, strips=strips)).picture.metadata.note("tiff", "254/4") == b"\1\0\0\0"
    with pytest.warns(LeftOutWarning, match="left out: a reduced copy"):
        read_image(io.BytesIO(build(page, reduced, strips=strips)))


def test_sub_directories() -> None:
    array = samples(4, 5, 1)
    small: Tags = {256: (LONG, [2]), 257: (LONG, [2]), 262: (SHORT, [1]), 254: (LONG, [1])}
    for kind in (LONG, IFD):
        found = read(plain(array, t330=(kind, Below(small, small))))
        assert found.left_out == ("2 reduced copies",)
        assert found.picture.metadata.notes == ()
    large = small | {254: (LONG, [0])}
    assert read(plain(array, t330=(LONG, Below(large)))).left_out == ("a further picture (SubIFD)",)
    with pytest.raises(UnsupportedImageError, match="raw camera file"):
        read(plain(array, t330=(LONG, Below(small, large | {262: (SHORT, [32803])}))))
    assert read(plain(array, t330=(LONG, [0]))).left_out == ()
