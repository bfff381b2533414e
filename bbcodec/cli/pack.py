# SPDX-License-Identifier: Apache-2.0
"""`bbcodec pack` and `bbcodec append`: images into an archive."""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bbcodec.cli import options
from bbcodec.cli.folders import Found, Image, find_images
from bbcodec.cli.images import read_picture, warn_incomplete
from bbcodec.cli.model_choice import choose_model
from bbcodec.cli.report import STREAM, Reporter, counted, refuse, shown
from bbcodec.cli.settings import Encoding, read_storage
from bbcodec.cli.streams import open_image, refuse_terminal, standard_output
from bbcodec.errors import BBCodecError
from bbcodec.storage import Attributes, Storage, local_path

if TYPE_CHECKING:
    from bbcodec.archive import Archive

__all__ = ["append", "pack"]


@dataclass(frozen=True)
class _Target:
    """The archive that is written.

    Parameters
    ----------
    name
        Its name, or `-`.
    mode
        `x` for a new one, `w` to overwrite one, `a` to append.
    batch
        Pictures of a batch; None leaves that to the archive.
    skip_existing
        Whether names that the archive has already are left out.
    storage
        How files are reached.
    """

    name: str
    mode: Literal["x", "w", "a"]
    batch: int | None
    skip_existing: bool
    storage: Storage


