# SPDX-License-Identifier: Apache-2.0
"""Files of NumPy, DICOM, NIfTI, FITS and TIFF: what is found in them, and that they come back."""

from __future__ import annotations

import gzip
import io
import sys
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bbcodec
from bbcodec.arrays import files, formats
from bbcodec.arrays.formats.parts import Parts
from bbcodec.arrays.stacks import Options
from bbcodec.errors import FormatError, OptionError
from bbcodec.jobs import SERIAL

RANDOM = np.random.default_rng(3)
_SMOOTH = np.arange(17) * 9 + np.arange(22)[:, None] * 5 + np.arange(4)[:, None, None] * 30 - 300
VOLUME = (_SMOOTH + RANDOM.integers(0, 30, (4, 22, 17))).astype(np.int16)
COLOURS = RANDOM.integers(0, 90, (22, 17, 3)).astype(np.uint8)
MOST_BYTES = 120_000  # of a file from a package: the tests are to be quick


def found_in(data: bytes, name: str) -> list[tuple[tuple[int, ...], str, str]]:
    arrays, _ = formats.open_file(data, name)
    return [(one.array.shape, one.array.dtype.str, one.named.letters) for one in arrays]


def restored(path: Path, **options: Any) -> bbcodec.ArrayFile:
    """Compress a file, check that it comes back, and return its array file."""
    file = bbcodec.ArrayFile(bbcodec.compress(path, **options))
    data = path.read_bytes()
    if path.suffix == ".gz":
        assert file.content() == gzip.decompress(data)
        assert gzip.decompress(file.original()) == gzip.decompress(data)
    else:
        assert file.original() == data
    return file


def package_files(package: str, *patterns: str) -> list[Path]:
    """Return the small files that match a pattern in a package's folder; none if it is not installed."""
    places = [Path(place, package) for place in sys.path if Path(place, package).is_dir()]
    found = [path for place in places[:1] for pattern in patterns for path in sorted(place.glob(pattern))]
    return [path for path in found if path.is_file() and path.stat().st_size < MOST_BYTES]


# --- NumPy --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<i2", ">f4", "u1", "?", "<c8", "f8"])
def test_numpy_files(tmp_path: Path, dtype: str, order: Any) -> None:
    path = tmp_path / "a.npy"
    array = VOLUME.astype(dtype, order=order)
    np.save(path, array)
    file = restored(path)
    assert file.suffix == ".npy"
    found = file[0][...]
    assert found.dtype == array.dtype
    assert np.array_equal(found if order == "C" else found.T, array)
    assert file[0].axes == ("zyx" if order == "C" else "xyz")
    assert restored(path, axes="tyx")[0].axes == ("tyx" if order == "C" else "xyt")


