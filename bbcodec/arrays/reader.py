# SPDX-License-Identifier: Apache-2.0
"""Read array files, whole or in parts: only the groups that a part needs are decoded."""

from __future__ import annotations

import gzip
import math
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from bbcodec.arrays import chunks, head, source
from bbcodec.arrays.head import Stored
from bbcodec.arrays.indexing import indices, meeting
from bbcodec.container import Buffer, Limits
from bbcodec.errors import (
    BBCodecError,
    FloatModeError,
    FormatError,
    LimitError,
    ModelMissingError,
    OptionError,
)
from bbcodec.jobs import Execution, Report, parallel
from bbcodec.modelfile.registry import ModelLike
from bbcodec.picture.region import Region, Window

__all__ = ["ArrayFile", "LostGroup", "StoredArray"]

_GZIP_LEVEL: Final = 6
_ORIGIN: Final = 0  # time in the header of a gzip file: the same bytes whenever it is written


@dataclass(frozen=True)
class LostGroup:
    """A group that a damaged file has lost. Its samples are read as 0.

    Attributes
    ----------
    array : number of the array.
    place : of the group in the array, a slice for each axis.
    reason : description of the damage.
    """

    array: int
    place: tuple[slice, ...]
    reason: str


class ArrayFile:
    """A file of arrays, opened for reading.

    Parameters
    ----------
    data : bytes-like, or path
        An array file. Of a path only the parts that are asked for are read.
    threads : int
        Number of threads; 0 is one for each core.
    limits : Limits or int, optional
        Limits of pixels and memory for each reading; a number is the largest number of pixels, all planes
        together (default 2**30).
    model : str, path or Model, optional
        A model to use besides the installed ones, if a group names it.
    salvage : bool
        Read damaged groups as 0, and list them in `lost`, instead of raising FormatError. The head must be
        intact.

    Attributes
    ----------
    arrays : tuple of StoredArray
    execution : Execution
        Threads and progress of the next readings.
    lost : dict
        What damaged groups were met so far: `LostGroup` by the offset of the group in the file.
    suffix : str or None
        Suffix of the file that the arrays come from, such as ``.dcm``; None if they come from no file.

    Raises
    ------
    FormatError
        The data are not an array file, or its head is damaged.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import bbcodec
    >>> volume = np.arange(5 * 6 * 7, dtype=np.int32).reshape(5, 6, 7)
    >>> file = bbcodec.ArrayFile(bbcodec.compress(volume, axes="zyx"))
    >>> file[0].shape, int(file[0][3, 0, 0]), file[0][1:3, ::2].shape
    ((5, 6, 7), 126, (2, 3, 7))
    """

    def __init__(
        self,
        data: Buffer | str | os.PathLike[str],
        *,
        threads: int = 0,
        limits: Limits | int | None = None,
        model: ModelLike | None = None,
        execution: Execution | None = None,
        salvage: bool = False,
    ) -> None:
        self.lost: dict[int, LostGroup] = {}
        self._salvage = salvage
        self._bytes = _Bytes(data)
        try:
            wanted = head.head_size(self._bytes.read(0, head.START_BYTES))
            start = self._bytes.read(0, wanted)
            self._head, at = head.unpack(start, total=self._bytes.size, salvage=salvage)
        except BBCodecError as error:
            self.close()
            if isinstance(data, str | os.PathLike):
                raise type(error)(f"{os.fspath(data)}: {error}") from error
            raise
        self.execution = execution or Execution(threads)
        self._limits, self._model = Limits.of(limits), model
        arrays = []
        for number, stored in enumerate(self._head.arrays):
            arrays.append(StoredArray(self, number, stored, at))
            at += sum(stored.sizes)
        self.arrays = tuple(arrays)
        self._frame = at

    def __enter__(self) -> ArrayFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Its arrays cannot be read any more."""
        self._bytes.close()

    def __len__(self) -> int:
        """Return the number of arrays."""
        return len(self.arrays)

    def __getitem__(self, number: int) -> StoredArray:
        """Return an array by its number."""
        return self.arrays[number]

    @property
    def suffix(self) -> str | None:
        """Suffix of the file that the arrays come from."""
        return None if self._head.source is None else self._head.source.suffix

    @property
    def whole(self) -> bool:
        """Whether the checksums of all groups are right. Their samples are not decoded."""
        return all(
            chunks.is_sound(self._bytes.read(at, size))
            for array in self.arrays
            for at, size in array.extents()
        )

    def original(self) -> bytes:
        """Return the file that the arrays come from, byte for byte.

        A file that was compressed with gzip is compressed again: its content is the same byte for byte. A
        TIFF file whose pages were compressed may come back without this compression (`ArrayInfo`,
        ``rewritten``).

        Raises
        ------
        OptionError
            The arrays come from no file.
        FormatError, LimitError, ModelMissingError
            As for `StoredArray.__getitem__`.
        """
        found = self.content()
        is_gzip = self._head.source is not None and self._head.source.is_gzip
        return gzip.compress(found, _GZIP_LEVEL, mtime=_ORIGIN) if is_gzip else found

    def content(self) -> bytes:
        """Return the file that the arrays come from; of a gzip file its content.

        Raises
        ------
        OptionError
            The arrays come from no file.
        FormatError, LimitError, ModelMissingError
            As for `StoredArray.__getitem__`.
        """
        origin = self._head.source
        if origin is None:
            raise OptionError("the arrays come from no file: there is no original to restore")
        report = Report(self.execution.progress, sum(len(array.stored.sizes) for array in self.arrays))
        ready: dict[int, Buffer] = {}

        def samples(number: int) -> Buffer:
            if number not in ready:
                array = self.arrays[number]
                whole = array.read((), report)
                ready[number] = np.ascontiguousarray(whole).reshape(-1).view(np.uint8).data
            return ready[number]

        return source.restore(
            self._bytes.read(self._frame, origin.packed),
            origin.size,
            None if self.lost or self._salvage else origin.digest,
            [array.stored.nbytes for array in self.arrays],
            samples,
        )

    # --- for StoredArray ------------------------------------------------------------------------------------

    def _decode(self, at: int, size: int, axes: int, threads: int) -> NDArray[Any]:
        """Return the samples of a group; raise FormatError if it is damaged, or has other axes."""
        data = self._bytes.read(at, size)
        if chunks.axes_of(data) != axes:
            raise FormatError(f"group at byte {at}: its axes are not those of the array")
        return chunks.decode(data, model=self._model, threads=threads, limits=2**62)

    def _lose(self, at: int, group: LostGroup) -> bool:
        """Note a lost group; return whether reading goes on without it."""
        if self._salvage:
            self.lost[at] = group
        return self._salvage


class _Bytes:
    """The bytes of a file that is given by its path, or as a whole. Threads may read at the same time."""

    def __init__(self, data: Buffer | str | os.PathLike[str]) -> None:
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()
        if isinstance(data, str | os.PathLike):
            self._file = open(data, "rb")  # noqa: SIM115  # `close` closes it
            self.size = os.fstat(self._file.fileno()).st_size
        else:
            self._view = memoryview(data).cast("B")
            self.size = len(self._view)

    def read(self, at: int, count: int) -> Buffer:
        """Return the bytes from an offset on, fewer at the end of the file."""
        if self._file is None:
            return self._view[at : at + count]
        count = max(0, min(count, self.size - at))
        with self._lock:
            self._file.seek(at)
            return self._file.read(count)

    def close(self) -> None:
        """Close the file; bytes that were given as a whole are forgotten."""
        self._view = memoryview(b"")
        if self._file is not None:
            self._file.close()


class StoredArray:
    """An array of an array file. Indexing decodes the groups of planes that it needs, and no others.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    axes : str
        A letter for each axis.
    group : tuple of int
        Lengths of a group along the axes: what is decoded at least.
    """

    def __init__(self, file: ArrayFile, number: int, stored: Stored, at: int) -> None:
        self._file, self._number, self.stored, self._at = file, number, stored, at
        cut = -1 if stored.is_complex else None
        self.shape, self.axes, self.group = stored.shape[:cut], stored.axes[:cut], stored.group[:cut]
        part = stored.samples
        self.dtype = part
        if stored.is_complex:
            self.dtype = np.dtype(f"c{2 * part.itemsize}").newbyteorder(part.byteorder)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of samples."""
        return math.prod(self.shape)

    def extents(self) -> Iterator[tuple[int, int]]:
        """Yield offset and size in bytes of each group in the file."""
        at = self._at
        for size in self.stored.sizes:
            yield at, size
            at += size

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the whole array, for `numpy.asarray`."""
        return np.asarray(self[...], dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return a part of the array.

        Parameters
        ----------
        key : integers, slices and one Ellipsis, as for NumPy's basic indexing.

        Raises
        ------
        IndexError
            The key is out of range, or no basic index.
        FormatError
            A group is damaged.
        LimitError
            The groups have more pixels, or the part takes more memory, than the limits allow.
        ModelMissingError
            A group needs a model that is not installed.
        """
        found = self.read(indices(key, self.shape))
        if self.stored.is_complex:
            found = np.ascontiguousarray(found).view(self.dtype).reshape(found.shape[:-1])
        is_turned = self.stored.by_column and found.ndim > 1 and found.shape == self.shape
        return np.asfortranarray(found) if is_turned else found

    def crop(self, region: Region) -> NDArray[Any]:
        """Return a region (x, y, width, height) of all planes; raise `OptionError` if it is not within."""
        plane = self.stored.named.plane
        sides = [self.stored.shape[axis] for axis in plane]
        window = Window.of(region, *([1] * (2 - len(sides)) + sides))
        index: list[Any] = [slice(None)] * self.ndim
        for axis, part in zip(plane, window.place[-len(plane) :], strict=True):
            index[axis] = part
        return self[tuple(index)]

    def read(self, wanted: Sequence[int | range], report: Report | None = None) -> NDArray[Any]:
        """Return the samples at the places wanted, in the file's byte order; axes of integers are left out.

        Parameters
        ----------
        wanted : for each of the first axes a place or a range of places. The other axes are whole.
        report : counts groups.
        """
        stored, execution = self.stored, self._file.execution
        ranges = [place if isinstance(place, range) else range(place, place + 1) for place in wanted]
        ranges += [range(length) for length in stored.shape[len(ranges) :]]
        shape = tuple(map(len, ranges))
        jobs = []
        if math.prod(shape):
            for place, (at, size) in zip(stored.places(), self.extents(), strict=True):
                pairs = [meeting(found, part) for found, part in zip(ranges, place, strict=True)]
                if all(pair is not None for pair in pairs):
                    jobs.append(_Job(at, size, place, [pair for pair in pairs if pair is not None]))
        self._check(jobs, shape)
        report = report or Report(execution.progress, len(jobs))
        workers = execution.workers
        each = 1 if len(jobs) >= workers else workers

        def work(job: _Job) -> None:
            part = self._group(job, each)
            if not made:  # memory for all is taken when one group is known to be sound
                made.append(np.empty(shape, stored.samples))
            made[0][tuple(to for to, _ in job.pairs)] = part[tuple(come for _, come in job.pairs)]
            report.part()

        made: list[NDArray[Any]] = []
        for job in jobs[:1]:
            work(job)
        parallel(work, jobs[1:], workers if each == 1 else 1)
        found = made[0] if made else np.zeros(shape, stored.samples)
        index = tuple(0 if not isinstance(place, range) else slice(None) for place in wanted)
        whole: NDArray[Any] = found[(*index, ...)]
        return whole

    def _group(self, job: _Job, threads: int) -> NDArray[Any]:
        """Return the samples of a group in the order of the array's axes."""
        stored, named = self.stored, self.stored.named
        lengths = [part.stop - part.start for part in job.place]
        expected = named.coded_shape(lengths)
        try:
            coded = self._decoded(job, expected, threads)
        except (FloatModeError, LimitError, ModelMissingError):
            raise
        except BBCodecError as error:
            if not self._file._lose(job.at, LostGroup(self._number, job.place, str(error))):
                raise
            coded = np.zeros(expected, stored.samples)
        planes = coded.reshape([lengths[axis] for axis in named.order])
        return planes.transpose(np.argsort(named.order))

    def _decoded(self, job: _Job, expected: tuple[int, ...], threads: int) -> NDArray[Any]:
        """Return the samples of a group as they are coded; raise FormatError if they are not as expected."""
        stored = self.stored
        coded = self._file._decode(job.at, job.size, stored.named.channel is not None, threads)
        if coded.shape != expected or coded.dtype != stored.samples.newbyteorder("<"):
            raise FormatError(
                f"group at byte {job.at}: {coded.dtype} {list(coded.shape)}, expected {list(expected)} of "
                f"{stored.samples}"
            )
        return coded

    def _check(self, jobs: Sequence[_Job], shape: tuple[int, ...]) -> None:
        """Raise `LimitError` if groups have more pixels, or the result more bytes, than the limits allow."""
        limits, named = self._file._limits, self.stored.named
        sides = [axis for axis in range(len(shape)) if axis != named.channel]
        pixels = sum(
            math.prod(job.place[axis].stop - job.place[axis].start for axis in sides) for job in jobs
        )
        if pixels > limits.max_pixels:
            raise LimitError(f"array of {list(shape)}: {pixels} pixels, the limit is {limits.max_pixels}")
        needed = 2 * math.prod(shape) * self.stored.samples.itemsize
        if limits.max_memory is not None and needed > limits.max_memory:
            raise LimitError(
                f"array of {list(shape)} takes about {needed} bytes of memory, the limit is "
                f"{limits.max_memory}"
            )


@dataclass(frozen=True)
class _Job:
    """A group to be decoded: its bytes, its place in the array, and for each axis where what goes."""

    at: int
    size: int
    place: tuple[slice, ...]
    pairs: list[tuple[slice, slice]]