def pack(
    inputs: options.Sources,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE", help="The archive; '-' is standard output.")
    ],
    force: options.Force = False,
    batch: options.Batch = None,
    level: options.Level = None,
    fast: options.Fast = False,
    method: options.Method = "auto",
    model: options.ModelName = None,
    embed_model: options.EmbedInArchive = None,
    recovery: options.Recovery = None,
    verify: options.Verify = True,
    strip: options.Strip = False,
    threads: options.Threads = 0,
    backend: options.Backend = None,
    max_pixels: options.MaxPixels = None,
    storage_options: options.StorageOptions = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Pack images into one archive.

    Names in the archive are paths below each folder. The archive grows in FILE.part. After an interruption
    the same command continues where it stopped.
    """
    if output == STREAM and as_json:
        refuse("--json needs an output file: standard output cannot hold both")
    chosen = choose_model(method, model, level, fast=fast)
    how = Encoding(
        method, chosen, embed_model, not strip, verify, threads, backend, max_pixels, recovery=recovery
    )
    target = _Target(output, "w" if force else "x", batch, False, read_storage(storage_options))
    _pack(inputs, target, how, Reporter(quiet, verbose, as_json))


def append(
    archive: Annotated[str, typer.Argument(metavar="FILE", help="The archive.")],
    inputs: options.Sources,
    skip_existing: options.SkipPacked = False,
    batch: options.Batch = None,
    level: options.Level = None,
    fast: options.Fast = False,
    method: options.Method = "auto",
    model: options.ModelName = None,
    embed_model: options.EmbedInArchive = None,
    recovery: options.Recovery = None,
    verify: options.Verify = True,
    strip: options.Strip = False,
    threads: options.Threads = 0,
    backend: options.Backend = None,
    max_pixels: options.MaxPixels = None,
    storage_options: options.StorageOptions = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = 0,
    verbose: options.Verbose = 0,
) -> None:
    """Append images to an archive.

    What is in the archive stays readable. After an interruption it is as it was, and the same command
    continues where it stopped. An image whose name is there already is an error without --skip-existing.
    """
    chosen = choose_model(method, model, level, fast=fast)
    how = Encoding(
        method, chosen, embed_model, not strip, verify, threads, backend, max_pixels, recovery=recovery
    )
    target = _Target(archive, "a", batch, skip_existing, read_storage(storage_options))
    reporter = Reporter(quiet, verbose, as_json)
    try:
        if not target.storage.exists(archive):
            raise FileNotFoundError(2, os.strerror(2), archive)
    except (OSError, BBCodecError) as error:
        reporter.finish([reporter.fail(archive, error)])
    _pack(inputs, target, how, reporter)


def _pack(inputs: Sequence[str], target: _Target, how: Encoding, reporter: Reporter) -> None:
    """Find the images, put them into the archive, and leave with the exit code."""
    found = find_images(inputs, target.storage, reporter)
    if not found.images:
        reporter.finish(found.failures)
    work = partial(_write_archive, target, found, how=how, reporter=reporter)
    label = "standard output" if target.name == STREAM else target.name
    records = reporter.each([label], str, lambda name: work())
    reporter.finish([*records, *found.failures])


def _write_archive(target: _Target, found: Found, how: Encoding, reporter: Reporter) -> dict[str, Any]:
    """Put images into an archive, print what came of it, and return its record."""
    started = time.perf_counter()
    tally, there = _Tally(), 0
    attributes = _attributes([image.path for image in found.images], target.storage)
    with _opened(target, how, tally, attributes) as archive:
        before = len(archive)
        with reporter.progress(target.name) as progress:
            for number, image in enumerate(found.images):
                if progress:
                    progress(number, len(found.images))
                if target.skip_existing and image.name in archive:
                    there += 1
                else:
                    _add(archive, image, target.storage, how.max_pixels, tally, reporter)
        added = len(archive) - before
    path = None if target.name == STREAM else local_path(target.name)
    record = {
        "output": target.name,
        "images": added,
        "failed": reporter.failures,
        "skipped": found.ignored + there,
        "resumed": archive.adopted,
        "model_bytes": archive.embedded,
        "output_bytes": os.path.getsize(path) if path is not None else 0,
        "bits_per_dim": 8 * tally.bytes / max(1, tally.samples),
        "left_out": tally.left_out,
        "seconds": time.perf_counter() - started,
    }
    _report(record, found.ignored, reporter)
    before_bytes, after_bytes = tally.lossy_bytes()
    if after_bytes > before_bytes:
        reporter.warn(
            f"  {counted(len(tally.lossy), 'image')} compressed with loss: "
            f"the pixels take more bytes than the files: {before_bytes} -> {after_bytes:.0f} bytes"
        )
    return record


def _attributes(sources: Sequence[str], storage: Storage) -> Attributes:
    """Return what an archive takes over from its images: the strictest mode, and the latest time.

    The owner may always read and append. Images that cannot be looked at fail later.
    """
    mode, times = 0o666, (0, 0)
    for source in sources:
        with contextlib.suppress(OSError):
            found = storage.attributes(source)
            mode &= found.mode
            times = max(times, found.times or times, key=lambda pair: pair[1])
    return Attributes(mode | stat.S_IRUSR | stat.S_IWUSR, times if any(times) else None)


def _report(record: dict[str, Any], ignored: int, reporter: Reporter) -> None:
    """Print what came of an archive."""
    name, there = record["output"], record["skipped"] - ignored
    parts = [
        counted(record["images"], "image"),
        f"{ignored} skipped (not images)" if ignored else "",
        f"{there} skipped (already there)" if there else "",
        f"{record['failed']} failed" if record["failed"] else "",
        f"{record['bits_per_dim']:.3f} bits/dim",
        f"{record['output_bytes']} bytes" if record["output_bytes"] else "",
    ]
    reporter.note(", ".join(filter(None, parts)), "standard output" if name == STREAM else shown(name))
    if record["model_bytes"]:
        reporter.note(f"  {record['model_bytes']} of the bytes are the model")
    if record["resumed"]:
        reporter.note(f"  {record['resumed']} of them were there from an interrupted run")
    reporter.detail(f"  {record['seconds']:.2f} s")


@dataclass
class _Tally:
    """What becomes of the images.

    Parameters
    ----------
    bytes, samples
        Sums of the sections that are written.
    left_out
        For each image that was not read completely: its name, and what was left out.
    lossy
        Bytes of the files of images that were compressed with loss, by their names in the archive.
    shares
        Bytes of all pictures in the archive, by name; those of a batch have a share of it by their samples.
    """

    bytes: int = 0
    samples: int = 0
    left_out: list[dict[str, Any]] = field(default_factory=list)
    lossy: dict[str, int] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)

    def done(self, entries: Sequence[Any], size: int) -> None:
        """Count a section."""
        samples = sum(entry.samples for entry in entries)
        self.bytes += size
        self.samples += samples
        self.shares |= {entry.name: size * entry.samples / samples for entry in entries}

    def lossy_bytes(self) -> tuple[int, float]:
        """Return the bytes of all images that were compressed with loss: of their files, in the archive."""
        names = self.lossy.keys() & self.shares.keys()
        return sum(self.lossy[name] for name in names), sum(self.shares[name] for name in names)


@contextlib.contextmanager
def _opened(target: _Target, how: Encoding, tally: _Tally, attributes: Attributes) -> Iterator[Archive]:
    """Open an archive for writing. Raises `BBCodecError` if it exists and may not be overwritten."""
    from bbcodec.archive import Archive

    options: dict[str, Any] = {
        "done": tally.done,
        "batch": target.batch,
        "method": how.method,
        "model": how.model,
        "embed_model": how.embed_model,
        "verify": how.verify,
        "keep_metadata": how.keep_metadata,
        "recovery": how.recovery,
        "threads": how.threads,
        "backend": how.backend,
    }
    if target.name == STREAM:
        if target.mode != "w":
            refuse_terminal()
        with standard_output() as stream, Archive(stream, "w", **options) as archive:
            yield archive
        return
    more: dict[str, Any] = {"storage_options": target.storage.options, "attributes": attributes}
    try:
        opened = Archive(target.name, target.mode, **more, **options)
    except FileExistsError:
        raise BBCodecError(
            f"{shown(target.name)} exists already; use -f to overwrite it, or append to it"
        ) from None
    with opened as archive:
        yield archive


def _add(
    archive: Archive,
    image: Image,
    storage: Storage,
    max_pixels: int | None,
    tally: _Tally,
    reporter: Reporter,
) -> None:
    """Add an image. If that fails it is reported, and the others go on."""
    try:
        opened = open_image(image.path, storage)
        reading = read_picture(opened.source, max_pixels)
        if image.name in archive:
            raise BBCodecError(f"{shown(image.name)} is in the archive already")
    except Exception as error:
        reporter.fail(image.path, error)
        return
    try:
        archive[image.name] = reading.picture
    except BBCodecError as error:
        reporter.fail(image.path, error)
        return
    warn_incomplete(reporter, image.path, reading.left_out)
    if reading.left_out:
        tally.left_out.append({"input": image.path, "left_out": list(reading.left_out)})
    if reading.lossy:
        tally.lossy[image.name] = opened.size
    reporter.detail(f"packed as {shown(image.name)}", shown(image.path))
