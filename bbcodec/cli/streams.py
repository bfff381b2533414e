# SPDX-License-Identifier: Apache-2.0
"""Files and standard streams as a command reads and writes them: whole or not at all, never by accident."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from bbcodec.cli.report import STREAM, shown
from bbcodec.errors import BBCodecError, FormatError
from bbcodec.storage import PLAIN, Attributes, Storage, local_path

if TYPE_CHECKING:
    from bbcodec.cli.plan import Job

__all__ = [
    "Opened",
    "anything",
    "open_image",
    "open_output",
    "read_head",
    "read_input",
    "refuse_terminal",
    "standard_output",
]

SNIFF_BYTES: Final = 64
"""Bytes that are read of a stream before it is decided whether to read the rest."""
MORE_BYTES: Final = 512
"""Bytes at the beginning that are looked at where they are there."""

CHUNK_BYTES: Final = 2**20
"""Bytes that are read of a stream at a time."""

Wanted = Callable[[bytes], bool]
"""Returns whether a file of these first bytes is worth reading."""


def anything(head: bytes) -> bool:
    """Return True: every file is worth reading."""
    return True


def read_input(name: str, storage: Storage, wanted: Wanted = anything) -> bytes:
    """Return all bytes of a file or of standard input, or the first ones if they are not those wanted.

    What a reader says of the first bytes is what it would say of all of them. A stream may have no end.

    Raises
    ------
    OSError
        It cannot be read.
    FormatError
        It is empty.
    """
    if name == STREAM:
        data = _read(sys.stdin.buffer, wanted)
    elif local_path(name) is None:
        data = storage.read(name)
    else:
        with storage.open(name) as file:
            data = _read(file, wanted)
    if not data:
        raise FormatError("empty file")
    return data


def _read(file: BinaryIO, wanted: Wanted) -> bytes:
    whole = io.BytesIO()  # which does not copy its bytes to return them
    # More bytes tell more, but a pipe that has no more must not be waited for.
    read = getattr(file, "read1", file.read)
    while whole.tell() < SNIFF_BYTES and (some := read(MORE_BYTES)):
        whole.write(some)
    if wanted(whole.getvalue()):
        while some := file.read(CHUNK_BYTES):
            whole.write(some)
    return whole.getvalue()


def read_head(name: str, storage: Storage) -> bytes:
    """Return the first bytes of a file, which tell its type. Raises `OSError` if it cannot be read."""
    from bbcodec.cli.filetype import HEAD_BYTES

    with storage.open(name) as file:
        return file.read(HEAD_BYTES)


@dataclass(frozen=True)
class Opened:
    """An image that can be read, and read again.

    Parameters
    ----------
    content
        Path of a regular file, so that nobody has to hold all of it; else all its bytes.
    size
        Size in bytes.
    """

    content: str | bytes
    size: int

    @property
    def source(self) -> str | BinaryIO:
        """Return what a reader of images takes. Each call begins at the start of the file."""
        return self.content if isinstance(self.content, str) else io.BytesIO(self.content)


def open_image(name: str, storage: Storage) -> Opened:
    """Return an image of a file, a URL or standard input.

    Raises
    ------
    OSError
        It cannot be read.
    FormatError
        It is empty, or compressed already.
    """
    from bbcodec.cli.filetype import expect_image, may_be_image

    path = None if name == STREAM else local_path(name)
    if path is not None:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode) and status.st_size:
            expect_image(read_head(name, storage), name)
            return Opened(path, status.st_size)
    data = read_input(name, storage, may_be_image)
    expect_image(data, name)
    return Opened(data, len(data))


def refuse_terminal() -> None:
    """Raise `BBCodecError` if binary data would go to a terminal."""
    if sys.stdout.isatty():
        raise BBCodecError("binary data is not written to a terminal; use -o FILE, a pipe, or -f")


@contextlib.contextmanager
def open_output(job: Job, *, force: bool) -> Iterator[BinaryIO]:
    """Open the output of a job. A file appears when the block ends well, or not at all.

    It takes over permissions and times of the input.

    Raises
    ------
    BBCodecError
        The output exists or is a terminal, and `force` is false; or it is the input itself.
    OSError
        It cannot be written.
    """
    if job.target == STREAM:
        if not force:
            refuse_terminal()
        with standard_output() as stream:
            yield stream
        return
    piped = job.source == STREAM
    if not piped and job.storage.same(job.source, job.target):
        raise BBCodecError("input and output are the same file")
    foreign: OSError | None = None
    try:
        attributes: Attributes = PLAIN if piped else job.storage.attributes(job.source)
        with job.storage.write(job.target, overwrite=force, attributes=attributes) as file:
            try:
                yield file
            except OSError as error:
                if error.filename is not None:  # about some other file, such as a model
                    foreign = error
                raise
    except OSError as error:
        if error is foreign:
            raise
        if isinstance(error, FileExistsError):
            raise BBCodecError(f"{shown(job.target)} exists already; use -f to overwrite it") from None
        raise BBCodecError(f"cannot write {shown(job.target)}: {error.strerror or error}") from None


@contextlib.contextmanager
def standard_output() -> Iterator[BinaryIO]:
    """Yield standard output for bytes, and flush it."""
    stream: Any = sys.stdout.buffer
    if not isinstance(stream, io.RawIOBase):
        yield stream
        stream.flush()
        return
    # Under PYTHONUNBUFFERED a write may be short, and nobody would notice.
    whole = io.BufferedWriter(stream)
    try:
        yield whole
        whole.flush()
    finally:
        with contextlib.suppress(OSError):
            whole.detach()
