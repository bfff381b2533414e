# SPDX-License-Identifier: Apache-2.0
"""Chunks of image arrays as bytes: what the codecs for numcodecs and Zarr share.

A chunk is one picture or a stack of equal ones: the leading axes count pictures, the last two or three are the
picture's. Layout, little-endian, nothing behind it:

====== =====================================================================
bytes  field
====== =====================================================================
8      magic ``89 42 42 4B 0D 0A 1A 0A``
1      version, 0
1      way: 0 one ``.bb`` file of all pictures, one below the other; 1 one batch (`bbcodec.batch`)
1      samples: 0 uint8, 1 uint16, 2 uint16 with the high byte first
1      axes: 0 ``[..., H, W]``, 1 ``[..., H, W, C]``, 2 ``[..., C, H, W]``; plus 16 if stored column by column
...    varint: number of axes, then the length of each
8      BLAKE2b of the samples in row-major order, 16-bit ones with the low byte first
...    the file or batch
4      CRC-32 of all before it
====== =====================================================================

Provisional, as the batch is. What numcodecs or Zarr want around it must not be known here.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from bbcodec import api, choose, classic
from bbcodec.container import MODEL_ID_SIZE, Buffer, Limits, Reader, varint
from bbcodec.errors import (
    BBCodecError,
    FormatError,
    LimitError,
    ModelMissingError,
    OptionError,
    UnsupportedImageError,
)
from bbcodec.models_at_hand import DEFAULT_MODEL, ModelLike, load

if TYPE_CHECKING:
    from bbcodec.modelfile import Model

__all__ = ["Layout", "Options", "decode", "encode"]

Layout: TypeAlias = Literal["auto", "hw", "hwc", "chw"]

MAGIC: Final = b"\x89BBK\r\n\x1a\n"
VERSION: Final = 0
_STACK, _BATCH = 0, 1
_DTYPES: Final = tuple(map(np.dtype, ("|u1", "<u2", ">u2")))
_LAYOUTS: Final = ("hw", "hwc", "chw")
_BY_COLUMN: Final = 16
_MAX_AXES: Final = 32
_MAX_CHANNELS: Final = 4
_DIGEST: Final = 8
_CRC: Final = 4
_MODEL_AT: Final = 9  # of the id in a batch, behind magic and version
# Share of neighbours that are equal, from which on a model is not worth trying (as in `bbcodec.choose`).
_GRAPHICS_SHARE: Final = 0.5
# A batch above this part of the size that WebP takes at its quickest is compared with the classic method.
_POOR: Final = 0.8


@dataclass(frozen=True)
class Options:
    """How chunks are coded; the fields are JSON values if the model is given by name.

    Parameters
    ----------
    model : str, path or Model
        Released name, id, or path of a ``.bbm`` file.
    method : {"auto", "learned", "classic"}
        As for `bbcodec.compress`.
    layout : {"auto", "hw", "hwc", "chw"}
        Which axes are a picture's; ``auto``: ``hwc`` if there are three or more and the last has a length of
        1 to 4, else ``hw``.
    verify : bool
        Decode what was coded and compare every sample, before it is handed out.

    Raises
    ------
    OptionError
        A method or layout that does not exist.
    """

    model: ModelLike = DEFAULT_MODEL
    method: api.Method = "auto"
    layout: Layout = "auto"
    verify: bool = True

    def __post_init__(self) -> None:
        for name, value, wanted in (
            ("method", self.method, get_args(api.Method)),
            ("layout", self.layout, get_args(Layout)),
            ("verify", self.verify, (True, False)),
        ):
            if value not in wanted:
                raise OptionError(f"{name} is {value!r}, expected one of {wanted}")


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


def encode(array: NDArray[Any], options: Options = Options(), *, threads: int = 1) -> bytes:  # noqa: B008
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
    way, body = _smallest(images, options, threads)
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
            raise BBCodecError(
                "the chunk does not decode to its source; nothing was written; please report it"
            )
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
    if way not in (_STACK, _BATCH) or kind >= len(_DTYPES) or code >= len(_LAYOUTS):
        raise reader.error(f"way {way}, samples {kind} or axes {axes} are not defined")
    shape = _read_shape(reader)
    layout: Any = _LAYOUTS[code]
    try:
        check(shape, _DTYPES[kind], layout)
    except UnsupportedImageError as error:
        raise FormatError(f"chunk: {error}") from error
    bounds, given = Limits.of(limits), _at_hand(model)
    count, height, width, channels = _sizes(shape, layout)
    if count * height * width > bounds.max_pixels:
        raise LimitError(f"chunk of shape {list(shape)}, the limit is {bounds.max_pixels} pixels")
    digest = bytes(reader.take(_DIGEST, "digest"))
    body = reader.rest()
    if way == _BATCH:
        images = _decode_batch(body, (count, height, width, channels), given, threads, bounds)
    else:
        images = api.decompress(body, model=given, threads=threads, limits=bounds)
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


def _smallest(images: NDArray[Any], options: Options, threads: int) -> tuple[int, bytes]:
    """Return the way and the bytes of pictures [N, H, W, C].

    A batch is taken where it can hold the pictures and there are several. Else, and for ``auto`` where the
    pictures look like graphics or the batch comes out large, they are coded as one picture.
    """
    count, height, width, channels = images.shape
    stack = images.reshape(count * height, width, channels)
    if options.method == "classic":
        return _STACK, _file(stack, options, "classic", threads)
    if count < 2 or channels not in (1, 3) or images.dtype != np.uint8:
        return _STACK, _file(stack, options, options.method, threads)
    model = load(options.model)
    from bbcodec import batch

    if max(height, width) > batch.max_side(model):
        return _STACK, _file(stack, options, options.method, threads)
    automatic = options.method == "auto"
    if automatic and choose.flat_share(stack) > _GRAPHICS_SHARE:
        return _STACK, _file(stack, options, "classic", threads)
    found = batch.encode(list(images), model, threads=api.thread_count(threads))
    if automatic and len(found) > _POOR * classic.webp_size(stack, quick=True, threads=1):
        other = _file(stack, options, "classic", threads)
        if len(other) < len(found):
            return _STACK, other
    return _BATCH, found


def _file(stack: NDArray[Any], options: Options, method: api.Method, threads: int) -> bytes:
    return api.compress(stack, method=method, model=options.model, threads=threads, verify=False)


def _at_hand(model: ModelLike | None) -> Model | None:
    """Return a model, or None if it is not there: the chunk may need another one, or none."""
    try:
        return None if model is None else load(model)
    except ModelMissingError:
        return None


def _decode_batch(
    body: memoryview,
    sizes: tuple[int, int, int, int],
    given: Model | None,
    threads: int,
    limits: Limits,
) -> NDArray[np.uint8]:
    from bbcodec import batch

    if len(body) < _MODEL_AT + MODEL_ID_SIZE:
        raise FormatError(f"chunk: a batch of {len(body)} bytes is cut off")
    wanted = bytes(body[_MODEL_AT : _MODEL_AT + MODEL_ID_SIZE]).hex()
    found = given if given is not None and given.id == wanted else load(wanted)
    pictures = batch.decode(bytes(body), found, threads=api.thread_count(threads), limits=limits)
    count, *shape = sizes
    if len(pictures) != count or any(list(picture.shape) != shape for picture in pictures):
        raise FormatError(f"chunk: the batch does not hold {count} pictures of {shape}")
    return np.stack(pictures)
