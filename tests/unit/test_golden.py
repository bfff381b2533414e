# SPDX-License-Identifier: Apache-2.0
"""Files written once are decoded for ever, by every backend, to the same pixels."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import every_backend
import numpy as np
import pytest

import bbcodec
from bbcodec import backends

GOLDEN = Path(__file__).parents[1] / "golden"


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"golden_{name}", GOLDEN / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make, vectors = _load("make"), _load("vectors")
VECTORS = json.loads((GOLDEN / "vectors.json").read_text())
MANIFEST = json.loads((GOLDEN / "manifest.json").read_text())


def test_the_manifest_names_every_file() -> None:
    assert sorted(MANIFEST) == sorted(path.name for path in GOLDEN.glob("*.bb*")) == sorted(make.everything())
    assert len(MANIFEST) >= 42


# No backend takes part in the classic methods.
CASES = [
    (n, b) for n in sorted(MANIFEST) for b in backends.available() if b == "native" or "classic" not in n
]


@pytest.mark.parametrize(("name", "backend"), CASES)
def test_golden_file_gives_its_pixels(name: str, backend: str) -> None:
    assert make.decoded((GOLDEN / name).read_bytes(), backend) == MANIFEST[name]


@pytest.mark.parametrize("name", make.REPEATED)
def test_encoders_still_write_the_golden_bytes(name: str) -> None:
    assert make.everything()[name]() == (GOLDEN / name).read_bytes()


def test_golden_metadata() -> None:
    image = bbcodec.decompress_image((GOLDEN / "classic_rgb.bb").read_bytes())
    assert image.info["icc_profile"] == bytes(range(200))
    assert image.info["dpi"] == (72.0, 96.0)


@pytest.mark.parametrize("choice", every_backend.choices(), ids=every_backend.label)
def test_golden_vectors_of_operations(choice: every_backend.Choice) -> None:
    with every_backend.chosen(choice) as backend:
        found = {name: vectors.run(graph, backend) for name, graph in vectors.graphs().items()}
    assert found == VECTORS["operations"]


def test_every_operation_has_a_golden_vector() -> None:
    from bbcodec.engine.graph import OPS

    used = {type(op) for graph in vectors.graphs().values() for op in graph.functions["f"].ops}
    assert used == set(OPS.values())


def test_golden_tables_and_models() -> None:
    found = vectors.everything("numpy")
    assert found["tables"] == VECTORS["tables"]
    # More may be released; what was released stays as it is.
    assert found["models"].items() >= VECTORS["models"].items()


def test_the_numbers_of_golden_vectors_are_in_disorder() -> None:
    found = vectors.numbers(3, (1000,), -5, 250)
    assert (found.min(), found.max()) == (-5, 250)
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.1
