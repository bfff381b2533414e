# SPDX-License-Identifier: Apache-2.0
"""Pictures, Pillow images and image files: kept exactly or refused by name."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

import bbcodec
from bbcodec.errors import BBCodecError, FormatError, LimitError, OptionError, UnsupportedImageError
from bbcodec.picture import raster
from bbcodec.picture.files import left_out, read_image, write_image
from bbcodec.picture.formats import png
from bbcodec.picture.formats.png import samples
from bbcodec.picture.formats.png.chunks import parse
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import MODES, Palette, Picture, digest

PIL_MODES = ("1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I;16B")
DEEP_MODES = ("LA;16", "RGB;16", "RGBA;16")


def pixels(mode: str, height: int = 7, width: int = 11, seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    info = MODES[mode]
    top = {"bool": 2, "uint8": 256, "uint16": 65536}[info.dtype]
    return rng.integers(0, top, info.shape(height, width)).astype(info.dtype)


def exif_block() -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "maker"
    return exif.tobytes()


def full_metadata(text: bool = True) -> Metadata:
    return Metadata(
        icc=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        exif=exif_block(),
        xmp=b"<x:xmpmeta>\xc3\xa4</x:xmpmeta>",
        dpi=(300.0, 150.0),
        text=(("Title", "a picture"), ("Comment", "\u4e2d")) if text else (),
    )


def picture(mode: str, metadata: Metadata | None = None) -> Picture:
    palette = Palette(np.random.default_rng(1).bytes(768)) if mode == "P" else None
    return Picture(pixels(mode), mode, palette, metadata or Metadata())


def written(image: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, **options)
    return out.getvalue()


@pytest.mark.parametrize("mode", PIL_MODES)
def test_pillow_round_trip(mode: str) -> None:
    source = picture(mode, full_metadata())
    image = source.to_pil()
    assert image.mode == mode
    again = Picture.of(image)
    assert again.same(source)
    assert digest(again) == digest(source)
    assert again.metadata.icc == source.metadata.icc
    assert again.metadata.dpi == source.metadata.dpi


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 5)])
@pytest.mark.parametrize("mode", PIL_MODES)
def test_small_pillow_images(mode: str, size: tuple[int, int]) -> None:
    palette = Palette(bytes(range(12))) if mode == "P" else None
    source = Picture(pixels(mode, *size), mode, palette)
    assert Picture.of(source.to_pil()).same(source)


@pytest.mark.parametrize(
    ("shape", "dtype", "mode"),
    [
        ((4, 5), "bool", "1"),
        ((4, 5, 1), "bool", "1"),
        ((4, 5), "uint8", "L"),
        ((4, 5, 1), "uint8", "L"),
        ((4, 5, 2), "uint8", "LA"),
        ((4, 5, 3), "uint8", "RGB"),
        ((4, 5, 4), "uint8", "RGBA"),
        ((4, 5), "uint16", "I;16"),
        ((4, 5, 2), "uint16", "LA;16"),
        ((4, 5, 3), "uint16", "RGB;16"),
        ((4, 5, 4), "uint16", "RGBA;16"),
        ((4, 5, 3), ">u2", "RGB;16"),
    ],
)
def test_arrays(shape: tuple[int, ...], dtype: str, mode: str) -> None:
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    found = Picture.of(array[::-1, ::-1][::-1, ::-1])
    assert found.mode == mode
    assert found.array.shape == shape
    assert found.array.dtype.isnative
    assert np.array_equal(found.array, array)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.int32),
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2, 5), np.uint8),
        np.zeros((2, 2, 3), bool),
        np.zeros((0, 2), np.uint8),
        np.zeros(3, np.uint8),
        np.zeros((2, 2, 2, 2), np.uint8),
    ],
)
def test_arrays_refused(array: NDArray[Any]) -> None:
    with pytest.raises(UnsupportedImageError, match="expected uint8 or uint16"):
        Picture.of(array)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "HSV", "I", "F", "PA", "La", "RGBa", "RGBX"])
def test_modes_refused_by_name(mode: str) -> None:
    with pytest.raises(UnsupportedImageError, match=f"mode {mode}"):
        Picture.of(Image.new(mode, (2, 2)))


def test_other_things_refused() -> None:
    with pytest.raises(UnsupportedImageError, match="image is list"):
        Picture.of([[1, 2]])  # type: ignore[arg-type]
    with pytest.raises(UnsupportedImageError, match="0 x 3"):
        Picture.of(Image.new("L", (0, 3)))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_animations_and_pages_refused(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), c) for c in ("red", "green", "blue")]
    data = written(frames[0], format=kind, save_all=True, append_images=frames[1:])
    with pytest.raises(UnsupportedImageError, match=f"{kind} (animation|multi-page file) of 3"):
        read_image(io.BytesIO(data))


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        *((".png", mode) for mode in MODES),
        *((".webp", mode) for mode in ("RGB", "RGBA")),
        *((".tif", mode) for mode in MODES),
        *((".bmp", mode) for mode in ("1", "L", "P", "RGB")),
        *((".ppm", mode) for mode in ("1", "L", "RGB")),
    ],
)
def test_files_round_trip(suffix: str, mode: str, tmp_path: Path) -> None:
    source = picture(mode)
    path = tmp_path / f"picture{suffix}"
    write_image(path, source)
    found = read_image(path)
    if mode == "I;16B" and found.mode == "I;16":  # the byte order of a file is not a property of its pixels
        assert np.array_equal(found.pixels, source.pixels)
    else:
        assert found.same(source)


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".webp", "L"), (".bmp", "RGBA"), (".ppm", "P"), (".bmp", "RGB;16")]
)
def test_files_that_cannot_hold_the_mode(suffix: str, mode: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedImageError, match=f"mode {mode}"):
        write_image(tmp_path / f"picture{suffix}", picture(mode))
    assert not list(tmp_path.iterdir())


def test_unknown_suffix(tmp_path: Path) -> None:
    for name in ("picture.jpg", "picture"):
        with pytest.raises(OptionError, match="cannot write"):
            write_image(tmp_path / name, picture("L"))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "I;16", "LA;16", "RGB;16", "RGBA;16"])
def test_png_metadata(mode: str) -> None:
    source = picture(mode, full_metadata())
    out = io.BytesIO()
    write_image(out, source)
    found = read_image(io.BytesIO(out.getvalue()))
    assert found.same(source)
    assert found.metadata.icc == source.metadata.icc
    assert found.metadata.xmp == source.metadata.xmp
    assert found.metadata.text == source.metadata.text
    assert found.metadata.dpi == pytest.approx(source.metadata.dpi, abs=0.02)  # PNG counts dots per metre
    exif = Image.Exif()
    exif.load(found.metadata.exif)
    assert exif[ExifTags.Base.Orientation] == 6


@pytest.mark.parametrize("suffix", ["webp", "tif"])
def test_webp_and_tiff_metadata(suffix: str) -> None:
    source = picture("RGB", full_metadata(text=False))
    out = io.BytesIO()
    write_image(out, source, format=suffix)
    found = read_image(io.BytesIO(out.getvalue()))
    assert found.metadata.icc == source.metadata.icc
    assert found.metadata.xmp == source.metadata.xmp
    exif = Image.Exif()
    exif.load(found.metadata.exif)
    assert exif[ExifTags.Base.Make] == "maker"
    assert found.same(source)
    assert exif[ExifTags.Base.Orientation] == 6


def test_jpeg_pixels_and_metadata() -> None:
    data = written(
        Image.effect_mandelbrot((40, 30), (-2, -1, 1, 1), 40), format="JPEG", exif=exif_block(), dpi=(72, 72)
    )
    found = read_image(io.BytesIO(data))
    assert found.mode == "L"
    assert np.array_equal(found.pixels, np.asarray(Image.open(io.BytesIO(data))))
    assert found.metadata.dpi == (72.0, 72.0)
    assert found.metadata.exif is not None


@pytest.mark.parametrize("transparency", [None, 3, bytes([0, 128, 255])])
@pytest.mark.parametrize("entries", [1, 5, 256])
def test_palette_files(transparency: int | bytes | None, entries: int) -> None:
    palette = Palette(np.random.default_rng(2).bytes(3 * entries), "RGB", transparency)
    source = Picture((pixels("P") % np.uint16(entries)).astype(np.uint8), "P", palette)
    out = io.BytesIO()
    write_image(out, source)
    found = read_image(io.BytesIO(out.getvalue()))
    assert np.array_equal(found.pixels, source.pixels)
    assert found.palette is not None
    assert found.palette.data[: 3 * entries] == palette.data
    assert Picture.of(source.to_pil()).same(source)


def test_rgba_palette() -> None:
    palette = Palette(np.random.default_rng(3).bytes(64), "RGBA")
    source = Picture(pixels("P") % 16, "P", palette)
    assert Picture.of(source.to_pil()).same(source)
    out = io.BytesIO()
    write_image(out, source)
    shown = Image.open(io.BytesIO(out.getvalue())).convert("RGBA")
    assert np.array_equal(
        np.asarray(shown), np.frombuffer(palette.data, np.uint8).reshape(-1, 4)[source.pixels]
    )
    with pytest.raises(UnsupportedImageError, match="palette with alpha"):
        write_image(io.BytesIO(), source, format="tif")


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (1, 2, 3)), ("RGB;16", (1, 2, 50000))])
def test_colour_key(mode: str, key: Any) -> None:
    source = picture(mode, Metadata(colour_key=key))
    out = io.BytesIO()
    write_image(out, source)
    found = read_image(io.BytesIO(out.getvalue()))
    assert found.same(source)
    assert found.metadata.colour_key == key


# --- 16-bit PNG -------------------------------------------------------------------------------------------


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("mode", DEEP_MODES)
def test_deep_png_is_never_reduced_in_silence(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    write_image(path, picture(mode))
    with Image.open(path) as image:
        with pytest.raises(UnsupportedImageError, match="16 bits a sample"):
            Picture.of(image)
        image.load()
        with pytest.raises(UnsupportedImageError, match="16 bits a sample"):
            Picture.of(image)
    with pytest.raises(UnsupportedImageError, match="no such image"):
        picture(mode).to_pil()


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (3, 2), (33, 47)])
@pytest.mark.parametrize("mode", DEEP_MODES)
def test_deep_png_against_pypng(mode: str, size: tuple[int, int], interlace: bool) -> None:
    pypng = pytest.importorskip("png", reason="pypng is not installed")
    array = pixels(mode, *size)
    channels = array.shape[2]
    writer = pypng.Writer(
        size[1], size[0], greyscale=channels == 2, alpha=channels != 3, bitdepth=16, interlace=interlace
    )
    out = io.BytesIO()
    rows = array.reshape(size[0], -1)
    writer.write_array(out, rows.ravel().tolist()) if interlace else writer.write(out, rows.tolist())
    assert np.array_equal(read_image(io.BytesIO(out.getvalue())).pixels, array)
    again = pypng.Reader(bytes=b"".join(png.write(Picture(array, mode)))).asDirect()
    assert again[3]["bitdepth"] == 16
    assert np.array_equal(np.array([list(row) for row in again[2]], np.uint16).reshape(array.shape), array)


@pytest.mark.parametrize("rows", [256, 4])
@pytest.mark.parametrize("filters", [(0,), (1, 2), (3,), (4,), (0, 1, 2, 3, 4)])
def test_deep_png_filters(filters: tuple[int, ...], rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All filters, undone the slow way of the PNG specification."""
    monkeypatch.setattr(raster, "_BAND_PIXELS", 1)
    monkeypatch.setattr(raster, "_MIN_DEEP_BAND_ROWS", rows)
    rng = np.random.default_rng(5)
    height, width, size = 13, 9, 6
    lines = rng.integers(0, 256, (height, width, size)).astype(np.uint8)
    kinds = np.array([filters[i % len(filters)] for i in range(height)], np.uint8)
    expected = np.zeros((height + 1, width + 1, size), int)
    for y in range(height):
        for x in range(width):
            a, b, c = expected[y + 1, x], expected[y, x + 1], expected[y, x]
            p = a + b - c
            near = [
                min((abs(q - v), i) for i, v in enumerate((i0, i1, i2)))[1]
                for i0, i1, i2, q in zip(a, b, c, p, strict=True)
            ]
            paeth = np.array([(i0, i1, i2)[i] for i0, i1, i2, i in zip(a, b, c, near, strict=True)])
            predicted = [np.zeros(size, int), a, b, (a + b) // 2, paeth][kinds[y]]
            expected[y + 1, x + 1] = (lines[y, x] + predicted) % 256
    raw = np.concatenate([kinds[:, None], lines.reshape(height, -1)], axis=1).tobytes()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    layout = parse(data)
    found = samples.decode(layout.header, layout.pixels)
    assert np.array_equal(found, expected[1:, 1:].astype(np.uint8).view(">u2"))


@pytest.mark.parametrize("mode", [*MODES])
def test_bands_change_nothing(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = picture(mode)
    whole, cut = io.BytesIO(), io.BytesIO()
    assert write_image(whole, source) == len(whole.getvalue())
    monkeypatch.setattr(raster, "_BAND_PIXELS", 20)
    write_image(cut, source)
    for file in (whole, cut):
        found = read_image(io.BytesIO(file.getvalue()))
        assert found.same(source) or mode == "I;16B"
        assert np.array_equal(found.pixels, source.pixels)
    other = source.pixels.copy()
    other[-1, -1] = ~other[-1, -1]
    assert not source.same_pixels(Picture(other, mode, source.palette))


def test_a_path_keeps_its_file_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "kept.bmp"
    path.write_bytes(b"old")
    with pytest.raises(UnsupportedImageError):
        write_image(path, picture("LA"))
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.filterwarnings("ignore::bbcodec.LeftOutWarning")
@pytest.mark.parametrize("form", ["GIF", "TIFF", "PCX", "TGA"])
def test_damaged_files_of_other_formats(form: str) -> None:
    """Readers look for further pictures when asked for their number: that may meet damage, and warn of it."""
    data = written(Image.fromarray(pixels("RGB", 5, 6)), format=form)
    changed = [data[:size] for size in range(len(data))]
    changed += [data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :] for at in range(len(data))]
    errors = 0
    for damaged in changed:
        try:
            assert read_image(io.BytesIO(damaged), max_pixels=1 << 20).pixels.size
        except BBCodecError:
            errors += 1
    assert errors > len(data) // 4


def test_damaged_deep_png() -> None:
    data = b"".join(png.write(Picture(pixels("RGB;16"), "RGB;16")))
    for size in range(33, len(data), 7):
        with pytest.raises(FormatError):
            read_image(io.BytesIO(data[:size]))
    at = data.index(b"IDAT") + 20
    with pytest.raises(FormatError):
        read_image(io.BytesIO(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]))
    huge = data[:16] + struct.pack(">II", 30000, 30000) + data[24:29]
    huge += struct.pack(">I", zlib.crc32(huge[12:29])) + data[33:]
    with pytest.raises(FormatError, match="cannot hold 30000 x 30000"):
        read_image(io.BytesIO(huge))


