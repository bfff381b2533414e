# SPDX-License-Identifier: Apache-2.0
"""Model deltas: a model file stored as changes of a released model, small enough to embed in an archive.

Layout, without trailing bytes:

====== ======================================================================
bytes  field
====== ======================================================================
8      magic ``89 42 42 44 0D 0A 1A 0A``
1      version, 1
32     id of the parent, a released model; all 0 for none
32     id of the model, the SHA-256 of its whole file
...    varint: length of the model file's header; that header, compressed as in the model file
...    raw LZMA stream (lc 0, lp 0, pb 0, dictionary of 1 MiB) of the changes
====== ======================================================================

The changes list every tensor of the header, in its order. Each entry has a byte s, a byte w (0, 1, 2, 4 or
8, at most the bytes of an element), and w planes with one byte per element, lowest bytes first. The planes
form one number ``z`` per element:

- signed tensors: the change ``(z >> 1 ^ -(z & 1)) << s`` is added to the parent's element and wraps at the
  element's size;
- unsigned tensors: ``z`` holds the bits that differ, and s is 0.

If the parent has no tensor of this name, dtype and shape, its elements count as 0.

A restored model must have the id in the delta, so a wrong delta cannot decode wrong pixels. This module must
not know which models are installed (`bbcodec.modelfile.registry`).
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.container import Buffer, Reader, varint
from bbcodec.errors import FormatError, ModelError
from bbcodec.modelfile import modelfile

__all__ = ["MAGIC", "id_of", "is_delta", "make", "parent_of", "restore", "smallest"]

MAGIC: Final = b"\x89BBD\r\n\x1a\n"
VERSION: Final = 1
NO_PARENT: Final = bytes(32)

_FILTERS: Final = [
    {
        "id": lzma.FILTER_LZMA1,
        "preset": 9 | lzma.PRESET_EXTREME,
        "dict_size": 1 << 20,
        "lc": 0,
        "lp": 0,
        "pb": 0,
    }
]
_PLANE_COUNTS: Final = (0, 1, 2, 4, 8)
_MAX_SHIFT: Final = 63
_MAX_BLOB_BYTES: Final = 1 << 24  # of all tensors; larger models have no delta

Tensor = NDArray[Any]


def is_delta(data: Buffer) -> bool:
    """Return whether the bytes begin with the magic of a delta."""
    return bytes(memoryview(data).cast("B")[: len(MAGIC)]) == MAGIC


def id_of(data: Buffer) -> str:
    """Return the id of a model file: its hash, or the id in a delta, which `restore` verifies.

    Raises
    ------
    ModelError
        The bytes begin like a delta but are not valid.
    """
    return _head(data)[1].hex() if is_delta(data) else hashlib.sha256(data).hexdigest()


def parent_of(data: Buffer) -> str | None:
    """Return the id of the parent of a delta, or None without a parent.

    Raises
    ------
    ModelError
        The bytes are not a delta.
    """
    parent = _head(data)[0]
    return None if parent == NO_PARENT else parent.hex()


def make(data: bytes, parent: modelfile.Model | None = None) -> bytes:
    """Return the delta of a valid model file from a parent, or from nothing.

    Raises
    ------
    ModelError
        The bytes are not a valid model, or the model is too large for a delta.
    """
    model = modelfile.load(data)
    header, content, blob = modelfile.split(data)
    if len(blob) > _MAX_BLOB_BYTES:
        raise ModelError(f"model delta: {len(blob)} bytes of tensors, expected at most {_MAX_BLOB_BYTES}")
    changes = bytearray()
    for entry in content["tensors"]:
        new = model.tensors[entry["name"]]
        changes += _pack(new, _base(parent.tensors if parent else {}, entry))
    packed = lzma.compress(bytes(changes), lzma.FORMAT_RAW, filters=_FILTERS)
    whose = bytes.fromhex(parent.id) if parent else NO_PARENT
    head = MAGIC + bytes([VERSION]) + whose + bytes.fromhex(model.id)
    return head + varint(len(header)) + header + packed


def smallest(data: bytes, parents: Iterable[modelfile.Model]) -> bytes:
    """Return the shortest form of a model file: itself, or a delta from nothing or from one of the parents.

    Parameters
    ----------
    data : a valid model file.
    parents : models that every reader has.

    Raises
    ------
    ModelError
        The bytes are not a valid model.
    """
    if len(modelfile.split(data)[2]) > _MAX_BLOB_BYTES:
        return data
    return min([data, make(data), *(make(data, parent) for parent in parents)], key=len)


def restore(data: Buffer, find: Callable[[str], modelfile.Model]) -> bytes:
    """Return the model file that a delta encodes.

    Parameters
    ----------
    data : a delta.
    find : function that returns the model of an id; called with the id of the parent, if there is one.

    Raises
    ------
    ModelError
        The bytes are not a valid delta.
    """
    parent_id, wanted, header, reader = _head(data)
    parent = find(parent_id.hex()) if parent_id != NO_PARENT else None
    content = modelfile.parse_header(header)
    sizes = modelfile.layout(content["tensors"])
    if sum(sizes) > _MAX_BLOB_BYTES:
        raise ModelError(f"model delta: {sum(sizes)} bytes of tensors, expected at most {_MAX_BLOB_BYTES}")
    changes = memoryview(_decompress(reader.rest(), 2 * len(sizes) + sum(sizes)))
    blob, at = bytearray(), 0
    for entry, size in zip(content["tensors"], sizes, strict=True):
        base = _base(parent.tensors if parent else {}, entry)
        blob += bytes(entry["offset"] - len(blob))
        tensor, at = _unpack(changes, at, base)
        blob += np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).tobytes()
        assert len(blob) == entry["offset"] + size
    if at != len(changes):
        raise ModelError(f"model delta: {len(changes) - at} bytes of changes too many")
    file = modelfile.assemble(bytes(header), bytes(blob))
    if hashlib.sha256(file).digest() != wanted:
        raise ModelError(f"model delta: the restored file does not have the expected id {wanted.hex()}")
    return file


def _head(data: Buffer) -> tuple[bytes, bytes, memoryview, Reader]:
    """Return the ids of parent and model, the header, and a reader at the start of the changes."""
    if not is_delta(data):
        raise ModelError(f"model delta: the magic is missing, expected {MAGIC!r}")
    reader = Reader(data, "model delta")
    try:
        reader.take(len(MAGIC), "magic")
        if (version := reader.u8("version")) != VERSION:
            raise reader.error(f"version {version}, this release reads version {VERSION}")
        parent, wanted = (bytes(reader.take(32, what)) for what in ("id of the parent", "id"))
        header = reader.take(reader.varint("length of the header"), "header")
    except FormatError as error:
        raise ModelError(str(error)) from error
    return parent, wanted, header, reader


def same_form(a: Tensor, b: Tensor) -> bool:
    """Return whether two tensors have the same dtype and shape."""
    return a.dtype == b.dtype and a.shape == b.shape


def _base(tensors: Mapping[str, Tensor], entry: Mapping[str, Any]) -> Tensor:
    """Return the parent's tensor for a directory entry, or zeros if it has none of this form."""
    zeros: Tensor = np.broadcast_to(np.zeros((), entry["dtype"]), entry["shape"])
    tensor = tensors.get(entry["name"], zeros)
    return tensor if same_form(tensor, zeros) else zeros


