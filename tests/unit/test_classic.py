# SPDX-License-Identifier: Apache-2.0
"""The classic coders: every shape and depth comes back, tiles, 16-bit transforms, damaged payloads."""

from __future__ import annotations

import contextlib
import lzma
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from bbcodec import classic
from bbcodec.classic import codes, generic, webp
from bbcodec.container import varint
from bbcodec.errors import FormatError
from bbcodec.picture import raster

SHAPES = [(1, 1), (1, 17), (17, 1), (3, 5), (3, 5, 1), (3, 5, 2), (40, 31, 3), (40, 31, 4)]


def noise(shape: tuple[int, ...], dtype: str, seed: int = 0) -> NDArray[Any]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 2 if dtype == "bool" else np.iinfo(dtype).max + 1, shape).astype(dtype)


def ramp(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    y, x = np.indices(shape[:2])
    values = (x * 300 + y * 7)[..., None] + np.arange(shape[2] if len(shape) > 2 else 1) * 1000
    return (values.reshape(shape) // (64 if dtype == "uint8" else 1)).astype(dtype)


def assert_round_trip(samples: NDArray[Any]) -> bytes:
    payload = classic.encode(samples)
    decoded = classic.decode(payload, samples.shape, samples.dtype)
    assert decoded.dtype == samples.dtype
    assert decoded.flags.c_contiguous
    assert np.array_equal(decoded, samples)
    return payload


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "bool"])
@pytest.mark.parametrize("make", [noise, ramp])
def test_round_trip(shape: tuple[int, ...], dtype: str, make: Any) -> None:
    if dtype == "bool":
        shape = shape[:2]
    assert_round_trip(make(shape, dtype))


def test_colours_under_zero_alpha_survive() -> None:
    samples = noise((64, 80, 4), "uint8")
    samples[::2, :, 3] = 0
    assert_round_trip(samples)
    assert_round_trip(np.zeros((300, 300, 4), np.uint8))


@pytest.mark.parametrize("shape", [(3, 16384), (16385, 2), (2, 40000)])
def test_long_sides_go_into_tiles(shape: tuple[int, int]) -> None:
    payload = assert_round_trip(noise(shape, "uint8"))
    assert payload[0] in (classic.TILED, codes.DEFLATE, codes.LZMA)
    assert_round_trip(ramp(shape, "uint16"))


def test_tiles_do_not_depend_on_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webp, "MAX_WHOLE_PIXELS", 5000)
    monkeypatch.setattr(webp, "TILE_PIXELS", 2000)
    samples = noise((160, 160, 3), "uint8")
    payload = assert_round_trip(samples)
    assert payload[0] == classic.TILED
    assert classic.encode(samples, threads=3) == payload


@pytest.mark.parametrize("shape", [(90, 70, 3), (64, 33)])
def test_bands_change_nothing(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    samples = noise(shape, "uint16") // 7 + ramp(shape, "uint16")
    whole = assert_round_trip(samples)
    monkeypatch.setattr(raster, "_BAND_PIXELS", 200)
    monkeypatch.setattr(raster, "_MIN_DEEP_BAND_ROWS", 3)
    assert assert_round_trip(samples) == whole


def test_16_bit_transforms_pay() -> None:
    rng = np.random.default_rng(1)
    base = rng.integers(0, 40, (64, 64, 1)).cumsum(0).cumsum(1)
    common = (base + rng.integers(0, 4, (64, 64, 3))).astype(np.uint16)
    assert assert_round_trip(common)[1] == 3  # predicted, green taken from red and blue
    widened = noise((64, 64), "uint8").astype(np.uint16) * 257
    payload = assert_round_trip(widened)
    assert payload[:2] == bytes([codes.SPLIT16, 4])
    assert len(payload) < 64 * 64 + 100
    assert len(assert_round_trip(ramp((64, 64), "uint16"))) < 300


@pytest.mark.parametrize(
    "samples", [noise((9, 9, 3), "uint8"), ramp((40, 40), "uint8"), ramp((20, 20), "uint16")]
)
def test_truncated_payload(samples: NDArray[Any]) -> None:
    payload = classic.encode(samples)
    for size in range(len(payload)):
        with contextlib.suppress(FormatError):  # a coder may not miss its last bytes
            assert np.array_equal(classic.decode(payload[:size], samples.shape, samples.dtype), samples)


@pytest.mark.parametrize("method", [9, 255, codes.SPLIT16])
def test_unknown_method(method: int) -> None:
    with pytest.raises(FormatError, match="method"):
        classic.decode(bytes([method, 0, 0, 0]), (2, 2), "uint8")


@pytest.mark.parametrize(
    "body", [bytes([0]), bytes([4]), bytes([4, 8, 1]), bytes([4, 2, 1]), bytes([4, 1, 50])]
)
def test_bad_16_bit_payload(body: bytes) -> None:
    with pytest.raises(FormatError):
        classic.decode(body, (2, 2), "uint16")


def test_size_in_the_stream_is_checked_before_decoding() -> None:
    payload = bytes([codes.WEBP]) + webp.encode_stream(noise((8, 9, 3), "uint8"))
    with pytest.raises(FormatError, match="VP8L stream is 9 x 8, version 0; expected 16000 x 16000"):
        classic.decode(payload, (16000, 16000, 3), "uint8")
    with pytest.raises(FormatError, match="signature"):
        classic.decode(bytes([codes.WEBP]) + b"RIFFxxxx", (1, 1), "uint8")


def raw_deflate(raw: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeeze.compress(raw) + squeeze.flush()


@pytest.mark.parametrize("size", [99, 101, 10**6])
def test_streams_of_another_size(size: int) -> None:
    for method, body in (
        (codes.DEFLATE, raw_deflate(bytes(size))),
        (codes.LZMA, lzma.compress(bytes(size), lzma.FORMAT_RAW, filters=generic._LZMA_FILTERS)),
    ):
        with pytest.raises(FormatError, match=r"does not end after 100 bytes|cannot hold"):
            classic.decode(bytes([method]) + body, (10, 10), "uint8")
        with pytest.raises(FormatError, match="cannot hold"):
            classic.decode(bytes([method]) + body[:40], (30000, 30000), "uint8")


def test_tiles_that_cannot_be_there() -> None:
    with pytest.raises(FormatError, match="cannot hold"):
        classic.decode(bytes([classic.TILED]) + varint(5), (3, 60000), "uint8")
    with pytest.raises(FormatError, match="tile 0 needs"):
        classic.decode(bytes([classic.TILED]) + varint(2**40) * 4, (3, 60000), "uint8")


def test_bilevel_samples_are_checked() -> None:
    with pytest.raises(FormatError, match="bilevel sample is 3"):
        classic.decode(bytes([codes.DEFLATE]) + raw_deflate(b"\0\3"), (1, 2), "bool")


def test_large_pictures_are_not_subject_to_pillows_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).integers(0, 200, (100, 100, 3)).astype(np.uint8)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    payload = classic.encode(samples)
    assert payload[0] == codes.WEBP
    assert np.array_equal(classic.decode(payload, samples.shape, samples.dtype), samples)
    assert Image.MAX_IMAGE_PIXELS == 1000
