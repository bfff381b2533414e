# SPDX-License-Identifier: Apache-2.0
"""Mutations of bytes and of JSON that are likely to reveal mistakes in a parser."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

from bbcodec.container import varint

NUMBERS = (
    0, 1, 2, 3, 4, 7, 8, 15, 16, 31, 32, 63, 64, 100, 127, 128, 255, 256, 1023, 1024, 4095, 4096, 32767,
    32768, 65535, 65536, 2**20, 2**24, 2**30 - 1, 2**30, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**61,
    2**62, 2**63 - 1,
)  # fmt: skip
"""Numbers near the limits of sizes, shifts and types."""


def _flip(rng: random.Random, raw: bytearray, other: bytes) -> None:
    raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)


def _byte(rng: random.Random, raw: bytearray, other: bytes) -> None:
    raw[rng.randrange(len(raw))] = rng.choice((0, 1, 2, 3, 0x7F, 0x80, 0xFE, 0xFF, rng.randrange(256)))


def _step(rng: random.Random, raw: bytearray, other: bytes) -> None:
    at = rng.randrange(len(raw))
    raw[at] = (raw[at] + rng.randint(-4, 4)) & 0xFF


def _number(rng: random.Random, raw: bytearray, other: bytes) -> None:
    """Overwrite a field of 1, 2, 4 or 8 bytes."""
    size = rng.choice((1, 2, 4, 8))
    number = rng.choice(NUMBERS) & ((1 << 8 * size) - 1)
    at = rng.randrange(len(raw))
    raw[at : at + size] = number.to_bytes(size, rng.choice(("little", "big")))[: len(raw) - at]


def _some(rng: random.Random, raw: bytearray, other: bytes) -> None:
    """Overwrite with noise."""
    at, size = rng.randrange(len(raw)), rng.randint(1, 16)
    raw[at : at + size] = rng.randbytes(min(size, len(raw) - at))


def _varint(rng: random.Random, raw: bytearray, other: bytes) -> None:
    """Write a number of variable length over a place that may hold another one."""
    at = rng.randrange(len(raw))
    end = at
    while end < min(len(raw), at + 9) and raw[end] >= 0x80:
        end += 1
    raw[at : end + 1] = varint(rng.choice(NUMBERS))


def _cut(rng: random.Random, raw: bytearray, other: bytes) -> None:
    at = rng.randrange(len(raw))
    del raw[at : at + rng.randint(1, 1 + rng.choice((1, 4, len(raw))))]


def _again(rng: random.Random, raw: bytearray, other: bytes) -> None:
    """Repeat a part."""
    at = rng.randrange(len(raw))
    part = raw[at : at + rng.randint(1, 32)]
    raw[at:at] = part * rng.choice((1, 1, 2, 9))


def _insert(rng: random.Random, raw: bytearray, other: bytes) -> None:
    at = rng.randrange(len(raw) + 1)
    raw[at:at] = rng.randbytes(rng.randint(1, 8))


def _splice(rng: random.Random, raw: bytearray, other: bytes) -> None:
    """Overwrite a part with a part of another seed."""
    if other:
        start = rng.randrange(len(other))
        part = other[start : start + rng.randint(1, 64)]
        at = rng.randrange(len(raw))
        raw[at : at + rng.choice((0, len(part)))] = part


_SAME_SIZE = (_flip, _flip, _flip, _byte, _byte, _step, _number, _some)
_OTHERS: tuple[Callable[[random.Random, bytearray, bytes], None], ...] = (
    _varint, _varint, _cut, _again, _insert, _splice
)  # fmt: skip


def change(rng: random.Random, data: bytes, other: bytes = b"", longest: int = 1 << 16) -> bytes:
    """Return bytes with one or several changes.

    Parameters
    ----------
    rng : random generator.
    data : bytes to change.
    other : another input, whose parts may be used.
    longest : largest size of the result in bytes.
    """
    raw = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if not raw:
            raw += rng.randbytes(rng.randint(1, 8))
        rng.choice(_SAME_SIZE if rng.random() < 0.6 else _OTHERS)(rng, raw, other)
    return bytes(raw[:longest])


def change_json(rng: random.Random, data: bytes) -> bytes:
    """Return a JSON text with one or several values replaced, removed or doubled."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return change(rng, data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places: list[tuple[Any, Any]] = []
        _collect(content, places)
        if not places:
            break
        holder, key = rng.choice(places)
        what = rng.random()
        if what < 0.1:
            del holder[key]
        elif what < 0.2 and isinstance(holder, list):
            holder.insert(key, holder[key])
        elif what < 0.3:
            other, place = rng.choice(places)
            if place in other if isinstance(other, dict) else place < len(other):
                holder[key] = json.loads(json.dumps(other[place]))
        else:
            holder[key] = _value(rng, holder[key])
    return json.dumps(content, separators=(",", ":")).encode()


def _collect(node: Any, places: list[tuple[Any, Any]]) -> None:
    """Append (container, key or index) of every value below a node to `places`."""
    keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
    for key in keys:
        places.append((node, key))
        _collect(node[key], places)


def _value(rng: random.Random, value: Any) -> Any:
    if isinstance(value, bool) or value is None or rng.random() < 0.1:
        return rng.choice((None, True, False, 0, -1, 1.5, "", "x", [], {}, [[]], "\0", rng.choice(NUMBERS)))
    if isinstance(value, int):
        return rng.choice((value + rng.randint(-3, 3), -value, rng.choice(NUMBERS), -rng.choice(NUMBERS)))
    if isinstance(value, str):
        return rng.choice((value + "x", value[:-1], value * 3, value[::-1], ""))
    return rng.choice(([], {}, 0, [value], value))
