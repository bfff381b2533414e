# SPDX-License-Identifier: Apache-2.0
"""`bbcodec decompress`: `.bb` files in, images out."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bbcodec.cli import codec, options
from bbcodec.cli.arrays import decompress_arrays, is_array_file
from bbcodec.cli.images import check_suffix, draft_picture, finish_picture, format_of, warn_left_out
from bbcodec.cli.losses import report_losses
from bbcodec.cli.names import ARRAY_SUFFIXES, restored
from bbcodec.cli.plan import Job, make_plan, skip
from bbcodec.cli.removal import original_of, remove_decompressed
from bbcodec.cli.report import STREAM, Reporter, refuse, shown, verified
from bbcodec.cli.settings import Decoding, Destination, read_region, read_storage
from bbcodec.cli.streams import open_output
from bbcodec.errors import OptionError

if TYPE_CHECKING:
    from bbcodec.bbfile.salvage import Loss
    from bbcodec.cli.report import Progress
    from bbcodec.picture.picture import Picture

__all__ = ["decompress"]


def decompress(
    inputs: options.Files,
    output: options.Output = None,
    output_dir: options.OutputDir = None,
    recursive: options.Recursive = False,
    stdout: options.Stdout = False,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    remove: options.Remove = False,
    format: options.ImageFormat = None,
    region: options.Region = None,
    index: options.Index = None,
    salvage: options.Salvage = False,
    verify: options.VerifyImage = True,
    model: options.ModelName = None,
    threads: options.Threads = 0,
    backend: options.Backend = None,
    max_pixels: options.MaxPixels = None,
    max_memory: options.MaxMemory = None,
    storage_options: options.StorageOptions = None,
    dask: options.Dask = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Decompress .bb files: photo.bb becomes photo.png, with exactly the pixels that went in.

    Files of arrays become what they were: scan.bb becomes scan.dcm, byte for byte.

    The checksum of the pixels is verified (not with --region), and the image is read back and compared before
    it appears. PNG holds every image but TIFFs whose gray 0 is white, or with premultiplied alpha, which
    become TIFF again. A format is refused where it could not hold the image exactly.
    """
    how = Decoding.of(model, threads, backend, max_pixels, max_memory)
    wanted = _Wanted(format, read_region(region), index, salvage, verify)
    storage = read_storage(storage_options)
    where = Destination(output, output_dir, stdout, recursive, force, skip_existing, remove, storage)
    _refuse_contradictions(wanted, where, on_dask=dask is not None, limited=max_memory is not None)
    reporter = Reporter(quiet, verbose, as_json)
    plan = make_plan(inputs, restored(f".{format or 'png'}"), where, as_json=as_json)
    if dask is not None:
        from bbcodec.cli.dask import work_on_dask

        more = {"format": format, "model": model, "threads": threads or 1, "backend": backend}
        more |= {"max_pixels": max_pixels, "verify": verify}
        work_on_dask(plan, "decompress", dask, more, where, reporter)
    work = partial(_decompress_one, how=how, wanted=wanted, where=where, reporter=reporter)
    plan.finish(reporter, reporter.each(plan.jobs, lambda job: job.source, work))


@dataclass(frozen=True)
class _Wanted:
    """What is written of each file: format, region, index, and whether damaged files are salvaged.

    `verify` says whether each image is read back before it appears.
    """

    format: str | None
    region: tuple[int, int, int, int] | None
    index: str | None
    salvage: bool
    verify: bool


