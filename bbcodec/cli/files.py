# SPDX-License-Identifier: Apache-2.0
"""Which file is read and which is written: names, streams, refusals.

Nothing here looks inside a file, but for its size in pixels.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, TypeAlias

from bbcodec.cli.report import STREAM, Reporter, refuse, shown
from bbcodec.errors import BBCodecError, FormatError
from bbcodec.storage import Storage, base, folder_of, identity, is_url, join

__all__ = [
    "IMAGE_SUFFIXES",
    "SUFFIX",
    "Job",
    "compressed_name",
    "open_output",
    "pixels_in",
    "plan",
    "read_input",
    "remove_source",
    "restored_name",
    "skipped",
]

Buffer: TypeAlias = bytes | memoryview

SUFFIX = ".bb"
"""The suffix of compressed files."""

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
"""Suffixes of the images that are looked for in folders, and that `compress` takes off before it appends its
own. Others stay (`img.01` -> `img.01.bb`), as they may be what tells two images apart."""


@dataclass(frozen=True)
class Job:
    """One input and where its output goes; either may be `-`.

    Where `problem` is set, there is no name for the output, and `read` raises it.
    """

    source: str
    target: str
    problem: FormatError | OSError | None = None
    storage: Storage = field(default_factory=Storage)

    def read(self) -> bytes:
        """Return all bytes of the input; errors as of `read_input`."""
        if self.problem is not None:
            raise self.problem
        return read_input(self.source, self.storage)

    def image(self) -> tuple[str | BinaryIO, int]:
        """Return what an image can be read from, and its size in bytes; errors as of `read_input`.

        A regular file is named, so that nobody need hold all of it.
        """
        if self.problem is None and self.source != STREAM:
            source, size = self.storage.source(self.source)
            if not size:
                raise FormatError("empty file")
            return source, size
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
    storage: Storage | None = None,
    below: Collection[str] | None = None,
) -> list[Job]:
    """Decide what is written where, before anything is read.

    What cannot be meant (two inputs for one output, data and JSON both on stdout, ...) ends the program with
    exit code 2. `below` are the suffixes of the files to look for in folders (`--recursive`), if at all.
    """
    storage = storage or Storage()
    if sum((output is not None, output_dir is not None, stdout)) > 1:
        refuse("-o, --output-dir and -c exclude each other")
    if below is not None and (output is not None or stdout):
        refuse("-r needs --output-dir, or writes beside each input")
    if len(inputs) > 1 and (output is not None or stdout):
        refuse("one output cannot hold several inputs; use --output-dir")
    if list(inputs).count(STREAM) > 1:
        refuse("standard input can be read only once")

    jobs: list[Job] = []
    for source, place in _found(inputs, storage, below):
        if isinstance(place, OSError | FormatError):
            jobs.append(Job(source, "", place, storage))
            continue
        if output is not None:
            target = output
        elif stdout or source == STREAM:
            target = STREAM
        else:
            try:
                target = _target(source, place, name_for, output_dir)
            except FormatError as error:
                jobs.append(Job(source, "", error, storage))
                continue
        jobs.append(Job(source, target, None, storage))

    _refuse_clashes(jobs, remove=remove, as_json=as_json)
    if output_dir is not None:
        try:
            storage.make_folder(output_dir)
            if below is not None:
                for folder in {folder_of(job.target) for job in jobs if job.problem is None}:
                    storage.make_folder(folder)
        except (OSError, BBCodecError) as error:
            why = (isinstance(error, OSError) and error.strerror) or error
            print(f"bbcodec: {shown(output_dir)}: {why}", file=sys.stderr)
            raise SystemExit(1) from None
    return jobs


def _found(
    inputs: Sequence[str], storage: Storage, below: Collection[str] | None
) -> Iterator[tuple[str, str | OSError | FormatError]]:
    """Yield each input and its name under the output folder, or why it has none; folders are looked into."""
    for source in inputs:
        if source == STREAM:
            yield source, STREAM
            continue
        try:
            if below is None or not storage.is_folder(source):
                yield source, base(source)
                continue
            names = [
                name
                for name in storage.files(source)
                if os.path.splitext(name)[1].lower() in below and not f"/{name}".count("/.")  # hidden
            ]
        except OSError as error:
            yield source, error
            continue
        if not names:
            yield source, FormatError("no such files in this folder or below it")
        for name in names:
            yield join(source, name), name


def _target(source: str, place: str, name_for: Callable[[str], str], output_dir: str | None) -> str:
    """Return the name of an output: beside its input, or at its place under the output folder."""
    if output_dir is not None:
        return join(output_dir, name_for(place))
    if not is_url(source):
        return name_for(source)
    return join(folder_of(source), name_for(base(source)))


def _refuse_clashes(jobs: list[Job], *, remove: bool, as_json: bool) -> None:
    """Refuse outputs that cannot be meant together."""
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
        place = identity(job.target)
        if place in taken:
            refuse(
                f"{shown(taken[place])} and {shown(job.source)} would both be written to {shown(job.target)}"
            )
        taken[place] = job.source


def read_input(name: str, storage: Storage | None = None) -> bytes:
    """Return all bytes of a file or of standard input.

    Raises
    ------
    OSError
        It cannot be read.
    FormatError
        It is empty.
    """
    data = sys.stdin.buffer.read() if name == STREAM else (storage or Storage()).read(name)
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


def remove_source(job: Job, written: Buffer) -> None:
    """Delete the input of a job, if its output holds exactly the bytes that were written.

    Raises
    ------
    BBCodecError
        It does not; the input stays.
    OSError
        The output cannot be read, or the input not deleted.
    """
    if job.storage.read(job.target) != written:
        raise BBCodecError(f"{shown(job.target)} reads back differently; the input is kept")
    job.storage.remove(job.source)


def skipped(job: Job, reporter: Reporter) -> dict[str, Any]:
    """Say that the output of a job is there already, and return the record of it for `--json`."""
    reporter.detail(f"{shown(job.source)}: {shown(job.target)} is there already")
    return {"input": job.source, "output": job.target, "skipped": True}
