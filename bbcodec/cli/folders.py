# SPDX-License-Identifier: Apache-2.0
"""Which files are in folders, and where the pictures of an archive go below one.

Nothing here opens a file.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from bbcodec.cli.names import IMAGE_SUFFIXES
from bbcodec.cli.report import Reporter
from bbcodec.errors import BBCodecError, FormatError
from bbcodec.storage import Storage, base, is_url, join, local_path

__all__ = ["Found", "Image", "find_images", "inside", "none_found", "search", "stay_inside"]


@dataclass(frozen=True)
class Image:
    """An image: where it is, and its name in an archive (relative, parts joined by ``/``)."""

    path: str
    name: str


@dataclass(frozen=True)
class Found:
    """The images of all inputs.

    Parameters
    ----------
    images
        In the order of the inputs, those of a folder sorted by name.
    ignored
        Number of other files in the folders.
    failures
        Records of the folders that could not be read or hold no image.
    """

    images: tuple[Image, ...]
    ignored: int
    failures: tuple[dict[str, Any], ...]


def search(folder: str, storage: Storage, suffixes: Collection[str]) -> tuple[list[str], int]:
    """Return the files with one of the suffixes in and below a folder, and the number of other files.

    Names begin below the folder. Hidden files and folders are left out and not counted. Raises `OSError` if
    the folder cannot be read.
    """
    visible = [name for name in storage.files(folder) if "/." not in f"/{name}"]
    kinds = tuple(suffixes)
    found = [name for name in visible if _has_suffix(base(name).lower(), kinds)]
    return found, len(visible) - len(found)


def _has_suffix(name: str, suffixes: tuple[str, ...]) -> bool:
    """Return whether a name ends with one of the suffixes, and is not the suffix alone."""
    return any(name.endswith(suffix) and name != suffix for suffix in suffixes)


def none_found(inputs: str) -> FormatError:
    """Return the error of a folder without inputs; `inputs` says what was looked for."""
    return FormatError(f"no {inputs} found in this folder or below it")


def find_images(inputs: Sequence[str], storage: Storage, reporter: Reporter) -> Found:
    """Return the images of folders, and files as they are given. Folders without images are reported.

    A file that is given itself is named by its path if that is relative and stays below the current folder,
    else by its last part.
    """
    images: list[Image] = []
    failures: list[dict[str, Any]] = []
    ignored = 0
    for given in inputs:
        try:
            if not storage.is_folder(given):
                images.append(Image(given, _name_of(given)))
                continue
            names, others = search(given, storage, IMAGE_SUFFIXES)
            if not names:
                raise none_found("images")
        except (OSError, BBCodecError) as error:
            failures.append(reporter.fail(given, error))
            continue
        images += [Image(join(given, name), name) for name in names]
        ignored += others
    return Found(tuple(images), ignored, tuple(failures))


def _name_of(given: str) -> str:
    if is_url(given):
        return base(given)
    plain = os.path.normpath(given).replace(os.sep, "/")
    return base(given) if os.path.isabs(given) or plain.split("/")[0] == ".." else plain


def inside(folder: str, name: str) -> str:
    """Return where a picture of an archive is written below a folder.

    The archive has checked its names: no part is empty, ``.`` or ``..``, and none is absolute.
    """
    return join(folder, name if is_url(folder) else os.path.join(*name.split("/")))


def stay_inside(folder: str, target: str) -> None:
    """Raise `BBCodecError` if a symbolic link leads a target out of its folder.

    The folder itself may be a link. Archives hold no links: the link was here before.
    """
    top, path = local_path(folder), local_path(target)
    if top is None or path is None:
        return
    root, real = os.path.realpath(top), os.path.realpath(path)
    if os.path.commonpath([root, real]) != root:
        raise BBCodecError(f"{target} leads out of {folder}, to {real}: a symbolic link is in the way")
