# SPDX-License-Identifier: Apache-2.0
"""Which file is read and which is written: names, streams, refusals.

Nothing here looks inside a file, but for its size in pixels.
"""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias

from bbcodec.atomic import atomic_write
from bbcodec.cli.report import STREAM, refuse, shown
from bbcodec.errors import BBCodecError, FormatError

__all__ = [
    "SUFFIX",
    "Job",
    "compressed_name",
    "open_output",
    "pixels_in",
    "plan",
    "read_input",
    "remove_source",
    "restored_name",
]

Buffer: TypeAlias = bytes | memoryview

SUFFIX = ".bb"
"""The suffix of compressed files."""

# Suffixes that `compress` takes off before it appends its own. Others stay (`img.01` -> `img.01.bb`), as they
# may be what tells two images apart.
IMAGE_SUFFIXES = (
    *(
        ".apng",
        ".avif",
        ".bmp",
        ".dib",
        ".gif",
        ".heic",
        ".j2k",
        ".jfif",
        ".jp2",
        ".jpe",
        ".jpeg",
        ".jpg",
        ".jxl",
    ),
    *(".pam", ".pbm", ".pcx", ".pgm", ".png", ".pnm", ".ppm", ".qoi", ".tga", ".tif", ".tiff", ".webp"),
)


@dataclass(frozen=True)
class Job:
    """One input and where its output goes; either may be `-`.

    Where `problem` is set, there is no name for the output, and `read` raises it.
    """

    source: str
    target: str
    problem: FormatError | None = None

    def read(self) -> bytes:
        """Return all bytes of the input; errors as of `read_input`."""
        if self.problem is not None:
            raise self.problem
        return read_input(self.source)

    def image(self) -> tuple[str | BinaryIO, int]:
        """Return what an image can be read from, and its size in bytes; errors as of `read_input`.

        A regular file is named, so that nobody need hold all of it.
        """
        if self.problem is None and self.source != STREAM:
            status = os.stat(self.source)
            if stat.S_ISREG(status.st_mode) and status.st_size:
                return self.source, status.st_size
        data = self.read()
        return io.BytesIO(data), len(data)


def compressed_name(name: str) -> str:
    """Return the name `compress` gives: `photo.png` -> `photo.bb`, `scan` -> `scan.bb`.

    Raises
    ------
    FormatError
        The input is named like a compressed file.
    """
    stem, suffix = os.path.splitext(name)
    if suffix == SUFFIX:
        raise FormatError(f"has the suffix {SUFFIX} already; name the output with -o")
    return (stem if suffix.lower() in IMAGE_SUFFIXES else name) + SUFFIX


def restored_name(name: str, suffix: str) -> str:
    """Return the name `decompress` gives: `photo.bb` -> `photo.png`, `scan.TIF.bb` -> `scan.TIF.png`.

    Raises
    ------
    FormatError
        The input does not end in `.bb`.
    """
    stem, found = os.path.splitext(name)
    if found != SUFFIX:
        raise FormatError(f"unknown suffix (expected {SUFFIX}); name the output with -o or -c")
    return stem + suffix


def plan(
    inputs: Sequence[str],
    name_for: Callable[[str], str],
    *,
    output: str | None,
    output_dir: str | None,
    stdout: bool,
    remove: bool,
    as_json: bool,
) -> list[Job]:
    """Decide what is written where, before anything is read.

    What cannot be meant (two inputs for one output, data and JSON both on stdout, ...) ends the program with
    exit code 2.
    """
    if sum((output is not None, output_dir is not None, stdout)) > 1:
        refuse("-o, --output-dir and -c exclude each other")
    if len(inputs) > 1 and (output is not None or stdout):
        refuse("one output cannot hold several inputs; use --output-dir")
    if list(inputs).count(STREAM) > 1:
        refuse("standard input can be read only once")

    jobs: list[Job] = []
    for source in inputs:
        if output is not None:
            target = output
        elif stdout or source == STREAM:
            target = STREAM
        else:
            try:
                target = name_for(source)
            except FormatError as error:
                jobs.append(Job(source, "", error))
                continue
            if output_dir is not None:
                target = os.path.join(output_dir, os.path.basename(target))
        jobs.append(Job(source, target))

    taken: dict[str, str] = {}
    for job in jobs:
        if job.problem is not None:
            continue
        if job.target == STREAM:
            if remove:
                refuse("--rm needs an output file")
            if as_json:
                refuse("--json needs an output file: standard output cannot hold both")
            continue
        if job.source == STREAM and remove:
            refuse("--rm cannot remove standard input")
        place = os.path.realpath(job.target)
        if place in taken:
            refuse(
                f"{shown(taken[place])} and {shown(job.source)} would both be written to {shown(job.target)}"
            )
        taken[place] = job.source
    if output_dir is not None:
        try:
            os.makedirs(output_dir, exist_ok=True)
        except OSError as error:
            print(f"bbcodec: {shown(output_dir)}: {error.strerror}", file=sys.stderr)
            raise SystemExit(1) from None
    return jobs


def read_input(name: str) -> bytes:
    """Return all bytes of a file or of standard input.

    Raises
    ------
    OSError
        It cannot be read.
    FormatError
        It is empty.
    """
    if name == STREAM:
        data = sys.stdin.buffer.read()
    else:
        with open(name, "rb") as file:
            data = file.read()
    if not data:
        raise FormatError("empty file")
    return data


def pixels_in(data: Buffer) -> int | None:
    """Return how many pixels a compressed file has by its header, or None if that is not sound."""
    from bbcodec.container import read_header

    try:
        header = read_header(data)
    except BBCodecError:
        return None
    return header.width * header.height


def _permissions(source: str) -> int:
    """Return the permission bits of the output: never wider than the source's."""
    if source == STREAM:
        return 0o666
    return (stat.S_IMODE(os.stat(source).st_mode) & 0o666) | stat.S_IWUSR | stat.S_IRUSR


@contextlib.contextmanager
def open_output(job: Job, *, force: bool) -> Iterator[BinaryIO]:
    """Open the output of a job; a file appears when the block ends well, or not at all.

    Raises
    ------
    BBCodecError
        The output exists or is a terminal, and `force` is false; or it is the input itself.
    OSError
        It cannot be written.
    """
    if job.target == STREAM:
        if sys.stdout.isatty() and not force:
            raise BBCodecError("binary data is not written to a terminal; use -o FILE, a pipe, or -f")
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
        return
    if job.source != STREAM and os.path.exists(job.target) and os.path.samefile(job.source, job.target):
        raise BBCodecError("input and output are the same file")
    foreign: OSError | None = None
    try:
        with atomic_write(job.target, overwrite=force, mode=_permissions(job.source)) as file:
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


def remove_source(job: Job, written: Buffer) -> None:
    """Delete the input of a job, if its output holds exactly the bytes that were written.

    Raises
    ------
    BBCodecError
        It does not; the input stays.
    OSError
        The output cannot be read, or the input not deleted.
    """
    with open(job.target, "rb") as file:
        found = file.read()
    if found != written:
        raise BBCodecError(f"{shown(job.target)} reads back differently; the input is kept")
    os.unlink(job.source)
