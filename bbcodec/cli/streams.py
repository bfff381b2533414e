# SPDX-License-Identifier: Apache-2.0
"""Files and standard streams as a command reads and writes them: whole or not at all, never by accident."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from bbcodec.cli.report import STREAM, shown
from bbcodec.errors import BBCodecError, FormatError
from bbcodec.storage import Storage

if TYPE_CHECKING:
    from bbcodec.cli.plan import Job

__all__ = ["open_output", "read_head", "read_input", "refuse_terminal", "remove_source"]


def read_input(name: str, storage: Storage) -> bytes:
    """Return all bytes of a file or of standard input.

    Raises
    ------
    OSError
        It cannot be read.
    FormatError
        It is empty.
    """
    data = sys.stdin.buffer.read() if name == STREAM else storage.read(name)
    if not data:
        raise FormatError("empty file")
    return data


def read_head(name: str, storage: Storage) -> bytes:
    """Return the first bytes of a file, which tell its type. Raises `OSError` if it cannot be read."""
    from bbcodec.cli.filetype import HEAD_BYTES

    with storage.open(name) as file:
        return file.read(HEAD_BYTES)


def refuse_terminal() -> None:
    """Raise `BBCodecError` if binary data would go to a terminal."""
    if sys.stdout.isatty():
        raise BBCodecError("binary data is not written to a terminal; use -o FILE, a pipe, or -f")


@contextlib.contextmanager
def open_output(job: Job, *, force: bool) -> Iterator[BinaryIO]:
    """Open the output of a job. A file appears when the block ends well, or not at all.

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
        with _standard_output() as stream:
            yield stream
        return
    piped = job.source == STREAM
    if not piped and job.storage.same(job.source, job.target):
        raise BBCodecError("input and output are the same file")
    foreign: OSError | None = None
    try:
        mode = 0o666 if piped else job.storage.permissions(job.source)
        with job.storage.write(job.target, overwrite=force, mode=mode) as file:
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
def _standard_output() -> Iterator[BinaryIO]:
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


def remove_source(job: Job, written: bytes | memoryview) -> None:
    """Delete the input of a job if its output holds exactly the bytes that were written.

    Raises
    ------
    BBCodecError
        It does not. The input stays.
    OSError
        The output cannot be read, or the input not deleted.
    """
    if job.storage.read(job.target) != written:
        raise BBCodecError(f"{shown(job.target)} reads back differently; the input is kept")
    job.storage.remove(job.source)
