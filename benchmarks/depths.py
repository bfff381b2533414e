# SPDX-License-Identifier: Apache-2.0
"""Bytes of the same numbers stored in other ways: shifted, scaled, as floats, with padding, as labels.

    python benchmarks/depths.py shared/data/deep

Prints a table for docs/results/deep.md. Arrays are crops of at most 600 x 600. Every chunk is verified.
Labels need scikit-image.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.arrays import chunks

NAMES: Final = (
    *("ct_slice", "ct_padded", "mr_slice", "micro_12bit", "micro_w1", "xray_10bit", "mr_stack"),
    "sat_band1",
)
LABELLED: Final = ("micro_w1", "micro_12bit", "micro_offset")
SIDE: Final = 600

Array = NDArray[Any]
Case = tuple[str, Array, Array]


def crop(folder: Path, name: str) -> Array:
    """Return an array of the folder, cut to `SIDE`."""
    (array,) = np.load(folder / f"{name}.npz").values()
    cut: Array = array[..., :SIDE, :SIDE] if array.ndim == 2 else array
    return cut


def numbers(array: Array) -> Iterator[Case]:
    """Yield a name, samples in their own depth, and the same samples stored otherwise."""
    values = array.astype(np.int64) - int(array.min())
    span = int(values.max())
    own = values.astype("u2")
    if span < 1 << 12:
        yield "12 bits, shifted to the left of 16", own, (values << 4).astype("u2")
        yield "float32, divided by 4,096", own, (values / np.float32(4096)).astype("f4")
    yield "14 bits, shifted to the left of 16", own, (values << 2).astype("u2")
    yield "times 5", own, (values * 5).astype("u2")
    yield "float32", array, array.astype("f4")
    yield "plus 30,000", own, (values + 30000).astype("u2")
    if array.ndim == 2:
        eight = (values * 255 // max(1, span)).astype("u2")
        yield "8 bits, times 257", eight, eight * np.uint16(257)
        y, x = (np.abs(np.linspace(-1, 1, side)) for side in array.shape)
        outside = x**2 + y[:, None] ** 2 > 1
        dark, padded = values.copy(), values.copy()
        dark[outside], padded[outside] = 0, -20000
        yield (
            "a ring of padding, -20,000 instead of the darkest value",
            dark.astype("u2"),
            padded.astype("i2"),
        )


def labels(array: Array) -> Iterator[Case]:
    """Yield labels of the bright areas of an array, and the same with other ids."""
    from skimage import filters, measure

    smooth = filters.gaussian(array.astype(float), 2)
    found = measure.label(smooth > filters.threshold_otsu(array))
    count = int(found.max())
    own = found.astype("u1" if count < 256 else "u2")
    random = np.random.default_rng(0)
    ids = np.sort(random.choice(60000, count, replace=False) + 1).astype("u2")
    zero = np.zeros(1, "u2")
    yield "labels, ids spread over 16 bits", own, np.concatenate([zero, ids])[found]
    yield "labels, ids spread and shuffled", own, np.concatenate([zero, random.permutation(ids)])[found]


def size(array: Array) -> int:
    """Return the bytes of an array as a chunk."""
    return len(chunks.encode(np.ascontiguousarray(array), threads=0))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    rows: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    cases = [case for name in NAMES for case in numbers(crop(folder, name))]
    cases += [case for name in LABELLED for case in labels(crop(folder, name))]
    for kind, own, other in cases:
        rows[kind].append((size(own), size(other)))
    print("| stored | arrays | own depth | stored otherwise | difference | the worst |")
    print("| --- | --- | --- | --- | --- | --- |")
    for kind, pairs in rows.items():
        own_bytes, other_bytes = (sum(column) for column in zip(*pairs, strict=True))
        worst = max(100 * (other / own - 1) for own, other in pairs)
        more = 100 * (other_bytes / own_bytes - 1)
        print(f"| {kind} | {len(pairs)} | {own_bytes:,} | {other_bytes:,} | {more:+.2f} % | {worst:+.2f} % |")


if __name__ == "__main__":
    main()