# --- other files ------------------------------------------------------------------------------------------


def test_deep_colour_tiff() -> None:
    entries = [
        (256, 3, 1, 1),
        (257, 3, 1, 1),
        (258, 3, 3, 134),
        (262, 3, 1, 2),
        (273, 4, 1, 140),
        (277, 3, 1, 3),
    ]
    entries += [(278, 3, 1, 1), (279, 4, 1, 6)]
    ifd = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries) + bytes(4)
    data = b"II*\0" + struct.pack("<I", 8) + ifd
    data = data.ljust(134, b"\0") + struct.pack("<3H", 16, 16, 16) + struct.pack("<3H", 1, 256, 65535)
    assert read_image(io.BytesIO(data)).same(Picture(np.array([[[1, 256, 65535]]], np.uint16), "RGB;16"))
    with pytest.raises(UnsupportedImageError, match="16 bits a sample"):
        Picture.of(Image.open(io.BytesIO(data)))


def test_formats_with_lossy_readers_are_refused() -> None:
    if "jpg_2000" not in __import__("PIL.features", fromlist=["features"]).get_supported_codecs():
        pytest.skip("this Pillow has no JPEG 2000")
    with pytest.raises(UnsupportedImageError, match="JPEG 2000"):
        read_image(io.BytesIO(written(Image.new("RGB", (4, 4)), format="JPEG2000")))


