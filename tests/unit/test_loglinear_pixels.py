# SPDX-License-Identifier: Apache-2.0
"""The family loglinear: whole pixels, where colours repeat."""

from __future__ import annotations

from typing import Any

import every_backend
import numpy as np
import pytest
from bbcodec.models.loglinear.build import build
from loglinear_cases import drawing, random_model, small_model

from bbcodec import backends, modelfile
from bbcodec.errors import BBCodecError, FormatError
from bbcodec.families import batch, learned
from bbcodec.families.family import family_of
from bbcodec.families.loglinear import codec
from bbcodec.families.loglinear.coding import CONTEXTS, PLAIN, UNIT, coding_for
from bbcodec.families.loglinear.model import LogLinearModel, loglinear_model
from bbcodec.families.loglinear.reference import ALL_PREDICTED
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model

NUMPY = Execution(1, "numpy")
COMPILED = [choice for choice in every_backend.choices() if choice[0] != "numpy"]
NEIGHBOURS = [ALL_PREDICTED, 0, 2, 6]
# What a name stands for is given to `drawing`.
PICTURES: dict[str, dict[str, Any]] = {
    "flat": {"colours": 1},
    "few colours": {"colours": 4},
    "specks": {"colours": 3, "specks": 0.15},
    "noise": {"specks": 1.0},
}
SMALL = [(1, 9), (7, 1), (2, 9), (6, 8)]
LARGE = [(1, 60), (50, 1), (2, 9), (13, 17), (40, 33)]
needs_native = pytest.mark.skipif("native" not in backends.available(), reason="slow without the C++ module")


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model()


def blocks_of(name: str, sizes: list[tuple[int, int]], channels: int) -> list[np.ndarray]:
    return [drawing((*size, channels), seed, **PICTURES[name]) for seed, size in enumerate(sizes)]


