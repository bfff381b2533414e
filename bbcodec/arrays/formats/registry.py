# SPDX-License-Identifier: Apache-2.0
"""The formats of files that hold arrays, found by their first bytes."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bbcodec.arrays.formats import dicom, fits, nifti, npy, tiff
from bbcodec.arrays.formats.parts import Parts
from bbcodec.arrays.writer import Numbers, Original
from bbcodec.errors import FormatError, LimitError

__all__ = ["FORMATS", "HEAD_BYTES", "Format", "format_of", "holds_arrays", "open_file"]

Find = Callable[[bytes, str | None], Parts]

_GZIP: Final = b"\x1f\x8b"
HEAD_BYTES: Final = 512
_TIFF: Final = (b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0", b"MM\0+\0\x08\0\0")


@dataclass(frozen=True)
class Format:
    """A format of files that hold arrays.

    Parameters
    ----------
    name : as in messages.
    marks : offset and bytes that tell the format; any of them does.
    suffixes : of its files, the usual one first.
    find : finds the arrays. Raises FormatError if the file is damaged.
    """

    name: str
    marks: tuple[tuple[int, bytes], ...]
    suffixes: tuple[str, ...]
    find: Find

    def holds(self, head: bytes) -> bool:
        """Return whether a file with these first bytes is of the format."""
        return any(head[at : at + len(mark)] == mark for at, mark in self.marks)


_DICOM: Final = Format("DICOM", ((128, b"DICM"),), (".dcm", ".dicom", ".ima"), dicom.find)
FORMATS: Final = (
    Format("NumPy", ((0, b"\x93NUMPY"),), (".npy",), npy.find),
    _DICOM,
    Format(
        "NIfTI",
        ((344, b"n+1\0"), (4, b"n+2\0\r\n\x1a\n")),
        (".nii",),
        nifti.find,
    ),
    Format("FITS", ((0, b"SIMPLE  ="),), (".fits", ".fit", ".fts"), fits.find),
    Format("TIFF", tuple((0, mark) for mark in _TIFF), (".tif", ".tiff"), tiff.find),
)


def format_of(head: bytes, name: str = "") -> Format | None:
    """Return the format of a file by its first 512 bytes, also within gzip; None if it is none of `FORMATS`.

    TIFF is among them, although most TIFF files are pictures. DICOM files without the usual preamble are
    known by the suffix of their name.
    """
    if head.startswith(_GZIP):
        try:
            head = zlib.decompressobj(31).decompress(head, HEAD_BYTES)
        except zlib.error:
            return None
    found = next((found for found in FORMATS if found.holds(head)), None)
    if found is None and name.lower().endswith(_DICOM.suffixes) and _may_be_dicom(head):
        return _DICOM
    return found


def holds_arrays(head: bytes, name: str = "") -> bool:
    """Return whether a file holds arrays and is no picture, by its first 512 bytes and its name.

    A TIFF file may be either: it is read as a picture first.
    """
    kind = format_of(head, name)
    return kind is not None and kind.name != "TIFF"


def _may_be_dicom(head: bytes) -> bool:
    """Return whether a file may begin with an element of DICOM of group 2 or 8, in either byte order."""
    return head[:2] in (b"\2\0", b"\0\2", b"\b\0", b"\0\b")


def open_file(
    data: bytes, name: str = "", *, axes: str | None = None, max_bytes: int = 2**40
) -> tuple[list[Numbers], Original]:
    """Return the arrays of a file, and what else is needed to restore it.

    Of a damaged file all is kept as bytes, and `Original.note` says why.

    Parameters
    ----------
    data : the file.
    name : its name, of which the suffix is kept if it is one of the format's.
    axes : letters for the axes of a NumPy file, which does not name them.
    max_bytes : of the content of a gzip file.

    Raises
    ------
    FormatError
        The file is of none of the formats, or a damaged gzip file.
    LimitError
        The content of a gzip file has more than `max_bytes`.
    OptionError
        The library that reads the format is not installed.
    """
    kind = format_of(data[:HEAD_BYTES], name)
    if kind is None:
        raise FormatError("not a NumPy, DICOM, NIfTI, FITS or TIFF file")
    is_gzip = data.startswith(_GZIP)
    content = _content(data, max_bytes) if is_gzip else data
    try:
        parts = kind.find(content, axes)
    except FormatError as error:
        parts = Parts(content, note=str(error))
    arrays, extents = parts.ordered()
    suffix = _suffix(kind, name, is_gzip)
    return arrays, Original(parts.data, suffix, extents, is_gzip, parts.rewritten, parts.note)


def _suffix(kind: Format, name: str, is_gzip: bool) -> str:
    lower = name.lower()
    more = ".gz" if is_gzip else ""
    for suffix in kind.suffixes:
        if lower.endswith(suffix + more):
            return suffix + more
    return kind.suffixes[0] + more


def _content(data: bytes, max_bytes: int) -> bytes:
    """Return the content of a gzip file of one or several members."""
    parts, left = [], data
    room = max_bytes
    while left.startswith(_GZIP):
        expand = zlib.decompressobj(31)
        try:
            part = expand.decompress(left, room + 1)
        except zlib.error as error:
            raise FormatError(f"damaged gzip file: {error}") from error
        if len(part) > room:
            raise LimitError(f"the content of the gzip file has more than {max_bytes} bytes")
        if not expand.eof:
            raise FormatError("damaged gzip file: it is cut off")
        parts.append(part)
        room -= len(part)
        left = expand.unused_data
    if left.strip(b"\0"):
        raise FormatError(f"damaged gzip file: {len(left)} bytes behind its end")
    return b"".join(parts)
