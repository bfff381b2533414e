# SPDX-License-Identifier: Apache-2.0
"""Metadata as chunks of a PNG file, and back: every ancillary chunk comes in, and goes out as it was.

Fields of `Metadata` hold what other formats hold too: ICC, EXIF, XMP, density, text, colour key. All else is
in notes. A file whose chunks are exactly those that the fields give needs no notes. Otherwise the notes list
all of its chunks in order: verbatim, or as a mark that stands for the next chunk of a field.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Final, NamedTuple, TypeAlias

from bbcodec.picture.formats.png.chunks import Chunk
from bbcodec.picture.metadata import Metadata, Note

__all__ = ["FORMAT", "chunks_of", "metadata_of"]

FORMAT: Final = "png"
_MARK: Final = 4  # in the place of a note: its data name the field that gives the chunk
_XMP_KEY: Final = "XML:com.adobe.xmp"
_ICC_NAME: Final = b"ICC Profile"
_METRE: Final = 0.0254  # inches to metres
_MAX_INFLATED: Final = 2**26
_TEXTS: Final = ("tEXt", "zTXt", "iTXt")

_Text: TypeAlias = tuple[str, str]


class _Found(NamedTuple):
    """What a chunk says: the name of a field, and its value."""

    field: str
    value: Any


def metadata_of(
    chunks: Iterable[Chunk],
    *,
    colour_key: int | tuple[int, ...] | None,
    transparency: bytes | None,
    has_palette: bool,
) -> Metadata:
    """Return the metadata of the chunks of a file, all but IHDR, PLTE, IDAT, IEND.

    Parameters
    ----------
    chunks : in file order.
    colour_key : as in `Metadata`.
    transparency, has_palette : as for `chunks_of`.
    """
    chunks = tuple(chunks)
    fields: dict[str, Any] = {}
    texts: list[_Text] = []
    notes: list[Note] = []
    for chunk in chunks:
        body = bytes(chunk.body)
        found = _meaning(chunk.kind, body)
        if found is not None and found.field == "text":
            texts.append(found.value)
        elif found is not None and fields.setdefault(found.field, found.value) is not found.value:
            found = None  # the second of its kind
        notes.append(_note(chunk, found, transparency))
    plain = Metadata(text=tuple(texts), colour_key=colour_key, **fields)
    made = list(chunks_of(plain, transparency=transparency, has_palette=has_palette))
    given = [(chunk.place, chunk.kind, _comparable(chunk)) for chunk in chunks]
    return plain if made == given else replace(plain, notes=tuple(notes))


def _comparable(chunk: Chunk) -> bytes:
    """Return the body of a chunk; of a profile as this module compresses it."""
    profile = _profile(bytes(chunk.body)) if chunk.kind == "iCCP" else None
    return bytes(chunk.body) if profile is None else _icc_body(*profile)


def _note(chunk: Chunk, found: _Found | None, transparency: bytes | None) -> Note:
    """Return the note of a chunk: a mark if its field alone gives the same chunk, else its bytes."""
    body = bytes(chunk.body)
    field: bytes | None = None
    if chunk.kind == "tRNS" and body == transparency:
        field = b"tRNS"
    elif found is not None and found.field == "icc":
        profile = _profile(body)
        field = b"icc " + (profile[0] if profile else _ICC_NAME)
    elif found is not None:
        value = (found.value,) if found.field == "text" else found.value
        values: dict[str, Any] = {found.field: value}
        alone = chunks_of(Metadata(**values), transparency=None, has_palette=False)
        if [(kind, made) for _, kind, made in alone] == [(chunk.kind, body)]:
            field = found.field.encode("ascii")
    if field is None:
        return Note(FORMAT, chunk.kind, body, chunk.place)
    return Note(FORMAT, chunk.kind, field, chunk.place | _MARK)


def _meaning(kind: str, body: bytes) -> _Found | None:
    """Return what a chunk says for a field; None for any other chunk, and for a damaged one."""
    if kind == "iCCP":
        profile = _profile(body)
        return None if profile is None else _Found("icc", profile[1])
    if kind == "eXIf" and body:
        return _Found("exif", b"Exif\0\0" + body)
    if kind == "pHYs" and len(body) == 9:
        x, y, unit = struct.unpack(">IIB", body)
        return _Found("dpi", (x * _METRE, y * _METRE)) if unit == 1 and x and y else None
    if kind in _TEXTS:
        text = _text(kind, body)
        if text is not None and text[0] == _XMP_KEY and kind == "iTXt":
            return _Found("xmp", text[1].encode("utf-8"))
        return None if text is None else _Found("text", text)
    return None


def _profile(body: bytes) -> tuple[bytes, bytes] | None:
    """Return name and profile of an iCCP chunk, or None if it is damaged."""
    name, _, rest = body.partition(b"\0")
    if not (0 < len(name) < 80 and rest[:1] == b"\0"):
        return None
    profile = _inflated(rest[1:])
    return (name, profile) if profile else None


def _text(kind: str, body: bytes) -> _Text | None:
    """Return key and value of a text chunk, or None if it is damaged."""
    key, separator, rest = body.partition(b"\0")
    if not (key and separator):
        return None
    value: bytes | None = rest
    encoding = "latin-1"
    if kind == "zTXt":
        value = _inflated(rest[1:]) if rest[:1] == b"\0" else None
    elif kind == "iTXt":
        encoding = "utf-8"
        flags, rest = rest[:2], rest[2:]
        parts = rest.split(b"\0", 2)  # language, translated key, text
        value = parts[2] if len(parts) == 3 and flags in (b"\0\0", b"\1\0") else None
        if value is not None and flags[0]:
            value = _inflated(value)
    try:
        return None if value is None else (key.decode("latin-1"), value.decode(encoding))
    except UnicodeDecodeError:
        return None


def _inflated(data: bytes) -> bytes | None:
    """Return the content of a zlib stream, or None if it is damaged or larger than metadata may be."""
    expand = zlib.decompressobj()
    try:
        found = expand.decompress(data, _MAX_INFLATED)
    except zlib.error:
        return None
    return found if expand.eof and not expand.unused_data else None


def chunks_of(
    metadata: Metadata, *, transparency: bytes | None, has_palette: bool
) -> Iterator[tuple[int, str, bytes]]:
    """Yield place, type and body of the chunks of a file with this metadata.

    Places are those of `bbcodec.picture.formats.png.chunks.Chunk`.

    Parameters
    ----------
    metadata : its colour key is not read.
    transparency : body of the tRNS chunk, that of the colour key or of the palette.
    has_palette : whether the file has a PLTE chunk.

    Raises
    ------
    UnicodeError
        A text key is not Latin-1, which `Metadata.problem` refuses.
    """
    left = _Left(metadata, transparency)
    for note in metadata.notes:
        if note.format == FORMAT and len(note.key) == 4 and note.key[0].islower():  # ancillary
            take = left.take if note.place & _MARK else left.agree
            body = take(note.key, note.data)
            if body is not None:
                yield note.place & (_MARK - 1), note.key, body
    yield from left.rest(1 if has_palette else 0)


class _Left:
    """The fields of metadata that no chunk holds yet."""

    def __init__(self, metadata: Metadata, transparency: bytes | None) -> None:
        self.values: dict[str, Any] = {
            name: value
            for name in ("icc", "exif", "xmp", "dpi")
            if (value := getattr(metadata, name)) is not None
        }
        if transparency is not None:
            self.values["tRNS"] = transparency
        self.texts = list(metadata.text)
        self.held: set[str] = set()  # fields that a chunk holds

    def take(self, kind: str, field: bytes) -> bytes | None:
        """Return the body of the next chunk of a field, or None if the field has no more."""
        name, _, more = field.partition(b" ")
        if name == b"text":
            made = _text_chunk(*self.texts.pop(0)) if self.texts else None
            return made[1] if made is not None and made[0] == kind else None
        key = name.decode("ascii", "replace")
        if key not in self.values:
            return None
        self.held.add(key)
        return _body(key, self.values.pop(key), more)

    def agree(self, kind: str, body: bytes) -> bytes | None:
        """Return the body of a chunk, or None if the fields do not say the same any more."""
        found = _Found("tRNS", body) if kind == "tRNS" else _meaning(kind, body)
        if found is None or found.field in self.held:
            return body
        if found.field == "text":
            return body if self.texts and self.texts[0] == found.value and self.texts.pop(0) else None
        value = self.values.get(found.field)
        if found.field == "tRNS" and value is not None and value.rstrip(b"\xff") == body.rstrip(b"\xff"):
            value = body  # opaque entries at the end say nothing
        if value != found.value:
            return None
        del self.values[found.field]
        self.held.add(found.field)
        return body

    def rest(self, behind_palette: int) -> Iterator[tuple[int, str, bytes]]:
        """Yield the chunks of the fields that are left, where Pillow's writer puts them."""
        if "icc" in self.values:
            yield 0, "iCCP", _icc_body(_ICC_NAME, self.values["icc"])
        texts = [(_XMP_KEY, self.values["xmp"].decode("utf-8", "replace"))] if "xmp" in self.values else []
        for key, value in texts + self.texts:
            yield 0, *_text_chunk(key, value)
        for name, kind in (("tRNS", "tRNS"), ("dpi", "pHYs"), ("exif", "eXIf")):
            body = _body(name, self.values[name], b"") if name in self.values else None
            if body is not None:
                yield behind_palette, kind, body


