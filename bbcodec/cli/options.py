# SPDX-License-Identifier: Apache-2.0
"""The options that several commands share, each described once. Nothing here acts on them."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

__all__ = [
    "AsJson",
    "Backend",
    "Force",
    "MaxPixels",
    "ModelName",
    "Output",
    "OutputDir",
    "Quiet",
    "Region",
    "Remove",
    "Stdout",
    "Threads",
    "Verbose",
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
MaxPixels = Annotated[
    int | None, typer.Option("--max-pixels", min=1, metavar="N", help="Refuse images of more than N pixels.")
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
