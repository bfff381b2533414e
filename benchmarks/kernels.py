# SPDX-License-Identifier: Apache-2.0
"""Measure convolutions on one thread: bits x bits, 1 bit or int8 x int16 or int8, beside PyTorch.

    python benchmarks/kernels.py > docs/results/kernels.md
    python benchmarks/kernels.py --side 8 --images 1 --channels 8 --rounds 1 --no-torch     a trial

The rows of PyTorch need the extra `train`. Every result is compared with the reference after it is timed. The
rows of a column are interleaved, round by round, and each timing follows an untimed call. A result is the
median of its rounds.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rates import machine

from bbcodec import _native
from bbcodec.engine import bits, reference

Array = NDArray[Any]
MIN_SECONDS = 0.004  # of a timing: short calls are repeated
FP32 = ("torch fp32, NCHW", "torch fp32, channels last")
ENGINES = ("onednn", "x86", "fbgemm", "qnnpack")


class WrongResultError(Exception):
    """The result of a kernel differs from the reference."""


@dataclass
class Row:
    """One cell of a table: the call, the array for its result, and the expected result."""

    name: str
    call: Callable[[], object]
    target: str | None = None
    found: Array | None = None
    expected: Array | None = None
    seconds: list[float] = field(default_factory=list)

    def run(self) -> None:
        """Time some calls after an untimed one, and compare the result.

        Raises
        ------
        WrongResultError
            The result differs from the reference.
        """
        if self.target is not None:
            _native.set_target(self.target)
        start = time.perf_counter()
        self.call()
        calls = max(1, int(MIN_SECONDS / max(time.perf_counter() - start, 1e-9)))
        if self.found is not None:
            self.found.fill(0)
        start = time.perf_counter()
        for _ in range(calls):
            self.call()
        self.seconds.append((time.perf_counter() - start) / calls)
        if self.found is not None and not np.array_equal(self.found, self.expected):
            raise WrongResultError(f"{self.name}: the result differs from the reference")


def bit_rows(shape: tuple[int, int, int], channels: int, kernel: int) -> list[Row]:
    """Return rows of bits x bits: to signs of the requantised result, to int16, to int32 accumulators."""
    rng = np.random.default_rng(channels + kernel)
    x = bits.pack(rng.integers(0, 2, (*shape, channels)))
    weight = bits.pack(rng.integers(0, 2, (channels, kernel, kernel, channels)))
    conv = _native.BitConv(weight, channels)
    raw = reference.bconv(x, weight, channels)
    limits = rng.integers(-9, 10, channels).astype(np.int32)
    flips = rng.integers(0, 2, channels).astype(np.uint8)
    mul, add = rng.integers(-500, 501, channels).astype(np.int32), np.zeros(channels, np.int64)
    threshold, scale = _native.Threshold(limits, flips), _native.Scale(mul, add, 8, -2048, 2047)
    signs = bits.pack((raw < limits) ^ flips.astype(bool))
    stream = reference.requantise(raw, mul, add, 8, -2048, 2047)
    rows = []
    for target in _native.targets():
        outs = [np.empty_like(a) for a in (signs, stream, raw)]
        calls = [partial(conv.sign, x, threshold, outs[0]), partial(conv.scale, x, scale, outs[1])]
        calls.append(partial(conv.acc, x, outs[2]))
        for word, call, out, right in zip(
            ("bits", "int16", "int32"), calls, outs, (signs, stream, raw), strict=True
        ):
            rows.append(Row(f"bits x bits to {word}, {target}", call, target, out, right))
    return rows


def int_rows(shape: tuple[int, int, int], channels: int, kernel: int) -> list[Row]:
    """Return rows of 1 bit and int8 x int16 and int8, all to int32 accumulators."""
    rng = np.random.default_rng(channels + kernel)
    size = (channels, kernel, kernel, channels)
    weights = {
        "1 bit": rng.choice([-1, 1], size).astype(np.int8),
        "int8": rng.integers(-128, 128, size).astype(np.int8),
    }
    rows = []
    for inputs, lo, hi in (("int16", -500, 500), ("int8", -128, 127)):
        x = rng.integers(lo, hi, (*shape, channels), endpoint=True).astype(np.int16)
        for name, weight in weights.items():
            conv = _native.IntConv(weight, lo, hi)
            right = reference.qconv(x, weight)
            for target in _native.targets():
                out = np.empty_like(right)
                line = f"{name} x {inputs} to int32, {target}"
                rows.append(Row(line, partial(conv.acc, x, out), target, out, right))
    return rows


def torch_rows(torch: Any, shape: tuple[int, int, int], channels: int, kernel: int) -> list[Row]:
    """Return rows of PyTorch: fp32 in both memory formats, and int8 with every supported engine."""
    torch.manual_seed(channels + kernel)
    pad = kernel // 2
    x = torch.rand(shape[0], channels, *shape[1:])
    w = torch.randn(channels, channels, kernel, kernel)
    last = torch.channels_last
    x_last, w_last = x.contiguous(memory_format=last), w.contiguous(memory_format=last)
    conv = torch.nn.functional.conv2d
    rows = [Row(FP32[0], partial(conv, x, w, padding=pad))]
    rows.append(Row(FP32[1], partial(conv, x_last, w_last, padding=pad)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch deprecates its quantised tensors
        xq = torch.quantize_per_tensor(x_last, 1 / 128, 0, torch.quint8)
        wq = torch.quantize_per_tensor(w, 1 / 32, 0, torch.qint8)
    for engine in ENGINES:
        if engine not in torch.backends.quantized.supported_engines:
            continue
        torch.backends.quantized.engine = engine
        pack = torch.ops.quantized.conv2d_prepack
        packed = pack(wq, None, [1, 1], [pad, pad], [1, 1], 1)

        def run(engine: str = engine, packed: Any = packed) -> object:
            torch.backends.quantized.engine = engine
            return torch.ops.quantized.conv2d(xq, packed, 0.5, 64)

        rows.append(Row(f"torch int8, {engine}", run))
    return rows


def column(
    torch: Any, shape: tuple[int, int, int], channels: int, kernel: int, rounds: int
) -> dict[str, float]:
    """Measure every row at one number of channels, and return GMAC/s by name."""
    rows = bit_rows(shape, channels, kernel) + int_rows(shape, channels, kernel)
    if torch is not None:
        rows += torch_rows(torch, shape, channels, kernel)
    for _ in range(rounds):
        for row in rows:
            row.run()
    macs = shape[0] * shape[1] * shape[2] * (channels * kernel) ** 2
    return {row.name: macs / median(row.seconds) / 1e9 for row in rows}


def xnor_net(channels: int, kernel: int) -> float:
    """Return the speed-up by the operation count of XNOR-Net (Rastegari et al. 2016, section 4.1).

    It is c N_W / (c N_W / 64 + 1) for c channels and N_W taps. For the 256 channels and 3 x 3 taps of the
    paper, the count gives 62.27; the paper measures 58 on a CPU.
    """
    inputs = channels * kernel * kernel
    return inputs / (inputs / 64 + 1)


def table(kernel: int, columns: dict[int, dict[str, float]]) -> list[str]:
    """Return the lines of one table, with each row relative to the faster fp32 of its column."""
    base = {c: max(figures.get(name, 0.0) for name in FP32) for c, figures in columns.items()}
    lines = [f"## {kernel} x {kernel}", ""]
    lines.append("| GMAC/s (times the faster fp32) | " + " | ".join(f"{c} channels" for c in columns) + " |")
    lines.append("| --- |" + " ---: |" * len(columns))
    for name in next(iter(columns.values())):
        cells = [
            f"{f[name]:,.0f}" + (f" ({f[name] / base[c]:.1f})" if base[c] else "") for c, f in columns.items()
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    cells = [f"({xnor_net(c, kernel):.1f})" for c in columns]
    lines.append("| XNOR-Net's count of operations, bits x bits | " + " | ".join(cells) + " |")
    return [*lines, ""]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a report in Markdown."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--channels", default="64,128,256")
    parser.add_argument("--kernels", default="1,3")
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--side", type=int, default=32, help="side of a map in pixels")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--no-torch", action="store_true")
    options = parser.parse_args(words)
    shape = (options.images, options.side, options.side)
    torch = None if options.no_torch else importlib.import_module("torch")
    lines = [
        "# Convolutions on one thread",
        "",
        "`" + " ".join(["python benchmarks/kernels.py", *words]) + "`",
        "",
    ]
    lines.append(f"- {machine()}; targets: {', '.join(_native.targets())}; NumPy {np.__version__}")
    if torch is not None:
        torch.set_num_threads(1)
        lines.append(f"- PyTorch {torch.__version__}, one thread; int8 is quint8 x qint8 to quint8")
    lines.append(f"- maps: {shape[0]} of {shape[1]} x {shape[2]} pixels, as many channels out as in, padded")
    lines.append(f"- medians of {options.rounds} interleaved rounds; every result equals the reference")
    lines += ["", *NOTES, ""]
    before = _native.target()
    try:
        for kernel in map(int, options.kernels.split(",")):
            columns = {
                c: column(torch, shape, c, kernel, options.rounds)
                for c in map(int, options.channels.split(","))
            }
            lines += table(kernel, columns)
    finally:
        _native.set_target(before)
    print("\n".join(lines).rstrip())


NOTES = (
    "A multiply-and-add counts once (MAC). To bits: the signs of the requantised result, packed, which the",
    "next convolution of bits reads; to int16: requantised; to int32: bare accumulators. Maps of int8 are",
    "maps of int16 in memory that are known to hold -128 to 127. XNOR-Net's count takes 64 products of bits",
    "as one operation, and one product of floats as one too. It leaves out the vectors, in which floats have",
    "two instructions for 16 products and sums each in a cycle of a core with AVX-512, and the sums of the",
    "bits, which cost more than their products.",
)


if __name__ == "__main__":
    main()
