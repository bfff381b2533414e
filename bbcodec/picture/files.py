# SPDX-License-Identifier: Apache-2.0
"""Read and write image files without changing a sample: `read_image`, `write_image`.

`bbcodec.picture.formats` has the readers and writers of each format. `bbcodec.picture.picture` defines
pictures and their modes.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, BinaryIO

from bbcodec.container import MAX_PIXELS, Buffer
from bbcodec.errors import LeftOutWarning, OptionError, UnsupportedImageError
from bbcodec.picture import formats
from bbcodec.picture.formats import png, pnm, tiff
from bbcodec.picture.metadata import Metadata, Note
from bbcodec.picture.picture import Picture, PictureLike
from bbcodec.storage.atomic import atomic_write

__all__ = ["left_out", "own_notes", "read_image", "suffixes", "write_image"]


def read_image(source: str | os.PathLike[str] | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read an image file: all of its samples and metadata.

    What the picture cannot hold of the file is named by one `LeftOutWarning`.

    Parameters
    ----------
    source : path or binary file object
    max_pixels : int
        Largest width * height, in pixels.

    Raises
    ------
    UnsupportedImageError
        The samples cannot be kept: an animation, a multi-page file, CMYK, 32-bit or float samples, or a
        format that has no reader here.
    FormatError
        The file is not an image, or is damaged.
    LimitError
        The image has more than `max_pixels`.
    OSError
        The file cannot be read.
    """
    reading = formats.read(source, max_pixels=max_pixels)
    if reading.left_out:
        name = f"{os.fspath(source)}: " if isinstance(source, str | os.PathLike) else ""
        warnings.warn(f"{name}left out: {', '.join(reading.left_out)}", LeftOutWarning, stacklevel=3)
    return reading.picture


# The modes that each file format holds exactly: its reader returns the same mode and pixels.
_EXACT_MODES = {
    "PNG": png.MODES_HELD,
    "WEBP": ("RGB", "RGBA"),
    "TIFF": tiff.MODES_HELD,
    "BMP": ("1", "L", "P", "RGB"),
    "PPM": pnm.MODES_HELD,
}
# The metadata fields that `write_image` writes to each format, and the notes that it understands.
_METADATA_FIELDS = {
    "PNG": ("icc", "exif", "xmp", "dpi", "text", "colour_key"),
    "WEBP": ("icc", "exif", "xmp"),
    "TIFF": ("icc", "exif", "xmp", "dpi"),
    "BMP": ("dpi",),
    "PPM": (),
}
_NOTES = {"PNG": png.FORMAT, "TIFF": tiff.FORMAT, "PPM": pnm.FORMAT}
_SUFFIXES = {
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pbm": "PPM",
    ".pnm": "PPM",
}


def suffixes() -> list[str]:
    """Return the file suffixes that `write_image` supports."""
    return sorted(_SUFFIXES)


def write_image(
    target: str | os.PathLike[str] | BinaryIO, image: PictureLike, *, format: str | None = None
) -> int:
    """Write a picture to an image file with unchanged pixels, and with the metadata that the format supports.

    Parameters
    ----------
    target : path or binary file object
        A path holds the whole file afterwards or, if an error occurs, its old content. A file object gets the
        file piece by piece.
    image : Picture, Pillow image or array
    format : str, optional
        ``png``, ``webp``, ``tif``, ``bmp`` or ``ppm``. Default: from the suffix, or PNG for a file object.

    Returns
    -------
    int
        Size of the file in bytes.

    Raises
    ------
    UnsupportedImageError
        The format cannot hold the mode exactly, or cannot say that 0 is white or that colours are multiplied
        with alpha (only TIFF can), or the metadata break a rule (`Metadata.problem`). Metadata
        that the format does not support is left out instead (`left_out`): ICC, EXIF and XMP in BMP and PPM.
    OptionError
        The suffix or the format is not supported.
    OSError
        The file cannot be written.
    """
    suffix = f".{format.lower()}" if format else ".png"
    if not format and isinstance(target, str | os.PathLike):
        suffix = Path(target).suffix.lower()
    kind = _SUFFIXES.get(suffix)
    if kind is None:
        raise OptionError(
            f"cannot write {suffix or 'a file without suffix'!r}; expected one of {', '.join(suffixes())}"
        )
    picture = Picture.of(image)
    if not isinstance(target, str | os.PathLike):
        return _write(target, picture, kind)
    with atomic_write(target, overwrite=True) as file:
        return _write(file, picture, kind)


class _CountingWriter(io.RawIOBase):
    """File object that forwards the bytes to a target and counts them.

    It has no file descriptor on purpose: Pillow would write to one in a single call that no signal can
    interrupt.
    """

    def __init__(self, target: BinaryIO) -> None:
        self.target, self.size = target, 0
        self.failure: OSError | None = None  # of the target

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer) -> int:  # type: ignore[override]
        try:
            self.target.write(data)
        except OSError as error:
            self.failure = error
            raise
        self.size += len(data)
        return len(data)


