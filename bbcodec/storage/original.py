# SPDX-License-Identifier: Apache-2.0
"""Delete a source after its output was checked, if it is still the file that was read."""

from __future__ import annotations

import os
import stat

from bbcodec.errors import BBCodecError
from bbcodec.storage.storage import Storage, local_path

__all__ = ["Original"]


class Original:
    """A source as it is before it is read.

    Files behind URLs have no identity that all systems can tell; they are deleted by name.

    Parameters
    ----------
    name : path or URL.
    storage : how it is reached.

    Raises
    ------
    BBCodecError
        It is not a regular file: a link, a device, a pipe. Deleting that would not delete the picture.
    OSError
        It cannot be looked at.
    """

    def __init__(self, name: str, storage: Storage) -> None:
        self._name, self._storage = name, storage
        self._path = local_path(name)
        if self._path is None:
            return
        status = os.lstat(self._path)
        if not stat.S_ISREG(status.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
            raise BBCodecError(f"is {kind}, which is not deleted; leave out --rm")
        self._before = _identity(status)

    def remove(self) -> None:
        """Delete the file.

        Raises
        ------
        BBCodecError
            It is another file by now, or has changed. It stays.
        OSError
            It cannot be deleted.
        """
        if self._path is not None:
            try:
                unchanged = _identity(os.lstat(self._path)) == self._before
            except FileNotFoundError:
                unchanged = False
            if not unchanged:
                raise BBCodecError("has changed since it was read; the input is kept")
        self._storage.remove(self._name)


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