def _body(field: str, value: Any, more: bytes) -> bytes | None:
    """Return the body of the chunk of a field; None if PNG cannot hold the value."""
    if field == "icc":
        return _icc_body(more, value)
    if field == "exif":
        return bytes(value).removeprefix(b"Exif\0\0")
    if field == "xmp":
        return _text_chunk(_XMP_KEY, value.decode("utf-8", "replace"))[1]
    return bytes(value) if field == "tRNS" else _density_body(value)


def _icc_body(name: bytes, profile: bytes) -> bytes:
    return name + b"\0\0" + zlib.compress(profile, 9)


def _density_body(dpi: tuple[float, float]) -> bytes | None:
    """Return the body of pHYs, or None if it cannot hold the density."""
    x, y = (v / _METRE + 0.5 for v in dpi)
    return struct.pack(">IIB", int(x), int(y), 1) if min(x, y) >= 1 and max(x, y) < 2**31 else None


def _text_chunk(key: str, value: str) -> tuple[str, bytes]:
    """Return type and body of the chunk of a text."""
    name = key.encode("latin-1")
    if not key.startswith("XML:"):
        try:
            return "tEXt", name + b"\0" + value.encode("latin-1")
        except UnicodeError:
            pass
    return "iTXt", name + b"\0\0\0\0\0" + value.encode("utf-8")
