# SPDX-License-Identifier: Apache-2.0
"""The executor: inputs, sizes, threads."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import SMALL, Array, one, qconv_graph

from bbcodec.engine import (
    Add,
    Input,
    Mul,
    Op,
    Program,
    SpaceToDepth,
)
from bbcodec.errors import ModelError


def test_inputs_are_validated() -> None:
    program = Program(qconv_graph(SMALL, 9), "numpy")
    good = np.zeros((1, 2, 2, 3), np.int16)
    program("f", {"x": good})
    bad: list[dict[str, Array]] = [
        {},
        {"x": good, "z": good},
        {"x": good[0]},
        {"x": good[..., :2]},
        {"x": good[:0]},
        {"x": good.astype(np.int32)},
        {"x": good + np.int16(10)},
        {"x": good - np.int16(11)},
    ]
    for inputs in bad:
        with pytest.raises(ValueError, match="input"):
            program("f", inputs)
    with pytest.raises(KeyError):
        program("g", {"x": good})


def test_spare_bits_of_inputs_are_validated() -> None:
    program = Program(one([], [Input("x", "bits", 3)], ["x"], {}), "numpy")
    program("f", {"x": np.full((1, 1, 1, 1), 7, np.uint64)})
    with pytest.raises(ValueError, match="spare"):
        program("f", {"x": np.full((1, 1, 1, 1), 8, np.uint64)})


def test_sizes_that_do_not_fit_are_model_errors() -> None:
    halve = Program(one([SpaceToDepth("x", "y")], [Input("x", "stream", 1, 0, 1)], ["y"], {}), "numpy")
    with pytest.raises(ModelError, match="odd"):
        halve("f", {"x": np.zeros((1, 3, 2, 1), np.int16)})
    inputs = [Input("x", "stream", 1, 0, 1), Input("y", "stream", 1, 0, 1)]
    both: list[Op] = [Add("x", "y", "z", 0, 1), Mul("x", "y", "z", 8, 0, 1)]
    for op in both:
        program = Program(one([op], inputs, ["z"], {}), "numpy")
        with pytest.raises(ModelError, match="different sizes"):
            program("f", {"x": np.zeros((1, 3, 2, 1), np.int16), "y": np.zeros((1, 2, 3, 1), np.int16)})
        with pytest.raises(ValueError, match="batch"):
            program("f", {"x": np.zeros((1, 3, 2, 1), np.int16), "y": np.zeros((2, 3, 2, 1), np.int16)})


@pytest.mark.parametrize("cache", [1, 1 << 8, 1 << 30])
def test_threads_and_parts_of_a_batch_change_nothing(cache: int, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = qconv_graph(np.random.default_rng(0).integers(-9, 9, (5, 3, 3, 4)).astype(np.int8), 99)
    x = np.random.default_rng(1).integers(-100, 100, (7, 5, 4, 4)).astype(np.int16)
    expected = Program(graph, "numpy")("f", {"x": x})["y"]
    monkeypatch.setattr("bbcodec.engine.program._CACHE_BYTES", cache)
    for threads in (1, 2, 3, 16):
        assert np.array_equal(Program(graph, "numpy", threads)("f", {"x": x})["y"], expected)
