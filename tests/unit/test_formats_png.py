# SPDX-License-Identifier: Apache-2.0
"""PNG files: every sample and every chunk is kept, named as left out, or refused."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from image_files import CASES, needs_cases, read, through, written
from PIL import Image

import bbcodec
from bbcodec.errors import FormatError, LimitError, UnsupportedImageError
from bbcodec.picture import formats
from bbcodec.picture.formats.png.chunks import parse
from bbcodec.picture.metadata import Metadata, Note
from bbcodec.picture.picture import Palette, Picture

Chunks = list[tuple[str, bytes]]


def chunk(kind: str, body: bytes) -> bytes:
    name = kind.encode()
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_file(
    width: int,
    height: int,
    depth: int,
    colour: int,
    rows: bytes,
    *,
    before: Chunks = [],  # noqa: B006 (read only)
    after: Chunks = [],  # noqa: B006
    interlace: int = 0,
) -> bytes:
    """Return a PNG file of raw rows, with chunks before and after the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    parts = [("IHDR", header), *before, ("IDAT", zlib.compress(rows)), *after, ("IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def others(data: bytes) -> list[tuple[str, bytes, int]]:
    return [(c.kind, bytes(c.body), c.place) for c in parse(data).others]


# --- the table of ../shared/cases ---------------------------------------------------------------------------

KEPT_PNG = ("cicp_hdr", "gama_chrm", "phys_aspect", "texts", "private_chunk", "gray4_trns", "gray2")


@needs_cases
@pytest.mark.parametrize("name", KEPT_PNG)
def test_png_cases_come_back_with_all_chunks(name: str) -> None:
    data = (CASES / f"{name}.png").read_bytes()
    reading = read(data)
    assert reading.left_out == ()
    back = written(through(reading.picture))
    assert others(back) == others(data)
    assert parse(back).header == parse(data).header
    png = pytest.importorskip("png", reason="pypng is not installed")
    assert [list(r) for r in png.Reader(bytes=back).read()[2]] == [
        list(r) for r in png.Reader(bytes=data).read()[2]
    ]


@needs_cases
def test_indices_beyond_the_palette_are_kept() -> None:
    png = pytest.importorskip("png", reason="pypng is not installed")
    data = (CASES / "pal_out_of_range.png").read_bytes()
    indices = [list(row) for row in png.Reader(bytes=data).read()[2]]
    picture = read(data).picture
    assert picture.pixels.tolist() == indices
    assert int(picture.pixels.max()) >= len(picture.palette.data) // 3
    back = written(through(picture))
    assert [list(row) for row in png.Reader(bytes=back).read()[2]] == indices
    bare = written(Picture(picture.pixels, "P", picture.palette))  # without the note of its depth
    assert [list(row) for row in png.Reader(bytes=bare).read()[2]] == indices


@needs_cases
@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("short_idat.png", FormatError, "pixel data end 388 bytes too early"),
        ("text_crc_bad.png", FormatError, "checksum of chunk tEXt"),
        ("anim.png", UnsupportedImageError, "animation"),
    ],
)
def test_refused_cases(name: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        bbcodec.read_image(CASES / name)


# --- files made by rule -------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("colour", [0, 3])
@pytest.mark.parametrize("interlace", [0, 1])
def test_low_depths(depth: int, colour: int, interlace: int) -> None:
    """Depth and samples of gray and palette come back; both readers agree."""
    png = pytest.importorskip("png", reason="pypng is not installed")
    rng = np.random.default_rng(depth)
    samples = rng.integers(0, 2**depth, (11, 13))
    palette = [tuple(map(int, c)) for c in rng.integers(0, 256, (2**depth, 3))] if colour == 3 else None
    writer = png.Writer(13, 11, greyscale=colour == 0, bitdepth=depth, palette=palette, interlace=interlace)
    out = io.BytesIO()
    (writer.write_array(out, samples.ravel().tolist()) if interlace else writer.write(out, samples.tolist()))
    data = out.getvalue()
    picture = read(data).picture
    scale = 255 // (2**depth - 1) if colour == 0 and depth > 1 else 1
    assert np.array_equal(picture.pixels, samples * scale)
    again = formats.read_again(io.BytesIO(data))
    assert again is not None
    assert again.same(picture)
    assert again.metadata == picture.metadata
    back = png.Reader(bytes=written(through(picture))).read()
    assert back[3]["bitdepth"] == depth
    assert np.array_equal(np.array([list(row) for row in back[2]]), samples)


@pytest.mark.parametrize(
    ("depth", "value", "key"), [(1, 1, 1), (2, 2, 170), (4, 5, 85), (8, 9, 9), (16, 700, 700)]
)
def test_transparency_of_gray(depth: int, value: int, key: int) -> None:
    rows = bytes(1 + -(-8 * depth // 8)) * 3
    data = png_file(8, 3, depth, 0, rows, before=[("tRNS", struct.pack(">H", value))])
    picture = read(data).picture
    assert picture.metadata.colour_key == key
    assert others(written(through(picture))) == others(data)


def test_a_gray_key_between_the_levels_of_the_depth_takes_a_deeper_file() -> None:
    picture = Picture(
        np.full((2, 2), 170, np.uint8),
        "L",
        metadata=Metadata(colour_key=3, notes=(Note("png", "depth", b"\x02"),)),
    )
    assert parse(written(picture)).header.depth == 8
    assert read(written(picture)).picture.metadata.colour_key == 3


def test_chunks_stay_in_order_and_in_place() -> None:
    before: Chunks = [
        ("tIME", bytes(7)),
        ("gAMA", struct.pack(">I", 45455)),
        ("tEXt", b"Title\0one"),
        ("tEXt", b"Title\0two"),
        ("PLTE", bytes(range(9))),
        ("hIST", bytes(6)),
        ("bKGD", bytes(6)),
        ("sPLT", b"name\0\x08" + bytes(6)),
        ("sPLT", b"other\0\x08" + bytes(6)),
        ("prVt", b"\0\xff"),
    ]
    after: Chunks = [
        ("iTXt", b"Title\0\0\0de\0Titel\0drei"),
        ("zTXt", b"Comment\0\0" + zlib.compress(b"four")),
        ("eXIf", b"II*\0\x08\0\0\0\0\0\0\0\0\0"),
        ("npTc", b"x" * 40),
    ]
    data = png_file(2, 2, 8, 2, bytes(14), before=before, after=after)
    picture = read(data).picture
    assert picture.metadata.text == (
        ("Title", "one"),
        ("Title", "two"),
        ("Title", "drei"),
        ("Comment", "four"),
    )
    back = written(through(picture))
    assert others(back) == others(data)
    assert bytes(parse(back).palette or b"") == bytes(range(9))


def test_changed_fields_replace_their_chunks() -> None:
    """Where a note and a field disagree, the field counts."""
    icc = b"ICC" * 50
    before: Chunks = [
        ("iCCP", b"mine\0\0" + zlib.compress(icc)),
        ("pHYs", struct.pack(">IIB", 1000, 1000, 1)),
        ("iTXt", b"Title\0\0\0de\0Titel\0eins"),
        ("tEXt", b"Author\0me"),
        ("gAMA", bytes(4)),
    ]
    picture = read(png_file(1, 1, 8, 0, bytes(2), before=before)).picture
    assert picture.metadata.icc == icc
    changed = Metadata(
        icc=b"new", dpi=(100.0, 100.0), text=(("Author", "you"),), notes=picture.metadata.notes
    )
    found = read(written(Picture(picture.pixels, "L", metadata=changed))).picture.metadata
    assert (found.icc, found.text) == (b"new", (("Author", "you"),))
    assert found.dpi == pytest.approx((100, 100), rel=1e-3)
    kinds = [kind for kind, _, _ in others(written(Picture(picture.pixels, "L", metadata=changed)))]
    assert sorted(kinds) == ["gAMA", "iCCP", "pHYs", "tEXt"]


def test_plain_files_have_no_notes() -> None:
    """Chunks that the fields give are not kept twice."""
    out = io.BytesIO()
    Image.new("RGB", (3, 2)).save(out, "PNG", dpi=(300, 300), icc_profile=b"icc" * 30)
    metadata = read(out.getvalue()).picture.metadata
    assert metadata.notes == ()
    assert metadata.icc == b"icc" * 30
    assert metadata.dpi is not None


@pytest.mark.parametrize(
    ("alphas", "kept"), [(b"\xff\0\xff\xff", b"\xff\0\xff\xff"), (b"\xff\0", 1), (b"\x80", b"\x80")]
)
def test_transparency_of_a_palette(alphas: bytes, kept: Any) -> None:
    data = png_file(2, 2, 8, 3, bytes(6), before=[("PLTE", bytes(range(12))), ("tRNS", alphas)])
    picture = read(data).picture
    assert picture.palette is not None
    assert picture.palette.transparency == (1 if alphas == b"\xff\0\xff\xff" else kept)
    assert others(written(through(picture))) == others(data)


def test_a_palette_picture_of_few_colours_takes_the_least_depth() -> None:
    picture = Picture(np.zeros((2, 3), np.uint8), "P", Palette(bytes(range(9))))
    assert parse(written(picture)).header.depth == 2


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (png_file(2, 2, 8, 0, bytes(5)), FormatError, "end 1 bytes too early"),
        (png_file(2, 2, 8, 0, bytes(6))[:-12], FormatError, "cut off|no IEND"),
        (
            png_file(2, 2, 8, 0, bytes(6), before=[("ABCd", b"")]),
            UnsupportedImageError,
            "critical chunk ABCd",
        ),
        (png_file(2, 2, 8, 0, bytes(6), before=[("CgBI", b"")]), UnsupportedImageError, "CgBI"),
        (png_file(2, 2, 8, 3, bytes(6)), FormatError, "palette is missing"),
        (png_file(2, 2, 3, 0, bytes(6)), FormatError, "3 bits a sample"),
        (png_file(2, 2, 8, 0, bytes(6), before=[("fdAT", bytes(4))]), UnsupportedImageError, "animation"),
        (png_file(0, 2, 8, 0, bytes(6)), FormatError, "0 x 2"),
    ],
)
def test_damaged_and_odd_png(data: bytes, error: type[Exception], words: str) -> None:
    for reader in (formats.read, formats.read_again):
        with pytest.raises(error, match=words):
            reader(io.BytesIO(data))


def test_an_apng_of_one_picture_is_a_picture() -> None:
    data = png_file(2, 2, 8, 0, bytes(6), before=[("acTL", struct.pack(">II", 1, 0))])
    picture = read(data).picture
    assert others(written(picture)) == others(data)


def test_png_that_leaves_something_out() -> None:
    assert read(png_file(2, 2, 8, 0, bytes(9))).left_out != ()
    behind = read(png_file(2, 2, 8, 0, bytes(6)) + b"PK")
    assert behind.left_out == ("2 bytes behind the end of the PNG",)
    forbidden = read(png_file(1, 1, 8, 4, bytes(3), before=[("tRNS", bytes(2))]))
    assert forbidden.left_out == ("a tRNS chunk that breaks the rules of PNG",)


def test_png_pixel_limit() -> None:
    with pytest.raises(LimitError):
        formats.read(io.BytesIO(png_file(20, 20, 8, 0, bytes(420))), max_pixels=399)
