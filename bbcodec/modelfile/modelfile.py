# SPDX-License-Identifier: Apache-2.0
"""The ``.bbm`` model file: graph, packed 1-bit weights, integer tables, and an id that never changes.

Layout, little-endian, in this order and without trailing bytes:

====== ======================================================================
bytes  field
====== ======================================================================
8      magic ``89 42 42 4D 0D 0A 1A 0A``
2      version, must be 1
2      flags, must be 0
4      length of the header
4      length of the blob
4      CRC-32 of the header (as stored, compressed)
4      CRC-32 of the blob
...    header: zlib stream of canonical JSON (``family``, ``config``, ``functions``, ``tensors``, ``notes``)
...    blob: the tensors in the order of the directory, each at the next multiple of 8, gaps 0
====== ======================================================================

The id of a model is the SHA-256 of the whole file. A model is untrusted input: sizes are checked before
anything is allocated, and every graph passes `bbcodec.engine.check_graph` before it is returned. This module
must not know what a family does with its functions.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import ModelError

if TYPE_CHECKING:
    from bbcodec.engine.graph import Graph

__all__ = ["Model", "assemble", "dump", "layout", "load", "parse_header", "split"]

MAGIC: Final = b"\x89BBM\r\n\x1a\n"
VERSION: Final = 1

_PREAMBLE: Final = struct.Struct("<8sHHIIII")
_TENSOR_ALIGNMENT: Final = 8  # bytes
_DTYPES: Final = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
# Bounds the JSON: a large model has some thousands of operations of about a hundred characters each.
_MAX_HEADER_BYTES: Final = 4 << 20
_MAX_BLOB_BYTES: Final = 1 << 30
_MAX_TENSORS: Final = 1 << 16
_MAX_RANK: Final = 8
MAX_FILE_BYTES: Final = _PREAMBLE.size + _MAX_HEADER_BYTES + _MAX_BLOB_BYTES


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model; models with equal files have equal ids.

    Attributes
    ----------
    id : SHA-256 of the file, 64 hexadecimal digits
    family : name of the code that reads it (such as ``rvae``)
    config : JSON values of the family
    graph : checked functions and all tensors
    nbytes : size of the file in bytes
    notes : JSON values about the training (data, dates); they do not affect coding
    """

    id: str
    family: str
    config: Mapping[str, Any]
    graph: Graph = field(repr=False)
    nbytes: int
    notes: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """Return all tensors of the file as read-only arrays, including those outside the graph."""
        return self.graph.tensors

    def __hash__(self) -> int:
        return hash(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and self.id == other.id


def dump(
    family: str,
    config: Mapping[str, Any],
    graph: Graph,
    tensors: Mapping[str, NDArray[Any]] | None = None,
    *,
    notes: Mapping[str, Any] | None = None,
) -> bytes:
    """Return the model file of a graph and its family's configuration.

    Parameters
    ----------
    family : str
    config, notes : JSON values
    graph : functions and the tensors that they use
    tensors : more integer tensors of the family, which no function uses

    Raises
    ------
    ModelError
        The graph fails its check, a tensor has no integer dtype, two tensors have one name, or the model
        exceeds the limits of the format.
    """
    # The engine takes long to import, and files of the classic method do without it.
    from bbcodec.engine.bounds import check_graph
    from bbcodec.engine.graph import Graph, functions_to_json

    merged = dict(graph.tensors)
    for name, tensor in (tensors or {}).items():
        if name in merged and merged[name] is not tensor and not np.array_equal(merged[name], tensor):
            raise ModelError(f"tensor {name!r} is given twice, with different values")
        merged[name] = tensor
    check_graph(Graph(graph.functions, merged))
    directory: list[dict[str, Any]] = []
    blob = bytearray()
    for name in sorted(merged):
        tensor = np.asarray(merged[name])
        if tensor.dtype.name not in _DTYPES:
            raise ModelError(f"tensor {name!r} is {tensor.dtype}, expected one of {', '.join(_DTYPES)}")
        blob += bytes(-len(blob) % _TENSOR_ALIGNMENT)
        entry = {"name": name, "dtype": tensor.dtype.name, "shape": list(tensor.shape), "offset": len(blob)}
        directory.append(entry)
        blob += np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).tobytes()
    content = {
        "family": family,
        "config": dict(config),
        "functions": functions_to_json(graph.functions),
        "tensors": directory,
        "notes": dict(notes or {}),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    if len(text) > _MAX_HEADER_BYTES or len(blob) > _MAX_BLOB_BYTES:
        raise ModelError(
            f"model: header of {len(text)} and blob of {len(blob)} bytes, "
            f"expected at most {_MAX_HEADER_BYTES} and {_MAX_BLOB_BYTES}"
        )
    header = zlib.compress(text.encode("ascii"), 9)
    return assemble(header, bytes(blob))


def load(data: bytes | bytearray | memoryview) -> Model:
    """Parse and check a whole model file; `bbcodec.modelfile.registry.load` also reads deltas.

    Raises
    ------
    ModelError
        The bytes are not a valid model.
    """
    from bbcodec.engine.bounds import check_graph
    from bbcodec.engine.graph import Graph, functions_from_json

    view = memoryview(data).cast("B")
    _, content, blob = split(view)
    tensors = _read_tensors(content["tensors"], blob)
    graph = Graph(functions_from_json(content["functions"]), tensors)
    check_graph(graph)
    return Model(
        id=hashlib.sha256(view).hexdigest(),
        family=content["family"],
        config=content["config"],
        graph=graph,
        nbytes=len(view),
        notes=content["notes"],
    )


def assemble(header: bytes, blob: bytes) -> bytes:
    """Return the model file of a compressed header and a blob."""
    fixed = _PREAMBLE.pack(MAGIC, VERSION, 0, len(header), len(blob), zlib.crc32(header), zlib.crc32(blob))
    return fixed + header + blob


def split(data: bytes | bytearray | memoryview) -> tuple[memoryview, dict[str, Any], memoryview]:
    """Check sizes and checksums; return the stored header of a model file, its content, and the blob.

    Raises
    ------
    ModelError
        The bytes are not a model file.
    """
    view = memoryview(data).cast("B")
    if len(view) < _PREAMBLE.size or bytes(view[:8]) != MAGIC:
        raise ModelError(f"model: not a .bbm file: the magic is missing, expected {MAGIC!r}")
    _, version, flags, header_size, blob_size, header_crc, blob_crc = _PREAMBLE.unpack(view[: _PREAMBLE.size])
    if version != VERSION or flags != 0:
        raise ModelError(
            f"model: version {version}, flags {flags}: this release reads version {VERSION}, flags 0"
        )
    expected = _PREAMBLE.size + header_size + blob_size
    if len(view) != expected:
        raise ModelError(f"model: {len(view)} bytes, expected {expected}")
    if header_size > _MAX_HEADER_BYTES or blob_size > _MAX_BLOB_BYTES:
        raise ModelError(
            f"model: header of {header_size} and blob of {blob_size} bytes, "
            f"expected at most {_MAX_HEADER_BYTES} and {_MAX_BLOB_BYTES}"
        )
    header = view[_PREAMBLE.size : _PREAMBLE.size + header_size]
    blob = view[_PREAMBLE.size + header_size :]
    for what, part, crc in (("header", header, header_crc), ("blob", blob, blob_crc)):
        if zlib.crc32(part) != crc:
            raise ModelError(f"model: the checksum of the {what} does not match")
    return header, parse_header(header), blob


def parse_header(header: memoryview) -> dict[str, Any]:
    """Return the content of the compressed header of a model file; `layout` checks its tensor directory.

    Raises
    ------
    ModelError
        The header is not JSON in a zlib stream, or does not have exactly the expected fields.
    """
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(header, _MAX_HEADER_BYTES)
        if not unpacker.eof or unpacker.unused_data:
            raise ModelError(
                f"model: the header is cut off, has trailing bytes, or exceeds {_MAX_HEADER_BYTES} bytes"
            )
        content = json.loads(
            text,
            object_pairs_hook=_reject_duplicate_keys,
            parse_constant=_reject_constant,
            parse_float=_parse_finite,
        )
    except (zlib.error, ValueError, RecursionError) as error:
        raise ModelError(f"model: the header is not JSON in a zlib stream: {error}") from error
    expected = {"family": str, "config": dict, "functions": dict, "tensors": list, "notes": dict}
    if not isinstance(content, dict) or set(content) != set(expected):
        raise ModelError(f"model: the header does not have exactly the fields {sorted(expected)}")
    for key, kind in expected.items():
        if not isinstance(content[key], kind):
            raise ModelError(f"model: {key} is {type(content[key]).__name__}, expected {kind.__name__}")
    return content


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entry = dict(pairs)
    if len(entry) != len(pairs):
        raise ValueError("an object has a key twice")
    return entry


def _parse_finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.40} is not a finite number")
    return value


