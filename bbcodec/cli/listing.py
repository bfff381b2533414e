# SPDX-License-Identifier: Apache-2.0
"""`bbcodec list`: names, sizes and bytes of the pictures of an archive. Nothing is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bbcodec.cli import options
from bbcodec.cli.archives import open_archive
from bbcodec.cli.report import Reporter, shown, write_json, write_text
from bbcodec.cli.settings import read_storage
from bbcodec.storage import Storage

if TYPE_CHECKING:
    from bbcodec.archive.reader import Reader

__all__ = ["list_names", "matching"]


def list_names(
    archive: options.Archive,
    names: options.ArchiveNames = None,
    long: Annotated[
        bool, typer.Option("--long", "-l", help="Show size, mode and bytes of each picture, and the sums.")
    ] = False,
    storage_options: options.StorageOptions = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """List the pictures of an archive in the order in which they were packed.

    With -l, the bytes of a picture are those of its section. Pictures that share a batch share its bytes by
    their numbers of samples; such a share is marked with ~.
    """
    reporter, storage = Reporter(quiet, verbose, as_json), read_storage(storage_options)
    records: list[dict[str, Any]] = []
    work = partial(_list_one, names, storage=storage, long=long, as_json=as_json, records=records)
    reporter.each([archive], str, work)
    if as_json and not reporter.failures:
        write_json(records)
    if reporter.failures:
        raise typer.Exit(1)


def _list_one(
    names: Sequence[str] | None,
    source: str,
    storage: Storage,
    long: bool,
    as_json: bool,
    records: list[dict[str, Any]],
) -> dict[str, Any]:
    """Collect the records of an archive and print them."""
    with open_archive(source, storage, None, preload=False) as pictures:
        size = pictures.reader.source.size
        sizes = _section_sizes(pictures.reader) if long else {}
        for name in matching(list(pictures), names):
            entry = pictures.entry(name)
            record = {"name": name, "width": entry.width, "height": entry.height, "mode": entry.mode}
            records.append(record | (_bytes_of(pictures.reader, name, sizes) if long else {}))
    if as_json or not records:
        return {}
    lines = [_long_line(record) if long else shown(record["name"]) for record in records]
    if long:
        pixels = sum(record["width"] * record["height"] for record in records)
        lines.append(f"{len(records)} pictures, {pixels} pixels, {size} bytes")
        if any(record["shared"] for record in records):
            lines.append("~ share of a batch")
    write_text("\n".join(lines))
    return {}


def _section_sizes(reader: Reader) -> dict[int, int]:
    """Return the bytes of every section with pictures, by its offset."""
    from bbcodec.archive import sections

    return {stored.at: sections.mark(reader.source, stored.at).size for stored in reader.stored}


def _bytes_of(reader: Reader, name: str, sizes: dict[int, int]) -> dict[str, Any]:
    """Return the bytes of a picture, and whether they are its share of a batch."""
    place = reader.places[name]
    entries = place.stored.entries
    share = place.entry.samples / sum(entry.samples for entry in entries)
    return {"bytes": round(sizes[place.stored.at] * share), "shared": len(entries) > 1}


def _long_line(record: dict[str, Any]) -> str:
    size = f"{'~' if record['shared'] else ''}{record['bytes']}"
    picture = f"{record['width']:>6} x {record['height']:<6} {record['mode']:<7}"
    return f"{picture} {size:>10}  {shown(record['name'])}"


def matching(names: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """Return the names that equal or match one of the wanted patterns; all without patterns.

    Raises
    ------
    BBCodecError
        A pattern matches nothing.
    """
    if not wanted:
        return list(names)
    import fnmatch

    from bbcodec.cli.hints import did_you_mean
    from bbcodec.errors import BBCodecError

    known, out = set(names), dict[str, None]()
    for pattern in wanted:
        found = [pattern] if pattern in known else [n for n in names if fnmatch.fnmatchcase(n, pattern)]
        if not found:
            near = did_you_mean(pattern, names)
            raise BBCodecError(f"no picture is named {shown(pattern)}" + (f"; {near}" if near else ""))
        out.update(dict.fromkeys(found))
    return list(out)
