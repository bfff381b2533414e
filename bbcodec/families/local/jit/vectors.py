# SPDX-License-Identifier: Apache-2.0
"""Vectors of sixteen lanes for numba: a type, its operators, and ways in and out of memory.

A loop over lanes may or may not become vector instructions; these do, on every machine: LLVM cuts them to the
width that there is. No operation carries a flag that lets LLVM contract or reorder floats, so that each is
rounded by itself. A scalar beside a vector becomes a vector of its type.

They are read from a `View` and written to it: the memory of an array, whatever its shape, that checks no
index, counts no references, and so costs the compiler far less than an array. What is computed with vectors
does not belong here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Final

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.errors import TypingError
from numba.extending import (
    NativeValue,
    lower_builtin,
    models,
    register_model,
    type_callable,
    typeof_impl,
    unbox,
)
from numba.extending import intrinsic as numba_intrinsic
from numba.np.numpy_support import from_dtype
from numpy.typing import NDArray

from bbcodec.families.local.jit.layout import WIDTH

_INT32 = ir.IntType(32)
_ELEMENTS: Final = {
    types.boolean: ir.IntType(1),
    types.int16: ir.IntType(16),
    types.int32: _INT32,
    types.float32: ir.FloatType(),
    types.float64: ir.DoubleType(),
}
_ARITHMETIC: Final = {  # integers, floats
    operator.add: ("add", "fadd"),
    operator.sub: ("sub", "fsub"),
    operator.mul: ("mul", "fmul"),
    operator.truediv: (None, "fdiv"),
    operator.lshift: ("shl", None),
    operator.rshift: ("ashr", None),
    operator.and_: ("and_", None),
    operator.or_: ("or_", None),
}
_COMPARISONS: Final = {
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
    operator.eq: "==",
}


class Vector(types.Type):
    """Sixteen numbers of a numba type: int16, int32, float32, float64, or boolean."""

    def __init__(self, dtype: Any):
        self.dtype = dtype
        super().__init__(name=f"Vector({dtype})")


MASK: Final = Vector(types.boolean)
SHORTS: Final = Vector(types.int16)
INTS: Final = Vector(types.int32)
FLOATS: Final = Vector(types.float32)
DOUBLES: Final = Vector(types.float64)


def _llvm(vector: Vector) -> Any:
    return ir.VectorType(_ELEMENTS[vector.dtype], WIDTH)


@register_model(Vector)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector):
        super().__init__(manager, vector, _llvm(vector))


class View:
    """The memory of a C-contiguous array: compiled loops read and write numbers in it by flat index."""

    def __init__(self, array: NDArray[Any]):
        if not array.flags.c_contiguous:
            raise ValueError("expected a C-contiguous array")
        self.array = array  # keeps the memory
        self.address = array.ctypes.data


class ViewType(types.Type):
    """numba's type of a `View` of numbers of such a type."""

    def __init__(self, dtype: Any):
        self.dtype = dtype
        super().__init__(name=f"View({dtype})")

    @property
    def element(self) -> Any:
        """In LLVM."""
        return _ELEMENTS.get(self.dtype) or ir.IntType(self.dtype.bitwidth)


@register_model(ViewType)
class _ViewModel(models.PrimitiveModel):
    def __init__(self, manager: Any, view: ViewType):
        super().__init__(manager, view, view.element.as_pointer())


@typeof_impl.register(View)
def _typeof_view(view: View, context: Any) -> ViewType:
    return ViewType(from_dtype(view.array.dtype))


@unbox(ViewType)
def _unbox_view(view: ViewType, value: Any, c: Any) -> Any:
    address = c.pyapi.object_getattr_string(value, "address")
    pointer = c.builder.inttoptr(c.pyapi.long_as_longlong(address), view.element.as_pointer())
    c.pyapi.decref(address)
    return NativeValue(pointer, is_error=cgutils.is_not_null(c.builder, c.pyapi.err_occurred()))


def _intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """numba's decorator, which takes the first parameter away; type checkers are not told."""
    return numba_intrinsic(function)  # type: ignore[no-any-return]


# ---- in LLVM ----


def _constant(position: int) -> Any:
    return ir.Constant(_INT32, position)


def _shuffled(builder: Any, a: Any, b: Any, order: list[int]) -> Any:
    mask = ir.Constant(ir.VectorType(_INT32, len(order)), [_constant(i) for i in order])
    return builder.shuffle_vector(a, b, mask)


def _repeated(builder: Any, value: Any) -> Any:
    empty = ir.Constant(ir.VectorType(value.type, WIDTH), ir.Undefined)
    return _shuffled(builder, builder.insert_element(empty, value, _constant(0)), empty, [0] * WIDTH)


def _as_vector(context: Any, builder: Any, value: Any, of: Any, vector: Vector) -> Any:
    """The value, whose numba type is ``of``, as such a vector."""
    return value if of == vector else _repeated(builder, context.cast(builder, value, of, vector.dtype))


