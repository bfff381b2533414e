# SPDX-License-Identifier: Apache-2.0
"""`bbcodec unpack` and `bbcodec get`: images out of an archive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from bbcodec.cli import options
from bbcodec.cli.archives import open_archive
from bbcodec.cli.folders import inside, stay_inside
from bbcodec.cli.hints import did_you_mean
from bbcodec.cli.images import draft_picture, finish_picture, format_of, image_name, warn_left_out
from bbcodec.cli.listing import matching
from bbcodec.cli.losses import report_losses
from bbcodec.cli.plan import Job
from bbcodec.cli.report import STREAM, Reporter, counted, refuse, shown
from bbcodec.cli.settings import Decoding, read_region, read_storage
from bbcodec.cli.streams import open_output
from bbcodec.errors import BBCodecError
from bbcodec.storage import Storage, folder_of

if TYPE_CHECKING:
    from bbcodec.archive import Archive
    from bbcodec.bbfile.salvage import Loss
    from bbcodec.picture.picture import Picture

__all__ = ["get", "unpack"]

MAX_FOLDERS: Final = 200  # of one name; file systems and their tools fail with deeper ones


@dataclass(frozen=True)
class _Wanted:
    """What is written of each picture, whether it is read back, and how files are reached."""

    storage: Storage
    format: str | None
    force: bool
    verify: bool
    salvage: bool = False
    region: tuple[int, int, int, int] | None = None


def unpack(
    archive: options.Archive,
    names: options.ArchiveNames = None,
    output_dir: Annotated[
        str, typer.Option("--output-dir", "-o", metavar="DIR", help="Write into DIR. [default: here]")
    ] = ".",
    force: options.Force = False,
    format: options.ImageFormat = None,
    salvage: options.Salvage = False,
    verify: options.VerifyImage = True,
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
    """Write the images of an archive: photos.bb becomes photos/a.png, photos/b.png and so on.

    An image is named as in the archive. Where that name has no suffix of a format that can hold it, .png is
    appended: photo.jpg becomes photo.jpg.png.
    """
    how = Decoding.of(model, threads, backend, max_pixels, max_memory)
    reporter = Reporter(quiet, verbose, as_json)
    wanted = _Wanted(read_storage(storage_options), format, force, verify, salvage)
    records: list[Any] = []
    work = partial(_unpack_all, names, output_dir, how=how, wanted=wanted, records=records, reporter=reporter)
    failed = [record for record in reporter.each([archive], str, work) if "error" in record]
    if not reporter.failures:
        reporter.note(f"{counted(len(records), 'image')} written to {shown(output_dir)}", shown(archive))
    reporter.finish([*records, *failed])


def _unpack_all(
    names: Sequence[str] | None,
    output_dir: str,
    source: str,
    how: Decoding,
    wanted: _Wanted,
    records: list[Any],
    reporter: Reporter,
) -> dict[str, Any]:
    """Write the chosen images of an archive, and collect their records."""
    with open_archive(source, wanted.storage, how, salvage=wanted.salvage) as pictures:
        for repair in pictures.reader.repairs:
            reporter.warn(shown(repair), shown(source))
        if pictures.reader.notes:
            from bbcodec.bbfile.salvage import Loss

            report_losses(reporter, source, [Loss("file", note) for note in pictures.reader.notes])

        def one(name: str) -> dict[str, Any]:
            if name.count("/") > MAX_FOLDERS:
                raise BBCodecError(
                    f"the name has {name.count('/')} folders, at most {MAX_FOLDERS} are made; "
                    "use get NAME -o FILE"
                )
            target = inside(output_dir, image_name(name, wanted.format))
            stay_inside(output_dir, target)
            record = _write(pictures, name, Job(source, target, storage=wanted.storage), wanted, reporter)
            size = f"{record['width']} x {record['height']} {record['mode']}"
            proof = record.get("verify_seconds")
            reporter.detail(
                size if proof is None else f"{size}, verified in {proof:.2f} s",
                f"{shown(name)} -> {shown(target)}",
            )
            return record

        chosen = matching(list(pictures), names)
        with reporter.progress(source) as progress:
            for number, name in enumerate(chosen):
                if progress:
                    progress(number, len(chosen))
                records.extend(reporter.each([name], str, one))
    return {}


def get(
    archive: options.Archive,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the picture in the archive.")],
    output: options.Output = None,
    stdout: options.Stdout = False,
    region: options.Region = None,
    force: options.Force = False,
    format: options.ImageFormat = None,
    verify: options.VerifyImage = True,
    model: options.ModelName = None,
    threads: options.Threads = 0,
    backend: options.Backend = None,
    max_pixels: options.MaxPixels = None,
    max_memory: options.MaxMemory = None,
    storage_options: options.StorageOptions = None,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Write one image of an archive.

    Only its batch is decoded. Without -o and -c the image is written here, under the last part of its name.
    """
    if stdout and output is not None:
        refuse("-o and -c exclude each other")
    how = Decoding.of(model, threads, backend, max_pixels, max_memory)
    reporter = Reporter(quiet, verbose)
    place = read_region(region)
    wanted = _Wanted(read_storage(storage_options), format, force, verify, region=place)
    work = partial(_get_one, name, STREAM if stdout else output, how=how, wanted=wanted, reporter=reporter)
    reporter.finish(reporter.each([archive], str, work))


