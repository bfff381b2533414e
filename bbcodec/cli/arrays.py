# SPDX-License-Identifier: Apache-2.0
"""Arrays in the commands: volumes, stacks, and the files of DICOM, NIfTI, FITS, TIFF and NumPy."""

from __future__ import annotations

import io
import os
import time
from typing import TYPE_CHECKING, Any

from bbcodec.cli.removal import remove_array, remove_array_file
from bbcodec.cli.report import STREAM, Reporter, shown
from bbcodec.cli.streams import Opened, open_output
from bbcodec.errors import FormatError, OptionError

if TYPE_CHECKING:
    from bbcodec.arrays.info import ArrayInfo
    from bbcodec.arrays.reader import ArrayFile
    from bbcodec.cli.plan import Job
    from bbcodec.cli.settings import Decoding, Destination, Encoding
    from bbcodec.storage.original import Original

__all__ = [
    "array_lines",
    "compress_arrays",
    "decompress_arrays",
    "holds_arrays",
    "is_array_file",
    "may_be_stack",
    "test_arrays",
]

NPY = ".npy"


def is_array_file(data: bytes) -> bool:
    """Return whether bytes begin like a `.bb` file of arrays."""
    from bbcodec.arrays import head

    return head.is_array_file(data)


def holds_arrays(opened: Opened, name: str) -> bool:
    """Return whether an input holds arrays and is no picture. TIFF files are read as pictures first."""
    from bbcodec.arrays import formats

    return formats.holds_arrays(_head(opened), name)


def may_be_stack(opened: Opened) -> bool:
    """Return whether an input that is no picture may hold arrays: whether it is a TIFF file."""
    from bbcodec.arrays import formats

    return formats.format_of(_head(opened)) is not None


def _head(opened: Opened) -> bytes:
    from bbcodec.arrays.formats import HEAD_BYTES

    if isinstance(opened.content, bytes):
        return opened.content[:HEAD_BYTES]
    with open(opened.content, "rb") as file:
        return file.read(HEAD_BYTES)


def _content(opened: Opened) -> bytes:
    if isinstance(opened.content, bytes):
        return opened.content
    with open(opened.content, "rb") as file:
        return file.read()


def compress_arrays(
    job: Job,
    opened: Opened,
    how: Encoding,
    where: Destination,
    reporter: Reporter,
    original: Original | None,
    *,
    overwrite: bool,
) -> dict[str, Any]:
    """Compress a file of arrays, print what came of it, and return its record."""
    from bbcodec.arrays import files
    from bbcodec.arrays.stacks import Options
    from bbcodec.jobs import Execution
    from bbcodec.modelfile.registry import DEFAULT_MODEL

    started = time.perf_counter()
    if how.embed_model or how.fit is not None or how.recovery or not how.keep_metadata:
        raise OptionError("--embed-model, --fit, --recovery and --strip are for pictures; this holds arrays")
    options = Options(how.model or DEFAULT_MODEL, how.method, verify=how.verify)  # type: ignore[arg-type]
    content = _content(opened)
    with (
        open_output(job, force=overwrite) as file,
        reporter.progress(job.source, None) as progress,
    ):
        data, source = files.compress_file(
            content,
            job.source,
            options,
            Execution(how.threads, how.backend, progress),
            axes=how.axes,
            group=how.group,
            max_pixels=how.max_pixels,
        )
        file.write(data)
    if source.note:
        reporter.warn(f"kept as bytes, no array was found: {source.note}", shown(job.source))
    if original is not None:
        remove_array(original, job, data, how)
    found = _described(data)
    record: dict[str, Any] = {
        "input": job.source,
        "output": job.target,
        "input_bytes": opened.size,
        "output_bytes": len(data),
        "arrays": list(found.arrays),
        "source": found.source,
        "bits_per_dim": found.bits_per_dim,
        "seconds": time.perf_counter() - started,
    }
    rate = "" if found.bits_per_dim is None else f", {found.bits_per_dim:.3f} bits/dim"
    change = "; it comes back uncompressed" if source.rewritten else ""
    what = f"{opened.size} -> {len(data)} bytes{rate}, {_summary(found)}{change}"
    _report(job, what, record["seconds"], reporter)
    return record


