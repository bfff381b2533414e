# SPDX-License-Identifier: Apache-2.0
"""Turn a trained network into a model file: an exact integer graph with packed 1-bit weights.

    python -m bbcodec.models.latent.export run/rvae/checkpoint.pt models/released/rvae.bbm --data photos/train

Streams become int16 in steps of 1/256; plain convolutions get two int8 planes of weights;
binary ones keep one bit a weight and basis. Gains, scales and biases fold into one integer multiply, add and
shift per channel. The file is written only after the graph has passed the check that no accumulator can
overflow.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from bbcodec import modelfile
from bbcodec.engine import bits, graph
from bbcodec.families.latent import causal

from .. import data

if TYPE_CHECKING:
    from torch import nn

STREAM_UNIT = 1 / 256
STREAM_SHIFT = 8  # log2 of the steps in 1: what a product of two streams has too many
STREAM_MAX = 31 * 256  # streams saturate at +-31
INPUT_UNIT = 1 / 16  # pixel levels: the networks see (x - 128) / 16
LATENT_UNIT = 1 / 512  # mean of a latent: 1/64 of its grid step of 1/8
LOG2_UNIT = 1 / 128  # log2 of a scale: 1/16 of the index e
PIXEL_UNIT = 1 / 1024  # mean of a pixel: 1/64 of a level
COEF_UNIT = 1 / 256  # colour coefficients
ELU_MIN = -6 * 256  # below, ELU is -1 to within half a step
SIGMOID_MAX = 8 * 256  # beyond, the logistic function is 0 or 1 to within half a step


class GraphBuilder:
    """Collects functions and tensors; layers call it from their `emit`."""

    def __init__(self) -> None:
        self.functions: dict[str, graph.Function] = {}
        self.tensors: dict[str, NDArray[Any]] = {}
        self._ops: list[graph.Op] = []
        self._outputs: list[str] = []
        self._name = ""
        self._count = 0

    @contextmanager
    def function(self, name: str, **inputs: int) -> Iterator[GraphBuilder]:
        """Open a function; keyword arguments name its inputs and their channels."""
        self._ops, self._outputs, self._name = [], [], name
        yield self
        # x is (pixel - 128) * 16; y is that of a dequantized pixel; z is (symbol - 256) * 32; h is a stream.
        ranges = {"x": (-2048, 2032), "y": (-2048, 2047), "z": (-8192, 8160)}
        ports = [
            graph.Input(port, "stream", channels, *ranges.get(port, (-STREAM_MAX, STREAM_MAX)))
            for port, channels in inputs.items()
        ]
        self.functions[name] = graph.Function(tuple(ports), tuple(self._ops), tuple(self._outputs))

    def output(self, name: str, value: str) -> None:
        """Return `value` from the open function as `name`."""
        position = next(i for i, op in enumerate(self._ops) if op.out == value)
        renamed = [self._rename(op, value, name) for op in self._ops[position:]]
        self._ops[position:] = renamed
        self._outputs.append(name)

    @staticmethod
    def _rename(op: graph.Op, old: str, new: str) -> graph.Op:
        keys = [key for key in (*op.reads, "out") if getattr(op, key) == old]
        return replace(op, **dict.fromkeys(keys, new))

    def tensor(self, name: str, values: Tensor, dtype: str) -> None:
        """Store a tensor of the family beside the graph."""
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
        unit: Tensor | float = STREAM_UNIT,
        limit: int = STREAM_MAX,
    ) -> str:
        """Convolution of a stream; output steps of size `unit`, clamped to +-`limit`.

        Weights become two int8 planes: a coarse one, and what its rounding leaves, in steps 1/254 as large.
        One plane is not enough where pixel values pass: a smooth picture costs 0.7 bits/dim more.
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
        """1-bit convolution of bits or of a stream; `gain` is g / sqrt(n) per output channel."""
        name = self._fresh("b")
        self.tensors[name] = bits.pack((v.detach() < 0).permute(0, 2, 3, 1).cpu().numpy())
        of_bits = any(op.out == a and isinstance(op, graph.Sign) for op in self._ops)
        kind = graph.Bconv if of_bits else graph.Wconv
        acc = self._emit(kind(a, self._fresh("a"), name, v.shape[2]))
        return self._requantise(acc, gain.detach().double() * (1 if of_bits else STREAM_UNIT), bias)

    def _requantise(
        self,
        acc: str,
        step: Tensor,
        bias: Tensor,
        unit: Tensor | float = STREAM_UNIT,
        limit: int = STREAM_MAX,
    ) -> str:
        """Accumulator steps of size `step` and a bias (both per channel) -> output steps of size `unit`."""
        factor = (step / unit).cpu().numpy()
        offset = (bias.detach().double() / unit).cpu().numpy()
        # The largest multiplier takes 15 bits: finer would gain nothing, and products stay far inside 64
        # bits.
        shift = int(np.clip(14 - math.floor(math.log2(np.abs(factor).max() + 1e-12)), 1, 40))
        mul, add = self._fresh("m"), self._fresh("o")
        self.tensors[mul] = np.round(factor * 2.0**shift).astype(np.int32)
        self.tensors[add] = np.round(offset * 2.0**shift).astype(np.int64)
        return self._emit(graph.Requantise(acc, self._fresh("q"), mul, add, shift, -limit, limit))

    def add(self, x: str, y: str) -> str:
        """Sum of two streams, saturating."""
        return self._emit(graph.Add(x, y, self._fresh("s"), -STREAM_MAX, STREAM_MAX))

    def mul(self, x: str, y: str, shift: int = STREAM_SHIFT, limit: int = STREAM_MAX) -> str:
        """Product of two streams in steps 2^shift as large as the product of theirs, clamped to +-`limit`."""
        return self._emit(graph.Mul(x, y, self._fresh("p"), shift, -limit, limit))

    def sign(self, x: str, threshold: Tensor) -> str:
        """Bits of x + threshold < 0, in whole steps."""
        name = self._fresh("t")
        steps = (threshold.detach().flatten() / STREAM_UNIT).round().clamp(-STREAM_MAX, STREAM_MAX)
        self.tensors[name] = steps.cpu().numpy().astype(np.int16)
        return self._emit(graph.Sign(x, self._fresh("n"), name))

    def elu(self, x: str) -> str:
        """ELU by table; both ends of the table stand for all that lies beyond."""
        if "elu" not in self.tensors:
            steps = np.arange(ELU_MIN, STREAM_MAX + 1)
            value = np.where(steps < 0, np.expm1(np.minimum(steps, 0) / 256) * 256, steps)
            self.tensors["elu"] = np.round(value).astype(np.int16)
        return self._emit(graph.Table(x, self._fresh("e"), "elu", -ELU_MIN))

    def sigmoid(self, x: str) -> str:
        """Logistic function by table, 0 to 256 in steps of 1/256; the ends stand for all that lies beyond."""
        if "sigmoid" not in self.tensors:
            steps = np.arange(-SIGMOID_MAX, SIGMOID_MAX + 1)
            self.tensors["sigmoid"] = np.round(256 / (1 + np.exp(-steps / 256))).astype(np.int16)
        return self._emit(graph.Table(x, self._fresh("g"), "sigmoid", SIGMOID_MAX))

    def space_to_depth(self, x: str) -> str:
        """Half the resolution, four times the channels."""
        return self._emit(graph.SpaceToDepth(x, self._fresh("d")))

    def depth_to_space(self, x: str) -> str:
        """Inverse of `space_to_depth`."""
        return self._emit(graph.DepthToSpace(x, self._fresh("u")))


