# SPDX-License-Identifier: Apache-2.0
"""Deep arrays to train on: files of arrays, and photographs whose pixels are sums of several.

A source is ``FOLDER`` of ``.npz`` files with an array ``x`` ([H, W], [H, W, 3] or [Z, H, W]), or
``photos:FOLDER@N``: the photographs of a folder, each sample the sum of N x N samples (10 bits for N = 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bbcodec.families.deep.planes import Planes

from .. import data

PHOTOS: Final = "photos:"
_SMALLEST: Final = 32  # pixels of a side
_RGB: Final = 3


class Chain(NamedTuple):
    """Planes to learn from.

    Attributes
    ----------
    samples : integers [P, H, W] from 0 on.
    planes : see `bbcodec.families.deep.planes`.
    """

    samples: NDArray[Any]
    planes: Planes


def chains(source: str) -> Iterator[Chain]:
    """Yield the chains of a source.

    Raises
    ------
    FileNotFoundError
        The folder has no such files.
    """
    for array in arrays(source):
        if array.ndim == 2:
            yield chain(array[None], [()])
        elif array.shape[-1] == _RGB:
            green, red, blue = (array[..., c] for c in (1, 0, 2))
            yield chain(np.stack([green, red, blue]), [(), (0,), (0, 1)])
        else:
            yield chain(array, [() if z == 0 else (z - 1,) for z in range(len(array))])


def arrays(source: str) -> Iterator[NDArray[Any]]:
    """Yield the arrays of a source: [H, W], [H, W, 3] or [Z, H, W]."""
    if source.startswith(PHOTOS):
        folder, _, size = source.removeprefix(PHOTOS).rpartition("@")
        for picture in data.load_folder(Path(folder)):
            if min(picture.shape[:2]) >= _SMALLEST * int(size):
                yield summed(picture, int(size))
        return
    files = sorted(Path(source).glob("*.npz"))
    if not files:
        raise FileNotFoundError(f"{source}: no .npz files found")
    for file in files:
        with np.load(file) as stored:
            yield stored["x"]


def summed(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint16]:
    """Return a picture whose samples are sums of size x size samples."""
    height, width = (side // size * size for side in picture.shape[:2])
    tiles = picture[:height, :width].reshape(height // size, size, width // size, size, -1)
    return tiles.sum((1, 3), dtype=np.uint16)


def chain(samples: NDArray[Any], references: list[tuple[int, ...]]) -> Chain:
    """Return planes with their references. Where less than half of the values are used, they are numbered."""
    used = np.unique(samples)
    low, span = int(used[0]), int(used[-1]) - int(used[0]) + 1
    numbers = np.searchsorted(used, samples) if 2 * len(used) < span else samples.astype(np.int64) - low
    top = max(1, int(numbers.max()))
    rows = [(*(*own, -1, -1)[:2], len(own), 0, top) for own in references]
    return Chain(numbers, np.array(rows, np.int64))