def _report(job: Job, what: str, seconds: float, reporter: Reporter) -> None:
    """Print what came of an input."""
    if job.target == STREAM:
        reporter.detail(what, shown(job.source))
    else:
        reporter.note(what, f"{shown(job.source)} -> {shown(job.target)}")
    reporter.detail(f"  {seconds:.2f} s")


def decompress_arrays(
    job: Job,
    data: bytes,
    how: Decoding,
    where: Destination,
    reporter: Reporter,
    original: Original | None,
    *,
    format: str | None,
    index: str | None,
    region: tuple[int, int, int, int] | None,
    salvage: bool,
) -> dict[str, Any]:
    """Write the file that an array file comes from, or one of its arrays as NumPy file; return the record."""
    from dataclasses import replace

    from bbcodec.arrays.reader import ArrayFile
    from bbcodec.jobs import Execution

    started = time.perf_counter()
    is_part = index is not None or region is not None
    with ArrayFile(data, limits=how.limits, model=how.model, salvage=salvage) as found:
        suffix = NPY if is_part or format == "npy" or found.suffix is None else found.suffix
        if where.output is None and job.target != STREAM:
            job = replace(job, target=os.path.splitext(job.target)[0] + suffix)
        elif job.target != STREAM and format is None:
            suffix = _wanted_suffix(job.target, suffix, found.suffix)
        if format not in (None, "npy") and f".{format}" != suffix:
            raise OptionError(f"the file holds arrays: they become {suffix} or .npy, not .{format}")
        if where.skip_existing and job.target != STREAM and job.storage.exists(job.target):
            from bbcodec.cli.plan import skip

            return skip(job, reporter)
        with open_output(job, force=where.force) as file, reporter.progress(job.source, None) as progress:
            found.execution = Execution(how.threads, how.backend, progress)
            whole = suffix == found.suffix and not is_part and not (salvage and format == "npy")
            written = found.original() if whole else _npy(found, index, region)
            file.write(written)
        if original is not None:
            if not whole:
                raise OptionError(f"{shown(job.target)} is not the whole file; the input is kept")
            remove_array_file(original, job, written)
        arrays = [{"shape": list(one.shape), "dtype": str(one.dtype)} for one in found.arrays]
        losses = {"lost": _report_lost(found, job.source, reporter)} if salvage else {}
    record: dict[str, Any] = {
        **losses,
        "input": job.source,
        "output": job.target,
        "input_bytes": len(data),
        "output_bytes": len(written),
        "arrays": arrays,
        "format": suffix[1:],
        "seconds": time.perf_counter() - started,
    }
    _report(job, f"{suffix[1:]} of {len(written)} bytes", record["seconds"], reporter)
    return record


def _report_lost(found: ArrayFile, name: str, reporter: Reporter) -> list[dict[str, Any]]:
    """Print which groups a damaged file has lost, count it as failed if any, and return them for JSON."""
    records = []
    for group in found.lost.values():
        place = [[part.start, part.stop] for part in group.place]
        where = ", ".join(f"{start}:{stop}" for start, stop in place)
        reporter.error(f"lost: array {group.array} at [{where}]: {shown(group.reason)}", shown(name))
        records.append({"what": "array", "array": group.array, "place": place, "reason": group.reason})
    reporter.failures += bool(records)
    return records


def _wanted_suffix(target: str, suffix: str, own: str | None) -> str:
    """Return what an output of this name is to hold: the file as it was, or an array."""
    lower = target.lower()
    if lower.endswith(NPY):
        return NPY
    if own is None or not lower.endswith(own):
        raise OptionError(
            f"the output must be named {own + ' or ' if own else ''}{NPY}: that is what is held"
        )
    return suffix