def _refuse_contradictions(wanted: _Wanted, where: Destination, *, on_dask: bool, limited: bool) -> None:
    """Refuse options that contradict each other, and outputs of unknown formats."""
    if limited and on_dask:
        refuse("--max-memory and --dask exclude each other: workers have limits of their own")
    if where.remove and not wanted.verify:
        refuse("--rm and --no-verify exclude each other")
    if (wanted.region is not None or wanted.index is not None) and where.remove:
        refuse("--rm excludes --region and --index")
    if wanted.salvage and (where.remove or wanted.region is not None or where.skip_existing or on_dask):
        refuse("--salvage excludes --rm, --region, --skip-existing and --dask")
    if wanted.region is not None and (where.skip_existing or on_dask):
        refuse("--region excludes --skip-existing and --dask, which compare sizes of whole images")
    output = where.output
    if output is None or output == STREAM or wanted.format is not None:
        return
    if os.path.splitext(output)[1] and not output.lower().endswith(ARRAY_SUFFIXES):
        check_suffix(output, advice="; or give --format")


def _decompress_one(
    job: Job, how: Decoding, wanted: _Wanted, where: Destination, reporter: Reporter
) -> dict[str, Any]:
    """Decompress a file, print what came of it, and return its record."""
    started = time.perf_counter()
    original = original_of(job, where.remove)
    data = job.picture_file(damaged=wanted.salvage)
    if is_array_file(data):
        part: Any = {"format": wanted.format, "index": wanted.index, "region": wanted.region}
        part["salvage"] = wanted.salvage
        return decompress_arrays(job, data, how, where, reporter, original, **part)
    if wanted.index is not None or wanted.format == "npy":
        raise OptionError("--index and --format npy are for arrays; this is a picture")
    if wanted.format is None and where.output is None and job.target != STREAM:
        job = replace(job, target=os.path.splitext(job.target)[0] + f".{codec.default_format(data)}")
    broken = False
    if where.skip_existing and job.target != STREAM:
        from bbcodec.integrations.files import whole_image

        broken = job.storage.exists(job.target)
        if broken and whole_image(job.storage, job.target, data, how.limits.max_pixels):
            return skip(job, reporter)
    size, kind = len(data), format_of(job.target, wanted.format)
    with (
        open_output(job, force=where.force or broken) as file,
        reporter.progress(job.source, codec.pixels_in(data)) as progress,
    ):
        picture, lost, repaired = _decoded(data, how, wanted, progress)
        del data  # it may be large, and so may the image
        draft = draft_picture(file, picture, kind)
        del picture
        written = finish_picture(draft, kind, verify=wanted.verify)
    outline = written.outline
    if original is not None:
        remove_decompressed(original, job, outline, how)
    else:
        warn_left_out(reporter, job.source, written, kind)
    record = {
        "input": job.source,
        "output": job.target,
        "input_bytes": size,
        "output_bytes": written.size,
        "width": outline.width,
        "height": outline.height,
        "mode": outline.mode,
        "format": kind,
        "seconds": time.perf_counter() - started,
    }
    if written.verify_seconds is not None:
        record["verify_seconds"] = written.verify_seconds
    _report(record, reporter)
    for repair in repaired:
        reporter.warn(repair, shown(job.source))
    losses = {"lost": report_losses(reporter, job.source, lost)} if wanted.salvage else {}
    return {**losses, **({"repaired": list(repaired)} if wanted.salvage else {}), **record}


def _decoded(
    data: bytes, how: Decoding, wanted: _Wanted, progress: Progress | None
) -> tuple[Picture, tuple[Loss, ...], tuple[str, ...]]:
    """Return the picture of a file, what is lost of it, and what was repaired."""
    if not wanted.salvage:
        return codec.decode(data, how, progress=progress, region=wanted.region), (), ()
    saved = codec.salvage(data, how, progress=progress)
    return saved.picture, saved.lost, saved.repaired


def _report(record: dict[str, Any], reporter: Reporter) -> None:
    """Print what came of a file."""
    what = f"{record['width']} x {record['height']} {record['mode']}"
    if record["output"] == STREAM:
        reporter.detail(what, shown(record["input"]))
    else:
        reporter.note(what, f"{shown(record['input'])} -> {shown(record['output'])}")
    size = f"{record['format']} of {record['output_bytes']} bytes"
    reporter.detail(f"  {size}, {record['seconds']:.2f} s{verified(record.get('verify_seconds'))}")
