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
from bbcodec.picture.formats import jpeg, others, png, pnm, tiff
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
    "TGA": others.read_tga,
    "WEBP": others.read_webp,
    "QOI": others.read_qoi,
    "PCX": others.read_pcx,
}
_READERS_OF_FILES: Final[dict[str, Callable[[BinaryIO, int], Reading]]] = {"BMP": others.read_bmp}
_OTHER_READERS: Final[dict[str, Callable[[bytes, int], Picture | None]]] = {
    "PNG": png.read_again,
    "TIFF": tiff.read_again,
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
    with _known(source) as (kind, file):
        if kind in _READERS_OF_FILES:
            return _READERS_OF_FILES[kind](file, max_pixels)
        return _READERS[kind](file.read(), max_pixels)


def read_again(source: _Source, *, max_pixels: int = MAX_PIXELS) -> Picture | None:
    """Read an image file in another way than `read`; None if there is no other way.

    PNG has one, and TIFF for most files. What it returns equals the picture of `read` in mode, pixels and
    palette, unless one of the two readers is wrong. Errors as of `read`.
    """
    with _known(source) as (kind, file):
        reader = _OTHER_READERS.get(kind)
        return None if reader is None else reader(file.read(), max_pixels)


@contextlib.contextmanager
def _known(source: _Source) -> Iterator[tuple[str, BinaryIO]]:
    """Yield the format of an image file, and the file, at its beginning; put its path in front of errors."""
    if not isinstance(source, str | os.PathLike):
        yield _sniffed(source)
        return
    with open(source, "rb") as file:
        try:
            yield _sniffed(file)
        except BBCodecError as error:
            raise type(error)(f"{os.fspath(source)}: {error}") from error


def _sniffed(file: BinaryIO) -> tuple[str, BinaryIO]:
    """Return the format of a file, and the file itself or, if it cannot seek to its beginning, its bytes."""
    can_rewind = file.seekable() and file.tell() == 0
    head = b""
    while len(head) < HEAD_BYTES and (more := file.read(HEAD_BYTES - len(head))):
        head += more
    kind = sniff(head)
    if kind is None:
        other = foreign(head)
        if other is not None:
            raise UnsupportedImageError(f"this is {other.name}; {other.advice}")
        raise FormatError("empty file" if not head else "not an image of a known format, or damaged")
    if can_rewind:
        file.seek(0)
        return kind, file
    whole = io.BytesIO()
    whole.write(head)
    while more := file.read(2**20):
        whole.write(more)
    whole.seek(0)
    return kind, whole
