# SPDX-License-Identifier: Apache-2.0
"""A second decoder, written from the documents alone, reads what the package writes.

Golden files that take it longer are decoded by `python tests/reference_decoder.py tests/golden/*.bb*`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import loglinear_cases
import numpy as np
import pytest
import universal_cases
from hypothesis import given, settings
from numpy.typing import NDArray

import bbcodec
from bbcodec import container, modelfile
from bbcodec.bbfile.samples_sections import pack_chains
from bbcodec.container import Section
from bbcodec.engine.graph import Graph
from bbcodec.families import learned
from bbcodec.families.family import family_of
from bbcodec.families.local.fitted import SIGNS, TENSORS, Delta, Fitted
from bbcodec.jobs import Execution
from bbcodec.modelfile import registry
from bbcodec.picture.metadata import Metadata, Note
from bbcodec.picture.picture import MODES, Palette, Picture

TESTS = Path(__file__).parents[1]
GOLDEN = TESTS / "golden"
MANIFEST = json.loads((GOLDEN / "manifest.json").read_text())
QUICK = settings(max_examples=40, deadline=None)
SHORT = [name for name in sorted(MANIFEST) if "classic" in name]
SHORT += ["archive_flowpp.bb", "archive_embedded.bb", "learned_gray.bb", "learned_flowpp_gray.bb"]
SHORT += ["local_gray.bb", "local_fast_gray.bb", "local_fitted.bb"]
SHORT += [name for name in sorted(MANIFEST) if name.endswith((".bbg", ".bbk"))]


@pytest.fixture(scope="module")
def reference() -> Iterator[Any]:
    """The module of the command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TESTS))
        yield importlib.import_module("reference_decoder")


@pytest.mark.parametrize("name", SHORT)
def test_golden_file_gives_its_pixels(name: str, reference: Any) -> None:
    assert reference.decoded((GOLDEN / name).read_bytes()) == MANIFEST[name]


