# SPDX-License-Identifier: Apache-2.0
"""Pack and unpack the palette of a ``P`` picture; turn indices into colours and back.

Here is the payload of the palette section. `bbcodec.picture.picture` defines palettes, and `bbcodec.classic`
codes samples.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bbcodec.container import Reader, Section, varint
from bbcodec.container.inflate import inflate
from bbcodec.errors import FormatError
from bbcodec.picture.picture import Palette

__all__ = ["channels", "pack_palette", "paint", "unpack_palette", "unpaint"]

Bytes = NDArray[np.uint8]

# Bits of the first byte: 0 RGBA entries; 1-2 transparency; 4-7 coding of the entries.
_RGBA = 0x01
_INDEX, _ALPHAS = 1, 2
_RAW, _DEFLATE, _DELTA, _CUBE, _SORTED, _APPEARING = range(6)
_ENTRIES = 256
_BLOCK_PIXELS = 2**18  # pixels painted or looked up at a time, to save memory


# --- the section --------------------------------------------------------------------------------------------


def pack_palette(palette: Palette, pixels: Bytes | None = None) -> bytes:
    """Return the payload of the palette section.

    Parameters
    ----------
    palette : Palette
    pixels : uint8 ``[H, W]``, optional
        Indices that `paint` can paint. Give them only if the file holds the painted picture.
    """
    t = palette.transparency
    alphas = t if isinstance(t, bytes) else b""
    kind = 0 if t is None else _ALPHAS if isinstance(t, bytes) else _INDEX
    head = (_RGBA if palette.layout == "RGBA" else 0) | kind << 1
    extra = b"" if t is None else varint(len(t)) if isinstance(t, bytes) else bytes([t])
    width = len(palette.layout)
    data = palette.data
    size = varint(len(data))
    forms = [(_RAW, alphas + data), (_DEFLATE, size + _deflate(alphas + data))]
    if len(data) % width == 0:
        forms.append((_DELTA, size + _deflate(_delta(alphas, 1) + _delta(data, width))))
    if data == _cube(len(data)):
        forms.append((_CUBE, size + alphas))
    if pixels is not None and len(alphas) <= len(data) // width:
        forms += [(form, _pack_order(palette, pixels, form)) for form in (_SORTED, _APPEARING)]
    form, body = min(forms, key=lambda item: len(item[1]))
    return bytes([head | form << 4]) + extra + body


def unpack_palette(section: Section, painted: Bytes | None = None) -> Palette:
    """Return the palette of a section.

    Parameters
    ----------
    section : Section
    painted : uint8 ``[H, W, 3 or 4]``, optional
        The painted picture, if the file holds it.

    Raises
    ------
    FormatError
        The section is damaged.
    """
    reader, layout, kind, form = _head(section)
    index = reader.u8("transparent index") if kind == _INDEX else None
    count = reader.varint("number of alphas") if kind == _ALPHAS else 0
    if count > _ENTRIES:
        raise reader.error(f"{count} alphas, expected at most {_ENTRIES}")
    if form >= _SORTED:
        if painted is None:
            raise reader.error("the palette is an order of colours, which are lost or not held as colours")
        data, alphas = _unpack_order(reader, painted, len(layout), count, form)
    else:
        data, alphas = _unpack_entries(reader, len(layout), count, form)
    reader.finish()
    return Palette(data, layout, alphas if kind == _ALPHAS else index)


def is_opaque(palette: Palette) -> bool:
    """Return whether no entry of a palette has an alpha."""
    return palette.layout == "RGB" and palette.transparency is None


def channels(section: Section) -> int:
    """Return the channels of a picture painted with the palette of a section: 3 or 4.

    Raises
    ------
    FormatError
        The section is damaged.
    """
    _, layout, kind, _ = _head(section)
    return 4 if layout == "RGBA" or kind else 3


def _head(section: Section) -> tuple[Reader, str, int, int]:
    """Return a reader after the first byte, and the content of that byte: layout, transparency, coding."""
    reader = section.reader()
    head = reader.u8("palette form")
    kind, form = head >> 1 & 3, head >> 4
    if head & 0x08 or kind > _ALPHAS or form > _APPEARING:
        raise reader.error(f"palette form is {head:#x}, which is not defined")
    return reader, "RGBA" if head & _RGBA else "RGB", kind, form


def _unpack_entries(reader: Reader, width: int, count: int, form: int) -> tuple[bytes, bytes]:
    """Return the entries, `width` bytes each, and `count` alphas of a palette that is stored as bytes."""
    size = reader.left - count if form == _RAW else reader.varint("palette size")
    if not 0 <= size <= _ENTRIES * width:
        raise reader.error(f"palette has {size} bytes, expected 0 to {_ENTRIES * width}")
    if form in (_RAW, _CUBE):
        alphas = bytes(reader.take(count, "alphas"))
        return bytes(reader.rest()) if form == _RAW else _cube(size), alphas
    both = inflate(reader, count + size)
    alphas, data = both[:count], both[count:]
    if form == _DELTA:
        if size % width:
            raise reader.error(f"palette has {size} bytes, expected a multiple of {width}")
        alphas, data = _undelta(alphas, 1), _undelta(data, width)
    return data, alphas


def _cube(size: int) -> bytes:
    """Return the first `size` bytes of the 6 x 6 x 6 web palette in the layout of Pillow's ``convert("P")``.

    It has 10 black entries, then the colours, blue changing slowest and red fastest, then black entries.
    """
    step = np.arange(216, dtype=np.int64)
    colours = np.stack([step % 6, step // 6 % 6, step // 36], axis=1) * 51
    entries = np.zeros((_ENTRIES, 3), np.uint8)
    entries[10:226] = colours
    return entries.tobytes()[:size]


def _deflate(raw: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    return squeeze.compress(raw) + squeeze.flush()


def _delta(data: bytes, width: int) -> bytes:
    """Return the differences of neighbouring entries mod 256, channel by channel."""
    entries = np.frombuffer(data, np.uint8).reshape(-1, width)
    return np.diff(entries, axis=0, prepend=np.zeros((1, width), np.uint8)).T.tobytes()


def _undelta(data: bytes, width: int) -> bytes:
    steps = np.frombuffer(data, np.uint8).reshape(width, -1)
    return np.cumsum(steps, axis=1, dtype=np.uint8).T.tobytes()


# --- painting -----------------------------------------------------------------------------------------------


def _table(palette: Palette) -> Bytes | None:
    """Return the colour of each entry, RGB or (with transparency) RGBA; None if it is not defined."""
    width, t = len(palette.layout), palette.transparency
    if not palette.data or len(palette.data) % width or (width == 4 and t is not None):
        return None
    entries = np.frombuffer(palette.data, np.uint8).reshape(-1, width)
    if t is None:
        return entries
    alpha = np.full((len(entries), 1), 255, np.uint8)
    if isinstance(t, bytes):
        given = np.frombuffer(t, np.uint8)[: len(entries)]
        alpha[: len(given), 0] = given
    else:
        alpha[t : t + 1] = 0
    return np.hstack([entries, alpha])


def paint(palette: Palette, pixels: Bytes, *, alpha: bool = True) -> Bytes | None:
    """Return the colours ``[H, W, 3 or 4]`` of indices; None if `unpaint` cannot restore the indices.

    Without `alpha` there are three channels, whatever the palette has.
    """
    table = _table(palette)
    if table is None or int(pixels.max()) >= len(table):
        return None
    table = table if alpha else table[:, :3]
    used = np.flatnonzero(_first_places(pixels, _ENTRIES) >= 0)
    keys = _keys(table)
    if any(keys[i] in keys[:i] for i in used):
        return None
    out = np.empty((*pixels.shape, table.shape[1]), np.uint8)
    for rows in _blocks(pixels):
        np.take(table, pixels[rows], axis=0, out=out[rows], mode="clip")
    return out


def unpaint(painted: Bytes, palette: Palette) -> Bytes:
    """Return the indices ``[H, W]`` of colours, with or without alpha, the first one of equal entries.

    Raises
    ------
    FormatError
        The picture has a colour that the palette does not have.
    """
    table = _table(palette)
    if table is None or table.shape[1] < painted.shape[2]:
        raise FormatError("file: the palette does not suit a picture that is held as colours")
    table = table[:, : painted.shape[2]]
    known, first = np.unique(_keys(table), return_index=True)
    out = np.empty(painted.shape[:2], np.uint8)
    for rows in _blocks(painted):
        keys = _keys(painted[rows])
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        if not np.array_equal(known[at], keys):
            raise FormatError("file: the picture has a colour that is not in its palette")
        out[rows] = first[at]
    return out


def _blocks(pixels: Bytes) -> Iterator[slice]:
    height, width = pixels.shape[:2]
    step = max(1, _BLOCK_PIXELS // width)
    return (slice(top, top + step) for top in range(0, height, step))


def _keys(colours: Bytes) -> NDArray[np.uint32]:
    """Return each colour as one number, red in its highest byte."""
    keys = np.zeros(colours.shape[:-1], np.uint32)
    for channel in range(colours.shape[-1]):
        keys = keys << np.uint32(8) | colours[..., channel]
    return keys


def _first_places(pixels: Bytes, count: int) -> NDArray[np.int64]:
    """Return the first position, in raster order, of each index below `count`; -1 if it does not occur."""
    places = np.full(count, -1, np.int64)
    for rows in _blocks(pixels):
        values, where = np.unique(pixels[rows], return_index=True)
        new = places[values] < 0
        places[values[new]] = where[new] + rows.start * pixels.shape[1]
    return places


# --- a palette as an order of the picture's colours ---------------------------------------------------------


def _pack_order(palette: Palette, pixels: Bytes, form: int) -> bytes:
    """Return a palette as the order of the used colours, and the unused entries."""
    table = _table(palette)
    assert table is not None  # the picture has been painted with it
    places = _first_places(pixels, len(table))
    used = np.flatnonzero(places >= 0)
    order = np.argsort(_keys(table)[used] if form == _SORTED else places[used])
    ranks = np.argsort(order).tolist()
    unused = places < 0
    count = int(unused.sum())
    out = varint(count)
    if count:
        out += np.packbits(unused).tobytes() + table[unused][:, : _stored(palette)].tobytes()
    return out + _number(ranks)


def _stored(palette: Palette) -> int:
    """Return the stored bytes of an unused entry: 4 with an alpha of its own, else 3."""
    return 4 if palette.layout == "RGBA" or isinstance(palette.transparency, bytes) else 3


def _unpack_order(reader: Reader, painted: Bytes, width: int, count: int, form: int) -> tuple[bytes, bytes]:
    """Return the entries, `width` bytes each, and `count` alphas of a palette that `_pack_order` packed."""
    colours = _distinct(painted, form, reader)
    unused = reader.varint("number of unused entries")
    entries = len(colours) + unused
    if entries > _ENTRIES or count > entries:
        raise reader.error(f"{entries} entries and {count} alphas, expected at most {_ENTRIES}")
    stored = 4 if width == 4 or (painted.shape[2] == 4 and count) else 3
    blank = np.zeros(entries, np.bool_)
    table = np.full((entries, 4), 255, np.uint8)
    if unused:
        bits = np.unpackbits(np.frombuffer(reader.take(-(-entries // 8), "map of unused entries"), np.uint8))
        blank[:] = bits[:entries]
        if int(bits.sum()) != unused or int(blank.sum()) != unused:
            raise reader.error(f"map of unused entries does not have {unused} of {entries}")
        raw = np.frombuffer(reader.take(unused * stored, "unused entries"), np.uint8)
        table[blank, :stored] = raw.reshape(unused, stored)
    ranks = _ranks(bytes(reader.rest()), len(colours), reader)
    table[~blank, : painted.shape[2]] = colours[ranks]
    return table[:, :width].tobytes(), table[:count, 3].tobytes()


def _distinct(painted: Bytes, form: int, reader: Reader) -> Bytes:
    """Return the distinct colours of a picture, in ascending order or in order of appearance."""
    seen: dict[int, None] = {}
    for rows in _blocks(painted):
        keys = _keys(painted[rows]).reshape(-1)
        keys = keys[np.flatnonzero(np.diff(keys, prepend=~keys[:1]))]  # one colour of each run: less to sort
        keys, where = np.unique(keys, return_index=True)
        if len(keys) > _ENTRIES:
            raise reader.error(f"picture has more than {_ENTRIES} colours")
        seen.update(dict.fromkeys(keys[np.argsort(where)].tolist()))
    if len(seen) > _ENTRIES:
        raise reader.error(f"picture has more than {_ENTRIES} colours")
    keys = np.array(sorted(seen) if form == _SORTED else list(seen), ">u4")
    return keys.view(np.uint8).reshape(-1, 4)[:, 4 - painted.shape[2] :]


def _number(ranks: list[int]) -> bytes:
    """Return a permutation as a factorial number, little-endian, without trailing zero bytes."""
    left = sorted(ranks)
    value = 0
    for rank in ranks:
        at = left.index(rank)
        value = value * len(left) + at
        del left[at]
    return value.to_bytes(-(-value.bit_length() // 8), "little")


def _ranks(raw: bytes, count: int, reader: Reader) -> list[int]:
    """Return the permutation that `_number` packed."""
    if raw.endswith(b"\0") or len(raw) > -(-math.factorial(count).bit_length() // 8):
        raise reader.error(f"order of {count} colours is not written in its shortest form")
    value = int.from_bytes(raw, "little")
    digits = []
    for radix in range(1, count + 1):
        value, digit = divmod(value, radix)
        digits.append(digit)
    if value:
        raise reader.error(f"order of {count} colours is out of range")
    left = list(range(count))
    return [left.pop(digit) for digit in reversed(digits)]
