# SPDX-License-Identifier: Apache-2.0
"""Every profile on any picture: it comes back; backend, target, threads, company change no byte."""

from __future__ import annotations

import io
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from every_backend import choices, chosen, label
from hypothesis import example, given, settings
from numpy.typing import NDArray

import bbcodec
from bbcodec.arrays import chunks

QUICK = settings(max_examples=20, deadline=None)
# NumPy alone takes a minute for what the others do in a second.
FAST = [choice for choice in choices() if choice[0] == "native"] or choices()
PROFILES = ("photo", "fast", "thumb", "rvae", "markov", "flowpp")

Pixels = NDArray[Any]
seeds = st.integers(0, 2**32 - 1)


def flat(rng: np.random.Generator, shape: tuple[int, ...]) -> Pixels:
    return np.full(shape, rng.integers(0, 256))


def noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Pixels:
    return rng.integers(0, 256, shape)


def extremes(rng: np.random.Generator, shape: tuple[int, ...]) -> Pixels:
    return 255 * rng.integers(0, 2, shape)


def ramps(rng: np.random.Generator, shape: tuple[int, ...]) -> Pixels:
    """Slopes that wrap around, with a little noise."""
    y, x, c = np.ogrid[tuple(slice(n) for n in shape)]
    down, across, step = rng.integers(-9, 10, 3)
    found: Pixels = (down * y + across * x + step * c + rng.integers(0, 4, shape)) % 256
    return found


def patches(rng: np.random.Generator, shape: tuple[int, ...]) -> Pixels:
    """Blocks of noise beside flat ones."""
    blocks = rng.integers(0, 2, (shape[0] // 8 + 1, shape[1] // 8 + 1, 1)).repeat(8, 0).repeat(8, 1)
    found: Pixels = 90 + blocks[: shape[0], : shape[1]] * rng.integers(-90, 90, shape)
    return found


CONTENTS = (flat, noise, extremes, ramps, patches)


def picture(kind: int, seed: int, height: int, width: int, channels: int) -> Pixels:
    return CONTENTS[kind](np.random.default_rng(seed), (height, width, channels)).astype(np.uint8)


kinds = st.integers(0, len(CONTENTS) - 1)
sides = st.integers(1, 40)


@pytest.mark.parametrize("profile", PROFILES)
@QUICK
@given(kinds, seeds, st.integers(1, 70), sides, st.integers(1, 4), st.integers(1, 3))
@example(3, 0, 67, 130, 3, 2)  # several tiles
def test_one_picture(
    profile: str, kind: int, seed: int, height: int, width: int, channels: int, threads: int
) -> None:
    image = picture(kind, seed, height, width, channels)
    files = set()
    for choice in FAST:
        with chosen(choice) as backend:
            data = bbcodec.compress(
                image, method="learned", model=profile, backend=backend, threads=threads, verify=False
            )
            files.add(data)
            assert np.array_equal(bbcodec.decompress(data, backend=backend), image), label(choice)
            threads = 1 + threads % 3
    assert len(files) == 1


@pytest.mark.parametrize("profile", PROFILES)
@QUICK
@given(st.lists(st.tuples(kinds, seeds, sides, sides), min_size=1, max_size=6), st.integers(1, 7))
def test_many_pictures(profile: str, made: list[tuple[int, int, int, int]], batch: int) -> None:
    """However they are batched, and by however many threads."""
    images = {
        f"{i}": picture(kind, seed, height, width, 3)[..., : 1 if i % 3 == 2 else 3]
        for i, (kind, seed, height, width) in enumerate(made)
    }
    archives = set()
    for threads in (1, 3):
        file = io.BytesIO()
        with bbcodec.Archive(
            file, "w", model=profile, method="learned", batch=batch, threads=threads, verify=False
        ) as archive:
            for name, image in images.items():
                archive[name] = image
        archives.add(file.getvalue())
        with bbcodec.Archive(file, threads=threads) as archive:
            assert all(np.array_equal(archive[name], image) for name, image in images.items())
    assert len(archives) == 1


@QUICK
@given(kinds, seeds, st.lists(st.integers(1, 12), min_size=2, max_size=5), st.booleans(), st.booleans())
def test_chunks(kind: int, seed: int, shape: list[int], deep: bool, turned: bool) -> None:
    """Any array that Zarr may hand over, as it lies in memory."""
    array = picture(kind, seed, int(np.prod(shape)), 1, 1).reshape(shape)
    array = array.astype(">u2" if seed % 2 else "<u2") * 201 if deep else array
    array = np.asfortranarray(array) if turned else array
    data = chunks.encode(array)
    found = chunks.decode(data)
    assert found.dtype == array.dtype
    assert np.array_equal(found, array)
    assert found.flags.c_contiguous == array.flags.c_contiguous
    assert chunks.encode(array, threads=2) == data
