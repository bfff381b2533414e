# SPDX-License-Identifier: Apache-2.0
"""Write files that appear whole or not at all.

All bytes that bbcodec puts on a disk go this way: a temporary file beside the target, then a rename. This
module must not know what the bytes mean.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["atomic_write", "put_in_place"]


def _file_exists_error(path: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


def put_in_place(temporary: str, target: str, overwrite: bool) -> None:
    """Rename a finished temporary file to its target.

    Without `overwrite`, check and rename are one step wherever the file system has hard links.

    Raises
    ------
    FileExistsError
        The target exists and `overwrite` is false.
    """
    if overwrite:
        os.replace(temporary, target)
        return
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


@contextlib.contextmanager
def atomic_write(
    path: str | os.PathLike[str], *, overwrite: bool = False, mode: int = 0o666
) -> Iterator[BinaryIO]:
    """Open `path` for writing: after the block it holds all the bytes, or it is unchanged.

    The bytes go to a temporary file in the same directory. It is renamed to `path` when the block ends, and
    removed when the block raises anything, Ctrl-C included. A symbolic link stays, and its target is
    replaced. A device or a pipe is written directly.

    Parameters
    ----------
    path
        File to write.
    overwrite
        Whether an existing file may be replaced.
    mode
        Permission bits of the new file, before the umask.

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
    target = os.path.realpath(path)
    try:
        kind = os.stat(target).st_mode
    except FileNotFoundError:
        pass
    else:
        if not stat.S_ISREG(kind):
            with open(path, "wb") as direct:  # a directory raises IsADirectoryError here
                yield direct
            return
        if not overwrite:
            raise _file_exists_error(os.fspath(path))

    # Short, to stay within limits on names; hidden; recognisable if a power cut leaves it behind.
    temporary = os.path.join(os.path.dirname(target), f".bbcodec-{secrets.token_hex(6)}.tmp")
    try:
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        except OSError as error:  # name the target in the message: users do not know the temporary name
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        put_in_place(temporary, target, overwrite)
    finally:
        with contextlib.suppress(OSError):  # renamed already, or the directory does not exist
            os.unlink(temporary)
