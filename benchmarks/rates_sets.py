# SPDX-License-Identifier: Apache-2.0
"""The picture sets of `rates.py`, all as arrays of 8-bit samples. Nothing is coded here.

Only the sets `icons` and `alpha` have alpha channels. The set `bilevel` is gray8 with the values 0 and 255.
`rates_icons.py` says which packages the argument `packages` must have, and how to get them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import rates_scans
from numpy.typing import NDArray
from PIL import Image
from rates_alpha import composed
from rates_icons import SIDES, cut_icons, theme_icons

__all__ = ["SETS", "ImageSet", "Reader", "mosaic"]

Pixels = NDArray[np.uint8]

_MAX_ASPECT = 1.5  # of a mosaic that counts as near-square
_THUMB_SIDE = 64  # pixels
_ICONS_PER_SIDE = 30
_CUT_ICONS = 20
_LARGE_SIDES = (128, 256, 512)  # pixels
_LARGE_PER_SIDE = 4
_PHOTO_SIDE = 256  # pixels; photographs with a shorter side are not composed or dithered
_COMPOSED_PHOTOS = 16
_DITHERED_PHOTOS = 4


@dataclass(frozen=True)
class ImageSet:
    """Pictures that are measured together.

    Attributes
    ----------
    name, title : name in the command line, and title in tables
    images : uint8 ``[H, W]``, or ``[H, W, C]`` with C = 2 (gray and alpha), 3 or 4
    small : whether the pictures are small and of equal size, to be measured as one batch or mosaic too
    note : how the pictures were converted
    """

    name: str
    title: str
    images: list[Pixels]
    small: bool = False
    note: str = ""

    @property
    def pixels(self) -> int:
        """Return the number of pixels of all pictures."""
        return sum(image.shape[0] * image.shape[1] for image in self.images)

    @property
    def dims(self) -> int:
        """Return the number of samples of all pictures."""
        return sum(image.size for image in self.images)


class Reader(Protocol):
    """A function that returns a set. It raises FileNotFoundError if its files are missing."""

    def __call__(self, data: Path, limit: int | None, packages: Path | None = None) -> ImageSet:
        """Return the set.

        Parameters
        ----------
        data : folder of the sets
        limit : largest number of pictures; None for all
        packages : folder of extracted Debian packages. Default: ``packages`` in `data`
        """
        ...


def mosaic(images: list[Pixels]) -> tuple[Pixels, str]:
    """Return pictures of equal size in a near-square grid, and a description of the grid.

    The grid has an aspect of at most 1.5. Among these, the one with the fewest empty places is used, then the
    one nearest to a square. Empty places are black and at the end.
    """
    count = len(images)
    grids = [(columns, -(-count // columns)) for columns in range(1, count + 1)]
    wide = [(c, r) for c, r in grids if r <= c and c <= max(r + 1, _MAX_ASPECT * r)]
    columns, rows = min(wide, key=lambda g: (g[0] * g[1] - count, g[0] - g[1]))
    height, width = images[0].shape[:2]
    canvas = np.zeros((rows * height, columns * width, *images[0].shape[2:]), np.uint8)
    for i, image in enumerate(images):
        y, x = i // columns * height, i % columns * width
        canvas[y : y + height, x : x + width] = image
    empty = columns * rows - count
    return canvas, f"mosaic {columns} × {rows}" + (f", {empty} black" if empty else "")


def _read(path: Path) -> tuple[Pixels, str]:
    """Return the pixels, and the original mode if it was converted to RGB8, otherwise ""."""
    with Image.open(path) as image:
        if image.mode in ("L", "1"):
            return np.asarray(image.convert("L")), ""
        if image.mode not in ("RGB", "RGBA", "P", "LA"):
            raise SystemExit(f"{path}: mode {image.mode} cannot be converted to RGB8 or gray8 without loss")
        return np.asarray(image.convert("RGB")), "" if image.mode == "RGB" else image.mode


def _files(folder: Path, pattern: str, limit: int | None) -> list[Path]:
    paths = sorted(folder.glob(pattern))[:limit]
    if not paths:
        raise FileNotFoundError(f"no {folder / pattern}")
    return paths


def _folder(name: str, title: str, place: str, pattern: str) -> Reader:
    def read(data: Path, limit: int | None, packages: Path | None = None) -> ImageSet:
        pictures = [_read(path) for path in _files(data / place, pattern, limit)]
        modes = sorted({mode for _, mode in pictures if mode})
        converted = sum(bool(mode) for _, mode in pictures)
        gray = sum(pixels.ndim == 2 for pixels, _ in pictures)
        note = f"{converted} converted to RGB8 for every codec (from {', '.join(modes)})" if converted else ""
        note += ("; " if note and gray else "") + (f"{gray} gray" if gray else "")
        return ImageSet(name, title, [pixels for pixels, _ in pictures], note=note or "all RGB8 as they are")

    return read


def _gray(data: Path, limit: int | None, packages: Path | None = None) -> ImageSet:
    images = []
    for path in _files(data / "kodak", "*.png", limit):
        with Image.open(path) as image:
            images.append(np.asarray(image.convert("L")))
    return ImageSet("gray", "Kodak in gray", images, note="luma of ITU-R 601, gray8, for every codec")


def _cifar(data: Path, limit: int | None, packages: Path | None = None) -> ImageSet:
    path = data / "cifar10_first4000.npz"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}")
    with np.load(path) as arrays:
        images = list(arrays["x"][3500:4000][:limit])
    return ImageSet("cifar", "CIFAR-10, images 3500–3999", images, small=True, note="32 × 32 RGB8")


def _thumbs(data: Path, limit: int | None, packages: Path | None = None) -> ImageSet:
    images = []
    for path in _files(data / "photos/valid", "*.webp", limit):
        with Image.open(path) as image:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.convert("RGB").crop((left, top, left + side, top + side))
            images.append(np.asarray(square.resize((_THUMB_SIDE, _THUMB_SIDE), Image.Resampling.LANCZOS)))
    note = "largest centred square, Lanczos to 64 × 64, RGB8"
    return ImageSet("thumbs", "64 × 64 thumbnails of photos/valid", images, small=True, note=note)


def _photographs(data: Path, mode: str, count: int) -> list[Pixels]:
    """Return photographs of photos/valid that are large enough, evenly spaced in their order."""
    paths = []
    for path in _files(data / "photos/valid", "*.webp", None):
        with Image.open(path) as image:
            if min(image.size) >= _PHOTO_SIDE:
                paths.append(path)
    if not paths:
        raise FileNotFoundError(f"no picture of {_PHOTO_SIDE} pixels in {data / 'photos/valid'}")
    photographs = []
    for i in range(count):
        with Image.open(paths[i * len(paths) // count]) as image:
            photographs.append(np.asarray(image.convert(mode)))
    return photographs


def _made(name: str, title: str, pictures: Iterator[Pixels], limit: int | None, note: str) -> ImageSet:
    """Return a set. Its pictures depend on versions of packages and Pillow; a hash in the note names them."""
    images = list(islice(pictures, limit))
    pixels = hashlib.sha256()
    for image in images:
        pixels.update(repr(image.shape).encode() + image.tobytes())
    return ImageSet(name, title, images, note=f"{note}; sha256 of the pixels {pixels.hexdigest()[:16]}")


def _icons(data: Path, limit: int | None, packages: Path | None = None) -> ImageSet:
    def pictures() -> Iterator[Pixels]:
        yield from theme_icons(packages or data / "packages", SIDES, _ICONS_PER_SIDE)
        yield from cut_icons(data / "graphics", _CUT_ICONS)

    note = f"{SIDES[0]} to {SIDES[-1]} pixels a side, alpha as it is; the last {_CUT_ICONS} from graphics"
    return _made("icons", "icons", pictures(), limit, note)


def _alpha(data: Path, limit: int | None, packages: Path | None = None) -> ImageSet:
    def pictures() -> Iterator[Pixels]:
        yield from theme_icons(packages or data / "packages", _LARGE_SIDES, _LARGE_PER_SIDE)
        yield from composed(_photographs(data, "RGB", _COMPOSED_PHOTOS))

    note = "icons of 128 to 512 pixels a side, and photographs with soft masks"
    return _made("alpha", "large icons and soft masks", pictures(), limit, note)


def _bilevel(data: Path, limit: int | None, packages: Path | None = None) -> ImageSet:
    charts = list(rates_scans.charts(packages or data / "packages"))

    def pictures() -> Iterator[Pixels]:
        yield from rates_scans.pages()
        yield from rates_scans.dithered(_photographs(data, "L", _DITHERED_PHOTOS))
        yield from charts

    note = f"pages, drawings, dithered photographs, {len(charts) or 'no'} charts of ITU-T T.24; "
    note += "coded with 1 or 8 bits per sample, whichever is smaller"
    return _made("bilevel", "bilevel scans", pictures(), limit, note)


SETS: dict[str, Reader] = {
    "kodak": _folder("kodak", "Kodak", "kodak", "*.png"),
    "gray": _gray,
    "valid": _folder("valid", "photos/valid", "photos/valid", "*.webp"),
    "graphics": _folder("graphics", "graphics", "graphics", "*.png"),
    "cifar": _cifar,
    "thumbs": _thumbs,
    "icons": _icons,
    "alpha": _alpha,
    "bilevel": _bilevel,
}
"""Readers by name."""