def alike(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def smooth(height: int, width: int, channels: int) -> np.ndarray:
    """Light that changes slowly, with the noise of a camera."""
    y, x = np.mgrid[:height, :width]
    light = 120 + 60 * np.sin(x / 17)[..., None] * np.cos(y / 13)[..., None]
    camera = np.random.default_rng(1).normal(0, 2, (height, width, channels))
    return np.clip(light + camera, 0, 255).astype(np.uint8)


def page(height: int, width: int, channels: int) -> np.ndarray:
    """Two colours: lines of twelve shapes of 7 x 5 pixels, with a gap of one."""
    rng = np.random.default_rng(2)
    shapes = np.zeros((12, 8, 6), np.intp)
    shapes[:, :7, :5] = rng.random((12, 7, 5)) < 0.4
    text = shapes[rng.integers(0, 12, (-(-height // 8), -(-width // 6)))]
    ink = text.transpose(0, 2, 1, 3).reshape(len(text) * 8, -1)[:height, :width]
    return rng.integers(0, 256, (2, channels), np.uint8)[ink]


# --------------------------------------------------------------------------- all implementations alike


def check_alike(
    blocks: list[np.ndarray], model: LogLinearModel, neighbours: int, threads: tuple[int, ...] = (1,)
) -> list[np.ndarray]:
    """Assert that all implementations but that in NumPy agree on a group; return the words."""
    sizes, channels = [block.shape[:2] for block in blocks], blocks[0].shape[2]
    words: list[np.ndarray] = []
    for choice in COMPILED:
        with every_backend.chosen(choice) as backend:
            for count in threads:
                execution = Execution(count, backend)
                found = codec.encode(blocks, model, execution, neighbours)
                words = words or found
                assert alike(found, words)
                assert alike(codec.decode(words, sizes, channels, model, execution, neighbours), blocks)
    return words


@pytest.mark.skipif(not COMPILED, reason="numba and the C++ module are missing")
@pytest.mark.parametrize("neighbours", NEIGHBOURS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", PICTURES)
def test_compiled_implementations_agree(name: str, channels: int, neighbours: int) -> None:
    """One block each, of all shapes; then two of them as a group."""
    random = loglinear_model(random_model((8, 12, 16, 32)[NEIGHBOURS.index(neighbours)], channels))
    blocks = blocks_of(name, LARGE, channels)
    for block in blocks:
        check_alike([block], random, neighbours)
    check_alike(blocks[2:4], random, neighbours)


@needs_native
@pytest.mark.parametrize("neighbours", NEIGHBOURS)
def test_several_streams_and_threads(neighbours: int) -> None:
    blocks = blocks_of("specks", [(70, 130), (40, 70)], 3)
    random = loglinear_model(random_model(8, neighbours + 1))
    assert len(check_alike(blocks, random, neighbours, (1, 2, 3))) == 2


@pytest.mark.parametrize(
    ("name", "channels", "neighbours"),
    [("flat", 3, 0), ("few colours", 1, 6), ("few colours", 3, 2), ("noise", 3, 0), ("noise", 1, 2)]
    + [("specks", channels, neighbours) for channels in (1, 3) for neighbours in NEIGHBOURS],
)
def test_numpy_agrees(name: str, channels: int, neighbours: int) -> None:
    blocks, random = blocks_of(name, SMALL, channels), loglinear_model(random_model(8, neighbours + 1))
    words = codec.encode(blocks, random, NUMPY, neighbours)
    assert alike(codec.decode(words, SMALL, channels, random, NUMPY, neighbours), blocks)
    assert not COMPILED or alike(check_alike(blocks, random, neighbours), words)


@pytest.mark.parametrize("neighbours", NEIGHBOURS)
def test_costs_agree_with_each_other_and_with_the_words(neighbours: int) -> None:
    blocks, random = blocks_of("specks", SMALL, 3), loglinear_model(random_model(12, 1))
    words = codec.encode(blocks, random, NUMPY, neighbours)
    wanted = codec.cost(blocks, random, NUMPY, neighbours)
    assert abs(sum(bits.sum() for bits in wanted) + 64 - 32 * sum(map(len, words))) < 80
    for choice in COMPILED:
        with every_backend.chosen(choice) as backend:
            found = codec.cost(blocks, random, Execution(1, backend), neighbours)
        assert all(np.allclose(a, b, atol=0.01) for a, b in zip(found, wanted, strict=True))


# ----------------------------------------------------------------------------- when pixels are looked for


@pytest.mark.parametrize("channels", [1, 3])
def test_coding_for(channels: int) -> None:
    assert coding_for([drawing((60, 80, channels))], 0) == 1
    assert coding_for([drawing((60, 80, channels), specks=1.0)], UNIT) == CONTEXTS
    assert coding_for([smooth(90, 120, channels)], UNIT) == CONTEXTS
    assert coding_for([smooth(90, 120, channels)], 128) == PLAIN
    assert coding_for([smooth(90, 120, channels) // 4 * 4], 128) == CONTEXTS
    assert coding_for([smooth(9, 9, channels)], 128) == CONTEXTS  # too small to tell
    assert coding_for([smooth(90, 120, channels)] * 2, 0) == PLAIN
    assert coding_for([drawing((2, 80, channels)), drawing((80, 3, channels))], UNIT) == CONTEXTS
    assert coding_for([drawing((60, 80, channels)), smooth(9, 9, channels)], UNIT) == 1
    half = drawing((60, 80, channels), colours=2)
    half[:30] = smooth(30, 80, channels)
    assert 0 < coding_for([half], UNIT) < PLAIN


def test_a_payload_tells_how_its_pixels_are_coded(model: Model) -> None:
    family = family_of(model)
    for image in (drawing((12, 20, 3)), smooth(12, 20, 3)):
        (chain,) = family.encode(image, model, Execution()).chains
        assert chain[0] == coding_for([image], UNIT)


@needs_native
@pytest.mark.parametrize("channels", [1, 3])
def test_pages_become_much_smaller(channels: int) -> None:
    photo = loglinear_model(modelfile.load(build(modelfile.load_named("photo"))))
    image = page(128, 160, channels)
    sizes = {n: len(codec.encode([image], photo, Execution(), n)[0]) for n in (ALL_PREDICTED, 0)}
    assert sizes[0] < 0.8 * sizes[ALL_PREDICTED]


# ------------------------------------------------------------------------------------------------ batches


@pytest.mark.parametrize("choice", every_backend.choices(), ids=every_backend.label)
def test_batches(choice: every_backend.Choice, model: Model) -> None:
    images = [drawing((5 + i % 3, 11, 3), i) for i in range(5)]
    assert coding_for(images, UNIT) == 1
    _, words = family_of(model).encode_batch(images, model, Execution())
    assert words[0] == 1
    data = batch.encode(images, model, Execution())
    with every_backend.chosen(choice) as backend:
        execution = Execution(1, backend)
        assert batch.encode(images, model, execution) == data
        assert alike(batch.decode(data, model, execution=execution), images)


def test_every_group_of_a_batch_has_its_own_number(model: Model) -> None:
    """Groups have at most 512 slots: the drawings fill one."""
    images = [drawing((12, 36, 1), i) for i in range(42)] + [smooth(12, 36, 1)] * 8
    plain, words = family_of(model).encode_batch(images, model, Execution())
    second = 9 + int(words[1:9].sum())
    assert (words[0], words[second]) == (1, 0)
    shapes = [image.shape[:2] for image in images]
    assert alike(family_of(model).decode_batch(plain, words, shapes, 1, model, Execution()), images)


# ------------------------------------------------------------------------------------------------- damage


def test_unknown_numbers_are_refused(model: Model) -> None:
    family, images = family_of(model), [drawing((8, 12, 3), i) for i in range(2)]
    (chain,) = family.encode(images[0], model, Execution()).chains
    plain, words = family.encode_batch(images, model, Execution())
    shapes = [image.shape[:2] for image in images]
    assert chain[0] == words[0] == 1
    for number in (9, 255):
        with pytest.raises(FormatError, match=f"coding {number} is unknown"):
            learned.decode([bytes([number]) + chain[1:]], 8, 12, 3, model, execution=Execution())
    for number in (PLAIN + 1, 255):
        words[0] = number
        with pytest.raises(FormatError, match="coding of a group is missing or unknown"):
            family.decode_batch(plain, words, shapes, 3, model, Execution())


@pytest.mark.parametrize(
    ("choice", "step"),
    [(choice, {"numpy": 149, "numba": 11}.get(choice[0], 3)) for choice in every_backend.choices()],
    ids=str,
)
@pytest.mark.parametrize("name", ["few colours", "specks"])
def test_damage_gives_an_error_or_the_picture(
    name: str, choice: every_backend.Choice, step: int, model: Model
) -> None:
    """Another number in the first byte may stand for the same decisions; nothing else passes."""
    (image,) = blocks_of(name, [(9, 12)], 3)
    words = codec.encode([image], loglinear_model(model), Execution(), 0)
    chain = b"\1" + words[0].astype("<u4").tobytes()
    refused = 0
    with every_backend.chosen(choice) as backend:
        for bit in range(0, 8 * len(chain), step):
            data = bytearray(chain)
            data[bit // 8] ^= 1 << bit % 8
            try:
                found = learned.decode([bytes(data)], 9, 12, 3, model, execution=Execution(1, backend))
            except BBCodecError:
                refused += 1
            else:
                assert bit < 3
                assert np.array_equal(found, image)
    assert refused >= len(range(0, 8 * len(chain), step)) - 3
