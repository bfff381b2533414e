# SPDX-License-Identifier: Apache-2.0
"""The Pillow plugin: every mode, metadata, laziness, what damaged files raise; imageio through it."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFile, PngImagePlugin, UnidentifiedImageError
from small_pictures import pictures

import bbcodec
import bbcodec.integrations.pillow
from bbcodec import api

SHAPE = (9, 13)
RGB = pictures(1, *SHAPE)[0]
GRAY = RGB[:, :, 1]
ALPHA = np.where(GRAY > 128, 255, GRAY).astype(np.uint8)


def image(mode: str) -> Image.Image:
    """A picture of every mode that is kept."""
    if mode in ("I;16", "I;16B"):
        raw = (GRAY * np.uint16(257) + 3).astype(">u2" if mode == "I;16B" else "<u2")
        return Image.frombytes(mode, SHAPE[::-1], raw.tobytes())
    if mode == "P":
        found = Image.fromarray(RGB).quantize(7)
        found.info["transparency"] = 2
        return found
    return {
        "1": lambda: Image.fromarray(GRAY > 128),
        "L": lambda: Image.fromarray(GRAY),
        "LA": lambda: Image.fromarray(np.dstack([GRAY, ALPHA])),
        "RGB": lambda: Image.fromarray(RGB),
        "RGBA": lambda: Image.fromarray(np.dstack([RGB, ALPHA])),
    }[mode]()


def saved(source: Image.Image, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    source.save(file, "BB", **options)
    return file


@pytest.mark.parametrize("mode", ["1", "P", "L", "LA", "RGB", "RGBA", "I;16", "I;16B"])
def test_round_trip_of_every_mode(mode: str, tmp_path: Path) -> None:
    source = image(mode)
    path = tmp_path / "picture.bb"
    source.save(path)
    with Image.open(path) as found:
        assert (found.format, found.mode, found.size) == ("BB", mode, source.size)
        assert found.tobytes() == source.tobytes()
        assert found.get_format_mimetype() == "image/x-bbcodec"
        assert found.getpalette() == source.getpalette()
        assert found.info.get("transparency") == source.info.get("transparency")
        if mode == "P":
            assert found.convert("RGBA").tobytes() == source.convert("RGBA").tobytes()


def test_pixels_are_decoded_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(image("RGB"), dpi=(300, 300))
    calls = []
    decode = api.decompress_image
    monkeypatch.setattr(api, "decompress_image", lambda *a, **k: calls.append(1) or decode(*a, **k))
    found = Image.open(file)
    assert (found.size, found.info["dpi"]) == ((13, 9), (300, 300))
    assert not calls
    assert np.array_equal(np.asarray(found), RGB)
    assert np.array_equal(np.asarray(found), RGB)
    assert calls == [1]


def test_opening_skips_the_pixels() -> None:
    class Counted(io.BytesIO):
        read_bytes = 0

        def read(self, size: int | None = -1, /) -> bytes:
            found = super().read(size)
            self.read_bytes += len(found)
            return found

    noise = np.random.default_rng(1).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    file = Counted(saved(Image.fromarray(noise), method="classic", xmp=b"<x/>").getvalue())
    assert Image.open(file).info["xmp"] == b"<x/>"
    assert file.read_bytes < 400 < len(file.getvalue()) // 10


def test_metadata_comes_back_and_goes_on() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    kept = {"icc_profile": profile, "xmp": b"<x:xmpmeta/>", "dpi": (300.0, 150.0)}
    first = saved(image("RGB"), exif=exif, text={"Title": "A picture", "Author": "Ü"}, **kept)
    second = saved(Image.open(first))
    found = Image.open(second)
    assert {name: found.info[name] for name in kept} == kept
    assert found.getexif()[0x0112] == 6
    assert found.text == {"Title": "A picture", "Author": "Ü"}
    assert found.info["Title"] == "A picture"
    changed = Image.open(saved(found, icc_profile=None, exif=b"", dpi=(72, 72), text=()))
    assert sorted(changed.info) == ["dpi", "xmp"]
    assert changed.info["dpi"] == (72, 72)
    assert not Image.open(saved(found, keep_metadata=False)).info


def test_texts_of_png() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Title", "plain")
    texts.add_itxt("Comment", "ünïcode", zip=True)
    assert Image.open(saved(image("L"), pnginfo=texts)).text == {"Title": "plain", "Comment": "ünïcode"}
    png = io.BytesIO()
    image("L").save(png, "PNG", pnginfo=texts)
    assert Image.open(saved(Image.open(png))).text == {"Title": "plain", "Comment": "ünïcode"}


def test_options_reach_the_encoder() -> None:
    learned = saved(image("RGB"), method="learned", model="fast", threads=1, verify=False).getvalue()
    report = bbcodec.info(learned)
    assert report.method == "learned"
    assert report.model_id == bbcodec.info(bbcodec.compress(RGB, method="learned", model="fast")).model_id
    embedded = saved(image("RGB"), method="learned", model="fast", embed_model=True).getvalue()
    assert bbcodec.info(embedded).model_embedded
    with pytest.raises(OSError, match="method"):
        saved(image("RGB"), method="best")


def test_streams_are_read_from_their_beginning() -> None:
    file = saved(image("RGB"))  # it stands at its end
    assert np.array_equal(np.asarray(Image.open(file)), RGB)
    file.seek(5)
    assert np.array_equal(np.asarray(Image.open(file)), RGB)


def test_copies_pickles_and_thumbnails() -> None:
    file = saved(image("RGB"), text={"Title": "T"})
    assert np.array_equal(np.asarray(Image.open(file).copy()), RGB)
    again = pickle.loads(pickle.dumps(Image.open(file)))
    assert np.array_equal(np.asarray(again), RGB)
    assert np.array_equal(np.asarray(Image.open(saved(again))), RGB)
    small = Image.open(file)
    small.thumbnail((6, 6))
    assert small.size == (6, 4)


def test_what_pillow_has_no_mode_for() -> None:
    file = io.BytesIO(bbcodec.compress(np.zeros((3, 4, 3), np.uint16)))
    with pytest.raises(OSError, match=r"RGB;16.*decompress"):
        Image.open(file)


@pytest.mark.parametrize("mode", ["CMYK", "F", "YCbCr"])
def test_modes_that_cannot_be_kept(mode: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=f"cannot write mode {mode} as BB"):
        Image.new(mode, (3, 3)).save(tmp_path / "picture.bb")
    assert not list(tmp_path.iterdir())


def test_damaged_headers_are_not_identified() -> None:
    data = saved(image("RGB")).getvalue()
    for damaged in (data[:20], data[:9] + b"\x07" + data[10:], data[:12] + b"\x99" + data[13:]):
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(damaged))


def test_damaged_pixels_raise_when_loaded() -> None:
    data = saved(image("RGB"), xmp=b"<x/>").getvalue()
    middle = len(data) // 2
    for damaged in (data[:middle], data[:middle] + b"##" + data[middle + 2 :]):
        found = Image.open(io.BytesIO(damaged))
        assert found.size == (13, 9)
        with pytest.raises(OSError, match="broken BB file"):
            found.load()
        with pytest.raises(OSError, match="broken BB file"):
            Image.open(io.BytesIO(damaged)).verify()
    sound = Image.open(io.BytesIO(data))
    sound.verify()
    with pytest.raises(OSError, match="open it again"):
        sound.load()


def test_every_cut_is_an_error() -> None:
    data = saved(image("RGB"), xmp=b"<x/>").getvalue()
    for size in range(len(data)):
        with pytest.raises(OSError):  # noqa: PT011 (UnidentifiedImageError or PillowError, by where it is cut)
            Image.open(io.BytesIO(data[:size])).load()


def test_decompression_bombs_are_pillows_business(monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(image("RGB"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(Image.DecompressionBombError):
        Image.open(file)


def test_files_are_closed(tmp_path: Path) -> None:
    path = tmp_path / "picture.bb"
    image("RGB").save(path)
    found = Image.open(path)
    found.load()
    assert isinstance(found, ImageFile.ImageFile)
    assert found.fp is None
    with Image.open(path) as other:
        pass
    with pytest.raises(OSError, match="open it again"):
        other.load()


def test_other_formats_are_left_alone(tmp_path: Path) -> None:
    image("RGB").save(tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as found:
        assert found.format == "PNG"


def test_imageio(tmp_path: Path) -> None:
    iio = pytest.importorskip("imageio.v3", reason="needs imageio")
    iio.imwrite(tmp_path / "picture.bb", RGB)
    assert np.array_equal(bbcodec.decompress((tmp_path / "picture.bb").read_bytes()), RGB)
    assert np.array_equal(iio.imread(tmp_path / "picture.bb"), RGB)


def test_the_package_does_not_register_anything_by_itself() -> None:
    code = "import bbcodec, bbcodec.api\nfrom PIL import Image\nImage.init()\nassert 'BB' not in Image.ID"
    subprocess.run([sys.executable, "-c", code], check=True)
