# SPDX-License-Identifier: Apache-2.0
"""What `info` and `test` do with archives, and how commands that take either kind of file tell them apart."""

from __future__ import annotations

import io
import sys
import time
from typing import Any, BinaryIO

from bbcodec.cli.report import STREAM, Reporter, shown, write_text
from bbcodec.storage import Storage

__all__ = ["as_archive", "info", "test"]


def as_archive(name: str, storage: Storage) -> tuple[BinaryIO | str | None, bytes]:
    """Return what an archive can be opened from, or None; of standard input also what was read.

    A file is looked at by its first bytes alone. Errors as of `Storage.open`.
    """
    from bbcodec.archive.sections import MAGIC

    if name == STREAM:
        data = sys.stdin.buffer.read()
        return (io.BytesIO(data), data) if data[: len(MAGIC)] == MAGIC else (None, data)
    with storage.open(name) as file:
        return (name, b"") if file.read(len(MAGIC)) == MAGIC else (None, b"")


def info(file: BinaryIO | str, name: str, storage: Storage, as_json: bool) -> dict[str, Any]:
    """Describe an archive."""
    from bbcodec.archive import Archive
    from bbcodec.archive.check import describe

    with Archive(file, preload=False, storage_options=storage.options) as archive:
        facts = describe(archive.reader)
    if not as_json:
        pictures = f"{facts['pictures']}, {facts['in_batches']} of them in {facts['batches']} batches"
        rows = [
            ("pictures", pictures),
            ("archive", f"{facts['file_size']} bytes, {facts['bits_per_dim']:.3f} bits/dim"),
        ]
        for model in facts["models"]:
            kept = f"embedded, {model['embedded_bytes']} bytes" if model["embedded_bytes"] else "not embedded"
            rows.append(("model", f"{model['id']} ({kept})"))
        rows += [
            (f"sections {kind}", f"{size} bytes") for kind, size in facts["bytes"].items() if kind != "head"
        ]
        if facts["unfinished_bytes"]:
            rows.append(("unfinished append", f"{facts['unfinished_bytes']} bytes, not part of the archive"))
        width = max(len(label) for label, _ in rows)
        write_text("\n".join([shown(name), *(f"  {label:<{width}}  {value}" for label, value in rows)]))
    return {"input": name, "archive": True, **facts}


def test(file: BinaryIO | str, name: str, reporter: Reporter, **options: Any) -> dict[str, Any]:
    """Verify an archive whole: every section, every picture's checksum.

    Raises
    ------
    FormatError
        Some of it is damaged; which pictures are lost has been said.
    """
    from bbcodec.archive import Archive
    from bbcodec.archive.check import verify
    from bbcodec.errors import FormatError

    started = time.perf_counter()
    lost: list[str] = []
    with Archive(file, **options) as archive, reporter.progress(name) as progress:
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
    reporter.note(f"{shown(name)}: ok, {count} pictures")
    if unfinished:
        reporter.note(f"  behind them {unfinished} bytes of an append that was interrupted")
    reporter.detail(f"  {seconds:.2f} s")
    return {
        "input": name, "ok": True, "archive": True, "pictures": count,
        "unfinished_bytes": unfinished, "seconds": seconds,
    }  # fmt: skip