def _vector_pointer(builder: Any, view: Any, at: Any, kind: Any) -> Any:
    return builder.bitcast(builder.gep(view, [at]), kind.as_pointer())


def _call(builder: Any, name: str, *values: Any) -> Any:
    """An LLVM intrinsic from vectors to a vector of their type."""
    kind = values[0].type
    bits = 64 if isinstance(kind.element, ir.DoubleType) else 32
    function = ir.FunctionType(kind, [kind] * len(values))
    whole = f"llvm.{name}.v{WIDTH}f{bits}"
    return builder.call(cgutils.get_or_insert_function(builder.module, function, whole), values)


# ---- operators ----


def _common(a: Any, b: Any) -> Vector | None:
    """The vector type of two operands, if at least one is a vector and the other fits."""
    if isinstance(a, Vector):
        return a if a == b or isinstance(b, types.Number) else None
    return b if isinstance(b, Vector) and isinstance(a, types.Number) else None


def _define(op: Callable[..., Any], result: Callable[[Vector], Vector], emit: Callable[..., Any]) -> None:
    """Give an operator a meaning for vectors."""

    def typing(context: Any) -> Callable[[Any, Any], Any]:
        def typer(a: Any, b: Any) -> Any:
            common = _common(a, b)
            return result(common) if common else None

        return typer

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        vector = _common(*sig.args)
        assert vector is not None
        a, b = (
            _as_vector(context, builder, value, of, vector) for value, of in zip(args, sig.args, strict=True)
        )
        return emit(builder, isinstance(vector.dtype, types.Float), a, b)

    type_callable(op)(typing)
    for pair in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(op, *pair)(lower)


def _arithmetic(integer: str | None, real: str | None) -> Callable[..., Any]:
    return lambda builder, floats, a, b: getattr(builder, (real if floats else integer) or "")(a, b)


def _comparison(sign: str) -> Callable[..., Any]:
    return lambda builder, floats, a, b: (builder.fcmp_ordered if floats else builder.icmp_signed)(sign, a, b)


for _op, _names in _ARITHMETIC.items():
    _define(_op, lambda vector: vector, _arithmetic(*_names))
for _op, _sign in _COMPARISONS.items():
    _define(_op, lambda vector: MASK, _comparison(_sign))


# ---- memory ----


def _typing_getitem(context: Any) -> Callable[[Any, Any], Any]:
    def typer(view: Any, at: Any) -> Any:
        return view.dtype if isinstance(view, ViewType) and isinstance(at, types.Integer) else None

    return typer


def _typing_setitem(context: Any) -> Callable[[Any, Any, Any], Any]:
    def typer(view: Any, at: Any, value: Any) -> Any:
        return types.none if isinstance(view, ViewType) and isinstance(at, types.Integer) else None

    return typer