def test_not_an_image(tmp_path: Path) -> None:
    path = tmp_path / "no.png"
    path.write_bytes(b"not an image at all")
    with pytest.raises(FormatError, match=r"no\.png: not an image"):
        read_image(path)
    path.write_bytes(written(Image.new("RGB", (64, 64)), format="PNG")[:60])
    with pytest.raises(FormatError, match=r"no\.png"):
        read_image(path)
    with pytest.raises(OSError, match="No such file"):
        read_image(tmp_path / "missing.png")


def test_pixel_limit_and_no_bomb_warning() -> None:
    keep = Image.MAX_IMAGE_PIXELS
    data = written(Image.new("1", (20000, 10000)), format="PNG")  # Pillow alone refuses 200 megapixels
    with pytest.raises(LimitError, match="20000 x 10000"):
        read_image(io.BytesIO(data), max_pixels=10**8)
    assert read_image(io.BytesIO(data)).size == (20000, 10000)
    assert keep == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_png_of_few_bits(bits: int) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 1, bits, 0, 0, 0, 0))
    body = zlib.compress(b"\0" + bytes([0b00011011] * bits))
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    found = read_image(io.BytesIO(data))
    image = Image.open(io.BytesIO(data))
    assert found.mode == image.mode
    assert np.array_equal(found.pixels, np.asarray(image))


