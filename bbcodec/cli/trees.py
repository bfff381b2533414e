# SPDX-License-Identifier: Apache-2.0
"""Which images stand in folders, and under which names an archive holds them. Nothing here opens a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from bbcodec.cli.files import IMAGE_SUFFIXES

__all__ = ["Found", "images", "inside"]


@dataclass(frozen=True)
class Found:
    """An image: where it is, and its name in an archive (relative, parts joined by ``/``)."""

    path: str
    name: str


def images(inputs: Sequence[str]) -> list[Found]:
    """Return the images of folders, sorted by name, and files as they are given.

    Folders are searched to the bottom for files with the suffix of an image; what is hidden is left out. The
    name of such a file begins below the folder. A file that is given itself is named by its path, if that is
    relative and stays below where we are, else by its last part.

    Raises
    ------
    OSError
        A folder cannot be read.
    """
    out: list[Found] = []
    for given in inputs:
        if os.path.isdir(given):
            out += sorted(_below(given), key=lambda found: found.name)
        else:
            plain = os.path.normpath(given).replace(os.sep, "/")
            outside = os.path.isabs(given) or plain.split("/")[0] == ".."
            out.append(Found(given, os.path.basename(given) if outside else plain))
    return out


def _below(folder: str) -> list[Found]:
    def stop(error: OSError) -> None:
        raise error

    out = []
    for where, folders, files in os.walk(folder, onerror=stop):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
                path = os.path.join(where, name)
                out.append(Found(path, os.path.relpath(path, folder).replace(os.sep, "/")))
    return out


def inside(folder: str, name: str) -> str:
    """Return where a picture of an archive is written below a folder.

    Names have been checked: no part is empty, ``.`` or ``..``, none is absolute.
    """
    return os.path.join(folder, *name.split("/"))