def test_the_command_needs_nothing_of_the_package(tmp_path: Path) -> None:
    """It tells the right file from the wrong one, and leaves the package alone."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import reference_decoder as r;"
        "status = r.main(sys.argv[2:]);"
        "import reference.learned, reference.tiles, reference.local_changes, reference.loglinear;"
        "import reference.deep;"
        "print(sorted(m for m in sys.modules if m.split('.')[0] == 'bbcodec')); sys.exit(status)"
    )
    data = (GOLDEN / "classic_l.bb").read_bytes()
    for name in ("right", "wrong", "damaged"):
        (tmp_path / f"{name}.bb").write_bytes(data if name != "damaged" else data[:-5] + data[-4:])
    wanted = MANIFEST["classic_l.bb"]
    (tmp_path / "manifest.json").write_text(
        json.dumps({"right.bb": wanted, "wrong.bb": wanted[::-1], "damaged.bb": wanted})
    )
    paths = [str(tmp_path / f"{name}.bb") for name in ("right", "wrong", "damaged")]
    done = subprocess.run(
        [sys.executable, "-c", code, str(TESTS), *paths], capture_output=True, text=True, timeout=120
    )
    lines = done.stdout.splitlines()
    assert [line.split(" s  ")[1][:7] for line in lines[:3]] == ["right", "WRONG p", "REFUSED"], done.stderr
    assert lines[3:] == ["[]"]
    assert done.returncode == 1


def assert_same(reference: Any, data: bytes) -> Any:
    """What the reference decoder makes of a file is what the package makes of it; gives its picture."""
    found = reference.container.decode(data, reference.installed())
    wanted = bbcodec.decompress(data)
    assert found.array().dtype == wanted.dtype
    assert np.array_equal(found.array(), wanted)
    return found


sides = st.integers(1, 20)
shapes = st.one_of(st.tuples(sides, sides), st.tuples(sides, sides, st.integers(1, 4)))
contents = st.one_of(
    st.tuples(sides, sides).flatmap(lambda shape: arrays.arrays(bool, shape)),
    shapes.flatmap(lambda shape: arrays.arrays(np.uint8, shape)),
    shapes.flatmap(lambda shape: arrays.arrays(np.uint16, shape)),
)


@QUICK
@given(pixels=contents)
def test_classic_arrays(pixels: NDArray[Any], reference: Any) -> None:
    assert_same(reference, bbcodec.compress(pixels, method="classic"))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["smooth", "noise", "same"])
def test_16_bits(kind: str, channels: int, reference: Any) -> None:
    """Every transform of split16."""
    y, x = np.mgrid[:30, :17]
    noise = np.random.default_rng(1).integers(0, 65536, (30, 17, channels))
    base = (y * 700 + x * 90)[..., None] + np.arange(channels) * 333 + noise % 64
    pixels = {"smooth": base, "noise": noise, "same": (noise >> 8) * 257}[kind].astype(np.uint16)
    assert_same(reference, bbcodec.compress(pixels, method="classic"))


@pytest.mark.parametrize("shape", [(2, 16500, 3), (16400, 3), (2, 33000, 2)])
def test_tiles_of_webp(shape: tuple[int, ...], reference: Any) -> None:
    pixels = (np.arange(int(np.prod(shape))) // 7 % 251).astype(np.uint8).reshape(shape)
    assert_same(reference, bbcodec.compress(pixels, method="classic"))


@st.composite
def palettes(draw: Any) -> Picture:
    """Palette pictures: smooth or not, with unused and equal entries, all kinds of transparency."""
    layout = draw(st.sampled_from(["RGB", "RGBA"]))
    count = draw(st.integers(1, 40))
    width = len(layout)
    rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    steps = np.arange(count)[:, None] * np.arange(1, width + 1) * 2
    entries = draw(
        st.sampled_from([steps, rng.integers(0, 256, (count, width)), steps[rng.permutation(count)]])
    )
    kind = draw(st.integers(0, 2 if layout == "RGB" else 0))
    alphas = rng.integers(0, 256, draw(st.integers(1, count))).astype(np.uint8)
    transparency = [None, int(rng.integers(0, count)), alphas.tobytes()][kind]
    used = rng.permutation(count)[: draw(st.integers(1, count))]
    y, x = np.mgrid[: draw(sides), : draw(sides)]
    index = used[(y + x) % len(used)] if draw(st.booleans()) else used[rng.integers(0, len(used), y.shape)]
    colours = Palette(entries.astype(np.uint8).tobytes(), layout, transparency)
    return Picture(index.astype(np.uint8), "P", colours)


@QUICK
@given(picture=palettes())
def test_palettes(picture: Picture, reference: Any) -> None:
    assert picture.palette is not None
    found = assert_same(reference, bbcodec.compress(picture, method="classic"))
    assert found.palette.entries == picture.palette.data
    if isinstance(picture.palette.transparency, bytes):
        assert found.palette.alphas == picture.palette.transparency


def curves() -> bytes:
    """What has the form of an ICC profile with two tone curves."""
    points = (np.arange(600) ** 2 // 6).astype(">u2").tobytes()
    curve = b"curv" + bytes(4) + (600).to_bytes(4, "big") + points
    table = (2).to_bytes(4, "big")
    for i, name in enumerate((b"rTRC", b"gTRC")):
        table += name + (156 + i * len(curve)).to_bytes(4, "big") + len(curve).to_bytes(4, "big")
    return bytes(range(128)) + table + curve + curve


def test_metadata(reference: Any) -> None:
    text = (("Title", "A picture"), ("é", "✓" * 50))
    told = Metadata(
        icc=curves(),
        exif=b"Exif\0\0II*\0" + bytes(90),
        xmp=b"<x/>" * 30,
        dpi=(72.0, 96.5),
        text=text,
        colour_key=7,
        notes=(Note("png", "gAMA", b"\0\1", 1), Note("pnm", "maxval", b"9")),
    )
    data = bbcodec.compress(np.zeros((3, 4), np.uint8), metadata=told)
    found = assert_same(reference, data).metadata
    assert len(data) < 1500  # the curves are differences
    assert found == {
        "iccp": told.icc,
        "exif": told.exif,
        "xmpd": told.xmp,
        "dens": told.dpi,
        "text": list(text),
        "trns": (7,),
        "orig": [("png", "gAMA", b"\0\1", 1), ("pnm", "maxval", b"9", 0)],
    }


def picture(height: int, width: int, channels: int = 3) -> NDArray[Any]:
    """A ramp with noise, unlike itself however it is turned."""
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(3).normal(0, 2, (height, width, channels))
    return np.clip((3 * y + x)[..., None] + np.arange(channels) * 7 + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (9, 1, 3), (2, 3, 1), (7, 5, 3), (8, 6, 4)])
@pytest.mark.parametrize("model", ["photo", "thumb"])
def test_small_blocks(model: str, shape: tuple[int, ...], reference: Any) -> None:
    assert_same(reference, bbcodec.compress(picture(*shape), method="learned", model=model))


def test_blocks_with_noise(reference: Any) -> None:
    """Samples at both ends of their range, and learning that is thrown about."""
    pixels = np.random.default_rng(2).choice([0, 1, 128, 254, 255], (17, 25, 3)).astype(np.uint8)
    assert_same(reference, bbcodec.compress(pixels, method="learned"))


@pytest.mark.parametrize("shape", [(1, 1, 3), (9, 14, 3), (14, 9, 1), (70, 6, 4), (66, 196, 1)])
def test_blocks_of_loglinear(shape: tuple[int, ...], reference: Any) -> None:
    """Contexts of all terms, several blocks, several streams."""
    numbers = {"table_bits": 12, "skip": 20, "block": 64} if shape[0] == 70 else {"skip": 9, "mix_shift": 7}
    model = loglinear_cases.random_model(8, shape[0], "fast", **numbers)
    data = bbcodec.compress(picture(*shape), method="learned", model=model, embed_model=True)
    assert_same(reference, data)


def read_again(model: modelfile.Model) -> Any:
    """Return a model of loglinear as the second decoder reads it."""
    file = modelfile.dump("loglinear", model.config, Graph({}, {}), model.tensors)
    return importlib.import_module("reference.modelfile").load(file)


@pytest.mark.parametrize(
    ("shape", "neighbours"),
    [((1, 30, 3), 0), ((20, 1, 1), 2), ((2, 9, 3), 6), ((70, 21, 3), 0)]
    + [((13, 17, channels), neighbours) for channels in (1, 3) for neighbours in (0, 2, 6)],
)
def test_whole_pixels_of_loglinear(
    shape: tuple[int, ...], neighbours: int, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pixels that are found, those that are not, and those not asked about; several blocks."""
    choice = "bbcodec.families.loglinear.blocks.coding_for"
    monkeypatch.setattr(choice, lambda blocks, plain: neighbours + 1)
    numbers = {"table_bits": 12, "block": 64} if shape[0] == 70 else {"mix_shift": 7}
    model = loglinear_cases.random_model(8, neighbours, "fast", **numbers)
    pixels = loglinear_cases.drawing(shape, neighbours, specks=0.1)
    data = bbcodec.compress(pixels, method="learned", model=model, embed_model=True)
    assert_same(reference, data)
    chain = learned.encode(pixels, model).chains[0]
    assert chain[0] == neighbours + 1
    assert chain in data
    block = importlib.import_module("reference.loglinear").block
    with pytest.raises(reference.Refused, match=r"^q$"):
        block(b"\x08" + chain[1:], shape[:2], shape[2], read_again(model))


