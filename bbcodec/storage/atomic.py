# SPDX-License-Identifier: Apache-2.0
"""Files that appear whole or not at all.

Here lives the one way in which bbcodec puts bytes on a disk: a temporary file beside the target, then a
rename. Nothing here knows what the bytes mean.
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


def _exists(path: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)


def put_in_place(temporary: str, target: str, overwrite: bool) -> None:
    """Give the finished file its name; without `overwrite`, in one step that fails when the name is taken."""
    if overwrite:
        os.replace(temporary, target)
        return
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # a file system without hard links: the check and the rename are two steps there
        if os.path.lexists(target):
            raise _exists(target) from None
        os.replace(temporary, target)
    else:
        os.unlink(temporary)


@contextlib.contextmanager
def atomic_write(
    path: str | os.PathLike[str], *, overwrite: bool = False, mode: int = 0o666
) -> Iterator[BinaryIO]:
    """Open `path` for writing, so that it holds all the bytes after the block, or is untouched.

    The bytes go to a temporary file in the same directory, which takes the name `path` when the block ends
    and is removed when the block raises anything, Ctrl-C included. A symbolic link is followed: the file that
    it names is replaced, and the link stays. What is no regular file (a device, a pipe) is written directly.

    Parameters
    ----------
    path
        The file to write.
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
        `path` exists and `overwrite` is false; seen before the block where possible, else at its end.
    OSError
        The directory cannot be written to, the disk is full, and the like.
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
            raise _exists(os.fspath(path))

    # Short, so that it fits where any name fits; hidden, and named after us in case of a power cut.
    temporary = os.path.join(os.path.dirname(target), f".bbcodec-{secrets.token_hex(6)}.tmp")
    try:
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        except OSError as error:  # the user knows the target's name, not ours
            raise OSError(error.errno, error.strerror, os.fspath(path)) from None
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        put_in_place(temporary, target, overwrite)
    finally:
        with contextlib.suppress(OSError):  # gone already, or there is no such directory
            os.unlink(temporary)
