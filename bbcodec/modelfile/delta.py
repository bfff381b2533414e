# SPDX-License-Identifier: Apache-2.0
"""A model file written as what it changes in a released one: small enough to be embedded in an archive.

Layout, nothing behind it:

====== ======================================================================
bytes  field
====== ======================================================================
8      magic ``89 42 42 44 0D 0A 1A 0A``
1      version, 1
32     id of the parent, a released model; all 0 for none
32     id of the model, the SHA-256 of its whole file
...    varint: length of the model file's header; the header as that file has it, compressed
...    raw LZMA stream (lc 0, lp 0, pb 0, dictionary of 1 MiB) of the changes
====== ======================================================================

Changes: for each tensor of the header, in its order: a byte s, a byte w (0, 1, 2, 4 or 8, at most the bytes
of an element), and w planes of one byte for each element, the lowest bytes first. An element ``z`` of the
planes stands for the change ``(z >> 1 ^ -(z & 1)) << s``, which is added to the parent's element and wraps
at the element's size; of unsigned tensors, it is the bits ``z`` themselves that differ (s is 0). Where the
parent has no tensor of this name, dtype and shape, its elements count as 0.

What is restored has the id that the file names, or is refused: whoever made it wrong, no pixel comes out
wrong. Which models are installed is not known here (`bbcodec.modelfile.registry`).
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
_WIDTHS: Final = (0, 1, 2, 4, 8)
_MAX_SHIFT: Final = 63
_MAX_BLOB: Final = 1 << 24  # bytes of tensors; larger models have no such form

Tensor = NDArray[Any]


def is_delta(data: Buffer) -> bool:
    """Whether the bytes begin like a file of this kind."""
    return bytes(memoryview(data).cast("B")[: len(MAGIC)]) == MAGIC


def id_of(data: Buffer) -> str:
    """Id of the model that an embedded file says it is: its hash, or what a delta names and `restore` proves.

    Raises
    ------
    ModelError
        The bytes begin like a delta and are none.
    """
    return _head(data)[1].hex() if is_delta(data) else hashlib.sha256(data).hexdigest()


def parent_of(data: Buffer) -> str | None:
    """Id of the model that a delta changes; None if it stands alone.

    Raises
    ------
    ModelError
        The bytes are no delta.
    """
    parent = _head(data)[0]
    return None if parent == NO_PARENT else parent.hex()


def make(data: bytes, parent: modelfile.Model | None = None) -> bytes:
    """Return a sound model file as a delta of a parent, or of nothing.

    Raises
    ------
    ModelError
        The bytes are not a sound model, or it is too large for this form.
    """
    model = modelfile.load(data)
    header, content, blob = modelfile.split(data)
    if len(blob) > _MAX_BLOB:
        raise ModelError(f"model delta: {len(blob)} bytes of tensors, expected at most {_MAX_BLOB}")
    changes = bytearray()
    for entry in content["tensors"]:
        new = model.tensors[entry["name"]]
        changes += _pack(new, _base(parent.tensors if parent else {}, entry))
    packed = lzma.compress(bytes(changes), lzma.FORMAT_RAW, filters=_FILTERS)
    whose = bytes.fromhex(parent.id) if parent else NO_PARENT
    head = MAGIC + bytes([VERSION]) + whose + bytes.fromhex(model.id)
    return head + varint(len(header)) + header + packed


def smallest(data: bytes, parents: Iterable[modelfile.Model]) -> bytes:
    """Return the shortest form of a model file: itself, or a delta of nothing or of one of the parents.

    Parameters
    ----------
    data : a sound model file.
    parents : models that every reader has.
    """
    if len(modelfile.split(data)[2]) > _MAX_BLOB:
        return data
    return min([data, make(data), *(make(data, parent) for parent in parents)], key=len)


def restore(data: Buffer, find: Callable[[str], modelfile.Model]) -> bytes:
    """Return the model file that a delta stands for.

    Parameters
    ----------
    data : a delta.
    find : returns the model of an id; called with the id of the parent, if there is one.

    Raises
    ------
    ModelError
        The bytes are no sound delta.
    """
    parent_id, wanted, header, reader = _head(data)
    parent = find(parent_id.hex()) if parent_id != NO_PARENT else None
    content = modelfile.parse_header(header)
    sizes = modelfile.layout(content["tensors"])
    if sum(sizes) > _MAX_BLOB:
        raise ModelError(f"model delta: {sum(sizes)} bytes of tensors, expected at most {_MAX_BLOB}")
    changes = memoryview(_unpacked(reader.rest(), 2 * len(sizes) + sum(sizes)))
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
        raise ModelError(f"model delta: what it restores is not the model {wanted.hex()} that it names")
    return file


def _head(data: Buffer) -> tuple[bytes, bytes, memoryview, Reader]:
    """Ids of parent and model, the header, and a reader that stands before the changes."""
    if not is_delta(data):
        raise ModelError("model delta: the magic is missing")
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
    """The parent's tensor of an entry of the directory, or zeros."""
    zeros: Tensor = np.broadcast_to(np.zeros((), entry["dtype"]), entry["shape"])
    tensor = tensors.get(entry["name"], zeros)
    return tensor if same_form(tensor, zeros) else zeros


def _pack(new: Tensor, base: Tensor) -> bytes:
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
    width = next(w for w in _WIDTHS if int(z.max()) < 1 << 8 * w)
    planes = z.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width]
    return bytes([shift, width]) + np.ascontiguousarray(planes.T).tobytes()


def _unpack(changes: memoryview, at: int, base: Tensor) -> tuple[Tensor, int]:
    """The tensor whose changes stand at `at`, and where they end."""
    if at + 2 > len(changes):
        raise ModelError("model delta: the changes are cut off")
    shift, width = changes[at], changes[at + 1]
    end = at + 2 + width * base.size
    unsigned = np.dtype(f"u{base.dtype.itemsize}")
    plain = base.dtype.kind == "u"
    if (
        width not in _WIDTHS
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


def _unpacked(packed: memoryview, most: int) -> bytes:
    """The content of a raw LZMA stream, of at most so many bytes."""
    unpacker = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_FILTERS)
    try:
        content = unpacker.decompress(packed, most + 1)
        if not unpacker.eof and len(content) <= most:
            content += unpacker.decompress(b"", most + 1 - len(content))
    except (lzma.LZMAError, EOFError) as error:
        raise ModelError(f"model delta: the changes are no LZMA stream ({error})") from error
    if not unpacker.eof or unpacker.unused_data or len(content) > most:
        raise ModelError("model delta: the changes are cut off, have a tail, or are too many")
    return content
