# SPDX-License-Identifier: Apache-2.0
"""The icons of `rates_sets.py`: picked from freely licensed icon themes of Debian, and cut from graphics.

The pictures are not part of the project. Extract the packages of `PACKAGES` (Debian 12, main), each into a
folder of its own name, and pass the folder that contains them as `--packages`:

    for package in adwaita-icon-theme elementary-xfce-icon-theme faenza-icon-theme gnome-icon-theme \\
        mate-icon-theme oxygen-icon-theme tango-icon-theme; do
      apt-get download $package && dpkg -x ${package}_*.deb packages/$package
    done

Which icons are picked depends on their names alone. Other versions of the packages give other pictures.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["PACKAGES", "SIDES", "busiest_crop", "cut_icons", "pick", "pixels_of", "theme_icons"]

Pixels = NDArray[np.uint8]

PACKAGES = {
    "adwaita-icon-theme": "43-1",
    "elementary-xfce-icon-theme": "0.17-1",
    "faenza-icon-theme": "1.3.1-3",
    "gnome-icon-theme": "3.12.0-5",
    "mate-icon-theme": "1.26.0-1",
    "oxygen-icon-theme": "5:5.103.0-1",
    "tango-icon-theme": "0.8.90-11",
}
"""Packages and their versions. Their licences: CC-BY-SA, LGPL, GPL, public domain."""

SIDES = (16, 22, 24, 32, 48, 64)  # pixels
_SEED = "icons 1"  # another one picks other icons
_PNG_HEAD = struct.Struct(">16s2I")  # signature and start of the chunk IHDR; width, height
_PLACES = 16  # places that are tried for a crop


def pick(groups: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Yield (group, name) of all names in a fixed random order, one of each group in turn.

    A group has the same order whatever the other groups are. Groups without further names are passed over.
    """

    def shuffled(group: str) -> Iterator[str]:
        return iter(sorted(groups[group], key=lambda name: _hash(f"{_SEED}/{group}/{name}")))

    queues = {group: shuffled(group) for group in sorted(groups)}
    while queues:
        for group in list(queues):
            name = next(queues[group], None)
            if name is None:
                del queues[group]
            else:
                yield group, name


def theme_icons(packages: Path, sides: Sequence[int], per_side: int) -> Iterator[Pixels]:
    """Yield square icons with `per_side` distinct ones of each side, one of each side in turn.

    Raises
    ------
    FileNotFoundError
        A package is missing.
    """
    names = _names(packages, sides)
    streams = [_distinct(packages / package / name for package, name in pick(names[side])) for side in sides]
    for icons in islice(zip(*streams, strict=False), per_side):
        yield from icons


def cut_icons(folder: Path, count: int) -> Iterator[Pixels]:
    """Yield icons from the PNG files of a folder: in turn a busy crop, and the whole picture in small.

    Raises
    ------
    FileNotFoundError
        There are no PNG files.
    """
    paths = sorted(folder.glob("*.png"))[:count]
    if not paths:
        raise FileNotFoundError(f"no {folder / '*.png'}")
    for i, path in enumerate(paths):
        side = SIDES[i % len(SIDES)]
        with Image.open(path) as opened:
            image = opened.convert("RGB")
        if i % 2 == 0:
            yield busiest_crop(np.asarray(image), side, seed=i)
        else:
            square = min(image.size)
            left, top = (image.width - square) // 2, (image.height - square) // 2
            box = (left, top, left + square, top + square)
            yield np.asarray(image.resize((side, side), Image.Resampling.LANCZOS, box))


def busiest_crop(image: Pixels, side: int, seed: int) -> Pixels:
    """Return the square crop with the largest variance among those at 16 random places."""
    random = np.random.default_rng(seed)
    tops = random.integers(0, image.shape[0] - side, _PLACES, endpoint=True)
    lefts = random.integers(0, image.shape[1] - side, _PLACES, endpoint=True)
    crops = [image[y : y + side, x : x + side] for y, x in zip(tops, lefts, strict=True)]
    return np.ascontiguousarray(max(crops, key=lambda crop: float(crop.var())))


def pixels_of(image: Image.Image) -> Pixels:
    """Return the pixels with their alpha: gray8, gray8 with alpha, RGB8 or RGBA8.

    Raises
    ------
    ValueError
        The mode cannot be converted to one of these without loss.
    """
    if image.mode in ("P", "RGB", "L", "1") and "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode in ("P", "1"):
        image = image.convert("RGB" if image.mode == "P" else "L")
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        raise ValueError(f"mode {image.mode} cannot be converted to 8 bits per sample without loss")
    return np.asarray(image)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _names(packages: Path, sides: Sequence[int]) -> dict[int, dict[str, list[str]]]:
    """Return the names of the square PNG files by side and package. Links are left out."""
    found: dict[int, dict[str, list[str]]] = {side: {} for side in sides}
    for package, version in PACKAGES.items():
        folder = packages / package
        if not folder.is_dir():
            raise FileNotFoundError(
                f"no {folder} ({package} {version}); see rates_icons.py for how to get it"
            )
        for path in folder.rglob("*.png"):
            if path.is_symlink():
                continue
            with path.open("rb") as file:
                _, width, height = _PNG_HEAD.unpack(file.read(_PNG_HEAD.size))
            if width == height and width in found:
                found[width].setdefault(package, []).append(path.relative_to(folder).as_posix())
    return found


def _distinct(paths: Iterable[Path]) -> Iterator[Pixels]:
    """Yield the pixels of files without repetition: themes share some of their icons."""
    seen = set()
    for path in paths:
        with Image.open(path) as image:
            pixels = pixels_of(image)
        key = (pixels.shape, pixels.tobytes())
        if key not in seen:
            seen.add(key)
            yield pixels