def _write(target: BinaryIO, picture: Picture, kind: str) -> int:
    """Write a picture in a format, and return the size of the file in bytes."""
    m, palette = picture.metadata, picture.palette
    if wrong := m.problem(picture.mode):
        raise UnsupportedImageError(f"{kind} cannot hold the metadata: {wrong}")
    if m.dpi is not None and not _fits(kind, m.dpi):
        picture = replace(picture, metadata=replace(m, dpi=None))  # no file format can hold this density
    rich = palette is not None and (palette.layout != "RGB" or palette.transparency is not None)
    if picture.mode not in _EXACT_MODES[kind] or (kind != "PNG" and (rich or m.colour_key is not None)):
        what = "a palette with alpha" if rich else f"mode {picture.mode}"
        raise UnsupportedImageError(f"{kind} cannot hold {what} exactly; write a PNG")
    if kind != "TIFF" and (picture.has_associated_alpha or picture.white_is_zero):
        what = "has straight alpha only" if picture.has_associated_alpha else "cannot say that 0 is white"
        raise UnsupportedImageError(f"{kind} {what}; write a TIFF (.tif)")
    writer = _CountingWriter(target)
    try:
        if kind in ("BMP", "WEBP"):
            _save_with_pillow(writer, picture, kind)
        else:
            for piece in _PIECES[kind](picture):
                writer.write(piece)
    except UnsupportedImageError:
        raise
    except Exception as error:  # Pillow's writers raise many kinds on metadata that they cannot write
        if error is writer.failure:
            raise
        raise UnsupportedImageError(f"{kind} cannot hold the picture with its metadata: {error}") from error
    return writer.size


_PIECES: dict[str, Callable[[Picture], Iterable[bytes | memoryview]]] = {
    "PNG": png.write,
    "TIFF": tiff.write,
    "PPM": pnm.write,
}


def _save_with_pillow(writer: _CountingWriter, picture: Picture, kind: str) -> None:
    m = picture.metadata
    options: dict[str, Any] = {"dpi": m.dpi}
    if kind == "WEBP":
        options = {"icc_profile": m.icc, "exif": m.exif, "xmp": m.xmp, "lossless": True, "exact": True}
    image = replace(picture, metadata=Metadata()).to_pil()
    file: Any = writer
    image.save(file, kind, **{key: value for key, value in options.items() if value is not None})


def own_notes(metadata: Metadata, format: str) -> tuple[Note, ...]:
    """Return the notes of metadata that a file of a format can hold: those of this format."""
    kind = _NOTES.get(_SUFFIXES[f".{format.lower()}"])
    return tuple(note for note in metadata.notes if note.format == kind)


def left_out(picture: Picture, format: str) -> list[str]:
    """Return the metadata that `write_image` leaves out in a file of a format: fields, and names of notes."""
    kind = _SUFFIXES[f".{format.lower()}"]
    kept = _METADATA_FIELDS[kind]
    m = picture.metadata
    named = [f.name for f in fields(m) if f.name != "notes"]
    out = [name for name in named if getattr(m, name) not in (None, ()) and name not in kept]
    if m.dpi is not None and "dpi" in kept and not _fits(kind, m.dpi):
        out.append("dpi")
    if kind == "TIFF" and m.exif is not None and tiff.exif_tree(m.exif) is None:
        out.append("exif (damaged)")
    said = {*_OF_FIELDS, *tiff.said_by_fields(m)}
    notes = dict.fromkeys(n.key for n in m.notes if n.format != _NOTES.get(kind) and n.key not in said)
    return out + [_note_name(key, m) for key in notes]


_OF_FIELDS = ("iCCP", "eXIf", "pHYs", "tRNS", "tEXt", "zTXt", "iTXt")  # chunks that fields hold too


def _note_name(key: str, metadata: Metadata) -> str:
    """Return what the notes with a key are called in messages."""
    kind = next(note.format for note in metadata.notes if note.key == key)
    names = {"png": f"PNG chunk {key}", "tiff": f"TIFF tag {key.partition('/')[0]}", "pnm": f"PNM {key}"}
    is_depth = (kind, key) in ((png.FORMAT, png.DEPTH), (tiff.FORMAT, tiff.DEPTH))
    return "bits a sample" if is_depth else names.get(kind, f"{kind} {key}")


def _fits(kind: str, dpi: tuple[float, float]) -> bool:
    """Return whether a format holds a density: TIFF as ratios, others rounded to dots per metre."""
    if kind == "TIFF":
        return tiff.holds_density(dpi)
    return all(1 <= v / 0.0254 + 0.5 < 2**31 for v in dpi)
