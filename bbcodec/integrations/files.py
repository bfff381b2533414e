# SPDX-License-Identifier: Apache-2.0
"""Compress or decompress one file, with functions for process pools, Dask, Ray, Spark and similar.

The functions take names and options and return a small record. They hold no handle and no model, so that
everything can be pickled. A process loads a model once, when the first file needs it.
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from bbcodec import api, container
from bbcodec.arrays import files as array_files
from bbcodec.arrays import formats, stacks
from bbcodec.arrays.head import is_array_file
from bbcodec.arrays.reader import ArrayFile
from bbcodec.container import MAX_PIXELS, Limits
from bbcodec.errors import BBCodecError, OptionError, UnsupportedImageError
from bbcodec.jobs import Execution
from bbcodec.modelfile.registry import DEFAULT_MODEL
from bbcodec.picture import files
from bbcodec.picture.formats import Reading, read
from bbcodec.picture.picture import Picture
from bbcodec.picture.readback import Draft, Outline
from bbcodec.storage import Storage, base, folder_of, redacted

__all__ = ["FileResult", "compress_file", "decompress_file", "failure", "whole_bb", "whole_image"]

Existing: TypeAlias = Literal["error", "skip", "overwrite"]


@dataclass(frozen=True)
class FileResult:
    """The result of one file.

    Parameters
    ----------
    source, target : str
        Names as given.
    status : str
        ``done``; ``skipped`` if a complete output existed; or ``failed``.
    input_bytes, output_bytes : int
        Sizes; 0 for a file that was not read or written.
    width, height, mode
        Size and mode of the picture, if it was decoded.
    seconds : float
        Wall time in the process that did the work.
    worker : str
        Host and process id, or the address of the Dask worker.
    error : str, optional
        Type and message of the error, without the secrets of URLs.
    left_out : tuple of str
        What the picture does not hold of an image file that was compressed, in words.
    lossy : bool
        Whether that image file was compressed with loss, so that its pixels may take more bytes.
    """

    source: str
    target: str
    status: Literal["done", "skipped", "failed"]
    input_bytes: int = 0
    output_bytes: int = 0
    width: int = 0
    height: int = 0
    mode: str = ""
    seconds: float = 0.0
    worker: str = ""
    error: str | None = None
    left_out: tuple[str, ...] = ()
    lossy: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def compress_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    existing: Existing = "error",
    storage_options: Mapping[str, Any] | None = None,
    max_pixels: int | None = None,
    threads: int = 1,
    raise_errors: bool = True,
    **options: Any,
) -> FileResult:
    """Compress an image file, or a file of arrays, into a ``.bb`` file.

    Parameters
    ----------
    source, target : path or URL
        The folder of the target is created if needed. The file appears complete or not at all.
    existing : str
        What to do if the target exists: ``error``: raise; ``skip``: skip it if it is complete (`whole_bb`),
        else replace it; ``overwrite``: replace it.
    storage_options : mapping, optional
        Options of fsspec for URLs.
    max_pixels : int, optional
        Largest allowed width * height.
    threads : int
        Number of threads. 1 by default, as a pool usually has a process for each core.
    raise_errors : bool
        If False, return a `FileResult` of status ``failed`` instead of raising `BBCodecError` or `OSError`.
    **options
        Options of `bbcodec.compress`: method, model, verify and so on.

    Raises
    ------
    BBCodecError
        As for `bbcodec.read_image` and `bbcodec.compress`.
    OSError
        A file cannot be read or written; `FileExistsError` if the target exists and `existing` is ``error``.
    ValueError
        `existing` is none of the three.
    """
    run = _Run(source, target, existing, storage_options)
    try:
        size = 0
        if run.may_skip() and (size := whole_bb(run.storage, run.target)):
            return run.result("skipped", output_bytes=size)
        opened, size = run.storage.source(run.source)
        reading = _read(opened, run.source, max_pixels)
        if reading is None:
            axes, group = options.pop("axes", None), options.pop("group", None)
            data = _compress_arrays(run, threads, axes, group, max_pixels, options)
            with run.output() as file:
                file.write(data)
            return run.result("done", input_bytes=size, output_bytes=len(data))
        picture = reading.picture
        options = {name: value for name, value in options.items() if name not in ("axes", "group")}
        data = api.compress(picture, threads=threads, **{k: v for k, v in options.items() if v is not None})
        with run.output() as file:
            file.write(data)
        done = run.result("done", picture, input_bytes=size, output_bytes=len(data))
        return replace(done, left_out=reading.left_out, lossy=reading.lossy)
    except (BBCodecError, OSError) as error:
        if raise_errors:
            raise
        return run.failed(error)


def _read(opened: Any, name: str, max_pixels: int | None) -> Reading | None:
    """Return the picture of an image file, or None if it holds arrays."""
    head = _head(opened)
    if formats.holds_arrays(head, name):
        return None
    try:
        return read(opened, max_pixels=max_pixels or MAX_PIXELS)
    except UnsupportedImageError:
        if formats.format_of(head) is None:
            raise
        return None  # a TIFF file that is no picture


def _head(opened: Any) -> bytes:
    if isinstance(opened, str | os.PathLike):
        with open(opened, "rb") as file:
            return file.read(formats.HEAD_BYTES)
    head: bytes = opened.read(formats.HEAD_BYTES)
    opened.seek(0)
    return head


def _compress_arrays(
    run: _Run,
    threads: int,
    axes: str | None,
    group: int | None,
    max_pixels: int | None,
    options: Mapping[str, Any],
) -> bytes:
    """Return the array file of a source that holds arrays."""
    for name in ("embed_model", "metadata", "fit", "recovery"):
        if options.get(name):
            raise OptionError(f"{name} is for pictures; {redacted(run.source)} holds arrays")
    how = stacks.Options(
        options.get("model") or DEFAULT_MODEL,
        options.get("method") or "auto",
        verify=options.get("verify", True),
    )
    content = run.storage.read(run.source)
    execution = Execution(threads, options.get("backend"))
    more: dict[str, Any] = {"axes": axes, "group": group, "max_pixels": max_pixels}
    return array_files.compress_file(content, run.source, how, execution, **more)[0]


def decompress_file(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    existing: Existing = "error",
    storage_options: Mapping[str, Any] | None = None,
    max_pixels: int | None = None,
    threads: int = 1,
    raise_errors: bool = True,
    format: str | None = None,
    **options: Any,
) -> FileResult:
    """Decompress a ``.bb`` file into an image file.

    Parameters and errors are those of `compress_file`, except as follows.

    Parameters
    ----------
    existing : str
        With ``skip``, an image is complete if it can be read and has the size of the picture (`whole_image`).
    format : str, optional
        A format of `bbcodec.write_image`. Default: from the suffix of the target.
    **options
        Options of `bbcodec.decompress`: backend, model. And ``verify``: whether the image is read back and
        compared before it is written (default: True).

    Raises
    ------
    BBCodecError
        As for `bbcodec.decompress` and `bbcodec.write_image`; or the image reads back as another picture.
    OSError, ValueError
        As for `compress_file`.
    """
    run = _Run(source, target, existing, storage_options)
    verify = options.pop("verify", True)
    try:
        data = run.storage.read(run.source)
        if run.may_skip() and (size := whole_image(run.storage, run.target, data, max_pixels)):
            return run.result("skipped", input_bytes=len(data), output_bytes=size)
        if is_array_file(data):
            restored = _restored(data, run.target, threads, max_pixels, options)
            with run.output() as file:
                file.write(restored)
            return run.result("done", input_bytes=len(data), output_bytes=len(restored))
        picture = api.decompress_picture(data, threads=threads, limits=max_pixels, **options)
        kind = format or os.path.splitext(base(run.target))[1][1:] or "png"
        with run.output() as file:
            draft = Draft(file, picture, kind)
            del picture  # the check holds another one
            if verify and (changed := draft.check().changed):
                names = ", ".join(changed)
                raise BBCodecError(f"the {kind} file reads back with other {names}; it is not written")
            draft.release()
        return run.result("done", draft.outline, input_bytes=len(data), output_bytes=draft.size)
    except (BBCodecError, OSError) as error:
        if raise_errors:
            raise
        return run.failed(error)


def _restored(
    data: bytes, target: str, threads: int, max_pixels: int | None, options: Mapping[str, Any]
) -> bytes:
    """Return the file that arrays come from, or their array as NumPy file if the target is named so."""
    execution = Execution(threads, options.get("backend"))
    with ArrayFile(data, limits=max_pixels, model=options.get("model"), execution=execution) as found:
        if found.suffix is not None and not target.lower().endswith(".npy"):
            return found.original()
        if found.suffix == ".npy":
            return found.original()
        whole = io.BytesIO()
        np.save(whole, array_files.decompress(found))
        return whole.getvalue()


def failure(source: str, target: str, error: BaseException) -> FileResult:
    """Return the result of a file that failed with an error."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
    text = redacted(text.removeprefix(f"{source}: "))
    return FileResult(source, target, "failed", error=f"{type(error).__name__}: {text}")


