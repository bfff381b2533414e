# SPDX-License-Identifier: Apache-2.0
"""Files behind URLs, by fsspec (the extra `remote`). `bbcodec.storage` decides which names come here.

Whatever a file system raises becomes an `OSError` with the URL, so that one bad file stops nothing else.
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

__all__ = ["exists", "files", "is_folder", "make_folder", "open_file", "read", "remove", "write"]

# Here an object appears when its upload is complete, and there are no folders. A rename would copy it.
_OBJECT_STORES = frozenset(
    ("abfs", "abfss", "adl", "az", "gcs", "gs", "hf", "memory", "oci", "oss", "r2", "s3", "s3a", "tos")
)


def _filesystem(url: str, options: Mapping[str, Any], *, cached: bool = True) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it; without caches in front of it if so asked."""
    try:
        from fsspec.core import url_to_fs
        from fsspec.implementations.cached import CachingFileSystem
        from fsspec.registry import available_protocols
    except ImportError:
        raise OptionError(f"{url}: a URL needs fsspec: pip install 'bbcodec[remote]'") from None
    links = {link.partition("://")[0] for link in url.split("::")}
    others = set(available_protocols()) - links
    # Options by protocol may name one that this URL does not use. fsspec changes what it is given.
    chosen = {k: copy.deepcopy(v) for k, v in options.items() if not (k in others and isinstance(v, Mapping))}
    system, path = url_to_fs(url, **chosen)
    while not cached and isinstance(system, CachingFileSystem):
        system = system.fs
        path = system._strip_protocol(path)
    return system, path


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
    """Turn whatever is raised in the block into an `OSError` about a URL."""
    try:
        yield
    except BBCodecError:
        raise
    except OSError as error:
        code = error.errno or {FileNotFoundError: errno.ENOENT, FileExistsError: errno.EEXIST}.get(
            type(error)
        )
        text = os.strerror(code) if code and not error.strerror else error.strerror or str(error)
        raise OSError(code or errno.EIO, text, url) from error
    except Exception as error:  # an error of the library of some provider
        text = " ".join(str(error).split()) or type(error).__name__
        raise OSError(errno.EIO, text, url) from error


def read(url: str, options: Mapping[str, Any]) -> bytes:
    """Return all bytes of a file."""
    with _told(url):
        system, path = _filesystem(url, options)
        with system.open(path, "rb") as file:
            data: bytes = file.read()
        return data


def open_file(url: str, options: Mapping[str, Any]) -> BinaryIO:
    """Open a file for reading here and there in it; what is not asked for need not be fetched."""
    with _told(url):
        system, path = _filesystem(url, options)
        file: BinaryIO = system.open(path, "rb")
        return file


@contextlib.contextmanager
def write(url: str, options: Mapping[str, Any], *, overwrite: bool) -> Iterator[BinaryIO]:
    """Collect the bytes of a file, and put them in place when the block ends well.

    In object stores (S3, Google, Azure, `memory://` and the like) they are put in one request, and an object
    appears whole. Elsewhere they go to a temporary name, which is then moved: where the file system renames
    in one step, the file appears whole too. Without `overwrite`, the name is looked at before the block and
    before the bytes are put; another writer may still come between.
    """
    with _told(url):
        system, path = _filesystem(url, options, cached=False)
        if not overwrite and system.exists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), url)
    whole = io.BytesIO()
    yield whole
    with _told(url):
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
            except OSError:  # a file system that does not rename onto a file
                if not (overwrite and system.exists(path)):
                    raise
                system.rm_file(path)
                system.mv(temporary, path)
        except BaseException:
            with contextlib.suppress(Exception):
                system.rm_file(temporary)
            raise


def exists(url: str, options: Mapping[str, Any]) -> bool:
    """Return whether there is a file or a folder."""
    with _told(url):
        system, path = _filesystem(url, options, cached=False)
        return bool(system.exists(path))


def is_folder(url: str, options: Mapping[str, Any]) -> bool:
    """Return whether there is a folder: in an object store, anything whose name begins so."""
    with _told(url):
        system, path = _filesystem(url, options, cached=False)
        return bool(system.isdir(path))


def files(url: str, options: Mapping[str, Any]) -> list[str]:
    """Return the files in a folder and in those below it, named from there, in order."""
    with _told(url):
        system, path = _filesystem(url, options, cached=False)
        start = path.rstrip("/") + "/" if path else ""
        return sorted(name.removeprefix(start) for name in system.find(path))


def make_folder(url: str, options: Mapping[str, Any]) -> None:
    """Make a folder and those above it, where there are folders."""
    with _told(url):
        system, path = _filesystem(url, options, cached=False)
        if path and not _is_object_store(system):
            system.makedirs(path, exist_ok=True)


def remove(url: str, options: Mapping[str, Any]) -> None:
    """Delete a file."""
    with _told(url):
        system, path = _filesystem(url, options, cached=False)
        system.rm_file(path)


def _is_object_store(system: Any) -> bool:
    names = (system.protocol,) if isinstance(system.protocol, str) else system.protocol
    return not _OBJECT_STORES.isdisjoint(names)
