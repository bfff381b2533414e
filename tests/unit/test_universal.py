# SPDX-License-Identifier: Apache-2.0
"""A universal model codes pictures of every mode of at most 8 bits: bits, alpha and palettes too."""

from __future__ import annotations

import contextlib
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import loglinear_cases
import numpy as np
import pytest
import universal_cases
from universal_cases import ALPHAS, CODED, COLOURS, ENTRIES, OPAQUE, PALETTES, drawn

import bbcodec
from bbcodec import classic, container
from bbcodec.bbfile import choose, learned_samples, pieces
from bbcodec.bbfile.cost_map import CHAIN_OVERHEAD
from bbcodec.bbfile.samples_sections import unpack_chains
from bbcodec.container import Section
from bbcodec.errors import BBCodecError, FormatError, OptionError
from bbcodec.modelfile import Model
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import MODES, Palette, Picture

META = Metadata(icc=bytes(range(100)), xmp=b"<x/>", dpi=(72.0, 96.5), text=(("Title", "A drawing"),))
HEIGHT, WIDTH, BLOCKS = 130, 70, 6  # three rows of two blocks
CUTS = (0, 43, 86, 130), (0, 35, 70)


@cache
def model() -> Model:
    """Return a model of small blocks."""
    return loglinear_cases.small_model("fast", block=64, table_bits=12)


def learned(picture: Picture | np.ndarray[Any, Any], **options: Any) -> bytes:
    chosen = {"method": "learned", "model": model(), "embed_model": True} | options
    return bbcodec.compress(picture, **chosen)


def auto(picture: Picture | np.ndarray[Any, Any], **options: Any) -> bytes:
    return bbcodec.compress(picture, **options)


def section(data: bytes, kind: str) -> Section:
    found = container.read(data).one(kind)
    assert found is not None
    return found


def kinds(data: bytes) -> list[str]:
    return [section.kind for section in container.read(data).sections]


def assert_comes_back(data: bytes, picture: Picture) -> None:
    found = bbcodec.decompress_picture(data)
    assert found.same(picture)
    assert found.metadata == picture.metadata


def area(block: int) -> tuple[slice, slice]:
    """Return the rows and columns of a block of a picture of `HEIGHT` by `WIDTH`."""
    row, column = divmod(block, 2)
    return slice(*CUTS[0][row : row + 2]), slice(*CUTS[1][column : column + 2])


def region_of(block: int) -> tuple[int, int, int, int]:
    rows, columns = area(block)
    return columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start


# --- sound files --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1, 1), (1, 19), (19, 1), (23, 31), (HEIGHT, WIDTH)])
@pytest.mark.parametrize("mode", CODED)
def test_every_mode_comes_back(mode: str, size: tuple[int, int]) -> None:
    picture = Picture(**(vars(drawn(mode, *size)) | {"metadata": META}))
    coded = learned(picture)
    assert_comes_back(coded, picture)
    varying = MODES[mode].alpha and size != (1, 1)
    assert section(coded, "CHNS").payload[0] == (3 if varying else 1)
    assert ("CLSC" in kinds(coded)) == (MODES[mode].alpha and not varying)
    assert_comes_back(auto(picture), picture)


@pytest.mark.parametrize("palette", PALETTES)
def test_palettes_come_back(palette: Palette) -> None:
    picture = drawn("P", 23, 31, palette)
    coded = learned(picture)
    assert_comes_back(coded, picture)
    assert kinds(coded) == ["PLTE", "MODL", "CHNS"]
    ordered = section(coded, "PLTE").payload[0] >> 4 >= 4
    assert ordered == (palette is OPAQUE)
    assert_comes_back(auto(picture), picture)


def test_an_unused_entry_may_equal_another() -> None:
    picture = Picture(drawn("P", 9, 8).pixels, "P", Palette(COLOURS + COLOURS[:6]))
    coded = learned(picture)
    assert "CHNS" in kinds(coded)
    assert_comes_back(coded, picture)


