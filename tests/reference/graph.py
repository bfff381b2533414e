# SPDX-License-Identifier: Apache-2.0
"""The functions of a model file: lists of operations on maps of integers [H, W, C].

Bits are stored as ±1. Sums of convolutions stay below 2^53, so products of doubles are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .local_net import signs
from .modelfile import Model
from .wire import Refused, demand


def run(model: Model, name: str, *inputs: Any) -> dict[str, Any]:
    """Run a function on inputs in declared order, and return its outputs by name, int64 [H, W, C] each."""
    function = model.functions[name]
    values: dict[str, Any] = {}
    for declared, value in zip(function["inputs"], inputs, strict=True):
        inside = value.min() >= declared["lo"] and value.max() <= declared["hi"]
        demand(inside and value.shape[2] == declared["channels"], f"input of {name}")
        values[declared["name"]] = value.astype(np.int64)
    for op in function["ops"]:
        demand(op["out"] not in values, "value is defined twice")
        values[op["out"]] = _apply(model, op, values)
    return {output: values[output] for output in function["outputs"]}


def _apply(model: Model, op: dict[str, Any], values: dict[str, Any]) -> Any:
    kind, x, tensors = op["op"], values[op["x"]], model.tensors
    if kind in ("bconv", "wconv", "qconv"):
        weight = tensors[op["weight"]]
        if kind != "qconv":
            weight = signs(weight, x.shape[2])
        return _convolution(x, weight, op["kernel"], outside=1 if kind == "bconv" else 0)
    if kind == "requantise":
        shift = op["shift"]
        total = x * tensors[op["mul"]].astype(np.int64) + tensors[op["add"]] + (1 << (shift - 1))
        return np.clip(total >> shift, op["lo"], op["hi"])
    if kind == "add":
        return np.clip(x + values[op["y"]], op["lo"], op["hi"])
    if kind == "mul":
        shift = op["shift"]
        return np.clip((x * values[op["y"]] + (1 << (shift - 1))) >> shift, op["lo"], op["hi"])
    if kind == "sign":
        return np.where(x + tensors[op["threshold"]] < 0, -1, 1)
    if kind == "table":
        table = tensors[op["table"]].astype(np.int64)
        return table[np.clip(x + op["offset"], 0, len(table) - 1)]
    if kind == "space_to_depth":
        return space_to_depth(x)
    if kind == "depth_to_space":
        return depth_to_space(x)
    raise Refused(f"unknown operation {kind}")


def _convolution(x: Any, weight: Any, k: int, outside: int) -> Any:
    """Return out[y, x] = Σ w[dy, dx] · in[y + dy - ⌊k/2⌋, x + dx - ⌊k/2⌋]; weight [Cout, k, k, Cin]."""
    height, width, channels = x.shape
    demand(weight.shape[1:] == (k, k, channels), "shape of weights")
    r = k // 2
    padded = np.pad(x, ((r, r), (r, r), (0, 0)), constant_values=outside).astype(np.float64)
    out = np.zeros((height * width, len(weight)))
    for dy in range(k):
        for dx in range(k):
            part = padded[dy : dy + height, dx : dx + width].reshape(-1, channels)
            out += part @ weight[:, dy, dx].T.astype(np.float64)
    return out.astype(np.int64).reshape(height, width, -1)


def space_to_depth(x: Any) -> Any:
    """Rearrange 2H × 2W × C to H × W × 4C, with the new channel (dy·2 + dx)·C + c."""
    h, w, c = x.shape
    return x.reshape(h // 2, 2, w // 2, 2, c).transpose(0, 2, 1, 3, 4).reshape(h // 2, w // 2, 4 * c)


def depth_to_space(x: Any) -> Any:
    """Undo `space_to_depth`."""
    h, w, c = x.shape
    return x.reshape(h, w, 2, 2, c // 4).transpose(0, 2, 1, 3, 4).reshape(2 * h, 2 * w, c // 4)
