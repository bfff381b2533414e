# SPDX-License-Identifier: Apache-2.0
"""Image files of a command: read, written, named, and compared with the picture that was written."""

from __future__ import annotations

import io
import os
from dataclasses import fields
from typing import TYPE_CHECKING, BinaryIO

from bbcodec.cli.report import STREAM, Reporter, refuse, shown

if TYPE_CHECKING:
    from bbcodec.cli.plan import Job
    from bbcodec.picture.picture import Picture

__all__ = [
    "check_suffix",
    "differences",
    "format_of",
    "image_name",
    "read_picture",
    "warn_left_out",
    "write_picture",
]

_METADATA_NAMES = {
    "icc": "ICC",
    "exif": "EXIF",
    "xmp": "XMP",
    "dpi": "resolution",
    "colour_key": "colour key",
}


def read_picture(source: str | BinaryIO, max_pixels: int | None) -> Picture:
    """Return the picture of an image file. Errors as of `bbcodec.read_image`."""
    from bbcodec.picture.files import read_image

    return read_image(source, **({} if max_pixels is None else {"max_pixels": max_pixels}))


def write_picture(file: BinaryIO, picture: Picture, job: Job, kind: str) -> int:
    """Write a picture as an image file and return its size in bytes. Errors as of `bbcodec.write_image`."""
    from bbcodec.picture.files import write_image

    if job.target != STREAM:
        return write_image(file, picture, format=kind)
    whole = io.BytesIO()  # a stream gets all of the image or nothing, as a file does
    written = write_image(whole, picture, format=kind)
    file.write(whole.getbuffer())
    return written


def format_of(target: str, wanted: str | None) -> str:
    """Return the image format of an output: the one that was asked for, else by its suffix, else `png`."""
    suffix = os.path.splitext(target)[1] if target != STREAM else ""
    return wanted or suffix[1:].lower() or "png"


def image_name(name: str, wanted: str | None) -> str:
    """Return the name of the image file of a picture in an archive."""
    from bbcodec.picture.files import suffixes

    stem, suffix = os.path.splitext(name)
    if wanted is not None:
        return f"{stem if suffix.lower() in suffixes() else name}.{wanted}"
    return name if suffix.lower() in suffixes() else f"{name}.png"


def check_suffix(name: str, advice: str = "") -> None:
    """Refuse, as a usage error, an output whose suffix is that of no image format that can be written."""
    from bbcodec.picture.files import suffixes

    suffix = os.path.splitext(name)[1]
    if suffix.lower() not in suffixes():
        what = f"{shown(suffix)} files" if suffix else "an image without a suffix"
        refuse(f"cannot write {what}, expected {', '.join(suffixes())}{advice}")


def warn_left_out(reporter: Reporter, name: str, picture: Picture, kind: str) -> None:
    """Warn of the metadata that an image format has no place for."""
    from bbcodec.picture.files import left_out

    if missing := left_out(picture, kind):
        reporter.warn(f"{kind} has no place for {_named(missing)}: left out", shown(name))


def differences(picture: Picture, path: str | BinaryIO, max_pixels: int | None) -> str:
    """Return what differs between a picture and the image file that was written of it, or an empty text."""
    found = read_picture(path, max_pixels)
    same = {
        "pixels": found.same_pixels(picture),
        "mode": found.mode == picture.mode and not picture.axis,
        "palette": found.palette == picture.palette,
    }
    before, after = picture.metadata, found.metadata
    for field in fields(before):
        a, b = getattr(before, field.name), getattr(after, field.name)
        if field.name == "exif":  # the prefix belongs to the file format
            a, b = ((value or b"").removeprefix(b"Exif\0\0") for value in (a, b))
        same[field.name] = a == b
    return _named([name for name, equal in same.items() if not equal])


def _named(names: list[str]) -> str:
    """Return fields of a picture as they are called in messages."""
    return ", ".join(_METADATA_NAMES.get(name, name) for name in names)
