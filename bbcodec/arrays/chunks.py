# SPDX-License-Identifier: Apache-2.0
"""Chunks of image arrays as bytes: what the codecs for numcodecs and Zarr share.

A chunk is one picture or a stack of equal ones: the leading axes count pictures, the last two or three are
the picture's. docs/format.md ("Chunks") has the layout.

What numcodecs or Zarr want around it must not be known here.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.arrays import stacks
from bbcodec.arrays.stacks import Layout, Options
from bbcodec.container import Buffer, Limits, Reader, varint
from bbcodec.errors import BBCodecError, FormatError, LimitError, UnsupportedImageError
from bbcodec.modelfile.registry import ModelLike

__all__ = ["Layout", "Options", "check", "check_kind", "decode", "encode"]

MAGIC: Final = b"\x89BBK\r\n\x1a\n"
VERSION: Final = 1
_USUAL: Final = Options()
_DTYPES: Final = tuple(map(np.dtype, ("|u1", "<u2", ">u2")))
_LAYOUTS: Final = ("hw", "hwc", "chw")
_BY_COLUMN: Final = 16
_MAX_AXES: Final = 32
_MAX_CHANNELS: Final = 4
_DIGEST: Final = 8
_CRC: Final = 4


def check_kind(axes: int, dtype: np.dtype[Any], layout: Layout = "auto") -> None:
    """Raise `UnsupportedImageError` for other samples than uint8 and uint16, and for too few axes."""
    if dtype not in _DTYPES:
        raise UnsupportedImageError(f"chunk of {dtype} samples, expected uint8 or uint16")
    named = "hw" if layout == "auto" else layout
    if not len(named) <= axes <= _MAX_AXES:
        raise UnsupportedImageError(
            f"chunk of {axes} axes, expected {len(named)} to {_MAX_AXES}: [..., {', '.join(named.upper())}]"
        )


def check(shape: tuple[int, ...], dtype: np.dtype[Any], layout: Layout = "auto") -> str:
    """Return the layout of arrays that can be coded.

    Raises
    ------
    UnsupportedImageError
        Other than uint8 and uint16, too few axes, no samples, or channels that are not 1 to 4.
    """
    check_kind(len(shape), dtype, layout)
    if layout == "auto":
        layout = "hwc" if len(shape) > 2 and 1 <= shape[-1] <= _MAX_CHANNELS else "hw"
    axis = layout.find("c")
    if axis >= 0 and not 1 <= shape[axis - 3] <= _MAX_CHANNELS:
        raise UnsupportedImageError(
            f"chunk of shape {list(shape)} has {shape[axis - 3]} channels in layout {layout}, expected 1 to "
            f"{_MAX_CHANNELS}"
        )
    if not math.prod(shape):
        raise UnsupportedImageError(f"chunk of shape {list(shape)} has no samples")
    return layout


def encode(array: NDArray[Any], options: Options = _USUAL, *, threads: int = 1) -> bytes:
    """Return a chunk as bytes; the same chunk and options give the same bytes.

    Parameters
    ----------
    array : uint8 or uint16, two axes or more, of any byte order and memory layout.
    options : Options
    threads : int
        0 for all cores.

    Raises
    ------
    UnsupportedImageError
        See `check`.
    ModelMissingError, ModelError
        The model is not there, or damaged.

    Examples
    --------
    >>> stack = np.zeros((3, 4, 6), np.uint8)
    >>> np.array_equal(decode(encode(stack)), stack)
    True
    """
    layout = check(array.shape, array.dtype, options.layout)
    by_column = array.flags.f_contiguous and not array.flags.c_contiguous
    images = _images(array, layout)
    way, body = stacks.encode(images, options, threads=threads)
    head = [
        MAGIC,
        bytes([VERSION, way, _DTYPES.index(array.dtype)]),
        bytes([_LAYOUTS.index(layout) + _BY_COLUMN * by_column]),
        varint(array.ndim),
        *map(varint, array.shape),
        _digest(array),
    ]
    data = b"".join([*head, body])
    data += zlib.crc32(data).to_bytes(_CRC, "little")
    if options.verify:
        found = decode(data, model=options.model, threads=threads, limits=2**62)
        if found.dtype != array.dtype or not np.array_equal(found, array):
            raise BBCodecError("the chunk does not decode to its source; please report it")
    return data


def decode(
    data: Buffer,
    *,
    model: ModelLike | None = None,
    threads: int = 1,
    limits: Limits | int | None = None,
) -> NDArray[Any]:
    """Return the array that `encode` was given: shape, sample type, byte order, and memory layout.

    Parameters
    ----------
    data : bytes-like
    model : str, path or Model, optional
        A model to use, beside the installed ones, if the chunk names it.
    threads : int
        0 for all cores.
    limits : Limits or int, optional
        A number is the most pixels, all pictures together (2**30 if not given).

    Raises
    ------
    FormatError
        Not a sound chunk.
    LimitError
        More pixels than allowed.
    ModelMissingError
        The chunk needs a model that is not installed.
    """
    view = memoryview(data).cast("B")
    stored = int.from_bytes(view[-_CRC:], "little")
    if len(view) < _CRC or zlib.crc32(view[:-_CRC]) != stored:
        raise FormatError("chunk: the checksum does not match")
    reader = Reader(view[:-_CRC], "chunk")
    if bytes(reader.take(len(MAGIC), "magic")) != MAGIC or reader.u8("version") != VERSION:
        raise FormatError("chunk: magic or version is not that of a chunk of this release")
    way, kind, axes = reader.u8("way"), reader.u8("samples"), reader.u8("axes")
    code = axes & ~_BY_COLUMN
    if way not in (stacks.STACK, stacks.BATCH) or kind >= len(_DTYPES) or code >= len(_LAYOUTS):
        raise reader.error(f"way {way}, samples {kind} or axes {axes} are not defined")
    shape = _read_shape(reader)
    layout: Any = _LAYOUTS[code]
    try:
        check(shape, _DTYPES[kind], layout)
    except UnsupportedImageError as error:
        raise FormatError(f"chunk: {error}") from error
    bounds = Limits.of(limits)
    count, height, width, channels = _sizes(shape, layout)
    if count * height * width > bounds.max_pixels:
        raise LimitError(f"chunk of shape {list(shape)}, the limit is {bounds.max_pixels} pixels")
    digest = bytes(reader.take(_DIGEST, "digest"))
    body = reader.rest()
    sizes = (count, height, width, channels)
    images = stacks.decode(way, body, sizes, model=model, threads=threads, limits=bounds)
    if images.size != math.prod(shape) or images.dtype != _DTYPES[kind].newbyteorder("="):
        raise FormatError(f"chunk: pictures of {images.dtype} {list(images.shape)}, expected {list(shape)}")
    array = images.reshape(count, height, width, channels)
    array = (array.transpose(0, 3, 1, 2) if layout == "chw" else array).reshape(shape)
    if _digest(array) != digest:
        raise FormatError("chunk: the decoded samples have another checksum than the coded ones")
    return np.asarray(array, dtype=_DTYPES[kind], order="F" if axes & _BY_COLUMN else "C")


def _read_shape(reader: Reader) -> tuple[int, ...]:
    axes = reader.varint("number of axes")
    if axes > _MAX_AXES:
        raise reader.error(f"{axes} axes, expected at most {_MAX_AXES}")
    return tuple(reader.varint(f"length of axis {i}") for i in range(axes))


def _sizes(shape: tuple[int, ...], layout: str) -> tuple[int, int, int, int]:
    """Return pictures, height, width and channels."""
    sizes = dict(zip(layout, shape[-len(layout) :], strict=True))
    return math.prod(shape[: -len(layout)]), sizes["h"], sizes["w"], sizes.get("c", 1)


def _images(array: NDArray[Any], layout: str) -> NDArray[Any]:
    """Return the pictures as one contiguous array [N, H, W, C] in this machine's byte order."""
    count, height, width, channels = _sizes(array.shape, layout)
    if layout == "chw":
        array = np.moveaxis(array, -3, -1)
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return native.reshape(count, height, width, channels)


def _digest(array: NDArray[Any]) -> bytes:
    samples = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return hashlib.blake2b(samples.reshape(-1).view(np.uint8).data, digest_size=_DIGEST).digest()
