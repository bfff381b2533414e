# SPDX-License-Identifier: Apache-2.0
"""`bbcodec compress`: images in, `.bb` files out."""

from __future__ import annotations

import io
import time
from typing import Annotated, Any, Literal

import typer

from bbcodec.cli import options
from bbcodec.cli.files import Job, compressed_name, open_output, plan, remove_source
from bbcodec.cli.report import STREAM, Reporter, refuse, shown

__all__ = ["compress"]


def compress(
    inputs: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Images to compress; '-' is stdin.")],
    output: options.Output = None,
    output_dir: options.OutputDir = None,
    stdout: options.Stdout = False,
    force: options.Force = False,
    remove: options.Remove = False,
    method: Annotated[
        Literal["auto", "learned", "classic"],
        typer.Option(
            "--method", help="learned: the model; classic: no model; auto: whichever suits the image."
        ),
    ] = "auto",
    model: options.ModelName = None,
    embed_model: Annotated[
        bool, typer.Option("--embed-model", help="Put the model into the file, which then decodes anywhere.")
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify/--no-verify", help="Decode again and compare every pixel before a file appears."
        ),
    ] = True,
    metadata: Annotated[
        Literal["all", "none"],
        typer.Option("--metadata", help="Keep ICC, EXIF, XMP, resolution and text, or drop them."),
    ] = "all",
    strip: Annotated[bool, typer.Option("--strip", help="The same as --metadata none.")] = False,
    threads: options.Threads = 0,
    backend: options.Backend = None,
    max_pixels: options.MaxPixels = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Compress images without losing a pixel: photo.png becomes photo.bb.

    The suffix of an image is replaced by .bb; any other name gets .bb appended. Pixels, mode, bit depth and
    metadata come back exactly; the bytes of the image file need not.
    """
    if remove and not verify:
        refuse("--rm and --no-verify exclude each other")
    if method == "classic" and (model is not None or embed_model):
        refuse("--method classic uses no model")
    reporter = Reporter(quiet, verbose)
    jobs = plan(
        inputs,
        compressed_name,
        output=output,
        output_dir=output_dir,
        stdout=stdout,
        remove=remove,
        as_json=as_json,
    )

    def one(job: Job) -> dict[str, Any]:
        from bbcodec import api, contents
        from bbcodec.images import read_image

        started = time.perf_counter()
        source = job.read()
        limit = {} if max_pixels is None else {"max_pixels": max_pixels}
        picture = read_image(io.BytesIO(source), **limit)
        choice: dict[str, Any] = {} if model is None else {"model": model}
        with open_output(job, force=force) as file, reporter.progress(job.source) as progress:
            data = api.compress(
                picture,
                method=method,
                embed_model=embed_model,
                keep_metadata=metadata == "all" and not strip,
                threads=threads,
                backend=backend,
                verify=verify,
                progress=progress,
                **choice,
            )
            file.write(data)
        if remove:
            remove_source(job, data)
        seconds = time.perf_counter() - started
        bits = 8 * len(data) / picture.pixels.size
        how = contents.info(data).method
        record = {
            "input": job.source,
            "output": job.target,
            "input_bytes": len(source),
            "output_bytes": len(data),
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "method": how,
            "bits_per_dim": bits,
            "seconds": seconds,
        }
        what = f"{len(source)} -> {len(data)} bytes, {bits:.3f} bits/dim, {how}"
        if job.target == STREAM:
            reporter.detail(f"{shown(job.source)}: {what}")
        else:
            reporter.note(f"{shown(job.source)} -> {shown(job.target)}: {what}")
        checked = ", verified" if verify else ""
        reporter.detail(f"  {picture.width} x {picture.height} {picture.mode}, {seconds:.2f} s{checked}")
        return record

    reporter.finish(reporter.each(jobs, lambda job: job.source, one), as_json)
