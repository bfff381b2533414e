# SPDX-License-Identifier: Apache-2.0
"""Which images stand in folders, and under which names an archive holds them. Nothing here opens a file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from bbcodec.cli.files import IMAGE_SUFFIXES
from bbcodec.errors import BBCodecError
from bbcodec.storage import Storage, base, is_url, join, local_path

__all__ = ["Found", "images", "inside", "stay_inside"]


@dataclass(frozen=True)
class Found:
    """An image: where it is, and its name in an archive (relative, parts joined by ``/``)."""

    path: str
    name: str


def images(inputs: Sequence[str], storage: Storage) -> list[Found]:
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
        if storage.is_folder(given):
            out += [Found(join(given, name), name) for name in storage.files(given) if _is_image(name)]
        else:
            out.append(Found(given, _name_of(given)))
    return out


def _is_image(name: str) -> bool:
    hidden = any(part.startswith(".") for part in name.split("/"))
    return not hidden and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def _name_of(given: str) -> str:
    if is_url(given):
        return base(given)
    plain = os.path.normpath(given).replace(os.sep, "/")
    return base(given) if os.path.isabs(given) or plain.split("/")[0] == ".." else plain


def inside(folder: str, name: str) -> str:
    """Return where a picture of an archive is written below a folder.

    Names have been checked: no part is empty, ``.`` or ``..``, none is absolute.
    """
    return join(folder, name if is_url(folder) else os.path.join(*name.split("/")))


def stay_inside(folder: str, target: str) -> None:
    """Raise unless a file below a folder is there in truth, and not behind a symbolic link that leads out.

    The folder itself may be a link. An archive brings no links along: they were here before.
    """
    top, path = local_path(folder), local_path(target)
    if top is None or path is None:
        return
    root, real = os.path.realpath(top), os.path.realpath(path)
    if os.path.commonpath([root, real]) != root:
        raise BBCodecError(f"{target} leads out of {folder}, to {real}: a symbolic link is in the way")
