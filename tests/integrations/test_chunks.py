# SPDX-License-Identifier: Apache-2.0
"""Chunks of pictures as bytes: shapes, types, layouts, ways, damage."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from small_pictures import pictures

from bbcodec.arrays import chunks
from bbcodec.arrays.chunks import Options
from bbcodec.arrays.stacks import BATCH, STACK
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
    assert there_and_back(smooth)[WAY] == BATCH
    assert there_and_back(smooth[..., 0])[WAY] == BATCH
    assert there_and_back(smooth, Options(method="classic"))[WAY] == STACK
    assert there_and_back(smooth[0])[WAY] == STACK
    labels = np.repeat(np.repeat(np.arange(4, dtype=np.uint8).reshape(1, 2, 2), 16, axis=1), 16, axis=2)
    flat = there_and_back(np.repeat(labels, 20, axis=0))
    assert flat[WAY] == STACK
    assert len(flat) < 150


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
        (np.zeros((4, 4), np.float32), "auto", "float32"),
        (np.zeros((4, 4), np.int16), "auto", "int16"),
        (np.zeros((4, 4), bool), "auto", "bool"),
        (np.zeros(16, np.uint8), "auto", "1 axes"),
        (np.zeros((4, 4), np.uint8), "hwc", "2 axes"),
        (np.zeros((4, 4, 5), np.uint8), "hwc", "5 channels"),
        (np.zeros((5, 4, 4), np.uint8), "chw", "5 channels"),
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
