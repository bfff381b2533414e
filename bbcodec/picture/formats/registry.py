# SPDX-License-Identifier: Apache-2.0
"""The readers of image files by format, and the functions that call them."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from typing import BinaryIO, Final, TypeAlias

from bbcodec.container import MAX_PIXELS
from bbcodec.errors import BBCodecError, FormatError, UnsupportedImageError
from bbcodec.picture.formats import jpeg, others, png, pnm, tiff, tiff_again
from bbcodec.picture.formats.reading import Reading
from bbcodec.picture.formats.signatures import HEAD_BYTES, foreign, sniff
from bbcodec.picture.picture import Picture

__all__ = ["read", "read_again"]

_Source: TypeAlias = str | os.PathLike[str] | BinaryIO
_Reader: TypeAlias = Callable[[bytes, int], Reading]

_READERS: Final[dict[str, _Reader]] = {
    "PNG": png.read,
    "TIFF": tiff.read,
    "JPEG": jpeg.read,
    "PNM": pnm.read,
    "GIF": others.read_gif,
    "BMP": others.read_bmp,
    "TGA": others.read_tga,
    "WEBP": others.read_webp,
    "QOI": others.read_qoi,
    "PCX": others.read_pcx,
}
_OTHER_READERS: Final[dict[str, Callable[[bytes, int], Picture | None]]] = {
    "PNG": png.read_again,
    "TIFF": tiff_again.read_again,
}


def read(source: _Source, *, max_pixels: int = MAX_PIXELS) -> Reading:
    """Read an image file, and account for all of it.

    A file that is no image is refused after its first bytes.

    Parameters
    ----------
    source : path or binary file object
    max_pixels : int
        Largest width * height, in pixels.

    Raises
    ------
    UnsupportedImageError, FormatError, LimitError, OSError
        As of `bbcodec.read_image`.
    """
    with _known(source) as (kind, data):
        return _READERS[kind](data, max_pixels)


def read_again(source: _Source, *, max_pixels: int = MAX_PIXELS) -> Picture | None:
    """Read an image file in another way than `read`; None if there is no other way.

    PNG has one, and TIFF for most files. What it returns equals the picture of `read` in mode, pixels and
    palette, unless one of the two readers is wrong. Errors as of `read`.
    """
    with _known(source) as (kind, data):
        reader = _OTHER_READERS.get(kind)
        return None if reader is None else reader(data, max_pixels)


@contextlib.contextmanager
def _known(source: _Source) -> Iterator[tuple[str, bytes]]:
    """Yield format and bytes of an image file; put its path in front of errors."""
    if not isinstance(source, str | os.PathLike):
        yield _whole(source)
        return
    with open(source, "rb") as file:
        try:
            yield _whole(file)
        except BBCodecError as error:
            raise type(error)(f"{os.fspath(source)}: {error}") from error


def _whole(file: BinaryIO) -> tuple[str, bytes]:
    """Return format and bytes of a file of a known format."""
    head = b""
    while len(head) < HEAD_BYTES and (more := file.read(HEAD_BYTES - len(head))):
        head += more
    kind = sniff(head)
    if kind is None:
        other = foreign(head)
        if other is not None:
            raise UnsupportedImageError(f"this is {other.name}; {other.advice}")
        raise FormatError("empty file" if not head else "not an image of a known format, or damaged")
    whole = io.BytesIO()
    whole.write(head)
    while more := file.read(2**20):
        whole.write(more)
    return kind, whole.getvalue()
