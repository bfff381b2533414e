# SPDX-License-Identifier: Apache-2.0
"""Metadata that travels with the pixels: ICC, EXIF (with orientation), XMP, DPI, PNG text, colour key.

Here live the dataclass, its extraction from Pillow images, and its ancillary sections (``docs/format.md``,
"Metadata"). Pixels and palettes must not be handled here; nothing here may change what a pixel is.
"""

from __future__ import annotations

import json
import math
import operator
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from bbcodec.container import Buffer, Limits, Reader, Section, varint
from bbcodec.errors import FormatError, LimitError, OptionError, UnsupportedImageError

ICC, EXIF, XMP, DENSITY, TEXT, COLOUR_KEY = "iccp", "exif", "xmpd", "dens", "text", "trns"
KINDS = (ICC, EXIF, XMP, DENSITY, TEXT, COLOUR_KEY)

TIFF_XMP = 700
"""Adobe's TIFF tag for XMP packets."""
_DESCRIPTIVE = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Orientation,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
_RAW, _DEFLATE, _CURVES = 0, 1, 2
_DPI = struct.Struct("<dd")
_TEXT_SIZE = 2**20  # bytes, and pairs: a parsed list takes many times the memory of its JSON
_TEXT_PAIRS = 10_000
_GRAY_KEY = ("1", "L", "I;16", "I;16B")
_RGB_KEY = ("RGB", "RGB;16")
_DEFLATE_RATIO = 1032  # the most that one byte of deflate can become (RFC 1951: 258 bytes from 2 bits)


@dataclass(frozen=True)
class Metadata:
    """What is kept beside the pixels.

    Parameters
    ----------
    icc : bytes, optional
        ICC colour profile.
    exif : bytes, optional
        EXIF block as Pillow gives it (orientation included; pixels are never rotated).
    xmp : bytes, optional
        XMP packet.
    dpi : tuple of float, optional
        Horizontal and vertical dots per inch.
    text : tuple of (str, str)
        PNG text chunks, in file order.
    colour_key : int or tuple of int, optional
        PNG ``tRNS`` of a gray or RGB picture: the one colour that is to be shown transparent.

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

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) not in (None, ()) for field in fields(self))

    def updated(self, other: Metadata) -> Metadata:
        """Return this metadata with every field that `other` has replaced."""
        values = {field.name: getattr(other, field.name) for field in fields(other)}
        own = {field.name: getattr(self, field.name) for field in fields(self)}
        return Metadata(**{k: own[k] if v in (None, ()) else v for k, v in values.items()})

    @classmethod
    def of(cls, values: Any) -> Metadata:
        """Return metadata from a `Metadata`, a mapping of its field names, or None.

        Raises
        ------
        OptionError
            For a name that is not a field, or a value of the wrong type.
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
            raise OptionError(f"metadata: dpi must be two numbers, text pairs of strings: {error}") from error
        try:
            key = given.get("colour_key")
            if key is not None:
                several = isinstance(key, tuple | list)
                given["colour_key"] = tuple(map(operator.index, key)) if several else operator.index(key)
        except TypeError as error:
            raise OptionError(f"metadata: colour_key must be one integer or three: {error}") from error
        return cls(**given)

    def as_info(self) -> dict[str, Any]:
        """Return what Pillow's readers put into ``info``."""
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
        """Return what keeps this from being the metadata of a picture of a mode, or None.

        These are the rules of the format: a reader refuses a file that breaks them, and a writer does not
        write one.
        """
        for name in ("icc", "exif", "xmp"):
            if not isinstance(getattr(self, name), bytes | None):
                return f"{name} is {type(getattr(self, name)).__name__}, expected bytes"
        return _density_problem(self.dpi) or _text_problem(self.text) or _key_problem(self.colour_key, mode)


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
            return f"text has the key {key!r}, expected Latin-1 of at least one character, without NUL"
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
    count = 1 if mode in _GRAY_KEY else 3 if mode in _RGB_KEY else 0
    if not count:
        return f"colour_key in mode {mode}, expected a mode of gray or RGB without alpha"
    values = key if isinstance(key, tuple) else (key,)
    if (
        isinstance(key, tuple) != (count == 3)
        or len(values) != count
        or not all(isinstance(v, int) and 0 <= v < 2**16 for v in values)
    ):
        wanted = "three numbers" if count == 3 else "one number"
        return f"colour_key is {key!r}, expected {wanted} of 0 to 65535 in mode {mode}"
    return None


