# SPDX-License-Identifier: Apache-2.0
"""`bbcodec.Archive`: a file of many pictures as a mapping from names to arrays.

Options are checked here. `bbcodec.archive.reader` and `bbcodec.archive.writer` do the work.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, BinaryIO, Literal, TypeAlias

from numpy.typing import NDArray

from bbcodec.api import Method
from bbcodec.archive.output import Elsewhere, Output, Stream, output_at
from bbcodec.archive.plan import Coder
from bbcodec.archive.reader import Reader, salvage_option
from bbcodec.archive.sections import Source
from bbcodec.archive.tables import Entry
from bbcodec.archive.writer import Writer
from bbcodec.container import Limits
from bbcodec.container.recovery import check_percent
from bbcodec.errors import OptionError
from bbcodec.jobs import Execution
from bbcodec.modelfile.registry import DEFAULT_MODEL, ModelLike, installed
from bbcodec.picture.picture import Picture, PictureLike
from bbcodec.picture.region import Region
from bbcodec.storage import PLAIN, Attributes, Storage, local_path, redacted

__all__ = ["Archive"]

Mode: TypeAlias = Literal["r", "x", "w", "a"]
Done: TypeAlias = Callable[[tuple[Entry, ...], int], None]


class Archive(Mapping[str, NDArray[Any]]):
    """A file of many pictures as a mapping from names to arrays.

    Small pictures are coded in batches that share a message, so that the start of a message is paid for once.
    Reading one of them decodes its batch alone. Names keep the order of addition.

    A new archive is written to ``NAME.part`` and renamed when it is closed. An append leaves the old archive
    valid until it is closed. An interrupted writer leaves its finished batches. The next writer that adds the
    same pictures with the same options keeps these batches and continues.

    Parameters
    ----------
    file : path or URL, or a binary file that can seek (``"r"``) or be written to (``"w"``, ``"x"``).
        At a URL, only the index and the requested batches are read. An archive at a URL cannot be appended
        to, and an interrupted writer leaves nothing there.
    mode : {"r", "x", "w", "a"}
        ``r``: read. ``x``: write a new archive, fail if the file exists. ``w``: write a new archive, replace
        the file. ``a``: append to an archive, or write a new one if there is none.
    model, method, threads, backend, verify : as for `bbcodec.compress` and `bbcodec.decompress`.
    embed_model : bool, optional
        Put the model into the archive, which then decodes without any installed model. By default only models
        that are not released are put there.
    batch : int, optional
        Pictures that share a message; 0 for all in one. More pictures make the archive smaller and reading
        one of them slower. By default as many as have 2^14 pixels together.
    keep_metadata : bool
        False drops ICC, EXIF, XMP, resolution and text of the pictures.
    recovery : float, optional
        Percent of the sectors of 512 bytes, 0.01 to 50. If as many are lost, wherever they lie, a reader with
        `salvage` repairs them. 0 is none. Default: as the archive that is appended to, none for a new one.
    limits : Limits or int, optional
        As for `bbcodec.decompress`, for each batch.
    storage_options : mapping, optional
        Options of fsspec for URLs; see `bbcodec.storage.Storage`.
    preload : bool
        When reading: load the models when the archive is opened, not with the first picture.
    salvage : bool
        When reading: repair lost sectors; `reader.repairs` tells what was repaired. If the index is still
        damaged or missing, rebuild it from the sections. `reader.notes` then describes the damage, names are
        in file order, and those of damaged batches are missing.
    done : callable, optional
        When writing: called with the entries and the size in bytes of each stored section.
    attributes : Attributes, optional
        When writing a file on this machine: the permission bits that it may have at most, and its times. An
        append takes the other permissions away, and its time is that of writing.
    recover : bool
        Deprecated name of `salvage`; it goes with version 0.3.

    Attributes
    ----------
    mode
    adopted : int
        After a writer is closed: pictures that an interrupted writer had coded already.
    embedded : int
        After a writer is closed: bytes of the model that was put into the archive.

    Raises
    ------
    FileExistsError, FileNotFoundError
    OptionError
        An option does not exist, or appending is not possible there.
    FormatError
        The file is not an archive, or a damaged one.
    BBCodecError
        Another process is writing the archive.

    Examples
    --------
    >>> import io, numpy as np
    >>> file = io.BytesIO()
    >>> with Archive(file, "w", method="classic") as archive:
    ...     archive["a/1"] = np.zeros((4, 6), np.uint8)
    ...     archive["a/2"] = np.ones((5, 5, 3), np.uint8)
    >>> archive = Archive(file)
    >>> list(archive), archive["a/2"].shape
    (['a/1', 'a/2'], (5, 5, 3))
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        mode: Mode = "r",
        *,
        model: ModelLike | None = None,
        method: Method = "auto",
        embed_model: bool | None = None,
        batch: int | None = None,
        threads: int = 0,
        backend: str | None = None,
        verify: bool = True,
        keep_metadata: bool = True,
        limits: Limits | int | None = None,
        storage_options: Mapping[str, Any] | None = None,
        preload: bool = True,
        salvage: bool = False,
        done: Done | None = None,
        attributes: Attributes | None = None,
        recovery: float | None = None,
        recover: bool = False,
    ) -> None:
        salvage = salvage_option(salvage, recover) and mode == "r"
        if mode not in ("r", "x", "w", "a"):
            raise OptionError(f"mode is {mode!r}, expected 'r', 'x', 'w' or 'a'")
        if batch is not None and batch < 0:
            raise OptionError(f"batch is {batch}, expected 0 or more")
        self._share = check_percent(recovery) if recovery else None if recovery is None else 0
        self._file, self.mode = file, mode
        self._storage = Storage(storage_options or {})
        self._attributes = PLAIN if attributes is None else attributes
        self._execution = Execution(threads, backend)
        self._reading: dict[str, Any] = {"model": model, "limits": limits, "salvage": salvage}
        self._reader: Reader | None = None
        self._source: Source | None = None
        self._writer: Writer | None = None
        self._names: dict[str, Any] = {}
        self.adopted = self.embedded = 0
        if mode == "r" or (mode == "a" and self._exists()):
            self._open()
        if mode == "r":
            if preload and self._reader is not None:
                self._reader.warm()
            return
        try:
            coder = Coder(method, DEFAULT_MODEL if model is None else model, backend, verify)
            if embed_model is None:
                embed_model = coder.model is not None and installed(coder.model.id) is None
            self._writer = Writer(
                self._output(),
                coder,
                batch=batch,
                embed_model=embed_model,
                threads=self._execution.workers,
                keep_metadata=keep_metadata,
                old=self._reader,
                done=done,
            )
        except BaseException:
            self._close_source()
            raise

    def _exists(self) -> bool:
        path = self._path()
        if path is None:
            raise OptionError("only an archive on this machine, given by its path, can be appended to")
        return os.path.lexists(path)

    def _path(self) -> str | None:
        """Return the path of the file on this machine, or None."""
        return local_path(os.fspath(self._file)) if isinstance(self._file, str | os.PathLike) else None

    def _open(self) -> None:
        """Open the archive for reading."""
        if isinstance(self._file, str | os.PathLike):
            file = self._storage.open(os.fspath(self._file))
        else:
            file = self._file
        try:
            self._source = Source(file)
            self._reader = Reader(self._source, execution=self._execution, **self._reading)
        except BaseException:
            if file is not self._file:
                file.close()
            raise
        self._names = self._reader.places if self.mode == "r" else dict.fromkeys(self._reader.places)

    def _output(self) -> Output:
        """Return the output that fits the file and the mode."""
        keep = bool(self._share)
        if not isinstance(self._file, str | os.PathLike):
            return Stream(self._file, keep=keep)
        path = self._path()
        if path is None:
            return Elsewhere(self._storage, os.fspath(self._file), overwrite=self.mode == "w", keep=keep)
        end = self._reader.end if self._reader is not None else None
        return output_at(
            self._storage, path, end, overwrite=self.mode == "w", attributes=self._attributes, keep=keep
        )

    # --- reading --------------------------------------------------------------------------------------------

    @property
    def reader(self) -> Reader:
        """The reader of the archive, in its state at opening.

        Raises
        ------
        OptionError
            There was no archive to read, or it is closed.
        """
        if self._reader is None:
            raise OptionError("the archive is closed, or open for writing only")
        return self._reader

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.picture(name).array

    def picture(self, name: str) -> Picture:
        """Return a picture with its mode, palette and metadata. Its pixels belong to the caller.

        Raises
        ------
        KeyError
            No picture has that name.
        FormatError
            Its batch or file is damaged; others may be intact.
        ModelMissingError
            Its model is neither embedded nor installed.
        """
        return _owned(self.reader.picture(name))

    def region(self, name: str, region: Region) -> NDArray[Any]:
        """Return the pixels of a part of a picture, (x, y, width, height) in pixels.

        Of a large picture, only the tiles that the region needs are decoded. The pixels belong to the caller.

        Raises
        ------
        KeyError
            No picture has that name.
        OptionError
            The region is not within the picture.
        FormatError, LimitError, ModelMissingError
            As for `picture`.
        """
        return _owned(self.reader.region(name, region)).array

    def entry(self, name: str) -> Entry:
        """Return name, mode and size of a picture without decoding it; raise `KeyError` if there is none."""
        return self.reader.places[name].entry

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    # --- writing --------------------------------------------------------------------------------------------

    def __setitem__(self, name: str, image: PictureLike) -> None:
        """Append a picture; see `bbcodec.compress` for what it may be, and for further errors.

        Raises
        ------
        OptionError
            The archive is not open for writing, or the name is in use or not allowed.
        """
        if self._writer is None:
            raise OptionError("the archive is not open for writing")
        if name in self._names:
            raise OptionError(f"{name!r} is in the archive already")
        self._writer.add(name, image)
        self._names[name] = None

    def close(self) -> None:
        """Finish the archive if it was written, and close the file if it was opened here."""
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                writer.finish(self._share)
                self.adopted, self.embedded = writer.adopted, writer.embedded
        except BaseException:
            if writer is not None:
                writer.abandon()
            raise
        finally:
            self._close_source()

    def abandon(self) -> None:
        """Close without finishing. The old archive stays valid, and the next writer can continue."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.abandon()
        self._close_source()

    def _close_source(self) -> None:
        if self._source is not None and isinstance(self._file, str | os.PathLike):
            self._source.close()
        self._source = self._reader = None

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abandon()

    def __repr__(self) -> str:
        name = redacted(os.fspath(self._file)) if isinstance(self._file, str | os.PathLike) else "a file"
        return f"<bbcodec.Archive {name!r}, mode {self.mode!r}, {len(self)} pictures>"

    def __reduce__(self) -> tuple[Any, ...]:
        if self.mode != "r" or not isinstance(self._file, str | os.PathLike):
            raise TypeError("only an archive opened for reading by its path can be pickled")
        options = {"threads": self._execution.threads, "backend": self._execution.backend}
        return _reopen, (self._file, self._reading | options | {"storage_options": self._storage.options})


def _owned(picture: Picture) -> Picture:
    """Return a picture whose pixels may be altered: a copy if the cache of the reader shares them."""
    if picture.pixels.flags.writeable and picture.pixels.flags.owndata:
        return picture
    return replace(picture, pixels=picture.pixels.copy())


def _reopen(file: str | os.PathLike[str], options: dict[str, Any]) -> Archive:
    return Archive(file, **options)
