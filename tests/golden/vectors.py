# SPDX-License-Identifier: Apache-2.0
"""Golden vectors: results of every operation of the engine, all tables of the format, all released models.

    python tests/golden/vectors.py      add missing entries to vectors.json; never change existing ones

The manifest holds SHA-256 digests. Inputs are computed by integer arithmetic, so that they are the same
everywhere. `check.py` and the tests compare every backend with the digests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bbcodec import modelfile
from bbcodec.coding import codecs, logistic_tables
from bbcodec.coding.distributions import cut_mixture
from bbcodec.engine import (
    Add,
    Bconv,
    DepthToSpace,
    Function,
    Graph,
    Input,
    Mul,
    Op,
    Program,
    Qconv,
    Requantise,
    Sign,
    SpaceToDepth,
    Table,
    Wconv,
    bits,
)
from bbcodec.families.local import tables as local_tables

MANIFEST = Path(__file__).with_name("vectors.json")
SHAPE = (2, 6, 10)  # maps, rows, columns
FULL = (-32768, 32767)

Array = np.ndarray[Any, Any]


def numbers(seed: int, shape: tuple[int, ...], lo: int, hi: int) -> Array:
    """Return pseudo-random numbers within lo .. hi."""
    i = np.arange(int(np.prod(shape)), dtype=np.int64)
    mixed = (i * 2654435761 + seed * 40503) % (1 << 32)
    mixed = (mixed ^ mixed >> 15) * 2246822519 % (1 << 32)
    found: Array = (lo + (mixed >> 7) % (hi - lo + 1)).reshape(shape)
    return found


def _stream(channels: int, bounds: tuple[int, int] = FULL, name: str = "x") -> Input:
    return Input(name, "stream", channels, *bounds)


def _convolution(kind: type[Bconv] | type[Wconv] | type[Qconv], channels: int, kernel: int) -> Graph:
    """Return one convolution to 11 channels, and a requantise that rounds and clamps its sums."""
    outputs, shape = 11, (11, kernel, kernel, channels)
    if kind is Qconv:
        weight, bounds = numbers(1, shape, -128, 127).astype(np.int8), (-2048, 2047)
    else:
        weight, bounds = bits.pack(numbers(1, shape, 0, 1)), (-2048, 2047)
    tensors = {
        "w": weight,
        "mul": numbers(2, (outputs,), -30000, 30000).astype(np.int32),
        "add": numbers(3, (outputs,), -(1 << 20), 1 << 20).astype(np.int64),
    }
    ops: list[Op] = [
        kind("x", "a", "w", kernel),
        Requantise("a", "y", "mul", "add", 8 if kind is Bconv else 20, -30000, 30000),
    ]
    port = Input("x", "bits", channels) if kind is Bconv else _stream(channels, bounds)
    return Graph({"f": Function((port,), tuple(ops), ("y",))}, tensors)


def _one(op: Op, *inputs: Input, tensors: dict[str, Array] | None = None) -> Graph:
    return Graph({"f": Function(inputs, (op,), (op.out,))}, tensors or {})


def graphs() -> dict[str, Graph]:
    """Return graphs by name: every operation of the engine, each in a function `f`."""
    threshold = numbers(4, (70,), -9000, 9000).astype(np.int16)
    table = numbers(5, (801,), *FULL).astype(np.int16)
    found = {
        f"{kind.tag}, {kernel} x {kernel}, {channels} channels": _convolution(kind, channels, kernel)
        for kind in (Bconv, Wconv, Qconv)
        for channels, kernel in ((70, 3), (64, 1), (5, 5))
    }
    return found | {
        "add": _one(Add("x", "y", "z", -20000, 25000), _stream(7), _stream(7, name="y")),
        "mul": _one(Mul("x", "y", "z", 9, -20000, 25000), _stream(7), _stream(7, name="y")),
        "sign": _one(Sign("x", "z", "t"), _stream(70), tensors={"t": threshold}),
        "table": _one(Table("x", "z", "t", 300), _stream(7, (-900, 900)), tensors={"t": table}),
        "space_to_depth": _one(SpaceToDepth("x", "z"), _stream(3)),
        "depth_to_space": _one(DepthToSpace("x", "z"), _stream(12)),
    }


def run(graph: Graph, backend: str | None = None) -> str:
    """Return the digest of the output of function `f` for generated inputs."""
    values = {}
    for seed, port in enumerate(graph.functions["f"].inputs, 10):
        shape = (*SHAPE, port.channels)
        if port.kind == "bits":
            values[port.name] = bits.pack(numbers(seed, shape, 0, 1))
        else:
            values[port.name] = numbers(seed, shape, port.lo, port.hi).astype(np.int16)
    (found,) = Program(graph, backend)("f", values).values()
    return digest(found)


def all_tables() -> dict[str, Callable[[], Array]]:
    """Return the tables that files depend on, by name."""
    return {
        "logistic, sigmoid": logistic_tables.sigmoid_table,
        "logistic, inverse scales": logistic_tables.inverse_scale_table,
        "cut mixture, weights": cut_mixture.weight_table,
        "cut mixture, inverse scales": cut_mixture.inverse_scale_table,
        "local, r1": local_tables.r1_table,
        "local, r2": local_tables.r2_table,
        "local, sigma": local_tables.sigma_table,
        "local, logarithms": local_tables.log_table,
        "local, exponentials": local_tables.exp_table,
        "Benford64": lambda: np.asarray(codecs._BENFORD_CDF),
    }


def digest(values: Array) -> str:
    """Return the SHA-256 of shape and numbers, as little-endian integers of 64 bits."""
    wide = values.astype("<u8") if values.dtype == np.uint64 else values.astype("<i8")
    return hashlib.sha256(f"{list(values.shape)}\n".encode() + wide.tobytes()).hexdigest()


def everything(backend: str | None = None) -> dict[str, dict[str, str]]:
    """Return all digests, by kind and name."""
    return {
        "operations": {name: run(graph, backend) for name, graph in graphs().items()},
        "tables": {name: digest(table()) for name, table in all_tables().items()},
        "models": {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in modelfile.released().values()
        },
    }


def main() -> None:
    """Add the digests that are missing."""
    manifest = json.loads(MANIFEST.read_text()) if MANIFEST.exists() else {}
    for kind, found in everything("numpy").items():
        manifest[kind] = found | manifest.get(kind, {})
    MANIFEST.write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