def test_models_of_loglinear_that_the_second_decoder_refuses(reference: Any) -> None:
    check = importlib.import_module("reference.loglinear").check
    model = read_again(loglinear_cases.random_model(8))
    check(model)
    for name, value in (("pixel_mix", 1 << 22), ("pixel_start", -128)):
        check(dataclasses.replace(model, tensors={**model.tensors, name: model.tensors[name] * 0}))
        wrong = model.tensors[name].copy()
        wrong[5, 5] = value
        for tensor in (wrong, wrong[:, :6] * 0, wrong.astype(np.int16) * 0):
            with pytest.raises(reference.Refused):
                check(dataclasses.replace(model, tensors={**model.tensors, name: tensor}))


def test_plain_blocks_of_loglinear(reference: Any) -> None:
    pixels = loglinear_cases.drawing((30, 44, 3), specks=1.0)
    model = loglinear_cases.random_model(8, 1, "fast", plain=0)
    assert learned.encode(pixels, model).chains[0][0] == 8
    assert_same(reference, bbcodec.compress(pixels, method="learned", model=model, embed_model=True))


@pytest.mark.parametrize("neighbours", [0, 3])
def test_batches_of_drawings_of_loglinear(
    neighbours: int, reference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A group of blocks shares tables and memories."""
    choice = "bbcodec.families.loglinear.groups.coding_for"
    monkeypatch.setattr(choice, lambda blocks, plain: neighbours + 1)
    model = loglinear_cases.random_model(8, 5, "fast")
    images = [loglinear_cases.drawing((6 + i % 3, 31, 3), i, specks=0.05) for i in range(7)]
    decoder = importlib.import_module("reference.loglinear")
    _, words = family_of(model).encode_batch(images, model, Execution())
    assert words[0] == neighbours + 1
    shapes = [image.shape for image in images]
    found = decoder.batch(words.astype("<u4").tobytes(), [shapes], read_again(model))
    assert all(np.array_equal(a, b) for a, b in zip(found, images, strict=True))


def test_batches_of_plain_groups_of_loglinear(reference: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain groups share a message, whatever stands between them."""
    codings = iter([8, 0, 8, 2])
    monkeypatch.setattr("bbcodec.families.local.groups.GROUP_LANES", 1)
    monkeypatch.setattr("bbcodec.families.loglinear.groups.coding_for", lambda blocks, plain: next(codings))
    model = loglinear_cases.random_model(8, 5, "fast")
    images = [loglinear_cases.drawing((5 + i, 12, 3), i, specks=0.2) for i in range(4)]
    _, words = family_of(model).encode_batch(images, model, Execution())
    assert words[:2].tolist() == [8, 0]
    shapes = [[image.shape] for image in images]
    decoder, read = importlib.import_module("reference.loglinear"), read_again(model)
    found = decoder.batch(words.astype("<u4").tobytes(), shapes, read)
    assert all(np.array_equal(a, b) for a, b in zip(found, images, strict=True))
    with pytest.raises(reference.Refused):
        decoder.batch(words[:-1].astype("<u4").tobytes(), shapes, read)


@pytest.mark.parametrize("shape", [(1, 1), (11, 14), (70, 3)])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA"])
def test_learned_samples_of_every_mode(mode: str, shape: tuple[int, int], reference: Any) -> None:
    """Bits as 0 and 255, alpha behind the colours; one block and two."""
    model = loglinear_cases.small_model("fast", block=64, table_bits=12)
    image = universal_cases.drawn(mode, *shape)
    data = bbcodec.compress(image, method="learned", model=model, embed_model=True)
    assert_same(reference, data)
    chains = container.read(data).one(container.CHAINS)
    assert chains is not None
    has_alpha = MODES[mode].alpha and shape != (1, 1)
    assert chains.payload[0] == (3 if has_alpha else 1)
    assert chains.payload[1] == (2 if has_alpha else 1) * (2 if shape[0] == 70 else 1)


@pytest.mark.parametrize("palette", universal_cases.PALETTES)
def test_learned_palette_pictures(palette: Palette, reference: Any) -> None:
    """Indices as colours, with the palette as it is or as an order of the colours."""
    model = loglinear_cases.small_model("fast", table_bits=12)
    for entries in (palette.data, palette.data + palette.data[:12]):  # the others are not used
        whole = dataclasses.replace(palette, data=entries)
        image = universal_cases.drawn("P", 12, 17, whole)
        data = bbcodec.compress(image, method="learned", model=model, embed_model=True)
        found = assert_same(reference, data)
        assert found.palette.entries == entries
        stored = container.read(data).one(container.PALETTE)
        assert stored is not None
        assert (stored.payload[0] >> 4 >= 4) == (palette is universal_cases.OPAQUE)


def test_learned_samples_that_the_second_decoder_refuses(reference: Any) -> None:
    for data, message, _ in universal_cases.refused(loglinear_cases.small_model("fast", table_bits=12)):
        with pytest.raises(reference.Refused, match=message):
            reference.container.decode(data, reference.installed())


def test_batches_of_loglinear(tmp_path: Path, reference: Any) -> None:
    model = loglinear_cases.small_model("fast")
    with bbcodec.Archive(tmp_path / "a.bb", "w", model=model, method="learned", embed_model=True) as archive:
        for i in range(8):
            archive[f"{i}"] = picture(6 + i % 2, 31, 1 if i > 5 else 3)
    with bbcodec.Archive(tmp_path / "a.bb") as archive:
        wanted = {name: np.asarray(image) for name, image in archive.items()}
    found = reference.archive.decode((tmp_path / "a.bb").read_bytes(), reference.installed())
    assert all(np.array_equal(found[name].array(), wanted[name]) for name in wanted)


@pytest.mark.parametrize("model", ["rvae", "markov", "flowpp"])
def test_tiles_without_latents(model: str, reference: Any) -> None:
    assert_same(reference, bbcodec.compress(picture(20, 66), method="learned", model=model))


@pytest.mark.parametrize("view", [0, 6, 15])
def test_changes_of_the_model(view: int, reference: Any) -> None:
    """A file with `FITT` that changes everything that can be changed."""
    model, image = modelfile.load_named("photo"), picture(9, 13)
    size = model.tensors[SIGNS].size * 64

    def changes(shift: int, *positions: int) -> Delta:
        sizes = np.arange(1, len(positions) + 1) * (-1) ** np.arange(len(positions)) if shift else 1
        return Delta(shift, np.array(positions), np.broadcast_to(sizes, len(positions)).astype(np.int64))

    deltas = {SIGNS: changes(0, 0, 70, size - 1), **{name: changes(2, 0, 7, 8) for name in TENSORS[1:]}}
    config = {"rate_q": 300, "along": [2, 1], "down": [3, 1], "ridge": 70000}
    section = Section(container.FITTED, Fitted(view, config, deltas).pack())
    plain = container.read(bbcodec.compress(image, method="learned", model="photo"))
    chain = learned.encode(image, model, fitted=section).chains[0]
    stored = plain.one(container.MODEL)
    assert stored is not None
    chains = bytes([1, 1]) + container.varint(len(chain)) + chain
    assert_same(
        reference, container.write(plain.header, [stored, section, Section(container.CHAINS, chains)])
    )


@pytest.mark.parametrize("view", range(0, 16, 3))
def test_alpha_is_turned_like_the_colours(view: int, reference: Any) -> None:
    model, image = modelfile.load_named("fast"), picture(7, 12, 4)
    section = Section(container.FITTED, Fitted(view).pack())
    plain = container.read(bbcodec.compress(image, method="learned", model=model))
    stored = plain.one(container.MODEL)
    assert stored is not None
    chains = pack_chains(3, learned.encode(image, model, fitted=section).chains)
    data = container.write(plain.header, [stored, section, chains])
    assert_same(reference, data)
    assert np.array_equal(bbcodec.decompress(data, region=(3, 1, 5, 4)), image[1:5, 3:8])
    colours = picture(7, 12, 4)[..., :3]
    assert learned.encode(colours, model, fitted=section).chains[0] in data


def test_a_model_as_changes_of_a_released_one(tmp_path: Path, reference: Any) -> None:
    parent = modelfile.load_named("fast")
    rng = np.random.default_rng(4)
    tensors: dict[str, Any] = dict(parent.tensors)
    tensors["out_w"] = tensors["out_w"] + (rng.integers(-2, 3, tensors["out_w"].shape) << 12).astype(np.int32)
    tensors["positions"] = rng.integers(-9, 9, (3, 9, parent.config["hidden"])).astype(np.int32)
    data = modelfile.dump("local", parent.config, Graph({}, {}), tensors)
    path = tmp_path / "mine.bbm"
    path.write_bytes(data)
    short = registry.smallest(data)
    assert len(short) < len(data)
    restored = reference.container.decode(
        bbcodec.compress(picture(9, 14), method="learned", model=path, embed_model=True),
        reference.installed(),
    )
    assert np.array_equal(restored.array(), picture(9, 14))
    modules = importlib.import_module("reference.modelfile")
    named = hashlib.sha256(data).digest() + short
    assert modules.named(named, reference.installed()) == data


def test_an_archive_that_grew(tmp_path: Path, reference: Any) -> None:
    """Several indices, and what an append left behind."""
    path = tmp_path / "a.bb"
    with bbcodec.Archive(path, "w") as archive:
        for i in range(3):
            archive[f"sub/{i}"] = picture(6, 5 + i)
        archive["deep"] = np.full((3, 4), 999, np.uint16)
    with bbcodec.Archive(path, "a") as archive:
        archive["gray"] = picture(7, 7, 1)
        archive["flat"] = np.zeros((12, 5, 3), np.uint8)
    data = path.read_bytes()
    with bbcodec.Archive(io.BytesIO(data)) as archive:
        wanted = {name: np.asarray(image) for name, image in archive.items()}
    for rest in (b"", b"BTCH\x99", data[16:40]):
        found = reference.archive.decode(data + rest, reference.installed())
        assert list(found) == list(wanted)
        assert all(np.array_equal(found[name].array(), wanted[name]) for name in wanted)


def test_every_flipped_bit_is_refused(reference: Any) -> None:
    data = (GOLDEN / "classic_1x1.bb").read_bytes()
    for at in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[at // 8] ^= 1 << at % 8
        with pytest.raises(reference.Refused):
            reference.container.decode(bytes(damaged), {})


@pytest.mark.parametrize("name", ["local_gray.bb", "learned_gray.bb", "classic_p_painted.bb"])
def test_truncated_files_are_refused(name: str, reference: Any) -> None:
    data = (GOLDEN / name).read_bytes()
    for size in range(0, len(data), max(1, len(data) // 40)):
        with pytest.raises(reference.Refused):
            reference.container.decode(data[:size], reference.installed())
