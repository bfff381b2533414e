# SPDX-License-Identifier: Apache-2.0
"""Metadata of a picture: ICC, EXIF (with orientation), XMP, DPI, PNG text, colour key, notes.

This module has the dataclasses and reads them from Pillow images. `bbcodec.bbfile.metadata_sections` packs
them.
"""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, fields
from typing import Any

from PIL import ExifTags, Image

from bbcodec.errors import OptionError

TIFF_XMP = 700
"""Adobe's TIFF tag for XMP packets."""
DESCRIPTIVE_TAGS = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Orientation,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
_PHOTOMETRIC, _MIN_IS_WHITE = "262/3", b"\0\0"
_EXTRA_SAMPLES, _ASSOCIATED = "338/3", b"\1\0"
_ESSENTIAL_NOTES = frozenset(
    (
        ("png", "depth"),
        ("pnm", "maxval"),
        *(("tiff", key) for key in ("258/3", _PHOTOMETRIC, "320/3", _EXTRA_SAMPLES, "339/3")),
    )
)
_GRAY_KEY_MODES = ("1", "L", "I;16", "I;16B")
_RGB_KEY_MODES = ("RGB", "RGB;16")


@dataclass(frozen=True)
class Note:
    """What a file format says of a picture and no other field of the metadata holds, kept verbatim.

    Parameters
    ----------
    format : str
        ``png``, ``tiff``, ``pnm``, ``bmp``: whose note it is. Writers of other formats leave it out.
    key : str
        For PNG the type of a chunk or ``depth``, for TIFF the number and type of a tag (``269/2``), for PNM
        ``maxval`` or ``comment``. The TIFF tags 258, 262, 320, 338 and 339 say what samples mean.
    data : bytes
        Body of the chunk, values of the tag in little-endian order, text.
    place : int
        Where it stands in the file; the meaning is the format's own.
    """

    format: str
    key: str
    data: bytes = b""
    place: int = 0


