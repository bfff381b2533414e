# SPDX-License-Identifier: Apache-2.0
"""The JSON form of functions."""

from __future__ import annotations

import pytest
from graphs import SMALL, mul_graph, qconv_graph

from bbcodec.engine.graph import functions_from_json, functions_to_json
from bbcodec.errors import ModelError


def test_json_round_trip_and_strictness() -> None:
    graph = qconv_graph(SMALL, 9)
    data = functions_to_json(graph.functions)
    assert functions_from_json(data) == graph.functions
    op = data["f"]["ops"][0]
    for key, value in [("kernel", True), ("kernel", 1.0), ("x", 1), ("x", ""), ("op", "conv"), ("more", 1)]:
        broken = {"f": {**data["f"], "ops": [{**op, key: value}]}}
        with pytest.raises(ModelError):
            functions_from_json(broken)
    body = data["f"]
    for broken in ([], {"f": []}, {"f": {}}, {"f": {**body, "ops": "abc"}}, {"f": {**body, "outputs": [1]}}):
        with pytest.raises(ModelError):
            functions_from_json(broken)


def test_json_of_a_product() -> None:
    graph = mul_graph()
    data = functions_to_json(graph.functions)
    op = {"op": "mul", "x": "x", "y": "y", "out": "z", "shift": 8, "lo": 0, "hi": 9}
    assert data["f"]["ops"] == [op]
    assert functions_from_json(data) == graph.functions
    changes = [("shift", True), ("shift", 8.0), ("shift", 1 << 62), ("y", 1), ("y", ""), ("mul", "m")]
    for key, value in changes:
        with pytest.raises(ModelError):
            functions_from_json({"f": {**data["f"], "ops": [{**op, key: value}]}})
    for key in op:
        less = {name: value for name, value in op.items() if name != key}
        with pytest.raises(ModelError):
            functions_from_json({"f": {**data["f"], "ops": [less]}})
