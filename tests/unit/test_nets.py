# SPDX-License-Identifier: Apache-2.0
"""Model files that do not fit their family are refused before they run: models are untrusted input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bbcodec import modelfile, nets
from bbcodec.engine.graph import Function, Graph
from bbcodec.errors import ModelError


def changed(name: str, **changes: Any) -> modelfile.Model:
    """A released model with other parts, put through the file format as an attacker would."""
    model = modelfile.load_named(name)
    functions = dict(model.graph.functions) | changes.get("functions", {})
    for gone in changes.get("without", ()):
        del functions[gone]
    tensors = dict(model.tensors) | changes.get("tensors", {})
    config = dict(model.config) | changes.get("config", {})
    family = changes.get("family", model.family)
    return modelfile.load(modelfile.dump(family, config, Graph(functions, tensors)))


def test_released_models_are_sound() -> None:
    assert nets.load(modelfile.load_named("rvae")).multiple == 16
    assert nets.load(modelfile.load_named("markov")).multiple == 8


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "flow"},
        {"without": ["likelihood"]},
        {"config": {"layers": [1] * 60}},
        {"config": {"layers": [1 << 40]}},
        {"config": {"layers": "2111"}},
        {"config": {"layers": [True, 1, 1, 1]}},
        {"config": {"layers": []}},
        {"config": {"latents": 0}},
        {"config": {"latents": 13}},
        {"config": {"latents": 12.0}},
        {"config": {"latents": None}},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["rvae", "markov"])
def test_models_that_do_not_fit_are_refused(name: str, changes: dict[str, Any]) -> None:
    with pytest.raises(ModelError):
        nets.load(changed(name, **changes))


def test_wrong_tensors_are_refused() -> None:
    for tensor in (
        np.zeros(63, np.int16),
        np.zeros(64, np.int32),
        np.full(64, 9000, np.int16),
        np.zeros((8, 8), np.int16),
    ):
        with pytest.raises(ModelError):
            nets.load(changed("rvae", tensors={"top": tensor}))
    with pytest.raises(ModelError):
        nets.load(changed("markov", tensors={"prior": np.zeros(23, np.int16)}))


def test_functions_with_other_ports_or_ranges_are_refused() -> None:
    functions = modelfile.load_named("rvae").graph.functions
    narrow = functions["params_0"].inputs[0]
    for function in (
        replace(functions["params_0"], inputs=(replace(narrow, lo=-5, hi=5),)),
        functions["likelihood"],
        Function(functions["params_0"].inputs, (), ("h",)),
    ):
        with pytest.raises(ModelError):
            nets.load(changed("rvae", functions={"params_0": function}))
