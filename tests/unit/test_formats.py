# SPDX-License-Identifier: Apache-2.0
"""Readers of image files account for every sample and every piece of meaning: kept, named, or refused."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import bbcodec
from bbcodec.errors import FormatError, LeftOutWarning, LimitError, UnsupportedImageError
from bbcodec.picture import formats
from bbcodec.picture.files import left_out, write_image
from bbcodec.picture.formats.png.chunks import parse
from bbcodec.picture.metadata import Metadata, Note
from bbcodec.picture.picture import Palette, Picture

CASES = Path(__file__).parents[3] / "shared" / "cases"
needs_cases = pytest.mark.skipif(not CASES.is_dir(), reason="the odd files are not at ../shared/cases")

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


def read(data: bytes) -> formats.Reading:
    return formats.read(io.BytesIO(data))


def written(picture: Picture, format: str = "png") -> bytes:
    out = io.BytesIO()
    write_image(out, picture, format=format)
    return out.getvalue()


def through(picture: Picture) -> Picture:
    """The picture of the `.bb` file of a picture."""
    return bbcodec.decompress_picture(bbcodec.compress(picture, method="classic"))


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


@needs_cases
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("trailing_zip.png", "204 bytes behind the end"),
        ("p5_two_images.pgm", "further pictures"),
        ("bmp32_rgb.bmp", "fourth byte"),
    ],
)
def test_cases_that_leave_something_out(name: str, words: str) -> None:
    with pytest.warns(LeftOutWarning, match=words):
        bbcodec.read_image(CASES / name)
    assert any(words in item for item in formats.read(CASES / name).left_out)


@needs_cases
@pytest.mark.parametrize(("name", "shape"), [("p5_16.pgm", (24, 32)), ("p6_16.ppm", (24, 32, 3))])
def test_deep_pnm_cases(name: str, shape: tuple[int, ...]) -> None:
    data = (CASES / name).read_bytes()
    picture = read(data).picture
    samples = np.frombuffer(data[-2 * int(np.prod(shape)) :], ">u2").reshape(shape)
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(picture.pixels, samples)
    assert written(through(picture), "ppm").endswith(samples.tobytes())


@needs_cases
def test_a_photograph_on_bars_takes_the_smallest_method() -> None:
    picture = bbcodec.read_image(CASES / "c_photo_on_bars.png")
    sizes = [len(bbcodec.compress(picture, method=method)) for method in ("auto", "classic", "learned")]
    assert sizes[0] == min(sizes)
    assert sizes[0] < 16_113  # JPEG XL, effort 9


# --- PNG ----------------------------------------------------------------------------------------------------


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


# --- PNM ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "mode", "samples"),
    [
        (b"P1\n# c\n3 2\n1 0 1\n010", "1", [[False, True, False], [True, False, True]]),
        (b"P2 2 1 9 3 9", "L", [[3, 9]]),
        (b"P3\n1 1\n255\n1 2 3\n", "RGB", [[[1, 2, 3]]]),
        (b"P4\n3 1\n\xa0", "1", [[False, True, False]]),
        (b"P5 2 1 255\n\x01\xff", "L", [[1, 255]]),
        (b"P5 1 1 4095\n\x0f\xff", "I;16", [[4095]]),
        (b"P6 1 1 65535 " + struct.pack(">3H", 1, 2, 65535), "RGB;16", [[[1, 2, 65535]]]),
    ],
)
def test_pnm_samples_are_those_stored(data: bytes, mode: str, samples: Any) -> None:
    reading = read(data)
    assert reading.left_out == ()
    assert reading.picture.mode == mode
    assert reading.picture.pixels.tolist() == samples
    again = read(written(through(reading.picture), "ppm"))
    assert again.picture.same(reading.picture)
    assert again.picture.metadata == reading.picture.metadata


def test_pnm_keeps_its_maximum_and_comments() -> None:
    data = b"P5\n# first\n#second\n2 1\n1000\n" + struct.pack(">2H", 7, 1000)
    picture = read(data).picture
    assert picture.metadata.note("pnm", "maxval") == b"1000"
    assert written(through(picture), "pgm") == data
    assert left_out(picture, "png") == ["PNM maxval", "PNM comment"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"P5 2 2 255\n\0\0\0", "end 1 bytes too early"),
        (b"P2 2 1 9 3 10", "above the maximum"),
        (b"P2 2 1 9 3", "too early"),
        (b"P2 2 1 9 3 x", "not a number"),
        (b"P5 0 1 255\n", "at least 1 x 1"),
        (b"P5 1 1 70000\n\0\0", "1 to 65535"),
        (b"P1 2 1 12", "neither 0 nor 1"),
        (b"P5 1 one 255\n", "expected a number"),
        (b"P5 " + b"#" * 2**17, "header"),
    ],
)
def test_damaged_pnm(data: bytes, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        read(data)


def test_pnm_limit_comes_before_the_samples() -> None:
    with pytest.raises(LimitError):
        formats.read(io.BytesIO(b"P5 100000 100000 255\n"), max_pixels=2**20)


# --- JPEG, GIF, BMP, TGA, WebP, QOI -------------------------------------------------------------------------


def saved(form: str, image: Image.Image | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    (image or Image.new("RGB", (8, 8), (9, 80, 200))).save(out, form, **options)
    return out.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (segment(0xED, b"Photoshop 3.0\0" + bytes(9)), "IPTC"),
        (segment(0xFE, b"words"), "comments"),
        (segment(0xE2, b"MPF\0" + bytes(20)), "further pictures"),
        (segment(0xE5, b"maker"), "APP5"),
        (segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(40)), "extended XMP"),
    ],
)
def test_jpeg_names_what_it_leaves_out(extra: bytes, words: str) -> None:
    plain = saved("JPEG")
    assert read(plain).left_out == ()
    assert read(plain).lossy
    reading = read(plain[:2] + extra + plain[2:])
    assert len(reading.left_out) == 1
    assert words in reading.left_out[0]
    assert reading.picture.same(read(plain).picture)


def test_jpeg_trailing_bytes_and_damage() -> None:
    plain = saved("JPEG")
    assert read(plain + b"PK12").left_out == ("4 bytes behind the picture",)
    with pytest.raises(FormatError, match="cut off"):
        read(plain[:-2])


def test_jpeg_keeps_icc_and_exif() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    reading = read(saved("JPEG", icc_profile=b"p" * 200, exif=exif))
    assert reading.left_out == ()
    assert reading.picture.metadata.icc == b"p" * 200
    assert reading.picture.metadata.exif is not None


def test_gif() -> None:
    plain = saved("GIF", Image.new("P", (5, 4)))
    assert read(plain).left_out == ()
    assert read(saved("GIF", Image.new("P", (5, 4)), comment=b"hello")).left_out == ("comments",)
    assert read(plain + b"tail").left_out == ("4 bytes behind the picture",)
    frames = [Image.new("RGB", (5, 4), (90 * i, 0, 0)) for i in range(3)]
    with pytest.raises(UnsupportedImageError, match="animation of 3 pictures"):
        read(saved("GIF", frames[0], save_all=True, append_images=frames[1:]))
    with pytest.raises(FormatError, match="cut off"):
        read(plain[:-1])


def bmp32(fourth: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, 2, 1, 1, 32, 0, 8, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 62, 0, 0, 54) + header + bytes([1, 2, 3, fourth, 4, 5, 6, 0])


def test_bmp() -> None:
    assert read(saved("BMP")).left_out == ()
    assert read(bmp32(0)).left_out == ()
    assert "fourth byte" in read(bmp32(1)).left_out[0]
    assert read(saved("BMP") + bytes(9)).left_out == ("9 bytes behind the picture",)


def test_tga() -> None:
    assert read(saved("TGA")).left_out == ()
    rgba = bytearray(saved("TGA", Image.new("RGBA", (3, 2))))
    assert read(bytes(rgba)).left_out == ()
    rgba[17] &= 0xF0
    assert "not alpha" in read(bytes(rgba)).left_out[0]
    assert read(saved("TGA", id_section=b"scan 7")).left_out == ("its identification text",)


def test_webp() -> None:
    lossless = saved("WEBP", lossless=True)
    assert (read(lossless).left_out, read(lossless).lossy) == ((), False)
    assert read(saved("WEBP")).lossy
    assert read(lossless + b"12345").left_out == ("5 bytes behind the picture",)
    frames = [Image.new("RGB", (8, 8), (i, 0, 0)) for i in range(2)]
    with pytest.raises(UnsupportedImageError, match="2 pictures"):
        read(saved("WEBP", frames[0], save_all=True, append_images=frames[1:], lossless=True))


# --- files of other kinds -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (bytes(128) + b"DICM", "DICOM"),
        (b"SIMPLE  =                    T", "FITS"),
        (b"\x93NUMPY\x01\0", "NumPy"),
        (struct.pack("<i", 348) + bytes(340) + b"n+1\0", "NIfTI"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\xff\x0a\x7f", "JPEG XL"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\0\0\0\x18ftypavif", "AVIF"),
        (b"%PDF-1.7", "PDF"),
        (b"II*\0\x10\0\0\0CR\x02\0", "CR2"),
        (b"FUJIFILMCCD-RAW ", "RAF"),
        (b"\0\0\0\x18ftypcrx ", "CR3"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"\x89BBA\r\n\x1a\n", "bbcodec archive"),
        (b"PK\x03\x04", "ZIP"),
        (b"PF\n2 2\n", "PFM"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
    ],
)
def test_files_of_other_kinds_are_named_with_a_way_out(head: bytes, name: str) -> None:
    data = head.ljust(600, b"\0")
    with pytest.raises(UnsupportedImageError, match=f"{name}.*;"):
        bbcodec.read_image(io.BytesIO(data))
    assert formats.sniff(data) is None


class Endless(io.RawIOBase):
    """A stream of no image that never ends, and counts what was read of it."""

    taken = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        assert size > 0, "asked for all of an endless stream"
        self.taken += size
        return b"x" * size


def test_no_picture_is_refused_after_its_first_bytes() -> None:
    stream = Endless()
    with pytest.raises(FormatError, match="not an image"):
        formats.read(stream)  # type: ignore[arg-type]
    assert stream.taken < 10_000


# --- notes in .bb files -------------------------------------------------------------------------------------


def test_notes_are_kept_and_checked() -> None:
    notes = (Note("tiff", "270/2", b"words\0", 3), Note("png", "gAMA", bytes(4)), Note("new", "x", b""))
    picture = Picture(np.zeros((2, 3), np.uint8), "L", metadata=Metadata(notes=notes))
    data = bbcodec.compress(picture)
    assert bbcodec.decompress_picture(data).metadata.notes == notes
    assert not bbcodec.decompress_picture(bbcodec.compress(picture, keep_metadata=False)).metadata
    for wrong in (Note("", "x"), Note("png", "é"), Note("png", "x", b"", 256)):
        with pytest.raises(bbcodec.OptionError, match="note"):
            bbcodec.compress(picture, metadata={"notes": [wrong]})
    many = tuple(Note("png", "gAMA") for _ in range(10_001))
    with pytest.raises(UnsupportedImageError, match="at most 10000"):
        bbcodec.compress(Picture(picture.pixels, "L", metadata=Metadata(notes=many)))


def test_a_palette_picture_of_few_colours_takes_the_least_depth() -> None:
    picture = Picture(np.zeros((2, 3), np.uint8), "P", Palette(bytes(range(9))))
    assert parse(written(picture)).header.depth == 2


def test_stripping_leaves_what_says_what_the_samples_mean() -> None:
    notes = (Note("png", "depth", b"\x02"), Note("png", "gAMA", bytes(4)), Note("tiff", "262/3", b"\0\0"))
    picture = Picture(
        np.zeros((2, 2), np.uint8), "L", metadata=Metadata(icc=b"icc", colour_key=0, notes=notes)
    )
    kept = bbcodec.decompress_picture(bbcodec.compress(picture, keep_metadata=False)).metadata
    assert kept == Metadata(colour_key=0, notes=(notes[0], notes[2]))


def test_what_a_file_says_of_its_notes_is_json() -> None:
    notes = (Note("png", "gAMA", bytes(4)),)
    picture = Picture(np.zeros((2, 2), np.uint8), "L", metadata=Metadata(notes=notes))
    report = bbcodec.info(bbcodec.compress(picture))
    assert json.loads(json.dumps(report.metadata)) == {"notes": [{"format": "png", "key": "gAMA", "size": 4}]}
