# SPDX-License-Identifier: Apache-2.0
"""What `bbcodec models` tells, and what its check finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bbcodec import backends, modelfile
from bbcodec.engine.graph import Graph
from bbcodec.errors import BBCodecError, ModelError, ModelMissingError
from bbcodec.families import card
from bbcodec.families.family import family_of


def own(path: Path, **config: int) -> Path:
    parent = modelfile.load_named("fast")
    data = modelfile.dump("local", {**parent.config, **config}, Graph({}, {}), parent.tensors, notes={"a": 1})
    path.write_bytes(data)
    return path


def test_every_released_model_is_listed_with_its_id_and_purpose() -> None:
    found = {entry["name"]: entry for entry in card.listing()}
    assert set(found) == set(modelfile.released()) == set(card.RELEASED_IDS) == set(card.PURPOSES)
    for name, entry in found.items():
        assert entry["id"] == card.RELEASED_IDS[name] == modelfile.load_named(name).id
        assert entry["family"] == modelfile.load_named(name).family


def parameters(name: str) -> tuple[int, int]:
    model = modelfile.load_named(name)
    return family_of(model).parameters(model)


def test_binary_weights_are_counted_without_padding() -> None:
    assert parameters("photo")[0] == 128 * 128
    assert parameters("fast")[0] == 0
    # Kernels of the residual layers, as the model card has them.
    assert parameters("flowpp")[0] == 450_560
    assert parameters("rvae")[0] == 811_008


def test_a_model_is_described_by_name_id_and_path(tmp_path: Path) -> None:
    by_name = card.describe("fast")
    assert by_name == card.describe(by_name["id"][:12])
    assert by_name == card.describe(modelfile.released()["fast"])
    assert by_name["embedded_bytes"] == by_name["bytes"] == 11642
    mine = card.describe(own(tmp_path / "mine.bbm", rate_q=100))
    assert (mine["name"], mine["parent"], mine["notes"]) == (None, "fast", {"a": 1})
    assert mine["embedded_bytes"] < 600
    assert mine["config"]["rate_q"] == 100


@pytest.mark.parametrize("name", ["fast", "rvae"])
def test_backends_agree(name: str) -> None:
    found = card.verify(name, ["native", "numpy"] if "native" in backends.available() else ["numpy"])
    assert found["id"] == card.RELEASED_IDS[name]
    assert 0 < found["bits_per_dim"] < 8


def test_another_file_under_a_released_name_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = own(tmp_path / "fast.bbm", rate_q=7)
    monkeypatch.setattr(modelfile, "released", lambda: {"fast": other})
    with pytest.raises(ModelError, match="released was 948960f9"):
        card.verify("fast", ["numpy"])


def test_damage_and_absence_are_found(tmp_path: Path) -> None:
    path = own(tmp_path / "mine.bbm")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="checksum"):
        card.verify(path, ["numpy"])
    with pytest.raises(ModelMissingError):
        card.describe("nothing_of_this_name")
    unsound = dict(modelfile.load_named("fast").tensors) | {"first_m": np.full((3, 32), 1 << 20, np.int32)}
    config = modelfile.load_named("fast").config
    path.write_bytes(modelfile.dump("local", config, Graph({}, {}), unsound))
    with pytest.raises(BBCodecError, match="32 bits"):
        card.verify(path, ["numpy"])