def from_pil(image: Image.Image) -> Metadata:
    """Return the metadata of a Pillow image whose pixels have been loaded."""
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
        key = None  # of a palette, or left in `info` by a conversion: no colour key of this picture
    try:
        density = (float(dpi[0]), float(dpi[1])) if dpi else None
    except (TypeError, ValueError, IndexError, ZeroDivisionError, OverflowError):
        density = None  # a damaged resolution tag is no reason to refuse the picture
    if _density_problem(density):
        density = None  # nor is 0/0, which TIFF files have
    return Metadata(
        icc=info.get("icc_profile") or None,
        exif=exif or None,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp if isinstance(xmp, bytes) and xmp else None,
        dpi=density,
        text=tuple(pairs),
        colour_key=key,
    )


def descriptive(source: Image.Exif) -> Image.Exif:
    """Return the tags that describe a picture; those that lay out a TIFF file must not travel."""
    kept = Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in source:
            kept[tag] = source[tag]
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if entries := source.get_ifd(ifd):
            kept[ifd] = dict(entries)
    return kept


def pack(metadata: Metadata) -> list[Section]:
    """Return the ancillary sections that hold `metadata`, compressed where that is smaller."""
    out = []
    for kind, raw in (
        (ICC, metadata.icc),
        (EXIF, metadata.exif),
        (XMP, metadata.xmp),
        (DENSITY, _DPI.pack(*metadata.dpi) if metadata.dpi else None),
        (TEXT, _dump_text(metadata.text) if metadata.text else None),
        (COLOUR_KEY, _dump_key(metadata.colour_key)),
    ):
        if raw is None:
            continue
        forms = [bytes([_RAW]) + raw, bytes([_DEFLATE]) + _deflate(raw)]
        if kind == ICC:
            forms.append(bytes([_CURVES]) + _deflate(_curves(raw, forward=True)))
        out.append(Section(kind, min(forms, key=len)))
    return out


def check_size(metadata: Metadata) -> None:
    """Raise `UnsupportedImageError` for metadata that no reader with the usual limits takes."""
    text = _dump_text(metadata.text)
    if len(text) > _TEXT_SIZE or len(metadata.text) > _TEXT_PAIRS:
        raise UnsupportedImageError(
            f"{len(metadata.text)} texts of {len(text)} bytes, at most {_TEXT_PAIRS} of {_TEXT_SIZE} can be "
            f"kept; leave the metadata out"
        )
    size = sum(len(block or b"") for block in (metadata.icc, metadata.exif, metadata.xmp, text))
    limit = Limits().max_metadata
    if size > limit - 2**10:  # the others take less than 1 KiB
        raise UnsupportedImageError(
            f"metadata of {size} bytes, at most {limit} can be kept; leave the metadata out"
        )


def unpack(sections: Iterable[Section], mode: str, limits: Limits | None = None) -> Metadata:
    """Return the metadata of the known ancillary sections; unknown ones are passed over.

    Parameters
    ----------
    sections : iterable of Section
    mode : str
        Of the picture: a colour key must fit it.
    limits : Limits, optional

    Raises
    ------
    FormatError
        A payload that does not parse, or breaks the rules of `Metadata.problem`.
    LimitError
        More than ``limits.max_metadata`` bytes when decompressed, all sections together.
    """
    left = (limits or Limits()).max_metadata
    values: dict[str, Any] = {}
    for section in sections:
        if section.kind not in KINDS:
            continue
        reader = section.reader()
        form = reader.u8("form")
        if form == _RAW:
            raw = bytes(reader.take(_size(reader.left, section.kind, left), "value"))
        elif form == _DEFLATE or (form == _CURVES and section.kind == ICC):
            raw = inflate(reader, _size(reader.varint("raw size"), section.kind, left))
        else:
            raise reader.error(f"form is {form}, expected 0 or 1{', or 2' if section.kind == ICC else ''}")
        left -= len(raw)
        if form == _CURVES:
            raw = _curves(raw, forward=False)
        if section.kind == DENSITY:
            if len(raw) != _DPI.size:
                raise reader.error(f"density has {len(raw)} bytes, expected {_DPI.size}")
            values["dpi"] = _DPI.unpack(raw)
        elif section.kind == TEXT:
            values["text"] = _load_text(raw, reader)
        elif section.kind == COLOUR_KEY:
            values["colour_key"] = _load_key(raw, section.offset)
        else:
            values[{ICC: "icc", EXIF: "exif", XMP: "xmp"}[section.kind]] = raw
    found = Metadata(**values)
    if wrong := found.problem(mode):
        raise FormatError(f"metadata: {wrong}")
    return found


