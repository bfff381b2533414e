# SPDX-License-Identifier: Apache-2.0
"""All calls of the command line into the codec: encode, decode, salvage, describe, fit.

The modules behind these functions take long to import, so each function imports its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bbcodec.arrays.info import ArrayInfo
    from bbcodec.bbfile.encoder import Stop
    from bbcodec.bbfile.info import Info
    from bbcodec.bbfile.salvage import Salvaged
    from bbcodec.cli.report import Progress
    from bbcodec.cli.settings import Decoding, Encoding
    from bbcodec.picture.picture import Picture

__all__ = [
    "can_be_repaired",
    "check_fit",
    "decode",
    "default_format",
    "describe",
    "encode",
    "pixels_in",
    "salvage",
]

Region = tuple[int, int, int, int]


def encode(
    picture: Picture,
    how: Encoding,
    *,
    progress: Progress | None = None,
    stop: Stop | None = None,
    on_verified: Callable[[float], None] | None = None,
) -> bytes:
    """Return the `.bb` file of a picture. Errors as of `bbcodec.compress`."""
    from bbcodec import api

    choice: dict[str, Any] = {} if how.model is None else {"model": how.model}
    return api.compress(
        picture,
        method=how.method,  # type: ignore[arg-type]  # the parser has checked it
        embed_model=bool(how.embed_model),
        keep_metadata=how.keep_metadata,
        threads=how.threads,
        backend=how.backend,
        verify=how.verify,
        progress=progress,
        fit=how.fit,
        seed=how.seed,
        stop=stop,
        recovery=how.recovery,
        on_verified=on_verified,
        **choice,
    )


def decode(
    data: bytes, how: Decoding, *, progress: Progress | None = None, region: Region | None = None
) -> Picture:
    """Return the picture of a `.bb` file. Errors as of `bbcodec.decompress`."""
    from bbcodec import api

    return api.decompress_picture(data, region=region, progress=progress, **how.options())


def salvage(data: bytes, how: Decoding, *, progress: Progress | None = None) -> Salvaged:
    """Return what is intact in a damaged `.bb` file, and what is lost. Errors as of `bbcodec.salvage`."""
    from bbcodec import api

    return api.salvage(data, progress=progress, **how.options())


def can_be_repaired(data: bytes) -> bool:
    """Return whether the recovery data of a damaged `.bb` file repair all of it."""
    from bbcodec.bbfile.recovery_section import mend

    found = mend(data)
    return found is not None and found.whole


def describe(data: bytes, how: Decoding | None = None) -> Info | ArrayInfo:
    """Return what a `.bb` file holds, without decoding it. Errors as of `bbcodec.info`."""
    from bbcodec import api

    return api.info(data, limits=None if how is None else how.limits)


def default_format(data: bytes) -> str:
    """Return the image format for the picture of a `.bb` file where the user names none: `png` or `tif`."""
    from bbcodec.bbfile import metadata_sections
    from bbcodec.bbfile.parts import mode_of
    from bbcodec.container import read
    from bbcodec.errors import BBCodecError
    from bbcodec.picture.formats import default_format

    try:
        parsed = read(data)
        mode = mode_of(parsed.header).name
        return default_format(mode, metadata_sections.unpack(parsed.sections, mode))
    except BBCodecError:  # decoding says what is wrong
        return "png"


def pixels_in(data: bytes) -> int | None:
    """Return how many pixels a `.bb` file has by its header, or None if the header is damaged."""
    from bbcodec.container import read_header
    from bbcodec.errors import BBCodecError

    try:
        header = read_header(data)
    except BBCodecError:
        return None
    return header.width * header.height


def check_fit(how: Encoding) -> None:
    """Raise `OptionError` if the model cannot be fitted. One that cannot be read is each image's error."""
    from bbcodec.bbfile.encoder import Fitting
    from bbcodec.errors import BBCodecError, OptionError
    from bbcodec.modelfile.registry import FITTED_MODEL, find

    try:
        Fitting(how.fit or 0).fitter(find(how.model or FITTED_MODEL))
    except OptionError:
        raise
    except (BBCodecError, OSError):
        pass
