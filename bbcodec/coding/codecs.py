# SPDX-License-Identifier: Apache-2.0
"""Codecs: pairs of pure functions on a message, and combinators that build codecs from codecs.

A codec is ``Codec(push, pop)`` with craystack's protocol::

    push(message, symbol, *context) -> (message, *context)
    pop(message, *context)          -> (message, symbol, *context)

Every codec and every combinator obeys one law. Popping returns the symbol **and exactly the message** before
the push, and pushing a popped symbol restores the message::

    pop(*push(m, x)) == (m, x)          push(*pop(m)) == (m,)

The context is any state that a codec passes along; most have none. Combinators list codecs in **decode**
order. Distributions of pixels and latents are in :mod:`bbcodec.coding.distributions`, latent variables in
:mod:`bbcodec.coding.bits_back`, and the arithmetic on words in :mod:`bbcodec.coding.ans`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bbcodec.coding import ans
from bbcodec.coding.ans import Message, Shape, Words, message_equal
from bbcodec.coding.kernels import kernels

__all__ = [
    "Codec",
    "benford64",
    "big_uniform",
    "flatten",
    "from_generator",
    "message_bits",
    "message_equal",
    "non_uniform",
    "repeat",
    "reshape_head",
    "serial",
    "substack",
    "unflatten",
    "uniform",
    "vector_codec",
]


class Codec(NamedTuple):
    """A push and a pop that undo each other; the module docstring defines the protocol."""

    push: Callable[..., tuple[Any, ...]]
    pop: Callable[..., tuple[Any, ...]]


# ------------------------------------------------------------------------------------------ combinators


def from_generator(generator_fun: Callable[[], Generator[Codec, Any, None]]) -> Codec:
    """Chain codecs, each of which may depend on the symbols before it.

    The symbol is the list of their symbols. ``generator_fun()`` yields codecs in decode order, and receives
    the symbol of each by ``send``. Pushing raises ValueError if the numbers of symbols and codecs differ.

    >>> def pair():
    ...     bits = yield uniform(4)
    ...     yield uniform(int(bits[0]))
    >>> codec = from_generator(pair)
    >>> message, = codec.push(ans.base_message(1), [np.array([3]), np.array([6])])
    >>> codec.pop(message)[1]
    [array([3], dtype=uint64), array([6], dtype=uint64)]
    """

    def push(message: Message, symbols: Sequence[Any], *context: Any) -> tuple[Any, ...]:
        codecs: list[Codec] = []
        generator = generator_fun()
        try:
            codecs.append(next(generator))
            for symbol in symbols:
                codecs.append(generator.send(symbol))
        except StopIteration:
            pass
        if len(codecs) != len(symbols):
            raise ValueError(f"{len(symbols)} symbols do not fit a chain of {len(codecs)} codecs")
        state = (message, *context)
        for codec, symbol in zip(reversed(codecs), reversed(symbols), strict=True):
            state = codec.push(state[0], symbol, *state[1:])
        return state

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        symbols: list[Any] = []
        generator = generator_fun()
        try:
            codec = next(generator)
            while True:
                message, symbol, *rest = codec.pop(message, *context)
                context = tuple(rest)
                symbols.append(symbol)
                codec = generator.send(symbol)
        except StopIteration:
            return message, symbols, *context

    return Codec(push, pop)


def serial(codecs: Iterable[Codec]) -> Codec:
    """Chain codecs, listed in decode order. The symbol is the list of their symbols."""
    chain = tuple(codecs)
    return from_generator(lambda: (codec for codec in chain))


def repeat(codec: Codec, n: int) -> Codec:
    """Chain the same codec ``n`` times. The symbol is a list of ``n`` symbols.

    >>> codec = repeat(uniform(8), 3)
    >>> message, = codec.push(ans.base_message(2), [[1, 2], [3, 4], [5, 6]])
    >>> codec.pop(message)[1][0]
    array([1, 2], dtype=uint64)
    """
    return serial(itertools.repeat(codec, n))


def substack(codec: Codec, view_fun: Callable[[Any], Any]) -> Codec:
    """Apply a codec to some lanes of the head; all lanes share the tail.

    Parameters
    ----------
    codec : Codec
    view_fun : callable, head -> view
        Selects and arranges lanes by slicing, indexing, reshaping or transposing, each lane at most once:
        ``lambda head: head[:5]``. It must not calculate, because it is applied to an array of lane numbers.

    Pushing and popping raise ValueError if the view has a lane twice, or the codec changes the view's shape.

    >>> codec = substack(uniform(4), lambda head: head[1:])
    >>> codec.push(ans.base_message(2), 7)[0][0]
    array([ 2147483648, 34359738375], dtype=uint64)
    """

    @lru_cache(maxsize=8)
    def lanes_of(shape: tuple[int, ...]) -> NDArray[np.intp]:
        size = math.prod(shape)
        lanes = np.asarray(view_fun(np.arange(size, dtype=np.intp).reshape(shape)))
        selected = np.zeros(size, np.bool_)
        selected[lanes] = True
        if np.count_nonzero(selected) != lanes.size:
            raise ValueError("view_fun selects a lane more than once")
        return lanes

    def update(head: ans.Head, lanes: NDArray[np.intp], subhead: ans.Head) -> ans.Head:
        if subhead.shape != lanes.shape:
            raise ValueError(f"the codec turned a head of shape {lanes.shape} into {subhead.shape}")
        new = head.copy()
        new.reshape(-1)[lanes] = subhead
        return new

    def push(message: Message, symbol: Any, *context: Any) -> tuple[Any, ...]:
        head, tail = message
        lanes = lanes_of(head.shape)
        (subhead, tail), *rest = codec.push((head.reshape(-1)[lanes], tail), symbol, *context)
        return (update(head, lanes, subhead), tail), *rest

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        head, tail = message
        lanes = lanes_of(head.shape)
        (subhead, tail), symbol, *rest = codec.pop((head.reshape(-1)[lanes], tail), *context)
        return (update(head, lanes, subhead), tail), symbol, *rest

    return Codec(push, pop)


# --------------------------------------------------------------------------------------- simple codecs


def non_uniform(
    enc_statfun: Callable[[Any], tuple[ArrayLike, ArrayLike]],
    dec_statfun: Callable[[Any], Any],
    precision: ArrayLike,
) -> Codec:
    """Return a codec of one symbol per lane from functions ``symbol -> (start, freq)`` and ``cf -> symbol``.

    The functions must agree, ``start <= cf < start + freq``, or popping raises ValueError.
    """

    def push(message: Message, symbol: Any, *context: Any) -> tuple[Any, ...]:
        start, freq = enc_statfun(symbol)
        return ans.push(message, start, freq, precision), *context

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        cf, finish = ans.pop(message, precision)
        symbol = dec_statfun(cf)
        start, freq = (np.asarray(v).astype(np.uint64) for v in enc_statfun(symbol))
        if not ((start <= cf) & (cf < start + freq)).all():
            raise ValueError("the two functions of a codec disagree about an interval")
        return finish(start, freq), symbol, *context

    return Codec(push, pop)


def uniform(precision: ArrayLike) -> Codec:
    """Return a codec of ``2**precision`` equally likely symbols per lane, uint64; ``0 <= precision <= 27``.

    It equals craystack's Uniform. For other counts see :func:`bbcodec.coding.distributions.uniform.Uniform`.
    Pushing raises ValueError for a symbol that does not fit the precision.
    """

    def interval(symbol: ArrayLike) -> tuple[ArrayLike, ArrayLike]:
        values = np.asarray(symbol)
        if ((values < 0) | (values.astype(np.uint64) >> np.asarray(precision).astype(np.uint64) != 0)).any():
            raise ValueError("a symbol does not fit its precision")
        return values, 1

    return non_uniform(interval, lambda cf: cf, precision)


def big_uniform(precision: ArrayLike) -> Codec:
    """Return a codec of uniform symbols of up to 64 bits per lane, uint64.

    It codes 16 bits at a time and pushes the lowest bits first.
    """
    precision = np.asarray(precision).astype(np.uint64)
    steps = []
    for lower in (48, 32, 16, 0):
        bits = np.minimum(precision - np.minimum(precision, np.uint64(lower)), np.uint64(16))
        steps.append((np.uint64(lower), uniform(bits)))

    def push(message: Message, symbol: NDArray[np.uint64], *context: Any) -> tuple[Any, ...]:
        for lower, codec in reversed(steps):
            (message,) = codec.push(message, (symbol >> lower) & np.uint64(0xFFFF))
        return message, *context

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        symbol = np.zeros(message[0].shape, np.uint64)
        for lower, codec in steps:
            message, part = codec.pop(message)
            symbol |= part << lower
        return message, symbol, *context

    return Codec(push, pop)


def vector_codec(
    encode: Callable[[NDArray[np.int64], slice], tuple[NDArray[np.int64], NDArray[np.int64]]],
    decode: Callable[[NDArray[np.int64], slice], NDArray[np.int64]],
    shape: tuple[int, ...] | None,
    precision: int,
    backend: str | None = None,
) -> Codec:
    """Return a codec of an array of independent symbols, by the vector rule of :mod:`bbcodec.coding.kernels`.

    Parameters
    ----------
    encode : callable ``(symbols, part) -> (starts, freqs)``
        Intervals of the symbols at the positions ``part`` of the raveled array; int64 vectors.
        Raises ValueError for a symbol without an interval.
    decode : callable ``(cf, part) -> symbols``
        The symbols at ``part`` whose intervals contain ``cf``.
    shape : tuple of int or None
        Shape of the symbols; None means the shape of the head. Popped symbols are int32.
    precision : int
        Intervals are within ``0 .. 2**precision``.
    backend : str or None
        Kernels that push; the words do not depend on them.
    """

    def push(message: Message, symbols: ArrayLike, *context: Any) -> tuple[Any, ...]:
        head, tail = message
        values = as_symbols(symbols, head.shape if shape is None else shape).astype(np.int64)
        starts, freqs = (
            np.ascontiguousarray(v, np.int64).view(np.uint64) for v in encode(values, slice(0, len(values)))
        )
        lanes, words = kernels(backend).push_freqs(np.ravel(head), starts, freqs, precision)
        return (lanes.reshape(head.shape), (words, tail) if len(words) else tail), *context

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        head, tail = message
        out_shape = head.shape if shape is None else shape
        lanes = head.reshape(-1).copy()
        symbols = np.empty(math.prod(out_shape), np.int32)
        for first in range(0, len(symbols), len(lanes)):
            part = slice(first, min(first + len(lanes), len(symbols)))
            used = part.stop - first
            cf, finish = ans.pop((lanes[:used], tail), precision)
            group = decode(cf.view(np.int64), part)
            lanes[:used], tail = finish(*encode(group, part))
            symbols[part] = group
        return (lanes.reshape(head.shape), tail), symbols.reshape(out_shape), *context

    return Codec(push, pop)


def as_symbols(symbols: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.int32]:
    """Ravel an integer array of the given shape to int32.

    Raises
    ------
    TypeError
        The symbols are not integers.
    ValueError
        The symbols have another shape, or one does not fit 32 bits.
    """
    array = np.asarray(symbols)
    if array.dtype.kind not in "iu":
        raise TypeError(f"symbols are integers, got {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"expected symbols of shape {shape}, got {array.shape}")
    flat = np.ascontiguousarray(array, np.int32).reshape(-1)
    if array.dtype.itemsize >= 4 and array.dtype != np.int32 and (flat != array.reshape(-1)).any():
        raise ValueError("a symbol does not fit 32 bits")
    return flat


# ------------------------------------------------------------- folding the lanes of a message into one

# round(2**16 * log2(1 + s/16)): mass below s, the four bits that follow the leading one of a Benford number.
_BENFORD_CDF = np.array(
    [
        *(0, 5732, 11136, 16248, 21098, 25711, 30109, 34312, 38336),
        *(42196, 45904, 49472, 52911, 56229, 59434, 62534, 65536),
    ],
    np.uint64,
)
_FOUR = np.uint64(4)
_ONE = np.uint64(1)


def _make_benford64() -> Codec:
    length_codec = uniform(5)
    high_codec = non_uniform(
        lambda s: (_BENFORD_CDF[s], _BENFORD_CDF[s + _ONE] - _BENFORD_CDF[s]),
        lambda cf: (np.searchsorted(_BENFORD_CDF, cf, side="right") - 1).astype(np.uint64),
        16,
    )

    def push(message: Message, x: NDArray[np.uint64], *context: Any) -> tuple[Any, ...]:
        x = np.asarray(x, np.uint64)
        length = _bit_length(x) - _ONE
        high = (x >> (length - _FOUR)) & np.uint64(15)
        low = x & ((_ONE << (length - _FOUR)) - _ONE)
        (message,) = high_codec.push(message, high)
        (message,) = big_uniform(length - _FOUR).push(message, low)
        (message,) = length_codec.push(message, length - np.uint64(31))
        return message, *context

    def pop(message: Message, *context: Any) -> tuple[Any, ...]:
        message, length = length_codec.pop(message)
        length = length + np.uint64(31)
        message, low = big_uniform(length - _FOUR).pop(message)
        message, high = high_codec.pop(message)
        return message, (_ONE << length) | (high << (length - _FOUR)) | low, *context

    return Codec(push, pop)


def _bit_length(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the exact number of bits of each number; raise ValueError outside ``[2**31, 2**63)``."""
    if ((x < ans.LOWER) | (x >= ans.UPPER)).any():
        raise ValueError("Benford64 codes numbers in [2**31, 2**63)")
    powers = np.uint64(1) << np.arange(64, dtype=np.uint64)
    return np.searchsorted(powers, x, side="right").astype(np.uint64)


