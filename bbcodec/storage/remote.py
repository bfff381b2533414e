# SPDX-License-Identifier: Apache-2.0
"""Read and write files by URL, with fsspec (the extra `remote`).

`bbcodec.storage` decides which names are URLs. Every error of a file system becomes an `OSError` that names
the URL, so that callers can go on with other files. Every function here raises `OSError` for that reason,
and `OptionError` if fsspec is not installed.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import io
import os
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from bbcodec.errors import BBCodecError, OptionError
from bbcodec.storage.display import redacted, shows_secret, without

__all__ = ["exists", "files", "is_folder", "make_folder", "open_file", "read", "remove", "write"]

# Object stores have no folders. An object appears when its upload is complete, and a rename would copy it.
_OBJECT_STORES = frozenset(
    ("abfs", "abfss", "adl", "az", "gcs", "gs", "hf", "memory", "oci", "oss", "r2", "s3", "s3a", "tos")
)


def _filesystem(url: str, options: Mapping[str, Any], *, cached: bool = True) -> tuple[Any, str]:
    """Return the file system of a URL and the path in it. Skip fsspec's caches if `cached` is false."""
    try:
        from fsspec.core import url_to_fs
        from fsspec.implementations.cached import CachingFileSystem
        from fsspec.registry import available_protocols
    except ImportError:
        raise OptionError(f"{redacted(url)}: a URL needs fsspec: pip install 'bbcodec[remote]'") from None
    links = {link.partition("://")[0] for link in url.split("::")}
    unused = set(available_protocols()) - links
    # Drop options of protocols that this URL does not use. Copy the others: fsspec changes its arguments.
    chosen = {k: copy.deepcopy(v) for k, v in options.items() if not (k in unused and isinstance(v, Mapping))}
    system, path = url_to_fs(url, **chosen)
    while not cached and isinstance(system, CachingFileSystem):
        system = system.fs
        path = system._strip_protocol(path)
    return system, path


@contextlib.contextmanager
def _os_errors_of(url: str, options: Mapping[str, Any]) -> Iterator[None]:
    """Turn every error of the block into an `OSError` that names the URL, and shows no secret of it."""
    try:
        yield
    except BBCodecError:
        raise
    except OSError as error:
        code = error.errno or {FileNotFoundError: errno.ENOENT, FileExistsError: errno.EEXIST}.get(
            type(error)
        )
        text = os.strerror(code) if code and not error.strerror else error.strerror or str(error)
        new = OSError(code or errno.EIO, without(text, url, options), redacted(url))
        raise new from _cause(error)
    except Exception as error:  # providers' libraries raise errors of their own
        text = " ".join(str(error).split()) or type(error).__name__
        raise OSError(errno.EIO, without(text, url, options), redacted(url)) from _cause(error)


def _cause(error: Exception) -> Exception | None:
    """Return an error as the cause of ours, unless a traceback would show a secret."""
    return None if shows_secret(error) else error


def read(url: str, options: Mapping[str, Any]) -> bytes:
    """Return all bytes of a file."""
    with _os_errors_of(url, options):
        system, path = _filesystem(url, options)
        with system.open(path, "rb") as file:
            data: bytes = file.read()
        return data


def open_file(url: str, options: Mapping[str, Any]) -> BinaryIO:
    """Open a file for reading with random access. The file system may fetch only the parts that are read."""
    with _os_errors_of(url, options):
        system, path = _filesystem(url, options)
        file: BinaryIO = system.open(path, "rb")
        return file


@contextlib.contextmanager
def write(url: str, options: Mapping[str, Any], *, overwrite: bool) -> Iterator[BinaryIO]:
    """Collect the bytes of a file in memory, and write them when the block ends without an error.

    In object stores (S3, Google, Azure, `memory://`, ...) one request writes the object, which appears whole.
    Elsewhere the bytes go to a temporary name, which is then renamed. The file appears whole there if the
    file system renames in one step. Without `overwrite`, the name is checked before the block and again
    before the upload; a race with another writer remains.

    Raises
    ------
    FileExistsError
        The file exists and `overwrite` is false.
    """
    with _os_errors_of(url, options):
        system, path = _filesystem(url, options, cached=False)
        if not overwrite and system.exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), url)
    whole = io.BytesIO()
    yield whole
    with _os_errors_of(url, options):
        if not overwrite and system.exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), url)
        if _is_object_store(system):
            system.pipe_file(path, whole.getvalue())
            return
        temporary = f"{system._parent(path).rstrip('/')}/.bbcodec-{secrets.token_hex(6)}.tmp"
        try:
            system.pipe_file(temporary, whole.getvalue())
            try:
                system.mv(temporary, path)
            except OSError:  # this file system does not replace a file by a rename
                if not (overwrite and system.exists(path)):
                    raise
                system.rm_file(path)
                system.mv(temporary, path)
        except BaseException:
            with contextlib.suppress(Exception):
                system.rm_file(temporary)
            raise


def exists(url: str, options: Mapping[str, Any]) -> bool:
    """Return whether the URL is a file or a folder."""
    with _os_errors_of(url, options):
        system, path = _filesystem(url, options, cached=False)
        return bool(system.exists(path))


def is_folder(url: str, options: Mapping[str, Any]) -> bool:
    """Return whether the URL is a folder; in an object store, a prefix of the name of an object."""
    with _os_errors_of(url, options):
        system, path = _filesystem(url, options, cached=False)
        return bool(system.isdir(path))


def files(url: str, options: Mapping[str, Any]) -> list[str]:
    """Return the sorted names of all files below a folder, relative to it."""
    with _os_errors_of(url, options):
        system, path = _filesystem(url, options, cached=False)
        start = path.rstrip("/") + "/" if path else ""
        return sorted(name.removeprefix(start) for name in system.find(path))


def make_folder(url: str, options: Mapping[str, Any]) -> None:
    """Make a folder and its parents. Do nothing in an object store."""
    with _os_errors_of(url, options):
        system, path = _filesystem(url, options, cached=False)
        if path and not _is_object_store(system):
            system.makedirs(path, exist_ok=True)


def remove(url: str, options: Mapping[str, Any]) -> None:
    """Delete a file."""
    with _os_errors_of(url, options):
        system, path = _filesystem(url, options, cached=False)
        system.rm_file(path)


def _is_object_store(system: Any) -> bool:
    names = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    return not _OBJECT_STORES.isdisjoint(names)
