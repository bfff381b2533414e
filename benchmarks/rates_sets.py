# SPDX-License-Identifier: Apache-2.0
"""The picture sets of `rates.py`, all as RGB8 or gray8 arrays. Nothing is coded here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["SETS", "ImageSet", "mosaic"]

Pixels = NDArray[np.uint8]

_MAX_ASPECT = 1.5  # of a mosaic that counts as near-square
_THUMB_SIDE = 64  # pixels


@dataclass(frozen=True)
class ImageSet:
    """Pictures that are measured together.

    Attributes
    ----------
    name, title : name in the command line, and title in tables
    images : uint8 ``[H, W, 3]`` or ``[H, W]``
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


def _folder(name: str, title: str, place: str, pattern: str) -> Callable[[Path, int | None], ImageSet]:
    def read(data: Path, limit: int | None) -> ImageSet:
        pictures = [_read(path) for path in _files(data / place, pattern, limit)]
        modes = sorted({mode for _, mode in pictures if mode})
        converted = sum(bool(mode) for _, mode in pictures)
        gray = sum(pixels.ndim == 2 for pixels, _ in pictures)
        note = f"{converted} converted to RGB8 for every codec (from {', '.join(modes)})" if converted else ""
        note += ("; " if note and gray else "") + (f"{gray} gray" if gray else "")
        return ImageSet(name, title, [pixels for pixels, _ in pictures], note=note or "all RGB8 as they are")

    return read


def _gray(data: Path, limit: int | None) -> ImageSet:
    images = []
    for path in _files(data / "kodak", "*.png", limit):
        with Image.open(path) as image:
            images.append(np.asarray(image.convert("L")))
    return ImageSet("gray", "Kodak in gray", images, note="luma of ITU-R 601, gray8, for every codec")


def _cifar(data: Path, limit: int | None) -> ImageSet:
    path = data / "cifar10_first4000.npz"
    if not path.is_file():
        raise FileNotFoundError(f"no {path}")
    with np.load(path) as arrays:
        images = list(arrays["x"][3500:4000][:limit])
    return ImageSet("cifar", "CIFAR-10, images 3500–3999", images, small=True, note="32 × 32 RGB8")


def _thumbs(data: Path, limit: int | None) -> ImageSet:
    images = []
    for path in _files(data / "photos/valid", "*.webp", limit):
        with Image.open(path) as image:
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            square = image.convert("RGB").crop((left, top, left + side, top + side))
            images.append(np.asarray(square.resize((_THUMB_SIDE, _THUMB_SIDE), Image.Resampling.LANCZOS)))
    note = "largest centred square, Lanczos to 64 × 64, RGB8"
    return ImageSet("thumbs", "64 × 64 thumbnails of photos/valid", images, small=True, note=note)


SETS: dict[str, Callable[[Path, int | None], ImageSet]] = {
    "kodak": _folder("kodak", "Kodak", "kodak", "*.png"),
    "gray": _gray,
    "valid": _folder("valid", "photos/valid", "photos/valid", "*.webp"),
    "graphics": _folder("graphics", "graphics", "graphics", "*.png"),
    "cifar": _cifar,
    "thumbs": _thumbs,
}
"""Readers by name, called with (data folder, largest number of pictures); FileNotFoundError without data."""
