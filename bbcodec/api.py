# SPDX-License-Identifier: Apache-2.0
"""The functions of ``import bbcodec``: `compress`, `decompress`, `read`, `write` and others.

Here options are checked. `bbcodec.bbfile` does the work.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bbcodec.arrays import files as array_files
from bbcodec.arrays import formats as array_formats
from bbcodec.arrays import info as array_info
from bbcodec.arrays.head import is_array_file
from bbcodec.arrays.info import ArrayInfo
from bbcodec.arrays.reader import ArrayFile
from bbcodec.arrays.stacks import Options as ArrayOptions
from bbcodec.bbfile import encoder, metadata_sections
from bbcodec.bbfile.cost_map import cost_map as count_costs
from bbcodec.bbfile.decoder import decode
from bbcodec.bbfile.encoder import Fitting, Method, Options, Stop
from bbcodec.bbfile.info import Info
from bbcodec.bbfile.info import info as describe
from bbcodec.bbfile.salvage import Salvaged
from bbcodec.bbfile.salvage import salvage as salvage_file
from bbcodec.container import MAGIC, MAX_PIXELS, Buffer, Limits
from bbcodec.errors import BBCodecError, FormatError, OptionError, UnsupportedImageError
from bbcodec.jobs import Execution, Progress
from bbcodec.modelfile.registry import DEFAULT_MODEL, FITTED_MODEL, ModelLike
from bbcodec.picture import files
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import Picture, PictureLike
from bbcodec.picture.region import Region
from bbcodec.storage.atomic import atomic_write

__all__ = [
    "Method",
    "compress",
    "cost_map",
    "decompress",
    "decompress_image",
    "decompress_picture",
    "info",
    "read",
    "read_image",
    "salvage",
    "write",
]

Source: TypeAlias = Buffer | str | os.PathLike[str]
"""The bytes of a ``.bb`` file, or its path."""


def compress(
    image: PictureLike | str | os.PathLike[str],
    *,
    method: Method = "auto",
    model: ModelLike | None = None,
    embed_model: bool = False,
    metadata: Metadata | Mapping[str, Any] | None = None,
    keep_metadata: bool = True,
    threads: int = 0,
    backend: str | None = None,
    verify: bool = True,
    progress: Progress | None = None,
    fit: float | None = None,
    seed: int = 0,
    stop: Stop | None = None,
    recovery: float | None = None,
    on_verified: Callable[[float], None] | None = None,
    axes: str | None = None,
    group: int | None = None,
) -> bytes:
    """Compress a picture or an array without loss and return the bytes of a ``.bb`` file.

    The same picture and options give the same bytes, whatever the number of threads and the backend.

    Parameters
    ----------
    image : PIL.Image.Image, ndarray, Picture or path
        Array: uint8 or uint16 ``[H, W]`` or ``[H, W, C]`` with C = 1..4, or bool ``[H, W]``, is a picture.
        Any other array of numbers, or one with `axes`, becomes an array file. Pillow image: mode 1, P, L, LA,
        RGB, RGBA, I;16 or I;16B. Picture: the result of `read_image`. Path: an image file; or a file of
        NumPy, DICOM, NIfTI, FITS or of several TIFF pages, which `ArrayFile.original` gives back.
    method : {"auto", "learned", "classic"}
        ``learned``: a model. ``classic``: WebP and other lossless coders. ``auto``: the better of the two.
    model : str, path or Model
        Name of a released model, id, path of a ``.bbm`` file, or a loaded model. Default: ``standard``; with
        `fit` it is ``photo``, as models of the family `loglinear` cannot be fitted.
    embed_model : bool
        Put the model file into the result, if the learned method is used.
    metadata : Metadata or mapping, optional
        Fields that replace those of the picture: icc, exif, xmp (bytes), dpi, text, colour_key.
    keep_metadata : bool
        False drops the picture's own metadata, except what says what the samples mean
        (`Metadata.essential`).
    threads : int
        Number of threads; 0 is one for each core.
    backend : str, optional
        numpy, numba or native. Default: the fastest.
    verify : bool
        Decode the result and compare every sample before it is returned.
    progress : callable, optional
        Called with (parts done, parts in all) by the fit, then by the learned method.
    fit : float, optional
        Seconds (of one core of 2.5 GHz) to fit the model to this picture. The changes are stored in the file
        if they make it smaller. Needs the extra ``train``. The result depends on the seconds and the seed,
        not on the clock.
    seed : int
        Seed of the fit.
    stop : context manager, optional
        Entered during the fit. It returns a callable, which the fit calls regularly; if that returns true,
        the fit ends with its best result so far.
    recovery : float, optional
        Percent of the file's sectors of 512 bytes, 0.01 to 50. If as many are lost, wherever they lie,
        `salvage` repairs them. The file grows by that and about 2 percent more. Default: none.
    on_verified : callable, optional
        Called with the seconds that the verification took.
    axes : str, optional
        Letters for the axes of an array, such as ``zyx``: ``y`` and ``x`` are rows and columns, ``c`` or
        ``s`` channels; other letters count planes. They decide how well it is compressed, not what comes
        back. Default: ``yxs`` for three axes of which the last is at most 4 long, else the last ones of
        ``tczyx``.
    group : int, optional
        Planes of an array that are coded together (default 16): any plane is read by decoding no more.

    Raises
    ------
    UnsupportedImageError
        The picture cannot be kept exactly, or the array holds no numbers.
    OptionError
        An option does not exist or does not suit the picture.
    ModelMissingError, ModelError
        The model is missing or damaged.
    FormatError, LimitError, OSError
        As for `read_image`, if `image` is a path.
    BBCodecError
        The result does not decode to the picture.

    Examples
    --------
    >>> import numpy as np
    >>> picture = np.zeros((4, 6, 3), np.uint8)
    >>> data = compress(picture)
    >>> data[:4], np.array_equal(decompress(data), picture)
    (b'\\x89BBC', True)
    """
    execution = Execution(threads, backend, progress)
    source = _picture_of(image, axes, group)
    if not isinstance(source, Picture):
        if embed_model or metadata is not None or not keep_metadata or fit is not None or recovery:
            raise OptionError(
                "embed_model, metadata, keep_metadata, fit and recovery are for pictures, not for arrays"
            )
        how = ArrayOptions(model or DEFAULT_MODEL, method, verify=verify)
        return _compress_arrays(source, how, execution, axes, group)
    fitting = None if fit is None else Fitting(fit, seed, stop)
    if model is None:
        model = DEFAULT_MODEL if fit is None else FITTED_MODEL
    options = Options(method, model, embed_model, fitting, recovery or 0)
    picture = source
    kept = picture.metadata if keep_metadata else picture.metadata.essential()
    picture = replace(picture, metadata=kept.updated(Metadata.of(metadata)))
    if wrong := picture.metadata.problem(picture.mode):
        raise OptionError(f"metadata: {wrong}")
    metadata_sections.check_size(picture.metadata)
    data = encoder.encode(picture, options, execution)
    if verify:
        began = time.perf_counter()
        encoder.verify(data, picture, options, Execution(threads, backend))
        if on_verified is not None:
            on_verified(time.perf_counter() - began)
    return data


def _compress_arrays(
    source: NDArray[Any] | str | os.PathLike[str],
    how: ArrayOptions,
    execution: Execution,
    axes: str | None,
    group: int | None,
) -> bytes:
    """Return the array file of an array, or of the arrays of a file."""
    if isinstance(source, np.ndarray):
        return array_files.compress_array(source, how, execution, axes=axes, group=group)
    with _named(source) as content:
        name = os.fspath(source)
        return array_files.compress_file(bytes(content), name, how, execution, axes=axes, group=group)[0]


def _picture_of(
    image: PictureLike | str | os.PathLike[str], axes: str | None, group: int | None
) -> Picture | NDArray[Any] | str | os.PathLike[str]:
    """Return a picture; or an array, or the path of a file of arrays, that is to be compressed as such."""
    if isinstance(image, np.ndarray):
        colours = 1 if image.ndim == 2 else image.shape[2] if image.ndim == 3 else 0
        kinds = (np.uint8, np.uint16, np.bool_) if image.ndim == 2 else (np.uint8, np.uint16)
        is_picture = image.size > 0 and image.dtype in kinds and 1 <= colours <= 4
        return Picture.of(image) if is_picture and axes is None and group is None else image
    if not isinstance(image, str | os.PathLike):
        return Picture.of(image)
    with open(image, "rb") as file:
        head = file.read(array_formats.HEAD_BYTES)
    if array_formats.holds_arrays(head, os.fspath(image)):
        return image
    try:
        return read_image(image)
    except UnsupportedImageError:
        if array_formats.format_of(head) is None:
            raise
        return image  # a TIFF file that is no picture


def decompress(
    data: Source,
    *,
    threads: int = 0,
    backend: str | None = None,
    limits: Limits | int | None = None,
    model: ModelLike | None = None,
    progress: Progress | None = None,
    region: Region | None = None,
) -> NDArray[Any]:
    """Return the pixels of a ``.bb`` file: bool, uint8 or uint16, ``[H, W]`` or ``[H, W, C]``.

    The pixels of a palette picture are its indices; `decompress_picture` returns the palette too. Of an array
    file it returns the array as it was; `ArrayFile` reads parts of one, and files of several arrays.

    Parameters
    ----------
    data : bytes-like or path
        A complete file.
    threads : int
        Number of threads; 0 is one for each core.
    backend : str, optional
        numpy, numba or native. The pixels do not depend on it.
    limits : Limits or int, optional
        Limits of pixels, metadata and memory; a number is the largest width * height (default 2**30).
    model : str, path or Model, optional
        A model to use besides the installed ones, if the file names it.
    progress : callable, optional
        Called with (parts done, parts in all) by the learned method.
    region : (x, y, width, height), optional
        Part of the picture to return, in pixels. Only the tiles that it needs are decoded. The checksums of
        the file's bytes are verified then, but not that of the pixels.

    Raises
    ------
    FormatError
        The data is not a ``.bb`` file, or a damaged one.
    LimitError
        The picture exceeds a limit.
    ModelMissingError
        The file needs a model that is neither embedded nor installed.
    OptionError
        An option does not exist, or the region is not within the picture.
    OSError
        The file cannot be read.
    """
    with _named(data) as content:
        if is_array_file(content):
            execution = Execution(threads, backend, progress)
            with ArrayFile(content, limits=limits, model=model, execution=execution) as file:
                return array_files.decompress(file, region)
    return decompress_picture(
        data,
        threads=threads,
        backend=backend,
        limits=limits,
        model=model,
        progress=progress,
        region=region,
    ).array


def decompress_image(data: Source, **options: Any) -> Image.Image:
    """Return the Pillow image of a ``.bb`` file: same mode, pixels and palette, metadata in ``info``.

    Options are those of `decompress`.

    Raises
    ------
    UnsupportedImageError
        The picture has 16-bit LA, RGB or RGBA samples, for which Pillow has no mode.
    FormatError, LimitError, ModelMissingError, OptionError, OSError
        As for `decompress`.
    """
    return decompress_picture(data, **options).to_pil()


def decompress_picture(
    data: Source,
    *,
    threads: int = 0,
    backend: str | None = None,
    limits: Limits | int | None = None,
    model: ModelLike | None = None,
    progress: Progress | None = None,
    region: Region | None = None,
) -> Picture:
    """Return the picture of a ``.bb`` file: pixels, mode, palette and metadata.

    Parameters and errors are those of `decompress`.
    """
    execution = Execution(threads, backend, progress)
    with _named(data) as content:
        return decode(content, execution, limits=limits, model=model, region=region)


def info(data: Source, *, limits: Limits | int | None = None) -> Info | ArrayInfo:
    """Return the content of a ``.bb`` file without decoding its pixels. Its model is not needed.

    Of a file of arrays it is an `ArrayInfo`.

    Raises
    ------
    FormatError, LimitError, OSError
        As for `decompress`.

    Examples
    --------
    >>> import numpy as np
    >>> report = info(compress(np.zeros((4, 6), np.uint8)))
    >>> report.mode, report.width, report.height, report.method
    ('L', 6, 4, 'classic')
    """
    with _named(data) as content:
        return array_info.info(content) if is_array_file(content) else describe(content, limits=limits)


def salvage(
    data: Source,
    *,
    threads: int = 0,
    backend: str | None = None,
    limits: Limits | int | None = None,
    model: ModelLike | None = None,
    progress: Progress | None = None,
) -> Salvaged:
    """Decode what is intact in a damaged ``.bb`` file, and report what is lost.

    Lost sectors are repaired first if the file has recovery data (`compress`, option `recovery`). In a file
    of several chains or tiles, a damaged one loses only its own pixels; see docs/format.md, "sums".

    Parameters
    ----------
    data, threads, backend, limits, model, progress
        As for `decompress`. A given model is also used if the model id in the file is damaged.

    Returns
    -------
    Salvaged
        The picture, its losses, and what was repaired.

    Raises
    ------
    FormatError
        Nothing of the picture can be saved.
    LimitError, ModelMissingError, OSError
        As for `decompress`.

    Examples
    --------
    >>> import numpy as np
    >>> data = bytearray(compress(np.ones((2, 16500), np.uint8), method="classic"))  # two tiles
    >>> data[len(data) // 2] ^= 1
    >>> found = salvage(data)
    >>> found.picture.pixels.shape, [(loss.what, loss.pixels) for loss in found.lost]
    ((2, 16500), [('file', 0), ('colour', 16500)])
    """
    execution = Execution(threads, backend, progress)
    with _named(data) as content:
        if is_array_file(content):
            raise FormatError("the file holds arrays; read it with bbcodec.ArrayFile(..., salvage=True)")
        return salvage_file(content, execution, limits=limits, model=model)


def cost_map(
    data: Source,
    *,
    threads: int = 0,
    backend: str | None = None,
    limits: Limits | int | None = None,
    model: ModelLike | None = None,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Return the cost of each pixel of a ``.bb`` file in bits: float32 ``[H, W]``, all colours together.

    Models of the families ``local`` and ``loglinear`` have a cost for every pixel. Models with latents have
    a cost for each tile of 64 x 64, which its pixels share equally. The sum of the map is the size of the
    file's chains in bits, to within `bbcodec.bbfile.cost_map.CHAIN_OVERHEAD` bits a chain. The map leaves out
    alpha and the low bytes of 16-bit samples, which no model codes.

    Parameters
    ----------
    data, threads, backend, limits, model
        As for `decompress`. The map does not depend on threads and backend.
    progress : callable, optional
        Called with (parts done, parts in all), first by decoding, then by counting the costs.

    Raises
    ------
    OptionError
        No model codes this picture (method classic).
    FormatError, LimitError, ModelMissingError, OSError
        As for `decompress`.

    Examples
    --------
    >>> import numpy as np
    >>> data = compress(np.zeros((8, 12, 3), np.uint8), method="learned", model="fast")
    >>> cost_map(data).shape
    (8, 12)
    """
    execution = Execution(threads, backend, progress)
    with _named(data) as content:
        return count_costs(content, execution, limits=limits, model=model)


def read_image(
    source: str | os.PathLike[str] | BinaryIO, *, max_pixels: int = MAX_PIXELS, **options: Any
) -> Picture:
    """Read an image file or a ``.bb`` file: all of its samples and metadata.

    What the picture cannot hold of an image file is named by one `LeftOutWarning` (docs/images.md).

    Parameters
    ----------
    source : path or binary file object
    max_pixels : int
        Largest width * height.
    **options
        Options of `decompress_picture`, used for a ``.bb`` file.

    Raises
    ------
    UnsupportedImageError
        The samples cannot be kept: animations, multi-page files, CMYK, 32-bit and float samples, and files
        of formats without a reader.
    FormatError
        The file is not an image, or a damaged one.
    LimitError
        The image has more than `max_pixels`.
    ModelMissingError
        A ``.bb`` file needs a model that is neither embedded nor installed.
    OSError
        The file cannot be read.
    """
    if isinstance(source, str | os.PathLike):
        with open(source, "rb") as file:
            start = file.read(len(MAGIC)) if file.seekable() else b""
        if start == MAGIC:
            return decompress_picture(source, **{"limits": max_pixels, **options})
        return files.read_image(source, max_pixels=max_pixels)
    content = source.read()
    if content[: len(MAGIC)] == MAGIC:
        return decompress_picture(content, **{"limits": max_pixels, **options})
    return files.read_image(io.BytesIO(content), max_pixels=max_pixels)


def read(path: str | os.PathLike[str], **options: Any) -> NDArray[Any]:
    """Return the pixels of a ``.bb`` file or of another image file, or the array of an array file.

    Options and errors are those of `read_image`; of an array file those of `decompress`.

    Examples
    --------
    >>> import numpy as np, os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "zeros.bb")
    >>> write(path, np.zeros((4, 6, 3), np.uint8))
    >>> read(path).shape
    (4, 6, 3)
    """
    with open(path, "rb") as file:
        is_array = is_array_file(file.read(len(MAGIC)))
    return decompress(path, **options) if is_array else read_image(path, **options).array


def write(path: str | os.PathLike[str], image: PictureLike, **options: Any) -> None:
    """Write a picture to a file: with `compress` if the name ends in ``.bb``, else with `write_image`.

    The file appears when it is complete. An existing file is replaced.

    Parameters
    ----------
    path : path of the file.
    image : as for `compress`.
    **options
        Options of `compress` or of `write_image`.

    Raises
    ------
    UnsupportedImageError, OptionError, ModelMissingError, ModelError
        As for `compress` and `write_image`.
    OSError
        The file cannot be written.
    """
    if os.fspath(path).lower().endswith(".bb"):
        data = compress(image, **options)
        with atomic_write(os.fspath(path), overwrite=True) as file:
            file.write(data)
    else:
        files.write_image(path, image, **options)


@contextlib.contextmanager
def _named(data: Source) -> Iterator[Buffer]:
    """Yield the bytes of a file, and put its path in front of error messages."""
    if not isinstance(data, str | os.PathLike):
        yield data
        return
    with open(data, "rb") as file:
        content = file.read()
    try:
        yield content
    except BBCodecError as error:
        raise type(error)(f"{os.fspath(data)}: {error}") from error