def _get_one(
    name: str, output: str | None, source: str, how: Decoding, wanted: _Wanted, reporter: Reporter
) -> dict[str, Any]:
    """Write one image of an archive and print what was written."""
    with open_archive(source, wanted.storage, how) as pictures:
        if name not in pictures:
            near = did_you_mean(name, pictures)
            raise BBCodecError(f"no picture of this name: {shown(name)}" + (f"; {near}" if near else ""))
        target = output or image_name(name, wanted.format).rsplit("/", 1)[-1]
        if output is None:  # the archive has named the file, not the user
            stay_inside(".", target)
        job = Job(source, target, storage=wanted.storage)
        record = _write(pictures, name, job, wanted, reporter)
    what = f"{record['width']} x {record['height']} {record['mode']}, {record['output_bytes']} bytes"
    if target == STREAM:
        reporter.detail(what, shown(name))
    else:
        reporter.note(what, f"{shown(name)} -> {shown(target)}")
    if "verify_seconds" in record:
        reporter.detail(f"  verified in {record['verify_seconds']:.2f} s")
    return record


def _write(pictures: Archive, name: str, job: Job, wanted: _Wanted, reporter: Reporter) -> dict[str, Any]:
    """Write a picture of an archive to a file or to stdout, and return its record.

    The file takes over permissions and times of the archive, which has none for each picture.
    """
    picture, lost = _picture(pictures, name, wanted)
    kind = format_of(job.target, wanted.format)
    if job.target != STREAM and folder_of(job.target):
        wanted.storage.make_folder(folder_of(job.target))
    with open_output(job, force=wanted.force) as file:
        draft = draft_picture(file, picture, kind)
        del picture
        written = finish_picture(draft, kind, verify=wanted.verify)
    warn_left_out(reporter, name, written, kind)
    losses = {"lost": report_losses(reporter, name, lost)} if wanted.salvage else {}
    proof = {} if written.verify_seconds is None else {"verify_seconds": written.verify_seconds}
    return {
        **losses,
        "name": name,
        "output": job.target,
        "output_bytes": written.size,
        "width": written.outline.width,
        "height": written.outline.height,
        "mode": written.outline.mode,
        **proof,
    }


def _picture(pictures: Archive, name: str, wanted: _Wanted) -> tuple[Picture, tuple[Loss, ...]]:
    """Return a picture or the wanted region of it, and what is lost of it."""
    if wanted.salvage:
        saved = pictures.reader.salvage(name)
        return saved.picture, saved.lost
    if wanted.region is not None:
        return pictures.reader.region(name, wanted.region), ()
    return pictures.picture(name), ()
