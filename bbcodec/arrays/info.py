# SPDX-License-Identifier: Apache-2.0
"""Describe an array file. Nothing here decodes a sample or needs a model."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any, Final

from bbcodec.arrays import chunks, head
from bbcodec.container import Buffer

__all__ = ["ArrayInfo", "info"]

_WAYS: Final = ("picture", "batch", "planes", "bytes", "ranks")


@dataclass(frozen=True)
class ArrayInfo:
    """The content of an array file; `as_dict` returns it as JSON values.

    Parameters
    ----------
    file_size : int
        Bytes.
    bits_per_dim : float or None
        Bits of the file divided by the samples of all arrays (bits/dim); None without samples.
    arrays : tuple of dict
        Of each array ``axes``, ``shape``, ``dtype``, ``group`` (its lengths), ``groups`` (their number),
        ``bytes`` in the file, and ``ways``: how many groups are coded in which way.
    source : dict or None
        The file that the arrays come from: its ``suffix``; its ``size`` in bytes (of a gzip file that of its
        content); whether it was a ``gzip`` file, or was ``rewritten`` without compression; ``digest``; and
        ``frame``, the bytes that all but its samples take.
    """

    file_size: int
    bits_per_dim: float | None
    arrays: tuple[dict[str, Any], ...]
    source: dict[str, Any] | None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def info(data: Buffer) -> ArrayInfo:
    """Return the content of an array file.

    Raises
    ------
    FormatError
        The data are not an array file, or a damaged one.
    """
    view = memoryview(data).cast("B")
    found, at = head.unpack(view)
    arrays = []
    for array in found.arrays:
        ways: Counter[str] = Counter()
        for size in array.sizes:
            way = chunks.way_of(view[at : at + size])
            ways[_WAYS[way] if way < len(_WAYS) else f"unknown {way}"] += 1
            at += size
        cut = -1 if array.is_complex else None
        kind = f"complex of {array.samples}" if array.is_complex else str(array.samples)
        arrays.append(
            {
                "axes": array.axes[:cut],
                "shape": list(array.shape[:cut]),
                "dtype": kind,
                "group": list(array.group[:cut]),
                "groups": len(array.sizes),
                "bytes": sum(array.sizes),
                "ways": dict(ways),
            }
        )
    samples = sum(math.prod(array.shape) for array in found.arrays)
    origin = found.source
    return ArrayInfo(
        len(view),
        8 * len(view) / samples if samples else None,
        tuple(arrays),
        None
        if origin is None
        else {
            "suffix": origin.suffix,
            "size": origin.size,
            "gzip": origin.is_gzip,
            "rewritten": origin.rewritten,
            "digest": origin.digest.hex(),
            "frame": origin.packed,
        },
    )
