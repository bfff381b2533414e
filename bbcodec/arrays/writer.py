# SPDX-License-Identifier: Apache-2.0
"""Write array files: arrays of any shape and numeric type, in groups of planes that decode alone.

A group is a chunk (`bbcodec.arrays.chunks`). Groups are coded on several threads.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.arrays import chunks, head, numbers, source
from bbcodec.arrays.axes import MAX_AXES, Axes, default_axes
from bbcodec.arrays.head import Head, Source, Stored
from bbcodec.arrays.numbers import DTYPES
from bbcodec.arrays.stacks import Options
from bbcodec.container import Buffer
from bbcodec.errors import OptionError, UnsupportedImageError
from bbcodec.jobs import Execution, Report, parallel

__all__ = ["GROUP", "Numbers", "Original", "encode"]

GROUP: Final = 16
"""Planes of a group unless the caller names another number (docs/results/deep.md has what others cost)."""

_MAX_GROUP_SAMPLES: Final = 1 << 26
_SAMPLE_SIDE: Final = 64  # of the part of a plane that is looked at to choose an axis
_SAMPLE_PLANES: Final = 8
_LIKENESS_BITS: Final = 32  # of the samples that are compared, so that their sums fit in 64
_FRACTION_BITS: Final = 16  # of means
_FARTHEST: Final = 1 << 64


@dataclass(frozen=True)
class Numbers:
    """An array to be coded.

    Parameters
    ----------
    array : bool, integers, floats or complex numbers, of any shape, byte order and memory layout.
    axes : str
        A letter for each axis (`bbcodec.arrays.axes`); default: `default_axes`.

    Raises
    ------
    UnsupportedImageError
        The array holds no numbers, or floats of more than 64 bits, or has more than 16 axes (15 if it is
        complex), or one of 2**32 or more.
    OptionError
        The axes do not suit the array.
    """

    array: NDArray[Any]
    axes: str | None = None

    def __post_init__(self) -> None:
        if self.part not in DTYPES:
            raise UnsupportedImageError(
                f"array of {self.array.dtype}, expected bool, integers, floats or complex numbers of parts "
                "of at most 64 bits"
            )
        if self.array.ndim > MAX_AXES - self.is_complex:
            raise UnsupportedImageError(f"array of {self.array.ndim} axes, expected at most {MAX_AXES}")
        if not head.are_countable(self.array.shape, self.array.itemsize):
            raise UnsupportedImageError(f"array of shape {list(self.array.shape)}, an axis is too long")
        _ = self.named

    @property
    def is_complex(self) -> bool:
        """Whether the numbers are complex."""
        return self.array.dtype.kind == "c"

    @property
    def part(self) -> np.dtype[Any]:
        """Type of the samples; of complex numbers that of their parts."""
        dtype = self.array.dtype
        if dtype.kind != "c":
            return dtype
        return np.dtype(f"f{dtype.itemsize // 2}").newbyteorder(dtype.byteorder)

    @property
    def named(self) -> Axes:
        """The axes as they are stored."""
        shape = self.array.shape
        letters = default_axes(shape) if self.axes is None else self.axes.lower()
        named = Axes(letters, shape)
        if not self.is_complex:
            return named
        free = next(letter for letter in "srqpon" if letter not in letters)
        return Axes(letters + free, (*shape, 2))

    def samples(self) -> NDArray[Any]:
        """Return the samples in native byte order; the parts of complex numbers in one more axis."""
        array = self.array
        native = array.astype(array.dtype.newbyteorder("="), copy=False)
        if not self.is_complex:
            return native
        parts = np.ascontiguousarray(native).view(self.part.newbyteorder("="))
        return parts.reshape((*self.array.shape, 2))


@dataclass(frozen=True)
class Original:
    """The file that arrays come from.

    Parameters
    ----------
    data : its bytes; of a gzip file its content.
    suffix : of its name, such as ``.dcm``.
    extents : where the samples of the arrays stand in it.
    is_gzip : whether it was compressed with gzip.
    rewritten : whether its samples were compressed, and `data` is the file without this compression.
    note : why no arrays were found in it, if it is damaged.
    """

    data: Buffer
    suffix: str
    extents: tuple[source.Extent, ...]
    is_gzip: bool = False
    rewritten: bool = False
    note: str = ""


def encode(
    arrays: Sequence[Numbers],
    options: Options,
    execution: Execution,
    *,
    original: Original | None = None,
    group: int | None = None,
) -> bytes:
    """Return an array file; the same arrays and options give the same bytes.

    Parameters
    ----------
    arrays : the arrays.
    options : how their groups are coded. The layout is taken from the axes.
    execution : threads and progress; the bytes do not depend on it.
    original : the file that they come from. It comes back byte for byte.
    group : planes of a group, at least 1; default `GROUP`.

    Raises
    ------
    OptionError
        The group is less than 1, or the method cannot code the samples.
    ModelMissingError, ModelError
        The model is missing or damaged.
    BBCodecError
        With ``options.verify``: a group does not decode to its samples.
    """
    if group is not None and group < 1:
        raise OptionError(f"group is {group}, expected 1 or more planes")
    prepared = [_Prepared(given, group or GROUP) for given in arrays]
    jobs = [_Job(one.samples, place, one.named) for one in prepared for place in one.stored.places()]
    report = Report(execution.progress, len(jobs))
    workers = execution.workers
    each = 1 if len(jobs) >= workers else workers

    def work(job: _Job) -> bytes:
        coded = job.encode(options, each)
        report.part()
        return coded

    coded = parallel(work, jobs, workers if each == 1 else 1)
    stored, at = [], 0
    for one in prepared:
        count = math.prod(one.stored.grid)
        stored.append(replace(one.stored, sizes=tuple(map(len, coded[at : at + count]))))
        at += count
    frame, origin = b"", None
    if original is not None:
        frame = source.pack(original.data, original.extents)
        origin = Source(
            original.suffix,
            memoryview(original.data).nbytes,
            source.digest(original.data),
            len(frame),
            original.is_gzip,
            original.rewritten,
        )
    return b"".join([head.pack(Head(tuple(stored), origin)), *coded, frame])


class _Prepared:
    """An array, its axes, and its groups."""

    def __init__(self, given: Numbers, planes: int) -> None:
        self.named = given.named
        self.samples = given.samples()
        array = given.array
        self.stored = Stored(
            given.part,
            self.named.letters,
            self.named.shape,
            _group_of(self.samples, self.named, planes),
            (),
            by_column=array.ndim > 1 and array.flags.f_contiguous and not array.flags.c_contiguous,
            is_complex=given.is_complex,
        )


@dataclass(frozen=True)
class _Job:
    """A group to be coded."""

    samples: NDArray[Any]
    place: tuple[slice, ...]
    named: Axes

    def encode(self, options: Options, threads: int) -> bytes:
        index: tuple[Any, ...] = (*self.place, ...)
        part = self.samples[index]
        planes = part.transpose(self.named.order).reshape(self.named.coded_shape(part.shape))
        little = np.ascontiguousarray(planes, planes.dtype.newbyteorder("<"))
        layout: Any = "hw" if self.named.channel is None else "hwc"
        return chunks.encode(little, replace(options, layout=layout), threads=threads)


def _group_of(samples: NDArray[Any], named: Axes, planes: int) -> tuple[int, ...]:
    """Return the lengths of a group: so many planes, first along the axis whose planes are most alike."""
    lengths = [max(1, length) for length in named.shape]
    if not named.leading:
        return tuple(lengths)
    each = math.prod(lengths[axis] for axis in range(len(lengths)) if axis not in named.leading)
    planes = max(1, min(planes, _MAX_GROUP_SAMPLES // each))
    alike = sorted(named.leading, key=lambda axis: _unlikeness(samples, named, axis))
    for axis in alike:
        lengths[axis] = min(planes, lengths[axis])
        planes = max(1, planes // lengths[axis])
    return tuple(lengths)


def _unlikeness(samples: NDArray[Any], named: Axes, axis: int) -> int:
    """Return how far planes are from the next one along an axis, in the mean over a part of the array.

    Integers alone: the choice must be the same on every machine.
    """
    length = named.shape[axis]
    if length < 2 or not samples.size or len(named.leading) == 1:
        return _FARTHEST
    index: list[Any] = []
    for other, size in enumerate(named.shape):
        if other == axis:
            first = max(0, length // 2 - _SAMPLE_PLANES // 2)
            index.append(slice(first, first + _SAMPLE_PLANES))
        elif other in named.plane:
            first = max(0, (size - _SAMPLE_SIDE) // 2)
            index.append(slice(first, first + _SAMPLE_SIDE))
        else:
            index.append(slice(size // 2, size // 2 + 1))
    part = numbers.integers(samples[tuple(index)])
    span = int(part.max()) - int(part.min())
    part >>= max(0, span.bit_length() - _LIKENESS_BITS)
    steps = np.abs(np.diff(part, axis=axis))
    return (int(steps.sum()) << _FRACTION_BITS) // steps.size
