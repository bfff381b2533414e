# SPDX-License-Identifier: Apache-2.0
"""Archives: many pictures in one file."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from . import container, metadata
from .container import Picture
from .wire import Reader, demand, inflate

MAGIC = b"\x89BBA\r\n\x1a\n"


@dataclass
class Kind:
    """Properties that the pictures of one run share."""

    mode: int
    flags: int
    height: int
    width: int


def decode(data: bytes, installed: Mapping[bytes, bytes]) -> dict[str, Picture]:
    """Return all pictures by name, in the order in which they were added."""
    reader = Reader(data)
    demand(reader.take(8) == MAGIC, "magic")
    demand(reader.number(1) == 1, "major version")
    reader.number(1)
    demand(reader.number(2) == 0, "flags")
    check = zlib.crc32(data[:12])
    demand(reader.number(4) == check, "CRC of the head")

    data, index = _tail(data)
    indices = []
    while index:
        kind, payload, _ = _section(data, index)
        demand(kind == b"INDX", "index")
        indices.append(payload)
        before = Reader(payload).varint()
        demand(before < index, "offset of the index before")
        index = before
    out: dict[str, Picture] = {}
    for payload in reversed(indices):
        for name, picture in _added(data, payload, installed):
            out.pop(name, None)
            out[name] = picture
    return out


def _section(data: bytes, at: int) -> tuple[bytes, bytes, int]:
    """Return type and payload of the section at offset `at`, and the offset of the next one."""
    reader = Reader(data, at)
    kind = reader.take(4)
    payload = reader.take(reader.number(8))
    check = zlib.crc32(data[at : reader.at])
    demand(reader.number(4) == check, f"CRC of section {kind!r}")
    return kind, payload, reader.at


def _tail(data: bytes) -> tuple[bytes, int]:
    """Return the archive up to its last valid tail, and the offset of the last index."""
    last = None
    at = 16
    while at < len(data):
        try:
            kind, payload, after = _section(data, at)
        except Exception:
            break  # left by an interrupted append
        if kind == b"TAIL":
            reader = Reader(payload)
            index, itself = reader.number(8), reader.number(8)
            demand(itself == at and reader.ends(), "tail")
            last = after, index
        at = after
    demand(last, "no tail")
    assert last is not None
    return data[: last[0]], last[1]


def _table(reader: Reader) -> Reader:
    """Return a reader of a deflated table."""
    raw, packed = reader.varint(), reader.varint()
    return Reader(inflate(reader.take(packed), raw))


def _names(reader: Reader, count: int) -> list[str]:
    out: list[str] = []
    name = b""
    for _ in range(count):
        shared = reader.varint()
        demand(shared <= len(name), "shared bytes of a name")
        name = name[:shared] + reader.take(reader.varint())
        out.append(_checked(name))
    return out


def _checked(name: bytes) -> str:
    """Return a name as text; refuse names that could lead out of a folder."""
    demand(0 < len(name) <= 4096 and b"\0" not in name, "length of a name")
    demand(not {b"", b".", b".."} & set(name.split(b"/")), "part of a name")
    return name.decode("utf-8")


def _runs(reader: Reader, count: int) -> list[Kind]:
    out: list[Kind] = []
    while len(out) < count:
        mode, flags = reader.number(1), reader.number(1)
        height, width = reader.varint(), reader.varint()
        out += [Kind(mode, flags, height, width)] * reader.varint()
    demand(len(out) == count, "runs of other pictures than there are")
    return out


def _added(data: bytes, payload: bytes, installed: Mapping[bytes, bytes]) -> list[tuple[str, Picture]]:
    """Return the names and pictures of an index, in the order in which they were added."""
    reader = Reader(payload)
    reader.varint()
    table = _table(reader)
    demand(reader.ends(), "bytes behind the index")
    models = []
    available = dict(installed)
    for _ in range(table.varint()):
        kind, model, _ = _section(data, table.varint())
        demand(kind == b"MODL", "model of an archive")
        models.append(model)
        if len(model) > 32:
            from . import modelfile

            available[model[:32]] = modelfile.named(model, installed)
    where = []
    offset = 0
    for _ in range(table.varint()):
        offset += table.varint()
        where.append((offset, table.varint()))
    total = sum(max(count, 1) for _, count in where)
    names, kinds = _names(table, total), _runs(table, total)
    places = list(range(total))
    if table.number(1):
        place = -1
        for i in range(total):
            code = table.varint()
            place += 1 + (-(code + 1 >> 1) if code & 1 else code >> 1)
            places[i] = place
    demand(table.ends() and sorted(places) == list(range(total)), "order of pictures")

    found: list[tuple[str, Picture]] = []
    for offset, count in where:
        kind, body, _ = _section(data, offset)
        demand(kind == (b"BTCH" if count else b"FILE"), "section of pictures")
        found += _batch(body, models, available) if count else [_file(body, available)]
    demand([name for name, _ in found] == names, "names of the index")
    for (_, picture), like in zip(found, kinds, strict=True):
        demand(like == Kind(picture.mode, picture.flags, *picture.samples.shape[:2]), "pictures of the index")
    return [found[i] for i in sorted(range(total), key=places.__getitem__)]


def _file(body: bytes, models: Mapping[bytes, bytes]) -> tuple[str, Picture]:
    reader = Reader(body)
    name = _checked(reader.take(reader.varint()))
    return name, container.decode(reader.rest(), models)


def _batch(body: bytes, models: list[bytes], available: Mapping[bytes, bytes]) -> list[tuple[str, Picture]]:
    """Decode a batch: names and pictures of one message."""
    reader = Reader(body)
    number = reader.varint()
    channels = reader.number(1)
    demand(number < len(models) and channels in (1, 3), "head of a batch")
    digest = reader.take(8)
    table = _table(reader)
    count = table.varint()
    names, kinds = _names(table, count), _runs(table, count)
    demand(all(kind.mode == {1: 1, 3: 4}[channels] for kind in kinds), "mode in a batch")
    extra = _metadata(table, count, kinds)
    demand(table.ends(), "bytes behind the table")
    plain = reader.varint()

    from . import learned

    model = learned.family(models[number], available)
    shapes = [(kind.height, kind.width, channels) for kind in kinds]
    pixels = learned.batch(reader.rest(), model, shapes, plain)
    pictures = [
        Picture(kind.mode, kind.flags, p, None, m) for kind, p, m in zip(kinds, pixels, extra, strict=True)
    ]
    state = hashlib.blake2b(digest_size=8, person=b"bbcodec-batch")
    for picture in pictures:
        state.update(picture.digest())
    demand(state.digest() == digest, "digest of a batch")
    return list(zip(names, pictures, strict=True))


def _metadata(table: Reader, count: int, kinds: list[Kind]) -> list[dict[str, Any]]:
    """Return the metadata of each picture."""
    stored = []
    for _ in range(table.varint()):
        reader = Reader(table.take(table.varint()))
        found = []
        while not reader.ends():
            kind = reader.take(4).decode("ascii")
            found.append((kind, reader.take(reader.varint())))
        demand(all(kind[0].islower() for kind, _ in found), "metadata of a batch")
        stored.append([pair for pair in found if pair[0] in metadata.NAMES])
    which = [table.varint() for _ in range(count)] if len(stored) > 1 else [0] * count
    demand(all(w < max(len(stored), 1) for w in which), "kind of metadata")
    return [metadata.read(stored[w], k.mode) if stored else {} for w, k in zip(which, kinds, strict=True)]


def groups(shapes: list[tuple[int, int, int]]) -> list[list[tuple[int, int, int]]]:
    """Return the groups of the family `local`: consecutive pictures of at most 512 lanes, or one picture."""
    lanes = [0]
    for height, width, _ in shapes:
        lanes.append(lanes[-1] + min(height, -(-width // 3)))
    cuts = [0]
    for i in range(1, len(shapes)):
        if lanes[i + 1] - lanes[cuts[-1]] > 512:
            cuts.append(i)
    return [shapes[a:b] for a, b in pairwise([*cuts, len(shapes)])]
