# SPDX-License-Identifier: Apache-2.0
"""Builder of exact integer graphs, and the units of the integers in them.

Networks describe themselves to it operation by operation. It knows no layers, so that they can import it.
Every method returns the name of the value that it adds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bbcodec.engine import bits, graph

STREAM_UNIT = 1 / 256
STREAM_SHIFT = 8  # a product of two streams is shifted by it: log2(1 / STREAM_UNIT)
STREAM_MAX = 31 * 256  # streams saturate at +-31
PARAMETER_MAX = 32767  # parameters of distributions use all of int16
INPUT_UNIT = 1 / 16  # pixel levels: the networks see (x - 128) / 16
LATENT_UNIT = 1 / 512  # mean of a latent: 1/64 of its grid step of 1/8
LOG2_UNIT = 1 / 128  # log2 of a scale: 1/16 of the index e of scale tables
PIXEL_UNIT = 1 / 1024  # mean of a pixel: 1/64 of a level
COEFFICIENT_UNIT = 1 / 256  # colour coefficients
ELU_MIN = -6 * 256  # stream steps; below, ELU is -1 to within half a step
SIGMOID_MAX = 8 * 256  # stream steps; beyond, the logistic function is 0 or 1 to within half a step

ChannelUnit = Tensor | float  # value of an output step, of all channels or of each


class GraphBuilder:
    """Collect functions and tensors; layers add themselves in their `emit`.

    Attributes
    ----------
    functions, tensors : contents of the graph so far, by name.
    """

    def __init__(self) -> None:
        self.functions: dict[str, graph.Function] = {}
        self.tensors: dict[str, NDArray[Any]] = {}
        self._ops: list[graph.Op] = []
        self._outputs: list[str] = []
        self._name = ""
        self._count = 0

    @contextmanager
    def function(self, name: str, **inputs: int) -> Iterator[GraphBuilder]:
        """Open a function; keyword arguments give the number of channels of each input."""
        self._ops, self._outputs, self._name = [], [], name
        yield self
        # x: (pixel - 128) * 16. y: the same of a dequantized pixel. z: (symbol - 256) * 32. h: a stream.
        ranges = {"x": (-2048, 2032), "y": (-2048, 2047), "z": (-8192, 8160)}
        ports = [
            graph.Input(port, "stream", channels, *ranges.get(port, (-STREAM_MAX, STREAM_MAX)))
            for port, channels in inputs.items()
        ]
        self.functions[name] = graph.Function(tuple(ports), tuple(self._ops), tuple(self._outputs))

    def output(self, name: str, value: str) -> None:
        """Make `value` an output of the open function, named `name`."""
        position = next(i for i, op in enumerate(self._ops) if op.out == value)
        renamed = [self._rename(op, value, name) for op in self._ops[position:]]
        self._ops[position:] = renamed
        self._outputs.append(name)

    @staticmethod
    def _rename(op: graph.Op, old: str, new: str) -> graph.Op:
        changes: dict[str, Any] = {key: new for key in (*op.reads, "out") if getattr(op, key) == old}
        return replace(op, **changes)

    def tensor(self, name: str, values: Tensor, dtype: str) -> None:
        """Store a tensor that the family reads and the graph does not."""
        self.tensors[name] = values.detach().cpu().numpy().astype(dtype)

    def _fresh(self, kind: str) -> str:
        self._count += 1
        return f"{kind}{self._count}"

    def _emit(self, op: graph.Op) -> str:
        self._ops.append(op)
        return op.out

    def qconv(
        self,
        x: str,
        weight: Tensor,
        bias: Tensor,
        unit: ChannelUnit = STREAM_UNIT,
        limit: int = STREAM_MAX,
    ) -> str:
        """Convolve a stream; the output has steps of size `unit`, clamped to +-`limit` steps.

        Weights become two int8 planes: a coarse one, and its rounding errors in steps 1/254 as large. One
        plane is not enough where pixel values pass: a smooth picture costs 0.7 bits/dim more.
        """
        w = weight.detach().double()
        scale = w.abs().amax(dim=(1, 2, 3)).clamp_min(1e-9) / 127
        steps = w / scale[:, None, None, None]
        coarse = self._int8_conv(x, steps.round())
        out = self._requantise(coarse, scale * STREAM_UNIT, bias, unit, limit)
        fine = self._int8_conv(x, ((steps - steps.round()) * 254).round())
        more = self._requantise(fine, scale * STREAM_UNIT / 254, 0 * bias, unit, limit)
        return self._emit(graph.Add(out, more, self._fresh("s"), -limit, limit))

    def _int8_conv(self, x: str, integers: Tensor) -> str:
        name = self._fresh("w")
        self.tensors[name] = integers.permute(0, 2, 3, 1).cpu().numpy().astype(np.int8)
        return self._emit(graph.Qconv(x, self._fresh("a"), name, integers.shape[2]))

    def binary_conv(self, a: str, v: Tensor, gain: Tensor, bias: Tensor) -> str:
        """Convolve bits or a stream with 1-bit weights; `gain` is g / sqrt(n) per output channel."""
        name = self._fresh("b")
        self.tensors[name] = bits.pack((v.detach() < 0).permute(0, 2, 3, 1).cpu().numpy())
        is_bits = any(op.out == a and isinstance(op, graph.Sign) for op in self._ops)
        kind = graph.Bconv if is_bits else graph.Wconv
        acc = self._emit(kind(a, self._fresh("a"), name, v.shape[2]))
        return self._requantise(acc, gain.detach().double() * (1 if is_bits else STREAM_UNIT), bias)

    def _requantise(
        self,
        acc: str,
        step: Tensor,
        bias: Tensor,
        unit: ChannelUnit = STREAM_UNIT,
        limit: int = STREAM_MAX,
    ) -> str:
        """Turn accumulator steps of size `step` plus a bias into output steps of size `unit`, per channel."""
        factor = (step / unit).cpu().numpy()
        offset = (bias.detach().double() / unit).cpu().numpy()
        # The largest multiplier has 15 bits. More would gain nothing, and products stay far inside 64 bits.
        shift = int(np.clip(14 - math.floor(math.log2(np.abs(factor).max() + 1e-12)), 1, 40))
        mul, add = self._fresh("m"), self._fresh("o")
        self.tensors[mul] = np.round(factor * 2.0**shift).astype(np.int32)
        self.tensors[add] = np.round(offset * 2.0**shift).astype(np.int64)
        return self._emit(graph.Requantise(acc, self._fresh("q"), mul, add, shift, -limit, limit))

    def add(self, x: str, y: str) -> str:
        """Add two streams, saturating."""
        return self._emit(graph.Add(x, y, self._fresh("s"), -STREAM_MAX, STREAM_MAX))

    def mul(self, x: str, y: str, shift: int = STREAM_SHIFT, limit: int = STREAM_MAX) -> str:
        """Multiply two streams, shift the product right by `shift` bits and clamp it to +-`limit`."""
        return self._emit(graph.Mul(x, y, self._fresh("p"), shift, -limit, limit))

    def sign(self, x: str, threshold: Tensor) -> str:
        """Return the bits x + threshold < 0; the threshold is rounded to whole steps."""
        name = self._fresh("t")
        steps = (threshold.detach().flatten() / STREAM_UNIT).round().clamp(-STREAM_MAX, STREAM_MAX)
        self.tensors[name] = steps.cpu().numpy().astype(np.int16)
        return self._emit(graph.Sign(x, self._fresh("n"), name))

    def elu(self, x: str) -> str:
        """Apply ELU by a table; its ends stand for everything beyond them."""
        if "elu" not in self.tensors:
            steps = np.arange(ELU_MIN, STREAM_MAX + 1)
            value = np.where(steps < 0, np.expm1(np.minimum(steps, 0) / 256) * 256, steps)
            self.tensors["elu"] = np.round(value).astype(np.int16)
        return self._emit(graph.Table(x, self._fresh("e"), "elu", -ELU_MIN))

    def sigmoid(self, x: str) -> str:
        """Apply the logistic function, 0 to 256, by a table; its ends stand for everything beyond them."""
        if "sigmoid" not in self.tensors:
            steps = np.arange(-SIGMOID_MAX, SIGMOID_MAX + 1)
            self.tensors["sigmoid"] = np.round(256 / (1 + np.exp(-steps / 256))).astype(np.int16)
        return self._emit(graph.Table(x, self._fresh("g"), "sigmoid", SIGMOID_MAX))

    def space_to_depth(self, x: str) -> str:
        """Halve the resolution and make four times the channels."""
        return self._emit(graph.SpaceToDepth(x, self._fresh("d")))

    def depth_to_space(self, x: str) -> str:
        """Double the resolution; the inverse of `space_to_depth`."""
        return self._emit(graph.DepthToSpace(x, self._fresh("u")))
