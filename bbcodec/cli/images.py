# SPDX-License-Identifier: Apache-2.0
"""Image files of a command: read, written, named, and compared with the picture that was written."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from bbcodec.cli.quiet import quiet_libraries
from bbcodec.cli.report import STREAM, Reporter, refuse, shown
from bbcodec.errors import BBCodecError

if TYPE_CHECKING:
    from bbcodec.picture.formats import Reading
    from bbcodec.picture.picture import Picture
    from bbcodec.picture.readback import Draft, Outline

__all__ = [
    "Written",
    "check_suffix",
    "draft_picture",
    "finish_picture",
    "format_of",
    "image_name",
    "named",
    "read_again",
    "read_picture",
    "warn_incomplete",
    "warn_larger",
    "warn_left_out",
]

_METADATA_NAMES = {
    "icc": "ICC",
    "exif": "EXIF",
    "xmp": "XMP",
    "dpi": "resolution",
    "colour_key": "colour key",
}


def read_picture(source: str | BinaryIO, max_pixels: int | None) -> Reading:
    """Return the picture of an image file, and what it leaves out. Errors as of `bbcodec.read_image`."""
    from bbcodec.container import MAX_PIXELS
    from bbcodec.picture.formats import read

    quiet_libraries()
    return read(source, max_pixels=max_pixels or MAX_PIXELS)


def read_again(source: str | BinaryIO, max_pixels: int | None) -> Picture | None:
    """Return the picture of an image file by another way than `read_picture`, or None if there is none."""
    from bbcodec.container import MAX_PIXELS
    from bbcodec.picture import formats

    quiet_libraries()
    return formats.read_again(source, max_pixels=max_pixels or MAX_PIXELS)


def warn_incomplete(reporter: Reporter, name: str, left_out: Sequence[str]) -> None:
    """Warn of what a picture does not hold of its image file, in one line."""
    if left_out:
        reporter.warn(f"left out: {', '.join(map(shown, left_out))}", shown(name))


def warn_larger(reporter: Reporter, name: str, before: int, after: int) -> None:
    """Warn that the pixels of an image that was compressed with loss take more bytes than its file."""
    reporter.warn(
        f"compressed with loss: the pixels take more bytes than the file: {before} -> {after} bytes",
        shown(name),
    )


@dataclass(frozen=True)
class Written:
    """An image file that was written.

    Parameters
    ----------
    outline
        The picture in it, without its samples.
    size
        Size in bytes.
    left_out
        Fields of the metadata that the format has no place for.
    verify_seconds
        Time that it took to read it back and to compare it; None if that was not wanted.
    """

    outline: Outline
    size: int
    left_out: tuple[str, ...]
    verify_seconds: float | None = None


def draft_picture(file: BinaryIO, picture: Picture, kind: str) -> Draft:
    """Write a picture as an image file that is not yet given out. Errors as of `bbcodec.write_image`."""
    from bbcodec.picture.readback import Draft

    return Draft(file, picture, kind)


def finish_picture(draft: Draft, kind: str, *, verify: bool) -> Written:
    """Read an image file back, compare it with its picture, and give it out.

    Raises
    ------
    BBCodecError
        It reads back as another picture. Nothing was given out.
    OSError
        It cannot be written.
    """
    missing, seconds = draft.left_out, None
    if verify:
        started = time.perf_counter()
        quiet_libraries()
        found = draft.check()
        if found.changed:
            raise BBCodecError(
                f"the {kind} file reads back with other {named(found.changed)}; it is not written. "
                f"Use another --format, or --no-verify to write it as it is"
            )
        missing, seconds = found.left_out, time.perf_counter() - started
    draft.release()
    return Written(draft.outline, draft.size, missing, seconds)


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


def warn_left_out(reporter: Reporter, name: str, written: Written, kind: str) -> None:
    """Warn of the metadata that an image format has no place for."""
    if written.left_out:
        reporter.warn(f"{kind} has no place for {named(written.left_out)}: left out", shown(name))


def named(names: Sequence[str]) -> str:
    """Return fields of a picture as they are called in messages."""
    return ", ".join(_METADATA_NAMES.get(name, name) for name in names)
