# SPDX-License-Identifier: Apache-2.0
"""compress, decompress, info: every mode and odd size, metadata, the bound against WebP, options."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bbcodec
from bbcodec import classic, container
from bbcodec.bbfile.palette_section import unpack_palette, unpaint
from bbcodec.errors import (
    BBCodecError,
    FormatError,
    LimitError,
    ModelMissingError,
    OptionError,
    UnsupportedImageError,
)
from bbcodec.picture import planes
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import MODES, Palette, Picture

GRAPHICS = Path(os.environ.get("BBCODEC_DATA", Path(__file__).parents[3] / "shared" / "data")) / "graphics"
SIZES = [(1, 1), (1, 37), (29, 1), (3, 5), (257, 511), (4097, 3), (3, 4097)]


def picture(mode: str, height: int, width: int) -> Picture:
    """Return a picture with smooth, noisy and flat parts."""
    info = MODES[mode]
    rng = np.random.default_rng(height * 1000 + width)
    y, x = np.indices((height, width))
    planes_ = [
        (np.sin(x / (9 + c)) + np.cos(y / (7 + c))) * 60 + 128 + rng.normal(0, 2, y.shape)
        for c in range(info.channels)
    ]
    values = np.stack(planes_, axis=2) * (1 if info.dtype == "uint8" else 256)
    values[height // 2 :, : width // 3] = 200
    if info.alpha:
        values[: height // 4, :, -1] = 0
    array = (
        values.clip(0, 255 if info.dtype == "uint8" else 65535)
        .astype("uint16")
        .reshape(info.shape(height, width))
    )
    array = array > 128 * 256 if info.dtype == "bool" else array.astype(info.dtype)
    palette = Palette(rng.bytes(768), transparency=5) if mode == "P" else None
    return Picture(array, mode, palette)


def webp_size(image: Image.Image) -> int:
    out = io.BytesIO()
    image.save(out, "WEBP", lossless=True, exact=True)
    return len(out.getvalue())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", MODES)
def test_every_mode_and_odd_sizes(mode: str, size: tuple[int, int]) -> None:
    metadata = Metadata(
        icc=b"profile" * 10,
        exif=b"Exif\0\0MM\0*",
        xmp=b"<x/>",
        dpi=(72.5, 300.0),
        text=(("k", "\u00e9\u4e2d"),),
    )
    source = picture(mode, *size)
    data = bbcodec.compress(source, metadata=metadata)
    decoded = bbcodec.decompress_picture(data)
    assert decoded.same(source)
    assert decoded.metadata == metadata
    array = bbcodec.decompress(data)
    assert array.dtype == source.pixels.dtype
    assert np.array_equal(array, source.pixels)
    if not mode.endswith(("A;16", "B;16")):
        image = bbcodec.decompress_image(data)
        assert image.mode == mode
        assert Picture.of(image).same(source)
        assert image.info["icc_profile"] == metadata.icc


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("size", SIZES)
def test_never_more_than_webp(mode: str, size: tuple[int, int]) -> None:
    image = picture(mode, *size).to_pil()
    for shown in (image, Image.new(mode, size[::-1]), Image.effect_noise(size[::-1], 50).convert(mode)):
        assert len(bbcodec.compress(shown)) <= webp_size(shown) * 1.01 + 64


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (60, 70)])
def test_never_more_than_webp_with_palettes(size: tuple[int, int]) -> None:
    base = Image.fromarray(picture("RGB", *size).pixels)
    for shown in (
        base.convert("P"),
        base.quantize(4),
        base.quantize(64),
        Image.new("RGB", size).convert("P"),
    ):
        assert len(bbcodec.compress(shown)) <= webp_size(shown) * 1.01 + 64


@pytest.mark.skipif(not GRAPHICS.is_dir(), reason=f"no images at {GRAPHICS}")
def test_graphics_come_back_and_never_cost_more_than_webp() -> None:
    for path in sorted(GRAPHICS.glob("*.png")):
        image = Image.open(path).crop((0, 0, 900, 900))  # of the game shots a part will do
        source = Picture.of(image)
        data = bbcodec.compress(source, method="classic", verify=False)
        decoded = bbcodec.decompress_picture(data)
        assert decoded.same(source), path.name
        assert decoded.metadata == source.metadata, path.name
        extra = sum(s["size"] for s in bbcodec.info(data).sections if not s["critical"])
        assert len(data) - extra <= webp_size(image) * 1.01 + 64, path.name


@pytest.mark.skipif(not GRAPHICS.is_dir(), reason=f"no images at {GRAPHICS}")
def test_quantised_graphics_never_cost_more_than_webp() -> None:
    for path in sorted(GRAPHICS.glob("*.png"))[::3]:
        image = Image.open(path).convert("RGB").crop((0, 0, 400, 400))
        for shown in (image.quantize(256), image.quantize(16), image.convert("P"), image.convert("1")):
            data = bbcodec.compress(shown, keep_metadata=False)
            assert Picture.of(bbcodec.decompress_image(data)).same(Picture.of(shown)), path.name
            assert len(data) <= webp_size(shown) * 1.01 + 64, path.name


def tiny_pictures(seed: int, count: int) -> Iterator[Picture]:
    """Return pictures of up to 20 x 20 of the 8-bit modes, half of them with a palette."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        mode = MODES[["P", "1", "P", "L", "P", "LA", "P", "RGB", "P", "RGBA"][i % 10]]
        height, width = (int(side) for side in rng.integers(1, 21, 2))
        levels = int(rng.choice([1, 2, 3, 16, 60, 256])) if mode.name != "1" else 2
        y, x = np.indices((height, width))
        planes_ = [
            [
                rng.integers(0, levels, (height, width)),
                (y + x) * levels // (height + width),
                rng.permutation(height * width).reshape(height, width) % levels,
                (y // 4 + x // 4) % levels,
            ][int(rng.integers(4))]
            for _ in range(mode.channels)
        ]
        pixels = np.stack(planes_, axis=2).reshape(mode.shape(height, width)).astype(mode.dtype)
        yield Picture(pixels, mode.name, tiny_palette(rng, levels) if mode.name == "P" else None)


def tiny_palette(rng: np.random.Generator, levels: int) -> Palette:
    """Return a palette that fits the indices, some with entries to spare; random, smooth, or disordered."""
    entries = levels if rng.integers(3) else int(rng.integers(levels, 257))
    ramp = np.arange(entries).astype(np.uint8)[:, None]
    width = 3 + int(rng.integers(4) == 0)
    colours = [
        rng.integers(0, 256, (entries, width)),
        ramp.repeat(width, axis=1),
        rng.permutation(ramp).repeat(width, axis=1),
        np.full((entries, width), 7),
    ][int(rng.choice(4, p=[0.4, 0.2, 0.3, 0.1]))]
    some = int(rng.integers(entries))
    transparency = [None, some, rng.bytes(some + 1)][int(rng.integers(3))] if width == 3 else None
    return Palette(colours.astype(np.uint8).tobytes(), "RGB" if width == 3 else "RGBA", transparency)


def beyond_webp(source: Picture) -> float:
    """Return the bytes that a palette picture may take for what a WebP file of it does not hold."""
    palette = source.palette
    if palette is None:
        return 0
    width = len(palette.layout)
    alphas = palette.transparency if isinstance(palette.transparency, bytes) else b""
    table = [
        palette.data[i : i + width] + alphas[i // width :][:1] for i in range(0, len(palette.data), width)
    ]
    used = np.unique(source.pixels).tolist()
    order = math.log2(math.factorial(len(used))) / 8
    unused = len(palette.data) - width * len(used) + len(alphas)
    equal = source.pixels.size if len({table[i] for i in used}) < len(used) else 0
    return order + unused + equal


def test_tiny_pictures_never_cost_more_than_webp() -> None:
    for source in tiny_pictures(0, 400):
        image = source.to_pil()
        data = bbcodec.compress(source, method="classic")
        limit = webp_size(image) * 1.01 + 64 + beyond_webp(source)
        assert len(data) <= limit, (source.mode, source.size, source.palette)


@pytest.mark.parametrize("colours", [1, 2, 7, 16, 17, 56, 100, 200, 256])
def test_pictures_of_as_many_colours_as_pixels(colours: int) -> None:
    rng = np.random.default_rng(colours)
    for width in (1, 8, 16):
        pixels = rng.permutation(-(-colours // width) * width).reshape(-1, width) % colours
        source = Picture(pixels.astype(np.uint8), "P", Palette(rng.bytes(3 * colours)))
        assert len(bbcodec.compress(source)) <= webp_size(source.to_pil()) * 1.01 + 64


def test_a_disordered_palette_costs_no_more_than_its_order() -> None:
    """The colours are smooth and the indices are not."""
    rng = np.random.default_rng(0)
    y, x = np.indices((90, 120))
    smooth = ((np.sin(x / 17) + np.cos(y / 13)) * 60 + 128).astype(np.uint8)
    order = rng.permutation(256)
    for spare in (0, 5):  # entries that are there, but not used
        gray = np.argsort(order).astype(np.uint8)[:, None].repeat(3, axis=1)
        pixels = order[smooth // (1 + spare)].astype(np.uint8)
        used = np.unique(pixels)
        palette = Palette(gray.tobytes(), transparency=b"\x80" * 256 if spare else None)
        source = Picture(pixels, "P", palette)
        data = bbcodec.compress(source, method="classic")
        assert container.read(data).sections[1].payload[1] == classic.PAINTED
        assert len(bbcodec.compress(source)) <= len(data) * 1.01 + 64
        unused = 256 - len(used)
        limit = math.log2(math.factorial(len(used))) / 8 + (4 * unused if spare else 3 * unused)
        assert len(data) <= webp_size(source.to_pil()) * 1.01 + 64 + limit


def test_hostile_orders_of_colours() -> None:
    painted = np.arange(9, dtype=np.uint8).reshape(1, 3, 3)
    form = bytes([4 << 4])
    assert unpack_palette(container.Section("PLTE", form + b"\0\2"), painted).data[:3] == b"\3\4\5"
    for payload in (
        form,  # no number of unused entries
        form + b"\0\6",  # 3! orders, from 0 to 5
        form + b"\0\2\0",  # not the shortest form
        form + b"\0" + b"\1" * 200,
        form + b"\xfe\1" + bytes(2000),  # more than 256 entries
        form + b"\1",  # no map
        form + b"\1\xc0\0\0\0",  # two bits where one is unused
        form + b"\1\x01\0\0\0",  # a bit behind the entries
        form + b"\1\x80\0\0",  # an unused entry cut off
        bytes([4 << 4 | 4]) + b"\x09\0\2",  # more alphas than entries
        bytes([6 << 4]) + b"\0\2",
    ):
        with pytest.raises(FormatError):
            unpaint(painted, unpack_palette(container.Section("PLTE", payload), painted))
    with pytest.raises(FormatError, match="not held as colours"):
        unpack_palette(container.Section("PLTE", form + b"\0\2"))
    many = np.stack([np.arange(257) % 256, np.arange(257) // 256, np.zeros(257)], axis=1)[None].astype(
        np.uint8
    )
    with pytest.raises(FormatError, match="more than 256 colours"):
        unpack_palette(container.Section("PLTE", form + b"\0"), many)


def test_overhead_of_the_container() -> None:
    data = bbcodec.compress(np.zeros((1, 1, 3), np.uint8))
    payload = container.read(data).sections[0].payload
    # 26 of header, 9 of type, length and CRC, 1 of end marker; of the payload, a byte names the planes.
    assert len(data) - len(payload[1:]) == 37


@pytest.mark.parametrize("size", [(20000, 50), (3, 70000)])
def test_wider_than_webp_allows(size: tuple[int, int]) -> None:
    source = (
        np.add.outer(np.arange(size[0]), np.arange(size[1])).astype(np.uint8)[..., None].repeat(3, axis=2)
    )
    assert np.array_equal(bbcodec.decompress(bbcodec.compress(source)), source)


def test_array_axis_comes_back() -> None:
    for shape in ((4, 5), (4, 5, 1)):
        assert bbcodec.decompress(bbcodec.compress(np.zeros(shape, np.uint8))).shape == shape


def test_same_bytes_always() -> None:
    source = picture("RGBA", 90, 80)
    data = bbcodec.compress(source, threads=1)
    assert bbcodec.compress(source, threads=2) == data
    assert bbcodec.compress(source.pixels[::-1][::-1], verify=False) == data
    assert bbcodec.compress(source.to_pil()) == data


def test_metadata_options() -> None:
    image = picture("RGB", 4, 4).to_pil()
    image.info["icc_profile"] = b"old"
    image.info["dpi"] = (1.0, 2.0)
    kept = bbcodec.decompress_picture(bbcodec.compress(image)).metadata
    assert kept == Metadata(icc=b"old", dpi=(1.0, 2.0))
    assert not bbcodec.decompress_picture(bbcodec.compress(image, keep_metadata=False)).metadata
    changed = bbcodec.decompress_picture(bbcodec.compress(image, metadata={"icc": b"new"})).metadata
    assert changed == Metadata(icc=b"new", dpi=(1.0, 2.0))


def test_common_icc_curves_shrink() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    curve = (np.linspace(0, 1, 1024) ** 2.2 * 65535).round().astype(">u2").tobytes()
    tags = b"".join(
        name + (132 + 36).to_bytes(4, "big") + (12 + 2048).to_bytes(4, "big")
        for name in (b"rTRC", b"gTRC", b"bTRC")
    )
    made = bytes(128) + (3).to_bytes(4, "big") + tags + b"curv" + bytes(4) + (1024).to_bytes(4, "big") + curve
    for icc in (profile, made, made[:-1], made[:200], b"x"):
        data = bbcodec.compress(np.zeros((2, 2), np.uint8), metadata={"icc": icc})
        assert bbcodec.decompress_picture(data).metadata.icc == icc
    data = bbcodec.compress(np.zeros((2, 2), np.uint8), metadata={"icc": made})
    assert len(data) < 600


def test_info_is_json() -> None:
    data = bbcodec.compress(picture("P", 9, 8), metadata={"icc": b"x", "text": {"k": "v"}})
    report = bbcodec.info(data)
    again = json.loads(json.dumps(report.as_dict()))
    assert again["mode"] == "P"
    assert (again["width"], again["height"], again["channels"], again["bits_per_sample"]) == (8, 9, 1, 8)
    assert again["format_version"] == "1.0"
    assert again["file_size"] == len(data)
    assert again["bits_per_dim"] == pytest.approx(8 * len(data) / 72)
    assert again["method"] == "classic"
    assert [s["type"] for s in again["sections"]] == ["PLTE", "CLSC", "iccp", "text"]
    assert sum(s["size"] for s in again["sections"]) + 26 + 1 == len(data)
    assert again["metadata"] == {"icc": 1, "text": [["k", "v"]]}
    assert again["model_id"] is None
    assert again["learned"] is None


def test_bad_options() -> None:
    image = np.zeros((2, 2), np.uint8)
    with pytest.raises(OptionError, match="method is 'best'"):
        bbcodec.compress(image, method="best")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match=r"threads must be 0 .*got -1"):
        bbcodec.compress(image, threads=-1)
    for mode in ("1", "P"):
        with pytest.raises(OptionError, match=f"mode {mode}"):
            bbcodec.compress(picture(mode, 4, 4), method="learned", model="photo")
    with pytest.raises(UnsupportedImageError, match="array of <U1"):
        bbcodec.compress(np.array([["a", "b"]]))
    with pytest.raises(LimitError, match="limit is 3"):
        bbcodec.decompress(bbcodec.compress(image), limits=3)
    with pytest.raises(ModelMissingError, match="no-such-model"):
        bbcodec.compress(np.zeros((2, 2, 3), np.uint8), model="no-such-model")


def test_verification_catches_a_broken_coder(monkeypatch: pytest.MonkeyPatch) -> None:
    right = classic.encode
    monkeypatch.setattr(classic, "encode", lambda samples, **options: right(samples ^ 1, **options))
    with pytest.raises(BBCodecError, match="checksum"):
        bbcodec.compress(np.zeros((3, 3), np.uint8))


@pytest.mark.parametrize("mode", ["RGBA", "LA;16", "RGBA;16"])
def test_pictures_in_several_parts(mode: str) -> None:
    """Planes coded one by one, as the learned method leaves them."""
    source = picture(mode, 20, 30)
    data = bbcodec.compress(source)
    whole = container.read(data)
    info = MODES[mode]
    for masks in ((1, 4, 2, 8), (5, 10), (1, 2, 12), (3, 12)):
        masks = tuple(mask & planes.every(info) for mask in masks if mask & planes.every(info))
        sections = [
            container.Section(
                "CLSC", bytes([mask]) + classic.encode(planes.select(source.pixels, mask, info))
            )
            for mask in masks
        ]
        assert bbcodec.decompress_picture(container.write(whole.header, sections)).same(source)
        with pytest.raises(FormatError, match="planes"):
            bbcodec.decompress(container.write(whole.header, sections[1:]))
        with pytest.raises(FormatError, match="twice"):
            bbcodec.decompress(container.write(whole.header, [*sections, sections[0]]))


def learned_file(model: bytes) -> bytes:
    header = container.read_header(bbcodec.compress(np.zeros((8, 8, 3), np.uint8)))
    chains = container.Section("CHNS", bytes([1, 1, 4]) + b"abcd")
    return container.write(header, [container.Section("MODL", model), chains])


def test_missing_model_is_named() -> None:
    model = hashlib.sha256(b"nowhere").digest()
    with pytest.raises(ModelMissingError, match=model.hex()):
        bbcodec.decompress(learned_file(model))
    with pytest.raises(FormatError, match="embedded model has id"):
        bbcodec.decompress(learned_file(model + b"something else"))
    with pytest.raises(FormatError, match="expected at least 32"):
        bbcodec.decompress(learned_file(model[:31]))


def test_names_are_found_where_they_are() -> None:
    for name in bbcodec.__all__:
        found = getattr(bbcodec, name)
        assert found == version("bbcodec") if name == "__version__" else found.__name__ == name
    assert dir(bbcodec) == sorted(bbcodec.__all__)
    with pytest.raises(AttributeError, match="no attribute 'expand'"):
        bbcodec.expand  # noqa: B018


def test_import_is_light() -> None:
    import subprocess

    heavy = ("torch", "numba", "bbcodec.engine", "bbcodec.families.local", "bbcodec.families.latent")
    code = f"import sys, bbcodec; bbcodec.compress; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
