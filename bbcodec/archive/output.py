# SPDX-License-Identifier: Apache-2.0
"""Write the bytes of an archive so that an interruption loses nothing.

A new archive is written to ``NAME.part`` and renamed when it is finished. An append writes after the end of
the archive; the archive stays valid until the new tail is written. The sections that an interrupted writer
left are offered to the next writer, which keeps those that match: see `Output.recorded`.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from typing import IO, Any, BinaryIO, Final

from bbcodec.archive import sections
from bbcodec.archive.sections import Mark, Source
from bbcodec.container import Buffer
from bbcodec.errors import BBCodecError
from bbcodec.storage import Storage
from bbcodec.storage.atomic import PLAIN, Attributes, open_growing, place_of, put_in_place, stamp

__all__ = ["PART", "Elsewhere", "Output", "Stream", "Unfinished", "output_at"]

PART: Final = ".part"
"""Suffix of an unfinished archive."""

NO_READ_OR_WRITE: Final = 0o7111
"""Permission bits that an append leaves as they are."""
_MAX_COPY_BYTES: Final = 1 << 25  # of a stream; larger archives need it for recovery data only


class Output:
    """A sequence of sections to append to. This base class offers nothing from an earlier writer.

    Attributes
    ----------
    at : offset of the next section, bytes.
    """

    at: int

    def recorded(self) -> Iterator[tuple[Mark, memoryview]]:
        """Yield the complete sections from `at` on that an interrupted writer left, with their payloads."""
        return iter(())

    def adopt(self, end: int) -> None:
        """Keep the recorded sections up to an offset."""
        raise NotImplementedError

    def put(self, data: Buffer) -> int:
        """Write a section and return its offset. Recorded sections after it are discarded."""
        raise NotImplementedError

    def some(self, at: int, count: int) -> bytes:
        """Return `count` written bytes from an offset; fewer at the end."""
        raise NotImplementedError

    def sync(self) -> None:
        """Flush everything written to the disk."""

    def finish(self) -> None:
        """Give the archive its name."""

    def abandon(self) -> None:
        """Close without finishing; keep what was written."""


class Stream(Output):
    """A binary file that the caller opens and closes.

    It may not be readable. A second file keeps the bytes: all of them if `keep` is true, else those of an
    archive of at most `_MAX_COPY_BYTES`.
    """

    def __init__(self, file: BinaryIO, *, keep: bool = False) -> None:
        self._file, self._keep, self.at = file, keep, 0
        self._copy: IO[bytes] | None = tempfile.SpooledTemporaryFile(_MAX_COPY_BYTES)  # noqa: SIM115
        self.put(sections.head())

    def put(self, data: Buffer) -> int:
        self._file.write(data)
        self.at += len(data)
        if self._copy is not None:
            self._copy.write(data)
            if self.at > _MAX_COPY_BYTES and not self._keep:
                self._drop_copy()
        return self.at - len(data)

    def some(self, at: int, count: int) -> bytes:
        assert self._copy is not None
        self._copy.seek(at)
        found = self._copy.read(count)
        self._copy.seek(0, os.SEEK_END)
        return found

    def _drop_copy(self) -> None:
        if self._copy is not None:
            self._copy.close()
            self._copy = None

    def finish(self) -> None:
        self._drop_copy()

    def abandon(self) -> None:
        self._drop_copy()


class Elsewhere(Stream):
    """A file at a URL, or a device. An interrupted writer leaves nothing that the next one could keep.

    A file appears when the archive is finished.

    Raises the errors of `Storage.write`.
    """

    def __init__(self, storage: Storage, name: str, *, overwrite: bool, keep: bool = False) -> None:
        self._stack = contextlib.ExitStack()
        super().__init__(self._stack.enter_context(storage.write(name, overwrite=overwrite)), keep=keep)

    def finish(self) -> None:
        super().finish()
        self._stack.close()

    def abandon(self) -> None:
        super().abandon()
        with contextlib.suppress(GeneratorExit):
            self._stack.__exit__(GeneratorExit, GeneratorExit(), None)


class Unfinished(Output):
    """A file on a disk: ``NAME.part`` for a new archive, or the bytes after the end of an existing one.

    Parameters
    ----------
    path : path of the archive.
    end : offset of the end of the archive to append to; None for a new archive.
    overwrite : whether the new archive may replace a file.
    attributes : permission bits that the archive may have at most, and times of a new one.

    Raises
    ------
    FileExistsError
        The new archive would replace a file.
    BBCodecError
        Another process is writing the archive, or ``NAME.part`` is not an archive.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        end: int | None,
        *,
        overwrite: bool = False,
        attributes: Attributes = PLAIN,
    ) -> None:
        self._new = end is None
        place = place_of(path, overwrite=overwrite or not self._new)
        self._target = place.target
        self._overwrite = overwrite
        self._times = attributes.times if self._new else None  # an append is a change of now
        name = self._target + PART if self._new else self._target
        self._name = name
        if self._new and os.path.islink(name):
            raise BBCodecError(f"{name} is in the way and is a symbolic link; remove it first")
        mode = attributes.mode if self._new else attributes.mode | NO_READ_OR_WRITE
        self._descriptor = open_growing(name, mode & place.mode, new=self._new)
        try:
            _lock(self._descriptor, name, os.fspath(path))
            self._source = Source(os.fdopen(os.dup(self._descriptor), "rb"))
            self.at = sections.HEAD_SIZE if end is None else end
            if self._new:
                self._begin()
        except BaseException:
            self.abandon()
            raise

    def _begin(self) -> None:
        """Write the head unless an earlier writer has; raise `BBCodecError` if the file is something else."""
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            raise BBCodecError(f"{self._name} is not a regular file")
        head = sections.head()
        found = self._source.read(0, min(len(head), self._source.size))
        if found != head[: len(found)]:
            raise BBCodecError(
                f"{self._name} is in the way and is not an unfinished archive; remove it first"
            )
        if len(found) < len(head):
            self.at = 0
            self.put(head)

    def recorded(self) -> Iterator[tuple[Mark, memoryview]]:
        for place in sections.walk(self._source, self.at):
            try:
                payload = sections.payload(self._source, place)
            except BBCodecError:
                return
            yield place, payload

    def adopt(self, end: int) -> None:
        self.at = end

    def put(self, data: Buffer) -> int:
        if self._source.size > self.at:
            os.ftruncate(self._descriptor, self.at)
        self._source.size = 0  # no recorded sections are left
        at, view = self.at, memoryview(data)
        os.lseek(self._descriptor, at, os.SEEK_SET)
        while view:
            view = view[os.write(self._descriptor, view) :]
        self.at += len(data)
        return at

    def some(self, at: int, count: int) -> bytes:
        os.lseek(self._descriptor, at, os.SEEK_SET)
        parts: list[bytes] = []
        while count > 0 and (part := os.read(self._descriptor, count)):
            parts.append(part)
            count -= len(part)
        return b"".join(parts)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def finish(self) -> None:
        if self._new:
            stamp(self._descriptor, self._times)
        self.sync()
        if self._new:
            put_in_place(self._name, self._target, self._overwrite)
        self.abandon()

    def abandon(self) -> None:
        if self._descriptor >= 0:
            source: Any = getattr(self, "_source", None)
            if source is not None:
                source.close()
            os.close(self._descriptor)
            self._descriptor = -1


def output_at(
    storage: Storage,
    path: str,
    end: int | None,
    *,
    overwrite: bool,
    attributes: Attributes = PLAIN,
    keep: bool = False,
) -> Output:
    """Return the output of an archive on this machine. Parameters and errors are those of `Unfinished`.

    A device or a pipe is written to, as by every other command; `keep` is for these.
    """
    if end is None and place_of(path, overwrite=overwrite).direct:
        return Elsewhere(storage, path, overwrite=overwrite, keep=keep)
    return Unfinished(path, end, overwrite=overwrite, attributes=attributes)


def _lock(descriptor: int, name: str, shown: str) -> None:
    """Raise `BBCodecError` if another process is writing, else lock the file.

    The lock ends with the descriptor, however the process ends.
    """
    busy = BBCodecError(f"{shown} is being written by another process")
    try:
        import fcntl
    except ImportError:  # this system has no such locks
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise busy from None
    try:
        found = os.stat(name)
    except FileNotFoundError:  # another writer has just finished and renamed it
        raise busy from None
    if not os.path.samestat(found, os.fstat(descriptor)):
        raise busy
