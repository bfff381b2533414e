# SPDX-License-Identifier: Apache-2.0
"""Pack and unpack the sections of metadata (docs/format.md, "Metadata").

`bbcodec.picture.metadata` defines the metadata itself.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from bbcodec.container import Buffer, Limits, Reader, Section, varint
from bbcodec.container.inflate import deflate, inflate
from bbcodec.errors import FormatError, LimitError, UnsupportedImageError
from bbcodec.picture.metadata import Metadata, Note

__all__ = ["FIELDS", "Field", "check_size", "pack", "unpack"]

ICC, EXIF, XMP, DENSITY, TEXT, COLOUR_KEY = "iccp", "exif", "xmpd", "dens", "text", "trns"
NOTES = "orig"

_RAW, _DEFLATE, _CURVES = 0, 1, 2  # forms of a value in its section
_DPI: Final = struct.Struct("<dd")
_MAX_TEXT_BYTES: Final = 2**20  # of JSON: a parsed list takes many times its memory
_MAX_TEXT_PAIRS: Final = 10_000
_MAX_NOTES: Final = 10_000


def check_size(metadata: Metadata) -> None:
    """Raise `UnsupportedImageError` if metadata exceeds the default limits of readers."""
    text = _dump_text(metadata.text) or b"[]"
    if len(text) > _MAX_TEXT_BYTES or len(metadata.text) > _MAX_TEXT_PAIRS:
        raise UnsupportedImageError(
            f"metadata: {len(metadata.text)} texts of {len(text)} bytes; at most {_MAX_TEXT_PAIRS} texts of "
            f"{_MAX_TEXT_BYTES} bytes can be kept; leave the metadata out"
        )
    if len(metadata.notes) > _MAX_NOTES:
        raise UnsupportedImageError(
            f"metadata: {len(metadata.notes)} chunks or tags, at most {_MAX_NOTES} can be kept; "
            f"leave the metadata out"
        )
    notes = _dump_notes(metadata.notes)
    size = sum(len(block or b"") for block in (metadata.icc, metadata.exif, metadata.xmp, text, notes))
    limit = Limits().max_metadata
    if size > limit - 2**10:  # the other fields take less than 1 KiB
        raise UnsupportedImageError(
            f"metadata: {size} bytes, at most {limit} can be kept; leave the metadata out"
        )


def pack(metadata: Metadata) -> list[Section]:
    """Return the ancillary sections that hold `metadata`, each compressed if that is smaller."""
    out = []
    for kind, field in FIELDS.items():
        raw = field.dump(getattr(metadata, field.name))
        if raw is None:
            continue
        forms = [bytes([_RAW]) + raw, bytes([_DEFLATE]) + deflate(raw)]
        if kind == ICC:
            forms.append(bytes([_CURVES]) + deflate(_curves(raw, forward=True)))
        out.append(Section(kind, min(forms, key=len)))
    return out


def unpack(sections: Iterable[Section], mode: str, limits: Limits | None = None) -> Metadata:
    """Return the metadata of the known ancillary sections; other sections are ignored.

    Parameters
    ----------
    sections : iterable of Section
    mode : str
        Mode of the picture, which a colour key must suit.
    limits : Limits, optional

    Raises
    ------
    FormatError
        A payload does not parse, or breaks the rules of `Metadata.problem`.
    LimitError
        All sections together have more than ``limits.max_metadata`` bytes when decompressed.
    """
    left = (limits or Limits()).max_metadata
    values: dict[str, Any] = {}
    for section in sections:
        field = FIELDS.get(section.kind)
        if field is None:
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
        values[field.name] = field.load(raw, reader)
    found = Metadata(**values)
    if wrong := found.problem(mode):
        raise FormatError(f"metadata: {wrong}")
    return found


def _size(size: int, kind: str, left: int) -> int:
    """Return the raw size of a section; raise `LimitError` if it is more than the bytes left."""
    if size > left:
        raise LimitError(f"section {kind}: {size} bytes of metadata, the limit leaves {left} bytes")
    if kind == TEXT and size > _MAX_TEXT_BYTES:
        raise LimitError(f"section {kind}: {size} bytes, the limit is {_MAX_TEXT_BYTES}")
    return size


def _curves(profile: bytes, *, forward: bool) -> bytes:
    """Replace the tone curves of an ICC profile by their second differences, or restore them.

    A ``curv`` table is smooth, so that almost all of its second differences are -1, 0 or 1. With them, the
    common 3,144-byte sRGB profile deflates to a third of the size. The tag table is not changed, so that the
    inverse finds the same curves. Data that does not parse is returned unchanged, in both directions.
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


