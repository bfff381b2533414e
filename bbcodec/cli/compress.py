# SPDX-License-Identifier: Apache-2.0
"""`bbcodec compress`: images in, `.bb` files out."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from bbcodec.cli import codec, options
from bbcodec.cli.arrays import compress_arrays, holds_arrays, may_be_stack
from bbcodec.cli.images import read_picture, warn_incomplete, warn_larger
from bbcodec.cli.interrupt import stop_on_interrupt
from bbcodec.cli.model_choice import choose_model
from bbcodec.cli.names import COMPRESSED
from bbcodec.cli.plan import Job, make_plan, skip
from bbcodec.cli.removal import original_of, remove_compressed
from bbcodec.cli.report import STREAM, Reporter, refuse, shown, verified
from bbcodec.cli.settings import Destination, Encoding, read_storage
from bbcodec.cli.streams import open_output
from bbcodec.errors import OptionError, UnsupportedImageError

if TYPE_CHECKING:
    from bbcodec.bbfile.info import Info

__all__ = ["compress"]


def compress(
    inputs: options.Images,
    output: options.Output = None,
    output_dir: options.OutputDir = None,
    recursive: options.Recursive = False,
    stdout: options.Stdout = False,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    remove: options.Remove = False,
    level: options.Level = None,
    fast: options.Fast = False,
    method: options.Method = "auto",
    model: options.ModelName = None,
    embed_model: options.EmbedModel = False,
    fit: options.Fit = None,
    seed: options.FitSeed = 0,
    recovery: options.Recovery = None,
    axes: options.Axes = None,
    group: options.Group = None,
    verify: options.Verify = True,
    metadata: options.Metadata = "all",
    strip: options.Strip = False,
    threads: options.Threads = 0,
    backend: options.Backend = None,
    max_pixels: options.MaxPixels = None,
    storage_options: options.StorageOptions = None,
    dask: options.Dask = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Compress images and arrays without losing a pixel: photo.png becomes photo.bb.

    The suffix of an image is replaced by .bb; any other name gets .bb appended. Pixels, mode, bit depth and
    metadata come back exactly. The bytes of the image file may differ. Files of DICOM, NIfTI, FITS and NumPy,
    and TIFF files of several pages, come back byte for byte.
    """
    keep = metadata == "all" and not strip
    chosen = choose_model(method, model, level, fast=fast)
    how = Encoding(
        method,
        chosen,
        embed_model,
        keep,
        verify,
        threads,
        backend,
        max_pixels,
        fit,
        seed,
        recovery,
        axes,
        group,
    )
    storage = read_storage(storage_options)
    where = Destination(output, output_dir, stdout, recursive, force, skip_existing, remove, storage)
    _refuse_contradictions(how, where)
    reporter = Reporter(quiet, verbose, as_json)
    plan = make_plan(inputs, COMPRESSED, where, as_json=as_json)
    if dask is not None:
        from bbcodec.cli.dask import work_on_dask

        work_on_dask(plan, "compress", dask, _dask_options(how), where, reporter)
    work = partial(_compress_one, how=how, where=where, reporter=reporter)
    plan.finish(reporter, reporter.each(plan.jobs, lambda job: job.source, work))


def _refuse_contradictions(how: Encoding, where: Destination) -> None:
    """Refuse options that contradict each other."""
    if where.remove and not how.verify:
        refuse("--rm and --no-verify exclude each other")
    if how.method == "classic" and how.embed_model:
        refuse("--method classic uses no model; leave out --embed-model")
    if how.fit is None:
        return
    if not 0 < how.fit < math.inf:
        refuse(f"--fit must be greater than 0 seconds (got {how.fit:g})")
    if how.method == "classic":
        refuse("--method classic has no model to fit; leave out --fit")
    try:
        codec.check_fit(how)
    except OptionError as error:
        refuse(f"--fit: {error}")


