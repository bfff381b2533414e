# SPDX-License-Identifier: Apache-2.0
"""Code a stack of pictures ``[N, H, W, C]`` in the fewest bytes: as one batch, or as one picture.

`bbcodec.arrays.chunks` writes shapes and checksums around it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from bbcodec import classic
from bbcodec.arrays import plain, ranks
from bbcodec.bbfile import choose, decoder, encoder
from bbcodec.bbfile.encoder import Method
from bbcodec.container import MODEL_ID_SIZE, Limits, Reader
from bbcodec.errors import FormatError, ModelMissingError, OptionError
from bbcodec.families import batch
from bbcodec.families.family import family_of
from bbcodec.jobs import Execution
from bbcodec.modelfile.registry import DEFAULT_MODEL, ModelLike, deep_model_of
from bbcodec.modelfile.registry import find as find_model
from bbcodec.picture.picture import Picture

if TYPE_CHECKING:
    from bbcodec.modelfile import Model

__all__ = [
    "BATCH",
    "PLAIN",
    "PLANES",
    "RANKS",
    "STACK",
    "WAYS",
    "Layout",
    "Options",
    "decode",
    "decode_planes",
    "encode",
]

Layout: TypeAlias = Literal["auto", "hw", "hwc", "chw"]

STACK, BATCH, PLANES, PLAIN, RANKS = WAYS = 0, 1, 2, 3, 4
"""Ways: one ``.bb`` file of all pictures, one below the other; one batch (`bbcodec.families.batch`);
planes of an array of numbers (`bbcodec.arrays.deep`); bytes (`bbcodec.arrays.plain`); or the values, and one
of the first two ways for their ranks (`bbcodec.arrays.ranks`)."""

MAX_BITS_OF_LABELS: Final = 1.0
"""Bits of a sample as planes below which ranks are tried: areas of one value cost few."""

MAX_COLOURS: Final = 4
"""Channels of a picture in a file."""

_MODEL_ID_OFFSET: Final = 9  # bytes: the id follows magic and version of a batch


@dataclass(frozen=True)
class Options:
    """How to code chunks. The fields are JSON values if the model is given by name.

    Parameters
    ----------
    model : str, path or Model
        Name of a released model, id, or path of a ``.bbm`` file.
    method : {"auto", "learned", "classic"}
        As for `bbcodec.compress`.
    layout : {"auto", "hw", "hwc", "chw"}
        Axes of a picture. ``auto``: ``hwc`` if there are three or more axes and the last one has a length of
        1 to 4, else ``hw``.
    verify : bool
        Decode the result and compare every sample before it is returned.

    Raises
    ------
    OptionError
        A model, method, layout or verify that is not one of these.
    """

    model: ModelLike = DEFAULT_MODEL
    method: Method = "auto"
    layout: Layout = "auto"
    verify: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.model, str | os.PathLike) and not hasattr(self.model, "graph"):
            raise OptionError(f"model is {self.model!r}, expected a name or a path")
        for name, value, wanted in (
            ("method", self.method, get_args(Method)),
            ("layout", self.layout, get_args(Layout)),
            ("verify", self.verify, (True, False)),
        ):
            if value not in wanted:
                raise OptionError(f"{name} is {value!r}, expected one of {wanted}")


def encode(
    images: NDArray[Any], options: Options, *, planes: tuple[int, int] | None = None, threads: int = 1
) -> tuple[int, bytes]:
    """Return the way (one of `WAYS`) and the bytes of pictures ``[N, H, W, C]``.

    Samples of other types than uint8, and all with a model of the family ``deep``, are coded as planes, or
    as bytes if that is smaller. The classic method codes uint8 and uint16 as one picture, others as bytes.

    Several pictures are coded as a batch if a batch can hold them, else as one picture. For ``auto``,
    pictures that look like graphics are coded as one picture, as are those whose batch would be larger; and
    pictures that are like the ones before them are coded as planes if that is smaller.

    Parameters
    ----------
    images : pictures, in native byte order.
    options : Options
    planes : frames, and pictures of a frame, if not every picture is a frame.
    threads : number of threads.

    Raises
    ------
    ModelMissingError, ModelError
        The model is missing or damaged.
    """
    count, channels = images.shape[0], images.shape[3]
    frames = planes or (count, 1)
    is_picture = images.dtype == np.uint8 or (options.method == "classic" and images.dtype == np.uint16)
    if not is_picture or channels > MAX_COLOURS or _is_deep(options):
        return _encode_numbers(images, options, frames, threads)
    way, body = _encode_pictures(images, options, threads)
    if options.method == "auto" and _are_alike(_frames(images, frames)):
        other = _encode_planes(images, options, frames, threads)
        if len(other) < len(body):
            return PLANES, other
    return way, body


def _are_alike(frames: NDArray[Any]) -> bool:
    from bbcodec.families.deep.choices import frames_are_alike  # late: `import bbcodec` stays light

    return frames_are_alike(frames)


def _is_deep(options: Options) -> bool:
    """Return whether the model codes numbers and no pictures."""
    if options.method == "classic" or options.model == DEFAULT_MODEL:
        return False
    return family_of(find_model(options.model)).deep


def _encode_numbers(
    images: NDArray[Any], options: Options, frames: tuple[int, int], threads: int
) -> tuple[int, bytes]:
    """Return the way (`PLANES`, `PLAIN` or `RANKS`) and the bytes of samples of any type."""
    if options.method == "classic" or not _are_bits(images):
        return PLAIN, plain.encode(images)
    found = _encode_planes(images, options, frames, threads)
    if options.method != "auto":
        return PLANES, found
    ways = [(PLANES, found)]
    repeats = plain.may_win(images, len(found))
    if repeats:
        ways.append((PLAIN, plain.encode(images)))
    is_flat = 8 * len(found) < MAX_BITS_OF_LABELS * images.size
    may_be_ranked = (repeats or is_flat) and images.shape[3] <= MAX_COLOURS and not _is_deep(options)
    for table, ranked in ranks.ranks(images) if may_be_ranked else ():
        way, body = _encode_pictures(ranked, options, threads)
        ways.append((RANKS, ranks.pack(table) + bytes([way]) + body))
    return min(ways, key=lambda way: len(way[1]))


def _are_bits(images: NDArray[Any]) -> bool:
    """Return whether bool samples are 0 and 1 in memory too; true for samples of other types."""
    return images.dtype != np.bool_ or not (images.view(np.uint8) > 1).any()


def _encode_pictures(images: NDArray[Any], options: Options, threads: int) -> tuple[int, bytes]:
    """Return the way (`STACK` or `BATCH`) and the bytes of pictures of at most 4 channels."""
    count, height, width, channels = images.shape
    stack = images.reshape(count * height, width, channels)
    if options.method == "classic":
        return STACK, _file(stack, options, "classic", threads)
    if count < 2 or channels not in (1, 3) or images.dtype != np.uint8:
        return STACK, _file(stack, options, options.method, threads)
    model = find_model(options.model)
    if max(height, width) > family_of(model).max_side:
        return STACK, _file(stack, options, options.method, threads)
    is_auto = options.method == "auto"
    if is_auto and choose.flat_share(stack) > choose.MAX_FLAT_SHARE:
        return STACK, _file(stack, options, "auto", threads)
    found = batch.encode(list(images), model, Execution(threads))
    if is_auto and len(found) > choose.STACK_COMPARE_ABOVE_QUICK_WEBP * classic.webp_size(
        stack, quick=True, threads=1
    ):
        other = _file(stack, options, "classic", threads)
        if len(other) < len(found):
            return STACK, other
    return BATCH, found


def _encode_planes(images: NDArray[Any], options: Options, planes: tuple[int, int], threads: int) -> bytes:
    from bbcodec.arrays import deep

    given = find_model(options.model)
    model = given if family_of(given).deep else find_model(deep_model_of(options.model))
    channels = images.shape[3]
    array = _frames(images, planes)
    return deep.encode(array, model, Execution(threads), colours=channels if channels > 1 else array.shape[1])


def _frames(images: NDArray[Any], planes: tuple[int, int]) -> NDArray[Any]:
    """Return pictures ``[N, H, W, C]`` as frames ``[T, C, H, W]``."""
    _, height, width, channels = images.shape
    frames, each = planes
    if channels > 1:
        return np.moveaxis(images, 3, 1)
    return np.moveaxis(images.reshape(each, frames, height, width), 0, 1)


def decode_planes(
    reader: Reader,
    sizes: tuple[int, int, int, int],
    dtype: np.dtype[Any],
    *,
    planes: tuple[int, int],
    model: ModelLike | None = None,
    threads: int = 1,
) -> NDArray[Any]:
    """Return pictures that were coded as planes, ``[N, H, W, C]``; see `decode` and `encode`."""
    from bbcodec.arrays import deep

    count, height, width, channels = sizes
    frames, each = planes
    shape = (count, channels, height, width) if channels > 1 else (frames, each, height, width)
    array = deep.decode(reader, shape, dtype, _available(model), Execution(threads))
    if channels > 1:
        return np.moveaxis(array, 1, 3)
    return np.moveaxis(array, 1, 0).reshape(sizes)


def decode_ranks(
    reader: Reader,
    sizes: tuple[int, int, int, int],
    dtype: np.dtype[Any],
    *,
    model: ModelLike | None = None,
    threads: int = 1,
    limits: Limits | None = None,
) -> NDArray[Any]:
    """Return pictures that were coded as ranks of values, in the order of ``[N, H, W, C]``; see `decode`."""
    table = ranks.unpack(reader, dtype)
    way = reader.u8("way of the ranks")
    if way not in (STACK, BATCH):
        raise reader.error(f"way {way} of the ranks is not defined")
    found = decode(way, reader.rest(), sizes, model=model, threads=threads, limits=limits)
    if found.dtype != np.uint8:
        raise FormatError(f"chunk: ranks of {found.dtype}")
    return ranks.values(table, found)


def _file(stack: NDArray[Any], options: Options, method: Method, threads: int) -> bytes:
    how = encoder.Options(method, options.model)
    return encoder.encode(Picture.of(stack), how, Execution(threads))


def decode(
    way: int,
    body: memoryview,
    sizes: tuple[int, int, int, int],
    *,
    model: ModelLike | None = None,
    threads: int = 1,
    limits: Limits | None = None,
) -> NDArray[Any]:
    """Return the samples of coded pictures in the order of ``[N, H, W, C]``, in any shape.

    Parameters
    ----------
    way : STACK or BATCH
    body : the bytes that `encode` returned.
    sizes : number of pictures, height, width and channels. The caller checks them against the limits.
    model, threads, limits : as for `bbcodec.arrays.chunks.decode`.

    Raises
    ------
    FormatError, LimitError, ModelMissingError
        As for `bbcodec.arrays.chunks.decode`.
    """
    given = _available(model)
    if way == BATCH:
        return _decode_batch(body, sizes, given, threads, limits)
    count, height, width, _ = sizes
    picture = decoder.decode(body, Execution(threads), limits=limits, model=given).array
    if picture.shape[:2] != (count * height, width):
        raise FormatError(
            f"chunk: a picture of shape {list(picture.shape)}, expected {count} of {height} x {width}"
        )
    return picture


def _available(model: ModelLike | None) -> Model | None:
    """Return a model, or None if it is missing: the chunk may need another one, or none."""
    try:
        return None if model is None else find_model(model)
    except ModelMissingError:
        return None


def _decode_batch(
    body: memoryview,
    sizes: tuple[int, int, int, int],
    given: Model | None,
    threads: int,
    limits: Limits | None,
) -> NDArray[np.uint8]:
    """Decode a batch, and check the number and shapes of its pictures."""
    if len(body) < _MODEL_ID_OFFSET + MODEL_ID_SIZE:
        raise FormatError(f"chunk: a batch of {len(body)} bytes is cut off")
    wanted = bytes(body[_MODEL_ID_OFFSET : _MODEL_ID_OFFSET + MODEL_ID_SIZE]).hex()
    found = given if given is not None and given.id == wanted else find_model(wanted)
    pictures = batch.decode(bytes(body), found, Execution(threads), limits=limits)
    count, *shape = sizes
    if len(pictures) != count or any(list(picture.shape) != shape for picture in pictures):
        raise FormatError(f"chunk: the batch does not hold {count} pictures of {shape}")
    return np.stack(pictures)
