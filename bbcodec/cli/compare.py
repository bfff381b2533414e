# SPDX-License-Identifier: Apache-2.0
"""`bbcodec compare`: sizes and times of bbcodec beside PNG, WebP and JPEG XL, every round trip verified.

Here codecs are timed and the table is made; how each is called stands in `rivals`.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bbcodec.cli import options
from bbcodec.cli.files import read_input
from bbcodec.cli.report import STREAM, Reporter, refuse, shown, write_json, write_text

if TYPE_CHECKING:
    from bbcodec.cli.rivals import Codec
    from bbcodec.picture.picture import Picture

__all__ = ["compare"]

_HEAD = f"  {'codec':<16}{'bytes':>12}{'bits/dim':>10}{'encode s':>10}{'decode s':>10}"


def compare(
    inputs: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Images to measure; '-' is stdin.")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            "--model",
            metavar="NAME|ID|PATH",
            help="Model to measure; may be repeated. [default: the released ones]",
        ),
    ] = None,
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
            "--html",
            metavar="FILE",
            help="Write a page of tables, charts and thumbnails, all in one file.",
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
    reporter = Reporter(quiet, verbose)
    storage = options.storage_of(storage_options)
    if html == STREAM:
        refuse("--html needs a file: standard output has the table")
    if html is not None and os.path.lexists(html) and not force:
        from bbcodec.errors import BBCodecError

        reporter.fail(html, BBCodecError("exists already; use -f to overwrite it"))
        raise typer.Exit(1)
    thumbnails: list[str] = []
    measured: list[dict[str, Any]] = []
    rows: list[Codec] = []

    def one(name: str) -> dict[str, Any]:
        from bbcodec.picture.files import read_image

        limit = {} if max_pixels is None else {"max_pixels": max_pixels}
        picture = read_image(io.BytesIO(read_input(name, storage)), **limit)
        if not rows:
            rows.extend(_prepare(model, threads, backend))
        results = []
        with reporter.progress(name) as progress:
            for done, codec in enumerate(rows):
                if progress:
                    progress(done, len(rows))
                results.append(_measure(codec, picture))
        record = {
            "input": name,
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "dims": picture.pixels.size,
            "codecs": results,
        }
        if not as_json:
            write_text(
                "\n".join(
                    [f"{shown(name)}  {picture.width} x {picture.height} {picture.mode}", *_table(results)]
                )
            )
        if html is not None:
            from bbcodec.cli.html_report import thumbnail

            thumbnails.append(thumbnail(picture))
        measured.append(record)
        return record

    records = reporter.each(inputs, str, one)
    means = _means(measured)
    if html is not None and measured:
        from bbcodec.cli.html_report import shared

        reporter.each(
            [html],
            str,
            lambda name: _write_page(
                name,
                images=measured,
                means=_means(shared(measured)),
                thumbnails=thumbnails,
                ours={codec.name for codec in rows if codec.ours},
                failures=[record for record in records if "error" in record],
                facts=_facts(threads, backend),
            ),
        )
    if as_json:
        write_json({"images": records, "mean": means})
    elif len(measured) > 1:
        write_text("\n".join([f"mean of {len(measured)} images", *_table(means)]))
    reporter.finish(records, as_json=False)


def _write_page(name: str, **content: Any) -> dict[str, Any]:
    """Write the page of `--html`."""
    from bbcodec.cli.html_report import render
    from bbcodec.storage.atomic import atomic_write

    text = render(**content).encode("utf-8", "backslashreplace")
    with atomic_write(name, overwrite=True) as file:
        file.write(text)
    return {"output": name}


def _facts(threads: int, backend: str | None) -> dict[str, str]:
    """Return what the page says of versions and settings."""
    import platform
    import shlex

    from bbcodec import backends
    from bbcodec.cli.rivals import versions

    chosen = backends.backend_name(backend)
    target = f", {backends.native_target()}" if chosen == "native" else ""
    return {
        "command": shlex.join(["bbcodec", *sys.argv[1:]]),
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        **versions(),
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
        "threads": f"{threads or 'all cores'} (bbcodec and JPEG XL; the others take one)",
        "backend": chosen + target,
    }


def _prepare(model: list[str] | None, threads: int, backend: str | None) -> list[Codec]:
    """Return the codecs, each run once on a small picture, so that imports and model files are not timed."""
    import contextlib

    import numpy as np

    from bbcodec import modelfile
    from bbcodec.cli.rivals import codecs
    from bbcodec.picture.picture import Picture

    rows = codecs(model or sorted(modelfile.released(), reverse=True), threads, backend)
    small = Picture.of(np.arange(64 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(64, 64, 3))
    for codec in rows:
        with contextlib.suppress(Exception):  # it is going to fail again where it counts
            codec.decode(codec.encode(small))
    return rows


def _measure(codec: Codec, picture: Picture) -> dict[str, Any]:
    """Return the result of one codec on one picture: size and times, or why there are none.

    A rival that cannot take the picture, or changes it, gets a row that says so. For our own codec that is an
    error, except where it says what it does not take.
    """
    from bbcodec.errors import BBCodecError, ModelMissingError, OptionError, UnsupportedImageError

    try:
        start = time.perf_counter()
        data = codec.encode(picture)
        middle = time.perf_counter()
        decoded = codec.decode(data)
        end = time.perf_counter()
        exact = codec.exact(picture, decoded)
    except Exception as error:  # whatever a library raises on a picture that it cannot take
        if codec.ours and not isinstance(error, ModelMissingError | OptionError | UnsupportedImageError):
            raise
        return {"codec": codec.name, "error": " ".join(str(error).split()) or type(error).__name__}
    if not exact and codec.ours:
        raise BBCodecError(f"{codec.name}: round trip differs")
    if not exact:
        return {"codec": codec.name, "error": "round trip differs"}
    result = {
        "codec": codec.name,
        "bytes": len(data),
        "bits_per_dim": 8 * len(data) / picture.pixels.size,
        "encode_seconds": middle - start,
        "decode_seconds": end - middle,
    }
    if codec.ours:
        from bbcodec.bbfile.info import info

        learned = info(data).learned
        if learned is not None and "initial_bits_lost" in learned:
            result["initial_bits_lost"] = learned["initial_bits_lost"]
    return result


def _means(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the mean result of each codec over the images that it could code, with their number."""
    means: list[dict[str, Any]] = []
    for index, first in enumerate(records[0]["codecs"] if records else ()):
        good = [record["codecs"][index] for record in records if "bytes" in record["codecs"][index]]
        mean: dict[str, Any] = {"codec": first["codec"], "images": len(good)}
        if good:
            for key in ("bytes", "bits_per_dim", "encode_seconds", "decode_seconds"):
                mean[key] = sum(result[key] for result in good) / len(good)
        else:
            mean["error"] = "no image"
        means.append(mean)
    return means


def _table(results: list[dict[str, Any]]) -> list[str]:
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
