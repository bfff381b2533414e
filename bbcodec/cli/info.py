# SPDX-License-Identifier: Apache-2.0
"""`bbcodec info`: what is in a file, without decoding its pixels and without needing its model.

`--map` alone decodes: it paints what every pixel cost (`bbcodec.bbfile.cost_map`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bbcodec.cli import archives, heat_map, options
from bbcodec.cli.files import Job, open_output, read_input
from bbcodec.cli.report import Reporter, shown, write_text
from bbcodec.errors import OptionError

if TYPE_CHECKING:
    from bbcodec.bbfile.info import Info

__all__ = ["info"]


def info(
    inputs: Annotated[list[str], typer.Argument(metavar="FILE.bb", help="Files to describe; '-' is stdin.")],
    map_to: Annotated[
        str | None,
        typer.Option(
            "--map",
            metavar="IMAGE",
            help="Paint the bits that each pixel cost, from black (none) to pale yellow; one file only.",
        ),
    ] = None,
    map_max: Annotated[
        float | None,
        typer.Option(
            "--map-max",
            metavar="BITS",
            help="Bits per pixel of the lightest colour. [default: what 99.5 % of the pixels stay below]",
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
    """Show what is in .bb files and archives: sections, model, latents, and the initial bits not got back.

    With --map, the file is decoded, and a heat map of its bits is written; it must be of the learned method.
    """
    heat_map.check(inputs, map_to, map_max)
    reporter, limits = Reporter(quiet, verbose), options.limits_of(max_pixels, max_memory)
    storage = options.storage_of(storage_options)

    def one(name: str) -> dict[str, Any]:
        from bbcodec.bbfile.info import info as file_info

        archive, data = archives.as_archive(name, storage)
        if archive is not None:
            if map_to is not None:
                raise OptionError("an archive has no map; get one of its pictures")
            return archives.info(archive, name, storage, as_json)
        data = data or read_input(name, storage)
        report = file_info(data, limits=limits)
        model_name = _model_name(report.model_id)
        if not as_json:
            write_text("\n".join([shown(name), *_lines(report, model_name)]))
        record = {"input": name, **report.as_dict(), "model_name": model_name}
        if map_to is not None:
            job, area = Job(name, map_to, storage=storage), report.width * report.height
            with open_output(job, force=force) as file, reporter.progress(name, area) as progress:
                how = {"threads": threads, "backend": backend, "limits": limits, "model": model}
                found = heat_map.paint(file, map_to, data, map_max, progress=progress, **how)
            record["map"] = found
            reporter.note(f"{shown(name)} -> {shown(map_to)}: {heat_map.scale(found)}")
        return record

    reporter.finish(reporter.each(inputs, str, one), as_json)


def _model_name(model_id: str | None) -> str | None:
    """Return the name of an installed model, or None."""
    if model_id is None:
        return None
    import hashlib

    from bbcodec import modelfile

    for name, path in modelfile.released().items():
        if hashlib.sha256(path.read_bytes()).hexdigest() == model_id:
            return name
    return None


def _lines(report: Info, model: str | None) -> list[str]:
    """Return the description of one file, a line for each thing."""
    rows = [
        (
            "picture",
            f"{report.width} x {report.height} {report.mode}, {report.bits_per_sample} bits a sample",
        ),
        (
            "file",
            f"{report.file_size} bytes, {report.bits_per_dim:.3f} bits/dim, format {report.format_version}",
        ),
        ("method", f"{report.method} ({'; '.join(report.coders)})"),
    ]
    if report.model_id is not None:
        where = "embedded" if report.model_embedded else "installed" if model else "not installed here"
        rows.append(("model", " ".join(filter(None, (model, report.model_id, f"({where})")))))
    for key, value in (report.learned or {}).items():
        label = key.replace("_", " ")
        if isinstance(value, list | tuple) and value and all(isinstance(item, dict) for item in value):
            rows += [(f"{label} {number}", _pairs(item)) for number, item in enumerate(value)]
        else:
            rows.append((label, _pairs(value) if isinstance(value, dict) else _plain(value)))
    if report.fit is not None:
        rows.append(("fitted", _pairs(report.fit)))
    for key, value in report.metadata.items():
        rows.append(
            (key.replace("_", " "), f"{value} bytes" if key in ("icc", "exif", "xmp") else _plain(value))
        )
    rows.append(("checksum", report.digest))
    for section in report.sections:
        kind = "" if section["critical"] else ", may be skipped"
        rows.append((f"section {section['type']}", f"{section['size']} bytes at {section['offset']}{kind}"))
    width = max(len(label) for label, _ in rows)
    return [f"  {label:<{width}}  {value}" for label, value in rows]


def _plain(value: Any) -> str:
    """Return a value on one line, without the control characters that a hostile file may hold."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return shown(str(value)) if value != "-" else "-"


def _pairs(values: dict[str, Any]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in values.items())
