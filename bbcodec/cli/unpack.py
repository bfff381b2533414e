# SPDX-License-Identifier: Apache-2.0
"""`bbcodec unpack`, `list` and `get`: pictures out of an archive."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bbcodec.cli import options
from bbcodec.cli.files import Job, open_output
from bbcodec.cli.losses import report_losses
from bbcodec.cli.report import STREAM, Reporter, read_region, refuse, shown, write_json, write_text
from bbcodec.storage import folder_of

if TYPE_CHECKING:
    from bbcodec.archive import Archive
    from bbcodec.bbfile.salvage import Loss
    from bbcodec.container import Limits
    from bbcodec.storage import Storage

__all__ = ["get", "list_names", "unpack"]

_Archive = Annotated[str, typer.Argument(metavar="FILE.bb", help="The archive.")]
_Format = Annotated[
    Literal["png", "webp", "tif", "bmp", "ppm"] | None,
    typer.Option("--format", help="Image format to write. [default: by the suffix of the name, else png]"),
]


def unpack(
    archive: _Archive,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Names, or patterns such as 'cats/*'; all if none."),
    ] = None,
    output_dir: Annotated[
        str, typer.Option("--output-dir", "-o", metavar="DIR", help="Where the images go. [default: here]")
    ] = ".",
    force: options.Force = False,
    format: _Format = None,
    salvage: options.Salvage = False,
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
    """Write the images of an archive: bbcodec unpack photos.bb -o photos.

    An image is named as in the archive; .png is appended where the name has no suffix of a format that can
    hold it (a photo.jpg that was packed becomes photo.jpg.png).
    """
    reporter, storage = Reporter(quiet, verbose), options.storage_of(storage_options)
    limits = options.limits_of(max_pixels, max_memory)
    records: list[Mapping[str, Any]] = []

    def all_of(source: str) -> dict[str, Any]:
        from bbcodec.bbfile.salvage import Loss
        from bbcodec.cli.trees import inside, stay_inside

        with _opened(source, storage, model, threads, backend, limits, recover=salvage) as pictures:
            notes = [Loss("file", note) for note in pictures.reader.notes]
            if notes:
                report_losses(reporter, source, notes)

            def one(name: str) -> dict[str, Any]:
                target = inside(output_dir, _image_name(name, format))
                stay_inside(output_dir, target)
                return _write(pictures, name, target, storage, format, force, reporter, salvage=salvage)

            chosen = _matching(list(pictures), names)
            with reporter.progress(source) as progress:
                for number, name in enumerate(chosen):
                    if progress:
                        progress(number, len(chosen))
                    records.extend(reporter.each([name], str, one))
        return {}

    failed = [record for record in reporter.each([archive], str, all_of) if "error" in record]
    if not reporter.failures:
        reporter.note(f"{shown(archive)}: {len(records)} images written to {shown(output_dir)}")
    reporter.finish([*records, *failed], as_json)


def get(
    archive: _Archive,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The picture's name in the archive.")],
    output: options.Output = None,
    stdout: options.Stdout = False,
    region: options.Region = None,
    force: options.Force = False,
    format: _Format = None,
    model: options.ModelName = None,
    threads: options.Threads = 0,
    backend: options.Backend = None,
    max_pixels: options.MaxPixels = None,
    max_memory: options.MaxMemory = None,
    storage_options: options.StorageOptions = None,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Write one image of an archive: bbcodec get photos.bb a/b.png.

    Only its batch is decoded. The image is written here, under the last part of its name, unless -o or -c say
    otherwise.
    """
    if stdout and output is not None:
        refuse("-o and -c exclude each other")
    limits = options.limits_of(max_pixels, max_memory)
    reporter, storage = Reporter(quiet, verbose), options.storage_of(storage_options)
    part = read_region(region)

    def one(wanted: str) -> dict[str, Any]:
        from bbcodec.errors import BBCodecError

        with _opened(archive, storage, model, threads, backend, limits) as pictures:
            if wanted not in pictures:
                raise BBCodecError(f"{shown(archive)} has no picture of this name")
            target = STREAM if stdout else output or _image_name(wanted, format).rsplit("/", 1)[-1]
            return _write(pictures, wanted, target, storage, format, force, reporter, part)

    reporter.finish(reporter.each([name], str, one), as_json=False)