@pytest.mark.parametrize(
    "array",
    [
        np.array(["text", "more"]),
        np.zeros(3, [("a", "i2"), ("b", "f4")]),
        np.zeros((0, 3)),
        np.array([{}], object),
        np.zeros(3, "M8[s]"),
    ],
)
def test_other_numpy_files_are_kept_as_bytes(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "a.npy"
    np.save(path, array, allow_pickle=True)
    assert len(restored(path)) == 0


def test_a_cut_numpy_file_is_kept_as_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, VOLUME)
    whole = path.read_bytes()
    for size in (9, 40, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert len(restored(path)) == 0
    assert "damaged NumPy file" in formats.open_file(whole[:40], "a.npy")[1].note
    path.write_bytes(whole + b"more")
    assert restored(path)[0].shape == VOLUME.shape


# --- DICOM --------------------------------------------------------------------------------------------------

NOT_KNOWN = "no_meta.dcm"  # begins with no element of group 2 or 8, as DICOM files do
DICOM = package_files("pydicom", "data/test_files/*.dcm", "data/charset_files/*.dcm")
DICOM = [path for path in DICOM if path.name != NOT_KNOWN]


@pytest.mark.parametrize("path", DICOM, ids=lambda path: path.name)
def test_dicom_files_come_back(path: Path) -> None:
    restored(path)


def test_what_is_found_in_dicom_files() -> None:
    pytest.importorskip("pydicom")
    wanted = {
        "CT_small.dcm": [((128, 128), "<i2", "yx")],
        "MR_small_bigendian.dcm": [((64, 64), ">i2", "yx")],
        "MR_small_padded.dcm": [((64, 64), "<i2", "yx")],
        "rtdose.dcm": [((15, 10, 10), "<u4", "zyx")],
        "ExplVR_BigEnd.dcm": [((3, 60, 80), "|u1", "syx")],
        "SC_rgb_small_odd.dcm": [((3, 3, 3), "|u1", "yxs")],
        "MR_small_jp2klossless.dcm": [],
        "image_dfl.dcm": [],
    }
    files = {path.name: path for path in DICOM}
    for name, arrays in wanted.items():
        assert found_in(files[name].read_bytes(), name) == arrays, name


def test_dicom_pixels_are_those_of_pydicom() -> None:
    pydicom = pytest.importorskip("pydicom")
    for path in DICOM:
        arrays, _ = formats.open_file(path.read_bytes(), path.name)
        dataset = pydicom.dcmread(path, force=True) if arrays else None
        if dataset is None or "422" in dataset.PhotometricInterpretation:
            continue
        if path.name == "SC_rgb_small_odd_big_endian.dcm":  # words of two bytes, which pydicom swaps
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of padding
            pixels = dataset.pixel_array
        found = arrays[0].array
        if pixels.ndim == 3 and found.shape[0] == 3 and pixels.shape[0] != 3:
            found = np.moveaxis(found, 0, -1)
        assert np.array_equal(found, pixels.reshape(found.shape)), path.name


# --- NIfTI and FITS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    package_files(
        "nibabel", "tests/data/*.nii", "tests/data/example_nifti2.nii.gz", "tests/data/stand*.nii.gz"
    ),
    ids=lambda path: path.name,
)
def test_nifti_files_come_back(path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    file = restored(path)
    assert file.suffix is not None
    assert path.name.endswith(file.suffix)
    raw = np.squeeze(np.asarray(nibabel.load(path).dataobj.get_unscaled()))
    assert np.array_equal(file[0][...].T, raw, equal_nan=raw.dtype.kind == "f")


@pytest.mark.parametrize("dtype", ["u1", "<i2", ">f4", "<c8", "f8", "rgb"])
def test_nifti_types(tmp_path: Path, dtype: str) -> None:
    nibabel = pytest.importorskip("nibabel")
    kind: Any = [("R", "u1"), ("G", "u1"), ("B", "u1")] if dtype == "rgb" else dtype
    values = np.zeros((9, 8, 7), kind) if dtype == "rgb" else VOLUME[:3, :8, :7].astype(kind)
    image = nibabel.Nifti1Image(values, np.eye(4), dtype=np.dtype(kind))
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(image, tmp_path / name)
        assert len(restored(tmp_path / name)) == 1


@pytest.mark.parametrize(
    "path",
    package_files("astropy", "io/fits/tests/data/*.fits", "wcs/tests/data/s*.fits"),
    ids=lambda path: path.name,
)
def test_fits_files_come_back(path: Path) -> None:
    restored(path)


def test_fits_images(tmp_path: Path) -> None:
    fits = pytest.importorskip("astropy.io.fits")
    path = tmp_path / "a.fits"
    units = [
        fits.PrimaryHDU(VOLUME),
        fits.ImageHDU(VOLUME[0].astype(np.uint16)),
        fits.CompImageHDU(VOLUME[0]),
    ]
    units += [fits.ImageHDU(VOLUME[0] / np.float32(3)), fits.ImageHDU()]
    columns = [fits.Column("a", "J", array=np.arange(5))]
    fits.HDUList([*units, fits.BinTableHDU.from_columns(columns)]).writeto(path)
    file = restored(path)
    assert [(array.shape, array.dtype.str, array.axes) for array in file.arrays] == [
        ((4, 22, 17), ">i2", "zyx"),
        ((22, 17), ">i2", "yx"),
        ((22, 17), ">f4", "yx"),
    ]
    assert np.array_equal(file[0][...], VOLUME)


def test_a_damaged_fits_file_is_kept_as_bytes(tmp_path: Path) -> None:
    fits = pytest.importorskip("astropy.io.fits")
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(VOLUME).writeto(path)
    path.write_bytes(path.read_bytes()[:3000])
    assert len(restored(path)) == 0


# --- TIFF ---------------------------------------------------------------------------------------------------

WAYS: dict[str, dict[str, Any]] = {
    "strips": {"rowsperstrip": 5},
    "one strip": {},
    "tiles": {"tile": (16, 16)},
    "BigTIFF": {"bigtiff": True, "byteorder": ">"},
}
STACKS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "pages": (VOLUME, {"metadata": None}, "yx"),
    "OME": (VOLUME.reshape(2, 2, 22, 17), {"metadata": {"axes": "CZYX"}, "ome": True}, "yx"),
    "floats": (VOLUME / np.float32(7), {}, "yx"),
    "colours": (np.stack([COLOURS, COLOURS[::-1]]), {"photometric": "rgb"}, "yxs"),
    "planes": (np.moveaxis(COLOURS, 2, 0)[None].repeat(2, 0), {"photometric": "rgb"}, "syx"),
    "CMYK": (RANDOM.integers(0, 9, (22, 17, 4)).astype(np.uint16), {"photometric": "separated"}, "yxs"),
    "many channels": (np.moveaxis(VOLUME.repeat(2, 0), 0, 2), {"planarconfig": "contig"}, "yxs"),
}


