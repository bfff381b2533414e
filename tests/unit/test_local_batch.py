# SPDX-License-Identifier: Apache-2.0
"""Batches of small pictures: round trips, groups, sharing, and refusals."""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from bbcodec import batch, learned, modelfile
from bbcodec.errors import BBCodecError, FormatError, LimitError, ModelError
from bbcodec.local import groups


def pictures(count: int, height: int, width: int, channels: int = 3, seed: int = 0) -> list[np.ndarray]:
    """Soft gradients with noise, each another one."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    found = []
    for _ in range(count):
        a, b, c = rng.uniform(-4, 4, 3)
        base = 128 + a * x + b * y + c * 10
        noisy = base[..., None] + rng.normal(0, 2, (height, width, channels))
        found.append(np.clip(noisy, 0, 255).astype(np.uint8))
    return found


@pytest.fixture(scope="module", params=["photo", "thumb"])
def model(request: pytest.FixtureRequest) -> modelfile.Model:
    return modelfile.load_named(request.param)


def same(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return len(found) == len(expected) and all(
        a.shape == b.shape and np.array_equal(a, b) for a, b in zip(found, expected, strict=True)
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_round_trip_of_mixed_sizes(model: modelfile.Model, channels: int) -> None:
    images = [
        image for n, h, w in ((3, 8, 9), (1, 1, 1), (2, 5, 30)) for image in pictures(n, h, w, channels)
    ]
    data = batch.encode(images, model)
    assert same(batch.decode(data, model), images)
    assert data == batch.encode(images, model, threads=2)
    assert same(batch.decode(data, model, threads=2), images)


def test_several_groups(model: modelfile.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "GROUP_LANES", 9)
    images = pictures(7, 6, 12)
    assert len(groups.groups([(6, 12)] * 7)) == 4
    assert same(batch.decode(batch.encode(images, model), model), images)


def test_groups_cover_everything_and_never_exceed_the_lanes() -> None:
    rng = np.random.default_rng(0)
    shapes = [(int(h), int(w)) for h, w in rng.integers(1, 1025, (300, 2))]
    parts = groups.groups(shapes)
    assert [i for part in parts for i in range(part.start, part.stop)] == list(range(300))
    for part in parts:
        lanes = sum(min(h, -(-w // 3)) for h, w in shapes[part])
        assert lanes <= groups.GROUP_LANES or part.stop - part.start == 1


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_backends_agree(model: modelfile.Model, backend: str) -> None:
    if backend == "numba":
        pytest.importorskip("numba")
    images = pictures(3, 5, 8)
    data = batch.encode(images, model)
    assert batch.encode(images, model, backend=backend) == data
    assert same(batch.decode(data, model, backend=backend), images)


def test_a_batch_is_smaller_than_its_pictures_alone(model: modelfile.Model) -> None:
    images = pictures(12, 16, 16)
    alone = sum(len(chain) for image in images for chain in learned.encode(image, model).chains)
    assert len(batch.encode(images, model)) < alone


def test_what_is_no_batch_is_refused(model: modelfile.Model) -> None:
    images = pictures(2, 4, 6)
    data = batch.encode(images, model)
    other = modelfile.load_named("rvae")
    with pytest.raises(ModelError, match="made with"):
        batch.decode(data, other)
    with pytest.raises(LimitError):
        batch.decode(data, model, limits=40)
    for end in range(0, len(data), 5):
        with pytest.raises(FormatError):
            batch.decode(data[:end], model)
    for bad in (
        [],
        [images[0], images[1][..., :1]],
        [images[0].astype(np.int16)],
        [np.zeros((0, 3, 3), np.uint8)],
    ):
        with pytest.raises(ValueError, match=r"expected|needs"):
            batch.encode(bad, model)


def test_damage_behind_the_checksum_never_goes_unseen(model: modelfile.Model) -> None:
    images = pictures(2, 4, 6)
    data = batch.encode(images, model)
    for position in range(len(data) - 4):
        bad = bytearray(data[:-4])
        bad[position] ^= 0x10
        whole = bytes(bad) + zlib.crc32(bad).to_bytes(4, "little")
        try:
            found = batch.decode(whole, model, limits=1 << 16)
        except BBCodecError:
            continue
        assert not same(found, images), position
