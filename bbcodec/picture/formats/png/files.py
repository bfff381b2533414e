# SPDX-License-Identifier: Apache-2.0
"""Read and write PNG files: every sample, every ancillary chunk, and the depth.

Pillow codes the samples of all pictures but those with 16 bits in several channels
(`bbcodec.picture.formats.png.samples`). Its reader gets the chunks of the samples alone.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.errors import LimitError, UnsupportedImageError
from bbcodec.picture.formats.pillow_reader import picture_of
from bbcodec.picture.formats.png import samples
from bbcodec.picture.formats.png.chunks import PALETTE, SIGNATURE, Header, Layout, pack_chunk, parse
from bbcodec.picture.formats.png.metadata import FORMAT, chunks_of, metadata_of
from bbcodec.picture.formats.reading import Reading
from bbcodec.picture.metadata import Metadata, Note
from bbcodec.picture.picture import MODES, Palette, Picture

__all__ = ["DEPTH", "FORMAT", "MODES_HELD", "read", "read_again", "write"]

DEPTH: Final = "depth"
"""Key of the note with the bits of a sample, where the mode alone would give others."""
MODES_HELD: Final = ("1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I;16B", "LA;16", "RGB;16", "RGBA;16")
_NAMES: Final = {
    (0, 16): "I;16",
    (0, 1): "1",
    (2, 16): "RGB;16",
    (4, 16): "LA;16",
    (6, 16): "RGBA;16",
    (0, 8): "L",
    (2, 8): "RGB",
    (4, 8): "LA",
    (6, 8): "RGBA",
}
_COLOUR_TYPES: Final = {"P": 3, "LA": 4, "RGB": 2, "RGBA": 6, "LA;16": 4, "RGB;16": 2, "RGBA;16": 6}


def read(data: bytes, max_pixels: int) -> Reading:
    """Read a PNG file. Errors as of `bbcodec.read_image`."""
    layout, left_out = _checked(data, max_pixels)
    header = layout.header
    name = _mode(header)
    if header.depth == 16 and name != "I;16":
        pixels: NDArray[np.generic] = samples.decode(header, layout.pixels)
    else:
        if extra := samples.check_stream(header, layout.pixels):
            left_out.append(f"{extra} bytes behind the pixel data")
        pixels = _by_pillow(layout)
    return Reading(_picture(layout, name, pixels, left_out), "PNG", tuple(left_out))


def read_again(data: bytes, max_pixels: int) -> Picture:
    """Read a PNG file without Pillow. Errors as of `read`."""
    layout, left_out = _checked(data, max_pixels)
    header, name = layout.header, _mode(layout.header)
    pixels = samples.decode(header, layout.pixels).reshape(MODES[name].shape(header.height, header.width))
    if name == "1":
        pixels = pixels != 0
    elif name == "L" and header.depth < 8:
        pixels = pixels * np.uint8(255 // ((1 << header.depth) - 1))
    return _picture(layout, name, pixels, left_out)


def _mode(header: Header) -> str:
    return "P" if header.colour == PALETTE else _NAMES.get((header.colour, header.depth), "L")


def _checked(data: bytes, max_pixels: int) -> tuple[Layout, list[str]]:
    """Return the layout of a file of one picture within the limit, and what lies behind its end."""
    layout = parse(data)
    header = layout.header
    if header.width * header.height > max_pixels:
        raise LimitError(f"{header.width} x {header.height} is above the limit of {max_pixels} pixels")
    for chunk in layout.others:
        if chunk.kind == "acTL" and len(chunk.body) == 8 and int.from_bytes(chunk.body[:4], "big") > 1:
            count = int.from_bytes(chunk.body[:4], "big")
            raise UnsupportedImageError(
                f"PNG animation of {count} pictures is not supported; expected a single picture"
            )
        if chunk.kind == "fdAT":
            raise UnsupportedImageError("PNG animation is not supported; expected a single picture")
    return layout, [f"{layout.trailing} bytes behind the end of the PNG"] if layout.trailing else []


def _by_pillow(layout: Layout) -> NDArray[np.generic]:
    """Return the samples as Pillow reads them, low depths of gray scaled to 8 bits."""
    plain = io.BytesIO()
    plain.write(SIGNATURE + pack_chunk("IHDR", _header_body(layout.header)))
    if layout.header.colour == PALETTE:
        assert layout.palette is not None  # parse has checked it
        plain.write(pack_chunk("PLTE", layout.palette))
    for body in layout.pixels:
        plain.write(pack_chunk("IDAT", body))
    plain.write(pack_chunk("IEND", b""))
    plain.seek(0)
    return picture_of(plain, "PNG", layout.header.width * layout.header.height).pixels


def _header_body(header: Header) -> bytes:
    sizes = (header.width, header.height, header.depth, header.colour, 0, 0, int(header.interlaced))
    return struct.pack(">IIBBBBB", *sizes)


def _picture(layout: Layout, name: str, pixels: NDArray[np.generic], left_out: list[str]) -> Picture:
    """Return the picture of a file with these samples; name in `left_out` what it cannot hold."""
    header, others = layout.header, list(layout.others)
    first = next((chunk for chunk in others if chunk.kind == "tRNS"), None)
    palette: Palette | None = None
    key: int | tuple[int, ...] | None = None
    if name == "P":
        assert layout.palette is not None  # parse has checked it
        alphas = bytes(first.body) if first is not None else b""
        palette = Palette(bytes(layout.palette), "RGB", _transparency(alphas))
    elif first is not None:
        key = _colour_key(header, first.body)
    for chunk in [chunk for chunk in others if chunk.kind == "tRNS"]:
        if chunk is not first or (palette is None and key is None):
            others.remove(chunk)
            left_out.append("a tRNS chunk that breaks the rules of PNG")
    has_palette = layout.palette is not None
    metadata = metadata_of(
        others,
        colour_key=key,
        transparency=_transparency_body(name, palette, key, header.depth),
        has_palette=has_palette,
    )
    notes = metadata.notes
    if has_palette and palette is None:  # suggested colours of a picture without palette
        notes = (Note(FORMAT, "PLTE", bytes(layout.palette or b""), 0), *notes)
    if header.depth != _plain_depth(name, palette, pixels):
        notes = (Note(FORMAT, DEPTH, bytes([header.depth])), *notes)
    if notes != metadata.notes:
        metadata = Metadata.of({**vars(metadata), "notes": notes})
    return Picture(pixels, name, palette, metadata)


def _plain_depth(name: str, palette: Palette | None, pixels: NDArray[np.generic]) -> int:
    """Return the least depth that holds a picture whose metadata say nothing of it."""
    if name == "P" and palette is not None:
        most = max(len(palette.data) // len(palette.layout) - 1, int(pixels.max()))
        return 1 if most < 2 else 2 if most < 4 else 4 if most < 16 else 8
    return 1 if name == "1" else 16 if MODES[name].dtype == "uint16" else 8


def _transparency(alphas: bytes) -> int | bytes | None:
    """Return the transparency of a palette as Pillow has it: an index if it is the only one, and clear."""
    alphas = alphas[:256]
    if not alphas:
        return None
    last = alphas.rstrip(b"\xff")
    clear = alphas.count(b"\0") == 1 and len(last) == alphas.find(b"\0") + 1 and set(alphas) <= {0, 255}
    return alphas.find(b"\0") if clear else alphas


def _colour_key(header: Header, body: memoryview) -> int | tuple[int, ...] | None:
    """Return the colour key of a gray or RGB picture in the samples of its mode; None if it has none."""
    count = {0: 1, 2: 3}.get(header.colour, 0)
    if not count or len(body) != 2 * count:
        return None
    values = struct.unpack(f">{count}H", body)
    if header.depth in (2, 4):
        values = tuple((v & ((1 << header.depth) - 1)) * (255 // ((1 << header.depth) - 1)) for v in values)
    return values if count == 3 else values[0]


def _transparency_body(
    name: str, palette: Palette | None, key: int | tuple[int, ...] | None, depth: int
) -> bytes | None:
    """Return the body of the tRNS chunk of a picture."""
    if palette is not None:
        t = palette.transparency
        return t if isinstance(t, bytes) else None if t is None else b"\xff" * t + b"\0"
    if key is None:
        return None
    values = key if isinstance(key, tuple) else (key,)
    if name == "L" and depth < 8:
        values = tuple(v * ((1 << depth) - 1) // 255 for v in values)
    return struct.pack(f">{len(values)}H", *values)


def write(picture: Picture) -> Iterator[bytes]:
    """Yield the pieces of a PNG file of a picture.

    Raises
    ------
    UnsupportedImageError
        The palette has more than 256 entries or other entries than RGB and RGBA.
    """
    name, m, palette = picture.mode, picture.metadata, picture.palette
    depth = _depth(picture)
    plte = m.note(FORMAT, "PLTE") if name in ("RGB", "RGBA", "RGB;16", "RGBA;16") else None
    if palette is not None:
        if palette.layout == "RGBA":
            palette = _split_alpha(palette)
        plte = palette.data or bytes(3)
    body = _transparency_body(name, palette, m.colour_key, depth)
    chunks = list(chunks_of(m, transparency=body, has_palette=plte is not None))
    header = (picture.width, picture.height, depth, _COLOUR_TYPES.get(name, 0), 0, 0, 0)
    yield SIGNATURE + pack_chunk("IHDR", struct.pack(">IIBBBBB", *header))
    yield from (pack_chunk(kind, body) for place, kind, body in chunks if place == 0)
    if plte is not None:
        yield pack_chunk("PLTE", plte)
    yield from (pack_chunk(kind, body) for place, kind, body in chunks if place == 1)
    yield from (pack_chunk("IDAT", piece) for piece in _packed_samples(picture, depth))
    yield from (pack_chunk(kind, body) for place, kind, body in chunks if place > 1)
    yield pack_chunk("IEND", b"")


def _depth(picture: Picture) -> int:
    """Return the bits of a sample: those of the source, if they hold the picture."""
    plain = _plain_depth(picture.mode, picture.palette, picture.pixels)
    noted = picture.metadata.note(FORMAT, DEPTH)
    wanted = noted[0] if noted is not None and len(noted) == 1 else plain
    if picture.mode == "P":
        return wanted if wanted in (1, 2, 4, 8) and wanted >= plain else plain
    if picture.mode != "L" or wanted not in (1, 2, 4):
        return plain
    step = 255 // ((1 << wanted) - 1)
    key = picture.metadata.colour_key
    whole = key is None or (isinstance(key, int) and key < 256 and key % step == 0)
    return wanted if whole and not np.any(picture.pixels % np.uint8(step)) else plain


def _split_alpha(palette: Palette) -> Palette:
    """Return an RGBA palette in the form of PNG: RGB entries, and their alpha as transparency."""
    entries = np.frombuffer(palette.data, np.uint8).reshape(-1, 4)
    return Palette(entries[:, :3].tobytes(), "RGB", entries[:, 3].tobytes())


def _packed_samples(picture: Picture, depth: int) -> Iterator[bytes | memoryview]:
    """Yield the bodies of the IDAT chunks."""
    if picture.mode in ("LA;16", "RGB;16", "RGBA;16"):
        yield from samples.encode(picture.pixels)
        return
    whole = io.BytesIO()
    image = Picture(picture.pixels, "L" if picture.mode == "P" else picture.mode).to_pil()
    if picture.mode == "P":
        image.putpalette(bytes(768))
        image.save(whole, "PNG", bits=depth)
    else:
        image.save(whole, "PNG", **({"bits": depth} if depth < 8 and picture.mode == "L" else {}))
    yield from parse(whole.getvalue()).pixels
