# SPDX-License-Identifier: Apache-2.0
"""The family loglinear: blocks without traces, which are coded plainly."""

from __future__ import annotations

import every_backend
import numpy as np
import pytest
from local_cases import model_file
from loglinear_cases import small_model

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


def test_evenness() -> None:
    rgb = noisy(200, 300, 3)
    assert evenness(rgb) > 0.75
    assert evenness(rgb // 2 * 2) < 0.1
    gray = noisy(300, 400, 1)
    assert evenness(gray) > 0.75
    assert evenness(gray // 2 * 2) < 0.1
    assert evenness(np.zeros((8, 8, 3), np.uint8)) == 0
