# SPDX-License-Identifier: Apache-2.0
"""The family loglinear: blocks without traces, which are coded plainly."""

from __future__ import annotations

import every_backend
import numpy as np
import pytest
from local_cases import model_file
from loglinear_cases import drawing, small_model

from bbcodec.errors import BBCodecError
from bbcodec.families import learned
from bbcodec.families.family import family_of
from bbcodec.families.loglinear.coding import CONTEXTS, PLAIN, evenness
from bbcodec.jobs import Execution
from bbcodec.modelfile import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return small_model(plain=0)


def noisy(height: int, width: int, channels: int) -> np.ndarray:
    rng = np.random.default_rng(height)
    return np.clip(rng.normal(128, 20, (height, width, channels)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(9, 12, 3), (12, 9, 1), (40, 33, 3)])
@pytest.mark.parametrize("choice", every_backend.choices(), ids=every_backend.label)
def test_plain_blocks_are_payloads_of_local(
    shape: tuple[int, int, int], choice: every_backend.Choice, model: Model
) -> None:
    image = noisy(*shape)
    (chain,) = family_of(model).encode(image, model, Execution()).chains
    base = model_file({"layers": 1, "components": 2})
    assert chain == bytes([PLAIN]) + family_of(base).encode(image, base, Execution()).chains[0]
    with every_backend.chosen(choice) as backend:
        execution = Execution(1, backend)
        assert family_of(model).encode(image, model, execution).chains == [chain]
        assert np.array_equal(learned.decode([chain], *shape, model, execution=execution), image)


def test_cost_of_a_plain_block(model: Model) -> None:
    image = noisy(20, 30, 3)
    plain = family_of(model).encode(image, model, Execution())
    cost = family_of(model).coder(model).cost(image, Execution())
    assert cost.shape == (20, 30)
    assert abs(float(cost.sum()) - 8 * len(plain.chains[0])) < 0.1 * float(cost.sum())


def test_damaged_plain_blocks(model: Model) -> None:
    image = noisy(9, 12, 3)
    (chain,) = family_of(model).encode(image, model, Execution()).chains
    for bad in (chain[:1], chain[:-1], chain[:-4], chain + chain[-4:], bytes([CONTEXTS]) + chain[1:]):
        with pytest.raises(BBCodecError):
            learned.decode([bad], *image.shape, model, execution=Execution())


@pytest.fixture
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each picture of a batch a group."""
    monkeypatch.setattr("bbcodec.families.local.groups.GROUP_LANES", 1)


@pytest.mark.usefixtures("small_groups")
def test_plain_batches_are_those_of_local(model: Model) -> None:
    images = [noisy(9, 21, 3), noisy(12, 31, 3)]
    base = model_file({"layers": 1, "components": 2})
    _, words = family_of(model).encode_batch(images, model, Execution())
    _, own = family_of(base).encode_batch(images, base, Execution())
    assert words.tolist() == [PLAIN, PLAIN, *own.tolist()]


@pytest.mark.usefixtures("small_groups")
@pytest.mark.parametrize("choice", every_backend.choices(), ids=every_backend.label)
def test_batches_of_all_codings(
    choice: every_backend.Choice, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    codings = iter([PLAIN, CONTEXTS, PLAIN, 3] * 2)
    monkeypatch.setattr("bbcodec.families.loglinear.groups.coding_for", lambda blocks, plain: next(codings))
    images = [drawing((7 + i, 14, 3), i, specks=0.2) for i in range(4)]
    _, words = family_of(model).encode_batch(images, model, Execution())
    shapes = [image.shape[:2] for image in images]
    with every_backend.chosen(choice) as backend:
        execution = Execution(1, backend)
        assert np.array_equal(family_of(model).encode_batch(images, model, execution)[1], words)
        found = family_of(model).decode_batch(0, words, shapes, 3, model, execution)
    assert all(np.array_equal(a, b) for a, b in zip(found, images, strict=True))


@pytest.mark.usefixtures("small_groups")
def test_damaged_plain_batches(model: Model) -> None:
    images = [noisy(9, 21, 3), noisy(12, 31, 3)]
    _, words = family_of(model).encode_batch(images, model, Execution())
    shapes = [image.shape[:2] for image in images]
    unknown = np.concatenate([np.array([PLAIN + 1], np.uint32), words[1:]])
    for bad in (words[:0], words[:1], words[:3], words[:-1], words[1:], np.append(words, words[:1]), unknown):
        with pytest.raises(BBCodecError):
            family_of(model).decode_batch(0, bad, shapes, 3, model, Execution())


def test_evenness() -> None:
    rgb = noisy(200, 300, 3)
    assert evenness([rgb]) > 0.75
    assert evenness([rgb // 2 * 2]) < 0.1
    gray = noisy(300, 400, 1)
    assert evenness([gray]) > 0.75
    assert evenness([gray // 2 * 2]) < 0.1
    assert evenness([np.zeros((8, 8, 3), np.uint8)]) == 0
