# SPDX-License-Identifier: Apache-2.0
"""What a file is by its first bytes, and which command takes it instead.

Only a type that is known for certain is refused here. Whatever else is wrong with a file is for its reader to
say.
"""

from __future__ import annotations

from typing import Final

from bbcodec.cli.names import command
from bbcodec.errors import FormatError

__all__ = [
    "HEAD_BYTES",
    "expect_archive",
    "expect_image",
    "expect_single",
    "file_type",
    "is_archive",
    "is_compressed",
    "is_single",
    "may_be_image",
]

HEAD_BYTES: Final = 16
"""Bytes at the beginning of a file that tell its type."""

PICTURE: Final = "a .bb file of one picture"
ARRAYS: Final = "a .bb file of arrays"
ARCHIVE: Final = "an archive"

_SPELT: Final = {"WEBP": "WebP"}
_UNCERTAIN: Final = ("TGA", "PCX")  # their headers may be those of other files
_BMP_RESERVED: Final = slice(6, 10)  # four bytes that are 0, as "BM" alone may begin a text


def file_type(head: bytes) -> str | None:
    """Return what a file is by its first `HEAD_BYTES` bytes, or None if that is not certain."""
    from bbcodec import container
    from bbcodec.archive import sections
    from bbcodec.arrays.head import is_array_file
    from bbcodec.picture.formats import foreign, sniff

    if head.startswith(container.MAGIC):
        return PICTURE
    if is_array_file(head):
        return ARRAYS
    if head.startswith(sections.MAGIC):
        return ARCHIVE
    kind = sniff(head)
    if kind == "BMP" and head[_BMP_RESERVED] != bytes(4):
        kind = None
    if kind is None or kind in _UNCERTAIN:
        other = foreign(head)
        return None if other is None else other.name
    return f"a {_SPELT.get(kind, kind)} image"


def is_single(head: bytes) -> bool:
    """Return whether a file is a `.bb` file of one picture or of arrays."""
    return file_type(head) in (PICTURE, ARRAYS)


def is_archive(head: bytes) -> bool:
    """Return whether a file is an archive."""
    return file_type(head) == ARCHIVE


def is_compressed(head: bytes) -> bool:
    """Return whether a file is a `.bb` file: a picture, arrays or an archive."""
    return file_type(head) in (PICTURE, ARRAYS, ARCHIVE)


def may_be_image(head: bytes) -> bool:
    """Return whether some reader of images or arrays would go on after the first bytes."""
    from bbcodec.arrays.formats import format_of
    from bbcodec.picture.formats import sniff

    return sniff(head) is not None or format_of(head) is not None


def expect_single(head: bytes, name: str) -> None:
    """Raise `FormatError` if a file is an archive or an image, and no other `.bb` file."""
    found = file_type(head)
    if found == ARCHIVE:
        raise FormatError(
            f"this is an archive; use {command('unpack', name)}, "
            f"or {command('get', name)} NAME for one of its pictures"
        )
    if found not in (None, PICTURE, ARRAYS):
        raise FormatError(f"not a .bb file: this is {found}; to compress it: {command('compress', name)}")


def expect_archive(head: bytes, name: str) -> None:
    """Raise `FormatError` if a file is a single picture or an image, and no archive."""
    found = file_type(head)
    if found in (PICTURE, ARRAYS):
        what = "a single picture" if found == PICTURE else "a file of arrays"
        raise FormatError(f"this is {what}: use {command('decompress', name)}")
    if found not in (None, ARCHIVE):
        raise FormatError(f"not an archive: this is {found}")


def expect_image(head: bytes, name: str) -> None:
    """Raise `FormatError` if a file is compressed already."""
    found = file_type(head)
    if found in (PICTURE, ARRAYS):
        raise FormatError(f"compressed already; to get the image back: {command('decompress', name)}")
    if found == ARCHIVE:
        raise FormatError(
            f"compressed already, an archive; to get its images back: {command('unpack', name)}"
        )