def write_stack(tifffile: Any, path: Path, stack: str, way: str, **more: Any) -> np.ndarray:
    values, options, _ = STACKS[stack]
    tifffile.imwrite(path, values, **{"photometric": "minisblack", **options, **WAYS[way], **more})
    return np.asarray(values)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stack", STACKS)
def test_tiff_files_come_back(tmp_path: Path, stack: str, way: str) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    values = write_stack(tifffile, path, stack, way)
    file = restored(path)
    assert len(file) == 1
    assert file[0].axes.endswith(STACKS[stack][2])
    assert np.array_equal(file[0][...].reshape(values.shape), values)


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stack", ["pages", "OME", "colours", "planes"])
def test_compressed_tiff_files_come_back_without_compression(
    tmp_path: Path, stack: str, way: str, compression: str
) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    predictor = compression in ("zlib", "lzw")
    values = write_stack(tifffile, path, stack, way, compression=compression, predictor=predictor)
    file = bbcodec.ArrayFile(bbcodec.compress(path))
    again = tmp_path / "b.tif"
    again.write_bytes(file.original())
    with tifffile.TiffFile(path) as one, tifffile.TiffFile(again) as two:
        assert [page.compression for page in two.pages] == [1] * len(two.pages)
        assert np.array_equal(two.asarray(), values)
        where = {"StripOffsets", "StripByteCounts", "TileOffsets", "TileByteCounts"}
        for first, second in zip(one.pages, two.pages, strict=True):
            tags = [{tag.name: tag.value for tag in page.aspage().tags.values()} for page in (first, second)]
            other = {name for name in tags[0] | tags[1] if tags[0].get(name) != tags[1].get(name)}
            assert other <= where | {"Compression", "Predictor"}
    assert np.array_equal(file[0][...].reshape(values.shape), values)


