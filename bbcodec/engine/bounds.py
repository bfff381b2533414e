# SPDX-License-Identifier: Apache-2.0
"""The static check of a graph: shapes fit, and no accumulator can overflow.

Models are untrusted input. `check_graph` walks every function once with interval arithmetic, one interval per
channel (`bbcodec.engine.intervals`). It proves that all backends compute the same exact integers, or raises
`ModelError`. It runs at export and at load. Nothing is executed here. The cost of the check is bounded too:
all work is charged to a budget for the whole graph before it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bbcodec.engine import bits
from bbcodec.engine.graph import Bconv, Function, Graph, Op, Qconv, Tensors, Wconv, reads, uses
from bbcodec.engine.intervals import (
    MAX_CHANNELS,
    MAX_TOTAL_OPS,
    CheckState,
    Value,
    input_value,
    output_value,
)
from bbcodec.errors import ModelError

__all__ = ["Analysis", "Value", "check_graph"]

# Limits far above real models. `bbcodec.engine.intervals` has the limits of values and of totals.
MAX_FUNCTIONS = 256
MAX_INPUTS = 64
MAX_OPS = 4096
# A value may be at most 2^4 times finer than the inputs of its function.
MAX_UPSCALE = 4
_BYTES_PER_ELEMENT = {"stream": 2, "acc": 4}


@dataclass(frozen=True, slots=True)
class Analysis:
    """Result of the check of one function; all costs are per position of the inputs.

    Attributes
    ----------
    values : all values by name.
    macs : multiply-accumulates.
    elements : elements that all operations write.
    largest : elements of the largest value.
    live : peak size of the values that must exist at the same time, in bytes.
    """

    values: Mapping[str, Value]
    macs: int
    elements: int
    largest: float
    live: float


def check_graph(graph: Graph) -> dict[str, Analysis]:
    """Prove that a graph is valid and that no accumulator overflows.

    Returns
    -------
    One `Analysis` per function.

    Raises
    ------
    ModelError
        The graph is not valid. The message names the function, the operation, what was found and what was
        expected.
    """
    if len(graph.functions) > MAX_FUNCTIONS:
        raise ModelError(f"model: {len(graph.functions)} functions, expected at most {MAX_FUNCTIONS}")
    total = sum(len(function.ops) for function in graph.functions.values())
    if total > MAX_TOTAL_OPS:
        raise ModelError(f"model: {total} ops, expected at most {MAX_TOTAL_OPS}")
    state = CheckState(graph.tensors)
    return {name: _check_function(name, function, state) for name, function in graph.functions.items()}


def _check_function(name: str, function: Function, state: CheckState) -> Analysis:
    """Check one function, and return its intervals and costs."""
    where = f"function {name!r}"
    _check_counts(function, where)
    values: dict[str, Value] = {}
    for port in function.inputs:
        if port.name in values:
            raise ModelError(f"{where}: input {port.name!r} is declared twice")
        values[port.name] = input_value(port, f"{where}, input {port.name!r}", state)
    read_or_returned = set(function.outputs).union(*(reads(op) for op in function.ops))
    macs = elements = 0
    for index, op in enumerate(function.ops):
        spot = f"{where}, op {index} ({op.tag} -> {op.out!r})"
        _check_names(op, values, state.tensors, read_or_returned, spot)
        value = output_value(op, [values[read] for read in reads(op)], state, spot)
        _check_size(value, spot)
        values[op.out] = value
        elements += _per_position(value.channels, value.up)
        if isinstance(op, Bconv | Wconv | Qconv):
            macs += _per_position(op.kernel**2 * values[op.x].channels * value.channels, value.up)
    _check_outputs(function, values, where)
    largest = max(value.channels * 4.0**value.up for value in values.values())
    return Analysis(values, macs, elements, largest, _peak_bytes(function, values))


def _check_counts(function: Function, where: str) -> None:
    """Check the numbers of inputs, operations and outputs."""
    for what, items, limit in (
        ("inputs", function.inputs, MAX_INPUTS),
        ("ops", function.ops, MAX_OPS),
        ("outputs", function.outputs, MAX_OPS),
    ):
        if len(items) > limit or (what != "ops" and not items):
            raise ModelError(f"{where}: {len(items)} {what}, expected 1 to {limit}")


def _check_names(
    op: Op, values: Mapping[str, Value], tensors: Tensors, read_or_returned: set[str], where: str
) -> None:
    """Check the names of an operation against earlier values, tensors and later uses."""
    if op.out in values:
        raise ModelError(f"{where}: {op.out!r} is defined twice")
    for read in reads(op):
        if read not in values:
            raise ModelError(f"{where}: reads {read!r}, which is not defined before")
    for used in uses(op):
        if used not in tensors:
            raise ModelError(f"{where}: there is no tensor {used!r}")
    if op.out not in read_or_returned:
        raise ModelError(f"{where}: nothing reads {op.out!r}, and it is not an output")


def _check_size(value: Value, where: str) -> None:
    """Check channels and resolution of a value against the limits."""
    if value.channels > MAX_CHANNELS:
        raise ModelError(f"{where}: {value.channels} channels, expected at most {MAX_CHANNELS}")
    if value.up > MAX_UPSCALE:
        raise ModelError(f"{where}: {value.up} doublings of the resolution, expected at most {MAX_UPSCALE}")


def _check_outputs(function: Function, values: Mapping[str, Value], where: str) -> None:
    """Check that the outputs are different values of kind stream or bits."""
    for output in function.outputs:
        if output not in values or values[output].kind == "acc":
            raise ModelError(f"{where}: output {output!r} is not a defined stream or bits value")
    if len(set(function.outputs)) != len(function.outputs):
        raise ModelError(f"{where}: an output is named twice")


def _per_position(work: int, up: int) -> int:
    """Return the work at the resolution of a value per position of the inputs, rounded up."""
    return work << 2 * up if up >= 0 else -(-work >> -2 * up)


def _peak_bytes(function: Function, values: Mapping[str, Value]) -> float:
    """Return the peak memory per position, in bytes, if every value is freed after its last reader."""

    def size(name: str) -> float:
        value = values[name]
        if value.kind == "bits":
            depth = 8 * bits.words(value.channels)
        else:
            depth = _BYTES_PER_ELEMENT[value.kind] * value.channels
        return depth * 4.0**value.up

    last = {read: index for index, op in enumerate(function.ops) for read in reads(op)}
    live = {port.name: size(port.name) for port in function.inputs}
    now = peak = sum(live.values())
    for index, op in enumerate(function.ops):
        live[op.out] = size(op.out)
        now += live[op.out]
        peak = max(peak, now)
        for read in set(reads(op)):
            if last[read] == index and read not in function.outputs:
                now -= live.pop(read)
    return peak