def whole_bb(storage: Storage, name: str) -> int:
    """Return the size of a ``.bb`` file in bytes if it is complete, else 0.

    Complete means: a valid header, every section with a matching checksum, the end marker, and nothing after
    it. The pixels are not decoded.
    """
    data = storage.read(name)
    try:
        if is_array_file(data):
            with ArrayFile(data) as found:
                return len(data) if found.whole else 0
        container.read(data, limits=Limits(max_pixels=2**62, max_metadata=2**62))
    except BBCodecError:
        return 0
    return len(data)


def whole_image(storage: Storage, name: str, source: bytes, max_pixels: int | None = None) -> int:
    """Return the bytes of an image file if it can be read and has the size of the picture, else 0.

    `source` is the content of the picture's ``.bb`` file.
    """
    if is_array_file(source):
        with ArrayFile(source, limits=max_pixels) as found:
            return size if (size := storage.source(name)[1]) == len(found.original()) else 0
    header = container.read_header(source, limits=Limits.of(max_pixels))
    opened, size = storage.source(name)
    try:
        picture = files.read_image(opened, max_pixels=header.width * header.height)
    except BBCodecError:
        return 0
    return size if (picture.width, picture.height) == (header.width, header.height) else 0


class _Run:
    """One call: its names, its start time, and its rule for an existing output."""

    def __init__(
        self,
        source: str | os.PathLike[str],
        target: str | os.PathLike[str],
        existing: Existing,
        storage_options: Mapping[str, Any] | None,
    ):
        if existing not in ("error", "skip", "overwrite"):
            raise ValueError(f"existing is {existing!r}, expected 'error', 'skip' or 'overwrite'")
        self.source, self.target = os.fspath(source), os.fspath(target)
        self.storage = Storage(storage_options or {})
        self.existing = existing
        self.started = time.perf_counter()

    def may_skip(self) -> bool:
        """Return whether an output exists and may be kept; raise `FileExistsError` if none may exist."""
        if self.existing == "overwrite" or not self.storage.exists(self.target):
            return False
        if self.existing == "error":
            raise FileExistsError(17, "exists already", redacted(self.target))
        return True

    @contextlib.contextmanager
    def output(self) -> Iterator[Any]:
        """Open the output for writing, and create its folder."""
        self.storage.make_folder(folder_of(self.target))
        if self.storage.same(self.source, self.target):
            raise BBCodecError(f"{redacted(self.source)}: input and output are the same file")
        like = self.storage.attributes(self.source)
        with self.storage.write(self.target, overwrite=self.existing != "error", attributes=like) as file:
            yield file

    def result(
        self,
        status: Literal["done", "skipped"],
        picture: Picture | Outline | None = None,
        *,
        input_bytes: int = 0,
        output_bytes: int,
    ) -> FileResult:
        """Return the result of a file that was written or skipped."""
        return FileResult(
            self.source,
            self.target,
            status,
            input_bytes,
            output_bytes,
            0 if picture is None else picture.width,
            0 if picture is None else picture.height,
            "" if picture is None else picture.mode,
            time.perf_counter() - self.started,
            f"{socket.gethostname()}:{os.getpid()}",
        )

    def failed(self, error: Exception) -> FileResult:
        """Return the result of a file that failed."""
        return failure(self.source, self.target, error)
