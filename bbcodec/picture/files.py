# SPDX-License-Identifier: Apache-2.0
"""Image files: read exactly or refused by name, and written without changing a pixel.

Everything about files and their formats is here; what a picture is, is said in `bbcodec.picture.picture`.
"""

from __future__ import annotations

import io
import os
import warnings
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, PngImagePlugin

from bbcodec.container import MAX_PIXELS, Buffer
from bbcodec.errors import BBCodecError, FormatError, LimitError, OptionError, UnsupportedImageError
from bbcodec.picture import metadata as meta
from bbcodec.picture import png16
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import Palette, Picture, PictureLike, frames
from bbcodec.picture.pillow_limit import limited
from bbcodec.storage.atomic import atomic_write

__all__ = ["left_out", "read_image", "suffixes", "write_image"]

# Readers of Pillow whose pixels are what the file holds. Others reduce deep samples silently (JPEG 2000,
# AVIF), rasterise (EPS, WMF), or pick one of several pictures (ICO, ICNS).
_EXACT_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "BMP", "DIB", "PPM", "TGA", "PCX", "QOI")


def read_image(source: str | os.PathLike[str] | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read an image file exactly, 16-bit RGB(A) PNG included.

    Parameters
    ----------
    source : path or binary file object
    max_pixels : int
        Largest width * height.

    Raises
    ------
    UnsupportedImageError
        What cannot be kept exactly: animations, multi-page files, CMYK, 32-bit and float samples, formats
        whose reader reduces the samples.
    FormatError
        Not an image, or damaged.
    LimitError
        More than `max_pixels`.
    OSError
        The file cannot be read.
    """
    if not isinstance(source, str | os.PathLike):
        return _read(io.BytesIO(source.read()), max_pixels)
    with open(source, "rb") as file:
        try:
            # Pillow wants to go back and forth, which a pipe cannot.
            return _read(file if file.seekable() else io.BytesIO(file.read()), max_pixels)
        except BBCodecError as error:
            raise type(error)(f"{os.fspath(source)}: {error}") from error


def _read(file: BinaryIO, max_pixels: int) -> Picture:
    with warnings.catch_warnings():  # of damage that the readers pass over
        warnings.simplefilter("ignore")
        with limited(max_pixels):
            try:
                image = Image.open(file)
            except Image.DecompressionBombError as error:
                raise LimitError(f"{error}; the limit is {max_pixels}") from error
            # UnidentifiedImageError, and whatever a damaged header makes a reader raise
            except Exception as error:
                raise FormatError("not an image that Pillow can read, or damaged") from error
        return _exact(image, file, max_pixels)


def _exact(image: Image.Image, file: BinaryIO, max_pixels: int) -> Picture:
    """Return the picture of an image that was opened from a file."""
    if image.format not in _EXACT_FORMATS:
        raise UnsupportedImageError(
            f"{image.format} files may lose bits on reading, expected {', '.join(_EXACT_FORMATS)}"
        )
    if image.width * image.height > max_pixels:
        raise LimitError(f"{image.width} x {image.height} is above the limit of {max_pixels} pixels")
    mode = None
    if image.format == "PNG":
        at = file.tell()
        file.seek(0)
        mode = png16.sniff(file.read(png16.SNIFF))
        file.seek(at)
    if mode is None:
        return Picture.of(image)
    if frames(image) > 1:
        return Picture.of(image)  # refuses it by name
    file.seek(0)
    pixels = png16.decode(file.read())
    file.seek(at)
    try:
        image.load()  # metadata chunks may stand behind the pixels
    except Exception as error:
        raise FormatError(f"PNG: pixels cannot be read: {error}") from error
    return Picture(pixels, mode, metadata=meta.from_pil(image))


# What each file format can hold so that Pillow reads the same mode and the same pixels back.
_WRITABLE = {
    "PNG": ("1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I;16B"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I;16B"),
    "BMP": ("1", "L", "P", "RGB"),
    "PPM": ("1", "L", "RGB"),
}
# The metadata that `write_image` puts into each.
_KEPT = {
    "PNG": ("icc", "exif", "xmp", "dpi", "text", "colour_key"),
    "WEBP": ("icc", "exif", "xmp"),
    "TIFF": ("icc", "exif", "xmp", "dpi"),
    "BMP": ("dpi",),
    "PPM": (),
}
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
    """Return the suffixes of the files that `write_image` can write."""
    return sorted(_SUFFIXES)


def write_image(
    target: str | os.PathLike[str] | BinaryIO, image: PictureLike, *, format: str | None = None
) -> int:
    """Write a picture to an image file, pixels unchanged, with its metadata where the format has a place.

    Parameters
    ----------
    target : path or binary file object
        A path names the whole file or, if something fails, what it named before. A file object gets the file
        piece by piece.
    image : Picture, Pillow image or array
    format : str, optional
        ``png``, ``webp``, ``tif``, ``bmp`` or ``ppm``; by default from the suffix, and PNG for a file object.

    Returns
    -------
    int
        Size of the file in bytes.

    Raises
    ------
    UnsupportedImageError
        The format cannot hold the mode exactly, or the metadata break a rule (`Metadata.problem`). (What a
        format has no place for is left out: of ICC, EXIF and XMP that is so in BMP and PPM.)
    OptionError
        The suffix is not one of the above.
    OSError
        The file cannot be written.
    """
    suffix = f".{format.lower()}" if format else ".png"
    if not format and isinstance(target, str | os.PathLike):
        suffix = Path(target).suffix.lower()
    kind = _SUFFIXES.get(suffix)
    if kind is None:
        raise OptionError(
            f"cannot write {suffix or 'a file without suffix'!r}, expected {', '.join(sorted(_SUFFIXES))}"
        )
    picture = Picture.of(image)
    if not isinstance(target, str | os.PathLike):
        return _write(target, picture, kind)
    with atomic_write(target, overwrite=True) as file:
        return _write(file, picture, kind)


class _Pieces(io.RawIOBase):
    """Hands on and counts what is written.

    It has no file number: Pillow writes to one in a single call, and no signal is answered meanwhile.
    """

    def __init__(self, target: BinaryIO):
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
    m, palette = picture.metadata, picture.palette
    if wrong := m.problem(picture.mode):
        raise UnsupportedImageError(f"{kind} cannot hold the metadata: {wrong}")
    if m.dpi is not None and not all(_fits(v) for v in m.dpi):
        m = replace(m, dpi=None)  # no file format has a place for it
    if (kind == "PNG" and picture.mode.endswith("A;16")) or (picture.mode == "RGB;16" and kind == "PNG"):
        return sum(map(_Pieces(target).write, png16.encode(picture.pixels, m)))
    rich = palette is not None and (palette.layout != "RGB" or palette.transparency is not None)
    if picture.mode not in _WRITABLE[kind] or (kind != "PNG" and (rich or m.colour_key is not None)):
        what = "a palette with alpha" if rich else f"mode {picture.mode}"
        raise UnsupportedImageError(f"{kind} cannot hold {what} exactly; write a PNG")
    if kind == "PNG" and palette is not None and palette.layout == "RGBA":
        palette = _split_alpha(palette)
    image = replace(picture, palette=palette, metadata=Metadata()).to_pil()
    options: dict[str, Any] = {}
    if kind in ("PNG", "WEBP", "TIFF"):
        options = {"icc_profile": m.icc, "exif": m.exif, "dpi": m.dpi if kind != "WEBP" else None}
    if kind == "WEBP":
        options |= {"lossless": True, "exact": True, "xmp": m.xmp}
    elif kind == "TIFF":
        options |= {"compression": "tiff_adobe_deflate", "exif": _tiff_tags(m)}
    elif kind == "BMP":
        options["dpi"] = m.dpi
    elif kind == "PNG":
        options |= {"pnginfo": _png_text(m), "transparency": m.colour_key}
        if palette is not None:
            options["transparency"] = palette.transparency
    options = {key: value for key, value in options.items() if value is not None}
    pieces, whole = _Pieces(target), io.BytesIO()
    file: Any = whole if kind == "TIFF" else pieces  # TIFF goes back and forth
    try:
        image.save(file, kind, **options)
    except Exception as error:  # whatever a writer of Pillow raises on metadata that it cannot take
        if error is pieces.failure:
            raise
        raise UnsupportedImageError(f"{kind} cannot hold the picture with its metadata: {error}") from error
    pieces.write(whole.getbuffer())
    return pieces.size


def left_out(picture: Picture, format: str) -> list[str]:
    """Return what a file of a format (as of `write_image`) has no place for: fields of the metadata."""
    kept = _KEPT[_SUFFIXES[f".{format.lower()}"]]
    m = picture.metadata
    out = [f.name for f in fields(m) if getattr(m, f.name) not in (None, ()) and f.name not in kept]
    if m.dpi is not None and "dpi" in kept and not all(_fits(v) for v in m.dpi):
        out.append("dpi")
    return out


def _fits(dpi: float) -> bool:
    """Return whether a density, as a whole number of dots per metre, is above 0 and below 2**31."""
    return 1 <= dpi / 0.0254 + 0.5 < 2**31


def _split_alpha(palette: Palette) -> Palette:
    """Return an RGBA palette as PNG has it: RGB entries, and their alpha as transparency."""
    entries = np.frombuffer(palette.data, np.uint8).reshape(-1, 4)
    return Palette(entries[:, :3].tobytes(), "RGB", entries[:, 3].tobytes())


def _tiff_tags(m: Metadata) -> Image.Exif:
    source = Image.Exif()
    if m.exif is not None:
        try:
            source.load(m.exif)
        except Exception:  # a damaged block, which Pillow's writer could not take over: its tags are left out
            source = Image.Exif()
    tags = meta.descriptive(source)
    if m.xmp is not None:
        tags[meta.TIFF_XMP] = m.xmp
    return tags


def _png_text(m: Metadata) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    if m.xmp is not None:
        chunks.add_itxt("XML:com.adobe.xmp", m.xmp.decode("utf-8", "replace"))
    for key, value in m.text:
        chunks.add_text(key, value)
    return chunks
