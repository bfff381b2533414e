# SPDX-License-Identifier: Apache-2.0
"""Batches of small pictures with models of every family: round trips, order, sharing, and refusals."""

from __future__ import annotations

import zlib
from functools import cache

import flows
import numpy as np
import pytest
from small_pictures import pictures, same

from bbcodec import backends, modelfile
from bbcodec.container import varint
from bbcodec.errors import BBCodecError, FormatError, LimitError, ModelError
from bbcodec.families import batch, learned
from bbcodec.families.family import family_of
from bbcodec.families.latent import chains
from bbcodec.jobs import Execution

HEAD = 8 + 1 + 32 + 1  # magic, version, model, channels
WITH_TILES = ("rvae", "markov", "flowpp")


@cache
def named(name: str) -> modelfile.Model:
    return flows.model() if name == "flowpp" else modelfile.load_named(name)


@pytest.fixture(params=["photo", "thumb", *WITH_TILES])
def model(request: pytest.FixtureRequest) -> modelfile.Model:
    return named(request.param)


@pytest.fixture(params=WITH_TILES)
def tiled(request: pytest.FixtureRequest) -> modelfile.Model:
    """A model whose pictures are tiles."""
    return named(request.param)


def sealed(body: bytes | bytearray) -> bytes:
    """A batch whose checksum is right."""
    return bytes(body) + zlib.crc32(body).to_bytes(4, "little")


def with_sizes(data: bytes, sizes: bytes, old: int = 4) -> bytes:
    """A batch with other runs; `old` is how many bytes the true ones take."""
    return sealed(data[:HEAD] + sizes + data[HEAD + old : -4])


@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip_of_mixed_sizes(model: modelfile.Model, channels: int) -> None:
    sizes = ((3, 8, 9), (1, 1, 1), (2, 5, 30), (1, 8, 9), (1, 9, 8))
    images = [image for n, h, w in sizes for image in pictures(n, h, w, channels, seed=n + h)]
    data = batch.encode(images, model)
    assert same(batch.decode(data, model), images)
    assert data == batch.encode(images, model, execution=Execution(threads=2))
    assert same(batch.decode(data, model, execution=Execution(threads=2)), images)


def test_one_picture(model: modelfile.Model) -> None:
    for shape in ((1, 1), (7, 3)):
        images = pictures(1, *shape)
        assert same(batch.decode(batch.encode(images, model), model), images)


def test_order_is_kept(model: modelfile.Model) -> None:
    images = pictures(9, 6, 6)
    assert same(batch.decode(batch.encode(images[::-1], model), model), images[::-1])
    assert batch.encode(images[::-1], model) != batch.encode(images, model)


@pytest.mark.parametrize("channels", [1, 3])
def test_only_the_last_pictures_are_coded_without_latents(tiled: modelfile.Model, channels: int) -> None:
    count = 24 if channels == 3 else 48
    images = pictures(count, 12, 16, channels)
    data = batch.encode(images, tiled)
    plain = data[HEAD + 4]
    assert data[HEAD : HEAD + 4] == bytes([1, count, 12, 16])
    assert 1 <= plain < count
    assert same(batch.decode(data, tiled), images)
    # The first that are pushed are the last in order, and a batch of them alone has none with latents.
    few = batch.encode(images[count - plain :], tiled)
    assert few[HEAD + 4] == plain
    first, _, stats = chains.encode_chain(images[::-1], chains.TileCodecs(tiled, channels, None))
    assert first == plain
    assert stats.latent_bits > 0


def test_largest_tiles_come_back(tiled: modelfile.Model) -> None:
    images = [*pictures(1, 128, 3), *pictures(1, 2, 128)]
    assert same(batch.decode(batch.encode(images, tiled), tiled), images)


@pytest.mark.parametrize("backend", backends.available())
def test_backends_agree(model: modelfile.Model, backend: str) -> None:
    images = pictures(3, 5, 8)
    data = batch.encode(images, model)
    assert batch.encode(images, model, execution=Execution(backend=backend)) == data
    assert same(batch.decode(data, model, execution=Execution(backend=backend)), images)


@pytest.mark.parametrize("name", ["photo", "thumb", "rvae", "markov"])  # the flow here is untrained
def test_a_batch_is_smaller_than_its_pictures_alone(name: str) -> None:
    model, images = named(name), pictures(12, 16, 16)
    alone = sum(len(chain) for image in images for chain in learned.encode(image, model).chains)
    assert len(batch.encode(images, model)) < alone


