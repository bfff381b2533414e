# SPDX-License-Identifier: Apache-2.0
"""An image file is compared with its picture by meaning: what a format writes in another form is no loss."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, TiffImagePlugin

from bbcodec.errors import UnsupportedImageError
from bbcodec.picture import readback
from bbcodec.picture.files import left_out, write_image
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import MODES, Palette, Picture
from bbcodec.picture.readback import Draft, Outline, Readback
from bbcodec.storage.atomic import atomic_write

FORMATS = ("png", "webp", "tif", "bmp", "ppm")


def exif(speed: int = 400, private: str | None = None) -> bytes:
    """Return a block as a camera writes it: all kinds of values, in three directories."""
    block = Image.Exif()
    if private is not None:
        block[50000] = private
    block[ExifTags.Base.Make] = "Maker"
    block[ExifTags.Base.Orientation] = 6
    block[ExifTags.Base.XResolution] = 72
    block[ExifTags.Base.DateTime] = "2020:01:01 00:00:00"
    camera = block.get_ifd(ExifTags.IFD.Exif)
    camera[ExifTags.Base.ExposureTime] = TiffImagePlugin.IFDRational(1, 100)
    camera[ExifTags.Base.MakerNote] = b"\x01\x02note\0\0"
    camera[ExifTags.Base.ComponentsConfiguration] = b"\1\2\3\0"
    camera[ExifTags.Base.ISOSpeedRatings] = speed
    place = block.get_ifd(ExifTags.IFD.GPSInfo)
    place[1], place[2], place[0] = "N", (1.0, 2.0, 3.5), b"\2\3\0\0"
    return block.tobytes()


METADATA = {
    "none": Metadata(),
    "resolution": Metadata(dpi=(72.0, 300.0)),
    "ICC": Metadata(icc=b"x" * 200),
    "EXIF": Metadata(exif=exif()),
    "damaged EXIF": Metadata(exif=b"not EXIF"),
    "XMP": Metadata(xmp=b"<x>hi</x>"),
    "text": Metadata(text=(("Comment", "hej"), ("Title", "ünï漢"))),
    "all": Metadata(b"x" * 99, exif(), b"<x/>", (144.0, 144.0), (("a", "b"),)),
}
PALETTES = [
    Palette(bytes(range(12))),
    Palette(bytes(range(16)), "RGBA"),
    Palette(bytes(range(12)), "RGB", 2),
    Palette(bytes(range(12)), "RGB", b"\1\2"),
    Palette(bytes(768)),
]
MODE_PALETTES = [(mode, None) for mode in MODES if mode != "P"] + [("P", palette) for palette in PALETTES]


def picture(mode: str, palette: Palette | None, metadata: Metadata) -> Picture:
    random = np.random.default_rng(0)
    kind = np.bool_ if mode == "1" else np.uint16 if "16" in mode else np.uint8
    most = 2 if mode == "1" else 4 if mode == "P" else 65536 if kind is np.uint16 else 256
    pixels = random.integers(0, most, MODES[mode].shape(9, 13)).astype(kind)
    return Picture(pixels, mode, palette, metadata)


@pytest.mark.parametrize("metadata", METADATA.values(), ids=METADATA.keys())
@pytest.mark.parametrize(("mode", "palette"), MODE_PALETTES)
def test_what_is_written_reads_back(mode: str, palette: Palette | None, metadata: Metadata) -> None:
    """Whatever a writer accepts, of every mode, palette and metadata."""
    written = 0
    for kind in FORMATS:
        given, file = picture(mode, palette, metadata), io.BytesIO()
        try:
            write_image(file, given, format=kind)
        except UnsupportedImageError:
            continue
        file.seek(0)
        found = readback.check(Outline.of(given), file, kind)
        assert found.changed == ()
        assert set(found.left_out) - set(left_out(given, kind)) <= {"exif"}
        written += 1
    assert written


RGB = picture("RGB", None, METADATA["all"])
INDEXED = picture("P", PALETTES[0], Metadata())


def changed(given: Picture, **changes: object) -> Picture:
    values = {
        "pixels": given.pixels,
        "mode": given.mode,
        "palette": given.palette,
        "metadata": given.metadata,
    }
    return Picture(**(values | changes))  # type: ignore[arg-type]


def meta(**changes: object) -> Picture:
    return changed(RGB, metadata=Metadata(**(vars(RGB.metadata) | changes)))  # type: ignore[arg-type]


def one_pixel(given: Picture) -> Picture:
    pixels = given.pixels.copy()
    pixels.flat[-1] ^= 1
    return changed(given, pixels=pixels)


@pytest.mark.parametrize(
    ("given", "wrong", "names"),
    [
        (RGB, one_pixel(RGB), ("pixels",)),
        (INDEXED, one_pixel(INDEXED), ("pixels",)),
        (INDEXED, changed(INDEXED, palette=Palette(bytes(range(1, 13)))), ("palette",)),
        (INDEXED, changed(INDEXED, palette=Palette(bytes(range(12)), "RGB", 1)), ("palette",)),
        (INDEXED, changed(INDEXED, palette=Palette(bytes(range(9)))), ("palette",)),
        (RGB, meta(icc=b"y"), ("icc",)),
        (RGB, meta(xmp=None), ("xmp",)),
        (RGB, meta(dpi=(143.9, 144.0)), ("dpi",)),
        (RGB, meta(dpi=None), ("dpi",)),
        (RGB, meta(text=(("a", "c"),)), ("text",)),
        (RGB, meta(exif=exif(speed=200)), ("exif",)),
        (meta(exif=None), RGB, ("exif",)),
        (meta(exif=None, xmp=None), changed(RGB, metadata=Metadata(dpi=(1.0, 1.0))), ("icc", "dpi", "text")),
    ],
)
def test_what_differs_is_named(given: Picture, wrong: Picture, names: tuple[str, ...]) -> None:
    file = io.BytesIO()
    write_image(file, wrong)
    file.seek(0)
    assert readback.check(Outline.of(given), file, "png").changed == names


def test_a_part_of_exif_is_left_out_not_changed() -> None:
    """TIFF has no place for tags that do not describe the picture."""
    file = io.BytesIO()
    given = Picture(RGB.pixels, "RGB", metadata=Metadata(exif=exif(private="what only we know")))
    write_image(file, Picture(RGB.pixels, "RGB", metadata=Metadata(exif=exif())))
    file.seek(0)
    assert readback.check(Outline.of(given), file, "tif") == Readback((), ("exif",))
    file.seek(0)
    assert readback.check(Outline.of(given), file, "png") == Readback(("exif",), ())


@pytest.mark.parametrize("spoil", [lambda data: data[:40], lambda data: b"", lambda data: b"x" + data])
def test_a_file_that_cannot_be_read(spoil: Callable[[bytes], bytes]) -> None:
    file = io.BytesIO()
    write_image(file, RGB)
    with pytest.raises(UnsupportedImageError, match="the png file cannot be read back"):
        readback.check(Outline.of(RGB), io.BytesIO(spoil(file.getvalue())), "png")


def test_differences_accept_no_other_form() -> None:
    deep = picture("I;16", None, Metadata(dpi=(72.0, 72.0)))
    near = changed(deep, metadata=Metadata(dpi=(72.009, 72.009)))
    swapped = changed(deep, mode="I;16B")
    was, close, other, wrong = map(Outline.of, (deep, near, swapped, one_pixel(deep)))
    assert readback.differences(was, was) == []
    assert readback.differences(was, other) == ["mode"]
    assert readback.differences(was, wrong) == ["pixels"]
    assert readback.differences(was, close) == ["dpi"]
    assert readback.differences(was, close, metadata=False) == []


def test_an_outline_tells_types_and_shapes_apart() -> None:
    pixels = np.zeros((4, 6), np.uint8)
    same = [pixels, pixels.astype(bool), pixels.reshape(6, 4), pixels.reshape(4, 2, 3)]
    assert len({Outline.of(Picture(each, "L")).samples for each in same}) == 4
    strided = Picture(np.zeros((8, 12), np.uint8)[::2, ::2], "L")
    assert Outline.of(strided).samples == Outline.of(Picture(pixels, "L")).samples


def test_a_draft_is_in_the_temporary_file_or_in_memory(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.png") as file:
        draft = Draft(file, RGB, "png")
        assert draft.check().changed == ()
        draft.release()
    stream = io.BytesIO()
    draft = Draft(stream, RGB, "png")
    assert draft.check().changed == ()
    assert stream.getvalue() == b""
    draft.release()
    assert stream.getvalue() == (tmp_path / "a.png").read_bytes()
    assert draft.size == len(stream.getvalue())
