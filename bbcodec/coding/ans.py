# SPDX-License-Identifier: Apache-2.0
"""The rANS stack: message, push, pop, flatten. The message format equals that of craystack, word for word.

A message is a pair ``(head, tail)``. The head is a uint64 array of any shape, one rANS lane per element. The
tail is a last-in first-out linked list of uint32 arrays, ``(words, rest)`` or ``()``, which the lanes share.
Every lane ``h`` keeps the invariant of rANS (Duda 2013; vectorised as in Giesen, arXiv:1402.3392)::

    2**31  <=  h  <  2**63

A symbol owns an interval of the ``2**p`` numbers of a model of precision ``p``::

    0             start               start + freq          2**p
    |---------------|----------------------|------------------|
                    |-------- freq --------|
    0 < freq,   0 <= start,   start + freq <= 2**p,   0 <= p <= 31  (above p = 27 coding gets inaccurate)

``push`` multiplies a lane by about ``2**p / freq``, and ``pop`` divides it again. Both move 32 bits at a time
between head and tail to keep the invariant. They are exact inverses. Bits that one model pushed may therefore
be popped by another model: that is bits-back coding.

Messages are immutable: no function here changes its arguments in place. Probabilities, symbols and codecs
belong to :mod:`bbcodec.coding.codecs`. Bytes, magic and checksums belong to the container.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bbcodec.errors import FormatError, MessageUnderflow

LOWER = 1 << 31
UPPER = 1 << 63

Head: TypeAlias = NDArray[np.uint64]
Words: TypeAlias = NDArray[np.uint32]
Tail: TypeAlias = "tuple[()] | tuple[Words, Tail]"
Message: TypeAlias = tuple[Head, Tail]
Shape: TypeAlias = int | tuple[int, ...]


def base_message(shape: Shape) -> Message:
    """Return the empty message: every lane is ``2**31``, and the tail is empty.

    Raises
    ------
    ValueError
        The shape has no lane.

    >>> base_message(2)
    (array([2147483648, 2147483648], dtype=uint64), ())
    """
    head = np.full(shape, LOWER, np.uint64)
    if not head.size:
        raise ValueError(f"a head needs at least one lane, got shape {shape}")
    return head, ()


def push(message: Message, starts: ArrayLike, freqs: ArrayLike, precisions: ArrayLike) -> Message:
    """Push one symbol on every lane.

    Lanes that would overflow, ``h >= ((2**31 >> p) << 32) * freq``, first emit their low 32 bits. These words
    are put in front of the tail as one array in C order.
    Then ``h = ((h div freq) << p) + (h mod freq) + start``.

    Parameters
    ----------
    message : Message
    starts, freqs, precisions : integers, scalar or broadcastable to the shape of the head
        ``0 < freq``, ``0 <= start``, ``start + freq <= 2**precision``.

    Raises
    ------
    ValueError
        A frequency is zero, or a shape does not fit the head.

    >>> push(base_message(1), 3, 1, 2)  # four times 2**31, plus 3
    (array([8589934595], dtype=uint64), ())
    """
    head, tail = message
    start, freq, p = (np.asarray(v).astype(np.uint64) for v in (starts, freqs, precisions))
    if not freq.all():
        raise ValueError("cannot push a symbol of frequency zero")
    full = head >= ((np.uint64(LOWER) >> p) << np.uint64(32)) * freq
    shape = np.broadcast_shapes(full.shape, start.shape)
    if shape != head.shape:
        raise ValueError(f"symbols of shape {shape} do not fit a head of shape {head.shape}")
    if full.any():
        tail = (head[full].astype(np.uint32), tail)
        head = np.where(full, head >> np.uint64(32), head)
    quotient, remainder = np.divmod(head, freq)
    return np.asarray((quotient << p) + remainder + start), tail


def pop(message: Message, precisions: ArrayLike) -> tuple[Head, Callable[[ArrayLike, ArrayLike], Message]]:
    """Pop one symbol from every lane, in two steps.

    Parameters
    ----------
    message : Message
    precisions : integers, scalar or broadcastable to the shape of the head

    Returns
    -------
    cf : uint64, the shape of the head
        ``h mod 2**p``: a number in the interval of the symbol, ``start <= cf < start + freq``.
    finish : callable ``(starts, freqs) -> Message``
        Call it with the interval that contains ``cf``: ``h = freq * (h >> p) + cf - start``. Then each lane
        with ``h < 2**31`` takes one word from the front of the tail, in C order. Raises MessageUnderflow when
        the words run out.

    Raises
    ------
    ValueError
        A shape does not fit the head.

    >>> cf, finish = pop((np.array([8589934595], np.uint64), ()), 2)
    >>> cf, finish(3, 1)
    (array([3], dtype=uint64), (array([2147483648], dtype=uint64), ()))
    """
    head, tail = message
    p = np.asarray(precisions).astype(np.uint64)
    cf = np.asarray(head & ((np.uint64(1) << p) - np.uint64(1)))
    if cf.shape != head.shape:
        raise ValueError(f"precisions of shape {p.shape} do not fit a head of shape {head.shape}")

    def finish(starts: ArrayLike, freqs: ArrayLike) -> Message:
        start, freq = (np.asarray(v).astype(np.uint64) for v in (starts, freqs))
        popped: Any = np.asarray(freq * (head >> p) + (cf - start))
        if popped.shape != head.shape:
            raise ValueError(f"symbols of shape {popped.shape} do not fit a head of shape {head.shape}")
        low = popped < LOWER
        if not low.any():
            return popped, tail
        words, rest = tail_pop(tail, int(np.count_nonzero(low)))
        popped[low] = (popped[low] << np.uint64(32)) | words
        return popped, rest

    return cf, finish


def tail_gather(tail: Tail, n: int) -> Tail:
    """Return an equal tail whose first array has at least ``n`` words, or all words if there are fewer."""
    if tail and len(tail[0]) >= n:
        return tail
    parts: list[Words] = []
    while tail and n > 0:
        words, tail = tail
        if len(words) > n:
            tail = (words[n:], tail)
        parts.append(words[:n])
        n -= len(parts[-1])
    return (np.concatenate(parts), tail) if parts else ()


def tail_pop(tail: Tail, n: int) -> tuple[Words, Tail]:
    """Take ``n`` words from the front of a tail, and return ``(words, rest)``.

    Raises
    ------
    MessageUnderflow
        The tail has fewer than ``n`` words.
    """
    tail = tail_gather(tail, n)
    words, rest = tail if tail else (np.empty(0, np.uint32), ())
    if len(words) < n:
        raise MessageUnderflow(f"{n} words were popped from a message whose tail holds {len(words)}")
    return words[:n], (words[n:], rest) if len(words) > n else rest


def flatten(message: Message) -> Words:
    """Return a message as one uint32 array: high words of the head, low words, the tail from the front."""
    head, tail = message
    lanes = np.ravel(head)
    parts = [(lanes >> np.uint64(32)).astype(np.uint32), lanes.astype(np.uint32)]
    while tail:
        words, tail = tail
        parts.append(words)
    return np.concatenate(parts)


def unflatten(words: NDArray[Any], shape: Shape) -> Message:
    """Return the message of an array that :func:`flatten` returned.

    Parameters
    ----------
    words : uint32, 1-D
    shape : int or tuple of int
        Shape of the head, which the words do not contain.

    Raises
    ------
    FormatError
        There are fewer words than the head needs, or a lane is outside ``[2**31, 2**63)``.
    ValueError
        The words are not 1-D uint32, or the shape has no lane.

    >>> message = push(base_message(3), [0, 1, 2], 1, 16)
    >>> message_equal(unflatten(flatten(message), 3), message)
    True
    """
    if words.ndim != 1 or words.dtype != np.uint32:
        raise ValueError(f"expected a 1-D uint32 array, got {words.dtype} of shape {words.shape}")
    size = math.prod(shape) if isinstance(shape, tuple) else shape
    if size < 1:
        raise ValueError(f"a head needs at least one lane, got shape {shape}")
    if len(words) < 2 * size:
        raise FormatError(f"a message of {size} lanes has at least {2 * size} words, found {len(words)}")
    head = (words[:size].astype(np.uint64) << np.uint64(32)) | words[size : 2 * size]
    wrong = np.flatnonzero((head < LOWER) | (head >= UPPER))
    if len(wrong):
        raise FormatError(f"lane {wrong[0]} of the message is {head[wrong[0]]:#x}, outside [2**31, 2**63)")
    rest = words[2 * size :]
    return head.reshape(shape), (rest, ()) if len(rest) else ()


def message_equal(first: Message, second: Message) -> bool:
    """Return whether two messages have equal heads (and head shapes), and equal words in their tails."""
    return first[0].shape == second[0].shape and np.array_equal(flatten(first), flatten(second))
