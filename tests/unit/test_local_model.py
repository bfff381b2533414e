# SPDX-License-Identifier: Apache-2.0
"""The family local: model files, sound ones and others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from local_cases import (
    CONFIG,
    local_model,
    model_file,
    random_tensors,
)

from bbcodec import modelfile
from bbcodec.engine.graph import Graph
from bbcodec.errors import ModelError
from bbcodec.families.local.model import LocalModel, entries


@pytest.fixture(scope="module")
def model() -> LocalModel:
    return local_model()


def test_a_model_is_read_whole(model: LocalModel) -> None:
    tensors = random_tensors(CONFIG)
    bits = [(int(tensors["hidden_w"][1, 5, 0]) >> h) & 1 for h in range(64)]
    assert model.signs.shape == (2, 64, 64)
    assert model.signs[1, 5].tolist() == [1 - 2 * bit for bit in bits]
    sizes = [[len(p) for p in row] for row in model.priors]
    assert sizes == [[entries(8 + 5 * c), entries(4 + 2 * c)] for c in range(3)]
    flat = np.concatenate([p for row in model.priors for p in row])
    assert np.array_equal(flat, tensors["prior"])
    for array in (model.signs, model.first_w, model.priors[2][1]):
        assert not array.flags.writeable


@pytest.mark.parametrize(
    "config",
    [
        {"hidden": 96},
        {"hidden": 80, "layers": 0},
        {"every": 0},
        {"every": 65},
        {"block": 63},
        {"block": 1025},
        {"every": True},
        {"hidden": 0},
        {"hidden": 320},
        {"hidden": 64.0},
        {"layers": 9},
        {"layers": -1},
        {"layers": True},
        {"layers": 3},
        {"layers": 0},
        {"components": 0},
        {"components": 9},
        {"components": 4},
        {"own": [1, 4]},
        {"own": [17, 4]},
        {"own": [8]},
        {"own": 8},
        {"own": [8, 4, 4]},
        {"own": [8, "4"]},
        {"own": [9, 4]},
        {"earlier": [10, 2]},
        {"earlier": [5, -1]},
        {"along": [0, 2]},
        {"along": [3, 4]},
        {"down": [4, 0]},
        {"down": [5, 2]},
        {"down": None},
        {"ridge": 0},
        {"ridge": (1 << 40) + 1},
        {"ridge": 64.5},
        {"rate_q": -1},
        {"rate_q": (1 << 16) + 1},
        {"rate_q": None},
        {"colour": 1},
    ],
    ids=str,
)
def test_configurations_that_do_not_fit_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="model: "):
        LocalModel.from_model(model_file(config, {}))


def test_a_missing_key_and_another_family_are_refused() -> None:
    data = modelfile.dump("local", {"hidden": 64}, Graph({}, {}), dict(random_tensors(CONFIG)))
    with pytest.raises(ModelError, match="config"):
        LocalModel.from_model(modelfile.load(data))
    with pytest.raises(ModelError, match="family"):
        LocalModel.from_model(model_file(family="rvae"))


LIMITS = {
    "first_m": (0,),
    "first_b": (-(1 << 28), 1 << 28),
    "hidden_m": (-(1 << 14), 1 << 14),
    "hidden_b": (-(1 << 28), 1 << 28),
    "out_w": (-(1 << 22), 1 << 22),
    "out_b": (-(1 << 28), 1 << 28),
    "prior": (-(1 << 24), 1 << 24),
}


@pytest.mark.parametrize("name", [*LIMITS, "first_w", "hidden_w"])
def test_tensors_that_do_not_fit_are_refused(name: str) -> None:
    tensor = random_tensors(CONFIG)[name]
    broken: list[np.ndarray | None] = [tensor.astype(np.int64), tensor[..., None], tensor[:1]]
    if name != "prior":
        broken.append(None)
    for value in LIMITS.get(name, ()):
        kept, beyond = tensor.copy(), tensor.copy()
        kept.flat[-1] = value
        beyond.flat[-1] = value + (1 if value > 0 else -1)
        LocalModel.from_model(model_file({}, {name: kept}))
        broken.append(beyond)
    for other in broken:
        with pytest.raises(ModelError, match=name):
            LocalModel.from_model(model_file({}, {name: other}))


def test_the_first_stream_stays_within_32_bits() -> None:
    tensors = random_tensors(CONFIG)
    reach = 127 * np.abs(tensors["first_w"].astype(np.int64)).sum(1)
    most = (2**31 - 1 - 2**28 - 2**13) // reach
    for excess, fits in ((0, True), (1, False)):
        first_m = tensors["first_m"].copy()
        first_m[1, 5] = most[1, 5] + excess
        changed = model_file({}, {"first_m": first_m})
        if fits:
            LocalModel.from_model(changed)
        else:
            with pytest.raises(ModelError, match="first_m"):
                LocalModel.from_model(changed)
