# SPDX-License-Identifier: Apache-2.0
"""What ``import bbcodec`` offers: `compress`, `decompress`, `decompress_image`, `decompress_picture`.

Here options are checked and handed to `bbcodec.bbfile`, which does the work.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray
from PIL import Image

from bbcodec.bbfile import encoder, metadata_sections
from bbcodec.bbfile.decoder import decode
from bbcodec.bbfile.encoder import Fitting, Method, Options, Stop
from bbcodec.container import Buffer, Limits
from bbcodec.errors import OptionError
from bbcodec.jobs import Execution, Progress
from bbcodec.modelfile.registry import DEFAULT_MODEL, ModelLike
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import Picture, PictureLike
from bbcodec.picture.region import Region

__all__ = ["Method", "compress", "decompress", "decompress_image", "decompress_picture"]


def compress(
    image: PictureLike,
    *,
    method: Method = "auto",
    model: ModelLike = DEFAULT_MODEL,
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
    on_verified: Callable[[float], None] | None = None,
) -> bytes:
    """Compress a picture losslessly into the bytes of a ``.bb`` file.

    The same picture and options give the same bytes, whatever the number of threads and the backend.

    Parameters
    ----------
    image : PIL.Image.Image, ndarray or Picture
        uint8 or uint16 ``[H, W]`` or ``[H, W, C]`` with C = 1..4, bool ``[H, W]``, or a Pillow image of mode
        1, P, L, LA, RGB, RGBA, I;16, I;16B, or what `read_image` returns.
    method : {"auto", "learned", "classic"}
        ``learned``: latent-variable model; ``classic``: WebP and other lossless coders; ``auto``: the better
        one for this picture, by cheap statistics.
    model : str, path or Model
        Released name, id, path of a ``.bbm`` file, or a loaded model.
    embed_model : bool
        Put the model file into the result, if the learned method is used.
    metadata : Metadata or mapping, optional
        Replaces fields of the picture's own metadata: icc, exif, xmp (bytes), dpi, text, colour_key.
    keep_metadata : bool
        False drops the picture's own metadata.
    threads : int
        0 for all cores.
    backend : str, optional
        Of the engine: numpy, numba, native.
    verify : bool
        Decode the result and compare every pixel before returning it.
    progress : callable, optional
        Called with (tiles done, tiles in all) by the learned method; before, with (work done, work in all)
        of a fit.
    fit : float, optional
        Seconds (of one core of 2.5 GHz) to fit a model of the family `local` to this picture with; what is
        found is put into the result if that makes it smaller. Needs the extra ``train``. The result depends
        on the seconds and the seed, not on the clock.
    seed : int
        Of the fit.
    stop : context manager, optional
        Entered while fitting. It gives a callable that is asked now and then; once that returns true, what
        was found so far is taken.
    on_verified : callable, optional
        Called with the seconds that the verification took.

    Returns
    -------
    bytes

    Raises
    ------
    UnsupportedImageError
        The picture cannot be kept exactly.
    OptionError
        An option that does not exist or does not fit the picture.
    ModelMissingError, ModelError
        The model is not there, or damaged.

    Examples
    --------
    >>> import numpy as np
    >>> picture = np.zeros((4, 6, 3), np.uint8)
    >>> data = compress(picture)
    >>> data[:4], np.array_equal(decompress(data), picture)
    (b'\\x89BBC', True)
    """
    execution = Execution(threads, backend, progress)
    fitting = None if fit is None else Fitting(fit, seed, stop)
    options = Options(method, model, embed_model, fitting)
    picture = Picture.of(image)
    kept = picture.metadata if keep_metadata else Metadata()
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


def decompress(
    data: Buffer,
    *,
    threads: int = 0,
    backend: str | None = None,
    limits: Limits | int | None = None,
    model: ModelLike | None = None,
    progress: Progress | None = None,
    region: Region | None = None,
) -> NDArray[Any]:
    """Return the pixels of a ``.bb`` file: bool, uint8 or uint16, ``[H, W]`` or ``[H, W, C]``.

    For a palette picture these are the indices; `decompress_picture` gives the palette with them.

    Parameters
    ----------
    data : bytes-like
        A whole file.
    threads : int
        0 for all cores.
    backend : str, optional
        Of the engine: numpy, numba, native. The pixels do not depend on it.
    limits : Limits or int, optional
        What may be allocated; a number is the largest width * height (2**30 if not given).
    model : str, path or Model, optional
        A model to use, beside the installed ones, if the file names it.
    progress : callable, optional
        Called with (tiles done, tiles in all) by the learned method.
    region : (x, y, width, height), optional
        Pixels: this part of the picture alone. No more tiles are decoded than it needs; the checksum of the
        picture's pixels is not verified then, only those of the file's bytes.

    Raises
    ------
    FormatError
        Not a sound ``.bb`` file.
    LimitError
        More pixels than allowed.
    ModelMissingError
        The file needs a model that is neither embedded nor installed.
    """
    return decompress_picture(
        data,
        threads=threads,
        backend=backend,
        limits=limits,
        model=model,
        progress=progress,
        region=region,
    ).array


def decompress_image(data: Buffer, **options: Any) -> Image.Image:
    """Return the Pillow image of a ``.bb`` file: same mode, pixels and palette; metadata in ``info``.

    Options and errors as for `decompress`; also `UnsupportedImageError` for 16-bit LA, RGB and RGBA pictures,
    for which Pillow has no mode.
    """
    return decompress_picture(data, **options).to_pil()


def decompress_picture(
    data: Buffer,
    *,
    threads: int = 0,
    backend: str | None = None,
    limits: Limits | int | None = None,
    model: ModelLike | None = None,
    progress: Progress | None = None,
    region: Region | None = None,
) -> Picture:
    """Return everything a ``.bb`` file holds: pixels, mode, palette and metadata. See `decompress`."""
    return decode(data, Execution(threads, backend, progress), limits=limits, model=model, region=region)