def _dask_options(how: Encoding) -> dict[str, Any]:
    """Return the options of `bbcodec.integrations.files.compress_file`."""
    return {
        "method": how.method,
        "model": how.model,
        "embed_model": how.embed_model,
        "keep_metadata": how.keep_metadata,
        "threads": how.threads or 1,
        "backend": how.backend,
        "verify": how.verify,
        "fit": how.fit,
        "seed": how.seed,
        "recovery": how.recovery,
        "axes": how.axes,
        "group": how.group,
        "max_pixels": how.max_pixels,
    }


def _compress_one(job: Job, how: Encoding, where: Destination, reporter: Reporter) -> dict[str, Any]:
    """Compress an image, print what came of it, and return its record."""
    started = time.perf_counter()
    broken = False
    if where.skip_existing and job.problem is None and job.target != STREAM:
        from bbcodec.integrations.files import whole_bb

        broken = job.storage.exists(job.target)
        if broken and whole_bb(job.storage, job.target):
            return skip(job, reporter)
    original = original_of(job, where.remove)
    opened = job.image()
    work_on_arrays = partial(
        compress_arrays, job, opened, how, where, reporter, original, overwrite=where.force or broken
    )
    if holds_arrays(opened, job.source):
        return work_on_arrays()
    try:
        reading = read_picture(opened.source, how.max_pixels)
    except UnsupportedImageError:
        if not may_be_stack(opened):
            raise
        return work_on_arrays()
    if how.axes is not None:
        raise OptionError("--axes name the axes of an array; this is a picture")
    picture, size = reading.picture, opened.size
    proof: list[float] = []
    with (
        open_output(job, force=where.force or broken) as file,
        reporter.progress(job.source, picture.width * picture.height) as progress,
    ):
        stop = stop_on_interrupt(reporter, "the fit ends; compressing with what it found")
        data = codec.encode(picture, how, progress=progress, stop=stop, on_verified=proof.append)
        file.write(data)
    warn_incomplete(reporter, job.source, reading.left_out)
    if reading.lossy and len(data) > size:
        warn_larger(reporter, job.source, size, len(data))
    if original is not None:
        remove_compressed(original, job, reading, size, data, how)
    found = _described(data)
    record = {
        "input": job.source,
        "output": job.target,
        "input_bytes": size,
        "output_bytes": len(data),
        "width": picture.width,
        "height": picture.height,
        "mode": picture.mode,
        "method": found.method,
        "bits_per_dim": 8 * len(data) / picture.pixels.size,
        "left_out": list(reading.left_out),
        "lossy": reading.lossy,
        "seconds": time.perf_counter() - started,
    }
    if proof:
        record["verify_seconds"] = proof[0]
    if how.fit is not None:
        record["fit_bytes"] = found.fit["bytes"] if found.fit else 0
    _report(record, reporter)
    if how.fit is not None:
        reporter.detail(f"  {_fit_result(found)}")
    return record


def _described(data: bytes) -> Info:
    from bbcodec.bbfile.info import Info

    found = codec.describe(data)
    assert isinstance(found, Info)  # of a picture
    return found


def _report(record: dict[str, Any], reporter: Reporter) -> None:
    """Print what came of an image."""
    what = (
        f"{record['input_bytes']} -> {record['output_bytes']} bytes, "
        f"{record['bits_per_dim']:.3f} bits/dim, {record['method']}"
    )
    if record["output"] == STREAM:
        reporter.detail(what, shown(record["input"]))
    else:
        reporter.note(what, f"{shown(record['input'])} -> {shown(record['output'])}")
    size = f"{record['width']} x {record['height']} {record['mode']}"
    reporter.detail(f"  {size}, {record['seconds']:.2f} s{verified(record.get('verify_seconds'))}")


def _fit_result(found: Info) -> str:
    """Return what came of a fit."""
    if found.fit is not None:
        return f"fitted: {found.fit['bytes']} bytes of changes"
    if found.learned:
        return "not fitted: no change makes the file smaller"
    return "not fitted: the classic method codes this image"