benford64 = _make_benford64()
"""Codec of numbers ``2**31 <= x < 2**63`` whose logarithm is about uniform, such as the lanes of a head.

It equals craystack's Benford64 bit for bit, except that it computes bit lengths with integers. The float64
logarithm there corrupts numbers just below a power of two from 2**49 on.
"""


def _fold_codec(lanes: int) -> Codec:
    return substack(benford64, lambda head: head[:lanes])


def flatten(message: Message) -> Words:
    """Fold the lanes into one by coding them with Benford64, then return all as uint32 words.

    >>> len(ans.flatten(ans.base_message(100))), len(flatten(ans.base_message(100)))
    (200, 111)
    """
    return ans.flatten(reshape_head(message, 1))


def unflatten(words: NDArray[Any], shape: Shape) -> Message:
    """Return the message of the words that :func:`flatten` returned.

    Raises
    ------
    FormatError
        The words are not a message (MessageUnderflow if there are too few).
    """
    return reshape_head(ans.unflatten(words, 1), shape)


def reshape_head(message: Message, shape: Shape) -> Message:
    """Change the number of lanes without loss.

    Fewer lanes move bits to the tail, and more lanes take bits from it. The sizes double from the smaller to
    the bigger one.

    Raises
    ------
    MessageUnderflow
        The message has too few bits for more lanes.
    ValueError
        The shape has no lane.
    """
    head, tail = message
    shape = shape if isinstance(shape, tuple) else (shape,)
    size = math.prod(shape)
    if size < 1:
        raise ValueError(f"a head needs at least one lane, got shape {shape}")
    head = np.ravel(head)
    sizes = _doublings(min(size, len(head)), max(size, len(head)))
    if size < len(head):
        for small, big in zip(sizes[-2::-1], sizes[:0:-1], strict=True):
            ((head, tail),) = _fold_codec(big - small).push((head[:small], tail), head[small:])
    else:
        for small, big in itertools.pairwise(sizes):
            (head, tail), more = _fold_codec(big - small).pop((head, tail))
            head = np.concatenate([head, more])
    return head.reshape(shape), tail


def _doublings(small: int, big: int) -> list[int]:
    """Return sizes that double from `small`, and end with `big`."""
    sizes = [small]
    while sizes[-1] < big:
        sizes.append(min(2 * sizes[-1], big))
    return sizes


def message_bits(message: Message) -> float:
    """Return the information in bits: 32 per tail word, and log2(h / 2**31) per lane (0 for a base message).

    Use it for reports: it is exact up to float64 rounding. A file holds ``32 * len(flatten(message))`` bits.
    """
    head, tail = message
    words = 0
    while tail:
        front, tail = tail
        words += len(front)
    return 32.0 * words + float(np.sum(np.log2(head.astype(np.float64)) - 31.0))


def size_bits(message: Message) -> int:
    """Return the bits of a message, up to one bit per lane, as an integer.

    Decisions that use it are the same on every machine.
    """
    head, tail = message
    bits = sum(int(lane).bit_length() for lane in head)
    while tail:
        words, tail = tail
        bits += 32 * len(words)
    return bits