SAME_COLOUR = np.vstack([ENTRIES, [*ENTRIES[2, :3], ENTRIES[2, 3] ^ 1]]).astype(np.uint8)


@pytest.mark.parametrize(
    "palette",
    [
        Palette(SAME_COLOUR[:, :3].tobytes()),
        Palette(SAME_COLOUR.tobytes(), "RGBA"),  # equal but for alpha
        Palette(SAME_COLOUR[:, :3].tobytes(), "RGB", 9),
        Palette(SAME_COLOUR[:, :3].tobytes(), "RGB", SAME_COLOUR[:, 3].tobytes()),
        OPAQUE,  # has no entry 9
        Palette(COLOURS + b"\0", "RGB"),
        Palette(b""),
    ],
)
def test_indices_that_their_colours_do_not_tell(palette: Palette) -> None:
    indices = drawn("P", 16, 20).pixels
    indices[3, 4], indices[5, 6] = 2, 9
    picture = Picture(indices, "P", palette)
    with pytest.raises(OptionError, match="equal colours"):
        learned(picture)
    data = auto(picture)
    assert "CHNS" not in kinds(data)
    assert_comes_back(data, picture)


@pytest.mark.parametrize("mode", ["1", "P"])
def test_other_models_code_neither_bits_nor_palettes(mode: str) -> None:
    picture = drawn(mode, 9, 8)
    with pytest.raises(OptionError, match=f"mode {mode}"):
        bbcodec.compress(picture, method="learned", model="photo")
    data = bbcodec.compress(picture, model="photo")
    assert "CHNS" not in kinds(data)
    assert_comes_back(data, picture)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_other_models_do_not_code_alpha(mode: str) -> None:
    coded = container.read(bbcodec.compress(drawn(mode, 9, 8), method="learned", model="fast"))
    assert [(s.kind, s.payload[0]) for s in coded.sections[1:]] == [("CHNS", 1), ("CLSC", 2)]


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_constant_alpha_needs_no_model(mode: str) -> None:
    pixels = drawn(mode, 40, 50).pixels
    pixels[..., -1] = 7
    coded = learned(pixels)
    assert np.array_equal(bbcodec.decompress(coded), pixels)
    assert section(coded, "CHNS").payload[0] == 1
    assert section(coded, "CLSC").payload[0] == 2
    assert len(section(coded, "CLSC").payload) < 30


@pytest.mark.parametrize("mode", ["LA;16", "RGBA;16", "I;16"])
def test_of_16_bits_a_model_codes_high_bytes_of_colours(mode: str) -> None:
    shape = MODES[mode].shape(20, 30)
    pixels = np.random.default_rng(1).integers(0, 1 << 16, shape).astype(np.uint16)
    coded = learned(pixels, model="fast")  # not a universal one, which leaves them to the family deep
    assert section(coded, "CHNS").payload[0] == 1
    assert np.array_equal(bbcodec.decompress(coded), pixels)


@pytest.mark.parametrize("mode", CODED)
def test_flat_pictures_are_classic(mode: str) -> None:
    pixels = np.ones(MODES[mode].shape(33, 40), MODES[mode].dtype)
    picture = Picture(pixels, mode, OPAQUE if mode == "P" else None)
    assert kinds(auto(picture))[-1:] == ["CLSC"]
    assert "MODL" not in kinds(auto(picture))
    assert_comes_back(learned(picture), picture)


@pytest.mark.parametrize("mode", CODED)
@pytest.mark.parametrize("region", [(0, 0, 1, 1), (30, 40, 20, 50), (69, 129, 1, 1), (0, 0, WIDTH, HEIGHT)])
def test_regions(mode: str, region: tuple[int, int, int, int]) -> None:
    picture = drawn(mode, HEIGHT, WIDTH)
    x, y, width, height = region
    found = bbcodec.decompress(learned(picture), region=region)
    assert found.dtype == picture.pixels.dtype
    assert np.array_equal(found, picture.pixels[y : y + height, x : x + width])