def test_pyramids_and_pages_of_all_kinds(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(path) as writer:
        options = {"tile": (16, 16), "compression": "zlib", "photometric": "minisblack"}
        writer.write(VOLUME, subifds=1, metadata={"axes": "ZYX"}, **options)
        writer.write(VOLUME[:, ::2, ::2], subfiletype=1, **options)
    file = bbcodec.ArrayFile(bbcodec.compress(path))
    assert [array.shape for array in file.arrays] == [(4, 22, 17), (4, 11, 9)]
    assert np.array_equal(tifffile.imread(io.BytesIO(file.original())), VOLUME)
    with tifffile.TiffWriter(tmp_path / "b.tif") as writer:
        writer.write(VOLUME[0], metadata=None)
        writer.write(VOLUME[0] > 0, metadata=None, photometric="minisblack")
        writer.write(COLOURS, metadata=None, photometric="rgb", compression="jpeg")
    mixed = restored(tmp_path / "b.tif")
    assert [array.shape for array in mixed.arrays] == [(22, 17)]


def test_a_tiff_file_that_was_compressed_better_is_kept(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    noise = RANDOM.integers(0, 2**16, (64, 64)).astype(np.uint16)  # repeated far apart
    tifffile.imwrite(path, np.tile(noise, (12, 1, 1)), compression="zlib", photometric="minisblack")
    file = bbcodec.ArrayFile(bbcodec.compress(path))
    assert np.array_equal(tifffile.imread(io.BytesIO(file.original())), np.tile(noise, (12, 1, 1)))


def test_pictures_stay_pictures(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, COLOURS, photometric="rgb")
    assert isinstance(bbcodec.info(bbcodec.compress(path)), bbcodec.Info)


# --- all ----------------------------------------------------------------------------------------------------


def test_formats_by_their_first_bytes() -> None:
    names = {"NumPy": b"\x93NUMPY", "FITS": b"SIMPLE  =", "TIFF": b"II*\0", "DICOM": bytes(128) + b"DICM"}
    names["NIfTI"] = b"\\\x01\0\0".ljust(344, b"\0") + b"n+1\0"
    for name, start in names.items():
        found = formats.format_of(start)
        assert found is not None
        assert found.name == name
        packed = formats.format_of(gzip.compress(start))
        assert packed is not None
        assert packed.name == name
        assert formats.holds_arrays(start) == (name != "TIFF")
    assert formats.format_of(b"\x89PNG\r\n\x1a\n") is None
    assert formats.format_of(b"\x1f\x8b nothing") is None
    assert formats.holds_arrays(b"\x08\0\x05\0", "a.DCM")
    assert not formats.holds_arrays(b"\x08\0\x05\0", "a.png")
    with pytest.raises(FormatError, match="not a NumPy"):
        formats.open_file(b"text", "a.npy")


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: data + b"x", lambda data: data[:200]]
)
def test_damaged_gzip_files(damage: Callable[[bytes], bytes]) -> None:
    whole = io.BytesIO()
    np.save(whole, VOLUME)
    with pytest.raises(FormatError, match="gzip"):
        formats.open_file(damage(gzip.compress(whole.getvalue())), "a.npy.gz")


def test_gzip_files_of_several_members_and_of_too_many_bytes() -> None:
    whole = io.BytesIO()
    np.save(whole, VOLUME)
    data = whole.getvalue()
    members = gzip.compress(data[:100]) + gzip.compress(data[100:]) + bytes(3)
    arrays, original = formats.open_file(members, "a.npy.gz")
    assert original.data == data
    assert np.array_equal(arrays[0].array, VOLUME)
    with pytest.raises(bbcodec.LimitError, match="gzip"):
        formats.open_file(members, "a.npy.gz", max_bytes=len(data) - 1)


@pytest.mark.parametrize(
    ("name", "start", "library"),
    [
        ("a.dcm", bytes(128) + b"DICM", "pydicom"),
        ("a.nii", b"\\\x01\0\0".ljust(344, b"\0") + b"n+1\0", "nibabel"),
        ("a.fits", b"SIMPLE  =", "astropy.io.fits"),
        ("a.tif", b"II*\0", "tifffile"),
    ],
)
def test_a_missing_library_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, start: bytes, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        OptionError, match=rf"needs {library.split('.')[0]}: pip install 'bbcodec\[science\]'"
    ):
        formats.open_file(start, name)