def _reject_constant(text: str) -> float:
    raise ValueError(f"{text} is not a finite number")


def _read_tensors(directory: list[Any], blob: memoryview) -> dict[str, NDArray[Any]]:
    """Return the tensors of a blob as read-only arrays; raise `ModelError` unless they fill it."""
    tensors: dict[str, NDArray[Any]] = {}
    end = 0
    for entry, size in zip(directory, layout(directory), strict=True):
        start = entry["offset"]
        if start + size > len(blob) or any(blob[end:start]):
            raise ModelError(
                f"model: tensor {entry['name']!r}: {size} bytes at offset {start} do not fit the blob"
            )
        end = start + size
        little = np.frombuffer(blob[start:end], np.dtype(entry["dtype"]).newbyteorder("<"))
        tensor = little.astype(entry["dtype"]).reshape(entry["shape"])
        tensor.setflags(write=False)
        tensors[entry["name"]] = tensor
    if end != len(blob):
        raise ModelError(f"model: {len(blob) - end} bytes after the last tensor, expected none")
    return tensors


def layout(directory: list[Any]) -> list[int]:
    """Check the tensor directory of a header, and return the size of every tensor in bytes.

    Raises
    ------
    ModelError
        An entry is not valid, does not follow the previous tensor, or the blob would be too large.
    """
    if len(directory) > _MAX_TENSORS:
        raise ModelError(f"model: {len(directory)} tensors, expected at most {_MAX_TENSORS}")
    names: set[str] = set()
    sizes: list[int] = []
    end = 0
    for index, entry in enumerate(directory):
        where = f"model: tensor {index}"
        if not isinstance(entry, dict) or set(entry) != {"name", "dtype", "shape", "offset"}:
            raise ModelError(f"{where}: expected the fields dtype, name, offset and shape")
        name, dtype, shape, offset = (entry[key] for key in ("name", "dtype", "shape", "offset"))
        if not isinstance(name, str) or name in names or dtype not in _DTYPES:
            raise ModelError(f"{where}: name {name!r:.40} or dtype {dtype!r:.40} is not valid")
        if (
            not isinstance(shape, list)
            or len(shape) > _MAX_RANK
            or not all(type(size) is int and 0 < size <= _MAX_BLOB_BYTES for size in shape)
        ):
            raise ModelError(f"{where} ({name!r}): shape {shape!r:.80} is not valid")
        start = end + -end % _TENSOR_ALIGNMENT
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if type(offset) is not int or offset != start or start + size > _MAX_BLOB_BYTES:
            raise ModelError(f"{where} ({name!r}): {size} bytes at offset {offset!r:.40} do not fit the blob")
        end = start + size
        names.add(name)
        sizes.append(size)
    return sizes