@pytest.mark.parametrize("mode", CODED)
def test_cost_maps_add_up(mode: str) -> None:
    data = learned(drawn(mode, HEIGHT, WIDTH))
    bits = bbcodec.cost_map(data)
    chains = unpack_chains(section(data, "CHNS"))
    assert bits.shape == (HEIGHT, WIDTH)
    assert len(chains) == BLOCKS * (2 if MODES[mode].alpha else 1)
    rest = 8 * sum(map(len, chains)) - float(bits.sum(dtype=np.float64))
    assert 0 <= rest <= CHAIN_OVERHEAD * len(chains)


def test_the_cost_of_alpha_is_in_the_map() -> None:
    pixels = np.full((HEIGHT, WIDTH, 4), 90, np.uint8)
    pixels[:, WIDTH // 2 :, 3] = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH // 2))
    bits = bbcodec.cost_map(learned(pixels))
    assert bits[:, WIDTH // 2 :].mean() > 7.5
    assert bits[:, : WIDTH // 2].mean() < 1


@pytest.mark.parametrize("mode", CODED)
def test_info(mode: str) -> None:
    told = bbcodec.info(learned(drawn(mode, HEIGHT, WIDTH)))
    alpha = MODES[mode].alpha
    assert told.mode == mode
    assert told.method == "learned"
    assert told.coders == ("colour + alpha: learned" if alpha else "colour: learned",)
    assert told.learned is not None
    assert told.learned["chains"] == BLOCKS * (2 if alpha else 1)
    assert told.model_embedded


# --- damaged files ------------------------------------------------------------------------------------------


def damaged(data: bytes, chains: list[int]) -> bytes:
    """Return a file with one wrong byte in each of these chains."""
    out = bytearray(data)
    stored = section(data, "CHNS")
    sizes = [len(chain) for chain in unpack_chains(stored)]
    for chain in chains:
        behind = sum(sizes[chain:])
        out[stored.offset + len(stored.payload) - behind + sizes[chain] // 2] ^= 0x55
    return bytes(out)


def without_sums(data: bytes) -> bytes:
    parsed = container.read(data)
    return container.write(parsed.header, [s for s in parsed.sections if s.kind != "sums"])


def told(found: Any) -> list[tuple[str, tuple[tuple[int, int, int, int], ...]]]:
    return [(loss.what, loss.regions) for loss in found.lost if loss.regions]


@pytest.mark.parametrize("sums", [True, False])
@pytest.mark.parametrize("block", [0, 3, 5])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_damaged_chain_of_alpha_costs_no_colours(mode: str, block: int, sums: bool) -> None:
    pixels = drawn(mode, HEIGHT, WIDTH).pixels
    data = learned(pixels)
    data = damaged(data if sums else without_sums(data), [BLOCKS + block])
    found = bbcodec.salvage(data)
    wanted = pixels.copy()
    wanted[(*area(block), -1)] = 255
    assert np.array_equal(found.picture.pixels, wanted)
    assert told(found) == [("alpha", (region_of(block),))]


@pytest.mark.parametrize("sums", [True, False])
@pytest.mark.parametrize("block", [0, 3, 5])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_damaged_chain_of_colours_costs_no_alpha(mode: str, block: int, sums: bool) -> None:
    pixels = drawn(mode, HEIGHT, WIDTH).pixels
    data = learned(pixels)
    data = damaged(data if sums else without_sums(data), [block])
    found = bbcodec.salvage(data)
    wanted = pixels.copy()
    wanted[(*area(block), slice(-1))] = 128
    assert np.array_equal(found.picture.pixels, wanted)
    assert told(found) == [("colour", (region_of(block),))]


@pytest.mark.parametrize(
    "chains",
    [
        [*range(BLOCKS)],  # all colours
        [*range(BLOCKS, 2 * BLOCKS)],  # all of alpha
        [0, 1, 2, BLOCKS + 3, BLOCKS + 4, BLOCKS + 5],  # as many as there are blocks
        [*range(1, 2 * BLOCKS)],
    ],
)
def test_what_is_left_of_colours_and_alpha_is_saved(chains: list[int]) -> None:
    pixels = drawn("RGBA", HEIGHT, WIDTH).pixels
    found = bbcodec.salvage(damaged(learned(pixels), chains))
    wanted = pixels.copy()
    for chain in chains:
        alpha, block = divmod(chain, BLOCKS)
        wanted[(*area(block), slice(3, 4) if alpha else slice(3))] = 255 if alpha else 128
    assert np.array_equal(found.picture.pixels, wanted)
    assert told(found) == [
        ("alpha" if chain >= BLOCKS else "colour", (region_of(chain % BLOCKS),)) for chain in chains
    ]


@pytest.mark.parametrize("mode", ["LA", "RGB"])
def test_if_every_chain_is_damaged_nothing_is_saved(mode: str) -> None:
    data = learned(drawn(mode, HEIGHT, WIDTH))
    chains = [*range(len(unpack_chains(section(data, "CHNS"))))]
    for file in (data, without_sums(data)):
        with pytest.raises(FormatError, match="every chain is damaged"):
            bbcodec.salvage(damaged(file, chains))


@pytest.mark.parametrize("new", [0, 1, 2, 7, 15, 0x83])
def test_a_damaged_mask_costs_nothing(new: int) -> None:
    """Masks of the colours and of alpha alone, and masks that RGBA does not have."""
    pixels = drawn("RGBA", HEIGHT, WIDTH).pixels
    data = bytearray(learned(pixels))
    data[section(bytes(data), "CHNS").offset] = new
    found = bbcodec.salvage(bytes(data))
    assert np.array_equal(found.picture.pixels, pixels)
    assert told(found) == []


@pytest.mark.parametrize("palette", [ALPHAS, PALETTES[3]])
@pytest.mark.parametrize("sums", [True, False])
def test_lost_indices_are_0(sums: bool, palette: Palette) -> None:
    picture = drawn("P", HEIGHT, WIDTH, palette)
    data = learned(picture)
    found = bbcodec.salvage(damaged(data if sums else without_sums(data), [1, 4]))
    wanted = picture.pixels.copy()
    wanted[area(1)] = wanted[area(4)] = 0
    assert np.array_equal(found.picture.pixels, wanted)
    assert found.picture.palette == palette
    assert told(found) == [("colour", (region_of(block),)) for block in (1, 4)]


def test_an_order_of_colours_needs_them_all() -> None:
    data = learned(drawn("P", HEIGHT, WIDTH, OPAQUE))
    assert section(data, "PLTE").payload[0] >> 4 >= 4
    with pytest.raises(FormatError, match=r"nothing can be saved.*order of colours, which are lost"):
        bbcodec.salvage(damaged(data, [1]))


def test_lost_bits_are_0() -> None:
    picture = drawn("1", HEIGHT, WIDTH)
    found = bbcodec.salvage(damaged(learned(picture), [0, 5]))
    wanted = picture.pixels.copy()
    wanted[area(0)] = wanted[area(5)] = False
    assert found.picture.pixels.dtype == np.bool_
    assert np.array_equal(found.picture.pixels, wanted)
    assert told(found) == [("colour", (region_of(block),)) for block in (0, 5)]


@pytest.mark.parametrize("mode", CODED)
def test_of_sound_files_nothing_is_lost(mode: str) -> None:
    picture = drawn(mode, HEIGHT, WIDTH, OPAQUE)
    for data in (learned(picture), without_sums(learned(picture)), auto(picture)):
        found = bbcodec.salvage(data)
        assert found.lost == ()
        assert found.picture.same(picture)


# --- malformed files ----------------------------------------------------------------------------------------


def test_files_that_break_a_rule_are_refused() -> None:
    for data, _, message in universal_cases.refused(model()):
        with pytest.raises(FormatError, match=message):
            bbcodec.decompress(data)
        with pytest.raises(FormatError):
            bbcodec.cost_map(data)
        for read in (bbcodec.info, bbcodec.salvage):
            with contextlib.suppress(BBCodecError):
                read(data)


@pytest.mark.parametrize("mode", CODED)
def test_damage_raises_no_other_error(mode: str) -> None:
    small = loglinear_cases.small_model(table_bits=12)
    data = bbcodec.compress(drawn(mode, 9, 8), method="learned", model=small, verify=False)
    rng = np.random.default_rng(4)
    for _ in range(60):
        parsed = container.read(data)
        chosen = int(rng.integers(len(parsed.sections)))
        payload = bytearray(parsed.sections[chosen].payload)
        payload[int(rng.integers(len(payload)))] ^= 1 << int(rng.integers(8))
        sections = list(parsed.sections)
        sections[chosen] = Section(sections[chosen].kind, bytes(payload))
        changed = container.write(parsed.header, sections)
        with pytest.raises(BBCodecError):
            bbcodec.decompress(changed, model=small)
        with contextlib.suppress(BBCodecError):
            bbcodec.salvage(changed, model=small)


# --- the choice ---------------------------------------------------------------------------------------------


def test_is_flat() -> None:
    pixels = np.full((3, 4, 4), 7, np.uint8)
    pixels[..., 1] = 9
    assert choose.is_flat(pixels)
    assert choose.is_flat(pixels[:1, :1])
    for at in ((0, 0, 0), (2, 3, 3), (1, 0, 2)):
        other = pixels.copy()
        other[at] ^= 1
        assert not choose.is_flat(other)


def test_classic_may_win() -> None:
    share = choose.CLASSIC_ABOVE_QUICK_WEBP
    small, large = (universal_cases.drawn("L", *size).pixels[..., None] for size in ((9, 9), (300, 300)))
    for samples in (small, large):
        assert choose.classic_may_win(samples, int(1000 * share) + 1, lambda: 1000)
        assert not choose.classic_may_win(samples, int(1000 * share), lambda: 1000)
    photograph = np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8)
    assert not choose.classic_may_win(photograph, 2000, lambda: pytest.fail("WebP is asked"))


def samples_of(data: bytes) -> int:
    """Return the bytes of everything that holds the samples of a file, and its palette."""
    return sum(len(s.payload) for s in container.read(data).sections if s.kind != "sums")


@pytest.mark.parametrize(
    "picture",
    [
        *(drawn(mode, 60, 80, specks=0.0) for mode in CODED),
        *(drawn(mode, 60, 80, specks=0.3) for mode in CODED),
        drawn("RGBA", 32, 32, colours=2, specks=0.0),
        drawn("P", 200, 300, OPAQUE, specks=0.0),
        Picture(np.tile(drawn("RGB", 8, 16, specks=1.0).pixels, (12, 9, 1)), "RGB"),  # repeats itself
        Picture(np.add.outer(np.arange(64), np.arange(90)).astype(np.uint8), "L"),
        Picture(np.random.default_rng(2).integers(0, 256, (40, 50, 4), np.uint8), "RGBA"),
    ],
)
def test_auto_takes_the_smaller_one(picture: Picture) -> None:
    """It may be larger than the classic method only where that was not tried."""
    files = {method: bbcodec.compress(picture, method=method) for method in ("auto", "learned", "classic")}
    size = {method: samples_of(data) for method, data in files.items()}
    assert size["auto"] <= size["learned"]
    if size["auto"] > size["classic"]:
        mask = section(files["learned"], "CHNS").payload[0]
        samples = learned_samples.samples_of(picture, mask, MODES[picture.mode])
        assert samples is not None
        assert not choose.classic_may_win(
            samples, size["auto"], lambda: classic.webp_size(samples, quick=True)
        )
    assert size["auto"] in (size["learned"], size["classic"])


def test_repeats_are_left_to_the_classic_method() -> None:
    rng = np.random.default_rng(5)
    tile = rng.integers(0, 256, (16, 16, 4), np.uint8)
    assert kinds(auto(np.tile(tile, (8, 20, 1)))) == ["CLSC"]


# --- checksums of pieces ------------------------------------------------------------------------------------


def test_small_sections_have_no_checksums_of_pieces() -> None:
    small, large = learned(drawn("RGBA", 12, 12)), learned(drawn("RGBA", HEIGHT, WIDTH))
    for data, listed in ((small, False), (large, True)):
        chains = section(data, "CHNS")
        assert len(pieces.sizes(chains, 12, 12)) > 2
        assert (len(chains.payload) >= 1024) == listed
        assert (container.read(data).one("sums") is not None) == listed
        assert container.read(data).header.version == (1, int(listed))


def test_checksums_of_pieces_begin_at_1024_bytes() -> None:
    """The bound is of the payload of one section."""
    for size, listed in ((1023, False), (1024, True)):
        payload = bytes([3, 2]) + container.varint(500) + container.varint(size - 506) + bytes(size - 6)
        chains = Section(container.CHAINS, payload)
        assert len(chains.payload) == size
        assert bool(pieces.pack([chains], 9, 9)) == listed


def test_small_sections_with_checksums_of_pieces_are_read() -> None:
    """Files of before had them."""
    pixels = drawn("RGBA", 12, 12).pixels
    parsed = container.read(learned(pixels))
    chains = parsed.one("CHNS")
    assert chains is not None
    listed, at = b"", 0
    sizes = pieces.sizes(chains, 12, 12)
    for size in sizes:
        listed += container.varint(size) + zlib.crc32(chains.payload[at : at + size]).to_bytes(4, "little")
        at += size
    sums = container.varint(len(sizes)) + listed
    data = container.write(parsed.header, [*parsed.sections, Section("sums", sums)])
    assert np.array_equal(bbcodec.decompress(data), pixels)
    wrong = bytearray(sums)
    wrong[-1] ^= 1
    with pytest.raises(FormatError, match="piece 2 of CHNS"):
        bbcodec.decompress(container.write(parsed.header, [*parsed.sections, Section("sums", bytes(wrong))]))
    at = section(data, "CHNS").offset + len(chains.payload) - 3  # in the chain of alpha
    found = bbcodec.salvage(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert told(found) == [("alpha", ((0, 0, 12, 12),))]
    assert np.array_equal(found.picture.pixels[..., :3], pixels[..., :3])


# --- archives -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["auto", "learned"])
def test_archives(method: str, tmp_path: Path) -> None:
    pictures = {f"{mode}/{i}": drawn(mode, 20 + i, 31, seed=i) for mode in CODED for i in range(3)}
    pictures |= {f"P/{i}": drawn("P", 20, 31, palette) for i, palette in enumerate(PALETTES, 3)}
    pictures["P/equal"] = Picture(drawn("P", 9, 8).pixels, "P", Palette(COLOURS[:3] * 9))
    pictures["flat"] = Picture(np.full((9, 8, 4), 3, np.uint8), "RGBA")
    path = tmp_path / "a.bb"
    with bbcodec.Archive(path, "w", method=method, model=model()) as archive:
        for name, picture in pictures.items():
            archive[name] = picture
    with bbcodec.Archive(path) as archive:
        assert list(archive) == list(pictures)
        for name, picture in pictures.items():
            assert archive.picture(name).same(picture), name
        assert np.array_equal(archive.region("RGBA/1", (3, 4, 9, 8)), pictures["RGBA/1"].pixels[4:12, 3:12])
        assert np.array_equal(archive.region("P/3", (3, 4, 9, 8)), pictures["P/3"].pixels[4:12, 3:12])
