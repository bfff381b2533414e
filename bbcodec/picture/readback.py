# SPDX-License-Identifier: Apache-2.0
"""Compare a picture with the image file that was written of it, before anyone relies on the file.

A format may write the same meaning in another form: 16-bit samples in another byte order, a palette with
alpha as two tables, a density in whole dots per metre. `check` accepts that, `differences` does not.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, BinaryIO, Final

import numpy as np
from PIL import ExifTags, Image

from bbcodec.errors import BBCodecError, UnsupportedImageError
from bbcodec.picture import files
from bbcodec.picture.files import left_out, own_notes
from bbcodec.picture.formats import read
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import Palette, Picture
from bbcodec.picture.raster import bands
from bbcodec.storage.atomic import temporary_path

__all__ = ["Draft", "Outline", "Readback", "check", "differences"]

DENSITY_STEP: Final = 0.0254
"""Dots per inch in one dot per metre, the unit of PNG and BMP."""
DENSITY_ERROR: Final = 1e-6
"""Relative error of a density that TIFF stores as a fraction of two 32-bit numbers."""

_NO_PIXELS: Final = np.zeros((1, 1), np.uint8)

_SAME_SAMPLES: Final = ("I;16", "I;16B")
"""Modes that differ in the byte order of files alone."""
_KEEP_PART_OF_EXIF: Final = ("tif", "tiff")
"""Formats whose files have tags of their own, so that not every tag of an EXIF block finds a place."""
_PREFIX: Final = b"Exif\0\0"
"""The beginning of an EXIF block in some file formats."""
_IFDS: Final = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop, ExifTags.IFD.IFD1)
_OTHERS_IN_TIFF: Final = frozenset(
    (
        *(*range(254, 267), *range(277, 280), *range(282, 285), 273, 284, 296, 317, 320, 322, 323, 324, 325),
        *(338, 339, 530, 531, 532, 700, 34675, 34665, 34853, 40965),
    )
)
"""Tags of a TIFF file that describe its layout, its density, or other fields of `Metadata`; and pointers."""


@dataclass(frozen=True)
class Readback:
    """What an image file does not give back of its picture.

    Parameters
    ----------
    changed : tuple of str
        ``pixels``, ``mode``, ``palette`` or fields of `Metadata` that the file gives another meaning.
    left_out : tuple of str
        Fields of `Metadata` that the format has no place for, wholly or in part.
    """

    changed: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True)
class Outline:
    """A picture without its samples, so that a large one need not be held while its file is read.

    Parameters
    ----------
    width, height
    mode
    palette
    metadata
    axis
        As of `Picture`.
    samples : bytes
        BLAKE2b of type, shape and samples.
    most : int
        The largest sample: of a palette, the last entry that is in use.
    """

    width: int
    height: int
    mode: str
    palette: Palette | None
    metadata: Metadata
    axis: bool
    samples: bytes
    most: int

    @classmethod
    def of(cls, picture: Picture) -> Outline:
        """Return the outline of a picture."""
        pixels = picture.pixels
        found = hashlib.blake2b(f"{pixels.dtype.str} {pixels.shape}".encode())
        for rows in bands(picture.height, picture.width):
            found.update(np.ascontiguousarray(pixels[rows]).data)
        most = int(pixels.max(initial=0)) if picture.palette is not None else 0
        facts = (picture.mode, picture.palette, picture.metadata, picture.axis)
        return cls(picture.width, picture.height, *facts, found.digest(), most)


class Draft:
    """An image file that is written, and not yet given out.

    The bytes are in the temporary file of an output, or in memory if the output is a stream. The caller
    should let go of the picture before `check`, which holds another one.

    Parameters
    ----------
    file
        An output of `bbcodec.storage`, or a stream. A stream gets nothing before `release`.
    picture
    format
        As for `bbcodec.write_image`.

    Attributes
    ----------
    outline : Outline
        What was written.
    size : int
        Size of the file in bytes.
    left_out : tuple of str
        Fields of `Metadata` that the format has no place for.

    Raises
    ------
    UnsupportedImageError, OSError
        As of `bbcodec.write_image`.
    """

    def __init__(self, file: BinaryIO, picture: Picture, format: str) -> None:
        self._file, self._format = file, format
        self._path = temporary_path(file)
        whole = io.BytesIO()
        self.size = files.write_image(whole if self._path is None else file, picture, format=format)
        self._whole = whole.getvalue()  # empty if the bytes are in a file
        self.outline = Outline.of(picture)
        self.left_out = tuple(left_out(picture, format))

    def check(self) -> Readback:
        """Read the bytes and return what they do not give back. Errors as of `check`."""
        if self._path is None:
            return check(self.outline, io.BytesIO(self._whole), self._format)
        self._file.flush()
        return check(self.outline, self._path, self._format)

    def release(self) -> None:
        """Write the bytes to a stream. Those of a file are there already."""
        if self._path is None:
            self._file.write(self._whole)


def check(outline: Outline, source: str | BinaryIO, format: str) -> Readback:
    """Read an image file and return what it does not give back of the picture that was written.

    Parameters
    ----------
    outline
        What was written.
    source
        The file: its path, or all of it.
    format
        Its format, as for `bbcodec.write_image`.

    Raises
    ------
    UnsupportedImageError
        The file cannot be read.
    """
    try:
        picture = read(source, max_pixels=outline.width * outline.height).picture
    except BBCodecError as error:
        why = str(error).removeprefix(f"{source}: ")
        raise UnsupportedImageError(f"the {format} file cannot be read back: {why}") from error
    found = Outline.of(picture)
    kept = Picture(_NO_PIXELS, outline.mode, outline.palette, outline.metadata)
    missing = list(left_out(kept, format))
    changed = []
    if found.samples != outline.samples:
        changed.append("pixels")
    if found.mode != outline.mode and {found.mode, outline.mode} != set(_SAME_SAMPLES):
        changed.append("mode")
    if not _same_colours(outline, found):
        changed.append("palette")
    for field in fields(outline.metadata):
        before, after = (getattr(of.metadata, field.name) for of in (outline, found))
        if field.name == "notes":  # `left_out` has named those of other formats
            before, after = (own_notes(of.metadata, format) for of in (outline, found))
        if field.name in missing or _same_meaning(field.name, before, after):
            continue
        if field.name == "exif" and format in _KEEP_PART_OF_EXIF and _is_part(after, before):
            missing.append(field.name)
        else:
            changed.append(field.name)
    return Readback(tuple(changed), tuple(missing))


def differences(outline: Outline, found: Outline, *, metadata: bool = True) -> list[str]:
    """Return what differs between two pictures in any form: pixels, mode, palette, fields of `Metadata`.

    The axis of length 1 of an array is a difference of mode: no image file has it.
    """
    same = {
        "pixels": found.samples == outline.samples,
        "mode": found.mode == outline.mode and found.axis == outline.axis,
        "palette": found.palette == outline.palette,
    }
    for field in fields(outline.metadata) if metadata else ():
        before, after = (getattr(of.metadata, field.name) for of in (outline, found))
        same[field.name] = _plain(field.name, before) == _plain(field.name, after)
    return [name for name, equal in same.items() if not equal]


def _plain(name: str, value: Any) -> Any:
    """Return a value without what belongs to the file format."""
    return (value or b"").removeprefix(_PREFIX) if name == "exif" else value


def _same_meaning(name: str, before: Any, after: Any) -> bool:
    if name == "dpi" and before is None:
        return True  # BMP and TIFF files always have a density
    if name == "dpi" and after is not None:
        return all(
            math.isclose(a, b, rel_tol=DENSITY_ERROR, abs_tol=DENSITY_STEP)
            for a, b in zip(before, after, strict=True)
        )
    return bool(_plain(name, before) == _plain(name, after))


def _same_colours(outline: Outline, found: Outline) -> bool:
    """Return whether every index has the same colour in both palettes. More entries than before may follow.

    Entries that no pixel uses may be missing.
    """
    if outline.palette is None or found.palette is None:
        return outline.palette is found.palette
    before, after = _entries(outline.palette), _entries(found.palette)
    shared = min(len(before), len(after))
    complete = len(after) >= len(before) or outline.most < len(after)
    return complete and bool(np.array_equal(before[:shared], after[:shared]))


def _entries(palette: Palette) -> np.ndarray[Any, Any]:
    """Return the colours of a palette as RGBA, uint8 ``[entries, 4]``."""
    width = len(palette.layout)
    stored = np.frombuffer(palette.data[: len(palette.data) // width * width], np.uint8).reshape(-1, width)
    colours = np.full((len(stored), 4), 255, np.uint8)
    colours[:, :width] = stored
    if isinstance(palette.transparency, int):
        colours[palette.transparency : palette.transparency + 1, 3] = 0
    elif palette.transparency is not None:
        alpha = np.frombuffer(palette.transparency, np.uint8)[: len(colours)]
        colours[: len(alpha), 3] = alpha
    return colours


def _is_part(part: bytes | None, whole: bytes | None) -> bool:
    """Return whether every tag of an EXIF block has the same value in another one.

    A block that cannot be read, such as a damaged one, holds no tag that could be kept.
    """
    tags = _tags(whole)
    return all(tags.get(key, value) == value and key in tags for key, value in _tags(part).items())


def _tags(block: bytes | None) -> Mapping[tuple[int, int], Any]:
    """Return the values of an EXIF block by directory and tag, without those of the layout of a TIFF file."""
    exif = Image.Exif()
    found: dict[tuple[int, int], Any] = {}
    try:
        exif.load(block or b"")
        found.update({(0, tag): _value(value) for tag, value in exif.items() if tag not in _OTHERS_IN_TIFF})
        for ifd in _IFDS:
            found.update({(ifd, tag): _value(value) for tag, value in exif.get_ifd(ifd).items()})
    except Exception:  # Pillow raises many kinds on damaged blocks
        return found
    return found


def _value(value: Any) -> Any:
    """Return a value of EXIF in a form that does not depend on how it was written."""
    if isinstance(value, str):
        value = value.encode("latin-1", "replace")
    if isinstance(value, bytes):
        return value.rstrip(b"\0")
    if isinstance(value, tuple | list):
        values = tuple(map(_value, value))
        return values[0] if len(values) == 1 else values
    if isinstance(value, dict):
        return {key: _value(item) for key, item in value.items()}
    if hasattr(value, "numerator"):
        top, below = int(value.numerator), int(value.denominator)
        common = math.gcd(top, below) or 1
        return top // common, below // common
    return value
