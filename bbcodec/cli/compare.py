# SPDX-License-Identifier: Apache-2.0
"""`bbcodec compare`: sizes and times of bbcodec beside PNG, WebP and JPEG XL, as a table, JSON or a page."""

from __future__ import annotations

import io
import os
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bbcodec.cli import options
from bbcodec.cli.filetype import may_be_image
from bbcodec.cli.images import read_picture
from bbcodec.cli.measure import mean_results, measure, prepare
from bbcodec.cli.model_choice import check_model
from bbcodec.cli.report import STREAM, Reporter, refuse, shown, write_json, write_text
from bbcodec.cli.settings import read_storage
from bbcodec.cli.streams import read_input
from bbcodec.errors import BBCodecError
from bbcodec.storage import Storage
from bbcodec.storage.display import HIDDEN, redacted

if TYPE_CHECKING:
    from bbcodec.cli.rivals import Codec

__all__ = ["compare"]

_HEAD = f"  {'codec':<16}{'bytes':>12}{'bits/dim':>10}{'encode s':>10}{'decode s':>10}"


@dataclass(frozen=True)
class _Settings:
    """What is measured, and how files are reached."""

    models: list[str] | None
    threads: int
    backend: str | None
    max_pixels: int | None
    storage: Storage
    html: str | None
    force: bool


@dataclass
class _Results:
    """What has been measured so far: records of images, their thumbnails, and the codecs."""

    images: list[dict[str, Any]] = field(default_factory=list)
    thumbnails: list[str] = field(default_factory=list)
    codecs: list[Codec] = field(default_factory=list)


def compare(
    inputs: options.Images,
    model: options.Models = None,
    threads: Annotated[
        int,
        typer.Option(
            "--threads", "-T", min=0, metavar="N", help="Threads of bbcodec and JPEG XL; 0 means all cores."
        ),
    ] = 1,
    backend: options.Backend = None,
    html: Annotated[
        str | None,
        typer.Option(
            "--html", metavar="FILE", help="Write one HTML page with tables, charts and thumbnails."
        ),
    ] = None,
    force: options.Force = False,
    max_pixels: options.MaxPixels = None,
    storage_options: options.StorageOptions = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Measure bbcodec beside PNG, WebP and, where imagecodecs is installed, JPEG XL.

    Every codec is lossless, leaves metadata out, and is checked pixel by pixel while it is measured. Bits per
    dim are bits per sample: 8 x bytes / (width x height x channels). Times are of one run, after a warm-up.
    """
    reporter = Reporter(quiet, verbose, as_json)
    if html == STREAM:
        refuse("--html needs a file: standard output has the table")
    models = None if model is None else [name for name in map(check_model, model) if name is not None]
    how = _Settings(models, threads, backend, max_pixels, read_storage(storage_options), html, force)
    if html is not None:
        _check_page(html, force, reporter)
    results = _Results()
    records = reporter.each(inputs, str, partial(_compare_one, how=how, results=results, reporter=reporter))
    failures = [record for record in records if "error" in record]
    means = mean_results(results.images)
    if html is not None and results.images:
        work = partial(_write_page, how=how, results=results, failures=failures)
        reporter.each([html], str, work)
    if as_json:
        write_json({"images": records, "mean": means})
    elif len(results.images) > 1:
        write_text("\n".join([f"mean of {len(results.images)} images", *_table(means)]))
    if reporter.failures:
        raise typer.Exit(1)


def _check_page(name: str, force: bool, reporter: Reporter) -> None:
    """Leave with exit code 1 if the page of `--html` cannot be written: the measurements take minutes."""
    from bbcodec.storage.atomic import place_of

    try:
        place_of(name, overwrite=force)
    except FileExistsError:
        reporter.fail(name, BBCodecError("exists already; use -f to overwrite it"))
        raise typer.Exit(1) from None
    except OSError as error:
        reporter.fail(name, error)
        raise typer.Exit(1) from None


def _compare_one(name: str, how: _Settings, results: _Results, reporter: Reporter) -> dict[str, Any]:
    """Measure all codecs on an image, print the table, and return the record."""
    data = read_input(name, how.storage, may_be_image)
    picture = read_picture(io.BytesIO(data), how.max_pixels).picture
    if not results.codecs:
        results.codecs.extend(prepare(how.models, how.threads, how.backend))
    rows = []
    with reporter.progress(name) as progress:
        for done, codec in enumerate(results.codecs):
            if progress:
                progress(done, len(results.codecs))
            rows.append(measure(codec, picture))
    record = {
        "input": name,
        "width": picture.width,
        "height": picture.height,
        "mode": picture.mode,
        "dims": picture.pixels.size,
        "codecs": rows,
    }
    if not reporter.as_json:
        title = f"{shown(name)}  {picture.width} x {picture.height} {picture.mode}"
        write_text("\n".join([title, *_table(rows)]))
    if how.html is not None:
        from bbcodec.cli.html_report import thumbnail

        results.thumbnails.append(thumbnail(picture))
    results.images.append(record)
    return record


def _write_page(name: str, how: _Settings, results: _Results, failures: list[Any]) -> dict[str, Any]:
    """Write the page of `--html`."""
    from bbcodec.cli.html_report import render, shared
    from bbcodec.storage.atomic import atomic_write

    page = render(
        results.images,
        mean_results(shared(results.images)),
        thumbnails=results.thumbnails,
        ours={codec.name for codec in results.codecs if codec.ours},
        failures=failures,
        facts=_facts(how.threads, how.backend),
    )
    with atomic_write(name, overwrite=how.force) as file:
        file.write(page.encode("utf-8", "backslashreplace"))
    return {"output": name}


def _facts(threads: int, backend: str | None) -> dict[str, str]:
    """Return the versions and settings that the page names."""
    import platform
    import shlex

    from bbcodec import backends
    from bbcodec.cli.rivals import versions

    chosen = backends.backend_name(backend)
    target = f", {backends.native_target()}" if chosen == "native" else ""
    return {
        "command": redacted(shlex.join(["bbcodec", *_public(sys.argv[1:])])),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        **versions(),
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
        "threads": f"{threads or 'all cores'} (bbcodec and JPEG XL; the others take one)",
        "backend": chosen + target,
    }


def _public(words: list[str]) -> list[str]:
    """Return a command line without the options of storages, which may hold keys."""
    option = "--storage-options"
    hidden = [f"{option}={HIDDEN}" if word.startswith(f"{option}=") else word for word in words]
    return [HIDDEN if before == option else word for before, word in zip(["", *hidden], hidden, strict=False)]


def _table(results: list[dict[str, Any]]) -> list[str]:
    """Return the lines of a table, one for each codec."""
    lines = [_HEAD]
    for r in results:
        if "bytes" in r:
            size = f"{r['bytes']:>12.0f}{r['bits_per_dim']:>10.3f}"
            times = f"{r['encode_seconds']:>10.2f}{r['decode_seconds']:>10.2f}"
            lost = f"  {r['initial_bits_lost']} initial bits lost" if "initial_bits_lost" in r else ""
            lines.append(f"  {r['codec']:<16}{size}{times}{lost}")
        else:
            lines.append(f"  {r['codec']:<16}{'-':>12}  {r['error']}")
    return lines