def _dump_text(text: tuple[tuple[str, str], ...]) -> bytes | None:
    return None if not text else json.dumps(text, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def _load_text(raw: bytes, reader: Reader) -> tuple[tuple[str, str], ...]:
    try:
        pairs = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise reader.error(f"text is not JSON: {error}") from error
    if isinstance(pairs, list) and len(pairs) > _MAX_TEXT_PAIRS:
        raise LimitError(f"section {TEXT}: {len(pairs)} pairs, the limit is {_MAX_TEXT_PAIRS}")
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


def _load_key(raw: Buffer, outer: Reader) -> int | tuple[int, ...]:
    reader = Reader(raw, f"section {COLOUR_KEY}", outer.offset)
    count = reader.u8("count")
    if count > 4:
        raise FormatError(f"section {COLOUR_KEY}: {count} values, expected at most 4")
    values = tuple(reader.varint("value") for _ in range(max(count, 1)))
    reader.finish()
    return values if count else values[0]


def _dump_density(dpi: tuple[float, float] | None) -> bytes | None:
    return _DPI.pack(*dpi) if dpi else None


def _load_density(raw: bytes, reader: Reader) -> tuple[float, ...]:
    if len(raw) != _DPI.size:
        raise reader.error(f"density has {len(raw)} bytes, expected {_DPI.size}")
    return _DPI.unpack(raw)


def _dump_notes(notes: tuple[Note, ...]) -> bytes | None:
    if not notes:
        return None
    out = bytearray()
    for note in notes:
        for part in (note.format.encode("ascii"), note.key.encode("ascii"), note.data):
            out += varint(len(part)) + part
        out.append(note.place)
    return bytes(out)


def _load_notes(raw: Buffer, outer: Reader) -> tuple[Note, ...]:
    reader = Reader(raw, f"section {NOTES}", outer.offset)
    notes: list[Note] = []
    while reader.left:
        if len(notes) == _MAX_NOTES:
            raise LimitError(f"section {NOTES}: more than {_MAX_NOTES} notes")
        parts = [bytes(reader.take(reader.varint(name), name)) for name in ("format", "key", "data")]
        try:
            names = [part.decode("ascii") for part in parts[:2]]
        except UnicodeDecodeError as error:
            raise reader.error("format and key are not ASCII") from error
        notes.append(Note(names[0], names[1], parts[2], reader.u8("place")))
    return tuple(notes)


def _dump_bytes(value: bytes | None) -> bytes | None:
    return value


def _load_bytes(raw: bytes, reader: Reader) -> bytes:
    return raw


@dataclass(frozen=True, slots=True)
class Field:
    """A field of `Metadata` and its section.

    Attributes
    ----------
    name : name of the field.
    dump : returns the bytes of a value, or None if there is no value.
    load : returns the value of bytes; its reader makes errors that name the offset.
    """

    name: str
    dump: Callable[[Any], bytes | None]
    load: Callable[[bytes, Reader], Any]


FIELDS: Final = {
    ICC: Field("icc", _dump_bytes, _load_bytes),
    EXIF: Field("exif", _dump_bytes, _load_bytes),
    XMP: Field("xmp", _dump_bytes, _load_bytes),
    DENSITY: Field("dpi", _dump_density, _load_density),
    TEXT: Field("text", _dump_text, _load_text),
    COLOUR_KEY: Field("colour_key", _dump_key, _load_key),
    NOTES: Field("notes", _dump_notes, _load_notes),
}
"""Fields of metadata by their section types, in file order."""
