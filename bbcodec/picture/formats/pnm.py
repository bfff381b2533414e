# SPDX-License-Identifier: Apache-2.0
"""Read and write PBM, PGM and PPM files (Netpbm, formats P1 to P6), with samples as they are stored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import FormatError, LimitError, UnsupportedImageError
from bbcodec.picture.formats.reading import Reading
from bbcodec.picture.metadata import Metadata, Note
from bbcodec.picture.picture import MODES, Picture
from bbcodec.picture.raster import bands

__all__ = ["FORMAT", "MAXVAL", "MODES_HELD", "read", "write"]

FORMAT: Final = "pnm"
MAXVAL: Final = "maxval"
"""Key of the note with the sample that means white, where it is not the largest of the mode."""
MODES_HELD: Final = ("1", "L", "RGB", "I;16", "I;16B", "RGB;16")
_COMMENT: Final = "comment"
_TOKEN: Final = re.compile(rb"#([^\r\n]*)|([^\s#]+)")
_MAX_HEADER_BYTES: Final = 2**16
_MAX_DIGITS: Final = 10


def read(data: bytes, max_pixels: int) -> Reading:
    """Read a PBM, PGM or PPM file. Errors as of `bbcodec.read_image`."""
    kind = data[1] - ord("0")
    if kind == 7:
        raise UnsupportedImageError("PAM files are not supported; convert it to PGM, PPM or PNG first")
    bilevel, colours, plain = kind in (1, 4), 3 if kind in (3, 6) else 1, kind < 4
    numbers, comments, at = _header(data, 2 if bilevel else 3)
    width, height, top = numbers if not bilevel else (*numbers, 1)
    if not (width and height and 0 < top < 2**16):
        raise FormatError(f"PNM: {width} x {height}, maximum {top}: expected at least 1 x 1, and 1 to 65535")
    if width * height > max_pixels:
        raise LimitError(f"{width} x {height} is above the limit of {max_pixels} pixels")
    shape = (height, width) if colours == 1 else (height, width, colours)
    if plain:
        samples, more = _plain(data, at, shape, bilevel=bilevel)
    elif bilevel:
        samples, more = _bits(data, at, height, width)
    else:
        samples, more = _binary(data, at, shape, 2 if top > 255 else 1)
    if int(samples.max()) > top:
        raise FormatError(f"PNM: a sample is {int(samples.max())}, above the maximum of {top}")
    left_out = []
    if more.lstrip()[:1] == b"P":
        left_out.append("further pictures")
    elif more.strip():
        left_out.append(f"{len(more)} bytes behind the picture")
    if bilevel:
        return Reading(Picture(samples == 0, "1", metadata=_notes(comments)), "PNM", tuple(left_out))
    deep = top > 255
    mode = ("RGB;16" if deep else "RGB") if colours == 3 else ("I;16" if deep else "L")
    whole = 65535 if deep else 255
    notes = _notes(comments, None if top == whole else top)
    return Reading(Picture(samples.astype(MODES[mode].dtype), mode, metadata=notes), "PNM", tuple(left_out))


def _notes(comments: list[bytes], top: int | None = None) -> Metadata:
    notes = [Note(FORMAT, _COMMENT, comment) for comment in comments]
    if top is not None:
        notes.insert(0, Note(FORMAT, MAXVAL, b"%d" % top))
    return Metadata(notes=tuple(notes))


def _header(data: bytes, count: int) -> tuple[tuple[int, ...], list[bytes], int]:
    """Return so many numbers behind the signature, the comments, and where the samples begin."""
    numbers: list[int] = []
    comments: list[bytes] = []
    at = 2
    while len(numbers) < count:
        found = _TOKEN.search(data, at, _MAX_HEADER_BYTES)
        if found is None:
            raise FormatError("PNM: the header is cut off, or too long")
        at = found.end()
        comment, word = found.groups()
        if comment is not None:
            comments.append(comment)
        elif word.isdigit() and len(word) <= _MAX_DIGITS:
            numbers.append(int(word))
        else:
            raise FormatError(f"PNM: {word[:20]!r} in the header, expected a number")
    return tuple(numbers), comments, at + 1


def _enough(found: int, wanted: int) -> None:
    if found < wanted:
        raise FormatError(f"PNM: samples end {wanted - found} bytes too early")


def _binary(data: bytes, at: int, shape: tuple[int, ...], size: int) -> tuple[NDArray[np.generic], bytes]:
    count = int(np.prod(shape, dtype=np.int64))
    _enough(len(data) - at, size * count)
    samples = np.frombuffer(data, ">u2" if size == 2 else "u1", count, at)
    return samples.astype(np.uint16 if size == 2 else np.uint8).reshape(shape), data[at + size * count :]


def _bits(data: bytes, at: int, height: int, width: int) -> tuple[NDArray[np.uint8], bytes]:
    length = -(-width // 8)
    _enough(len(data) - at, height * length)
    rows = np.frombuffer(data, np.uint8, height * length, at).reshape(height, length)
    return np.unpackbits(rows, axis=1, count=width), data[at + height * length :]


def _plain(
    data: bytes, at: int, shape: tuple[int, ...], *, bilevel: bool
) -> tuple[NDArray[np.generic], bytes]:
    """Return the samples of a file that writes them as text."""
    count = int(np.prod(shape, dtype=np.int64))
    _enough(len(data) - at, count)  # each needs a byte at least
    text = re.sub(rb"#[^\r\n]*", b"", data[at - 1 :])
    if bilevel:
        digits = np.frombuffer(b"".join(text.split()), np.uint8)
        _enough(len(digits), count)
        samples, more = digits[:count] - ord("0"), digits[count:].tobytes()
        if int(samples.max()) > 1:
            raise FormatError("PNM: a bilevel sample is neither 0 nor 1")
        return samples.reshape(shape), more
    words = text.split(None, count)
    _enough(len(words), count)
    if not all(word.isdigit() and len(word) <= _MAX_DIGITS for word in words[:count]):
        raise FormatError("PNM: a sample is not a number")
    return np.array(words[:count], np.int64).reshape(shape), b"".join(words[count:])


def write(picture: Picture) -> Iterator[bytes | memoryview]:
    """Yield the pieces of a PBM, PGM or PPM file of a picture of one of `MODES_HELD`."""
    m, mode = picture.metadata, MODES[picture.mode]
    comments = b"".join(b"#" + n.data + b"\n" for n in m.notes if (n.format, n.key) == (FORMAT, _COMMENT))
    size = b"%d %d\n" % picture.size
    if picture.mode == "1":
        yield b"P4\n" + comments + size
        yield np.packbits(~picture.pixels, axis=1).tobytes()
        return
    whole = 65535 if mode.dtype == "uint16" else 255
    top = whole
    noted = m.note(FORMAT, MAXVAL)
    if noted is not None and noted.isdigit() and len(noted) < _MAX_DIGITS:
        low = 256 if whole == 65535 else 1
        top = int(noted) if max(low, int(picture.pixels.max())) <= int(noted) <= whole else whole
    yield b"P%d\n" % (5 if mode.channels == 1 else 6) + comments + size + b"%d\n" % top
    for rows in bands(picture.height, picture.width):
        part = picture.pixels[rows]
        yield part.astype(">u2").tobytes() if whole == 65535 else np.ascontiguousarray(part).tobytes()
