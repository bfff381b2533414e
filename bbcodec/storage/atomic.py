# SPDX-License-Identifier: Apache-2.0
"""Write files that appear whole or not at all.

All bytes that bbcodec puts on a disk go this way: a temporary file beside the target, then a rename. The
rules of an output are here and nowhere else: see `place_of`. This module must not know what the bytes mean.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple

__all__ = [
    "PLAIN",
    "Attributes",
    "Place",
    "atomic_write",
    "open_growing",
    "place_of",
    "put_in_place",
    "stamp",
    "temporary_path",
]

# Short, to stay within limits on names; hidden; recognisable if a power cut leaves it behind.
_PREFIX: Final = ".bbcodec-"
_SUFFIX: Final = ".tmp"

_CANNOT_SYNC: Final = frozenset(
    (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM, errno.EISDIR)
)
"""Errors of a system or file system that cannot synchronise folders. Others are errors of the disk."""


class Attributes(NamedTuple):
    """What an output takes over from its source.

    Parameters
    ----------
    mode : int
        Permission bits, before the umask.
    times : tuple of int, optional
        Time of access and of modification, in nanoseconds. None: the time of writing.
    """

    mode: int = 0o666
    times: tuple[int, int] | None = None


PLAIN: Final = Attributes()
"""What a new file has without a source."""


@dataclass(frozen=True)
class Place:
    """Where the bytes of an output go.

    Parameters
    ----------
    target : str
        The real path: that of the file behind a symbolic link.
    direct : bool
        Whether it is a device, a pipe or the like, which is written to and never replaced.
    mode : int
        Permission bits that the output may have at most: those of the file that it replaces.
    """

    target: str
    direct: bool
    mode: int


def _file_exists_error(path: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


def place_of(path: str | os.PathLike[str], *, overwrite: bool) -> Place:
    """Return where the bytes of an output go. Every output follows these rules.

    - An existing file is replaced only if `overwrite` is true. A symbolic link exists, even if it leads to
      nothing.
    - A symbolic link stays. The file behind it is replaced, or made.
    - A device, a pipe or a socket is written to.
    - The output has no permission that the file had not that it replaces.

    Raises
    ------
    FileExistsError
        The file exists and `overwrite` is false.
    IsADirectoryError
        It is a folder.
    OSError
        It cannot be looked at.
    """
    target = os.path.realpath(path)
    try:
        found = os.stat(path).st_mode  # not of the target: /dev/stdout may lead to a pipe without a path
    except FileNotFoundError:
        if os.path.islink(path) and not overwrite:
            raise _file_exists_error(os.fspath(path)) from None
        return Place(target, direct=False, mode=0o777)
    if stat.S_ISDIR(found):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(found):
        return Place(target, direct=True, mode=0o777)
    if not overwrite:
        raise _file_exists_error(os.fspath(path))
    return Place(target, direct=False, mode=stat.S_IMODE(found))


def put_in_place(temporary: str, target: str, overwrite: bool) -> None:
    """Rename a finished temporary file to its target, and synchronise the folder.

    Without `overwrite`, check and rename are one step wherever the file system has hard links.

    Raises
    ------
    FileExistsError
        The target exists and `overwrite` is false.
    OSError
        The disk fails. The file may have its name already.
    """
    if overwrite:
        os.replace(temporary, target)
    else:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise _file_exists_error(target) from None
        except OSError:  # no hard links on this file system: check and rename are two steps
            if os.path.lexists(target):
                raise _file_exists_error(target) from None
            os.replace(temporary, target)
        else:
            os.unlink(temporary)
    _sync_folder(os.path.dirname(target))


def _sync_folder(folder: str) -> None:
    """Synchronise the names of a folder, so that a new one survives a power cut."""
    try:
        descriptor = os.open(folder or ".", os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise


def stamp(descriptor: int, times: tuple[int, int] | None) -> None:
    """Give an open file the times of access and modification, in nanoseconds, where the system can."""
    if times is not None and os.utime in os.supports_fd:
        with contextlib.suppress(OSError):
            os.utime(descriptor, ns=times)


def open_growing(name: str, mode: int, *, new: bool) -> int:
    """Open a file that grows piece by piece, and return its descriptor.

    Parameters
    ----------
    name
        Path of the file.
    mode
        Permission bits that it may have at most. An existing file loses the others.
    new
        Whether the file may be made. A symbolic link is refused then, because nobody has named this file.

    Raises
    ------
    OSError
        It cannot be opened, or its permissions cannot be taken away.
    """
    flags = os.O_RDWR | getattr(os, "O_CLOEXEC", 0)
    if new:
        flags |= os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(name, flags, mode)
    try:
        found = os.fstat(descriptor).st_mode
        if stat.S_ISREG(found) and stat.S_IMODE(found) & ~mode:
            os.fchmod(descriptor, stat.S_IMODE(found) & mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def temporary_path(file: BinaryIO) -> str | None:
    """Return the path of an open temporary file of `atomic_write`, to read back what was written so far.

    None for a device, a stream, or a file that has no path yet.
    """
    name = getattr(file, "name", None)
    ours = isinstance(name, str) and os.path.basename(name).startswith(_PREFIX) and name.endswith(_SUFFIX)
    return name if ours else None


@contextlib.contextmanager
def atomic_write(
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    mode: int = 0o666,
    times: tuple[int, int] | None = None,
) -> Iterator[BinaryIO]:
    """Open `path` for writing: after the block it holds all the bytes, or it is unchanged.

    The bytes go to a temporary file in the same directory. It is renamed to `path` when the block ends, and
    removed when the block raises anything, Ctrl-C included. File and directory are synchronised. Links,
    devices and permissions are treated as `place_of` says.

    Parameters
    ----------
    path
        File to write.
    overwrite
        Whether an existing file may be replaced.
    mode
        Permission bits of the new file, before the umask. Those that a replaced file lacks are left out.
    times
        Times of access and modification of the new file, in nanoseconds. Default: now.

    Yields
    ------
    BinaryIO
        The open temporary file.

    Raises
    ------
    FileExistsError
        `path` exists and `overwrite` is false. Raised before the block where possible, else at its end.
    OSError
        The file cannot be written: no permission, a full disk, and so on.
    """
    place = place_of(path, overwrite=overwrite)
    if place.direct:
        flags = os.O_WRONLY | os.O_CLOEXEC | getattr(os, "O_NOCTTY", 0)
        with open(os.open(path, flags), "wb") as direct:
            yield direct
        return
    target = place.target

    temporary = os.path.join(os.path.dirname(target), f"{_PREFIX}{secrets.token_hex(6)}{_SUFFIX}")
    try:
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            descriptor = os.open(temporary, flags, mode & place.mode)
        except OSError as error:  # name the target in the message: users do not know the temporary name
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        with open(temporary, "wb", opener=lambda *_: descriptor) as file:
            yield file
            file.flush()
            stamp(file.fileno(), times)
            os.fsync(file.fileno())
        put_in_place(temporary, target, overwrite)
    finally:
        with contextlib.suppress(OSError):  # renamed already, or the directory does not exist
            os.unlink(temporary)
