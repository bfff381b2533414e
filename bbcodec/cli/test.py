# SPDX-License-Identifier: Apache-2.0
"""`bbcodec test`: decode whole files and say whether they are sound. Nothing is written."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from bbcodec.cli import archives, options
from bbcodec.cli.files import pixels_in, read_input
from bbcodec.cli.report import Reporter, shown

__all__ = ["verify"]


def verify(
    inputs: Annotated[list[str], typer.Argument(metavar="FILE.bb", help="Files to test; '-' is stdin.")],
    model: options.ModelName = None,
    threads: options.Threads = 0,
    backend: options.Backend = None,
    max_pixels: options.MaxPixels = None,
    max_memory: options.MaxMemory = None,
    storage_options: options.StorageOptions = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Verify .bb files and archives whole: every section, and the checksums of the decoded pixels."""
    reporter, limits = Reporter(quiet, verbose), options.limits_of(max_pixels, max_memory)
    storage = options.storage_of(storage_options)

    def one(name: str) -> dict[str, Any]:
        from bbcodec import api

        started = time.perf_counter()
        archive, data = archives.as_archive(name, storage)
        if archive is not None:
            return archives.test(
                archive,
                name,
                reporter,
                model=model,
                threads=threads,
                backend=backend,
                limits=limits,
                storage_options=storage.options,
            )
        data = data or read_input(name, storage)
        with reporter.progress(name, pixels_in(data)) as progress:
            picture = api.decompress_picture(
                data, threads=threads, backend=backend, limits=limits, model=model, progress=progress
            )
        seconds = time.perf_counter() - started
        reporter.note(f"{shown(name)}: ok, {picture.width} x {picture.height} {picture.mode}")
        reporter.detail(f"  {len(data)} bytes, {seconds:.2f} s")
        return {
            "input": name,
            "ok": True,
            "bytes": len(data),
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "seconds": seconds,
        }

    reporter.finish(reporter.each(inputs, str, one), as_json)
