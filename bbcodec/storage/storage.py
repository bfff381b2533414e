# SPDX-License-Identifier: Apache-2.0
"""Read and write files by name, on a disk or at a URL. This module must not know what the bytes mean.

A name is a path or a URL `scheme://…`. `bbcodec.storage.remote` opens URLs with fsspec. Paths, and URLs that
begin with `file://`, never need fsspec. A drive letter or another colon does not make a name a URL.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from bbcodec.storage.atomic import PLAIN, Attributes, atomic_write

__all__ = ["Storage", "base", "folder_of", "identity", "is_url", "join", "local_path"]

# A scheme, perhaps after the links of a chain: simplecache::s3://…
_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+._-]+::)*[A-Za-z][A-Za-z0-9+.-]+://")
_LOCAL_SCHEMES = ("file://", "local://")


def is_url(name: str) -> bool:
    """Return whether a name is a URL: a scheme of two letters or more, then `://`."""
    return _URL.match(name) is not None


def local_path(name: str) -> str | None:
    """Return the path of a file on this machine, or None for a remote file."""
    if not is_url(name):
        return name
    for prefix in _LOCAL_SCHEMES:
        if name.startswith(prefix) and "::" not in name:
            return name[len(prefix) :]
    return None


def _split_url(url: str) -> tuple[str, str, str]:
    """Split a URL into what precedes the path (scheme and links), the path, and the rest (links or query)."""
    at = url.index("://") + 3
    ends = [
        end for mark in ("::", *("?#" if url.startswith("http") else "")) if (end := url.find(mark, at)) >= 0
    ]
    end = min(ends, default=len(url))
    return url[:at], url[at:end], url[end:]


def base(name: str) -> str:
    """Return the last part of a name, without the query of a web address."""
    return os.path.basename(_split_url(name)[1].rstrip("/") if is_url(name) else name)


def folder_of(name: str) -> str:
    """Return the folder of a name; an empty string is the current folder."""
    if not is_url(name):
        return os.path.dirname(name)
    head, path, tail = _split_url(name)
    return head + path.rpartition("/")[0] + tail


def join(folder: str, part: str) -> str:
    """Return the name of `part` in a folder; `part` may contain slashes."""
    if not is_url(folder):
        return os.path.join(folder, part)
    head, path, tail = _split_url(folder)
    return f"{head}{path}{'' if not path or path.endswith('/') else '/'}{part}{tail}"


def identity(name: str) -> str:
    """Return a key that is equal for two names of one file: the real path, or the URL as it is."""
    path = local_path(name)
    return name if path is None else os.path.realpath(path)


@dataclass(frozen=True)
class Storage:
    """Access to files by name. It holds no connection and can be pickled for other processes.

    Every method raises `OSError` if a file cannot be reached, and `OptionError` for a URL without fsspec.

    Parameters
    ----------
    options : mapping
        Options that fsspec gets with every URL: for the file system itself (`{"anon": true}`), or by protocol
        (`{"s3": {"anon": true}}`). They do not apply to files on this machine.
    """

    options: Mapping[str, Any] = field(default_factory=dict)

    def read(self, name: str) -> bytes:
        """Return all bytes of a file."""
        path = local_path(name)
        if path is None:
            from bbcodec.storage import remote

            return remote.read(name, self.options)
        with open(path, "rb") as file:
            return file.read()

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading with random access."""
        path = local_path(name)
        if path is None:
            from bbcodec.storage import remote

            return remote.open_file(name, self.options)
        return open(path, "rb")

    def source(self, name: str) -> tuple[str | BinaryIO, int]:
        """Return a path or an open file to read from, and the size in bytes.

        For a local regular file it is the path, so that the caller need not hold the whole file in memory.
        """
        path = local_path(name)
        if path is not None:
            status = os.stat(path)
            if stat.S_ISREG(status.st_mode) and status.st_size:
                return path, status.st_size
        data = self.read(name)
        return io.BytesIO(data), len(data)

    @contextlib.contextmanager
    def write(self, name: str, *, overwrite: bool, attributes: Attributes = PLAIN) -> Iterator[BinaryIO]:
        """Open a file for writing: after the block it holds all the bytes, or it is unchanged.

        `attributes` are those of a file on this machine. The rules for files that exist, links, devices and
        permissions are those of `bbcodec.storage.atomic.place_of`. For the guarantees of remote files, see
        `bbcodec.storage.remote.write`.

        Raises
        ------
        FileExistsError
            The file exists and `overwrite` is false.
        """
        path = local_path(name)
        if path is None:
            from bbcodec.storage import remote

            with remote.write(name, self.options, overwrite=overwrite) as file:
                yield file
        else:
            mode, times = attributes
            with atomic_write(path, overwrite=overwrite, mode=mode, times=times) as file:
                yield file

    def exists(self, name: str) -> bool:
        """Return whether a file or a folder has this name."""
        path = local_path(name)
        if path is None:
            from bbcodec.storage import remote

            return remote.exists(name, self.options)
        return os.path.exists(path)

    def is_folder(self, name: str) -> bool:
        """Return whether a folder has this name."""
        path = local_path(name)
        if path is None:
            from bbcodec.storage import remote

            return remote.is_folder(name, self.options)
        return os.path.isdir(path)

    def files(self, folder: str) -> list[str]:
        """Return the sorted names of all files below a folder, relative to it and with slashes.

        Symbolic links to folders are not followed, because they may form a cycle.
        """
        path = local_path(folder)
        if path is None:
            from bbcodec.storage import remote

            return remote.files(folder, self.options)

        def stop(error: OSError) -> None:
            raise error

        found: list[str] = []
        for place, _, names in os.walk(path, onerror=stop):
            below = os.path.relpath(place, path)
            found += [name if below == "." else os.path.join(below, name) for name in names]
        return sorted(name.replace(os.sep, "/") for name in found)

    def make_folder(self, name: str) -> None:
        """Make a folder and its parents, unless they exist."""
        path = local_path(name)
        if path is None:
            from bbcodec.storage import remote

            remote.make_folder(name, self.options)
        elif path:
            os.makedirs(path, exist_ok=True)

    def remove(self, name: str) -> None:
        """Delete a file."""
        path = local_path(name)
        if path is None:
            from bbcodec.storage import remote

            remote.remove(name, self.options)
        else:
            os.unlink(path)

    def same(self, one: str, other: str) -> bool:
        """Return whether two names refer to one existing file. Remote names are compared as strings."""
        paths = local_path(one), local_path(other)
        if paths[0] is not None and paths[1] is not None:
            return os.path.exists(paths[1]) and os.path.samefile(paths[0], paths[1])
        return one == other

    def attributes(self, source: str) -> Attributes:
        """Return what an output takes over from its source: permissions (no wider), and times of a file.

        A remote file has none to take over.
        """
        path = local_path(source)
        if path is None:
            return PLAIN
        status = os.stat(path)
        times = (status.st_atime_ns, status.st_mtime_ns) if stat.S_ISREG(status.st_mode) else None
        return Attributes(stat.S_IMODE(status.st_mode) & 0o666, times)