def export(
    model: nn.Module, pictures: list[data.Picture] | None = None, notes: dict[str, Any] | None = None
) -> bytes:
    """Bytes of the model file.

    Parameters
    ----------
    model : trained `RVAE` or `Markov`.
    pictures : uint8 [H, W, 3] each; the scale tables of the causal coder for first tiles are fitted on them.
        Without any, its defaults are used.
    notes : JSON-able facts about the training; they are part of the file and so of its id.
    """
    builder = GraphBuilder()
    model.eval()
    model.export(builder)  # type: ignore[operator]
    used = {name for f in builder.functions.values() for op in f.ops for name in graph.uses(op)}
    inside = {name: t for name, t in builder.tensors.items() if name in used}
    outside = {name: t for name, t in builder.tensors.items() if name not in used}
    outside["causal_e"] = causal.fit_scales(pictures) if pictures else causal.default_scales()
    config = model.config.to_dict()
    return modelfile.dump(
        model.config.family, config, graph.Graph(builder.functions, inside), outside, notes=notes
    )


def residual_sizes(model: nn.Module) -> dict[str, int]:
    """Parameters and bytes: all, those of residual kernels, and both as float32 and as exported."""
    from .layers import BinaryConv, PlainConv

    binary = sum(m.v.numel() for m in model.modules() if isinstance(m, BinaryConv))
    plain = sum(m.weight.numel() for m in model.modules() if isinstance(m, PlainConv))
    total = sum(p.numel() for p in model.parameters())
    return {
        "parameters": total,
        "binary": binary,
        "float32_bytes": 4 * total,
        "packed_bytes": binary // 8 + 2 * plain + 4 * (total - binary - plain),
    }


def main(argv: list[str] | None = None) -> None:
    """Export a checkpoint."""
    from .train import load_checkpoint

    parser = argparse.ArgumentParser(
        prog="python -m bbcodec.models.latent.export", description=__doc__.split("\n\n")[0]
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--data", default=None, help="pictures to fit the causal coder's scale tables on")
    args = parser.parse_args(argv)
    model, state = load_checkpoint(args.checkpoint)
    pictures = data.load(args.data) if args.data else None
    notes = {
        "minutes": round(state["seconds"] / 60, 1),
        "steps": state["steps"],
        "valid_bpd": state["curve"][-1][2],
    }
    content = export(model, pictures, notes)
    args.output.write_bytes(content)
    loaded = modelfile.load(content)
    print(f"{args.output}: {len(content):,} bytes, id {loaded.id[:16]}, {residual_sizes(model)}")


if __name__ == "__main__":
    main()
