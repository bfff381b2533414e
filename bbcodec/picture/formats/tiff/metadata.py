# SPDX-License-Identifier: Apache-2.0
"""Metadata as tags of a TIFF file, and back: every tag that is not of the layout comes in, and goes out.

Fields of `Metadata` hold what other formats hold too: ICC, XMP, density, and in the EXIF block the tags that
describe a picture, with the directories of EXIF and GPS. All else is in notes, in the order of the numbers.
Where a field gives the same tag as the file has, the tag needs no note.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Final

import numpy as np

from bbcodec.errors import FormatError
from bbcodec.picture.formats.tiff import numbers as of
from bbcodec.picture.formats.tiff.tags import (
    ASCII,
    BYTE,
    ITEM_BYTES,
    LONG,
    OFFSET_TYPES,
    RATIONAL,
    SHORT,
    UNDEFINED,
    Pointers,
    Tag,
    TiffFile,
    Tree,
    header,
    pack_tree,
    tag_of,
)
from bbcodec.picture.metadata import DESCRIPTIVE_TAGS, TIFF_XMP, Metadata, Note

__all__ = [
    "COLOUR_MAP",
    "DEPTH",
    "FORMAT",
    "POINTERS",
    "exif_tree",
    "holds_density",
    "metadata_of",
    "note_of",
    "said_by_fields",
    "tags_of",
]

FORMAT: Final = "tiff"
DEPTH: Final = f"{of.BITS}/{SHORT}"
"""Key of the note with the bits of a sample, where the mode alone would give others."""
COLOUR_MAP: Final = f"{of.COLOUR_MAP}/{SHORT}"
"""Key of the note with a colour map that a palette of 8 bits does not hold."""
ICC, EXIF, GPS, INTEROPERABILITY = 34675, 34665, 34853, 40965
POINTERS: Final[Pointers] = {EXIF: {INTEROPERABILITY: {}}, GPS: {}}
"""The directories that are kept."""
X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
_DENSITY: Final = (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT)
_NO_UNIT, _INCH, _CENTIMETRE = 1, 2, 3
_SUBFILE_TYPE: Final = 254
# Tags that point to data which are not followed. 513 and 514 are a thumbnail of EXIF, or of old JPEG.
LOST: Final = {
    330: "",
    400: "global parameters",
    513: "a thumbnail (JPEG)",
    514: "",
    40965: "a directory of EXIF",
}
_MARK: Final = 128  # in the place of a note: the field gives the data
_EXIF_HEAD: Final = b"Exif\0\0"
_CM_PER_INCH: Final = 2.54
_MAX_LONG: Final = 2**32 - 1
# Tags of other EXIF blocks that say how their own file stores its samples, or what fields hold.
_NOT_FROM_EXIF: Final = of.STRUCTURAL | set(POINTERS) | set(LOST) | {*_DENSITY, ICC, TIFF_XMP, _SUBFILE_TYPE}


def metadata_of(tree: Tree, layout: Iterable[Note]) -> Metadata:
    """Return the metadata of the tags of a picture.

    Parameters
    ----------
    tree : all tags of the directory of the picture; those of the layout are passed over.
    layout : notes of what the mode of the picture does not say of its samples.
    """
    tags = {
        tag.number: tag for tag in tree.tags if tag.number not in of.STRUCTURAL and tag.number not in LOST
    }
    described = Tree(tuple(tags[n] for n in sorted(tags) if n in DESCRIPTIVE_TAGS), tree.below)
    fields: dict[str, Any] = {
        "icc": _block(tags.get(ICC)),
        "xmp": _block(tags.get(TIFF_XMP)),
        "exif": _exif_block(described) if described else None,
        "dpi": _density([tags[n] for n in _DENSITY if n in tags]),
    }
    held = {tag.number: tag for tag in _field_tags(Metadata(**fields))}
    notes = {_number(note.key): note for note in layout}
    density_held = all(held.get(n) == tags.get(n) for n in _DENSITY)
    for number, tag in tags.items():
        if number in DESCRIPTIVE_TAGS or (
            held.get(number) == tag and (density_held or number not in _DENSITY)
        ):
            continue
        if number == _SUBFILE_TYPE and not any(tag.data):
            continue  # what a file without the tag is
        notes[number] = note_of(tag, is_mark=number in (ICC, TIFF_XMP) and _block(tag) is not None)
    return Metadata(**fields, notes=tuple(notes[number] for number in sorted(notes)))


def note_of(tag: Tag, *, is_mark: bool = False) -> Note:
    """Return the note of a tag; a mark has no data, for the field has them."""
    return Note(FORMAT, f"{tag.number}/{tag.type}", b"" if is_mark else tag.data, _MARK if is_mark else 0)


def _number(key: str) -> int:
    number = key.partition("/")[0]
    return int(number) if number.isdigit() and len(number) < 6 else -1


def _block(tag: Tag | None) -> bytes | None:
    """Return the bytes of an ICC or XMP tag, or None if it has none."""
    return tag.data or None if tag is not None and tag.type in (BYTE, ASCII, UNDEFINED) else None


def _exif_block(tree: Tree) -> bytes:
    return _EXIF_HEAD + header(8) + pack_tree(tree, 8)


def exif_tree(block: bytes) -> Tree | None:
    """Return the tags of an EXIF block that a TIFF file can hold, or None if the block is damaged."""
    try:
        file = TiffFile(block.removeprefix(_EXIF_HEAD))
        tree, _ = file.tree(file.directory(file.first_at), POINTERS)
    except FormatError:
        return None
    return Tree(tuple(tag for tag in tree.tags if tag.number not in _NOT_FROM_EXIF), tree.below)


def _density(tags: list[Tag]) -> tuple[float, float] | None:
    """Return the dots per inch that the tags of a resolution give together."""
    found = {tag.number: tag for tag in tags}
    unit = _INCH
    if RESOLUTION_UNIT in found:
        tag = found[RESOLUTION_UNIT]
        unit = int.from_bytes(tag.data, "little") if tag.type == SHORT and len(tag.data) == 2 else _NO_UNIT
    values = []
    for number in (X_RESOLUTION, Y_RESOLUTION):
        ratio = found[number].data if number in found and found[number].type == RATIONAL else b""
        over, under = np.frombuffer(ratio, "<u4").tolist() if len(ratio) == 8 else (0, 0)
        if not (over and under and unit in (_INCH, _CENTIMETRE)):
            return None
        values.append(over / under * (_CM_PER_INCH if unit == _CENTIMETRE else 1.0))
    return values[0], values[1]


def _field_tags(m: Metadata) -> list[Tag]:
    """Return the tags that fields give if no note speaks of them, but those of the EXIF block."""
    tags = []
    if m.icc is not None:
        tags.append(Tag(ICC, UNDEFINED, m.icc))
    if m.xmp is not None:
        tags.append(Tag(TIFF_XMP, BYTE, m.xmp))
    ratios = [_ratio(v) for v in m.dpi] if m.dpi is not None else [None]
    if all(ratio is not None for ratio in ratios):
        both = zip((X_RESOLUTION, Y_RESOLUTION), ratios, strict=True)
        tags += [tag_of(n, LONG, ratio)._replace(type=RATIONAL) for n, ratio in both if ratio is not None]
        tags.append(tag_of(RESOLUTION_UNIT, SHORT, [_INCH]))
    return tags


def holds_density(dpi: tuple[float, float]) -> bool:
    """Return whether the tags of a resolution can hold dots per inch."""
    return all(_ratio(v) is not None for v in dpi)


def _ratio(value: float) -> tuple[int, int] | None:
    """Return the smallest ratio of 32-bit numbers that is nearest to a value, or None if there is none."""
    if not (math.isfinite(value) and 1 / _MAX_LONG <= value <= _MAX_LONG):
        return None
    exact = Fraction(value)
    found = Fraction(0)
    for limit in (10**power for power in range(10)):
        found = exact.limit_denominator(min(limit, int(_MAX_LONG / max(value, 1))))
        if found.numerator and float(found) == value:
            break
    return (found.numerator, found.denominator) if 0 < found.numerator <= _MAX_LONG else None


def tags_of(m: Metadata) -> Tree:
    """Return the tags that a TIFF file with this metadata has, but those of the layout.

    Fields win where notes say other things.
    """
    exif = (exif_tree(m.exif) if m.exif is not None else None) or Tree()
    tags = {tag.number: tag for tag in (*exif.tags, *_field_tags(m))}
    noted = {number: (note, tag) for note in m.notes if (tag := tag_of_note(note)) and (number := tag.number)}
    for number, (note, tag) in noted.items():
        if number in of.STRUCTURAL or number in LOST or number in POINTERS or number in DESCRIPTIVE_TAGS:
            continue
        if number in _DENSITY:
            continue
        if note.place & _MARK:
            if number in tags and number in (ICC, TIFF_XMP):
                tags[number] = tags[number]._replace(type=tag.type)
        else:
            tags.setdefault(number, tag)
    density = [tag for number in _DENSITY if number in noted and (tag := noted[number][1])]
    if density and _density(density) == m.dpi:
        for number in _DENSITY:
            tags.pop(number, None)
        tags.update({tag.number: tag for tag in density})
    return Tree(tuple(tags[number] for number in sorted(tags)), exif.below)


def tag_of_note(note: Note) -> Tag | None:
    """Return the tag of a note, or None if the note is none of a TIFF tag."""
    number, _, kind = note.key.partition("/")
    if note.format != FORMAT or not kind.isdigit() or len(kind) > 2 or not 0 <= _number(number) < 2**16:
        return None
    size = ITEM_BYTES.get(int(kind), 0)
    whole = size and not len(note.data) % size and int(kind) not in OFFSET_TYPES
    return Tag(_number(number), int(kind), note.data) if whole else None


def said_by_fields(m: Metadata) -> set[str]:
    """Return the keys of the notes of which fields hold the meaning, or which mean nothing."""
    marks = {note.key for note in m.notes if note.format == FORMAT and note.place & _MARK}
    density = [(note.key, tag) for note in m.notes if (tag := tag_of_note(note)) and tag.number in _DENSITY]
    square = {tag.data for _, tag in density if tag.number != RESOLUTION_UNIT}
    if m.dpi is not None or square == {b"\1\0\0\0\1\0\0\0"}:
        marks |= {key for key, _ in density}
    return marks
