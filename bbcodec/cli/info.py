# SPDX-License-Identifier: Apache-2.0
"""`bbcodec info`: what is in a file, without decoding its pixels and without its model.

Only `--map` decodes: it writes the cost map, which shows the bits of every pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bbcodec.cli import codec, cost_map, options
from bbcodec.cli.archives import as_archive, describe_archive
from bbcodec.cli.arrays import array_lines
from bbcodec.cli.filetype import expect_single, is_single
from bbcodec.cli.plan import Job
from bbcodec.cli.report import Reporter, shown, write_text
from bbcodec.cli.settings import Decoding, read_storage
from bbcodec.cli.streams import open_output, read_input
from bbcodec.errors import OptionError
from bbcodec.storage import Storage

if TYPE_CHECKING:
    from bbcodec.bbfile.info import Info

__all__ = ["info"]


@dataclass(frozen=True)
class _Map:
    """The cost map that is asked for: where it goes, and the bits of its lightest colour."""

    target: str
    most: float | None
    force: bool


def info(
    inputs: options.Files,
    map_to: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="IMAGE",
            help="Write the cost map: the bits of each pixel, black (none) to pale yellow; one input only.",
        ),
    ] = None,
    map_max: Annotated[
        float | None,
        typer.Option(
            "--map-max",
            metavar="BITS",
            help="Bits per pixel of the lightest colour. [default: 99.5 % of the pixels cost less]",
        ),
    ] = None,
    model: options.ModelName = None,
    threads: options.Threads = 0,
    backend: options.Backend = None,
    force: options.Force = False,
    max_pixels: options.MaxPixels = None,
    max_memory: options.MaxMemory = None,
    storage_options: options.StorageOptions = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Show what is in .bb files and archives: sections, model, and bits per dimension.

    For latent-variable models it shows the initial bits that are lost, too. With --map the file is decoded,
    and a heat map of its bits is written; the file must be of the learned method.
    """
    cost_map.check(inputs, map_to, map_max)
    how = Decoding.of(model, threads, backend, max_pixels, max_memory)
    reporter = Reporter(quiet, verbose, as_json)
    wanted = None if map_to is None else _Map(map_to, map_max, force)
    work = partial(
        _describe, storage=read_storage(storage_options), how=how, wanted=wanted, reporter=reporter
    )
    reporter.finish(reporter.each(inputs, str, work))


def _describe(
    name: str, storage: Storage, how: Decoding, wanted: _Map | None, reporter: Reporter
) -> dict[str, Any]:
    """Print what is in a file, write its cost map if wanted, and return its record."""
    archive, data = as_archive(name, storage)
    if archive is not None:
        if wanted is not None:
            raise OptionError("an archive has no cost map; write one of its pictures with bbcodec get")
        return describe_archive(archive, name, storage, how, reporter)
    data = data or read_input(name, storage, is_single)
    expect_single(data, name)
    from bbcodec.bbfile.info import Info

    found = codec.describe(data, how)
    if not isinstance(found, Info):
        if wanted is not None:
            raise OptionError("a file of arrays has no cost map")
        if not reporter.as_json:
            write_text("\n".join([shown(name), *_table(array_lines(found))]))
        return {"input": name, **found.as_dict()}
    model_name = _model_name(found.model_id)
    if not reporter.as_json:
        write_text("\n".join([shown(name), *_lines(found, model_name)]))
    record = {"input": name, **found.as_dict(), "model_name": model_name}
    if wanted is not None:
        job = Job(name, wanted.target, storage=storage)
        with (
            open_output(job, force=wanted.force) as file,
            reporter.progress(name, found.width * found.height) as progress,
        ):
            scale = cost_map.write(file, job.target, data, wanted.most, progress=progress, **how.options())
        record["map"] = scale
        reporter.note(cost_map.in_words(scale), f"{shown(name)} -> {shown(job.target)}")
    return record


def _model_name(model_id: str | None) -> str | None:
    """Return the name of an installed model, or None."""
    if model_id is None:
        return None
    from bbcodec.modelfile.registry import released_as

    found = released_as(model_id)
    return None if found is None else found.name


def _lines(found: Info, model: str | None) -> list[str]:
    """Return the description of one file, a line for each thing."""
    bits = f"{found.bits_per_sample} bits a sample"
    rows = [
        ("picture", f"{found.width} x {found.height} {found.mode}, {bits}"),
        (
            "file",
            f"{found.file_size} bytes, {found.bits_per_dim:.3f} bits/dim, format {found.format_version}",
        ),
        ("method", f"{found.method} ({'; '.join(found.coders)})"),
    ]
    if found.model_id is not None:
        where = "embedded" if found.model_embedded else "installed" if model else "not installed here"
        rows.append(("model", " ".join(filter(None, (model, found.model_id, f"({where})")))))
    rows += _learned_rows(found.learned or {})
    if found.fit is not None:
        rows.append(("fitted", _pairs(found.fit)))
    for key, value in found.metadata.items():
        text = f"{value} bytes" if key in ("icc", "exif", "xmp") else _plain(value)
        if key == "notes":
            text = ", ".join(f"{note['format']} {note['key']}" for note in value)
        rows.append((key.replace("_", " "), text))
    rows.append(("checksum", found.digest))
    for section in found.sections:
        kind = "" if section["critical"] else ", may be skipped"
        rows.append((f"section {section['type']}", f"{section['size']} bytes at {section['offset']}{kind}"))
    return _table(rows)


def _table(rows: list[tuple[str, str]]) -> list[str]:
    """Return a line for each label and value."""
    width = max(len(label) for label, _ in rows)
    return [f"  {label:<{width}}  {value}" for label, value in rows]


def _learned_rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return labels and values of what the learned method says of a file."""
    rows: list[tuple[str, str]] = []
    for key, value in facts.items():
        label = key.replace("_", " ")
        if isinstance(value, list | tuple) and value and all(isinstance(item, dict) for item in value):
            rows += [(f"{label} {number}", _pairs(item)) for number, item in enumerate(value)]
        else:
            rows.append((label, _pairs(value) if isinstance(value, dict) else _plain(value)))
    return rows


def _plain(value: Any) -> str:
    """Return a value on one line, without the control characters that a hostile file may hold."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return shown(str(value)) if value != "-" else "-"


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in values.items())
