# SPDX-License-Identifier: Apache-2.0
"""Chunks of pictures as bytes: shapes, types, layouts, ways, damage."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from small_pictures import pictures

from bbcodec.arrays import chunks
from bbcodec.arrays.chunks import Options
from bbcodec.arrays.numbers import DTYPES
from bbcodec.arrays.stacks import BATCH, PLAIN, PLANES, RANKS, STACK
from bbcodec.errors import BBCodecError, FormatError, LimitError, OptionError, UnsupportedImageError

WAY = 9  # where the way stands
FAST = Options(model="fast")
STACK_OF_RGB = np.stack(pictures(3, 8, 9))


def there_and_back(array: np.ndarray, options: Options = FAST) -> bytes:
    data = chunks.encode(array, options)
    found = chunks.decode(data)
    assert (found.shape, found.dtype) == (array.shape, array.dtype)
    assert np.array_equal(found, array)
    assert found.flags.f_contiguous == array.flags.f_contiguous
    assert found.flags.writeable
    return data


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2"])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (5, 7, 4), (4, 1, 1), (2, 3, 5, 7)])
@pytest.mark.parametrize("channels", [(), (2,), (3,)])
def test_shapes_and_types(shape: tuple[int, ...], channels: tuple[int, ...], dtype: str) -> None:
    shape += channels
    values = np.random.default_rng(2).integers(0, 256 ** np.dtype(dtype).itemsize, shape)
    there_and_back(values.astype(dtype))


def test_layouts_of_memory() -> None:
    there_and_back(np.asfortranarray(STACK_OF_RGB))
    there_and_back(np.asfortranarray(STACK_OF_RGB[0, :, :, 0]))
    there_and_back(np.ascontiguousarray(STACK_OF_RGB[:, ::-1, ::2]))
    sliced = STACK_OF_RGB[:, ::-1, ::2]  # in no order that is kept
    assert np.array_equal(chunks.decode(chunks.encode(sliced, FAST)), sliced)


def test_channels_first() -> None:
    planes = np.ascontiguousarray(np.moveaxis(STACK_OF_RGB, -1, 1))
    first = there_and_back(planes, Options(model="fast", layout="chw"))
    assert len(first) == len(chunks.encode(STACK_OF_RGB, FAST))  # the same pictures
    there_and_back(planes[0], Options(model="fast", layout="chw"))


def test_small_pictures_are_a_batch_and_graphics_are_not() -> None:
    smooth = np.stack(pictures(12, 32, 32))
    learned = Options(model="fast", method="learned")
    assert there_and_back(smooth, learned)[WAY] == BATCH
    assert there_and_back(smooth[..., 0], learned)[WAY] == BATCH
    assert there_and_back(smooth, Options(method="classic"))[WAY] == STACK
    assert there_and_back(smooth[0])[WAY] == STACK
    labels = np.repeat(np.repeat(np.arange(4, dtype=np.uint8).reshape(1, 2, 2), 16, axis=1), 16, axis=2)
    flat = there_and_back(np.repeat(labels, 20, axis=0))
    assert flat[WAY] != BATCH
    assert len(flat) < 150


def test_a_volume_is_coded_as_planes() -> None:
    """Slices that are like the ones before them, of 8 bits and of 12."""
    y, x = np.mgrid[:24, :30]
    depth = np.arange(9)[:, None, None]
    noise = np.random.default_rng(0).normal(0, 3, (1, 24, 30))
    volume = 120 + 60 * np.sin(x / 4 + depth / 9) + 30 * np.cos(y / 3) + noise
    eight = np.clip(volume, 0, 255).astype(np.uint8)
    assert there_and_back(eight)[WAY] == PLANES
    twelve = (16 * volume).astype(np.int16)
    alone = sum(len(chunks.encode(plane, FAST)) for plane in twelve)
    assert len(there_and_back(twelve)) < 0.7 * alone
    assert len(there_and_back(twelve.reshape(3, 3, 24, 30))) < 0.8 * alone


@pytest.mark.parametrize("dtype", [dtype.str for dtype in DTYPES])
def test_every_type_of_numbers_comes_back_bit_for_bit(dtype: str) -> None:
    rng = np.random.default_rng(1)
    size = np.dtype(dtype).itemsize
    smooth = (np.arange(150).reshape(10, 15) % 100).astype(dtype)
    noise = rng.integers(0, 2 if dtype == "|b1" else 256, (2, 7, 9 * size), dtype=np.uint8).view(dtype)
    for array in (smooth, noise):  # the noise holds NaN of many kinds, infinities and subnormal numbers
        data = chunks.encode(array, FAST)
        found = chunks.decode(data)
        assert (found.shape, found.dtype) == (array.shape, array.dtype)
        assert found.tobytes() == array.tobytes()


def test_scaled_samples_cost_what_the_samples_cost() -> None:
    rng = np.random.default_rng(2)
    plain = (800 + 300 * np.sin(np.arange(80) / 9) + rng.normal(0, 9, (60, 80))).astype(np.int16)
    size = len(chunks.encode(plain, FAST))
    gaps = 60  # bytes of a list
    for scaled in (plain.astype(np.int32) * 257, plain << 3, plain.astype(np.float32), plain / 8):
        assert len(chunks.encode(scaled, FAST)) <= size + gaps


def test_many_channels_are_predicted_from_each_other() -> None:
    rng = np.random.default_rng(3)
    one = 2000 + 500 * np.sin(np.arange(40) / 5) + rng.normal(0, 60, (30, 40))
    cube = np.stack([(0.8 + 0.01 * c) * one + rng.normal(0, 4, one.shape) for c in range(20)])
    spectra = cube.astype(np.uint16)
    alone = sum(len(chunks.encode(plane, FAST)) for plane in spectra)
    options = Options(model="fast", layout="chw")
    assert len(there_and_back(spectra, options)) < 0.75 * alone
    assert (
        there_and_back(np.ascontiguousarray(np.moveaxis(spectra, 0, -1)), Options(layout="hwc"))[WAY]
        == PLANES
    )


def test_planes_do_not_depend_on_threads() -> None:
    array = np.random.default_rng(4).integers(0, 5000, (3, 40, 50)).astype(np.uint16)
    assert chunks.encode(array, FAST) == chunks.encode(array, FAST, threads=2)


def test_classic_is_taken_where_the_model_is_worse() -> None:
    half = np.random.default_rng(1).integers(0, 2, (6, 32, 32), dtype=np.uint8) * 255
    data = there_and_back(half)
    assert data[WAY] == STACK
    assert len(data) < len(chunks.encode(half, Options(model="fast", method="learned")))


def test_the_same_bytes_for_any_number_of_threads() -> None:
    assert chunks.encode(STACK_OF_RGB, FAST) == chunks.encode(STACK_OF_RGB, FAST, threads=2)


@pytest.mark.parametrize(
    ("array", "layout", "message"),
    [
        (np.zeros((4, 4), np.complex64), "auto", "complex64"),
        (np.zeros((4, 4), "M8[s]"), "auto", "datetime64"),
        (np.zeros(16, np.uint8), "auto", "1 axes"),
        (np.zeros((4, 4), np.uint8), "hwc", "2 axes"),
        (np.zeros((1, 1, 4097), np.uint8), "hwc", "4097 channels"),
        (np.zeros((4097, 1, 1), np.uint8), "chw", "4097 channels"),
        (np.zeros((0, 4, 4), np.uint8), "auto", "no samples"),
    ],
)
def test_what_cannot_be_coded(array: np.ndarray, layout: str, message: str) -> None:
    with pytest.raises(UnsupportedImageError, match=message):
        chunks.encode(array, Options(layout=layout))


@pytest.mark.parametrize("options", [{"method": "best"}, {"layout": "whc"}, {"verify": "no"}, {"model": 3}])
def test_options_that_do_not_exist(options: dict[str, str]) -> None:
    with pytest.raises(OptionError, match=next(iter(options))):
        Options(**options)


@pytest.mark.parametrize("method", ["learned", "classic"])
def test_every_damaged_byte_is_noticed(method: str) -> None:
    data = bytearray(chunks.encode(STACK_OF_RGB, Options(model="fast", method=method)))
    for at in range(len(data)):
        data[at] ^= 0x21
        with pytest.raises(FormatError):
            chunks.decode(data)
        data[at] ^= 0x21
    for size in range(0, len(data), 7):
        with pytest.raises(FormatError):
            chunks.decode(data[:size])


def test_hostile_heads_raise_our_errors() -> None:
    """Every byte of the head changed, under a checksum that is right."""
    good = chunks.encode(STACK_OF_RGB, FAST)
    for at in range(26):
        for value in (0, 1, 3, 16, 127, 128, 255):
            body = bytearray(good[:-4])
            if body[at] == value:
                continue
            body[at] = value
            sealed = bytes(body) + zlib.crc32(body).to_bytes(4, "little")
            try:
                found = chunks.decode(sealed)
            except BBCodecError:
                continue
            assert found.tobytes("A") != b""  # another byte order or layout of the same samples
            assert at in (10, 11)


def test_limits() -> None:
    with pytest.raises(LimitError, match="100 pixels"):
        chunks.decode(chunks.encode(STACK_OF_RGB, FAST), limits=100)


def test_a_missing_model_matters_only_if_it_is_needed() -> None:
    data = chunks.encode(STACK_OF_RGB, FAST)
    assert np.array_equal(chunks.decode(data, model="/nowhere/mine.bbm"), STACK_OF_RGB)
    assert np.array_equal(chunks.decode(data, model="photo"), STACK_OF_RGB)


# --- bytes and ranks ----------------------------------------------------------------------------------------


def test_arrays_that_repeat_are_coded_as_bytes() -> None:
    noise = np.random.default_rng(1).integers(0, 2**31, (20, 30)).astype("<i4")
    for dtype in ("<i4", ">f4", "<f8"):
        assert there_and_back(np.tile(noise, (4, 1, 1)).astype(dtype), Options())[WAY] == PLAIN
    assert there_and_back(noise, Options(method="classic"))[WAY] == PLAIN
    assert there_and_back(np.tile(noise, (4, 1, 1)), Options(method="learned"))[WAY] == PLANES


def labels(dtype: str, count: int = 40) -> np.ndarray:
    y, x = np.mgrid[:90, :80]
    areas = (y // 17 * 7 + x // 23 * 3 + (x + y) // 40 * 2) * 37 % count
    ids = np.random.default_rng(0).choice(np.iinfo("i2").max, count, replace=False)
    return ids.astype(dtype)[areas]


@pytest.mark.parametrize("dtype", ["<u2", ">i4", "<f4", ">f8", "<i8"])
def test_labels_are_coded_as_ranks(dtype: str) -> None:
    data = there_and_back(labels(dtype), Options())
    assert data[WAY] == RANKS
    stack = np.stack([labels(dtype), labels(dtype)[::-1]])
    assert there_and_back(stack, Options(layout="hw"))[WAY] == RANKS
    assert len(data) < 1.5 * len(chunks.encode(labels("u2") // 900, Options()))


def test_nan_and_minus_zero_among_few_values() -> None:
    table = np.array([0.0, -0.0, np.nan, np.inf, 1.5, -7], "<f4")
    table.view(np.uint32)[2] |= 77
    array = table[labels("<i4", 6) % 6]
    found = chunks.decode(chunks.encode(array, Options()))
    assert found.tobytes() == array.tobytes()


def test_ranks_without_values_are_refused() -> None:
    data = bytearray(chunks.encode(labels("<u2"), Options()))
    assert data[WAY] == RANKS
    at = data.index(39, WAY + 4)  # the number of values, less 1
    for count in (38, 200):
        wrong = bytearray(data)
        wrong[at] = count
        wrong[-4:] = zlib.crc32(wrong[:-4]).to_bytes(4, "little")
        with pytest.raises(FormatError):
            chunks.decode(bytes(wrong))


def test_bits_of_bools() -> None:
    odd = (np.random.default_rng(1).integers(0, 2, (3, 20, 20), np.uint8) * 2).view(np.bool_)
    assert chunks.decode(chunks.encode(odd)).tobytes() == odd.tobytes()
