# SPDX-License-Identifier: Apache-2.0
"""Names of outputs, and the suffixes by which inputs are found in folders. Nothing here looks at a file."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bbcodec.errors import FormatError

__all__ = [
    "ARRAY_SUFFIXES",
    "COMPRESSED",
    "IMAGE_SUFFIXES",
    "SUFFIX",
    "Naming",
    "command",
    "compressed_name",
    "restored",
]

SUFFIX: Final = ".bb"
"""Suffix of compressed files."""

IMAGE_SUFFIXES: Final = (
    *(".apng", ".avif", ".bmp", ".dib", ".gif", ".heic", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg"),
    *(".jxl", ".pam", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff"),
    ".webp",
)
"""Suffixes of the images that are looked for in folders. `compress` replaces these by `.bb` and keeps others
(`img.01` becomes `img.01.bb`), because they may be what tells two images apart."""

ARRAY_SUFFIXES: Final = (
    *(".npy", ".dcm", ".dicom", ".ima", ".nii", ".fits", ".fit", ".fts"),
    *(".dcm.gz", ".nii.gz", ".fits.gz", ".fit.gz", ".fts.gz", ".npy.gz"),
)
"""Suffixes of the files of arrays that are looked for in folders, and replaced like those of images."""


@dataclass(frozen=True)
class Naming:
    """How a command finds its inputs in folders and names its outputs.

    Parameters
    ----------
    name_for
        Returns the name of an output. Raises `FormatError` where there is none.
    suffixes
        Suffixes of the inputs in a folder.
    inputs
        What the inputs are called in messages.
    folder_command
        The command that takes a whole folder, if there is a better one than `-r`.
    """

    name_for: Callable[[str], str]
    suffixes: tuple[str, ...]
    inputs: str
    folder_command: str = ""

    def folder_advice(self, folder: str) -> str:
        """Return what to do with a folder that was given without `-r`."""
        advice = f"is a folder; use -r for the {self.inputs} in it"
        if not self.folder_command:
            return advice
        plain = folder.rstrip("/") or folder
        return f"{advice}, or: {command(self.folder_command, plain, '-o', plain + SUFFIX)}"


def command(*words: str) -> str:
    """Return a command of bbcodec as a user types it.

    >>> command("decompress", "my photo.bb")
    "bbcodec decompress 'my photo.bb'"
    """
    return shlex.join(["bbcodec", *words])


def compressed_name(name: str) -> str:
    """Return the name that `compress` gives: `photo.png` -> `photo.bb`, `brain.nii.gz` -> `brain.bb`.

    Other names get the suffix appended: `scan` -> `scan.bb`.

    Raises
    ------
    FormatError
        The input is named like a compressed file.
    """
    stem, suffix = os.path.splitext(name)
    if suffix == SUFFIX:
        raise FormatError(f"has the suffix {SUFFIX} already; name the output with -o")
    if suffix.lower() == ".gz" and name.lower().endswith(ARRAY_SUFFIXES):
        return os.path.splitext(stem)[0] + SUFFIX
    return (stem if suffix.lower() in (*IMAGE_SUFFIXES, *ARRAY_SUFFIXES) else name) + SUFFIX


COMPRESSED: Final = Naming(
    compressed_name, (*IMAGE_SUFFIXES, *ARRAY_SUFFIXES), "images", folder_command="pack"
)
"""Naming of `compress`."""


def restored(suffix: str) -> Naming:
    """Return the naming of `decompress` for the suffix of its images.

    With `.png`, `photo.bb` becomes `photo.png` and `scan.TIF.bb` becomes `scan.TIF.png`.
    """

    def name_for(name: str) -> str:
        stem, found = os.path.splitext(name)
        if found != SUFFIX:
            raise FormatError(f"unknown suffix (expected {SUFFIX}); name the output with -o or -c")
        return stem + suffix

    return Naming(name_for, (SUFFIX,), f"{SUFFIX} files")