def list_names(
    archive: _Archive,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME", help="Names, or patterns such as 'cats/*'; all if none."),
    ] = None,
    long: Annotated[bool, typer.Option("--long", "-l", help="Size and mode of each, and a sum.")] = False,
    storage_options: options.StorageOptions = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """List the pictures of an archive, in the order in which they were packed; nothing is decoded."""
    reporter, storage = Reporter(quiet, verbose), options.storage_of(storage_options)
    records: list[dict[str, Any]] = []

    def one(source: str) -> dict[str, Any]:
        with _opened(source, storage, None, 1, None, None, preload=False) as pictures:
            size = pictures.reader.source.size
            for name in _matching(list(pictures), names):
                entry = pictures.entry(name)
                records.append(
                    {"name": name, "width": entry.width, "height": entry.height, "mode": entry.mode}
                )
        if not as_json:
            lines = [
                f"{r['width']:>6} x {r['height']:<6} {r['mode']:<7} {shown(r['name'])}"
                if long
                else shown(r["name"])
                for r in records
            ]
            if long:
                pixels = sum(r["width"] * r["height"] for r in records)
                lines.append(f"{len(records)} pictures, {pixels} pixels, {size} bytes")
            if lines:
                write_text("\n".join(lines))
        return {}

    reporter.each([archive], str, one)
    if as_json and not reporter.failures:
        write_json(records)
    reporter.finish([], as_json=False)


def _opened(
    source: str,
    storage: Storage,
    model: str | None,
    threads: int,
    backend: str | None,
    limits: Limits | None,
    preload: bool = True,
    recover: bool = False,
) -> Archive:
    """Open an archive for reading: a file, or standard input whole."""
    from bbcodec.archive import Archive

    file: Any = io.BytesIO(sys.stdin.buffer.read()) if source == STREAM else source
    return Archive(
        file,
        model=model,
        threads=threads,
        backend=backend,
        limits=limits,
        storage_options=storage.options,
        preload=preload,
        recover=recover,
    )


def _matching(names: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """Return the names that equal or match one of those wanted; one that matches nothing is an error."""
    if not wanted:
        return list(names)
    import fnmatch

    from bbcodec.errors import BBCodecError

    known, out = set(names), dict[str, None]()
    for pattern in wanted:
        found = [pattern] if pattern in known else [n for n in names if fnmatch.fnmatchcase(n, pattern)]
        if not found:
            raise BBCodecError(f"no picture is named {shown(pattern)}")
        out.update(dict.fromkeys(found))
    return list(out)


def _image_name(name: str, format: str | None) -> str:
    """Return the name of the image file of a picture."""
    from bbcodec.picture.files import suffixes

    stem, suffix = os.path.splitext(name)
    if format is not None:
        return f"{stem if suffix.lower() in suffixes() else name}.{format}"
    return name if suffix.lower() in suffixes() else f"{name}.png"


def _write(
    pictures: Archive,
    name: str,
    target: str,
    storage: Storage,
    format: str | None,
    force: bool,
    reporter: Reporter,
    region: tuple[int, int, int, int] | None = None,
    salvage: bool = False,
) -> dict[str, Any]:
    """Write a picture of an archive to a file or to stdout."""
    from bbcodec.picture.files import left_out, write_image

    lost: tuple[Loss, ...] = ()
    if salvage:
        saved = pictures.reader.salvage(name)
        picture, lost = saved.picture, saved.lost
    else:
        picture = pictures.picture(name) if region is None else pictures.reader.region(name, region)
    suffix = os.path.splitext(target)[1] if target != STREAM else ""
    kind = format or suffix[1:].lower() or "png"
    if target != STREAM and folder_of(target):
        storage.make_folder(folder_of(target))
    with open_output(Job(STREAM, target, storage=storage), force=force) as file:
        whole = io.BytesIO()
        written = write_image(whole, picture, format=kind)
        file.write(whole.getbuffer())
    if gone := left_out(picture, kind):
        reporter.note(f"{shown(name)}: {kind} has no place for {', '.join(gone)}: left out")
    reporter.detail(f"{shown(name)} -> {shown(target)}: {picture.width} x {picture.height} {picture.mode}")
    losses = {"lost": report_losses(reporter, name, lost)} if salvage else {}
    return {
        **losses,
        "name": name,
        "output": target,
        "output_bytes": written,
        "width": picture.width,
        "height": picture.height,
        "mode": picture.mode,
    }