def _npy(found: ArrayFile, index: str | None, region: tuple[int, int, int, int] | None) -> bytes:
    """Return the array of a file, or a part of it, as a NumPy file."""
    import numpy as np

    from bbcodec.arrays.files import decompress

    if index is not None and region is not None:
        raise OptionError("--index and --region exclude each other")
    if index is None or len(found) != 1:
        array = decompress(found, region)
    else:
        array = found[0][_index(index)]
    whole = io.BytesIO()
    np.save(whole, array)
    return whole.getvalue()


def _index(text: str) -> tuple[Any, ...]:
    """Return the index of `--index`: numbers and ranges A:B:C, separated by commas; `...` for all others."""
    keys: list[Any] = []
    for part in text.replace(" ", "").split(","):
        try:
            numbers = [int(number) if number else None for number in part.split(":")]
        except ValueError:
            numbers = []
        if part == "...":
            keys.append(...)
        elif len(numbers) == 1 and numbers[0] is not None:
            keys.append(numbers[0])
        elif 2 <= len(numbers) <= 3 and numbers[2:] != [0]:
            keys.append(slice(*numbers))
        else:
            raise OptionError(f"--index must be like 7 or 0:10,:,::2 (got {text!r})")
    return tuple(keys)


def test_arrays(name: str, data: bytes, how: Decoding, reporter: Reporter) -> dict[str, Any]:
    """Decode an array file and check all of it; print that it is sound, and return its record."""
    from bbcodec.arrays.reader import ArrayFile
    from bbcodec.jobs import Execution

    started = time.perf_counter()
    with ArrayFile(data, limits=how.limits, model=how.model) as found:
        with reporter.progress(name, None) as progress:
            found.execution = Execution(how.threads, how.backend, progress)
            if found.suffix is not None:
                found.content()
            else:
                for array in found.arrays:
                    array[...]
        what = _summary(_described(data))
        arrays = [{"shape": list(one.shape), "dtype": str(one.dtype)} for one in found.arrays]
    seconds = time.perf_counter() - started
    reporter.note(f"ok, {what}", shown(name))
    reporter.detail(f"  {len(data)} bytes, {seconds:.2f} s")
    return {"input": name, "ok": True, "bytes": len(data), "arrays": arrays, "seconds": seconds}


def _described(data: bytes) -> ArrayInfo:
    from bbcodec import api
    from bbcodec.arrays.info import ArrayInfo

    found = api.info(data)
    if not isinstance(found, ArrayInfo):
        raise FormatError("not a file of arrays")
    return found


def _summary(found: ArrayInfo) -> str:
    """Return what a file of arrays holds, in a few words."""
    kind = f"a {found.source['suffix']} file of " if found.source else ""
    if not found.arrays:
        return f"a {found.source['suffix']} file, kept as bytes" if found.source else "no array"
    first = found.arrays[0]
    shape = " x ".join(map(str, first["shape"])) or "one number"
    more = f" and {len(found.arrays) - 1} more" if len(found.arrays) > 1 else ""
    return f"{kind}{shape} {first['dtype']}{more}"


def array_lines(found: ArrayInfo) -> list[tuple[str, str]]:
    """Return labels and values of an array file, for `bbcodec info`."""
    rate = "" if found.bits_per_dim is None else f", {found.bits_per_dim:.3f} bits/dim"
    rows = [("file", f"{found.file_size} bytes{rate}")]
    for number, array in enumerate(found.arrays):
        shape = " x ".join(map(str, array["shape"])) or "one number"
        axes = f", axes {array['axes']}" if array["axes"] else ""
        ways = ", ".join(f"{count} as {way}" for way, count in array["ways"].items())
        group = " x ".join(map(str, array["group"]))
        rows.append((f"array {number}", f"{shape} {array['dtype']}{axes}"))
        rows.append(("", f"{array['bytes']} bytes, groups of {group or '1'}: {ways or 'none'}"))
    if found.source is not None:
        gzip = ", gzip" if found.source["gzip"] else ", uncompressed" if found.source["rewritten"] else ""
        what = f"a {found.source['suffix']} file of {found.source['size']} bytes{gzip}"
        rows.append(("source", f"{what}; {found.source['frame']} bytes for what is not samples"))
        rows.append(("checksum", found.source["digest"]))
    return rows
