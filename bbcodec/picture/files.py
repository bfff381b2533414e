# SPDX-License-Identifier: Apache-2.0
"""Read and write image files without changing a pixel. Refuse those that cannot be read exactly.

This module knows the file formats. `bbcodec.picture.picture` defines pictures and their modes.
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

# Pillow reads the exact samples of these formats. Its other readers reduce deep samples silently (JPEG 2000,
# AVIF), rasterise (EPS, WMF), or choose one of several pictures (ICO, ICNS).
_EXACT_FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "TIFF", "GIF", "BMP", "DIB", "PPM", "TGA", "PCX", "QOI")


def read_image(source: str | os.PathLike[str] | BinaryIO, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read an image file exactly, including 16-bit RGB(A) PNG.

    Parameters
    ----------
    source : path or binary file object
    max_pixels : int
        Largest width * height, in pixels.

    Raises
    ------
    UnsupportedImageError
        The image cannot be kept exactly: an animation, a multi-page file, CMYK, 32-bit or float samples, or
        a format whose reader reduces the samples.
    FormatError
        The file is not an image, or is damaged.
    LimitError
        The image has more than `max_pixels`.
    OSError
        The file cannot be read.
    """
    if not isinstance(source, str | os.PathLike):
        return _read(io.BytesIO(source.read()), max_pixels)
    with open(source, "rb") as file:
        try:
            # Pillow seeks in the file, and a pipe cannot seek.
            return _read(file if file.seekable() else io.BytesIO(file.read()), max_pixels)
        except BBCodecError as error:
            raise type(error)(f"{os.fspath(source)}: {error}") from error


def _read(file: BinaryIO, max_pixels: int) -> Picture:
    with warnings.catch_warnings():  # readers warn about damage that they tolerate
        warnings.simplefilter("ignore")
        with limited(max_pixels):
            try:
                image = Image.open(file)
            except Image.DecompressionBombError as error:
                raise LimitError(f"{error}; the limit is {max_pixels}") from error
            # UnidentifiedImageError, or any error of a reader on a damaged header
            except Exception as error:
                raise FormatError("not an image that Pillow can read, or damaged") from error
        return _exact(image, file, max_pixels)


def _exact(image: Image.Image, file: BinaryIO, max_pixels: int) -> Picture:
    """Return the exact picture of an image that Pillow has opened from a file."""
    if image.format not in _EXACT_FORMATS:
        raise UnsupportedImageError(
            f"{image.format} files may lose bits when read; expected one of {', '.join(_EXACT_FORMATS)}"
        )
    if image.width * image.height > max_pixels:
        raise LimitError(f"{image.width} x {image.height} is above the limit of {max_pixels} pixels")
    mode = None
    if image.format == "PNG":
        at = file.tell()
        file.seek(0)
        mode = png16.sniff(file.read(png16.SNIFF_BYTES))
        file.seek(at)
    if mode is None:
        return Picture.of(image)
    if frames(image) > 1:
        return Picture.of(image)  # raises UnsupportedImageError
    file.seek(0)
    pixels = png16.decode(file.read())
    file.seek(at)
    try:
        image.load()  # metadata chunks may follow the pixels
    except Exception as error:
        raise FormatError(f"PNG: pixels cannot be read: {error}") from error
    return Picture(pixels, mode, metadata=meta.from_pil(image))


# The modes that each file format holds exactly: Pillow reads the same mode and pixels back.
_EXACT_MODES = {
    "PNG": ("1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I;16B"),
    "WEBP": ("RGB", "RGBA"),
    "TIFF": ("1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I;16B"),
    "BMP": ("1", "L", "P", "RGB"),
    "PPM": ("1", "L", "RGB"),
}
# The metadata fields that `write_image` writes to each format.
_METADATA_FIELDS = {
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
        The format cannot hold the mode exactly, or the metadata break a rule (`Metadata.problem`). Metadata
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
    """Write a picture in Pillow's format `kind`, and return the size of the file in bytes."""
    m, palette = picture.metadata, picture.palette
    if wrong := m.problem(picture.mode):
        raise UnsupportedImageError(f"{kind} cannot hold the metadata: {wrong}")
    if m.dpi is not None and not all(_fits(v) for v in m.dpi):
        m = replace(m, dpi=None)  # no file format can hold this density
    if kind == "PNG" and picture.mode in ("LA;16", "RGB;16", "RGBA;16"):
        return sum(map(_CountingWriter(target).write, png16.encode(picture.pixels, m)))
    rich = palette is not None and (palette.layout != "RGB" or palette.transparency is not None)
    if picture.mode not in _EXACT_MODES[kind] or (kind != "PNG" and (rich or m.colour_key is not None)):
        what = "a palette with alpha" if rich else f"mode {picture.mode}"
        raise UnsupportedImageError(f"{kind} cannot hold {what} exactly; write a PNG")
    if kind == "PNG" and palette is not None and palette.layout == "RGBA":
        palette = _split_alpha(palette)
    image = replace(picture, palette=palette, metadata=Metadata()).to_pil()
    options = _save_options(kind, m, palette)
    writer, whole = _CountingWriter(target), io.BytesIO()
    file: Any = whole if kind == "TIFF" else writer  # Pillow's TIFF writer seeks
    try:
        image.save(file, kind, **options)
    except Exception as error:  # Pillow's writers raise many kinds on metadata that they cannot write
        if error is writer.failure:
            raise
        raise UnsupportedImageError(f"{kind} cannot hold the picture with its metadata: {error}") from error
    writer.write(whole.getbuffer())
    return writer.size


def _save_options(kind: str, m: Metadata, palette: Palette | None) -> dict[str, Any]:
    """Return the options of Pillow's writer for lossless pixels, and for the metadata of the format."""
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
    return {key: value for key, value in options.items() if value is not None}


def left_out(picture: Picture, format: str) -> list[str]:
    """Return the metadata fields that `write_image` leaves out in a file of a format."""
    kept = _METADATA_FIELDS[_SUFFIXES[f".{format.lower()}"]]
    m = picture.metadata
    out = [f.name for f in fields(m) if getattr(m, f.name) not in (None, ()) and f.name not in kept]
    if m.dpi is not None and "dpi" in kept and not all(_fits(v) for v in m.dpi):
        out.append("dpi")
    return out


def _fits(dpi: float) -> bool:
    """Return whether a density, rounded to dots per metre, is above 0 and below 2**31."""
    return 1 <= dpi / 0.0254 + 0.5 < 2**31


def _split_alpha(palette: Palette) -> Palette:
    """Return an RGBA palette in the form of PNG: RGB entries, and their alpha as transparency."""
    entries = np.frombuffer(palette.data, np.uint8).reshape(-1, 4)
    return Palette(entries[:, :3].tobytes(), "RGB", entries[:, 3].tobytes())


def _tiff_tags(m: Metadata) -> Image.Exif:
    """Return the EXIF and XMP tags of a TIFF file."""
    source = Image.Exif()
    if m.exif is not None:
        try:
            source.load(m.exif)
        except Exception:  # leave out a damaged block: Pillow's writer could not write it
            source = Image.Exif()
    tags = meta.descriptive(source)
    if m.xmp is not None:
        tags[meta.TIFF_XMP] = m.xmp
    return tags


def _png_text(m: Metadata) -> PngImagePlugin.PngInfo:
    """Return the text chunks of a PNG file, XMP included."""
    chunks = PngImagePlugin.PngInfo()
    if m.xmp is not None:
        chunks.add_itxt("XML:com.adobe.xmp", m.xmp.decode("utf-8", "replace"))
    for key, value in m.text:
        chunks.add_text(key, value)
    return chunks
