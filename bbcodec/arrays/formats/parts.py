# SPDX-License-Identifier: Apache-2.0
"""Where the arrays of a file stand in its bytes."""

from __future__ import annotations

import importlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from bbcodec.arrays.numbers import DTYPES
from bbcodec.arrays.source import Extent
from bbcodec.arrays.writer import Numbers
from bbcodec.errors import OptionError

__all__ = ["Parts", "library"]


@dataclass
class Parts:
    """The arrays of a file, and where their samples stand.

    Parameters
    ----------
    data : bytes
        The file.
    arrays : list of Numbers
        In the order in which `add` and `add_pieces` found them.
    extents : list of Extent
    note : str
        Why no arrays were found, if the file is damaged.
    rewritten : bool
        Whether `data` are the file without the compression of its samples.
    """

    data: bytes
    arrays: list[Numbers] = field(default_factory=list)
    extents: list[Extent] = field(default_factory=list)
    note: str = ""
    rewritten: bool = False

    def add(self, at: int, dtype: Any, shape: Sequence[int], axes: str) -> bool:
        """Add an array whose samples stand one after the other; return whether it was possible.

        It is not if they are no numbers that can be coded, or reach beyond the file: they are kept as bytes.

        Parameters
        ----------
        at : offset of the first sample.
        dtype : type of the samples, with its byte order.
        shape, axes : of the array, whose last axis runs fastest. Axes of length 1 are left out.
        """
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        if not 0 <= at <= at + size <= len(self.data) or not size:
            return False
        return self.add_pieces(dtype, shape, axes, [(at, 0, size)])

    def add_pieces(
        self, dtype: Any, shape: Sequence[int], axes: str, pieces: Sequence[tuple[int, int, int]]
    ) -> bool:
        """Add an array whose samples stand in several places; see `add`.

        Parameters
        ----------
        pieces : offset in the file, offset in the bytes of the array, and size of each, in any order.
            Together they are the whole array.
        """
        dtype = np.dtype(dtype)
        is_complex = dtype.kind == "c"
        part = np.dtype(f"f{dtype.itemsize // 2}").newbyteorder(dtype.byteorder) if is_complex else dtype
        size = math.prod(shape) * dtype.itemsize
        if part not in DTYPES or size != sum(length for *_, length in pieces):
            return False
        if any(not 0 <= at <= at + length <= len(self.data) for at, _, length in pieces):
            return False
        whole = bytearray(size) if len(pieces) > 1 else None
        if whole is not None:
            view = memoryview(self.data)
            for at, start, length in pieces:
                whole[start : start + length] = view[at : at + length]
        kept = [(letter, length) for letter, length in zip(axes, shape, strict=True) if length > 1]
        at = 0 if whole is not None else pieces[0][0]
        array = np.frombuffer(self.data if whole is None else whole, dtype, math.prod(shape), at)
        number = len(self.arrays)
        self.arrays.append(Numbers(array.reshape([n for _, n in kept]), "".join(a for a, _ in kept)))
        self.extents += [Extent(at, number, start, length) for at, start, length in pieces if length]
        return True

    def ordered(self) -> tuple[list[Numbers], tuple[Extent, ...]]:
        """Return the arrays, and their extents in ascending order.

        An array that shares bytes with one before it is left out: its bytes come back with the other.
        """
        taken: list[Extent] = sorted(self.extents, key=lambda extent: extent.at)
        end, dropped = 0, set()
        for extent in taken:
            if extent.array in dropped:
                continue
            if extent.at < end:
                dropped.add(extent.array)
            else:
                end = extent.at + extent.size
        kept = [number for number in range(len(self.arrays)) if number not in dropped]
        place = {number: new for new, number in enumerate(kept)}
        extents = [
            Extent(one.at, place[one.array], one.start, one.size) for one in taken if one.array in place
        ]
        return [self.arrays[number] for number in kept], tuple(extents)


def library(name: str, what: str) -> ModuleType:
    """Return the library that reads a format.

    Raises
    ------
    OptionError
        It is not installed.
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != name.partition(".")[0]:
            raise
        raise OptionError(f"{what} needs {name.partition('.')[0]}: pip install 'bbcodec[science]'") from None
