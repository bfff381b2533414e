# SPDX-License-Identifier: Apache-2.0
"""Where files are: on a disk, or wherever a URL says. Names, bytes in, bytes out; not what the bytes mean.

A name is a path, or a URL `scheme://…`, which `bbcodec.storage.remote` opens with fsspec. Local names, and
those that begin with `file://`, never need fsspec. No drive letter and no other colon in a name makes a URL.
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

from bbcodec.storage.atomic import atomic_write

__all__ = ["Storage", "base", "folder_of", "identity", "is_url", "join", "local_path"]

# One scheme, and before it links of a chain: simplecache::s3://…
_URL = re.compile(r"(?:[A-Za-z][A-Za-z0-9+._-]+::)*[A-Za-z][A-Za-z0-9+.-]+://")
_LOCAL = ("file://", "local://")


def is_url(name: str) -> bool:
    """Return whether a name is a URL: a scheme of two letters or more, then `://`."""
    return _URL.match(name) is not None


def local_path(name: str) -> str | None:
    """Return the path of a file on this machine, or None for what is elsewhere."""
    if not is_url(name):
        return name
    for prefix in _LOCAL:
        if name.startswith(prefix) and "::" not in name:
            return name[len(prefix) :]
    return None


def _link(url: str) -> tuple[str, str, str]:
    """Split a URL at its path: scheme and links before it, the path, and the links behind (or a query)."""
    at = url.index("://") + 3
    ends = [
        end for mark in ("::", *("?#" if url.startswith("http") else "")) if (end := url.find(mark, at)) >= 0
    ]
    end = min(ends, default=len(url))
    return url[:at], url[at:end], url[end:]


def base(name: str) -> str:
    """Return the last part of a name, without the query of a web address."""
    return os.path.basename(_link(name)[1].rstrip("/") if is_url(name) else name)


def folder_of(name: str) -> str:
    """Return the folder that a name is in; an empty string is the current one."""
    if not is_url(name):
        return os.path.dirname(name)
    head, path, tail = _link(name)
    return head + path.rpartition("/")[0] + tail


def join(folder: str, part: str) -> str:
    """Return the name of `part`, which may have slashes, in a folder."""
    if not is_url(folder):
        return os.path.join(folder, part)
    head, path, tail = _link(folder)
    return f"{head}{path}{'' if not path or path.endswith('/') else '/'}{part}{tail}"


def identity(name: str) -> str:
    """Return what is the same for two names of one file, as far as that can be told without looking."""
    path = local_path(name)
    return name if path is None else os.path.realpath(path)


@dataclass(frozen=True)
class Storage:
    """How files are reached. It holds no connection, so it goes to other processes as it is.

    Parameters
    ----------
    options : mapping
        Passed to fsspec with every URL: of the file system itself (`{"anon": true}`), or by protocol
        (`{"s3": {"anon": true}}`). Nothing to files on this machine.

    Every method raises `OSError` where a file cannot be reached, and `OptionError` for a URL without fsspec.
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
        """Open a file for reading here and there in it."""
        path = local_path(name)
        if path is None:
            from bbcodec.storage import remote

            return remote.open_file(name, self.options)
        return open(path, "rb")

    def source(self, name: str) -> tuple[str | BinaryIO, int]:
        """Return what can be read from, and its size in bytes.

        A regular file is named, so that nobody need hold all of it.
        """
        path = local_path(name)
        if path is not None:
            status = os.stat(path)
            if stat.S_ISREG(status.st_mode) and status.st_size:
                return path, status.st_size
        data = self.read(name)
        return io.BytesIO(data), len(data)

    @contextlib.contextmanager
    def write(self, name: str, *, overwrite: bool, mode: int = 0o666) -> Iterator[BinaryIO]:
        """Open a file for writing, so that it holds all the bytes after the block, or is untouched.

        `FileExistsError` if it exists and `overwrite` is false. `mode` are the permission bits of a file on
        this machine. See `bbcodec.storage.remote.write` for what other places promise.
        """
        path = local_path(name)
        if path is None:
            from bbcodec.storage import remote

            with remote.write(name, self.options, overwrite=overwrite) as file:
                yield file
        else:
            with atomic_write(path, overwrite=overwrite, mode=mode) as file:
                yield file

    def exists(self, name: str) -> bool:
        """Return whether there is a file or a folder of this name."""
        path = local_path(name)
        if path is None:
            from bbcodec.storage import remote

            return remote.exists(name, self.options)
        return os.path.exists(path)

    def is_folder(self, name: str) -> bool:
        """Return whether there is a folder of this name."""
        path = local_path(name)
        if path is None:
            from bbcodec.storage import remote

            return remote.is_folder(name, self.options)
        return os.path.isdir(path)

    def files(self, folder: str) -> list[str]:
        """Return the files in a folder and in those below it, named from there with slashes, in order.

        Folders behind symbolic links are left alone: they may lead in a circle.
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
        """Make a folder and those above it, unless they are there."""
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
        """Return whether two names are of one file, which exists."""
        paths = local_path(one), local_path(other)
        if paths[0] is not None and paths[1] is not None:
            return os.path.exists(paths[1]) and os.path.samefile(paths[0], paths[1])
        return one == other

    def permissions(self, source: str) -> int:
        """Return the permission bits of an output: never wider than those of its source."""
        path = local_path(source)
        if path is None:
            return 0o666
        return (stat.S_IMODE(os.stat(path).st_mode) & 0o666) | stat.S_IWUSR | stat.S_IRUSR
