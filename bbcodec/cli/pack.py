# SPDX-License-Identifier: Apache-2.0
"""`bbcodec pack` and `bbcodec append`: images into an archive."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bbcodec.cli import options
from bbcodec.cli.report import STREAM, Reporter, refuse, shown

if TYPE_CHECKING:
    from bbcodec.archive import Archive
    from bbcodec.cli.trees import Found
    from bbcodec.storage import Storage

__all__ = ["append", "pack"]

_Inputs = Annotated[
    list[str],
    typer.Argument(metavar="DIR|IMAGE", help="Folders, searched to the bottom for images, or images."),
]
_Batch = Annotated[
    int | None,
    typer.Option(
        "--batch",
        min=0,
        metavar="N",
        help="Small pictures that share a message: more make the archive smaller, and one of them slower to "
        "read; 0: all. [default: as many as have 16,384 pixels together]",
    ),
]
_Method = Annotated[
    Literal["auto", "learned", "classic"],
    typer.Option("--method", help="learned: the model; classic: no model; auto: whichever suits each image."),
]
_Fast = Annotated[bool, typer.Option("--fast", help="Four times as fast, 3 to 8 % larger: --model fast.")]
_Embed = Annotated[
    bool | None,
    typer.Option(
        "--embed-model/--no-embed-model",
        help="Put the model into the archive. [default: only if it is not a released one]",
    ),
]
_Verify = Annotated[bool, typer.Option("--verify/--no-verify", help="Decode again and compare every pixel.")]
_Strip = Annotated[bool, typer.Option("--strip", help="Leave out ICC, EXIF, XMP, resolution and text.")]


def pack(
    inputs: _Inputs,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The archive; '-' for stdout.")
    ],
    force: options.Force = False,
    batch: _Batch = None,
    method: _Method = "auto",
    model: options.ModelName = None,
    fast: _Fast = False,
    embed_model: _Embed = None,
    verify: _Verify = True,
    strip: _Strip = False,
    threads: options.Threads = 0,
    backend: options.Backend = None,
    max_pixels: options.MaxPixels = None,
    storage_options: options.StorageOptions = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Pack images into one archive: bbcodec pack photos -o photos.bb.

    Names in the archive are paths below each folder. The archive grows in FILE.part; after an interruption
    the same command goes on where it was.
    """
    if output == STREAM and as_json:
        refuse("--json needs an output file: standard output cannot hold both")
    _run(
        inputs, output, "w" if force else "x", Reporter(quiet, verbose), options.storage_of(storage_options),
        max_pixels, as_json,
        batch=batch, method=method, model=_model(model, fast, method), embed_model=embed_model, verify=verify,
        keep_metadata=not strip, threads=threads, backend=backend,
    )  # fmt: skip


