# SPDX-License-Identifier: Apache-2.0
"""Any array, any palette, any metadata comes back exactly; any bytes at all give an error, nothing else."""

from __future__ import annotations

import contextlib
from typing import Any

import hypothesis.extra.numpy as arrays
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

import bbcodec
from bbcodec.bbfile.palette_section import channels, pack_palette, paint, unpack_palette, unpaint
from bbcodec.container import Section
from bbcodec.errors import BBCodecError, FormatError
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import Palette, Picture

QUICK = settings(max_examples=60, deadline=None)

sides = st.integers(1, 24)
shapes = st.one_of(st.tuples(sides, sides), st.tuples(sides, sides, st.integers(1, 4)))
pictures = st.one_of(
    st.tuples(sides, sides).flatmap(lambda shape: arrays.arrays(bool, shape)),
    shapes.flatmap(lambda shape: arrays.arrays(np.uint8, shape)),
    shapes.flatmap(lambda shape: arrays.arrays(np.uint16, shape)),
)
KEYS = st.text(st.characters(min_codepoint=1, max_codepoint=255), min_size=1, max_size=9)
metadata = st.builds(
    Metadata,
    icc=st.none() | st.binary(min_size=1, max_size=300),
    exif=st.none() | st.binary(min_size=1, max_size=50),
    xmp=st.none() | st.binary(min_size=1, max_size=50),
    dpi=st.none() | st.tuples(*[st.floats(0, 1e6, exclude_min=True)] * 2),
    text=st.lists(st.tuples(KEYS, st.text(max_size=9)), max_size=3).map(tuple),
)
palettes = st.builds(
    Palette,
    data=st.binary(max_size=256).map(lambda raw: raw * 3),
    layout=st.just("RGB"),
    transparency=st.none() | st.integers(0, 255) | st.binary(max_size=256),
) | st.builds(Palette, data=st.binary(max_size=256).map(lambda raw: raw * 4), layout=st.just("RGBA"))


@QUICK
@given(pictures, metadata)
def test_arrays(array: NDArray[Any], kept: Metadata) -> None:
    data = bbcodec.compress(array, metadata=kept, method="classic", verify=False)
    decoded = bbcodec.decompress_picture(data)
    assert decoded.array.dtype == array.dtype
    assert decoded.array.shape == array.shape
    assert np.array_equal(decoded.array, array)
    assert decoded.metadata == kept


@QUICK
@given(palettes, st.integers(0, 2**32 - 1))
def test_palettes(palette: Palette, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7)).astype(np.uint8)
    source = Picture(pixels, "P", palette)
    assert bbcodec.decompress_picture(bbcodec.compress(source, verify=False)).same(source)
    payload = pack_palette(palette)
    assert len(payload) <= 8 + len(palette.data) + 256


@QUICK
@given(palettes, st.integers(1, 255), st.integers(0, 2**32 - 1))
def test_painted_palettes(palette: Palette, used: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, used, (9, 31)).astype(np.uint8)
    painted = paint(palette, pixels)
    if painted is None:
        return
    stored = Section("PLTE", pack_palette(palette, pixels))
    assert painted.shape == (9, 31, channels(stored))
    again = unpack_palette(stored, painted)
    assert again == palette
    assert np.array_equal(unpaint(painted, again), pixels)


@QUICK
@given(st.binary(max_size=40), st.integers(3, 4))
def test_any_palette_bytes(raw: bytes, depth: int) -> None:
    painted = np.random.default_rng(0).integers(0, 9, (2, 3, depth)).astype(np.uint8)
    for picture in (None, painted):
        with contextlib.suppress(FormatError):
            palette = unpack_palette(Section("PLTE", raw), picture)
            unpaint(painted, palette)


@QUICK
@given(st.binary(max_size=200))
def test_any_bytes(raw: bytes) -> None:
    with pytest.raises(BBCodecError):
        bbcodec.decompress(raw)
    with pytest.raises(BBCodecError):
        bbcodec.decompress(b"\x89BBC\r\n\x1a\n" + raw)