def _place(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.gep(args[0], [context.cast(builder, args[1], sig.args[1], types.intp)])


@lower_builtin(operator.getitem, ViewType, types.Integer)
def _getitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return builder.load(_place(context, builder, sig, args))


@lower_builtin(operator.setitem, ViewType, types.Integer, types.Number)
def _setitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    value = context.cast(builder, args[2], sig.args[2], sig.args[0].dtype)
    builder.store(value, _place(context, builder, sig, args))
    return context.get_dummy_value()


type_callable(operator.getitem)(_typing_getitem)
type_callable(operator.setitem)(_typing_setitem)


@_intrinsic
def load(context: Any, view: Any, at: Any) -> Any:
    """Sixteen numbers from flat index ``at`` on."""
    vector = Vector(view.dtype)

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _vector_pointer(builder, args[0], args[1], _llvm(vector))
        return builder.load(pointer, align=view.dtype.bitwidth // 8)

    return vector(view, types.intp), emit


@_intrinsic
def store(context: Any, view: Any, at: Any, value: Any) -> Any:
    """Write a vector, or sixteen times a scalar, from flat index ``at`` on."""
    vector = Vector(view.dtype)
    if isinstance(value, Vector) and value != vector:
        raise TypingError(f"{value} does not go into {view}")

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _vector_pointer(builder, args[0], args[1], _llvm(vector))
        filled = _as_vector(context, builder, args[2], sig.args[2], vector)
        builder.store(filled, pointer, align=view.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(view, types.intp, value), emit


@_intrinsic
def gather(context: Any, view: Any, at: Any, index: Any) -> Any:
    """The numbers at flat indices ``at + index``, lane by lane."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first = builder.gep(args[0], [args[1]])
        found = ir.Constant(_llvm(Vector(view.dtype)), ir.Undefined)
        for lane in map(_constant, range(WIDTH)):
            place = builder.sext(builder.extract_element(args[2], lane), ir.IntType(64))
            found = builder.insert_element(found, builder.load(builder.gep(first, [place])), lane)
        return found

    return Vector(view.dtype)(view, types.intp, INTS), emit


@_intrinsic
def transpose(context: Any, source: Any, at: Any, target: Any, to: Any, stride: Any) -> Any:
    """Write the sixteen vectors of int32 at ``at`` as floats, as columns: row n at ``to + n stride``."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        rows, place = [], args[1]
        for _ in range(WIDTH):
            row = builder.load(_vector_pointer(builder, args[0], place, _llvm(INTS)), align=4)
            rows.append(builder.sitofp(row, _llvm(FLOATS)))
            place = builder.add(place, ir.Constant(place.type, WIDTH))
        # Bit by bit of the lane, rows that differ in that bit exchange halves.
        for bit in (8, 4, 2, 1):
            low = [i if not i & bit else WIDTH + (i ^ bit) for i in range(WIDTH)]
            high = [i ^ bit if not i & bit else WIDTH + i for i in range(WIDTH)]
            for i in range(WIDTH):
                if not i & bit:
                    a, b = rows[i], rows[i | bit]
                    rows[i], rows[i | bit] = (_shuffled(builder, a, b, order) for order in (low, high))
        place = args[3]
        for row in rows:
            builder.store(row, _vector_pointer(builder, args[2], place, _llvm(FLOATS)), align=4)
            place = builder.add(place, args[4])
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp, types.intp), emit


# ---- vectors ----


def _unary(
    result: Vector, emit: Callable[..., Any], of: tuple[Vector, ...], name: str
) -> Callable[[Any], Any]:
    """An intrinsic of one vector."""

    def typing(context: Any, v: Any) -> Any:
        if v not in of:
            raise TypingError(f"{name} is not for {v}")
        return result(v), lambda context, builder, sig, args: emit(builder, args[0], _llvm(result))

    typing.__name__ = name
    return _intrinsic(typing)


to_ints = _unary(INTS, lambda b, v, t: b.fptosi(v, t), (FLOATS, DOUBLES), "to_ints")
to_floats = _unary(FLOATS, lambda b, v, t: b.sitofp(v, t), (INTS,), "to_floats")
to_doubles = _unary(DOUBLES, lambda b, v, t: b.sitofp(v, t), (INTS,), "to_doubles")
to_shorts = _unary(SHORTS, lambda b, v, t: b.trunc(v, t), (INTS,), "to_shorts")
from_unsigned = _unary(INTS, lambda b, v, t: b.zext(v, t), (SHORTS,), "from_unsigned")
bits_of = _unary(INTS, lambda b, v, t: b.bitcast(v, t), (FLOATS,), "bits_of")
floor = _unary(DOUBLES, lambda b, v, t: _call(b, "floor", v), (DOUBLES,), "floor")
floor_floats = _unary(FLOATS, lambda b, v, t: _call(b, "floor", v), (FLOATS,), "floor_floats")
root = _unary(FLOATS, lambda b, v, t: _call(b, "sqrt", v), (FLOATS,), "root")


def _filled(vector: Vector, name: str) -> Callable[[Any], Any]:
    """An intrinsic that repeats a scalar."""

    def typing(context: Any, scalar: Any) -> Any:
        def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return _as_vector(context, builder, args[0], sig.args[0], vector)

        return vector(scalar), emit

    typing.__name__ = name
    return _intrinsic(typing)


shorts = _filled(SHORTS, "shorts")
ints = _filled(INTS, "ints")
floats = _filled(FLOATS, "floats")
doubles = _filled(DOUBLES, "doubles")


@_intrinsic
def exact_sum(context: Any, a: Any, b: Any, c: Any) -> Any:
    """``a b + c`` of floats, fused or not: for integers alone, which within 2^24 are exact either way."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x, y, z = (
            _as_vector(context, builder, value, of, FLOATS) for value, of in zip(args, sig.args, strict=True)
        )
        return _call(builder, "fmuladd", x, y, z)

    return FLOATS(a, b, c), emit


@_intrinsic
def select(context: Any, mask: Any, a: Any, b: Any) -> Any:
    """a where the mask is true, else b; at least one of them is a vector."""
    vector = _common(a, b)
    if mask != MASK or vector is None:
        raise TypingError(f"select is not for {mask}, {a}, {b}")

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        x, y = (_as_vector(context, builder, args[n], sig.args[n], vector) for n in (1, 2))
        return builder.select(args[0], x, y)

    return vector(mask, a, b), emit


@_intrinsic
def any_of(context: Any, mask: Any) -> Any:
    """Is the mask true anywhere?"""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], ir.IntType(WIDTH))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(mask), emit


@_intrinsic
def numbers(context: Any) -> Any:
    """0, 1, .. 15 as int32."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return ir.Constant(_llvm(INTS), [_constant(i) for i in range(WIDTH)])

    return INTS(), emit


@_intrinsic
def moved(context: Any, v: Any, first: Any) -> Any:
    """The vector one lane further, ``first`` on its first lane."""

    def emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        shifted = _shuffled(builder, args[0], args[0], [0, *range(WIDTH - 1)])
        value = context.cast(builder, args[1], sig.args[1], v.dtype)
        return builder.insert_element(shifted, value, _constant(0))

    return v(v, first), emit