def _deflate(raw: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return varint(len(raw)) + squeeze.compress(raw) + squeeze.flush()


def _size(size: int, kind: str, left: int) -> int:
    """Return the raw size of a section, if there is room for it."""
    if size > left:
        raise LimitError(f"section {kind}: metadata of {size} bytes, {left} bytes are left of the limit")
    if kind == TEXT and size > _TEXT_SIZE:
        raise LimitError(f"section {kind}: {size} bytes, the limit is {_TEXT_SIZE}")
    return size


def inflate(reader: Reader, size: int) -> bytes:
    """Return exactly `size` bytes from the raw deflate stream that fills the rest of `reader`.

    Raises
    ------
    FormatError
        The stream is damaged, has another size, or could not hold that many bytes (checked first).
    """
    packed = reader.rest()
    if size > _DEFLATE_RATIO * len(packed):
        raise reader.error(f"{len(packed)} bytes of deflate cannot hold {size} bytes")
    expand = zlib.decompressobj(-15)
    try:
        raw = expand.decompress(packed, size + 1)
    except zlib.error as error:
        raise reader.error(f"deflate stream is damaged: {error}") from error
    if len(raw) != size or not expand.eof or expand.unused_data:
        raise reader.error(f"deflate stream does not end after {size} bytes")
    return raw


def _curves(profile: bytes, *, forward: bool) -> bytes:
    """Replace the tone curves of an ICC profile by their second differences, or undo that.

    A ``curv`` table is smooth, so its second differences are almost all -1, 0, 1: the common 3,144-byte sRGB
    profile shrinks to a third of what deflate alone makes of it. The tag table is left as it is, so that the
    inverse finds the same curves. Anything that does not parse is returned unchanged, in both directions.
    """
    data = bytearray(profile)
    if len(data) < 132:
        return profile
    count = int.from_bytes(data[128:132], "big")
    table_end = 132 + 12 * count
    if count > 1000 or table_end > len(data):
        return profile
    done_to = table_end
    spans = {struct.unpack_from(">II", data, 132 + 12 * i + 4) for i in range(count)}
    for offset, size in sorted(spans):
        if offset < done_to or offset + size > len(data) or size < 12 or data[offset : offset + 4] != b"curv":
            continue
        points = int.from_bytes(data[offset + 8 : offset + 12], "big")
        if points < 3 or 12 + 2 * points > size:
            continue
        done_to = offset + size
        where = slice(offset + 12, offset + 12 + 2 * points)
        curve = np.frombuffer(bytes(data[where]), dtype=">u2").astype(np.uint16)
        for _ in range(2):
            if forward:
                curve = np.diff(curve, prepend=np.uint16(0))
            else:
                curve = np.cumsum(curve, dtype=np.uint16)
        data[where] = curve.astype(">u2").tobytes()
    return bytes(data)


def _dump_text(text: tuple[tuple[str, str], ...]) -> bytes:
    return json.dumps(text, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def _load_text(raw: bytes, reader: Reader) -> tuple[tuple[str, str], ...]:
    try:
        pairs = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise reader.error(f"text is not JSON: {error}") from error
    if isinstance(pairs, list) and len(pairs) > _TEXT_PAIRS:
        raise LimitError(f"section {TEXT}: {len(pairs)} pairs, the limit is {_TEXT_PAIRS}")
    if not isinstance(pairs, list) or not all(
        isinstance(p, list) and len(p) == 2 and isinstance(p[0], str) and isinstance(p[1], str) for p in pairs
    ):
        raise reader.error("text is not a list of pairs of strings")
    return tuple((key, value) for key, value in pairs)


def _dump_key(key: int | tuple[int, ...] | None) -> bytes | None:
    if key is None:
        return None
    values = (key,) if isinstance(key, int) else key
    return bytes([0 if isinstance(key, int) else len(values)]) + b"".join(varint(v) for v in values)


def _load_key(raw: Buffer, offset: int) -> int | tuple[int, ...]:
    reader = Reader(raw, f"section {COLOUR_KEY}", offset)
    count = reader.u8("count")
    if count > 4:
        raise FormatError(f"section {COLOUR_KEY}: {count} values, expected at most 4")
    values = tuple(reader.varint("value") for _ in range(max(count, 1)))
    reader.finish()
    return values if count else values[0]
