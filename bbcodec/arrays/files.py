# SPDX-License-Identifier: Apache-2.0
"""Array files from other files, and from arrays of NumPy: what the interface and the commands call."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bbcodec.arrays import writer
from bbcodec.arrays.formats import open_file
from bbcodec.arrays.reader import ArrayFile
from bbcodec.arrays.stacks import Options
from bbcodec.arrays.writer import Numbers, Original
from bbcodec.container import Limits
from bbcodec.errors import BBCodecError, LimitError, OptionError
from bbcodec.jobs import Execution
from bbcodec.picture.region import Region

__all__ = ["compress_array", "compress_file", "decompress"]


def compress_array(
    array: NDArray[Any],
    options: Options,
    execution: Execution,
    *,
    axes: str | None = None,
    group: int | None = None,
) -> bytes:
    """Return the array file of an array. Errors as of `bbcodec.arrays.writer.encode`."""
    return writer.encode([Numbers(np.asarray(array), axes)], options, execution, group=group)


def compress_file(
    data: bytes,
    name: str,
    options: Options,
    execution: Execution,
    *,
    axes: str | None = None,
    group: int | None = None,
    max_pixels: int | None = None,
) -> tuple[bytes, Original]:
    """Return the array file of a NumPy, DICOM, NIfTI, FITS or TIFF file, and what was found in that.

    With ``options.verify`` the file is restored again and compared.

    Parameters
    ----------
    data : the file.
    name : its name.
    options : how its arrays are coded.
    execution : threads and progress.
    axes, group : as for `bbcodec.compress`.
    max_pixels : largest number of pixels, all planes of all arrays together.

    Raises
    ------
    FormatError, LimitError, OptionError
        As of `bbcodec.arrays.formats.open_file`; LimitError also for more pixels.
    ModelMissingError, ModelError
        The model is missing or damaged.
    BBCodecError
        The result does not give back the file.
    """
    most = Limits.of(max_pixels).max_pixels
    arrays, original = open_file(data, name, axes=axes, max_bytes=max(2**30, 16 * most))
    pixels = sum(_pixels(numbers) for numbers in arrays)
    if pixels > most:
        raise LimitError(f"the arrays have {pixels} pixels, the limit is {most}")
    # The whole file is compared below: no group needs to be.
    quick = Options(options.model, options.method, options.layout, verify=False)
    coded = writer.encode(arrays, quick, execution, original=original, group=group)
    if original.rewritten and len(coded) >= len(data):  # what compressed it knew it better
        original = Original(data, original.suffix, ())
        coded = writer.encode([], quick, execution, original=original)
    if options.verify:
        with ArrayFile(
            coded, execution=Execution(execution.threads), limits=2**62, model=options.model
        ) as file:
            if file.content() != original.data:
                raise BBCodecError("the array file does not give back its source; please report it")
    return coded, original


def decompress(file: ArrayFile, region: Region | None = None) -> NDArray[Any]:
    """Return the array of a file that holds one, or a region of all of its planes.

    Raises
    ------
    OptionError
        It holds none or several, or the region is not within its planes.
    """
    if len(file) == 1:
        return file[0][...] if region is None else file[0].crop(region)
    if not len(file):
        raise OptionError("the file holds no array; bbcodec.ArrayFile(...).original() returns what it holds")
    raise OptionError(f"the file holds {len(file)} arrays; bbcodec.ArrayFile(...)[0] is the first one")


def _pixels(numbers: Numbers) -> int:
    named = numbers.named
    count = 1
    for axis, length in enumerate(named.shape):
        count *= 1 if axis == named.channel else length
    return count
