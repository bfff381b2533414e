# SPDX-License-Identifier: Apache-2.0
"""`bbcodec compress`: images in, `.bb` files out."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bbcodec.cli import options
from bbcodec.cli.dask import work_on_dask
from bbcodec.cli.files import (
    IMAGE_SUFFIXES,
    Job,
    compressed_name,
    open_output,
    plan,
    remove_source,
    skipped,
)
from bbcodec.cli.report import STREAM, Reporter, refuse, shown

if TYPE_CHECKING:
    from bbcodec.bbfile.info import Info

__all__ = ["compress"]


def compress(
    inputs: Annotated[list[str], typer.Argument(metavar="IMAGE", help="Images to compress; '-' is stdin.")],
    output: options.Output = None,
    output_dir: options.OutputDir = None,
    recursive: options.Recursive = False,
    stdout: options.Stdout = False,
    force: options.Force = False,
    skip_existing: options.SkipExisting = False,
    remove: options.Remove = False,
    method: Annotated[
        Literal["auto", "learned", "classic"],
        typer.Option(
            "--method", help="learned: the model; classic: no model; auto: whichever suits the image."
        ),
    ] = "auto",
    model: options.ModelName = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Four times as fast, 5 to 8 % larger: --model fast.")
    ] = False,
    embed_model: Annotated[
        bool, typer.Option("--embed-model", help="Put the model into the file, which then decodes anywhere.")
    ] = False,
    fit: Annotated[
        float | None,
        typer.Option(
            "--fit",
            metavar="SECONDS",
            help="Fit the model to each image for so long (on one core of 2.5 GHz; needs PyTorch), and store "
            "what it changes where that makes the file smaller. Ctrl-C ends the fit, not the program.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, metavar="N", help="Seed of the fit.")] = 0,
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
    storage_options: options.StorageOptions = None,
    dask: options.Dask = None,
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
    if fast:
        if model is not None:
            refuse("--fast and --model exclude each other")
        from bbcodec.modelfile.registry import FAST_MODEL

        model = FAST_MODEL
    if method == "classic" and (model is not None or embed_model):
        refuse("--method classic uses no model")
    if fit is not None:
        _check_fit(fit, method, model)
    reporter = Reporter(quiet, verbose)
    jobs = plan(
        inputs,
        compressed_name,
        output=output,
        output_dir=output_dir,
        stdout=stdout,
        remove=remove,
        as_json=as_json,
        storage=options.storage_of(storage_options),
        below=IMAGE_SUFFIXES if recursive else None,
    )
    keep = metadata == "all" and not strip
    if dask is not None:
        work_on_dask(
            jobs,
            "compress",
            dask,
            {
                "method": method,
                "model": model,
                "embed_model": embed_model,
                "keep_metadata": keep,
                "threads": threads or 1,
                "backend": backend,
                "verify": verify,
                "fit": fit,
                "seed": seed,
                "max_pixels": max_pixels,
                "existing": "overwrite" if force else "skip",
            },
            reporter,
            remove=remove,
            as_json=as_json,
        )

    def one(job: Job) -> dict[str, Any]:
        from bbcodec import api
        from bbcodec.bbfile.info import info as file_info
        from bbcodec.picture.files import read_image

        started = time.perf_counter()
        there = False
        if skip_existing and job.problem is None and job.target != STREAM:
            from bbcodec.integrations.files import whole_bb

            there = job.storage.exists(job.target)
            if there and whole_bb(job.storage, job.target):
                return skipped(job, reporter)
        source, size = job.image()
        limit = {} if max_pixels is None else {"max_pixels": max_pixels}
        picture = read_image(source, **limit)
        choice: dict[str, Any] = {} if model is None else {"model": model}
        area = picture.width * picture.height
        proof: list[float] = []
        with open_output(job, force=force or there) as file, reporter.progress(job.source, area) as progress:
            data = api.compress(
                picture,
                method=method,
                embed_model=embed_model,
                keep_metadata=keep,
                threads=threads,
                backend=backend,
                verify=verify,
                progress=progress,
                fit=fit,
                seed=seed,
                stop=_stopping(reporter),
                on_verified=proof.append,
                **choice,
            )
            file.write(data)
        if remove:
            remove_source(job, data)
        seconds = time.perf_counter() - started
        bits = 8 * len(data) / picture.pixels.size
        report = file_info(data)
        how = report.method
        record = {
            "input": job.source,
            "output": job.target,
            "input_bytes": size,
            "output_bytes": len(data),
            "width": picture.width,
            "height": picture.height,
            "mode": picture.mode,
            "method": how,
            "bits_per_dim": bits,
            "seconds": seconds,
        }
        if proof:
            record["verify_seconds"] = proof[0]
        if fit is not None:
            record["fit_bytes"] = report.fit["bytes"] if report.fit else 0
        what = f"{size} -> {len(data)} bytes, {bits:.3f} bits/dim, {how}"
        if job.target == STREAM:
            reporter.detail(f"{shown(job.source)}: {what}")
        else:
            reporter.note(f"{shown(job.source)} -> {shown(job.target)}: {what}")
        checked = f", verified in {proof[0]:.2f} s of it" if proof else ""
        reporter.detail(f"  {picture.width} x {picture.height} {picture.mode}, {seconds:.2f} s{checked}")
        if fit is not None:
            reporter.detail(f"  {_fitted(report)}")
        return record

    reporter.finish(reporter.each(jobs, lambda job: job.source, one), as_json)


def _check_fit(seconds: float, method: str, model: str | None) -> None:
    """Refuse what cannot be fitted; what is wrong with the model file itself is each image's error."""
    from bbcodec.bbfile.encoder import Fitting
    from bbcodec.errors import BBCodecError, OptionError
    from bbcodec.modelfile.registry import DEFAULT_MODEL
    from bbcodec.modelfile.registry import find as find_model

    if method == "classic":
        refuse("--method classic has no model to fit")
    try:
        Fitting(seconds).fitter(find_model(model or DEFAULT_MODEL))
    except OptionError as error:
        refuse(f"--fit: {error}")
    except (BBCodecError, OSError):
        pass


def _fitted(report: Info) -> str:
    """Return what came of a fit."""
    if report.fit is not None:
        return f"fitted: {report.fit['bytes']} bytes of changes"
    return "not fitted: " + ("nothing that pays was found" if report.learned else "no model codes this image")


@contextlib.contextmanager
def _stopping(reporter: Reporter) -> Iterator[Callable[[], bool]]:
    """While the block runs, the first interrupt asks a fit to stop; the next one is what it ever was."""
    asked = False
    before = signal.getsignal(signal.SIGINT)

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)
        reporter.note("fitting stops; going on with what was found")

    if before != signal.SIG_IGN:
        signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        signal.signal(signal.SIGINT, before)
