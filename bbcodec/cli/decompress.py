# SPDX-License-Identifier: Apache-2.0
"""`bbcodec decompress`: `.bb` files in, images out."""

from __future__ import annotations

import io
import os
import time
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal

import typer

from bbcodec.cli import options
from bbcodec.cli.dask import work_on_dask
from bbcodec.cli.files import SUFFIX, Job, open_output, pixels_in, plan, restored_name, skipped
from bbcodec.cli.losses import report_losses
from bbcodec.cli.report import STREAM, Reporter, read_region, refuse, shown
from bbcodec.errors import BBCodecError

if TYPE_CHECKING:
    from bbcodec.bbfile.salvage import Loss
    from bbcodec.picture.picture import Picture

__all__ = ["decompress"]


def decompress(
    inputs: Annotated[
        list[str], typer.Argument(metavar="FILE.bb", help="Files to decompress; '-' is stdin.")
    ],
    output: options.Output = None,
    output_dir: options.OutputDir = None,
    recursive: options.Recursive = False,
    stdout: options.Stdout = False,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    remove: options.Remove = False,
    format: Annotated[
        Literal["png", "webp", "tif", "bmp", "ppm"] | None,
        typer.Option("--format", help="Image format to write. [default: by the suffix of -o, else png]"),
    ] = None,
    region: options.Region = None,
    salvage: options.Salvage = False,
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

    The checksum of the pixels is verified before the image appears (not with --region). PNG holds every
    image; another format is refused where it could not hold the image exactly.
    """
    reporter, limits = Reporter(quiet, verbose), options.limits_of(max_pixels, max_memory)
    part = read_region(region)
    if max_memory is not None and dask is not None:
        refuse("--max-memory and --dask exclude each other: workers have limits of their own")
    if part is not None and remove:
        refuse("--rm and --region exclude each other")
    if salvage and (remove or part is not None or skip_existing or dask is not None):
        refuse("--salvage excludes --rm, --region, --skip-existing and --dask")
    if part is not None and (skip_existing or dask is not None):
        refuse("--region excludes --skip-existing and --dask, which know images by their size")
    suffix = os.path.splitext(output)[1] if output is not None and output != STREAM else ""
    if suffix and format is None:
        from bbcodec.picture.files import suffixes

        if suffix.lower() not in suffixes():
            refuse(f"cannot write {shown(suffix)} files, expected {', '.join(suffixes())}; or give --format")
    jobs = plan(
        inputs,
        lambda name: restored_name(name, f".{format or 'png'}"),
        output=output,
        output_dir=output_dir,
        stdout=stdout,
        remove=remove,
        as_json=as_json,
        storage=options.storage_of(storage_options),
        below=(SUFFIX,) if recursive else None,
    )
    if dask is not None:
        work_on_dask(
            jobs,
            "decompress",
            dask,
            {
                "format": format,
                "model": model,
                "threads": threads or 1,
                "backend": backend,
                "max_pixels": max_pixels,
                "existing": "overwrite" if force else "skip",
            },
            reporter,
            remove=remove,
            as_json=as_json,
        )

    def one(job: Job) -> dict[str, Any]:
        from bbcodec import api
        from bbcodec.picture.files import left_out, write_image

        started = time.perf_counter()
        source = job.read()
        size = len(source)
        there = False
        if skip_existing and job.target != STREAM:
            from bbcodec.integrations.files import whole_image

            there = job.storage.exists(job.target)
            if there and whole_image(job.storage, job.target, source):
                return skipped(job, reporter)
        suffix = os.path.splitext(job.target)[1] if job.target != STREAM else ""
        kind = format or suffix[1:] or "png"
        pixels = pixels_in(source)
        with (
            open_output(job, force=force or there) as file,
            reporter.progress(job.source, pixels) as progress,
        ):
            how: dict[str, Any] = {
                "threads": threads,
                "backend": backend,
                "limits": limits,
                "model": model,
                "progress": progress,
            }
            lost: tuple[Loss, ...] = ()
            if salvage:
                from bbcodec.bbfile.salvage import salvage as saved_of

                saved = saved_of(source, **how)
                picture, lost = saved.picture, saved.lost
            else:
                picture = api.decompress_picture(source, region=part, **how)
            del source  # it may be large, and so may the image
            if job.target == STREAM:  # all or nothing, as for files
                whole = io.BytesIO()
                written = write_image(whole, picture, format=kind)
                file.write(whole.getbuffer())
            else:
                written = write_image(file, picture, format=kind)
        if remove:
            if gone := _lost(picture, job.storage.source(job.target)[0], max_pixels):
                raise BBCodecError(
                    f"{shown(job.target)} is written, but reads back with other {', '.join(gone)}; "
                    f"the input is kept"
                )
            job.storage.remove(job.source)
        elif gone := left_out(picture, kind):
            reporter.note(f"{shown(job.source)}: {kind} has no place for {_named(gone)}: left out")
        seconds = time.perf_counter() - started
        what = f"{picture.width} x {picture.height} {picture.mode}"
        if job.target == STREAM:
            reporter.detail(f"{shown(job.source)}: {what}")
        else:
            reporter.note(f"{shown(job.source)} -> {shown(job.target)}: {what}")
        reporter.detail(f"  {kind} of {written} bytes, {seconds:.2f} s")
        losses = {"lost": report_losses(reporter, job.source, lost)} if salvage else {}
        return {
            **losses,
            "input": job.source,
            "output": job.target,
            "input_bytes": size,
            "output_bytes": written,
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "format": kind,
            "seconds": seconds,
        }

    reporter.finish(reporter.each(jobs, lambda job: job.source, one), as_json)


def _lost(picture: Picture, path: str | BinaryIO, max_pixels: int | None) -> list[str]:
    """Return what an image file does not give back of a picture: nothing, if the picture may be removed."""
    from dataclasses import fields

    from bbcodec.picture.files import read_image

    found = read_image(path, **({} if max_pixels is None else {"max_pixels": max_pixels}))
    same = {
        "pixels": found.same_pixels(picture),
        "mode": found.mode == picture.mode and not picture.axis,
        "palette": found.palette == picture.palette,
    }
    ours, theirs = picture.metadata, found.metadata
    for field in fields(ours):
        a, b = getattr(ours, field.name), getattr(theirs, field.name)
        if field.name == "exif":  # the prefix belongs to the file format
            a, b = ((value or b"").removeprefix(b"Exif\0\0") for value in (a, b))
        same[field.name] = a == b
    return [_named([name]) for name, equal in same.items() if not equal]


def _named(fields: list[str]) -> str:
    """Return fields of metadata as they are called in messages."""
    names = {"icc": "ICC", "exif": "EXIF", "xmp": "XMP", "dpi": "resolution", "colour_key": "colour key"}
    return ", ".join(names.get(field, field) for field in fields)
