# SPDX-License-Identifier: Apache-2.0
"""Encode chunks of image arrays as bytes, and decode them; the codecs for numcodecs and Zarr share this.

A chunk is a picture or a stack of pictures of equal shape: the leading axes count pictures, the last two or
three are the picture's (docs/format.md, "Chunks"). Nothing here knows numcodecs or Zarr.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.arrays import plain, stacks
from bbcodec.arrays.numbers import DTYPES
from bbcodec.arrays.stacks import Layout, Options
from bbcodec.container import Buffer, Limits, Reader, varint
from bbcodec.errors import BBCodecError, FormatError, LimitError, UnsupportedImageError
from bbcodec.modelfile.registry import ModelLike

__all__ = ["Layout", "Options", "axes_of", "check", "check_kind", "decode", "encode", "is_sound", "way_of"]

MAGIC: Final = b"\x89BBK\r\n\x1a\n"
VERSION: Final = 1
_DEFAULT_OPTIONS: Final = Options()
_LAYOUTS: Final = ("hw", "hwc", "chw")
_BY_COLUMN: Final = 16  # bit of the layout byte: the array is in column-major order
_MAX_AXES: Final = 32
_PICTURES: Final = 3  # types of samples that files and batches of pictures have
_MAX_CHANNELS: Final = 4096
_DIGEST_BYTES: Final = 8
_CRC_BYTES: Final = 4


def check_kind(axes: int, dtype: np.dtype[Any], layout: Layout = "auto") -> None:
    """Raise `UnsupportedImageError` unless samples are numbers and the number of axes is allowed."""
    if dtype not in DTYPES:
        raise UnsupportedImageError(
            f"chunk of {dtype} samples, expected bool, or integers or floats of 8 to 64 bits"
        )
    named = "hw" if layout == "auto" else layout
    if not len(named) <= axes <= _MAX_AXES:
        raise UnsupportedImageError(
            f"chunk of {axes} axes, expected {len(named)} to {_MAX_AXES}: [..., {', '.join(named.upper())}]"
        )


def check(shape: tuple[int, ...], dtype: np.dtype[Any], layout: Layout = "auto") -> str:
    """Return the layout of an array, if it can be coded.

    Raises
    ------
    UnsupportedImageError
        The samples are no numbers, the number of axes is wrong, there are more than 4,096 channels, or no
        samples.
    """
    check_kind(len(shape), dtype, layout)
    if layout == "auto":
        layout = "hwc" if len(shape) > 2 and 1 <= shape[-1] <= stacks.MAX_COLOURS else "hw"
    axis = layout.find("c")
    if axis >= 0 and not 1 <= shape[axis - 3] <= _MAX_CHANNELS:
        raise UnsupportedImageError(
            f"chunk of shape {list(shape)} has {shape[axis - 3]} channels in layout {layout}, expected 1 to "
            f"{_MAX_CHANNELS}"
        )
    if not math.prod(shape):
        raise UnsupportedImageError(f"chunk of shape {list(shape)} has no samples")
    return layout


def encode(array: NDArray[Any], options: Options = _DEFAULT_OPTIONS, *, threads: int = 1) -> bytes:
    """Return the bytes of a chunk; the same chunk and options give the same bytes.

    Parameters
    ----------
    array : bool, integers or floats, two axes or more, of any byte order and memory layout.
    options : Options
    threads : int
        Number of threads; 0 for one for each core.

    Raises
    ------
    UnsupportedImageError
        As for `check`.
    ModelMissingError, ModelError
        The model is missing or damaged.
    BBCodecError
        With ``options.verify``: the chunk does not decode to the array.

    Examples
    --------
    >>> stack = np.zeros((3, 4, 6), np.uint8)
    >>> np.array_equal(decode(encode(stack)), stack)
    True
    """
    layout = check(array.shape, array.dtype, options.layout)
    by_column = array.flags.f_contiguous and not array.flags.c_contiguous
    images = _images(array, layout)
    way, body = stacks.encode(images, options, planes=_planes(array.shape, layout), threads=threads)
    head = [
        MAGIC,
        bytes([VERSION, way, DTYPES.index(array.dtype)]),
        bytes([_LAYOUTS.index(layout) + _BY_COLUMN * by_column]),
        varint(array.ndim),
        *map(varint, array.shape),
        _digest(array),
    ]
    data = b"".join([*head, body])
    data += zlib.crc32(data).to_bytes(_CRC_BYTES, "little")
    if options.verify:
        found = decode(data, model=options.model, threads=threads, limits=2**62)
        if found.dtype != array.dtype or found.shape != array.shape or _digest(found) != _digest(array):
            raise BBCodecError("the chunk does not decode to its source; please report it")
    return data


def decode(
    data: Buffer,
    *,
    model: ModelLike | None = None,
    threads: int = 1,
    limits: Limits | int | None = None,
) -> NDArray[Any]:
    """Return the array of a chunk with its shape, sample type, byte order and memory layout.

    Parameters
    ----------
    data : bytes-like
    model : str, path or Model, optional
        A model to use besides the installed ones, if the chunk names it.
    threads : int
        Number of threads; 0 for one for each core.
    limits : Limits or int, optional
        A number is the limit of pixels of all pictures together (2**30 if not given).

    Raises
    ------
    FormatError
        The bytes are not a chunk, or a damaged one.
    LimitError
        The chunk has more pixels than allowed.
    ModelMissingError
        The chunk needs a model that is not installed.
    """
    view = memoryview(data).cast("B")
    if not is_sound(view):
        raise FormatError("chunk: the checksum does not match")
    reader = Reader(view[:-_CRC_BYTES], "chunk")
    if bytes(reader.take(len(MAGIC), "magic")) != MAGIC or reader.u8("version") != VERSION:
        raise FormatError(f"chunk: the magic or version is not that of chunks of version {VERSION}")
    way, kind, axes = reader.u8("way"), reader.u8("samples"), reader.u8("axes")
    code = axes & ~_BY_COLUMN
    if way not in stacks.WAYS or kind >= len(DTYPES) or code >= len(_LAYOUTS):
        raise reader.error(f"way {way}, samples {kind} or axes {axes} are not defined")
    shape = _read_shape(reader)
    layout: Any = _LAYOUTS[code]
    try:
        check(shape, DTYPES[kind], layout)
    except UnsupportedImageError as error:
        raise FormatError(f"chunk: {error}") from error
    bounds = Limits.of(limits)
    count, height, width, channels = _sizes(shape, layout)
    if count * height * width > bounds.max_pixels:
        raise LimitError(f"chunk of shape {list(shape)}, the limit is {bounds.max_pixels} pixels")
    digest = bytes(reader.take(_DIGEST_BYTES, "digest"))
    body = reader.rest()
    sizes = (count, height, width, channels)
    if way == stacks.PLANES:
        body_reader = Reader(body, "chunk")
        images = stacks.decode_planes(
            body_reader, sizes, DTYPES[kind], planes=_planes(shape, layout), model=model, threads=threads
        )
    elif way == stacks.PLAIN:
        images = plain.decode(Reader(body, "chunk"), math.prod(sizes), DTYPES[kind])
    elif way == stacks.RANKS:
        reader = Reader(body, "chunk")
        images = stacks.decode_ranks(reader, sizes, DTYPES[kind], model=model, threads=threads, limits=bounds)
    elif kind >= _PICTURES:
        raise FormatError(f"chunk: way {way} with samples of {DTYPES[kind]}")
    else:
        images = stacks.decode(way, body, sizes, model=model, threads=threads, limits=bounds)
    if images.size != math.prod(shape) or images.dtype.newbyteorder("=") != DTYPES[kind].newbyteorder("="):
        raise FormatError(f"chunk: pictures of {images.dtype} {list(images.shape)}, expected {list(shape)}")
    array = images.reshape(count, height, width, channels)
    array = (array.transpose(0, 3, 1, 2) if layout == "chw" else array).reshape(shape)
    if _digest(array) != digest:
        raise FormatError("chunk: the checksum of the decoded samples does not match")
    return np.asarray(array, dtype=DTYPES[kind], order="F" if axes & _BY_COLUMN else "C")


def is_sound(data: Buffer) -> bool:
    """Return whether the checksum of a chunk is right."""
    view = memoryview(data).cast("B")
    stored = int.from_bytes(view[-_CRC_BYTES:], "little")
    return len(view) >= _CRC_BYTES and zlib.crc32(view[:-_CRC_BYTES]) == stored


def way_of(data: Buffer) -> int:
    """Return the way of a chunk (`bbcodec.arrays.stacks.WAYS`), or 255 if it is cut off."""
    view = memoryview(data).cast("B")
    return view[len(MAGIC) + 1] if len(view) > len(MAGIC) + 1 else 255


def axes_of(data: Buffer) -> int:
    """Return the number that stands for the axes of a chunk, or 255 if it is cut off."""
    view = memoryview(data).cast("B")
    return view[len(MAGIC) + 3] if len(view) > len(MAGIC) + 3 else 255


def _read_shape(reader: Reader) -> tuple[int, ...]:
    """Read the number of axes and their lengths."""
    axes = reader.varint("number of axes")
    if axes > _MAX_AXES:
        raise reader.error(f"{axes} axes, expected at most {_MAX_AXES}")
    return tuple(reader.varint(f"length of axis {i}") for i in range(axes))


def _sizes(shape: tuple[int, ...], layout: str) -> tuple[int, int, int, int]:
    """Return the number of pictures, the height, the width and the channels."""
    sizes = dict(zip(layout, shape[-len(layout) :], strict=True))
    return math.prod(shape[: -len(layout)]), sizes["h"], sizes["w"], sizes.get("c", 1)


def _planes(shape: tuple[int, ...], layout: str) -> tuple[int, int]:
    """Return how many frames a stack of pictures has, and how many pictures follow each other in a frame.

    Only pictures of one channel have several: the last of the leading axes counts frames (slices of a volume,
    or times), and the others count channels.
    """
    count, _, _, channels = _sizes(shape, layout)
    frames = shape[-3] if layout == "hw" and len(shape) > len(layout) else count
    return (frames, count // frames) if channels == 1 and count // frames <= _MAX_CHANNELS else (count, 1)


def _images(array: NDArray[Any], layout: str) -> NDArray[Any]:
    """Return the pictures as one contiguous array ``[N, H, W, C]`` in native byte order."""
    count, height, width, channels = _sizes(array.shape, layout)
    if layout == "chw":
        array = np.moveaxis(array, -3, -1)
    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return native.reshape(count, height, width, channels)


def _digest(array: NDArray[Any]) -> bytes:
    """Return the checksum of the samples, which does not depend on byte order and memory layout."""
    samples = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return hashlib.blake2b(samples.reshape(-1).view(np.uint8).data, digest_size=_DIGEST_BYTES).digest()
