# SPDX-License-Identifier: Apache-2.0
"""The exact integer graph: its operations, their definitions, and their JSON form.

A graph is plain data: named functions over named tensors. Nothing is executed here (`reference` has the
operations in NumPy), and nothing is proven here (`bounds`).

Values are 4-D and channel-last:

- *stream*: int16 [N, H, W, C];
- *bits*: packed signs, uint64 [N, H, W, ceil(C / 64)], convention in `bbcodec.engine.bits`;
- *acc*: int32 [N, H, W, C], the output of convolutions, which only `Requantise` reads.

Every value has one definition (static single assignment), which precedes its readers in the list.
Convolutions are cross-correlations with "same" size::

    out[y, x] = sum over dy, dx of w[dy, dx] * in[y + dy - k // 2, x + dx - k // 2]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeAlias

from numpy.typing import NDArray

from bbcodec.errors import ModelError

Kind: TypeAlias = Literal["stream", "bits", "acc"]
Tensors: TypeAlias = Mapping[str, NDArray[Any]]

INT16_MIN, INT16_MAX = -(1 << 15), (1 << 15) - 1
KERNELS = (1, 3, 5)
MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Bconv:
    """Bits x bits -> acc. Weights: packed uint64 [Cout, k, k, ceil(Cin / 64)].

    Outside the map every input is +1. ``acc = K - 2 * popcount(x xor w)`` with ``K = k * k * Cin``.
    """

    tag: ClassVar[str] = "bconv"
    reads: ClassVar[tuple[str, ...]] = ("x",)
    uses: ClassVar[tuple[str, ...]] = ("weight",)
    x: str
    out: str
    weight: str
    kernel: int


@dataclass(frozen=True, slots=True)
class Wconv:
    """Stream x 1-bit weights -> acc. Weights as in `Bconv`; outside the map every input is 0."""

    tag: ClassVar[str] = "wconv"
    reads: ClassVar[tuple[str, ...]] = ("x",)
    uses: ClassVar[tuple[str, ...]] = ("weight",)
    x: str
    out: str
    weight: str
    kernel: int


@dataclass(frozen=True, slots=True)
class Qconv:
    """Stream x int8 weights [Cout, k, k, Cin] -> acc; outside the map every input is 0."""

    tag: ClassVar[str] = "qconv"
    reads: ClassVar[tuple[str, ...]] = ("x",)
    uses: ClassVar[tuple[str, ...]] = ("weight",)
    x: str
    out: str
    weight: str
    kernel: int


@dataclass(frozen=True, slots=True)
class Requantise:
    """Acc -> stream: ``clamp((acc * mul[c] + add[c] + (1 << (shift - 1))) >> shift, lo, hi)``.

    ``mul`` is int32 [C], ``add`` is int64 [C] with ``|add| <= 2^61``, and ``1 <= shift <= 40``. The shift is
    arithmetic on 64-bit integers, so the rounding is half up.
    """

    tag: ClassVar[str] = "requantise"
    reads: ClassVar[tuple[str, ...]] = ("x",)
    uses: ClassVar[tuple[str, ...]] = ("mul", "add")
    x: str
    out: str
    mul: str
    add: str
    shift: int
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Add:
    """Stream + stream -> stream, clamped to [lo, hi]."""

    tag: ClassVar[str] = "add"
    reads: ClassVar[tuple[str, ...]] = ("x", "y")
    uses: ClassVar[tuple[str, ...]] = ()
    x: str
    y: str
    out: str
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Mul:
    """Stream * stream -> stream: ``clamp((x * y + (1 << (shift - 1))) >> shift, lo, hi)``.

    ``1 <= shift <= 15``. The product with the rounding term is exact in 32 bits. The shift is arithmetic, so
    the rounding is half up.
    """

    tag: ClassVar[str] = "mul"
    reads: ClassVar[tuple[str, ...]] = ("x", "y")
    uses: ClassVar[tuple[str, ...]] = ()
    x: str
    y: str
    out: str
    shift: int
    lo: int
    hi: int


@dataclass(frozen=True, slots=True)
class Sign:
    """Stream -> bits: bit 1 where ``x + threshold[c] < 0`` (an exact sum), with ``threshold`` int16 [C]."""

    tag: ClassVar[str] = "sign"
    reads: ClassVar[tuple[str, ...]] = ("x",)
    uses: ClassVar[tuple[str, ...]] = ("threshold",)
    x: str
    out: str
    threshold: str


@dataclass(frozen=True, slots=True)
class Table:
    """Stream -> stream: ``table[clamp(x + offset, 0, len(table) - 1)]`` with an int16 table."""

    tag: ClassVar[str] = "table"
    reads: ClassVar[tuple[str, ...]] = ("x",)
    uses: ClassVar[tuple[str, ...]] = ("table",)
    x: str
    out: str
    table: str
    offset: int


@dataclass(frozen=True, slots=True)
class SpaceToDepth:
    """Stream [N, 2H, 2W, C] -> [N, H, W, 4C]; the new channel is ``(dy * 2 + dx) * C + c``."""

    tag: ClassVar[str] = "space_to_depth"
    reads: ClassVar[tuple[str, ...]] = ("x",)
    uses: ClassVar[tuple[str, ...]] = ()
    x: str
    out: str


@dataclass(frozen=True, slots=True)
class DepthToSpace:
    """Inverse of `SpaceToDepth`: stream [N, H, W, 4C] -> [N, 2H, 2W, C]."""

    tag: ClassVar[str] = "depth_to_space"
    reads: ClassVar[tuple[str, ...]] = ("x",)
    uses: ClassVar[tuple[str, ...]] = ()
    x: str
    out: str


Conv: TypeAlias = Bconv | Wconv | Qconv
Op: TypeAlias = Conv | Requantise | Add | Mul | Sign | Table | SpaceToDepth | DepthToSpace

OPS: dict[str, type[Op]] = {
    cls.tag: cls
    for cls in (Bconv, Wconv, Qconv, Requantise, Add, Mul, Sign, Table, SpaceToDepth, DepthToSpace)
}


def reads(op: Op) -> tuple[str, ...]:
    """Return the names of the values that an operation reads, in argument order."""
    return tuple(getattr(op, name) for name in op.reads)


def uses(op: Op) -> tuple[str, ...]:
    """Return the names of the tensors that an operation uses, in argument order."""
    return tuple(getattr(op, name) for name in op.uses)


@dataclass(frozen=True, slots=True)
class Input:
    """A declared input of a function. For streams, lo and hi are the range that inputs must keep."""

    name: str
    kind: Literal["stream", "bits"]
    channels: int
    lo: int = -1
    hi: int = 1


@dataclass(frozen=True, slots=True)
class Function:
    """A function: inputs, operations in order, and the names of the returned values."""

    inputs: tuple[Input, ...]
    ops: tuple[Op, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """Named functions over named tensors; functions may share tensors."""

    functions: Mapping[str, Function] = field(default_factory=dict)
    tensors: Tensors = field(default_factory=dict)


def functions_to_json(functions: Mapping[str, Function]) -> dict[str, Any]:
    """Return the JSON form of functions; `functions_from_json` is the inverse."""
    return {
        name: {
            "inputs": [_fields(port) for port in function.inputs],
            "ops": [{"op": op.tag, **_fields(op)} for op in function.ops],
            "outputs": list(function.outputs),
        }
        for name, function in functions.items()
    }


def functions_from_json(data: object) -> dict[str, Function]:
    """Parse functions from untrusted JSON data.

    Raises
    ------
    ModelError
        A key is missing, unknown, or of the wrong type. `bounds.check_graph` checks whether the result is a
        valid graph.
    """
    functions: dict[str, Function] = {}
    for name, body in _mapping(data, "functions").items():
        where = f"function {name!r}"
        entry = _mapping(body, where)
        _exact_keys(entry, {"inputs", "ops", "outputs"}, where)
        inputs = tuple(
            _build(Input, item, f"{where}, input {i}") for i, item in _items(entry["inputs"], where)
        )
        ops = tuple(_parse_op(item, f"{where}, op {i}") for i, item in _items(entry["ops"], where))
        outputs = tuple(_name(item, f"{where}, output {i}") for i, item in _items(entry["outputs"], where))
        functions[_name(name, where)] = Function(inputs, ops, outputs)
    return functions


def _fields(item: Op | Input) -> dict[str, Any]:
    return {entry.name: getattr(item, entry.name) for entry in fields(item)}


def _parse_op(data: object, where: str) -> Op:
    entry = _mapping(data, where)
    tag = entry.get("op")
    if not isinstance(tag, str) or tag not in OPS:
        raise ModelError(f"{where}: unknown operation {tag!r}, expected one of {', '.join(OPS)}")
    op: Op = _build(OPS[tag], {key: value for key, value in entry.items() if key != "op"}, where)
    return op


def _build(cls: type[Any], data: object, where: str) -> Any:
    entry = _mapping(data, where)
    _exact_keys(entry, {item.name for item in fields(cls)}, where)
    values: dict[str, Any] = {}
    for item in fields(cls):
        value = entry[item.name]
        if item.type == "int":
            # Exact type: bool is an int in Python. Limit: JSON integers have any width.
            if type(value) is not int or abs(value) >= 1 << 62:
                raise ModelError(f"{where}: {item.name} is {value!r:.40}, expected an integer")
        elif item.name == "kind":
            if value not in ("stream", "bits"):
                raise ModelError(f"{where}: kind is {value!r:.40}, expected 'stream' or 'bits'")
        else:
            _name(value, f"{where}: {item.name}")
        values[item.name] = value
    return cls(**values)


def _exact_keys(entry: Mapping[str, Any], expected: set[str], where: str) -> None:
    if set(entry) != expected:
        raise ModelError(f"{where}: keys {sorted(entry)}, expected {sorted(expected)}")


def _mapping(data: object, where: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise ModelError(f"{where}: found {type(data).__name__}, expected an object")
    return data


def _items(data: object, where: str) -> enumerate[Any]:
    if not isinstance(data, Sequence) or isinstance(data, str):
        raise ModelError(f"{where}: found {type(data).__name__}, expected a list")
    return enumerate(data)


def _name(data: object, where: str) -> str:
    if not isinstance(data, str) or not 0 < len(data) <= MAX_NAME:
        raise ModelError(f"{where}: found {data!r:.40}, expected a name of 1 to {MAX_NAME} characters")
    return data