def test_arrays_that_share_bytes_are_stored_once() -> None:
    parts = Parts(bytes(range(100)))
    assert parts.add(10, "<u2", (4, 5), "yx")
    assert parts.add(20, "u1", (30,), "x")
    assert parts.add(60, "u1", (30, 1), "yx")
    assert not parts.add(90, "u1", (30,), "x")
    assert not parts.add(0, "S3", (3,), "x")
    arrays, extents = parts.ordered()
    assert [(one.array.shape, one.axes) for one in arrays] == [((4, 5), "yx"), ((30,), "y")]
    assert [(extent.at, extent.array) for extent in extents] == [(10, 0), (60, 1)]


# --- damage -------------------------------------------------------------------------------------------------


def small_files(folder: Path) -> list[Path]:
    """Write a small file of each format whose library is installed."""
    np.save(folder / "a.npy", VOLUME[:, :6, :7])
    found = [folder / "a.npy"]
    try:
        import nibabel
        import tifffile
        from astropy.io import fits
    except ModuleNotFoundError:
        return found
    nibabel.save(nibabel.Nifti1Image(VOLUME[:, :6, :7], np.eye(4)), folder / "a.nii")
    fits.PrimaryHDU(VOLUME[:, :6, :7]).writeto(folder / "a.fits")
    tifffile.imwrite(folder / "a.tif", VOLUME, photometric="minisblack", tile=(16, 16))
    tifffile.imwrite(folder / "b.tif", VOLUME, photometric="minisblack", compression="zlib", rowsperstrip=5)
    dicom = [path for path in DICOM if path.name in ("rtdose.dcm", "SC_rgb_small_odd.dcm")]
    return [*found, *(folder / name for name in ("a.nii", "a.fits", "a.tif", "b.tif")), *dicom]


def test_damaged_files_come_back_too(tmp_path: Path) -> None:
    """Whatever a library makes of a damaged file: it comes back byte for byte, or is refused by name."""
    random = np.random.default_rng(8)
    for path in small_files(tmp_path):
        whole = path.read_bytes()
        for _ in range(40):
            data = bytearray(whole[: random.integers(1, len(whole))] if random.random() < 0.3 else whole)
            for at in random.integers(0, min(len(data), 1200), random.choice([1, 2, 9])):
                data[at] = random.choice([0, 1, 255, random.integers(256)])
            options = Options(method="classic")
            if formats.format_of(bytes(data), path.name) is None:
                with pytest.raises(FormatError, match="not a NumPy, DICOM"):
                    files.compress_file(bytes(data), path.name, options, SERIAL)
                continue
            coded, original = files.compress_file(bytes(data), path.name, options, SERIAL)
            if not original.rewritten:
                assert bbcodec.ArrayFile(coded).content() == data


def test_a_tiff_file_that_claims_too_much_takes_no_memory(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    path = tmp_path / "a.tif"
    for options in ({"compression": "zlib"}, {"tile": (16, 16)}):
        tifffile.imwrite(path, VOLUME, photometric="minisblack", **options)
        data = bytearray(path.read_bytes())
        with tifffile.TiffFile(path) as file:
            places = [page.aspage().tags["ImageLength"].valueoffset for page in file.pages]
            tiles = [page.aspage().tags.get("TileLength") for page in file.pages]
        for at in places + [tag.valueoffset for tag in tiles if tag is not None]:
            data[at : at + 2] = b"\xff\x7f"
        path.write_bytes(data)
        tracemalloc.start()
        try:
            arrays, original = formats.open_file(bytes(data), "a.tif")
            assert tracemalloc.get_traced_memory()[1] < 50_000_000
        finally:
            tracemalloc.stop()
        assert arrays == []
        assert original.data == data
