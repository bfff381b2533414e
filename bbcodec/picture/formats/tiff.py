# SPDX-License-Identifier: Apache-2.0
"""Read and write TIFF files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from PIL import Image

from bbcodec.picture import metadata as meta
from bbcodec.picture.formats.pillow_reader import picture_of
from bbcodec.picture.formats.reading import Reading
from bbcodec.picture.metadata import Metadata
from bbcodec.picture.picture import Picture

__all__ = ["FORMAT", "MODES_HELD", "read", "read_again", "write"]

FORMAT: Final = "tiff"
MODES_HELD: Final = ("1", "L", "P", "LA", "RGB", "RGBA", "I;16", "I;16B")


def read(data: bytes, max_pixels: int) -> Reading:
    """Read a TIFF file of one picture. Errors as of `bbcodec.read_image`."""
    return Reading(picture_of(io.BytesIO(data), "TIFF", max_pixels), "TIFF")


def read_again(data: bytes, max_pixels: int) -> Picture:
    """Read a TIFF file in another way. Errors as of `read`."""
    return read(data, max_pixels).picture


def write(picture: Picture) -> Iterator[bytes | memoryview]:
    """Yield the pieces of a TIFF file of a picture of one of `MODES_HELD`."""
    m = picture.metadata
    whole = io.BytesIO()
    options = {"icc_profile": m.icc, "exif": _tiff_tags(m), "dpi": m.dpi}
    image = replace(picture, metadata=Metadata()).to_pil()
    given = {key: value for key, value in options.items() if value is not None}
    image.save(whole, "TIFF", compression="tiff_adobe_deflate", **given)
    yield whole.getbuffer()


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
