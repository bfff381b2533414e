# SPDX-License-Identifier: Apache-2.0
"""Of damaged files all that can be decoded is, and what is lost is said."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import bbcodec
from bbcodec import container
from bbcodec.bbfile import pieces
from bbcodec.container import Section, varint
from bbcodec.errors import FormatError, LimitError
from bbcodec.jobs import Execution
from bbcodec.picture.picture import Palette, Picture


def photo(height: int, width: int, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(height)
    y, x = np.mgrid[:height, :width]
    planes = [(x + y) // 7, 2 * x // 9, y // 5, 255 - x // 3][:channels]
    return (np.stack(planes, -1) + rng.integers(0, 3, (height, width, channels))).astype(np.uint8)


BLOCKS = photo(520, 40)
TILES = photo(3, 16500)
META = {"icc": bytes(range(100)), "exif": b"Exif\0\0II", "xmp": b"<x/>"}


@cache
def blocks() -> bytes:
    """Two blocks of 260 x 40 pixels."""
    return bbcodec.compress(BLOCKS, method="learned", model="fast", metadata=META, threads=1)


@cache
def tiles() -> bytes:
    """Two tiles of 8,250 x 3 pixels."""
    return bbcodec.compress(TILES, method="classic")


def section(data: bytes, kind: str) -> Section:
    found = container.read(data).one(kind)
    assert found is not None
    return found


def listed_pieces(data: bytes, kind: str = "CHNS") -> list[tuple[int, int]]:
    """Offset and size of each piece of the only section with samples."""
    (listed,) = pieces.unpack(section(data, "sums"))
    return [(section(data, kind).offset + piece.at, piece.size) for piece in listed]


def changed(data: bytes, at: int, new: bytes = b"") -> bytes:
    """Data with bytes replaced, by others in any case."""
    new = new or bytes([data[at] ^ 0x55])
    return data[:at] + new + data[at + len(new) :]


def without(data: bytes, kind: str) -> bytes:
    """A sound file without a section."""
    parsed = container.read(data)
    return container.write(parsed.header, [s for s in parsed.sections if s.kind != kind])


# --- the section --------------------------------------------------------------------------------------------


def test_only_files_of_several_pieces_have_checksums_of_them() -> None:
    for data, kind in ((blocks(), "CHNS"), (tiles(), "CLSC")):
        parsed = container.read(data)
        assert parsed.header.version == (1, 1)
        listed = pieces.unpack(section(data, "sums"))
        assert [len(pieces) for pieces in listed] == [3]
        assert sum(piece.size for piece in listed[0]) == len(section(data, kind).payload)
        assert len(section(data, "sums").payload) <= 3 * 8 + 1
    one = bbcodec.compress(photo(60, 40), method="learned", model="fast")
    assert container.read(one).header.version == (1, 0)
    assert container.read(one).one("sums") is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\1" + bytes(9),
        b"\0\0",
        b"\3" + bytes(15),
        b"\xff\xff\xff\xff\x0f",
        varint(2**40),
        b"\3\1",
    ],
)
def test_checksums_that_do_not_fit_make_a_file_invalid(payload: bytes) -> None:
    parsed = container.read(blocks())
    sections = [Section(s.kind, payload if s.kind == "sums" else s.payload) for s in parsed.sections]
    with pytest.raises(FormatError, match="sums"):
        bbcodec.decompress(container.write(parsed.header, sections))


def test_a_checksum_of_a_piece_is_checked() -> None:
    parsed = container.read(blocks())
    wrong = bytearray(section(blocks(), "sums").payload)
    wrong[-1] ^= 1
    sections = [Section(s.kind, bytes(wrong) if s.kind == "sums" else s.payload) for s in parsed.sections]
    with pytest.raises(FormatError, match="piece 2 of CHNS"):
        bbcodec.info(container.write(parsed.header, sections))


def test_readers_of_before_skip_them() -> None:
    assert np.array_equal(bbcodec.decompress(without(blocks(), "sums")), BLOCKS)


# --- sound files --------------------------------------------------------------------------------------------


def test_of_a_sound_file_nothing_is_lost() -> None:
    for data, image in ((blocks(), BLOCKS), (tiles(), TILES), (without(blocks(), "sums"), BLOCKS)):
        found = bbcodec.salvage(data, threads=1)
        assert found.lost == ()
        assert np.array_equal(found.picture.pixels, image)


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "I;16", "RGBA;16"])
def test_sound_files_of_every_kind(mode: str) -> None:
    from bbcodec.picture.picture import MODES

    info = MODES[mode]
    rng = np.random.default_rng(1)
    array = rng.integers(0, 2 if info.dtype == "bool" else 30, info.shape(9, 8)).astype(info.dtype)
    picture = Picture(array, mode, Palette(rng.bytes(90)) if mode == "P" else None)
    found = bbcodec.salvage(bbcodec.compress(picture, metadata=META))
    assert found.lost == ()
    assert found.picture.same(picture)
    assert found.picture.metadata.icc == META["icc"]


# --- one piece is damaged -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sums", [True, False])
@pytest.mark.parametrize("number", [0, 1])
def test_a_damaged_block_costs_its_pixels(number: int, sums: bool) -> None:
    at, size = listed_pieces(blocks())[1 + number]
    data = blocks() if sums else without(blocks(), "sums")
    with pytest.raises(FormatError, match="checksum of section CHNS"):
        bbcodec.decompress(changed(data, at + size // 2))
    found = bbcodec.salvage(changed(data, at + size // 2), threads=1)
    lost = [loss for loss in found.lost if loss.regions]
    assert [(loss.what, loss.regions, loss.pixels) for loss in lost] == [
        ("colour", ((0, 260 * number, 40, 260),), 260 * 40)
    ]
    halves = found.picture.pixels[:260], found.picture.pixels[260:]
    assert (halves[number] == 128).all()
    assert np.array_equal(halves[1 - number], BLOCKS[260:] if number == 0 else BLOCKS[:260])
    assert found.picture.metadata.exif == META["exif"]


def test_a_damaged_tile_costs_its_pixels() -> None:
    at, size = listed_pieces(tiles(), "CLSC")[2]
    found = bbcodec.salvage(changed(tiles(), at + size // 2))
    assert [loss.regions for loss in found.lost if loss.regions] == [((8250, 0, 8250, 3),)]
    assert np.array_equal(found.picture.pixels[:, :8250], TILES[:, :8250])
    assert (found.picture.pixels[:, 8250:] == 128).all()


@pytest.mark.parametrize("kind", ["CHNS", "CLSC"])
def test_a_damaged_list_of_sizes_costs_nothing(kind: str) -> None:
    data, image = (blocks(), BLOCKS) if kind == "CHNS" else (tiles(), TILES)
    start, size = listed_pieces(data, kind)[0]
    for at in range(start, start + size):
        found = bbcodec.salvage(changed(data, at), threads=1)
        assert np.array_equal(found.picture.pixels, image)
        assert [loss.what for loss in found.lost] == ["file"]


@pytest.mark.parametrize("what", ["type", "length", "checksum"])
@pytest.mark.parametrize("kind", ["MODL", "CHNS", "sums", "iccp", "xmpd"])
def test_damage_around_a_section_costs_no_pixels(kind: str, what: str) -> None:
    found = section(blocks(), kind)
    lead = found.offset + len(found.payload) + 4 - found.size
    at = {"type": lead, "length": lead + 4, "checksum": lead + found.size - 1}[what]
    saved = bbcodec.salvage(changed(blocks(), at), threads=1, model="fast")
    assert np.array_equal(saved.picture.pixels, BLOCKS)
    assert saved.lost
    assert not any(loss.regions for loss in saved.lost)
    assert (saved.picture.metadata.icc is None) == (kind == "iccp")
    assert saved.picture.metadata.exif == META["exif"]


def test_a_damaged_name_of_a_model_is_told_by_what_is_left_of_it() -> None:
    at = section(blocks(), "MODL").offset
    for new in (b"\0", bytes(8)):
        assert np.array_equal(bbcodec.salvage(changed(blocks(), at, new)).picture.pixels, BLOCKS)
    gone = changed(blocks(), at, bytes(9))
    with pytest.raises(FormatError, match="id of the model is damaged"):
        bbcodec.salvage(gone)
    assert np.array_equal(bbcodec.salvage(gone, model="fast").picture.pixels, BLOCKS)


def test_one_damaged_byte_of_the_header_is_mended() -> None:
    for at in range(27):
        found = bbcodec.salvage(changed(tiles(), at))
        assert np.array_equal(found.picture.pixels, TILES)
        assert [loss.what for loss in found.lost] == ["file"]
        assert f"byte {at} " in found.lost[0].reason
    with pytest.raises(FormatError, match="nothing can be saved without the header"):
        bbcodec.salvage(changed(tiles(), 10, b"\0\0\0"))


def test_cut_off_files() -> None:
    """Blocks that are whole are there, whatever is missing behind them."""
    ends = [at + size for at, size in listed_pieces(blocks())]
    for size, halves in ((ends[1], 1), (ends[2] - 1, 1), (ends[2], 2), (len(blocks()) - 1, 2)):
        found = bbcodec.salvage(blocks()[:size], threads=1)
        rows = 260 * halves
        assert np.array_equal(found.picture.pixels[:rows], BLOCKS[:rows])
        assert (found.picture.pixels[rows:] == 128).all()
        assert any(loss.reason.startswith("file: no end marker") for loss in found.lost)
        assert any(loss.regions for loss in found.lost) == (halves == 1)
    with pytest.raises(FormatError, match="nothing can be saved"):
        bbcodec.salvage(blocks()[: ends[0] + 100])


def test_alpha_is_opaque_where_it_is_lost_and_colours_are_gray() -> None:
    image = photo(520, 40, 4)
    data = bbcodec.compress(image, method="learned", model="fast", threads=1)
    parsed = container.read(data)
    classic, chains = parsed.one("CLSC"), parsed.one("CHNS")
    assert classic is not None
    assert chains is not None
    found = bbcodec.salvage(changed(data, classic.offset + 1), threads=1).picture.pixels
    assert np.array_equal(found[..., :3], image[..., :3])
    assert (found[..., 3] == 255).all()
    found = bbcodec.salvage(changed(data, chains.offset + 500), threads=1).picture.pixels
    assert np.array_equal(found[..., 3], image[..., 3])
    assert (found[:260, :, :3] == 128).all()
    assert np.array_equal(found[260:], image[260:])


def test_classic_samples_of_one_piece_are_doubtful() -> None:
    image = photo(80, 70)
    data = bbcodec.compress(image, method="classic")
    at = section(data, "CLSC").offset
    doubtful = 0
    for place in range(at + 200, at + 2000, 200):
        try:
            found = bbcodec.salvage(changed(data, place))
        except FormatError:
            continue
        doubtful += 1
        assert [loss.regions for loss in found.lost if loss.doubtful] == [((0, 0, 70, 80),)]
    assert doubtful


def test_a_damaged_palette_becomes_gray() -> None:
    rng = np.random.default_rng(0)
    picture = Picture(rng.integers(0, 20, (300, 200)).astype(np.uint8), "P", Palette(rng.bytes(60)))
    data = bbcodec.compress(picture)
    found = section(data, "PLTE")
    saved = bbcodec.salvage(changed(data, found.offset))
    assert [loss.what for loss in saved.lost if loss.what != "file"] in (["PLTE"], [])
    if saved.lost[-1].what == "PLTE":
        assert np.array_equal(saved.picture.pixels, picture.pixels)


@pytest.mark.parametrize("view", range(16))
def test_regions_of_turned_pictures(view: int) -> None:
    from bbcodec.families import learned
    from bbcodec.families.local import fitted
    from bbcodec.modelfile.registry import find as find_model

    image, model = photo(520, 40), find_model("fast")
    change = Section("FITT", fitted.Fitted(view=view).pack())
    coded = learned.encode(image, model, execution=Execution(threads=1), fitted=change)
    places = learned.places(520, 40, model, change)
    lost = {0: "taken away"}
    found = learned.decode(
        coded.chains, 520, 40, 3, model, execution=Execution(threads=1), fitted=change, lost=lost
    )
    assert (found[places[0][0]] == 128).all()
    assert np.array_equal(found[places[1][0]], image[places[1][0]])


def test_chains_of_tiles() -> None:
    """257 tiles of 64 x 64 are two chains; places of the second begin in the middle of a row."""
    from bbcodec.families import learned
    from bbcodec.modelfile.registry import find as find_model

    places = learned.places(64 * 16 + 1, 64 * 16, find_model("rvae"))
    area = sum((r.stop - r.start) * (c.stop - c.start) for chain in places for r, c in chain)
    assert len(places) == 2
    assert area == (64 * 16 + 1) * 64 * 16
    image = photo(70, 20)
    coded = learned.encode(image, find_model("rvae"), execution=Execution(threads=1))
    broken = [changed(coded.chains[0], len(coded.chains[0]) // 2)]
    lost: dict[int, str] = {}
    found = learned.decode(broken, 70, 20, 3, find_model("rvae"), execution=Execution(threads=1), lost=lost)
    assert list(lost) == [0]
    assert (found == 128).all()


def test_limits_hold() -> None:
    with pytest.raises(LimitError):
        bbcodec.salvage(changed(blocks(), 100), limits=100)


def test_never_an_error_of_another_kind() -> None:
    rng = np.random.default_rng(3)
    small = bbcodec.compress(photo(9, 7), metadata=META)
    for _ in range(80):
        data = bytearray(small)
        for _ in range(int(rng.integers(1, 5))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        cut = int(rng.integers(1, len(data) + 1)) if rng.random() < 0.3 else len(data)
        try:
            found = bbcodec.salvage(bytes(data[:cut]), limits=10**6)
        except bbcodec.BBCodecError:
            continue
        assert found.lost or np.array_equal(found.picture.array, photo(9, 7))
