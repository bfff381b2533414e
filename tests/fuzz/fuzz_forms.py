# SPDX-License-Identifier: Apache-2.0
"""Split files into parts, and join changed parts with correct lengths and checksums, to reach deeper code.

Each form is a pair of functions: from bytes to parts, and from parts to bytes.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from fuzz_mutations import change, change_json

from bbcodec import container, modelfile
from bbcodec.archive import sections
from bbcodec.archive.tables import split_blob
from bbcodec.arrays import head
from bbcodec.bbfile import metadata_sections
from bbcodec.container import Reader, varint
from bbcodec.errors import FormatError

Parts = list[bytes]
_MAX_INFLATED_BYTES = 1 << 16


class Form(NamedTuple):
    """Functions that split and join one kind of file."""

    split: Callable[[bytes], Parts]
    join: Callable[[Parts], bytes]


def mutate(rng: random.Random, form: Form | None, data: bytes, other: bytes) -> bytes:
    """Return a changed file: mostly with one changed part, and valid lengths and checksums around it."""
    if form is None or rng.random() < 0.15:
        return change(rng, data, other)
    try:
        parts = form.split(data)
        more = form.split(other) if other else []
    except Exception:  # an input that can no longer be split is changed byte by byte
        return change(rng, data, other)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        what = rng.random()
        if what < 0.05 and len(parts) > 2:
            del parts[rng.randrange(1, len(parts))]
        elif what < 0.1 and len(parts) > 1:
            at = rng.randrange(1, len(parts))
            parts.insert(at, rng.choice(parts[1:]))
        elif what < 0.2 and len(more) > 1:
            at = rng.randrange(1, len(parts) + 1)
            parts[at : at + rng.randrange(2)] = [rng.choice(more[1:])]
        else:
            at = rng.randrange(len(parts))
            known = parts[at]
            parts[at] = change_json(rng, known) if known[:2] in (b'{"', b"[[") else change(rng, known, other)
    try:
        return form.join(parts)
    except (ValueError, struct.error, OverflowError, IndexError):
        return change(rng, data, other)


def _crc(data: bytes) -> bytes:
    return data + struct.pack("<I", zlib.crc32(data))


def _inflate(data: bytes, bits: int) -> bytes:
    return zlib.decompressobj(bits).decompress(data, _MAX_INFLATED_BYTES)


def _deflate(raw: bytes) -> bytes:
    squeeze = zlib.compressobj(1, zlib.DEFLATED, -15)
    return squeeze.compress(raw) + squeeze.flush()


# --- sections: type and payload, of .bb files and of metadata -----------------------------------------------
# A deflated payload of metadata becomes a part of its raw bytes; the form byte in front is marked with 0x80.

_DEFLATED = (1, 2)


def _part(kind: str, payload: bytes) -> bytes:
    if kind in metadata_sections.FIELDS and payload[:1] and payload[0] in _DEFLATED:
        reader = Reader(payload[1:], kind)
        reader.varint("size")
        return kind.encode() + bytes([payload[0] + 0x80]) + _inflate(bytes(reader.rest()), -15)
    return kind.encode() + payload


def _payload(part: bytes) -> bytes:
    if len(part) > 4 and part[4] - 0x80 in _DEFLATED and part[:1].islower():
        return bytes([part[4] - 0x80]) + varint(len(part) - 5) + _deflate(part[5:])
    return part[4:]


def _split_container(data: bytes) -> Parts:
    parsed = container.read(data)
    h = parsed.header
    size = 24 + len(varint(h.width)) + len(varint(h.height))
    return [data[: size - 4], *(_part(s.kind, bytes(s.payload)) for s in parsed.sections)]


def _join_container(parts: Parts) -> bytes:
    out = [_crc(parts[0])]
    for part in parts[1:]:
        payload = _payload(part)
        out.append(_crc(part[:4] + varint(len(payload)) + payload))
    return b"".join([*out, container.END])


def _split_metadata(data: bytes) -> Parts:
    return [data[:1], *(_part(s.kind, bytes(s.payload)) for s in split_blob(data[1:], 0))]


def _join_metadata(parts: Parts) -> bytes:
    payloads = [(part[:4], _payload(part)) for part in parts[1:]]
    return parts[0] + b"".join(kind + varint(len(payload)) + payload for kind, payload in payloads)


# --- model files --------------------------------------------------------------------------------------------


def _split_model(data: bytes) -> Parts:
    header, _, blob = modelfile.split(data)
    return [_inflate(bytes(header), 15), bytes(blob)]


def _join_model(parts: Parts) -> bytes:
    return modelfile.assemble(zlib.compress(parts[0], 1), b"".join(parts[1:]))


def _split_delta(data: bytes) -> Parts:
    reader = Reader(data, "delta")
    head = bytes(reader.take(73, "head"))
    header = bytes(reader.take(reader.varint("header"), "header"))
    return [head, _inflate(header, 15), bytes(reader.rest())]


def _join_delta(parts: Parts) -> bytes:
    header = zlib.compress(parts[1], 1)
    return parts[0] + varint(len(header)) + header + b"".join(parts[2:])


# --- archives -----------------------------------------------------------------------------------------------
# Tables of indices and batches become parts of inflated bytes; the last tail is rebuilt.


def _table(reader: Reader) -> bytes:
    reader.varint("raw size")
    return _inflate(bytes(reader.take(reader.varint("size"), "table")), -15)


def _split_archive(data: bytes) -> Parts:
    parts, at = [data[:12]], sections.HEAD_SIZE
    while at < len(data):
        kind, size = struct.unpack_from("<4sQ", data, at)
        reader = Reader(data[at + 12 : at + 12 + size], "section")
        at += size + sections.FRAME_BYTES
        if kind == b"INDX":
            previous = reader.varint("previous")
            parts += [b"INDX" + varint(previous), b"+" + _table(reader)]
        elif kind == b"BTCH":
            model = reader.varint("model")
            head = varint(model) + bytes(reader.take(9, "channels and digest"))
            parts += [b"BTCH" + head, b"+" + _table(reader), b"-" + bytes(reader.rest())]
        else:
            parts.append(kind + bytes(reader.rest()))
    return parts


def _join_archive(parts: Parts) -> bytes:
    whole: list[bytes] = []
    for part in parts[1:]:
        if part[:1] == b"+" and whole:
            small = _deflate(part[1:])
            whole[-1] += varint(len(part) - 1) + varint(len(small)) + small
        elif part[:1] == b"-" and whole:
            whole[-1] += part[1:]
        else:
            whole.append(part)
    out, index = _crc(parts[0]), 0
    for number, part in enumerate(whole):
        if part[:4] == b"INDX":
            index = len(out)
        if part[:4] == b"TAIL" and number == len(whole) - 1:
            out += sections.tail(index, len(out))
        else:
            out += _crc(part[:4].ljust(4, b"X") + struct.pack("<Q", max(0, len(part) - 4)) + part[4:])
    return out


# --- PNG files and chunks of arrays -------------------------------------------------------------------------


def _split_png(data: bytes) -> Parts:
    parts, at = [data[:8]], 8
    packed = b""
    while at + 12 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        at += size + 12
        if kind == b"IDAT":
            packed += body
            if data[at + 4 : at + 8] != b"IDAT":
                parts.append(b"IDAT" + _inflate(packed, 15))
        else:
            parts.append(kind + body)
    return parts


def _join_png(parts: Parts) -> bytes:
    out = [parts[0]]
    for part in parts[1:]:
        body = part[:4].ljust(4, b"x") + (zlib.compress(part[4:], 1) if part[:4] == b"IDAT" else part[4:])
        out.append(struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)))
    return b"".join(out)


def _split_chunk(data: bytes) -> Parts:
    at = data.find(container.MAGIC)
    at = at if at > 0 else min(40, len(data) - 4)
    return [data[:at], data[at:-4]]


def _join_chunk(parts: Parts) -> bytes:
    return _crc(b"".join(parts))


# --- array files: head with sizes 0, groups without checksums, frame as raw bytes ---------------------------


def _without_sizes(found: head.Head) -> bytes:
    arrays = tuple(replace(array, sizes=(0,) * len(array.sizes)) for array in found.arrays)
    return head.pack(head.Head(arrays, found.source))[:-4]


def _split_arrays(data: bytes) -> Parts:
    found, at = head.unpack(data)
    parts = [_without_sizes(found)]
    for size in (size for array in found.arrays for size in array.sizes):
        parts.append(data[at : at + size - 4])
        at += size
    if found.source is not None:
        reader = Reader(data[at:], "frame")
        reader.varint("size")
        parts.append(_inflate(bytes(reader.rest()), -15))
    return parts


def _join_arrays(parts: Parts) -> bytes:
    first = _crc(parts[0])
    try:
        found, _ = head.unpack(first, salvage=True)
    except FormatError:
        return first + b"".join(parts[1:])
    rest = parts[1:]
    frame = varint(len(rest[-1])) + _deflate(rest[-1]) if found.source is not None and rest else b""
    groups = [_crc(part) for part in (rest[:-1] if frame else rest)]
    arrays, sizes = [], iter(map(len, groups))
    for array in found.arrays:
        arrays.append(replace(array, sizes=tuple(next(sizes, 0) for _ in array.sizes)))
    source = found.source and replace(found.source, packed=len(frame))
    return head.pack(head.Head(tuple(arrays), source)) + b"".join([*groups, frame])


ARRAYS = Form(_split_arrays, _join_arrays)
CONTAINER = Form(_split_container, _join_container)
METADATA = Form(_split_metadata, _join_metadata)
MODEL = Form(_split_model, _join_model)
DELTA = Form(_split_delta, _join_delta)
ARCHIVE = Form(_split_archive, _join_archive)
PNG = Form(_split_png, _join_png)
CHUNK = Form(_split_chunk, _join_chunk)
