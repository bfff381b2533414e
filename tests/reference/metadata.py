# SPDX-License-Identifier: Apache-2.0
"""Metadata of a picture: ancillary sections."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import numpy as np

from .wire import Reader, demand, inflate

NAMES = ("iccp", "exif", "xmpd", "dens", "text", "trns", "orig")
BUDGET = 64 << 20  # raw bytes of all sections of a picture together


def read(found: list[tuple[str, bytes]], mode: int) -> dict[str, Any]:
    """Return values by section type: bytes, but numbers, strings and tuples for the last four."""
    out: dict[str, Any] = {}
    total = 0
    for kind, payload in found:
        raw = _raw(kind, payload)
        total += len(raw)
        demand(total <= BUDGET, "metadata of more than 64 MiB")
        out[kind] = _value(kind, raw, mode)
    return out


def _raw(kind: str, payload: bytes) -> bytes:
    reader = Reader(payload)
    form = reader.number(1)
    demand(form < (3 if kind == "iccp" else 2), f"form of {kind}")
    if form == 0:
        return reader.rest()
    size = reader.varint()
    demand(size <= BUDGET, f"raw size of {kind}")
    raw = inflate(reader.rest(), size)
    return _curves(raw) if form == 2 else raw


def _curves(profile: bytes) -> bytes:
    """Restore tone curves of an ICC profile from their second differences."""
    if len(profile) < 132:
        return profile
    out = bytearray(profile)
    count = int.from_bytes(profile[128:132], "big")
    end = 132 + 12 * count
    if count > 1000 or end > len(profile):
        return profile
    tags = {struct.unpack_from(">II", profile, 132 + 12 * i + 4) for i in range(count)}
    for offset, size in sorted(tags):
        if (
            offset < end
            or offset + size > len(profile)
            or size < 12
            or profile[offset : offset + 4] != b"curv"
        ):
            continue
        n = int.from_bytes(profile[offset + 8 : offset + 12], "big")
        if n < 3 or 12 + 2 * n > size:
            continue
        points = np.frombuffer(profile, ">u2", n, offset + 12).astype(np.int64)
        out[offset + 12 : offset + 12 + 2 * n] = (
            np.cumsum(np.cumsum(points)).astype(np.uint16).astype(">u2").tobytes()
        )
        end = offset + 12 + 2 * n
    return bytes(out)


def _value(kind: str, raw: bytes, mode: int) -> Any:
    if kind == "dens":
        demand(len(raw) == 16, "size of dens")
        dpi = struct.unpack("<2d", raw)
        demand(all(math.isfinite(v) and v > 0 for v in dpi), "dots per inch")
        return dpi
    if kind == "text":
        demand(len(raw) <= 1 << 20 and raw.isascii(), "text is not ASCII, or too long")
        pairs = json.loads(raw)
        demand(isinstance(pairs, list) and len(pairs) <= 10_000, "text is not a list of pairs")
        for pair in pairs:
            demand(
                isinstance(pair, list) and len(pair) == 2 and all(isinstance(s, str) for s in pair), "pair"
            )
            key, value = pair
            demand(key and "\0" not in key and max(key) < "\u0100", "key of text")
            demand(not any("\ud800" <= c < "\ue000" for c in value), "lone surrogate")
        return [tuple(pair) for pair in pairs]
    if kind == "trns":
        reader = Reader(raw)
        n = reader.number(1)
        demand(n == {0: 0, 1: 0, 6: 0, 7: 0, 4: 3, 9: 3}.get(mode), "colour key in this mode")
        key = tuple(reader.varint() for _ in range(max(n, 1)))
        demand(reader.ends() and max(key) < 1 << 16, "colour key")
        return key
    if kind == "orig":
        reader = Reader(raw)
        notes = []
        while not reader.ends():
            demand(len(notes) < 10_000, "too many notes")
            form, name, data = (reader.take(reader.varint()) for _ in range(3))
            demand(all(0 < len(part) < 128 and part.isascii() for part in (form, name)), "names of a note")
            notes.append((form.decode(), name.decode(), data, reader.number(1)))
        return notes
    return raw
