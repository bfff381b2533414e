# SPDX-License-Identifier: Apache-2.0
"""Model files that do not fit their family are refused before they run: models are untrusted input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bbcodec import modelfile
from bbcodec.engine import Program, bits
from bbcodec.engine.graph import (
    Add,
    Bconv,
    DepthToSpace,
    Function,
    Graph,
    Input,
    Op,
    Qconv,
    Requantise,
    Sign,
)
from bbcodec.errors import ModelError
from bbcodec.families import latent
from bbcodec.families.latent import signature


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
    assert latent.load(modelfile.load_named("rvae")).multiple == 16
    assert latent.load(modelfile.load_named("markov")).multiple == 8


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
        latent.load(changed(name, **changes))


def test_wrong_tensors_are_refused() -> None:
    for tensor in (
        np.zeros(63, np.int16),
        np.zeros(64, np.int32),
        np.full(64, 9000, np.int16),
        np.zeros((8, 8), np.int16),
    ):
        with pytest.raises(ModelError):
            latent.load(changed("rvae", tensors={"top": tensor}))
    with pytest.raises(ModelError):
        latent.load(changed("markov", tensors={"prior": np.zeros(23, np.int16)}))


def test_functions_with_other_ports_or_ranges_are_refused() -> None:
    functions = modelfile.load_named("rvae").graph.functions
    narrow = functions["params_0"].inputs[0]
    for function in (
        replace(functions["params_0"], inputs=(replace(narrow, lo=-5, hi=5),)),
        functions["likelihood"],
        Function(functions["params_0"].inputs, (), ("h",)),
    ):
        with pytest.raises(ModelError):
            latent.load(changed("rvae", functions={"params_0": function}))


def test_released_models_stay_far_below_the_limits() -> None:
    for name in ("rvae", "markov"):
        analysis = latent.load(modelfile.load_named(name)).program.analysis.values()  # type: ignore[attr-defined]
        assert 20 * sum(a.macs for a in analysis) < signature.MAX_MACS
        assert 20 * sum(a.elements for a in analysis) < signature.MAX_ELEMENTS
        assert 20 * max(a.largest for a in analysis) < 4 * signature.MAX_VALUE_ELEMENTS
        assert 20 * max(a.live for a in analysis) < 4 * signature.MAX_LIVE_BYTES


def widened(channels: int, sums: int = 0) -> tuple[list[Op], dict[str, np.ndarray[Any, Any]]]:
    """Operations from a stream h of 64 channels at 8 times its resolution to `next`, through wide values."""
    ops: list[Op] = [
        DepthToSpace("h", "d1"),
        DepthToSpace("d1", "d2"),
        DepthToSpace("d2", "d3"),
        Qconv("d3", "a", "w", 1),
        Requantise("a", "s0", "mul", "add", 1, -9, 9),
    ]
    ops += [Add(f"s{i}", f"s{i}", f"s{i + 1}", -9, 9) for i in range(sums)]
    ops.append(Add(f"s{sums}", f"s{sums}", "next", -9, 9))
    tensors: dict[str, np.ndarray[Any, Any]] = {
        "w": np.zeros((channels, 1, 1, 1), np.int8),
        "mul": np.ones(channels, np.int32),
        "add": np.zeros(channels, np.int64),
    }
    return ops, tensors


def work(ops: list[Op], tensors: dict[str, np.ndarray[Any, Any]], port: Input, outputs: str = "next") -> None:
    function = Function((port,), tuple(ops), (outputs,))
    signature.check_work(Program(Graph({"f": function}, tensors), "numpy"))


def test_models_that_would_take_too_much_memory_or_work_are_refused() -> None:
    stream, pixels = Input("h", "stream", 64, -9, 9), Input("x", "stream", 3, -9, 9)
    work(*widened(128), stream)
    with pytest.raises(ModelError, match="largest value"):
        work(*widened(129), stream)
    with pytest.raises(ModelError, match="elements per position"):
        work(*widened(128, sums=200), stream)
    # Many narrow values that all wait for the end.
    many: list[Op] = [Add("h", "h", f"s{i}", -9, 9) for i in range(600)]
    many.append(Add("s0", "s1", "next0", -9, 9))
    many += [Add(f"next{i}", f"s{i}", f"next{i + 1}", -9, 9) for i in range(600)]
    with pytest.raises(ModelError, match="same time"):
        work(many, {}, stream, "next600")
    # A position of x is one pixel, and one of h four: less is allowed.
    deep = {
        "w": np.zeros((2049, 1, 1, 3), np.int8),
        "mul": np.ones(2049, np.int32),
        "add": np.zeros(2049, np.int64),
    }
    body: list[Op] = [Qconv("x", "a", "w", 1), Requantise("a", "next", "mul", "add", 1, -9, 9)]
    with pytest.raises(ModelError, match="largest value"):
        work(body, deep, pixels)


def test_a_network_of_the_size_of_the_paper_passes() -> None:
    """96 binary convolutions of 256 x 256 x 3 x 3, all at the resolution of the inputs."""
    width = 256
    words = np.random.default_rng(0).integers(0, 1 << 62, (96, width, 3, 3, bits.words(width)))
    tensors: dict[str, np.ndarray[Any, Any]] = {f"w{i}": w.astype(np.uint64) for i, w in enumerate(words)}
    tensors |= {
        "t": np.zeros(width, np.int16),
        "mul": np.ones(width, np.int32),
        "add": np.zeros(width, np.int64),
    }
    ops: list[Op] = []
    for i in range(96):
        ops += [
            Sign(f"s{i}", f"b{i}", "t"),
            Bconv(f"b{i}", f"a{i}", f"w{i}", 3),
            Requantise(f"a{i}", f"r{i}", "mul", "add", 4, -999, 999),
            Add(f"s{i}", f"r{i}", f"s{i + 1}", -7936, 7936),
        ]
    work(ops, tensors, Input("s0", "stream", width, -7936, 7936), "s96")