def test_digest_tells_pictures_apart() -> None:
    base = picture("L")
    changed = base.pixels.copy()
    changed[3, 4] ^= 1
    others = [
        Picture(changed, "L"),
        Picture(base.pixels, "L", axis=True),
        Picture(base.pixels.T.copy(), "L"),
        Picture(base.pixels, "P", Palette(bytes(768))),
        Picture(base.pixels, "P", Palette(bytes(767) + b"\1")),
        Picture(base.pixels, "P", Palette(bytes(768), transparency=0)),
        Picture(base.pixels, "P", Palette(bytes(768), transparency=b"\0\0\0\0")),
    ]
    assert len({digest(p) for p in [base, *others]}) == 8
    assert digest(Picture(np.zeros((1, 1), np.uint8), "L")).hex() == "6224bef3e71887b9"


def test_metadata_from_mappings() -> None:
    found = Metadata.of({"icc": bytearray(b"x"), "dpi": [72, 72], "text": {"Title": "t"}})
    assert found == Metadata(icc=b"x", dpi=(72.0, 72.0), text=(("Title", "t"),))
    assert Metadata(icc=b"a", xmp=b"b").updated(found) == Metadata(
        icc=b"x", xmp=b"b", dpi=(72.0, 72.0), text=(("Title", "t"),)
    )
    for wrong in ({"iptc": b""}, {"icc": "text"}, {"dpi": 72}, {"text": 5}):
        with pytest.raises(OptionError, match="metadata"):
            Metadata.of(wrong)


