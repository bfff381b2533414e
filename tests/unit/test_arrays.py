# SPDX-License-Identifier: Apache-2.0
"""Array files: any numbers, any shape, parts of arrays, damage, and heads that claim too much."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bbcodec
from bbcodec.arrays import head, source, writer
from bbcodec.arrays.axes import Axes, default_axes
from bbcodec.arrays.head import Head, Stored
from bbcodec.arrays.numbers import DTYPES
from bbcodec.arrays.source import Extent
from bbcodec.arrays.stacks import Options
from bbcodec.arrays.writer import Numbers, Original
from bbcodec.errors import BBCodecError, FormatError, LimitError, OptionError, UnsupportedImageError
from bbcodec.jobs import SERIAL, Execution

RANDOM = np.random.default_rng(5)
VOLUME = RANDOM.integers(-300, 300, (5, 4, 6, 7)).astype(np.int16)


def there_and_back(array: Any, **options: Any) -> bbcodec.ArrayFile:
    data = bbcodec.compress(array, **options)
    found = bbcodec.decompress(data)
    wanted = np.asarray(array)
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    assert found.tobytes() == wanted.tobytes()
    assert found.flags.f_contiguous == wanted.flags.f_contiguous
    assert found.flags.writeable
    return bbcodec.ArrayFile(data)


@pytest.mark.parametrize("dtype", [*DTYPES, np.dtype("<c8"), np.dtype(">c16")], ids=str)
def test_types(dtype: np.dtype[Any]) -> None:
    values = RANDOM.integers(0, 2 if dtype.kind == "b" else 120, (3, 6, 7))
    if dtype.kind == "c":
        there_and_back((values + 1j * values[::-1]).astype(dtype), axes="zyx")
    else:
        there_and_back(values.astype(dtype), axes="zyx")


@pytest.mark.parametrize(
    "shape", [(), (1,), (9,), (0,), (3, 0, 2), (1, 1), (4, 5, 6), (6, 7, 3), (2, 3, 4, 5), (2, 1, 2, 3, 4, 2)]
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_shapes_and_orders(shape: tuple[int, ...], order: Any) -> None:
    array = RANDOM.integers(0, 9, shape).astype(np.int32, order=order)
    there_and_back(array, axes="abtzyx"[6 - len(shape) :])


def test_large_floats_in_many_planes() -> None:
    values = np.array([1e308, -1e308, np.inf, np.nan, 5e-324, 0, -1, 2]).reshape(2, 1, 2, 2)
    there_and_back(np.tile(values, (1, 3, 1, 1)), axes="tzyx", group=2)


def test_bits_of_floats() -> None:
    bits = np.array([0x7FC00001, 0xFFC12345, 0x80000000, 0, 0x7F800000, 1, 0x80000001], np.uint32)
    there_and_back(np.tile(bits, (4, 1)).view(np.float32))


def test_a_picture_stays_a_picture_unless_axes_are_named() -> None:
    picture = RANDOM.integers(0, 9, (6, 7, 3)).astype(np.uint8)
    assert isinstance(bbcodec.info(bbcodec.compress(picture)), bbcodec.Info)
    assert isinstance(bbcodec.info(bbcodec.compress(picture[..., 0] > 3)), bbcodec.Info)
    found = there_and_back(picture, axes="zyx")
    assert found[0].axes == "zyx"
    assert there_and_back(picture, group=2)[0].axes == "yxs"
    assert there_and_back(picture.astype(np.int8))[0].axes == "yxs"


def test_default_axes() -> None:
    found = [default_axes(shape) for shape in ((), (3,), (3, 4), (9, 9, 9), (9, 9, 4), (1,) * 4, (1,) * 7)]
    assert found == ["", "x", "yx", "zyx", "yxs", "tzyx", "abtczyx"]


def test_axes_and_what_they_are_for() -> None:
    named = Axes("tczyx", (2, 3, 4, 5, 6))
    assert (named.leading, named.plane, named.channel) == ((0, 2), (3, 4), 1)
    assert named.coded_shape((2, 3, 1, 5, 6)) == (2, 5, 6, 3)
    swapped = Axes("xcy", (2, 5000, 4))  # too many channels: they lead
    assert (swapped.leading, swapped.plane, swapped.channel) == ((1,), (2, 0), None)
    assert Axes("ab", (2, 3)).plane == (0, 1)
    assert Axes("s", (3,)).coded_shape((3,)) == (1, 1, 3)


@pytest.mark.parametrize("axes", ["yx", "zyxx", "zyy", "zy1", "zyX ", ""])
def test_axes_that_do_not_suit(axes: str) -> None:
    with pytest.raises(OptionError):
        bbcodec.compress(VOLUME[0], axes=axes)


@pytest.mark.parametrize("array", [np.array(["a"]), np.zeros(3, "M8[s]"), np.zeros(3, object)])
def test_no_numbers(array: np.ndarray) -> None:
    with pytest.raises(UnsupportedImageError, match="expected bool, integers, floats"):
        bbcodec.compress(array)


def test_options_of_pictures() -> None:
    for options in ({"fit": 1}, {"recovery": 5}, {"embed_model": True}, {"metadata": {"icc": b"x"}}):
        with pytest.raises(OptionError, match="are for pictures"):
            bbcodec.compress(VOLUME, **options)
    with pytest.raises(OptionError, match="group is 0"):
        bbcodec.compress(VOLUME, group=0)


def test_the_bytes_do_not_depend_on_threads_and_memory() -> None:
    data = bbcodec.compress(VOLUME, group=2, threads=1)
    assert bbcodec.compress(VOLUME, group=2, threads=3) == data
    sliced = np.repeat(VOLUME, 2, axis=1)[:, ::2]
    assert bbcodec.compress(sliced, group=2) == data


def test_methods() -> None:
    classic = bbcodec.compress(VOLUME, method="classic")
    assert set(bbcodec.info(classic).arrays[0]["ways"]) == {"bytes"}
    repeated = np.tile(VOLUME[:, :1, :, :], (1, 8, 1, 1))
    assert bbcodec.info(bbcodec.compress(repeated)).arrays[0]["ways"]["bytes"]
    assert np.array_equal(bbcodec.decompress(classic), VOLUME)
    bytes_of_8_bits = VOLUME.astype(np.uint8)
    there_and_back(bytes_of_8_bits, axes="tzyx", model="deep-quick", method="learned")


# --- parts --------------------------------------------------------------------------------------------------

KEYS: list[Any] = [
    ...,
    0,
    -1,
    (3, 2, 1, 0),
    slice(None, None, -1),
    (slice(4, 0, -2), slice(3, None, -3)),
    (..., slice(1, 6, 2)),
    (slice(None), ..., 0),
    (slice(2, 2),),
    (np.int64(2), slice(-3, None)),
]


@pytest.mark.parametrize("group", [1, 3, 16])
def test_indexing_as_numpy_does(group: int) -> None:
    file = bbcodec.ArrayFile(bbcodec.compress(VOLUME, axes="tzyx", group=group))
    array = file[0]
    assert (array.shape, array.dtype, array.ndim, array.size) == ((5, 4, 6, 7), np.int16, 4, 840)
    assert len(array) == 5
    for key in KEYS:
        found = array[key]
        assert found.shape == VOLUME[key].shape
        assert np.array_equal(found, VOLUME[key]), key
    assert np.array_equal(np.asarray(array), VOLUME)


@pytest.mark.parametrize("key", [5, -6, (0,) * 5, "a", 1.0, True, [0], None, (..., ...)])
def test_indices_that_are_none(key: Any) -> None:
    array = bbcodec.ArrayFile(bbcodec.compress(VOLUME))[0]
    with pytest.raises(IndexError):
        array[key]


def test_complex_parts() -> None:
    values = VOLUME + 1j * VOLUME[::-1]
    array = bbcodec.ArrayFile(bbcodec.compress(values, axes="tzyx", group=2))[0]
    assert (array.shape, array.axes, array.dtype) == (VOLUME.shape, "tzyx", np.complex128)
    for key in KEYS:
        assert np.array_equal(array[key], values[key])


def test_a_plane_decodes_one_group() -> None:
    steps: list[int] = []
    execution = Execution(1, progress=lambda done, total: steps.append(total))
    data = bbcodec.compress(VOLUME, axes="tzyx", group=1)
    file = bbcodec.ArrayFile(data, execution=execution)
    assert file[0].group == (1, 1, 6, 7)
    file[0][2, 3]
    assert steps == [1]
    file[0][:2, 3]
    assert steps[1:] == [2, 2]


def test_groups_lie_along_the_axis_of_likeness() -> None:
    smooth = np.cumsum(VOLUME.astype(np.int32) * [[[[9]]]], axis=0) * 0 + np.arange(4)[:, None, None] * 900
    noisy = smooth + RANDOM.integers(0, 5, (5, 4, 6, 7))
    assert bbcodec.ArrayFile(bbcodec.compress(noisy, axes="tzyx", group=5))[0].group == (5, 1, 6, 7)
    turned = np.moveaxis(noisy, 0, 1)
    assert bbcodec.ArrayFile(bbcodec.compress(turned, axes="ztyx", group=10))[0].group == (2, 5, 6, 7)


def test_regions() -> None:
    data = bbcodec.compress(VOLUME, axes="tzyx")
    assert np.array_equal(bbcodec.decompress(data, region=(1, 2, 3, 4)), VOLUME[:, :, 2:6, 1:4])
    turned = bbcodec.compress(VOLUME, axes="xytz")
    assert np.array_equal(bbcodec.decompress(turned, region=(1, 0, 3, 2)), VOLUME[1:4, 0:2])
    with pytest.raises(OptionError):
        bbcodec.decompress(data, region=(5, 0, 3, 2))


def test_files_are_read_in_parts(tmp_path: Path) -> None:
    path = tmp_path / "a.bb"
    bbcodec.write(path, VOLUME, axes="tzyx", group=1)
    with bbcodec.ArrayFile(path) as file:
        assert np.array_equal(file[0][1, 1:3], VOLUME[1, 1:3])
    assert np.array_equal(bbcodec.decompress(path), VOLUME)
    assert np.array_equal(bbcodec.read(path), VOLUME)
    with pytest.raises(UnsupportedImageError, match="a bbcodec file of arrays"):
        bbcodec.read_image(path)
    whole = path.read_bytes()
    for name, data in (("empty", b""), ("short", whole[:9]), ("cut", whole[:-1]), ("head", whole[:30])):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FormatError, match=rf"{name}: .*array file"):
            bbcodec.ArrayFile(tmp_path / name)


def test_a_damaged_file_is_closed_and_its_error_is_told(tmp_path: Path) -> None:
    data = bytearray(bbcodec.compress(VOLUME, axes="tzyx", group=1))
    data[-9] ^= 1
    path = tmp_path / "a.bb"
    path.write_bytes(data)
    with pytest.raises(FormatError, match="checksum"), bbcodec.ArrayFile(path) as file:
        file[0][...]
    file = bbcodec.ArrayFile(path)
    part = file[0][0, 0]
    file.close()
    assert np.array_equal(part, VOLUME[0, 0])
    with pytest.raises(ValueError, match="closed"):
        file[0][0, 0]


def test_threads_read_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bb"
    bbcodec.write(path, VOLUME, axes="tzyx", group=1)
    with bbcodec.ArrayFile(path, threads=4) as file:
        for _ in range(5):
            assert np.array_equal(file[0][...], VOLUME)


# --- what else asks -----------------------------------------------------------------------------------------


def test_functions_for_pictures_say_what_reads_arrays() -> None:
    data = bbcodec.compress(VOLUME)
    for function in (bbcodec.decompress_picture, bbcodec.decompress_image, bbcodec.cost_map, bbcodec.salvage):
        with pytest.raises(FormatError, match=r"holds arrays.*bbcodec\.ArrayFile"):
            function(data)


def test_info() -> None:
    found = bbcodec.info(bbcodec.compress(VOLUME + 1j, axes="tzyx", group=2))
    assert isinstance(found, bbcodec.ArrayInfo)
    (array,) = found.arrays
    assert array["shape"] == [5, 4, 6, 7]
    assert array["axes"] == "tzyx"
    assert array["groups"] == sum(array["ways"].values()) == 3 * 4
    assert found.source is None
    assert found.as_dict()["file_size"] == found.file_size


def test_limits() -> None:
    file = bbcodec.ArrayFile(bbcodec.compress(VOLUME, axes="tzyx", group=1), limits=2 * 6 * 7)
    assert file[0][0, :2].shape == (2, 6, 7)
    with pytest.raises(LimitError, match="126 pixels, the limit is 84"):
        file[0][0, :3]
    small = bbcodec.Limits(max_memory=1000)
    with pytest.raises(LimitError, match="bytes of memory"):
        bbcodec.ArrayFile(bbcodec.compress(VOLUME), limits=small)[0][...]


# --- sources ------------------------------------------------------------------------------------------------


def files_with_two_arrays() -> Iterator[tuple[bytes, list[Numbers], tuple[Extent, ...]]]:
    first, second = VOLUME[0], VOLUME[1, 0].astype(">f4")
    for order in itertools.permutations(range(3)):
        half = first.nbytes // 2
        parts = [(0, 0, half), (0, half, first.nbytes - half), (1, 0, second.nbytes)]
        data, extents = b"begin", []
        for number in order:
            array, start, size = parts[number]
            extents.append(Extent(len(data), array, start, size))
            data += (first, second)[array].tobytes()[start : start + size] + b"-" * number
        yield data, [Numbers(first, "zyx"), Numbers(second, "yx")], tuple(extents)


@pytest.mark.parametrize("case", list(files_with_two_arrays()), ids=range(6))
def test_a_source_comes_back(case: tuple[bytes, list[Numbers], tuple[Extent, ...]]) -> None:
    data, arrays, extents = case
    coded = writer.encode(arrays, Options(), SERIAL, original=Original(data, ".xyz", extents), group=2)
    file = bbcodec.ArrayFile(coded)
    assert file.original() == file.content() == data
    assert file.suffix == ".xyz"
    assert [array.shape for array in file.arrays] == [(4, 6, 7), (6, 7)]
    with pytest.raises(OptionError, match="holds 2 arrays"):
        bbcodec.decompress(coded)


def test_a_source_without_arrays() -> None:
    coded = writer.encode([], Options(), SERIAL, original=Original(b"text" * 9, ".dcm", ()))
    assert bbcodec.ArrayFile(coded).original() == b"text" * 9
    with pytest.raises(OptionError, match="holds no array"):
        bbcodec.decompress(coded)
    with pytest.raises(OptionError, match="no original"):
        bbcodec.ArrayFile(bbcodec.compress(VOLUME)).original()


def test_frames_that_do_not_fit() -> None:
    packed = source.pack(b"abcdef", (Extent(2, 0, 0, 3),))

    def restore(frame: bytes, size: int = 6, length: int = 3) -> bytes:
        return source.restore(frame, size, source.digest(b"abcdef"), [length], lambda _: b"cde")

    assert restore(packed) == b"abcdef"
    for wrong in (packed[:-1], b"", b"\xff" * 9 + packed, source.pack(b"abcdef", (Extent(2, 1, 0, 3),))):
        with pytest.raises(FormatError):
            restore(wrong)
    for size, length in ((5, 3), (7, 3), (6, 2)):
        with pytest.raises(FormatError):
            restore(packed, size, length)
    with pytest.raises(FormatError, match="checksum"):
        source.restore(packed, 6, bytes(8), [3], lambda _: b"cde")


# --- damage -------------------------------------------------------------------------------------------------


def test_every_damaged_byte_is_noticed() -> None:
    data = bbcodec.compress(VOLUME[:2, :2], axes="tzyx", group=1)
    for at in range(len(data)):
        wrong = bytearray(data)
        wrong[at] ^= 1 << at % 8
        with pytest.raises(BBCodecError):
            bbcodec.decompress(bytes(wrong))
    for size in range(0, len(data), 7):
        with pytest.raises(BBCodecError):
            bbcodec.decompress(data[:size])
    with pytest.raises(BBCodecError):
        bbcodec.decompress(data + b"\0")


def test_salvage() -> None:
    data = bytearray(bbcodec.compress(VOLUME, axes="tzyx", group=1))
    with bbcodec.ArrayFile(bytes(data)) as file:
        at, size = list(file[0].extents())[7]
        assert file.whole
    data[at + size // 2] ^= 4
    file = bbcodec.ArrayFile(bytes(data), salvage=True)
    assert not file.whole
    wanted = VOLUME.copy()
    wanted[1, 3] = 0
    assert np.array_equal(file[0][...], wanted)
    (lost,) = file.lost.values()
    assert (lost.array, lost.place[:2]) == (0, (slice(1, 2), slice(3, 4)))
    cut = bbcodec.ArrayFile(bytes(data[:at]), salvage=True)
    assert np.array_equal(cut[0][...].reshape(20, 6, 7)[:7], VOLUME.reshape(20, 6, 7)[:7])
    assert len(cut.lost) == 13


def test_a_damaged_source_is_restored_with_zeros() -> None:
    data = VOLUME[0].tobytes() + b"tail"
    extents = (Extent(0, 0, 0, VOLUME[0].nbytes),)
    numbers = [Numbers(VOLUME[0], "zyx")]
    coded = bytearray(writer.encode(numbers, Options(), SERIAL, original=Original(data, ".raw", extents)))
    at, size = next(bbcodec.ArrayFile(bytes(coded))[0].extents())
    coded[at + size - 1] ^= 1
    with pytest.raises(FormatError):
        bbcodec.ArrayFile(bytes(coded)).original()
    assert bbcodec.ArrayFile(bytes(coded), salvage=True).original() == bytes(VOLUME[0].nbytes) + b"tail"


def head_of(body: bytes) -> bytes:
    data = head.MAGIC + b"\1" + bytes([len(body)]) + body
    return data + zlib.crc32(data).to_bytes(4, "little")


HUGE = b"\xff\xff\xff\xff\x0f"
WRONG_HEADS = {
    "arrays": b"\x7f",
    "samples": b"\1\x63\0\0\0",
    "form": b"\1\0\4\0\0\0",
    "axes": b"\1\0\0\x11" + b"abcdefghijklmnopq",
    "same letters": b"\1\0\0\2yy\2\2\2\2\1\0",
    "capital": b"\1\0\0\1Y\2\2\1\0",
    "group 0": b"\1\0\0\1x\2\0\1\0",
    "long group": b"\1\0\0\1x\2\3\1\0",
    "part of a plane": b"\1\0\0\2yx\2\2\1\2\1\1\0",
    "part of the channels": b"\1\0\0\3yxc\2\2\3\2\2\1\1\1\0",
    "65,535 channels in groups of one": b"\1\0\0\3cyx\xff\xff\3\2\2\1\2\2\0",
    "groups without sizes": b"\1\0\0\3zyx" + HUGE + b"\1\1\1\1\1\0",
    "complex integers": b"\1\0\2\2yx\2\2\2\2\1\0",
    "complex without parts": b"\1\x0a\2\2yx\2\3\2\3\1\0",
    "source": b"\0\2",
    "form of the source": b"\0\1\4\4.dcm\1" + bytes(8) + b"\1",
    "suffix": b"\0\1\0\5.d/cm\1" + bytes(8) + b"\1",
    "suffix of dots": b"\0\1\0\4...x\1" + bytes(8) + b"\1",
    "more bytes": b"\0\0\0",
    "sizes": b"\1\0\0\1x\2\2\5\0",
}


@pytest.mark.parametrize("body", WRONG_HEADS.values(), ids=WRONG_HEADS)
def test_wrong_heads_are_refused(body: bytes) -> None:
    with pytest.raises(FormatError):
        bbcodec.ArrayFile(head_of(body))


def test_heads_are_read_as_they_are_written() -> None:
    stored = (
        Stored(np.dtype(">i2"), "zyx", (5, 6, 7), (2, 6, 7), (9, 8, 7), by_column=True),
        Stored(np.dtype("<f4"), "yxs", (6, 7, 2), (6, 7, 2), (0,), is_complex=True),
    )
    origin = head.Source(".nii.gz", 99, bytes(range(8)), 3, is_gzip=True)
    packed = head.pack(Head(stored, origin))
    assert head.unpack(packed + bytes(27)) == (Head(stored, origin), len(packed))


def test_a_claim_of_many_samples_takes_no_memory() -> None:
    """A head may claim a shape that its groups do not have: nothing is allocated before one is decoded."""
    small = bbcodec.compress(np.zeros((2, 2), np.int8))
    at, size = next(bbcodec.ArrayFile(small)[0].extents())
    side = b"\xff\xff\x01"  # 32,767
    data = head_of(b"\1\3\0\3zyx" + side * 6 + bytes([size]) + b"\0") + small[at : at + size]
    file = bbcodec.ArrayFile(data, limits=2**62)
    assert file[0].shape == (32767,) * 3
    with pytest.raises(FormatError, match="expected"):
        file[0][...]
    with pytest.raises(LimitError):
        bbcodec.ArrayFile(data)[0][...]