def test_sides_that_are_too_long_are_refused(model: modelfile.Model) -> None:
    limit = family_of(model).max_side
    assert limit == (1024 if model.family == "local" else 128)
    for shape in ((limit + 1, 1, 3), (1, limit + 1, 3)):
        with pytest.raises(ValueError, match=f"sides of 1 to {limit}"):
            batch.encode([np.zeros(shape, np.uint8)], model)
    data = batch.encode(pictures(2, 4, 6), model)
    assert data[HEAD : HEAD + 4] == bytes([1, 2, 4, 6])
    for height, width in ((limit + 1, 1), (1, limit + 1), (1 << 40, 1)):
        sizes = b"\1\1" + varint(height) + varint(width)
        with pytest.raises(FormatError, match="a run of 1 pictures"):
            batch.decode(with_sizes(data, sizes), model)


def test_what_is_no_batch_is_refused(model: modelfile.Model) -> None:
    images = pictures(2, 4, 6)
    data = batch.encode(images, model)
    other = named("rvae" if model.family != "rvae" else "markov")
    with pytest.raises(ModelError, match="made with"):
        batch.decode(data, other)
    with pytest.raises(LimitError):
        batch.decode(data, model, limits=47)
    assert same(batch.decode(data, model, limits=48), images)
    for end in range(0, len(data), 5):
        with pytest.raises(FormatError):
            batch.decode(data[:end], model)
    for bad in (
        [],
        [images[0], images[1][..., :1]],
        [images[0], images[1][..., 0]],
        [images[0].astype(np.int16)],
        [np.zeros((0, 3, 3), np.uint8)],
        [np.zeros((3, 3, 2), np.uint8)],
    ):
        with pytest.raises(ValueError, match=r"expected|needs"):
            batch.encode(bad, model)


def test_headers_that_make_no_sense_are_refused(model: modelfile.Model) -> None:
    data = batch.encode(pictures(2, 4, 6), model)
    assert with_sizes(data, bytes([1, 2, 4, 6])) == data
    for sizes in (
        b"\0",  # no pictures
        b"\1\0\4\6",
        b"\1\2\0\6",
        b"\1\2\4\0",
        b"\1" + varint((1 << 20) + 1) + b"\1\1",
        b"\2\1\4\6" + varint(1 << 20) + b"\1\1",
        varint(1 << 62) + b"\1\1\1",
        b"\3\1\4\6\1\4\6",
    ):
        with pytest.raises(BBCodecError):
            batch.decode(with_sizes(data, sizes), model)
    for position, value in ((0, 0), (8, 0), (8, 2), (HEAD - 1, 0), (HEAD - 1, 2), (HEAD - 1, 4)):
        bad = bytearray(data[:-4])
        bad[position] = value
        with pytest.raises(FormatError):
            batch.decode(sealed(bad), model)
    for short in (data[: HEAD + 5], data[: HEAD + 5 + 4], data[:-4] + b"\0"):
        with pytest.raises(FormatError):
            batch.decode(sealed(short), model)


def test_counts_of_plain_pictures_out_of_range_are_refused(tiled: modelfile.Model) -> None:
    data = batch.encode(pictures(2, 4, 6), tiled)
    for plain in (0, 3, 1 << 40):
        bad = sealed(data[: HEAD + 4] + varint(plain) + data[HEAD + 5 : -4])
        with pytest.raises(FormatError, match="without latents, expected 1 to 2"):
            batch.decode(bad, tiled)


def test_a_long_list_of_pictures_ends_with_the_message(tiled: modelfile.Model) -> None:
    """A million pictures of one pixel, declared in a few bytes: the message is over long before."""
    data = batch.encode(pictures(2, 4, 6), tiled)
    with pytest.raises(FormatError):
        batch.decode(with_sizes(data, b"\1" + varint(1 << 20) + b"\1\1"), tiled)


def test_damage_behind_the_checksum_never_goes_unseen(model: modelfile.Model) -> None:
    images = pictures(2, 4, 6)
    data = batch.encode(images, model)
    for position in range(len(data) - 4):
        bad = bytearray(data[:-4])
        bad[position] ^= 0x10
        try:
            found = batch.decode(sealed(bad), model, limits=1 << 16)
        except BBCodecError:
            continue
        assert not same(found, images), position
