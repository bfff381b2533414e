# SPDX-License-Identifier: Apache-2.0
"""Archives as commands open them, and what `info` and `test` do with one."""

from __future__ import annotations

import io
import os
import time
from typing import TYPE_CHECKING, Any, BinaryIO

from bbcodec.cli.filetype import expect_archive, file_type, is_archive, is_compressed
from bbcodec.cli.names import command
from bbcodec.cli.report import STREAM, Reporter, shown, write_text
from bbcodec.cli.streams import anything, read_head, read_input
from bbcodec.storage import Storage

if TYPE_CHECKING:
    from bbcodec.archive import Archive
    from bbcodec.cli.settings import Decoding

__all__ = ["as_archive", "describe_archive", "open_archive", "test_archive"]


def as_archive(name: str, storage: Storage) -> tuple[BinaryIO | str | None, bytes]:
    """Return what an archive can be opened from, or None; for standard input also its bytes.

    Only the first bytes of a file are looked at, and the last ones if the first say nothing. Errors as of
    `read_input` and `Storage.open`.
    """
    if name == STREAM:
        data = read_input(name, storage, is_compressed)
        return (io.BytesIO(data), data) if is_archive(data) else (None, data)
    head = read_head(name, storage)
    found = is_archive(head) or (file_type(head) is None and _ends_like_one(name, storage))
    return (name, b"") if found else (None, b"")


def _ends_like_one(name: str, storage: Storage) -> bool:
    """Return whether a file on this machine is an archive by its end; its head may be damaged."""
    from bbcodec.archive import sections
    from bbcodec.storage import local_path

    path = local_path(name)
    if path is None or not os.path.isfile(path):
        return False
    with storage.open(path) as file:
        return sections.ends_with_tail(sections.Source(file))


def open_archive(
    name: str, storage: Storage, how: Decoding | None, *, preload: bool = True, salvage: bool = False
) -> Archive:
    """Open an archive for reading: a file, or all of standard input.

    Raises
    ------
    FormatError
        It is a single picture, an image, or damaged.
    OSError
        It cannot be read.
    """
    from bbcodec.archive import Archive

    source: Any = name
    if name == STREAM:
        data = read_input(name, storage, anything if salvage else is_archive)
        source = io.BytesIO(data)
        expect_archive(data, name)
    else:
        expect_archive(read_head(name, storage), name)
    options = {"threads": 1} if how is None else how.options()
    return Archive(source, storage_options=storage.options, preload=preload, salvage=salvage, **options)


def describe_archive(
    file: BinaryIO | str, name: str, storage: Storage, how: Decoding, reporter: Reporter
) -> dict[str, Any]:
    """Print what is in an archive, and return its record."""
    from bbcodec.archive import Archive
    from bbcodec.archive.check import describe

    with Archive(file, preload=False, storage_options=storage.options, **how.options()) as archive:
        facts = describe(archive.reader)
    if not reporter.as_json:
        rows = _rows(facts)
        width = max(len(label) for label, _ in rows)
        write_text("\n".join([shown(name), *(f"  {label:<{width}}  {value}" for label, value in rows)]))
    return {"input": name, "archive": True, **facts}


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return labels and values of the description of an archive."""
    rows = [
        ("pictures", f"{facts['pictures']}, {facts['in_batches']} of them in {facts['batches']} batches"),
        ("archive", f"{facts['file_size']} bytes, {facts['bits_per_dim']:.3f} bits/dim"),
    ]
    for model in facts["models"]:
        kept = f"embedded, {model['embedded_bytes']} bytes" if model["embedded_bytes"] else "not embedded"
        rows.append(("model", f"{model['id']} ({kept})"))
    rows += [(f"sections {kind}", f"{size} bytes") for kind, size in facts["bytes"].items() if kind != "head"]
    if facts["unfinished_bytes"]:
        rows.append(("unfinished append", f"{facts['unfinished_bytes']} bytes, not part of the archive"))
    return rows


def test_archive(
    file: BinaryIO | str, name: str, storage: Storage, how: Decoding, reporter: Reporter
) -> dict[str, Any]:
    """Verify every section of an archive and every picture's checksum, and return its record.

    Raises
    ------
    FormatError
        Some of it is damaged. The lost pictures have been reported, and the message says if they come back.
    """
    from bbcodec.archive import Archive
    from bbcodec.errors import BBCodecError, FormatError

    try:
        return _test_archive(file, name, storage, how, reporter)
    except FormatError as error:
        try:
            with Archive(
                file, salvage=True, preload=False, storage_options=storage.options, **how.options()
            ) as archive:
                advice = bool(archive.reader.repairs) and not archive.reader.notes
        except BBCodecError:
            advice = False
        if not advice:
            raise
        raise FormatError(
            f"{error}; it can be repaired: use {command('unpack', '--salvage', name)}"
        ) from error


def _test_archive(
    file: BinaryIO | str, name: str, storage: Storage, how: Decoding, reporter: Reporter
) -> dict[str, Any]:
    """Do the work of `test_archive` without advice."""
    from bbcodec.archive import Archive
    from bbcodec.archive.check import verify
    from bbcodec.errors import FormatError

    started = time.perf_counter()
    lost: list[str] = []
    with (
        Archive(file, storage_options=storage.options, **how.options()) as archive,
        reporter.progress(name) as progress,
    ):
        reader = archive.reader
        for number, (stored, error) in enumerate(verify(reader), 1):
            if progress:
                progress(number, len(reader.stored))
            if error is not None:
                names = [entry.name for entry in stored.entries]
                lost += names
                reporter.fail(name, error)
                reporter.note(f"  lost: {', '.join(map(shown, names))}")
        unfinished = reader.source.size - reader.end
        count = len(archive)
    seconds = time.perf_counter() - started
    if lost:
        reporter.failures -= 1  # it is counted again with the error that ends this
        raise FormatError(f"{len(lost)} of {count} pictures are lost")
    reporter.note(f"ok, {count} pictures", shown(name))
    if unfinished:
        reporter.warn(f"  {unfinished} bytes after the end are from an append that was interrupted")
    reporter.detail(f"  {seconds:.2f} s")
    return {
        "input": name,
        "ok": True,
        "archive": True,
        "pictures": count,
        "unfinished_bytes": unfinished,
        "seconds": seconds,
    }
