# SPDX-License-Identifier: Apache-2.0
"""`FITT`: the view of a picture, and changes of a model of the family `local`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .modelfile import Model
from .wire import Reader, demand

TENSORS = ("hidden_w", "first_w", "first_w", "first_b", "hidden_m", "hidden_b", "out_w", "out_b")


def turned(view: int, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """Return the shape of the turned picture."""
    height, width, channels = shape
    return (width, height, channels) if view & 4 else shape


def undo(view: int, pixels: Any) -> Any:
    """Turn a picture back."""
    if view & 8:
        pixels = pixels[:, :, ::-1]
    if view & 1:
        pixels = pixels[:, ::-1]
    if view & 2:
        pixels = pixels[::-1]
    return pixels.transpose(1, 0, 2) if view & 4 else pixels


def read(payload: bytes | None, model: Model) -> tuple[int, Model]:
    """Return the view and the changed model."""
    if payload is None:
        return 0, model
    demand(len(payload) <= 1 << 20, "size of FITT")
    reader = Reader(payload)
    view, numbers = reader.number(1), reader.number(1)
    demand(view < 16 and numbers < 16, "bits of FITT")
    config, tensors = dict(model.config), {name: t.copy() for name, t in model.tensors.items()}
    if numbers & 1:
        config["rate_q"] = reader.varint()
    for bit, name in ((2, "along"), (4, "down")):
        if numbers & bit:
            config[name] = list(reader.take(reader.number(1)))
            demand(len(config[name]) == 2, f"length of {name}")
    if numbers & 8:
        config["ridge"] = reader.varint()
    last = -1
    while not reader.ends():
        number = reader.number(1)
        demand(last < number < len(TENSORS), "number of a tensor")
        last = number
        _change(reader, number, tensors)
    return view, dataclasses.replace(model, config=config, tensors=tensors)


def _change(reader: Reader, number: int, tensors: dict[str, Any]) -> None:
    """Read and apply the changes of one tensor."""
    shift, parameters, count = reader.number(1), reader.number(1), reader.varint()
    demand(shift <= 24 and count >= 1 and (number or not (shift or parameters & 15)), "changes of a tensor")
    tensor = tensors[TENSORS[number]]
    each = tensor if number == 1 else tensor[None]
    size = tensor.size * 64 if number == 0 else each[0].size
    bits = Bits(reader)
    position = -1
    for _ in range(count):
        position += 1 + bits.rice(parameters >> 4)
        demand(position < min(size, 1 << 24), "position of a change")
        if number == 0:
            tensor.reshape(-1)[position // 64] ^= np.uint64(1 << position % 64)
            continue
        sign = bits.bit()
        step = bits.rice(parameters & 15) + 1
        demand(step < 1 << 24, "size of a change")
        limits = np.iinfo(tensor.dtype)
        for part in each:
            flat = part.reshape(-1)
            value = int(flat[position]) + (-step if sign else step) * 2**shift
            flat[position] = min(max(value, limits.min), limits.max)
    bits.end()


class Bits:
    """Reads bits, highest bit of each byte first."""

    def __init__(self, reader: Reader) -> None:
        self.reader, self.byte, self.left = reader, 0, 0

    def bit(self) -> int:
        if not self.left:
            self.byte, self.left = self.reader.number(1), 8
        self.left -= 1
        return self.byte >> self.left & 1

    def rice(self, k: int) -> int:
        high = 0
        while self.bit():
            high += 1
        low = 0
        for _ in range(k):
            low = low << 1 | self.bit()
        return high << k | low

    def end(self) -> None:
        demand(not self.byte & ((1 << self.left) - 1), "spare bits are not 0")
