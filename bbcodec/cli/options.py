# SPDX-License-Identifier: Apache-2.0
"""The options that several commands share, each described once. Nothing here acts on them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bbcodec.cli.report import refuse
from bbcodec.storage import Storage

if TYPE_CHECKING:
    from bbcodec.container import Limits

__all__ = [
    "AsJson",
    "Backend",
    "Dask",
    "Force",
    "MaxMemory",
    "MaxPixels",
    "ModelName",
    "Output",
    "OutputDir",
    "Quiet",
    "Recursive",
    "Region",
    "Remove",
    "Salvage",
    "SkipExisting",
    "Stdout",
    "StorageOptions",
    "Threads",
    "Verbose",
    "limits_of",
    "storage_of",
]

Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write to FILE ('-' for stdout); one input only."),
]
OutputDir = Annotated[
    str | None,
    typer.Option("--output-dir", metavar="DIR", help="Write into DIR, which is made if it does not exist."),
]
Stdout = Annotated[bool, typer.Option("--stdout", "-c", help="Write to stdout; one input only.")]
Force = Annotated[
    bool, typer.Option("--force", "-f", help="Overwrite existing files; write binary data to a terminal.")
]
Remove = Annotated[
    bool,
    typer.Option(
        "--rm/--keep",
        " /-k",
        help="Delete each input once its output has been read back and checked, or keep it.",
    ),
]
Threads = Annotated[
    int, typer.Option("--threads", "-T", min=0, metavar="N", help="Threads; 0 means all cores.")
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model", metavar="NAME|ID|PATH", help="Model of the learned method: a released one or a .bbm file."
    ),
]
Backend = Annotated[
    Literal["numpy", "numba", "native"] | None,
    typer.Option(
        "--backend", help="How to compute; the bytes are the same. [default: the fastest one installed]"
    ),
]
Region = Annotated[
    str | None,
    typer.Option(
        "--region",
        metavar="X,Y,W,H",
        help="This part of the picture alone, in pixels; no more is decoded than it needs.",
    ),
]
Salvage = Annotated[
    bool,
    typer.Option(
        "--salvage",
        help="Of damaged files write what can be decoded, gray where pixels are lost, and say what is; "
        "the exit code is 1 then.",
    ),
]
MaxPixels = Annotated[
    int | None, typer.Option("--max-pixels", min=1, metavar="N", help="Refuse images of more than N pixels.")
]
MaxMemory = Annotated[
    str | None,
    typer.Option(
        "--max-memory",
        metavar="SIZE",
        help="Refuse what is estimated to take more memory to decode than SIZE, such as 500M or 2G.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write a JSON document to stdout.")]
Quiet = Annotated[
    int,
    typer.Option("--quiet", "-q", count=True, show_default=False, help="Errors only; twice: not even those."),
]
Verbose = Annotated[
    int,
    typer.Option(
        "--verbose", "-v", count=True, show_default=False, help="More detail; twice: tracebacks of errors."
    ),
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive", "-r", help="Look for files in folders and below; --output-dir gets like folders."
    ),
]
SkipExisting = Annotated[
    bool,
    typer.Option("--skip-existing", help="Leave outputs that are there already and whole as they are."),
]
StorageOptions = Annotated[
    str | None,
    typer.Option(
        "--storage-options",
        metavar="JSON",
        help="What fsspec needs to know for URLs (s3://, memory:// ...), as a JSON object.",
    ),
]
Dask = Annotated[
    str | None,
    typer.Option(
        "--dask",
        metavar="ADDRESS",
        help="Work on a Dask cluster: tcp://host:port of its scheduler, or 'local' for one of this machine. "
        "One task for each file, of -T threads (default 1); implies --skip-existing unless -f is given.",
    ),
]


def limits_of(max_pixels: int | None, max_memory: str | None) -> Limits:
    """Return the limits of a reader, from `--max-pixels` and `--max-memory`; no size is a usage error."""
    from bbcodec.container import MAX_PIXELS, Limits
    from bbcodec.errors import OptionError

    size = None
    if max_memory is not None:
        from bbcodec.bbfile.memory import read_size

        try:
            size = read_size(max_memory)
        except OptionError as error:
            refuse(f"--max-memory: {error}")
    return Limits(max_pixels=max_pixels or MAX_PIXELS, max_memory=size)


def storage_of(text: str | None) -> Storage:
    """Return how files are reached, from `--storage-options`; what is no JSON object is a usage error."""
    options: Any = {}
    if text is not None:
        try:
            options = json.loads(text)
        except ValueError as error:
            refuse(f"--storage-options is no JSON: {error}")
        if not isinstance(options, dict):
            refuse("--storage-options must be a JSON object, such as '{\"anon\": true}'")
    return Storage(options)
