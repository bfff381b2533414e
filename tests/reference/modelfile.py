# SPDX-License-Identifier: Apache-2.0
"""Model files, and their stored forms inside pictures and archives."""

from __future__ import annotations

import hashlib
import json
import lzma
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .wire import Reader, demand

MAGIC = b"\x89BBM\r\n\x1a\n"
CHANGES = b"\x89BBD\r\n\x1a\n"


@dataclass
class Model:
    """A model file's header, with the tensors by name."""

    family: str
    config: dict[str, Any]
    functions: dict[str, Any]
    tensors: dict[str, Any]


def named(modl: bytes, installed: Mapping[bytes, bytes]) -> bytes:
    """Return the model file that a `MODL` section names: from the section, or an installed one."""
    demand(len(modl) == 8 or len(modl) >= 32, "length of the name of a model")
    if len(modl) == 8:
        modl = next((known for known in installed if known.startswith(modl)), modl)
    model_id, file = modl[:32], modl[32:]
    if file[:8] == CHANGES:
        file = restored(file, installed)
    elif not file:
        demand(model_id in installed, f"no model of the id {model_id.hex()}")
        file = installed[model_id]
    demand(hashlib.sha256(file).digest() == model_id, "id of the model")
    return file


def parts(file: bytes) -> tuple[bytes, bytes]:
    """Return header (JSON) and blob of a model file."""
    reader = Reader(file)
    demand(
        reader.take(8) == MAGIC and reader.number(2) == 1 and reader.number(2) == 0, "head of a model file"
    )
    header_size, blob_size = reader.number(4), reader.number(4)
    header_check, blob_check = reader.number(4), reader.number(4)
    header, blob = reader.take(header_size), reader.take(blob_size)
    demand(reader.ends(), "bytes behind the model")
    demand(zlib.crc32(header) == header_check and zlib.crc32(blob) == blob_check, "CRC of a model file")
    return zlib.decompress(header), blob


def tensors(header: dict[str, Any], blob: bytes) -> dict[str, Any]:
    """Return the tensors by name."""
    out = {}
    for entry in header["tensors"]:
        kind = np.dtype(entry["dtype"]).newbyteorder("<")
        size = int(np.prod(entry["shape"], dtype=np.int64))
        array = np.frombuffer(blob, kind, size, entry["offset"])
        out[entry["name"]] = array.astype(kind.newbyteorder("=")).reshape(entry["shape"])
    return out


def load(file: bytes) -> Model:
    """Load a model from its file."""
    text, blob = parts(file)
    header = json.loads(text)
    return Model(header["family"], header["config"], header["functions"], tensors(header, blob))


def restored(file: bytes, installed: Mapping[bytes, bytes]) -> bytes:
    """Return the model file that is stored as changes of a released one."""
    reader = Reader(file)
    demand(reader.take(8) == CHANGES and reader.number(1) == 1, "head of the changes of a model")
    parent_id = reader.take(32)
    model_id = reader.take(32)
    packed = reader.take(reader.varint())
    header = json.loads(zlib.decompress(packed))
    filters = [{"id": lzma.FILTER_LZMA1, "lc": 0, "lp": 0, "pb": 0, "dict_size": 1 << 20}]
    changes = Reader(lzma.decompress(reader.rest(), lzma.FORMAT_RAW, filters=filters))
    parent: dict[str, Any] = {}
    if any(parent_id):
        demand(parent_id in installed, f"no model of the id {parent_id.hex()}")
        parent = load(installed[parent_id]).tensors
    blob = bytearray()
    for entry in header["tensors"]:
        kind = np.dtype(entry["dtype"])
        size = int(np.prod(entry["shape"], dtype=np.int64))
        shift, width = changes.number(1), changes.number(1)
        demand(width in (0, 1, 2, 4, 8) and width <= kind.itemsize, "width of changes")
        z = np.zeros(size, np.uint64)
        for plane in range(width):
            z |= np.frombuffer(changes.take(size), np.uint8).astype(np.uint64) << np.uint64(8 * plane)
        old = parent.get(entry["name"])
        if old is None or list(old.shape) != list(entry["shape"]) or old.dtype != kind:
            old = np.zeros(size, kind)
        old = old.ravel()
        if kind.kind == "u":
            demand(shift == 0, "shift of an unsigned tensor")
            new = old ^ z.astype(kind)
        else:
            one = np.uint64(1)
            step = ((z >> one) ^ (~(z & one) + one)) << np.uint64(shift)
            new = (old.astype(np.int64).view(np.uint64) + step).view(np.int64).astype(kind)
        blob += b"\0" * (-len(blob) % 8)
        demand(len(blob) == entry["offset"], "offset of a tensor")
        blob += new.astype(kind.newbyteorder("<")).tobytes()
    demand(changes.ends(), "bytes behind the changes")
    head = MAGIC + (1).to_bytes(2, "little") + bytes(2)
    for value in (len(packed), len(blob), zlib.crc32(packed), zlib.crc32(blob)):
        head += value.to_bytes(4, "little")
    out = head + packed + bytes(blob)
    demand(hashlib.sha256(out).digest() == model_id, "id of the restored model")
    return out
