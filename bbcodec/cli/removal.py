# SPDX-License-Identifier: Apache-2.0
"""`--rm`: an input is deleted after its output was read back, and only if the output gives back all of it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from bbcodec.cli import codec
from bbcodec.cli.images import named, read_again, read_picture
from bbcodec.cli.report import shown
from bbcodec.cli.settings import Decoding, Encoding
from bbcodec.cli.streams import open_image
from bbcodec.errors import BBCodecError
from bbcodec.storage import Storage, local_path
from bbcodec.storage.original import Original

if TYPE_CHECKING:
    from bbcodec.cli.plan import Job
    from bbcodec.picture.formats import Reading
    from bbcodec.picture.readback import Outline

__all__ = [
    "original_of",
    "remove_array",
    "remove_array_file",
    "remove_compressed",
    "remove_decompressed",
]


def original_of(job: Job, wanted: bool) -> Original | None:
    """Return the input of a job as it is before it is read, or None if it is not to be deleted.

    Errors as of `Original`, and the problem of the job.
    """
    if not wanted:
        return None
    job.check_readable()
    return Original(job.source, job.storage)


def remove_compressed(
    original: Original, job: Job, reading: Reading, size: int, data: bytes, how: Encoding
) -> None:
    """Delete an image whose `.bb` file is written.

    The file is read and decoded, the image is read once more, by another reader where there is one, and the
    two pictures are compared.

    Parameters
    ----------
    original
        The input as it was before it was read.
    job
    reading
        What was read of it.
    size
        Size of the input in bytes.
    data
        The bytes that were written.
    how

    Raises
    ------
    BBCodecError
        The file that was written does not give back all of the image, or is larger than one that was
        compressed with loss; or the image has changed. It stays.
    OSError
        The output cannot be read, or the input not deleted.
    """
    from bbcodec.picture.readback import Outline, differences

    if reading.left_out:
        raise _kept(job, f"lacks {', '.join(map(shown, reading.left_out))}")
    if reading.lossy and len(data) > size:
        raise _kept(job, f"has {len(data)} bytes, more than the {size} bytes of the lossy image")
    _check_written(job, data)
    decoding = Decoding.of(how.model, how.threads, how.backend, how.max_pixels, None)
    restored = Outline.of(codec.decode(data, decoding))
    again = _read_anew(job.source, job.storage, how.max_pixels, Outline.of(reading.picture))
    if changed := differences(restored, again, metadata=how.keep_metadata):
        raise _kept(job, f"decodes with other {named(changed)} than a second reading of the input gives")
    original.remove()


def remove_decompressed(original: Original, job: Job, picture: Outline, how: Decoding) -> None:
    """Delete a `.bb` file whose image is written. Errors as of `remove_compressed`.

    Parameters
    ----------
    original
        The input as it was before it was read.
    job
    picture
        What was decoded of it.
    how
    """
    from bbcodec.picture.readback import Outline, differences

    if not _is_file(job.target):
        raise BBCodecError(f"{shown(job.target)} cannot be read back; the input is kept")
    most = how.limits.max_pixels
    found = Outline.of(read_picture(open_image(job.target, job.storage).source, most).picture)
    again = _read_anew(job.target, job.storage, most, found)
    if other := differences(picture, found) or differences(picture, again):
        raise _kept(job, f"reads back with other {named(other)}")
    original.remove()


def remove_array(original: Original, job: Job, data: bytes, how: Encoding) -> None:
    """Delete a file of arrays whose `.bb` file gives it back. Errors as of `remove_compressed`.

    Parameters
    ----------
    original
        The input as it was before it was read.
    job
    data
        The bytes that were written.
    how
    """
    from bbcodec.arrays.formats import open_file
    from bbcodec.arrays.reader import ArrayFile
    from bbcodec.jobs import Execution

    _check_written(job, data)
    wanted = open_file(job.storage.read(job.source), job.source)[1].data  # of a gzip file its content
    with ArrayFile(
        data, execution=Execution(how.threads, how.backend), limits=2**62, model=how.model
    ) as file:
        if file.content() != wanted:
            raise _kept(job, "does not give back the input")
    original.remove()


def remove_array_file(original: Original, job: Job, written: bytes) -> None:
    """Delete a `.bb` file of arrays whose source is written. Errors as of `remove_compressed`."""
    _check_written(job, written)
    original.remove()


def _check_written(job: Job, data: bytes) -> None:
    """Raise `BBCodecError` unless the output holds these bytes."""
    if not _is_file(job.target) or job.storage.read(job.target) != data:
        raise BBCodecError(f"{shown(job.target)} reads back differently; the input is kept")


def _read_anew(name: str, storage: Storage, max_pixels: int | None, first: Outline) -> Outline:
    """Read an image file once more, in another way than before if there is one.

    The other way may not read metadata. They are those of the first reading then.
    """
    from bbcodec.picture.readback import Outline

    picture = read_again(open_image(name, storage).source, max_pixels)
    if picture is not None:
        return replace(Outline.of(picture), metadata=first.metadata)
    return Outline.of(read_picture(open_image(name, storage).source, max_pixels).picture)


def _is_file(name: str) -> bool:
    """Return whether a name is that of a file that can be read back. Reading a pipe would wait for ever."""
    path = local_path(name)
    return path is None or os.path.isfile(path)


def _kept(job: Job, why: str) -> BBCodecError:
    return BBCodecError(f"{shown(job.target)} is written, but {why}; the input is kept")