def _pack(new: Tensor, base: Tensor) -> bytes:
    """Return the changes that turn the tensor `base` into `new`."""
    bits = 8 * new.dtype.itemsize
    unsigned = np.dtype(f"u{new.dtype.itemsize}")
    shift = 0
    if new.dtype.kind == "u":
        z = (new ^ base).ravel().astype(np.uint64)
    else:
        change = (new.view(unsigned) - base.astype(new.dtype).view(unsigned)).view(new.dtype).ravel()
        union = int(np.bitwise_or.reduce(change.view(unsigned)))
        shift = (union & -union).bit_length() - 1 if union else 0
        change = change.astype(np.int64) >> shift
        z = ((change << 1) ^ (change >> 63)).view(np.uint64)
        if bits < 64:
            z &= np.uint64((1 << bits) - 1)
    width = next(w for w in _PLANE_COUNTS if int(z.max()) < 1 << 8 * w)
    planes = z.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width]
    return bytes([shift, width]) + np.ascontiguousarray(planes.T).tobytes()


def _unpack(changes: memoryview, at: int, base: Tensor) -> tuple[Tensor, int]:
    """Return the tensor whose changes begin at byte `at`, and the end of these changes."""
    if at + 2 > len(changes):
        raise ModelError("model delta: the changes are cut off")
    shift, width = changes[at], changes[at + 1]
    end = at + 2 + width * base.size
    unsigned = np.dtype(f"u{base.dtype.itemsize}")
    plain = base.dtype.kind == "u"
    if (
        width not in _PLANE_COUNTS
        or width > base.dtype.itemsize
        or shift > (0 if plain else _MAX_SHIFT)
        or end > len(changes)
    ):
        raise ModelError(f"model delta: changes of shift {shift} in {width} planes are not valid")
    z = np.zeros((base.size, 8), np.uint8)
    z[:, :width] = np.frombuffer(changes[at + 2 : end], np.uint8).reshape(width, base.size).T
    number = z.view("<u8").astype(np.uint64).ravel()
    if plain:
        return (base.ravel() ^ number.astype(unsigned)).reshape(base.shape), end
    change = (number >> np.uint64(1)) ^ (np.uint64(0) - (number & np.uint64(1)))
    change = (change << np.uint64(shift)).astype(unsigned)
    return (base.ravel().view(unsigned) + change).view(base.dtype).reshape(base.shape), end


def _decompress(packed: memoryview, max_bytes: int) -> bytes:
    """Return the content of a raw LZMA stream, or raise if it exceeds `max_bytes`."""
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
    try:
        content = unpacker.decompress(packed, max_bytes + 1)
        if not unpacker.eof and len(content) <= max_bytes:
            content += unpacker.decompress(b"", max_bytes + 1 - len(content))
    except (lzma.LZMAError, EOFError) as error:
        raise ModelError(f"model delta: the changes are not a valid LZMA stream: {error}") from error
    if not unpacker.eof or unpacker.unused_data or len(content) > max_bytes:
        raise ModelError(
            f"model delta: the changes are cut off, have trailing bytes, or exceed {max_bytes} bytes"
        )
    return content
