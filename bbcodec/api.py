# SPDX-License-Identifier: Apache-2.0
"""What ``import bbcodec`` offers: `compress`, `decompress`, `decompress_image`, `decompress_picture`.

Here pictures, coders and the container are put together; none of them is implemented here. The learned coder
and the models are imported when they are first needed, so that ``import bbcodec`` stays quick.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bbcodec import classic, container
from bbcodec.bbfile import memory, metadata_sections, pieces
from bbcodec.bbfile.encoder import Encoder, Fitting, Progress, Stop
from bbcodec.bbfile.palette_section import channels, unpack_palette, unpaint
from bbcodec.bbfile.parts import chains_of, mode_of, palette_of, parts_of
from bbcodec.container import Buffer, Header, Limits
from bbcodec.errors import BBCodecError, FormatError, OptionError
from bbcodec.jobs import thread_count
from bbcodec.modelfile.registry import DEFAULT_MODEL, ModelLike, model_for
from bbcodec.picture import planes
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import MODES, Picture, PictureLike, digest
from bbcodec.picture.region import Region, Window

__all__ = ["compress", "decompress", "decompress_image", "decompress_picture"]

Method: TypeAlias = Literal["auto", "learned", "classic"]

_NOT_LEARNED = ("1", "P")


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
    if method not in ("auto", "learned", "classic"):
        raise OptionError(f"method is {method!r}, expected 'auto', 'learned' or 'classic'")
    picture = Picture.of(image)
    kept = picture.metadata if keep_metadata else Metadata()
    picture = replace(picture, metadata=kept.updated(Metadata.of(metadata)))
    if wrong := picture.metadata.problem(picture.mode):
        raise OptionError(f"metadata: {wrong}")
    metadata_sections.check_size(picture.metadata)
    mode = MODES[picture.mode]
    if method == "learned" and picture.mode in _NOT_LEARNED:
        raise OptionError(f"method 'learned' cannot code mode {picture.mode}; use 'auto' or 'classic'")
    encoder = Encoder(picture, mode, model, embed_model, thread_count(threads), backend, progress)
    if fit is not None:
        if method == "classic":
            raise OptionError("method 'classic' has no model to fit")
        encoder.fitting = Fitting(fit, seed, stop)
        encoder.fitting.fitter(encoder.model_at_hand())  # an error comes before the work
    data = _encode(encoder, method)
    if verify:
        began = time.perf_counter()
        _verify(data, picture, encoder)
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
    bounds = Limits.of(limits)
    parsed = container.read(data, limits=bounds)
    mode = mode_of(parsed.header)
    memory.check(parsed.header, mode, memoryview(data).nbytes, bounds, thread_count(threads))
    height, width = parsed.header.height, parsed.header.width
    # A palette may be ordered by the colours of the whole picture.
    window = Window.of(region, height, width) if region is not None else None
    decoded = None if mode.name == "P" else window
    out_height, out_width = (height, width) if decoded is None else (decoded.height, decoded.width)
    parts = parts_of(parsed, mode)
    pixels: NDArray[Any] | None = None
    stored = palette_of(parsed, mode)
    palette = None
    for section, mask in parts:
        place = planes.shape(mask, mode, height, width)
        assert place is not None  # parts_of has checked every mask
        body = section.payload[1:]
        name, offset = f"section {section.kind}", section.offset + 1
        if stored is not None and body[0] == classic.PAINTED:
            shape = (height, width, channels(stored))
            painted = classic.decode_painted(body, shape, name=name, offset=offset)
            palette = unpack_palette(stored, painted)
            samples = unpaint(painted, palette)
        elif section.kind == container.CLASSIC:
            samples = classic.decode(body, *place, name=name, offset=offset, window=decoded)
        else:
            from bbcodec.families import family

            samples = family.decode(
                chains_of(section),
                *place[0],
                model_for(parsed, model),
                threads=thread_count(threads),
                backend=backend,
                progress=progress,
                window=decoded,
                **_fitted(parsed),
            )
        if len(parts) == 1:
            pixels = samples.reshape(mode.shape(out_height, out_width))
        else:
            if pixels is None:
                pixels = np.zeros(mode.shape(out_height, out_width), mode.dtype)
            planes.place(pixels, samples, mask, mode)
    assert pixels is not None  # parts_of has checked that something is there
    if stored is not None and palette is None:
        palette = unpack_palette(stored)
    kept = metadata_sections.unpack(parsed.sections, mode.name, bounds)
    picture = Picture(pixels, mode.name, palette, kept, axis=bool(parsed.header.flags & 1))
    if decoded is not None:
        return picture
    found = digest(picture)
    if found != parsed.header.digest:
        raise FormatError(
            f"decoded picture has checksum {found.hex()}, the header says {parsed.header.digest.hex()}"
        )
    return picture if window is None else replace(picture, pixels=pixels[window.place])


def _fitted(parsed: container.Container) -> dict[str, Any]:
    """The option of the learned coder for a file that changes its model."""
    section = parsed.one(container.FITTED)
    return {} if section is None else {"fitted": section}


def _encode(encoder: Encoder, method: Method) -> bytes:
    picture = encoder.picture
    if method == "learned":
        sections = encoder.learned()
    elif method == "auto" and picture.mode not in _NOT_LEARNED:
        sections = encoder.auto()
    else:
        sections = encoder.classic()
    sums = pieces.pack(sections, picture.height, picture.width)
    header = Header(
        encoder.mode.code,
        int(picture.axis),
        picture.width,
        picture.height,
        digest(picture),
        container.VERSION_SUMS if sums else container.VERSION,
    )
    return container.write(header, [*sections, *sums, *metadata_sections.pack(picture.metadata)])


def _verify(data: bytes, picture: Picture, encoder: Encoder) -> None:
    limits = Limits(max_pixels=picture.width * picture.height, max_metadata=2**62)
    decoded = decompress_picture(
        data, threads=encoder.threads, backend=encoder.backend, limits=limits, model=encoder.loaded
    )
    if not decoded.same(picture) or decoded.metadata != picture.metadata:
        raise BBCodecError(
            "the compressed picture does not decode to its source; nothing was written; please report it"
        )