def test_text_of_png_files() -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Software", "x" * 5000, zip=True)
    chunks.add_itxt("Author", "\u00e9\u4e2d", lang="en")
    found = read_image(io.BytesIO(written(Image.new("L", (3, 3)), format="PNG", pnginfo=chunks)))
    assert found.metadata.text == (("Software", "x" * 5000), ("Author", "\u00e9\u4e2d"))


@pytest.mark.parametrize(
    ("mode", "metadata"),
    [
        ("L", {"dpi": (float("inf"), 72.0)}),
        ("L", {"dpi": (72.0, float("nan"))}),
        ("L", {"dpi": (-72.0, 72.0)}),
        ("L", {"dpi": (72.0,)}),
        ("L", {"text": (("\u4e2d", "v"),)}),
        ("L", {"text": (("", "v"),)}),
        ("L", {"text": (("k", "\ud800"),)}),
        ("L", {"text": (("k", 7),)}),
        ("L", {"icc": "text"}),
        ("L", {"colour_key": (1, 2, 3)}),
        ("L", {"colour_key": -1}),
        ("L", {"colour_key": "1"}),
        ("RGB", {"colour_key": 1}),
        ("RGBA", {"colour_key": (1, 2, 3)}),
        ("P", {"colour_key": 1}),
        ("RGB;16", {"colour_key": (1, 2)}),
    ],
)
def test_metadata_that_breaks_a_rule(mode: str, metadata: dict[str, Any]) -> None:
    source = picture(mode, Metadata(**metadata))
    with pytest.raises(OptionError, match="metadata"):
        bbcodec.compress(source)
    with pytest.raises(UnsupportedImageError, match="metadata"):
        write_image(io.BytesIO(), source)


@pytest.mark.parametrize("format", ["png", "tif", "bmp"])
def test_a_density_that_no_file_can_hold_is_left_out(format: str) -> None:
    source = picture("L", Metadata(dpi=(1e12, 1e-9)))
    assert bbcodec.decompress_picture(bbcodec.compress(source)).metadata == source.metadata
    out = io.BytesIO()
    write_image(out, source, format=format)
    assert left_out(source, format) == ["dpi"]
    out.seek(0)
    assert read_image(out).same(source)


def test_tiff_without_a_resolution() -> None:
    image = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    image.info["dpi"] = (float("nan"), float("nan"))
    assert Picture.of(image).metadata.dpi is None
    assert bbcodec.decompress_picture(bbcodec.compress(image)).metadata.dpi is None


def test_text_never_stands_for_other_metadata() -> None:
    palette = Palette(bytes(range(12)), transparency=2)
    text = (("transparency", "9"), ("dpi", "12"), ("Title", "x"))
    source = Picture(pixels("P") % 4, "P", palette, Metadata(text=text))
    image = source.to_pil()
    assert image.info == {"transparency": 2, "Title": "x"}
    assert Picture.of(image).same(source)


def test_metadata_that_no_reader_would_take() -> None:
    gray = np.zeros((2, 2), np.uint8)
    for text in ((("k", "v" * 2**20),), (("k", "v"),) * 10001):
        with pytest.raises(UnsupportedImageError, match="can be kept"):
            bbcodec.compress(gray, metadata={"text": text})
    with pytest.raises(UnsupportedImageError, match="can be kept"):
        bbcodec.compress(gray, metadata={"icc": bytes(2**25), "exif": bytes(2**25)})