@dataclass(frozen=True)
class Metadata:
    """Metadata that a file keeps beside the pixels.

    Parameters
    ----------
    icc : bytes, optional
        ICC colour profile.
    exif : bytes, optional
        EXIF block as Pillow returns it, with the orientation. Pixels are never rotated.
    xmp : bytes, optional
        XMP packet.
    dpi : tuple of float, optional
        Horizontal and vertical dots per inch.
    text : tuple of (str, str)
        PNG text chunks, in file order.
    colour_key : int or tuple of int, optional
        PNG ``tRNS`` of a gray or RGB picture: the one colour that viewers show as transparent.
    notes : tuple of Note
        What else the source file says, in file order: PNG chunks, TIFF tags, depths. Where a note and another
        field disagree, the field counts.

    Examples
    --------
    >>> Metadata(dpi=(300.0, 300.0)).dpi
    (300.0, 300.0)
    >>> bool(Metadata())
    False
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    text: tuple[tuple[str, str], ...] = ()
    colour_key: int | tuple[int, ...] | None = None
    notes: tuple[Note, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) not in (None, ()) for field in fields(self))

    def updated(self, other: Metadata) -> Metadata:
        """Return a copy in which the fields that `other` has replace those of this metadata."""
        values = {field.name: getattr(other, field.name) for field in fields(other)}
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return Metadata(**{k: own[k] if v in (None, ()) else v for k, v in values.items()})

    @classmethod
    def of(cls, values: Any) -> Metadata:
        """Return metadata from a `Metadata`, a mapping of its field names, or None.

        Raises
        ------
        OptionError
            A name is not a field, or a value has the wrong type.
        """
        if isinstance(values, cls):
            return values
        given = dict(values or {})
        names = {field.name for field in fields(cls)}
        if not names >= given.keys():
            raise OptionError(f"metadata: unknown {sorted(given.keys() - names)}, expected {sorted(names)}")
        for name in ("icc", "exif", "xmp"):
            if given.get(name) is not None:
                if not isinstance(given[name], bytes | bytearray | memoryview):
                    raise OptionError(f"metadata: {name} is {type(given[name]).__name__}, expected bytes")
                given[name] = bytes(given[name])
        try:
            if given.get("dpi") is not None:
                x, y = given["dpi"]
                given["dpi"] = (float(x), float(y))
            text = given.get("text") or ()
            pairs = text.items() if hasattr(text, "items") else text
            given["text"] = tuple((str(key), str(value)) for key, value in pairs)
        except (TypeError, ValueError, OverflowError) as error:
            raise OptionError(
                f"metadata: dpi must be two numbers, and text must be pairs of strings: {error}"
            ) from error
        try:
            key = given.get("colour_key")
            if key is not None:
                several = isinstance(key, tuple | list)
                given["colour_key"] = tuple(map(operator.index, key)) if several else operator.index(key)
        except TypeError as error:
            raise OptionError(f"metadata: colour_key must be one integer or three: {error}") from error
        given["notes"] = tuple(given.get("notes") or ())
        return cls(**given)

    def note(self, format: str, key: str) -> bytes | None:
        """Return the data of the first note of a format with this key, or None."""
        found = (note.data for note in self.notes if (note.format, note.key) == (format, key))
        return next(found, None)

    def essential(self) -> Metadata:
        """Return the part that says what the samples mean: colour key, depth, white, premultiplied alpha."""
        notes = tuple(note for note in self.notes if (note.format, note.key) in _ESSENTIAL_NOTES)
        return Metadata(colour_key=self.colour_key, notes=notes)

    @property
    def white_is_zero(self) -> bool:
        """Whether a TIFF file said of gray samples that 0 is white."""
        return self.note("tiff", _PHOTOMETRIC) == _MIN_IS_WHITE

    @property
    def has_associated_alpha(self) -> bool:
        """Whether a TIFF file said that colours are multiplied with alpha."""
        return self.note("tiff", _EXTRA_SAMPLES) == _ASSOCIATED

    def as_info(self) -> dict[str, Any]:
        """Return the metadata as the ``info`` of a Pillow image."""
        named = {
            "icc_profile": self.icc,
            "exif": self.exif,
            "xmp": self.xmp,
            "dpi": self.dpi,
            "transparency": self.colour_key,
        }
        texts = {key: value for key, value in self.text if key not in named}
        return texts | {key: value for key, value in named.items() if value is not None}

    def problem(self, mode: str) -> str | None:
        """Return why this metadata is not valid for a picture of a mode, or None if it is valid.

        These are the rules of the format: readers refuse a file that breaks them, and writers never write
        one.
        """
        for name in ("icc", "exif", "xmp"):
            if not isinstance(getattr(self, name), bytes | None):
                return f"{name} is {type(getattr(self, name)).__name__}, expected bytes"
        return (
            _density_problem(self.dpi)
            or _text_problem(self.text)
            or _key_problem(self.colour_key, mode)
            or _notes_problem(self.notes)
        )


def _density_problem(dpi: object) -> str | None:
    if dpi is None:
        return None
    if not (isinstance(dpi, tuple) and len(dpi) == 2 and all(isinstance(v, float | int) for v in dpi)):
        return f"dpi is {dpi!r}, expected two numbers"
    if not all(math.isfinite(v) and v > 0 for v in dpi):
        return f"dpi is {dpi!r}, expected finite numbers above 0"
    return None


def _text_problem(text: object) -> str | None:
    if not isinstance(text, tuple) or not all(
        isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str) and isinstance(p[1], str) for p in text
    ):
        return "text is not pairs of strings"
    for key, value in text:
        if not key or "\0" in key or any(ord(c) > 255 for c in key):
            return f"text has the key {key!r}, expected one or more Latin-1 characters without NUL"
        if not _encodable(value):
            return f"text of {key!r} has a lone surrogate, expected Unicode characters"
    return None


def _encodable(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _key_problem(key: object, mode: str) -> str | None:
    if key is None:
        return None
    count = 1 if mode in _GRAY_KEY_MODES else 3 if mode in _RGB_KEY_MODES else 0
    if not count:
        return f"colour_key in mode {mode}, expected a gray or RGB mode without alpha"
    values = key if isinstance(key, tuple) else (key,)
    if (
        isinstance(key, tuple) != (count == 3)
        or len(values) != count
        or not all(isinstance(v, int) and 0 <= v < 2**16 for v in values)
    ):
        wanted = "three numbers" if count == 3 else "one number"
        return f"colour_key is {key!r}, expected {wanted} of 0 to 65535 in mode {mode}"
    return None


def _notes_problem(notes: object) -> str | None:
    if not isinstance(notes, tuple) or not all(isinstance(note, Note) for note in notes):
        return "notes are not a tuple of Note"
    for note in notes:
        if not (isinstance(note.data, bytes) and isinstance(note.place, int) and 0 <= note.place < 256):
            return f"note {note.key!r}: expected bytes, and a place of 0 to 255"
        for name in (note.format, note.key):
            if not (isinstance(name, str) and name.isascii() and 0 < len(name) < 128):
                return f"note {note.key!r}: format and key must be 1 to 127 ASCII characters"
    return None


def from_pil(image: Image.Image) -> Metadata:
    """Return the metadata of a Pillow image whose pixels are loaded."""
    info = image.info
    exif = info.get("exif")
    if image.format == "TIFF":
        tags = descriptive(image.getexif())
        exif = tags.tobytes() if len(tags) else None
    xmp = info.get("xmp")
    if xmp is None and image.format == "TIFF":
        xmp = getattr(image, "tag_v2", {}).get(TIFF_XMP)
    dpi = info.get("dpi")
    text = getattr(image, "text", None) if image.format == "PNG" else None
    pairs = [(str(k), str(v)) for k, v in (text or {}).items() if k != "XML:com.adobe.xmp"]
    key = info.get("transparency")
    if _key_problem(key, image.mode):
        key = None  # belongs to a palette, or a conversion left it in `info`
    try:
        density = (float(dpi[0]), float(dpi[1])) if dpi else None
    except (TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError):
        density = None  # a damaged resolution tag must not make the picture unreadable
    if _density_problem(density):
        density = None  # TIFF files may have 0/0
    return Metadata(
        icc=info.get("icc_profile") or None,
        exif=exif or None,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp if isinstance(xmp, bytes) and xmp else None,
        dpi=density,
        text=tuple(pairs),
        colour_key=key,
    )


def descriptive(source: Image.Exif) -> Image.Exif:
    """Return the tags that describe a picture, without those that describe the layout of a TIFF file."""
    kept = Image.Exif()
    for tag in DESCRIPTIVE_TAGS:
        if tag in source:
            kept[tag] = source[tag]
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if entries := source.get_ifd(ifd):
            kept[ifd] = dict(entries)
    return kept
