# SPDX-License-Identifier: Apache-2.0
"""`bbcodec test`: decode whole files and check them. Nothing is written."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from bbcodec.cli import codec, options
from bbcodec.cli.archives import as_archive, test_archive
from bbcodec.cli.arrays import is_array_file, test_arrays
from bbcodec.cli.filetype import expect_single, is_single
from bbcodec.cli.names import SUFFIX
from bbcodec.cli.report import Reporter, shown
from bbcodec.cli.settings import Decoding, read_storage
from bbcodec.cli.streams import read_input
from bbcodec.errors import FormatError
from bbcodec.storage import Storage

__all__ = ["verify"]


def verify(
    inputs: options.Files,
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
    """Verify .bb files and archives: every section, and the checksums of the decoded pixels."""
    how = Decoding.of(model, threads, backend, max_pixels, max_memory)
    reporter = Reporter(quiet, verbose, as_json)
    work = partial(_verify_one, storage=read_storage(storage_options), how=how, reporter=reporter)
    reporter.finish(reporter.each(inputs, str, work))


def _verify_one(name: str, storage: Storage, how: Decoding, reporter: Reporter) -> dict[str, Any]:
    """Decode a file, print that it is sound, and return its record."""
    started = time.perf_counter()
    archive, data = as_archive(name, storage)
    if archive is not None:
        return test_archive(archive, name, storage, how, reporter)
    data = data or read_input(name, storage, is_single)
    expect_single(data, name)
    if is_array_file(data):
        return test_arrays(name, data, how, reporter)
    with reporter.progress(name, codec.pixels_in(data)) as progress:
        try:
            picture = codec.decode(data, how, progress=progress)
        except FormatError as error:
            if not is_single(data) and name.lower().endswith(SUFFIX):  # the head alone was read
                data = read_input(name, storage)
            if codec.can_be_repaired(data):
                raise FormatError(f"{error}; its recovery data can repair it: use --salvage") from error
            raise
    seconds = time.perf_counter() - started
    reporter.note(f"ok, {picture.width} x {picture.height} {picture.mode}", shown(name))
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
