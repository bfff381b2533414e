# SPDX-License-Identifier: Apache-2.0
"""Small graphs for tests of the exact engine."""

from __future__ import annotations

from typing import Any

import numpy as np

from bbcodec.engine import (
    Function,
    Graph,
    Input,
    Mul,
    Op,
    Qconv,
    Requantise,
    Wconv,
    bits,
)

Array = np.ndarray[Any, Any]

FULL = (-32768, 32767)
SMALL = np.ones((2, 1, 1, 3), np.int8)  # weights of a convolution from 3 channels to 2


def one(ops: list[Op], inputs: list[Input], outputs: list[str], tensors: dict[str, Array]) -> Graph:
    return Graph({"f": Function(tuple(inputs), tuple(ops), tuple(outputs))}, tensors)


def qconv_graph(weight: Array, top: int, **changes: Any) -> Graph:
    outputs = weight.shape[0]
    tensors = {"w": weight, "mul": np.ones(outputs, np.int32), "add": np.zeros(outputs, np.int64)}
    tensors.update(changes.pop("tensors", {}))
    scale = {"shift": 1, "lo": -5, "hi": 5, **changes}
    ops: list[Op] = [Qconv("x", "a", "w", weight.shape[1]), Requantise("a", "y", "mul", "add", **scale)]
    return one(ops, [Input("x", "stream", weight.shape[3], -top - 1, top)], ["y"], tensors)


def mul_graph(x: int = 3, y: int = 3, shift: int = 8, lo: int = 0, hi: int = 9) -> Graph:
    ports = [Input("x", "stream", x, 0, 1), Input("y", "stream", y, 0, 1)]
    return one([Mul("x", "y", "z", shift, lo, hi)], ports, ["z"], {})


def conv_chain(convs: int, channels: int) -> Graph:
    """Return a chain of 1-bit convolutions of streams that share one tensor."""
    ops: list[Op] = []
    for i in range(convs):
        ops += [
            Wconv(f"x{i}", f"a{i}", "w", 1),
            Requantise(f"a{i}", f"x{i + 1}", "mul", "add", 1, -9, 9),
        ]
    tensors: dict[str, Array] = {
        "w": bits.pack_signs(np.ones((channels, 1, 1, channels))),
        "mul": np.ones(channels, np.int32),
        "add": np.zeros(channels, np.int64),
    }
    return one(ops, [Input("x0", "stream", channels, -9, 9)], [f"x{convs}"], tensors)