def append(
    archive: Annotated[str, typer.Argument(metavar="FILE", help="The archive.")],
    inputs: _Inputs,
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Leave out images whose names are in the archive already.")
    ] = False,
    batch: _Batch = None,
    method: _Method = "auto",
    model: options.ModelName = None,
    fast: _Fast = False,
    embed_model: _Embed = None,
    verify: _Verify = True,
    strip: _Strip = False,
    threads: options.Threads = 0,
    backend: options.Backend = None,
    max_pixels: options.MaxPixels = None,
    storage_options: options.StorageOptions = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Append images to an archive: bbcodec append photos.bb more.

    What is in the archive stays readable, and after an interruption is what it was; the same command goes on
    where it stopped. Images whose names are there already are errors, unless --skip-existing leaves them out.
    """
    reporter = Reporter(quiet, verbose)
    if not options.storage_of(storage_options).exists(archive):
        reporter.fail(archive, FileNotFoundError(2, os.strerror(2), archive))
        reporter.finish([], as_json=False)
    _run(
        inputs, archive, "a", reporter, options.storage_of(storage_options),
        max_pixels, as_json, skip_existing,
        batch=batch, method=method, model=_model(model, fast, method), embed_model=embed_model, verify=verify,
        keep_metadata=not strip, threads=threads, backend=backend,
    )  # fmt: skip


def _model(model: str | None, fast: bool, method: str) -> str | None:
    """Return the model that was asked for, and refuse what cannot be meant."""
    if fast and model is not None:
        refuse("--fast and --model exclude each other")
    if method == "classic" and (model is not None or fast):
        refuse("--method classic uses no model")
    if fast:
        from bbcodec.modelfile.registry import FAST_MODEL

        return FAST_MODEL
    return model


def _run(
    inputs: Sequence[str],
    output: str,
    mode: Literal["x", "w", "a"],
    reporter: Reporter,
    storage: Storage,
    max_pixels: int | None,
    as_json: bool,
    skip_existing: bool = False,
    **options: Any,
) -> None:
    from bbcodec.cli.trees import images
    from bbcodec.storage import local_path

    def one(target: str) -> dict[str, Any]:
        started = time.perf_counter()
        found = images(inputs, storage)
        tally = _Tally()
        with _opened(target, mode, storage, done=tally.done, **options) as archive:
            before = len(archive)
            with reporter.progress(target) as progress:
                for number, image in enumerate(found):
                    if progress:
                        progress(number, len(found))
                    if not (skip_existing and image.name in archive):
                        _add(archive, image, storage, max_pixels, reporter)
            added = len(archive) - before
        adopted, embedded = archive.adopted, archive.embedded
        seconds = time.perf_counter() - started
        bits = 8 * tally.bytes / max(1, tally.samples)
        path = None if target == STREAM else local_path(target)
        size = os.path.getsize(path) if path is not None else 0
        reporter.note(
            f"{shown(target) if target != STREAM else 'standard output'}: {added} images, "
            f"{bits:.3f} bits/dim" + (f", {size} bytes" if size else "")
        )
        if embedded:
            reporter.note(f"  {embedded} of the bytes are the model")
        if adopted:
            reporter.note(f"  {adopted} of them were there from an interrupted run")
        reporter.detail(f"  {seconds:.2f} s")
        return {
            "output": target,
            "images": added,
            "failed": reporter.failures,
            "resumed": adopted,
            "model_bytes": embedded,
            "output_bytes": size,
            "bits_per_dim": bits,
            "seconds": seconds,
        }

    reporter.finish(reporter.each([output], str, one), as_json)


class _Tally:
    """Counts what is put down."""

    def __init__(self) -> None:
        self.bytes = self.samples = 0

    def done(self, entries: Sequence[Any], size: int) -> None:
        self.bytes += size
        self.samples += sum(entry.samples for entry in entries)


def _opened(target: str, mode: Literal["x", "w", "a"], storage: Storage, **options: Any) -> Archive:
    """Open an archive for writing, with the errors of the command line."""
    import sys

    from bbcodec.archive import Archive
    from bbcodec.errors import BBCodecError

    if target == STREAM:
        if sys.stdout.isatty():
            raise BBCodecError("binary data is not written to a terminal; use -o FILE or a pipe")
        return Archive(sys.stdout.buffer, "w", **options)
    try:
        return Archive(target, mode, storage_options=storage.options, **options)
    except FileExistsError:
        raise BBCodecError(
            f"{shown(target)} exists already; use -f to overwrite it, or append to it"
        ) from None


def _add(
    archive: Archive, image: Found, storage: Storage, max_pixels: int | None, reporter: Reporter
) -> None:
    """Add an image; what is wrong with it is said, and the others go on."""
    from bbcodec.errors import BBCodecError
    from bbcodec.picture.files import read_image

    limit = {} if max_pixels is None else {"max_pixels": max_pixels}
    try:
        picture = read_image(storage.source(image.path)[0], **limit)
        if image.name in archive:
            raise BBCodecError(f"{shown(image.name)} is in the archive already")
    except Exception as error:
        reporter.fail(image.path, error)
        return
    try:
        archive[image.name] = picture
    except BBCodecError as error:
        reporter.fail(image.path, error)
    else:
        reporter.detail(f"{shown(image.path)} -> {shown(image.name)}")
